package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	telemetry "github.com/serin-ml/serin/internal/measure/sqlite"
)

const (
	rollupRounds  = 9
	rollupBatch   = 8192 // as a follower that is behind takes them
	rollupSeconds = 160  // of tallies in a turn: of three variants and 64 buckets each
	rollupRate    = 20_000
	rollupUsers   = 10_000
)

// rollups measures Sink.Apply, beside rows that are merely inserted or added up.
func rollups(ctx context.Context) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	path := filepath.Join(dir, "telemetry.db")
	sink, err := telemetry.Open(ctx, path, telemetry.Options{})
	if err != nil {
		return err
	}
	defer sink.Close()
	rows, err := newRows(ctx, filepath.Join(dir, "rows.db"))
	if err != nil {
		return err
	}
	defer rows.db.Close()
	base := time.Now().Add(-24 * time.Hour)
	next := func() time.Time { base = base.Add(time.Minute); return base }
	took, err := contest("rollup of outcomes", rollupRounds,
		func() (effort, error) { return applyOutcomes(ctx, sink, next(), false) },
		func() (effort, error) { return applyOutcomes(ctx, sink, next(), true) },
		func() (effort, error) { return rows.insert(ctx, next()) })
	if err != nil {
		return err
	}
	if err := allCounted(ctx, path, 2*(rollupRounds+1)*feedbackTurn); err != nil {
		return err
	}
	fmt.Printf("\n### Rollup into `telemetry.db`, %d records a transaction\n\n", rollupBatch)
	fmt.Println("| what | CPU a record | records/s | bare SQLite | ratio | to reach |\n|---|---|---|---|---|---|")
	bare := typical(took[2])
	rollupRow("outcome with a token", typical(took[0]), bare, "`INSERT` of a row", "≤ 10 µs")
	rollupRow("outcome with an id alone", typical(took[1]), bare, "`INSERT` of a row", "≤ 10 µs")
	took, err = contest("rollup of tallies", rollupRounds,
		func() (effort, error) { return applyTallies(ctx, sink, talliesFrom(next())) },
		func() (effort, error) { return rows.upsert(ctx, talliesFrom(next())) })
	if err != nil {
		return err
	}
	rollupRow("tally", typical(took[0]), typical(took[1]), "`INSERT ... ON CONFLICT DO UPDATE`, counts alone", "≤ 3 µs")
	return rollupDecisions(ctx, filepath.Join(dir, "decisions.db"))
}

// rollupDecisions measures decisions of a server in a hurry, one second of it after the other: of which a sample has rows.
func rollupDecisions(ctx context.Context, path string) error {
	sink, err := telemetry.Open(ctx, path, telemetry.Options{})
	if err != nil {
		return err
	}
	defer sink.Close()
	base := time.Now().Add(-24 * time.Hour)
	side := func(alone bool) func() (effort, error) {
		return func() (effort, error) {
			records := hurry(base, alone)
			base = base.Add(time.Second)
			e, err := apply(ctx, sink, records)
			return e.per(len(records)), err
		}
	}
	took, err := contest("rollup of decisions", rollupRounds, side(true), side(false))
	if err != nil {
		return err
	}
	for i, what := range []string{"who tell nothing of themselves", fmt.Sprintf("of %d users", rollupUsers)} {
		e := typical(took[i])
		fmt.Printf("| decision, %d requests a second %s | %s | %.0f |  |  |  |\n", rollupRate, what, duration(e.cpu), 1/e.elapsed)
	}
	return nil
}

// hurry are the decisions of a second.
func hurry(base time.Time, alone bool) (records []event.Record) {
	random := rand.New(rand.NewPCG(uint64(base.UnixMilli()), 0))
	for i := range rollupRate {
		at, v := base.Add(time.Duration(i)*time.Second/rollupRate), i%3
		d := &event.Decision{
			ID: idAt(at, random.Uint64(), random.Uint64()), At: at, Service: "reviews", Epoch: 1, PolicyVersion: 1, Alone: alone,
			Unit: fmt.Sprintf("%032x", random.Uint64()), Assigned: variantNames[v], Answered: variantNames[v], Version: digest(v),
			Propensity: float64(shares[v]) / 100, Status: http.StatusOK, Micros: 1500, Label: "good", Score: 0.8125,
		}
		if !alone {
			d.Unit = fmt.Sprintf("%032x", event.Hash(fmt.Sprint(random.IntN(rollupUsers))))
		}
		records = append(records, event.Record{Decision: d})
	}
	return records
}

// allCounted is an error unless so many outcomes are in the figures, and none is apart from them.
func allCounted(ctx context.Context, path string, want int64) error {
	reader, err := telemetry.OpenReader(ctx, path, 0)
	if err != nil {
		return err
	}
	defer reader.Close()
	rows, err := reader.Query(ctx, "SELECT status, sum(n) FROM outcome_counts GROUP BY status")
	if err != nil {
		return err
	}
	defer rows.Close()
	for values, err := range rows.All() {
		if err != nil {
			return err
		}
		if values[0] != "counted" || values[1] != want {
			return fmt.Errorf("of %d outcomes, %v are %v", want, values[1], values[0])
		}
	}
	return nil
}

func rollupRow(what string, ours, bare effort, way, target string) {
	fmt.Printf("| %s | %s | %.0f | %s, %s | %.2f | %s |\n", what, duration(ours.cpu), 1/ours.elapsed, duration(bare.cpu), way, ours.cpu/bare.cpu, target)
}

// apply has the sink take records, and measures it.
func apply(ctx context.Context, sink *telemetry.Sink, records []event.Record) (effort, error) {
	var batches [][]measure.Item
	start := sink.Applied()
	at := start
	for len(records) > 0 {
		n := min(rollupBatch, len(records))
		batch := make([]measure.Item, n)
		for i := range batch {
			batch[i] = measure.Item{At: at, Record: records[i]}
			at++
		}
		batches, records = append(batches, batch), records[n:]
	}
	return spend(func() error {
		at := start
		for _, batch := range batches {
			to := at + event.Offset(len(batch))
			if err := sink.Apply(ctx, 1, at, to, batch); err != nil {
				return err
			}
			at = to
		}
		return nil
	})
}

// applyOutcomes measures outcomes of decisions that the sink knows, made a minute before.
func applyOutcomes(ctx context.Context, sink *telemetry.Sink, base time.Time, byID bool) (effort, error) {
	decisions, outcomes := heard(base, byID)
	if _, err := apply(ctx, sink, decisions); err != nil {
		return effort{}, err
	}
	e, err := apply(ctx, sink, outcomes)
	return e.per(len(outcomes)), err
}

// heard makes decisions, and an outcome of each, in another order.
func heard(base time.Time, byID bool) (decisions, outcomes []event.Record) {
	for writer := range writers {
		decisions = append(decisions, decisionsOf(tokens(base, writer))...)
	}
	for i := range decisions {
		d := decisions[i*7919%len(decisions)].Decision
		o := &event.Outcome{
			ID: event.OutcomeID(d.ID, 0, "label"), Decision: d.ID, Kind: "label", Text: [...]string{"good", "bad"}[i%2], IsText: true,
			ReceivedAt: base.Add(time.Minute),
		}
		if !byID {
			o.Verified, o.DecidedAt, o.Service, o.Epoch, o.Variant, o.PolicyVersion, o.Propensity = true, d.At, d.Service, d.Epoch, d.Assigned,
				d.PolicyVersion, d.Propensity
		}
		outcomes = append(outcomes, event.Record{Outcome: o})
	}
	return decisions, outcomes
}

func applyTallies(ctx context.Context, sink *telemetry.Sink, tallies []event.Record) (effort, error) {
	e, err := apply(ctx, sink, tallies)
	return e.per(len(tallies)), err
}

// talliesFrom are those of a service that answers some 1,000 requests a second.
func talliesFrom(base time.Time) (records []event.Record) {
	for second := range rollupSeconds {
		from := base.Add(time.Duration(second) * time.Second)
		for cell := range 64 * len(variantNames) {
			v := cell % len(variantNames)
			t := &event.Tally{
				From: from, To: from.Add(time.Second), Service: "reviews", Epoch: 1, Variant: variantNames[v], Version: digest(v), Bucket: uint8(cell / 3),
				Requests: 5, Labels: map[string]uint64{"good": 3, "bad": 2},
			}
			for i := range t.Requests {
				micros := 900 + (uint64(cell)*977+i*7919)%5000
				t.Micros += micros
				t.Latency.Add(float64(micros))
			}
			records = append(records, event.Record{Tally: t})
		}
	}
	return records
}
