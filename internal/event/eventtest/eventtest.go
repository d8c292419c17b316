// Package eventtest tests that what keeps records keeps the promises of event.Log.
package eventtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Harness makes the logs to test.
type Harness struct {
	// Open returns a new, empty log, which is closed when t ends.
	Open func(t *testing.T) event.Log
	// Reopen closes a log that Open or Reopen returned, and opens it again.
	Reopen func(t *testing.T, l event.Log) event.Log
}

// RunLog runs the suite.
func RunLog(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"an empty log has nothing":                   emptyLog,
		"records come back whole and in order":       wholeAndInOrder,
		"a read goes on where the one before ended":  goesOn,
		"the offset of an append is behind it":       offsetIsBehind,
		"a refused record keeps the others out":      allOrNone,
		"an error of the caller stops before it":     callerStops,
		"a done context appends and reads nothing":   doneContext,
		"what was appended is there after reopening": reopened,
		"writers at the same time lose nothing":      manyWriters,
		"a reader beside writers sees each once":     readerBesideWriters,
		"large records and many at once":             large,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

// Outcome returns an outcome with the id that writer and number make.
func Outcome(writer, number int) event.Record {
	return event.Record{Outcome: &event.Outcome{
		ID: fmt.Sprintf("%d/%d", writer, number), Kind: "click", Number: float64(number), ReceivedAt: time.Unix(1.8e9, int64(number)).UTC(),
	}}
}

// Writer returns what Outcome was given.
func Writer(r event.Record) (writer, number int, err error) {
	if r.Outcome == nil {
		return 0, 0, fmt.Errorf("a record of kind %v, not an outcome", r.Kind())
	}
	_, err = fmt.Sscanf(r.Outcome.ID, "%d/%d", &writer, &number)
	return writer, number, err
}

// Samples returns a record of each kind that the first version wrote, and of one that nobody knows.
func Samples() []event.Record {
	at := time.Unix(1.8e9, 123456789).UTC()
	tally := &event.Tally{From: at, To: at.Add(time.Second), Service: "s", Variant: "stable", Requests: 3, Labels: map[string]uint64{"a": 2, "b": 1}}
	tally.Latency.AddN(250, 3)
	return []event.Record{
		{Decision: &event.Decision{ID: event.ID{1, 2, 3}, At: at, Service: "s", Assigned: "stable", Answered: "stable", Score: math.NaN(), Propensity: 0.9}},
		{Tally: tally},
		Outcome(1, 2),
		{Unknown: &event.Unknown{Kind: 200, Version: 7, Body: []byte("from a later version")}},
	}
}

// ShadowSamples returns a record of each kind that is written of shadows.
func ShadowSamples() []event.Record {
	at := time.Unix(1.8e9, 123456789).UTC()
	return []event.Record{
		{Comparison: &event.Comparison{From: at, To: at.Add(time.Second), Service: "s", Shadow: "next", Primary: "stable", Buckets: []event.ComparisonBucket{{Bucket: 7, Pairs: 3}}}},
		{Disagreement: &event.Disagreement{Decision: event.ID{1, 2, 3}, At: at, Service: "s", Shadow: "next", Primary: "stable", Overlap: math.NaN()}},
	}
}

// Diff tells how two records differ, "" if they do not.
func Diff(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateNaNs()) }

func appendTo(t *testing.T, l event.Log, records ...event.Record) event.Offset {
	t.Helper()
	end, err := l.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// ReadAll reads the whole log from an offset, at most max records at a time, and checks that offsets grow.
func ReadAll(t *testing.T, l event.Log, from event.Offset, max int) (records []event.Record, offsets []event.Offset) {
	t.Helper()
	for {
		n := 0
		next, err := l.Read(t.Context(), from, max, func(at event.Offset, r event.Record) error {
			if at < from || len(offsets) > 0 && at <= offsets[len(offsets)-1] {
				t.Errorf("offset %d comes after %v, read from %d", at, offsets, from)
			}
			records, offsets = append(records, r), append(offsets, at)
			n++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n > max {
			t.Fatalf("%d records, more than %d", n, max)
		}
		if next == from {
			return records, offsets
		}
		if next < from || len(offsets) > 0 && next <= offsets[len(offsets)-1] {
			t.Fatalf("to go on from %d after %d, with records at %v", next, from, offsets)
		}
		from = next
	}
}

func emptyLog(t *testing.T, h Harness) {
	l := h.Open(t)
	records, _ := ReadAll(t, l, 0, 10)
	if len(records) != 0 || l.End() != 0 {
		t.Errorf("%d records, end %d", len(records), l.End())
	}
	if end, err := l.Append(t.Context()); err != nil || end != 0 {
		t.Errorf("appending nothing: %d, %v", end, err)
	}
}

func wholeAndInOrder(t *testing.T, h Harness) {
	l := h.Open(t)
	want := append(Samples(), append(ShadowSamples(), Samples()...)...)
	appendTo(t, l, want[:3]...)
	for _, r := range want[3:] {
		appendTo(t, l, r)
	}
	got, _ := ReadAll(t, l, 0, math.MaxInt)
	if diff := Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func goesOn(t *testing.T, h Harness) {
	l := h.Open(t)
	var want []event.Record
	for i := range 20 {
		want = append(want, Outcome(0, i))
		appendTo(t, l, Outcome(0, i))
	}
	for max := 1; max <= 21; max++ {
		got, offsets := ReadAll(t, l, 0, max)
		if diff := Diff(want, got); diff != "" {
			t.Errorf("%d at a time: %s", max, diff)
		}
		for i, at := range offsets {
			if rest, _ := ReadAll(t, l, at, max); len(rest) != len(want)-i {
				t.Errorf("from record %d there are %d more", i, len(rest))
			}
		}
	}
	if next, err := l.Read(t.Context(), 0, 0, nil); err != nil || next != 0 {
		t.Errorf("reading nothing: %d, %v", next, err)
	}
}

func offsetIsBehind(t *testing.T, h Harness) {
	l := h.Open(t)
	for i := range 5 {
		end := appendTo(t, l, Outcome(0, i), Outcome(1, i))
		if l.End() < end {
			t.Errorf("the end %d is before %d", l.End(), end)
		}
		if rest, _ := ReadAll(t, l, end, 10); len(rest) != 0 {
			t.Errorf("behind append %d there is %v", i, rest)
		}
		appendTo(t, l, Outcome(2, i))
		rest, _ := ReadAll(t, l, end, 10)
		if diff := Diff([]event.Record{Outcome(2, i)}, rest); diff != "" {
			t.Errorf("behind append %d: %s", i, diff)
		}
	}
}

func allOrNone(t *testing.T, h Harness) {
	l := h.Open(t)
	appendTo(t, l, Outcome(0, 0))
	for name, bad := range map[string]event.Record{
		"no kind":       {},
		"several kinds": {Outcome: &event.Outcome{}, Tally: &event.Tally{}},
	} {
		if _, err := l.Append(t.Context(), Outcome(0, 1), bad, Outcome(0, 2)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if records, _ := ReadAll(t, l, 0, 10); len(records) != 1 {
		t.Errorf("there are %d records", len(records))
	}
}

func callerStops(t *testing.T, h Harness) {
	l := h.Open(t)
	appendTo(t, l, Outcome(0, 0), Outcome(0, 1), Outcome(0, 2))
	boom := errors.New("boom")
	next, err := l.Read(t.Context(), 0, 10, func(_ event.Offset, r event.Record) error {
		if _, n, _ := Writer(r); n == 1 {
			return boom
		}
		return nil
	})
	if err != boom { //nolint:errorlint // the very error is promised
		t.Errorf("got %v", err)
	}
	rest, _ := ReadAll(t, l, next, 10)
	if diff := Diff([]event.Record{Outcome(0, 1), Outcome(0, 2)}, rest); diff != "" {
		t.Error(diff)
	}
}

func doneContext(t *testing.T, h Harness) {
	l := h.Open(t)
	appendTo(t, l, Outcome(0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, Outcome(0, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	next, err := l.Read(ctx, 0, 10, func(event.Offset, event.Record) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %d, %v", next, err)
	}
	if records, _ := ReadAll(t, l, 0, 10); len(records) != 1 {
		t.Errorf("there are %d records", len(records))
	}
}

func reopened(t *testing.T, h Harness) {
	l := h.Open(t)
	var want []event.Record
	for round := range 4 {
		for i := range 10 {
			want = append(want, Outcome(round, i))
			appendTo(t, l, Outcome(round, i))
		}
		end := l.End()
		_, before := ReadAll(t, l, 0, 7)
		l = h.Reopen(t, l)
		got, after := ReadAll(t, l, 0, 7)
		if diff := Diff(want, got) + Diff(before, after); diff != "" {
			t.Fatalf("round %d: %s", round, diff)
		}
		if l.End() < end {
			t.Errorf("round %d: the end %d was %d", round, l.End(), end)
		}
	}
}

const writers, each = 16, 50

// write appends each outcomes from each of the writers at the same time, some alone and some in threes.
func write(t *testing.T, l event.Log) {
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := 0; i < each; {
				n := min(1+2*(i%2), each-i)
				var records []event.Record
				for range n {
					records = append(records, Outcome(w, i))
					i++
				}
				if _, err := l.Append(t.Context(), records...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// ordered checks that records hold what write appended, of each writer in order.
func ordered(t *testing.T, records []event.Record) {
	t.Helper()
	var next [writers]int
	for _, r := range records {
		w, n, err := Writer(r)
		if err != nil || w < 0 || w >= len(next) || n != next[w] {
			t.Fatalf("record %d of writer %d, %v, where these are next: %v", n, w, err, next)
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("writer %d: %d records of %d", w, n, each)
		}
	}
}

func manyWriters(t *testing.T, h Harness) {
	l := h.Open(t)
	write(t, l)
	records, _ := ReadAll(t, l, 0, 100)
	ordered(t, records)
	l = h.Reopen(t, l)
	records, _ = ReadAll(t, l, 0, 100)
	ordered(t, records)
}

func readerBesideWriters(t *testing.T, h Harness) {
	l := h.Open(t)
	var records []event.Record
	read := make(chan error, 1)
	go func() {
		from := event.Offset(0)
		for len(records) < writers*each {
			next, err := l.Read(t.Context(), from, 13, func(_ event.Offset, r event.Record) error {
				records = append(records, r)
				return nil
			})
			if err != nil {
				read <- err
				return
			}
			from = next
		}
		read <- nil
	}()
	write(t, l)
	if t.Failed() {
		return // the reader waits for what does not come; it ends with the context of t
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	ordered(t, records)
}

func large(t *testing.T, h Harness) {
	l := h.Open(t)
	var want []event.Record
	for _, size := range []int{1, 60, 63, 64, 100, 127, 128, 16_300, 16_400, 100_000, 900_000} {
		r := Outcome(0, size)
		r.Outcome.Text = strings.Repeat("x", size)
		want = append(want, r)
	}
	for _, r := range want {
		appendTo(t, l, r)
	}
	appendTo(t, l, want...)
	got, _ := ReadAll(t, l, 0, 5)
	if diff := Diff(append(want, want...), got); diff != "" {
		t.Error("large records differ")
	}
}
