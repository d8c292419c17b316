package eventtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Options say what is tested.
type Options struct {
	// Open gives a new, empty log. It is closed by a Cleanup.
	Open func(t *testing.T) event.Log
	// Reopen closes what Open gave, or what it gave itself, and opens the same log again. nil if a log cannot be opened again.
	Reopen func(t *testing.T, l event.Log) event.Log
	// Trim makes retention remove some of the oldest records of a log that has thousands, or nil.
	Trim func(t *testing.T, l event.Log)
}

// Run checks a log.
func Run(t *testing.T, o Options) {
	t.Run("an empty log has no records", func(t *testing.T) {
		l := o.Open(t)
		if all := mustRead(t, l, 0); len(all) != 0 {
			t.Errorf("got %v", ids(all))
		}
		if end, err := l.Append(t.Context()); err != nil || end != l.End() {
			t.Errorf("append nothing: %d, %v; the end is %d", end, err, l.End())
		}
	})
	t.Run("records of all kinds come back in order", func(t *testing.T) { runKinds(t, o) })
	t.Run("the offset behind an append is where the next begins", func(t *testing.T) { runOffsets(t, o) })
	t.Run("what is no record is Invalid and nothing is written", func(t *testing.T) { runInvalid(t, o) })
	t.Run("a read takes at most so many and goes on", func(t *testing.T) { runLimit(t, o) })
	t.Run("an error of the user's ends the read where it was", func(t *testing.T) { runUse(t, o) })
	t.Run("the user may read and append", func(t *testing.T) { runNested(t, o) })
	t.Run("a context that is done ends the call", func(t *testing.T) { runContext(t, o) })
	t.Run("from behind the end is an error", func(t *testing.T) {
		l := o.Open(t)
		end := mustAppend(t, l, Outcome("a"))
		if next, err := l.Read(t.Context(), end+1000, 1, func(event.Offset, event.Record) error { return nil }); err == nil || next != end+1000 {
			t.Errorf("got %d, %v", next, err)
		}
	})
	t.Run("large records", func(t *testing.T) { runLarge(t, o) })
	t.Run("many writers and readers at once", func(t *testing.T) { runMany(t, o) })
	if o.Reopen != nil {
		t.Run("all is there after it was closed", func(t *testing.T) { runReopen(t, o) })
	}
	if o.Trim != nil {
		t.Run("what retention removed is gone", func(t *testing.T) { runGone(t, o) })
	}
}

func runKinds(t *testing.T, o Options) {
	l := o.Open(t)
	want := Records()
	mustAppend(t, l, want[0])
	mustAppend(t, l, want[1:]...)
	got := mustRead(t, l, 0)
	if len(got) != len(want) {
		t.Fatalf("%d records were appended, %d read", len(want), len(got))
	}
	for i := range want {
		if !Same(got[i].Record, want[i]) {
			t.Errorf("record %d: got %+v, want %+v", i, got[i].Record, want[i])
		}
	}
}

func runOffsets(t *testing.T, o Options) {
	l := o.Open(t)
	ends := []event.Offset{0}
	var want []string
	for i := range 50 {
		id := fmt.Sprint(i)
		want = append(want, id)
		end := mustAppend(t, l, Outcome(id))
		if end <= ends[i] || l.End() != end {
			t.Fatalf("append %d ends at %d, the log at %d; the one before ended at %d", i, end, l.End(), ends[i])
		}
		ends = append(ends, end)
	}
	for i, from := range ends {
		if got := ids(mustRead(t, l, from)); !slices.Equal(got, want[i:]) {
			t.Errorf("from %d: got %v, want %v", from, got, want[i:])
		}
	}
	for i, r := range mustRead(t, l, 0) { // a record's own place will do as well
		if got := ids(mustRead(t, l, r.At)); !slices.Equal(got, want[i:]) {
			t.Errorf("from the place %d: got %v, want %v", r.At, got, want[i:])
		}
	}
}

func runInvalid(t *testing.T, o Options) {
	l := o.Open(t)
	end := mustAppend(t, l, Outcome("a"))
	two := Outcome("b")
	two.Decision = Decision(1).Decision
	for _, wrong := range []event.Record{{}, two} {
		if _, err := l.Append(t.Context(), Outcome("c"), wrong); fault.KindOf(err) != fault.Invalid {
			t.Errorf("got %v", err)
		}
	}
	if got := ids(mustRead(t, l, 0)); !slices.Equal(got, []string{"a"}) || l.End() != end {
		t.Errorf("got %v, the end at %d", got, l.End())
	}
}

func runLimit(t *testing.T, o Options) {
	l := o.Open(t)
	for i := range 20 {
		mustAppend(t, l, Outcome(fmt.Sprint(i)), Outcome(fmt.Sprint(i, "b")))
	}
	want := ids(mustRead(t, l, 0))
	for _, limit := range []int{1, 3, 7, 40, 1000} {
		var got []string
		for from := event.Offset(0); ; {
			n := 0
			next, err := l.Read(t.Context(), from, limit, func(_ event.Offset, r event.Record) error {
				n++
				got = append(got, r.Outcome.ID)
				return nil
			})
			if err != nil || n > limit {
				t.Fatalf("at most %d: %d, %v", limit, n, err)
			}
			if next == from {
				break
			}
			from = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("at most %d: got %v", limit, got)
		}
	}
}

func runUse(t *testing.T, o Options) {
	l := o.Open(t)
	for i := range 10 {
		mustAppend(t, l, Outcome(fmt.Sprint(i)))
	}
	enough := errors.New("enough")
	var got []string
	next, err := l.Read(t.Context(), 0, 100, func(_ event.Offset, r event.Record) error {
		if len(got) == 4 {
			return enough
		}
		got = append(got, r.Outcome.ID)
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
	if got = append(got, ids(mustRead(t, l, next))...); strings.Join(got, "") != "0123456789" {
		t.Errorf("got %v", got)
	}
}

func runNested(t *testing.T, o Options) {
	l := o.Open(t)
	mustAppend(t, l, Outcome("a"), Outcome("b"))
	if _, err := l.Read(t.Context(), 0, 2, func(_ event.Offset, r event.Record) error {
		mustAppend(t, l, Outcome(r.Outcome.ID+"'"))
		mustRead(t, l, 0)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := ids(mustRead(t, l, 0)); !slices.Equal(got, []string{"a", "b", "a'", "b'"}) {
		t.Errorf("got %v", got)
	}
}

func runContext(t *testing.T, o Options) {
	l := o.Open(t)
	mustAppend(t, l, Outcome("a"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(gone, Outcome("late")); !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	if next, err := l.Read(gone, 0, 1, func(event.Offset, event.Record) error { return nil }); !errors.Is(err, context.Canceled) || next != 0 {
		t.Errorf("read: %d, %v", next, err)
	}
	if got := ids(mustRead(t, l, 0)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v", got)
	}
}

func runLarge(t *testing.T, o Options) {
	l := o.Open(t)
	var want []event.Record
	for _, size := range []int{0, 1, 127, 128, 16 << 10, 300 << 10, 900 << 10, 3} {
		r := Outcome("large")
		r.Outcome.Text = strings.Repeat("x", size)
		want = append(want, r)
		mustAppend(t, l, r)
	}
	huge := Outcome("huge")
	huge.Outcome.Text = strings.Repeat("x", 64<<20)
	if _, err := l.Append(t.Context(), huge); fault.KindOf(err) != fault.Invalid {
		t.Errorf("64 MiB: got %v", err)
	}
	got := mustRead(t, l, 0)
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !Same(got[i].Record, want[i]) {
			t.Errorf("record %d of %d bytes is another, of %d", i, len(want[i].Outcome.Text), len(got[i].Record.Outcome.Text))
		}
	}
}
