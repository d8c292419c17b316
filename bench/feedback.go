package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/measure/sqlite"
)

const (
	feedbackRounds = 11
	feedbackTurn   = writers * perWriter
)

// feedbacks measures outcomes that are durable when they are acknowledged, from 64 writers with an event a request.
func feedbacks(ctx context.Context) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	alone, err := newTaking(ctx, dir, "alone", false)
	if err != nil {
		return err
	}
	defer alone.close()
	whole, err := newTaking(ctx, dir, "whole", true)
	if err != nil {
		return err
	}
	defer whole.close()
	file, err := newGroupFile(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	defer file.close()
	took, err := contest("durable outcomes", feedbackRounds,
		func() (effort, error) { return alone.turn(ctx) },
		func() (effort, error) { return whole.turn(ctx) },
		func() (effort, error) { return served(ctx, http.HandlerFunc(bare), time.Now(), nil) },
		func() (effort, error) { return file.turn() })
	if err != nil {
		return err
	}
	var typically [4]effort
	for i := range took {
		typically[i] = typical(took[i])
	}
	fmt.Printf("\n### Durable outcomes, %d writers, one a request\n\n", writers)
	fmt.Println("| what | CPU a request | requests/s | to the lower of the bare two | to reach |\n|---|---|---|---|---|")
	for i, what := range [...]string{
		"`POST /v1/feedback`, durable in the log", "**the same while it is rolled up, the CPU of which is in it**",
		"a bare handler of `net/http` that answers 200", fmt.Sprintf("a bare file, group commit, %d bytes each", len(outcomeBytes)),
	} {
		ratio, goal := "", ""
		if i < 2 {
			ratio, goal = fmt.Sprintf("%.2f", max(typically[2].elapsed, typically[3].elapsed)/typically[i].elapsed), "≥ 0.50"
		}
		fmt.Printf("| %s | %s | %.0f | %s | %s |\n", what, duration(typically[i].cpu), 1/typically[i].elapsed, ratio, goal)
	}
	return nil
}

// served has the clients send a turn's requests to a handler. Of its own goroutine, beside runs meanwhile, until its context ends; what it
// does then is in the processor time, not in the other, which is the clients'.
func served(ctx context.Context, handler http.Handler, base time.Time, beside func(context.Context) error) (e effort, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return e, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	var serving, working errgroup.Group
	serving.Go(func() error { return server.Serve(listener) })
	defer func() {
		err = errors.Join(err, server.Close())
		if closed := serving.Wait(); !errors.Is(closed, http.ErrServerClosed) {
			err = errors.Join(err, closed)
		}
	}()
	c, err := connect(ctx, listener.Addr().String(), base)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var seconds float64
	e, err = spend(func() error {
		running, stop := context.WithCancel(ctx)
		if beside != nil {
			working.Go(func() error { return beside(running) })
		}
		var err error
		seconds, err = c.run()
		stop()
		return errors.Join(err, working.Wait())
	})
	e.elapsed = seconds
	return e.per(feedbackTurn), err
}

// bareAnswer is as long as Serin's.
var bareAnswer = []byte(`{"id":"0123456789abcdef0123456789abcdef","status":"accepted","decision":"01234567-89ab-7def-8123-456789abcdef","verified":true}`)

// bare is as little as a handler can do.
func bare(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(bareAnswer) // the client may have gone
}

// taking is a gateway that takes feedback in, and what it writes to.
type taking struct {
	handler http.Handler
	log     *disk.Log
	sink    *sqlite.Sink // nil: nothing is rolled up
	taken   int
}

func newTaking(ctx context.Context, dir, name string, rollup bool) (t *taking, err error) {
	t = &taking{}
	if t.log, err = disk.Open(disk.Options{Dir: filepath.Join(dir, name), Now: time.Now}); err != nil {
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

func (t *taking) close() error {
	var err error
	if t.sink != nil {
		err = t.sink.Close()
	}
	return errors.Join(err, t.log.Close())
}

// turn has the clients bring a turn's outcomes, and rolls them up meanwhile, if they are to be. Their decisions are in the log before.
func (t *taking) turn(ctx context.Context) (effort, error) {
	base := time.Now()
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

// count is an error unless the log, and the telemetry, have all outcomes that were acknowledged.
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
