// Package eventtest holds the suite that every event.Log passes (Run) and what its tests are made of.
package eventtest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// epoch is when the records happen.
var epoch = time.Date(2026, 11, 21, 7, 30, 0, 0, time.UTC)

// Outcome returns an outcome with the id. Two with different ids are different, one with an id is always the same.
func Outcome(id string) event.Record {
	return event.Record{Outcome: &event.Outcome{
		ID: id, Decision: event.ID{1: 0x9a, 6: 0x70, 8: 0x80, 15: byte(len(id))}, Kind: "label", Text: "positive", IsText: true,
		ReceivedAt: epoch, DecidedAt: epoch, Service: "sentiment", Variant: "stable", Propensity: 0.8,
	}}
}

// Decision returns a decision as a service of two variants makes it, of some 110 bytes.
func Decision(n int) event.Record {
	return event.Record{Decision: &event.Decision{
		ID: event.ID{1: 0x9a, 6: 0x70, 8: 0x80, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}, At: epoch,
		Service: "sentiment", Epoch: 3, PolicyVersion: 17, Generation: 1, Unit: "5f1c8a90b3d24e6789abcdef01234567",
		Assigned: "stable", Answered: "stable", Version: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		Propensity: 0.8, Status: 200, Micros: 873, Label: "positive", Score: 0.973,
	}}
}

// Records returns one record of each kind, and one that this version does not know.
func Records() []event.Record {
	tally := &event.Tally{
		From: epoch, To: epoch.Add(time.Second), Service: "sentiment", Epoch: 3, Variant: "canary", Bucket: 63, Requests: 1000,
		Errors: [event.NumClasses]uint64{1, 2, 3, 4}, Micros: 1 << 40, Labels: map[string]uint64{"negative": 400, "positive": 600},
	}
	tally.Latency.AddN(800, 1000)
	ranking := Decision(1)
	ranking.Decision.Rank, ranking.Decision.Score = true, math.NaN()
	ranking.Decision.Slots = []event.Slot{{Slot: 1, Arm: "a", Propensity: 0.25}}
	return []event.Record{
		Decision(0), ranking, {Tally: tally}, Outcome("o"), {Unknown: &event.Unknown{Kind: 99, Version: 7, Body: []byte("later")}},
	}
}

// Read is a record and where it was found.
type Read struct {
	At     event.Offset
	Record event.Record
}

// ID returns the id of an outcome, or what else it is.
func (r Read) ID() string {
	if r.Record.Outcome == nil {
		return fmt.Sprintf("a record of kind %s", r.Record.Kind())
	}
	return r.Record.Outcome.ID
}

// ReadAll reads from an offset to the end, at most a few records a call, and returns where it ended.
func ReadAll(ctx context.Context, l event.Log, from event.Offset) (all []Read, end event.Offset, err error) {
	for {
		next, err := l.Read(ctx, from, 100, func(at event.Offset, r event.Record) error {
			all = append(all, Read{at, r})
			return nil
		})
		if err != nil || next == from {
			return all, next, err
		}
		from = next
	}
}

// Same tells whether two records are the same.
func Same(a, b event.Record) bool {
	return bytes.Equal(event.AppendRecord(nil, a), event.AppendRecord(nil, b))
}

// mustRead is ReadAll, and checks that places and the end grow.
func mustRead(t *testing.T, l event.Log, from event.Offset) []Read {
	t.Helper()
	all, end, err := ReadAll(t.Context(), l, from)
	if err != nil {
		t.Fatalf("read from %d: %v", from, err)
	}
	for i, r := range all {
		if r.At < from || i > 0 && r.At <= all[i-1].At || r.At >= end {
			t.Fatalf("record %d of %d is at %d, between %d and %d", i, len(all), r.At, from, end)
		}
	}
	return all
}

func mustAppend(t *testing.T, l event.Log, records ...event.Record) event.Offset {
	t.Helper()
	end, err := l.Append(t.Context(), records...)
	if err != nil {
		t.Fatalf("append %d records: %v", len(records), err)
	}
	return end
}

func ids(all []Read) (ids []string) {
	for _, r := range all {
		ids = append(ids, r.ID())
	}
	return ids
}
