package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/measure/sqlite"
)

// taking is a gateway that takes feedback in, and what it writes to.
type taking struct {
	handler http.Handler
	log     *disk.Log
	sink    *sqlite.Sink // nil: nothing is rolled up
	taken   int
}

func newTaking(ctx context.Context, dir, name string, rollup bool) (t *taking, err error) {
	t = &taking{}
	if t.log, err = openLog(filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	o := gateway.IngestOptions{Log: t.log, Telemetry: forgetful{t.log}, Logger: quiet}
	if rollup {
		if t.sink, err = sqlite.Open(ctx, filepath.Join(dir, name+".db"), sqlite.Options{}); err != nil {
			return nil, errors.Join(err, t.log.Close())
		}
		o.Telemetry = remembering{t.sink}
	}
	keys, err := event.NewKeys(secret)
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	g := gateway.New(gateway.Options{Log: quiet, Now: time.Now, Keys: keys, Ingest: gateway.NewIngest(o)})
	g.SetServices([]*gateway.Service{newService(nil)})
	t.handler = g
	return t, nil
}

// size is how many bytes of the log an outcome takes, where nothing else is in it.
func (t *taking) size() int { return int(t.log.End()) / t.taken }

func (t *taking) close() error {
	var err error
	if t.sink != nil {
		err = t.sink.Close()
	}
	return errors.Join(err, t.log.Close())
}

// turn has the clients bring a turn's outcomes, and rolls them up meanwhile, if they are to be. Their decisions are in the log before.
func (t *taking) turn(ctx context.Context) (effort, error) {
	base := time.Now().Add(-perWriter * apart)
	if t.sink == nil {
		e, err := served(ctx, t.handler, base, nil)
		return e, errors.Join(err, t.count(ctx))
	}
	for writer := range writers {
		if _, err := t.log.Append(ctx, decisionsOf(tokens(base, writer))...); err != nil {
			return effort{}, err
		}
	}
	follower := measure.NewFollower(t.log, t.sink, measure.FollowerOptions{})
	if err := follower.CatchUp(ctx); err != nil {
		return effort{}, err
	}
	e, err := served(ctx, t.handler, base, func(running context.Context) error {
		if err := follower.Run(running); err != nil {
			return err
		}
		return follower.CatchUp(ctx)
	})
	return e, errors.Join(err, t.count(ctx))
}

// count is an error unless the log has all outcomes that were acknowledged.
func (t *taking) count(ctx context.Context) error {
	t.taken += feedbackTurn
	found := 0
	err := readAll(ctx, t.log, func(_ event.Offset, r event.Record) error {
		if r.Outcome != nil {
			found++
		}
		return nil
	})
	if err == nil && found != t.taken {
		err = fmt.Errorf("%d outcomes were acknowledged, the log has %d", t.taken, found)
	}
	return err
}

// decisionsOf are the decisions that tokens are of.
func decisionsOf(tokens []event.Token) []event.Record {
	records := make([]event.Record, len(tokens))
	for i, t := range tokens {
		v := i % 3
		records[i].Decision = &event.Decision{
			ID: t.Decision, At: t.At, Service: "reviews", Epoch: t.Epoch, PolicyVersion: t.PolicyVersion,
			Unit: fmt.Sprintf("%x", t.Decision[:]), Assigned: variantNames[v], Answered: variantNames[v], Version: digest(v),
			Propensity: float64(shares[v]) / 100, Status: http.StatusOK, Micros: 1500, Label: "good", Score: 0.8125,
		}
	}
	return records
}

// forgetful is a telemetry that has read the whole log and knows of nothing.
type forgetful struct{ log *disk.Log }

// Outcome implements gateway.Telemetry.
func (forgetful) Outcome(context.Context, string) (o event.Outcome, found bool, err error) { return }

// Decision implements gateway.Telemetry.
func (forgetful) Decision(context.Context, event.ID) (d event.Decision, found bool, err error) {
	return
}

// Applied implements gateway.Telemetry.
func (f forgetful) Applied() event.Offset { return f.log.End() }

// remembering asks telemetry.db, as a server does.
type remembering struct{ *sqlite.Sink }

// Outcome implements gateway.Telemetry.
func (r remembering) Outcome(ctx context.Context, id string) (o event.Outcome, found bool, err error) {
	all, err := r.Outcomes(ctx, []string{id})
	if first := all[id]; first != nil {
		return *first, true, err
	}
	return o, false, err
}

// Decision implements gateway.Telemetry; the outcomes here bring tokens, which say all.
func (remembering) Decision(context.Context, event.ID) (d event.Decision, found bool, err error) {
	return
}
