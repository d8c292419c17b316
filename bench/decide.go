package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
)

const (
	recordRounds = 21
	recordUsers  = 10_000
	recordTurn   = 25_000
	// What a server writes every 200 ms is written here at every so many requests, as at 25,000 or 1,000 of them a second.
	busy, calm = 5000, 200
)

// records measures what deciding and writing down add to a request: to a bare gateway, which decodes, asks a model that takes no time,
// and encodes.
func records(ctx context.Context) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	var logs [2]*disk.Log
	for i, name := range [...]string{"busy", "calm"} {
		if logs[i], err = openLog(filepath.Join(dir, name)); err != nil {
			return err
		}
		defer logs[i].Close()
	}
	policy, err := splitTraffic("reviews", false)
	if err != nil {
		return err
	}
	keys, err := event.NewKeys([32]byte{1, 2, 3})
	if err != nil {
		return err
	}
	var all []*answering
	for _, p := range []parts{
		{every: busy}, {policy: policy, every: busy}, {policy, keys, nil, busy}, {policy, keys, discard{}, busy}, {policy, keys, logs[0], busy},
		{policy, keys, logs[1], calm}, {every: busy},
	} {
		a, err := newAnswering(p)
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	rival, err := all[len(all)-1].withLines(filepath.Join(dir, "lines"))
	if err != nil {
		return err
	}
	defer rival.Close()
	took, err := answerAll(ctx, all)
	if err != nil {
		return err
	}
	var sizes [2]float64
	for i, log := range logs {
		if sizes[i], err = written(ctx, log, all[4+i].asked); err != nil {
			return err
		}
	}
	id, err := idTime()
	if err != nil {
		return err
	}
	fmt.Printf("\n### Decision, tally and token on a request\n\n| what | CPU a request | more than bare | requests/s | to reach |\n|---|---|---|---|---|\n")
	for i, what := range [...]string{
		"bare gateway: routed, decoded, a model of no cost, encoded", "variant, unit and bucket too", "and the token",
		"and tally and decision, for a log that keeps nothing", "**and the log on disk: all of it**", "all of it at 1,000 requests a second: more tallies and `fsync`s for each",
		"the rival: bare, and a line of JSON by `log/slog`, `fsync` as often",
	} {
		more, goal := "", ""
		if i > 0 {
			more = duration(added(took[0], took[i]))
		}
		if i == 4 || i == 5 {
			goal = "≤ 3 µs"
		}
		typically := typical(took[i])
		fmt.Printf("| %s | %s | %s | %.0f | %s |\n", what, duration(typically.cpu), more, 1/typically.elapsed, goal)
	}
	fmt.Printf("\nThe bare gateway makes the decision's id too: another %s. With tallies, the log took %.0f bytes a request at 25,000 a second, "+
		"%.0f at 1,000.\n", duration(id), sizes[0], sizes[1])
	return nil
}

// answerAll has all gateways answer a turn's requests in each round.
func answerAll(ctx context.Context, all []*answering) ([][]effort, error) {
	users := make([][]string, recordUsers)
	for i := range users {
		users[i] = []string{fmt.Sprintf("8d3a0c9e-41f2-4b8b-9a63-%012x", i*7919)}
	}
	var sides []func() (effort, error)
	for _, a := range all {
		sides = append(sides, func() (effort, error) {
			e, err := spend(func() error { return a.ask(ctx, users) })
			return e.per(recordTurn), err
		})
	}
	return contest("decision, tally and token", recordRounds, sides...)
}

// written returns the bytes of the log for each of the answers that were given, once it has seen that it holds them all.
func written(ctx context.Context, log event.Log, answers int) (float64, error) {
	decisions, tallied := 0, 0
	err := readAll(ctx, log, func(_ event.Offset, r event.Record) error {
		if r.Decision != nil {
			decisions++
		}
		if r.Tally != nil {
			tallied += int(r.Tally.Requests)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if decisions != answers || tallied != answers {
		return 0, fmt.Errorf("of %d answers, %d decisions are in the log and %d are tallied", answers, decisions, tallied)
	}
	return float64(log.End()) / float64(answers), nil
}

// readAll reads a log from its beginning to its end.
func readAll(ctx context.Context, log event.Log, use func(event.Offset, event.Record) error) error {
	for at := event.Offset(0); ; {
		next, err := log.Read(ctx, at, 8192, use)
		if err != nil || next == at {
			return err
		}
		at = next
	}
}

// idTime measures making an id.
func idTime() (float64, error) {
	const calls = 100
	ids := event.NewGenerator(rand.Reader)
	took, err := duel("ids", pickRounds, 1, side{run: func(int) error {
		for range calls {
			if _, err := ids.Next(time.Now()); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return took[0] / calls, nil
}

// discard is a log that keeps nothing.
type discard struct{}

// Append implements gateway.Log.
func (discard) Append(context.Context, ...event.Record) (event.Offset, error) { return 0, nil }

// withLines makes a write down a line of JSON for each answer, to be closed after use: what one does first. It is less than what Serin does:
// no token, no exact counts, and the variant by pickByHash.
func (a *answering) withLines(path string) (*os.File, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	buffer := bufio.NewWriterSize(f, 1<<16)
	lines, answer := slog.New(slog.NewJSONHandler(buffer, nil)), a.handler
	flush := func() error { return errors.Join(buffer.Flush(), f.Sync()) }
	a.write = func(context.Context) (_, _ func() error) { return flush, flush }
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		variant, _ := pickByHash(r)
		answer.ServeHTTP(w, r)
		var id [16]byte
		_, _ = rand.Read(id[:]) // it never fails
		lines.LogAttrs(r.Context(), slog.LevelInfo, "decision", slog.String("id", hex.EncodeToString(id[:])),
			slog.String("service", "reviews"), slog.String("variant", variantNames[variant]), slog.String("version", digest(variant)),
			slog.String("unit", r.Header.Get(userHeader)), slog.Float64("propensity", float64(shares[variant])/100),
			slog.Int("status", a.writer.status), slog.Int64("micros", time.Since(begin).Microseconds()),
			slog.String("label", "good"), slog.Float64("score", 0.8125))
	})
	return f, nil
}
