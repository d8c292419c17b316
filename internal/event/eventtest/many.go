package eventtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/serin-ml/serin/internal/event"
)

// runMany has writers that append one to three records a time, and readers that follow. All readers must see the same, each record once,
// those of one Append together and those of one writer in order.
func runMany(t *testing.T, o Options) {
	const writers, readers, appends = 16, 4, 100
	l := o.Open(t)
	var wrote, read sync.WaitGroup
	for w := range writers {
		wrote.Go(func() {
			for i := range appends {
				var records []event.Record
				for part := range 1 + i%3 {
					records = append(records, Outcome(fmt.Sprintf("%d-%d-%d", w, i, part)))
				}
				end, err := l.Append(t.Context(), records...)
				if err != nil || l.End() < end {
					t.Errorf("append %d of writer %d: %d, %v; the end is %d", i, w, end, err, l.End())
					return
				}
			}
		})
	}
	finished := make(chan struct{})
	seen := make([][]string, readers)
	for r := range readers {
		read.Go(func() {
			for from := event.Offset(0); ; {
				last := false
				select {
				case <-finished:
					last = true
				default:
				}
				all, end, err := ReadAll(t.Context(), l, from)
				if err != nil {
					t.Errorf("reader %d: %v", r, err)
					return
				}
				seen[r] = append(seen[r], ids(all)...)
				if from = end; last {
					return
				}
			}
		})
	}
	wrote.Wait()
	close(finished)
	read.Wait()

	CheckSequence(t, seen[0], func(w int) int { return appends }, writers)
	for r := 1; r < readers; r++ {
		if !slices.Equal(seen[r], seen[0]) {
			t.Errorf("readers 0 and %d saw different logs", r)
		}
	}
}

// CheckSequence checks ids of the form writer-append-part, where append i has 1 + i%3 parts: each is there once, parts of one append are
// together, and those of a writer are in order. atLeast tells how many appends of a writer must be there; more may be.
func CheckSequence(t *testing.T, got []string, atLeast func(writer int) int, writers int) {
	t.Helper()
	next := make([]int, writers)
	for i := 0; i < len(got); {
		var w, n, part int
		if _, err := fmt.Sscanf(got[i], "%d-%d-%d", &w, &n, &part); err != nil || part != 0 || w < 0 || w >= writers {
			t.Errorf("record %d is %q, which does not begin an append", i, got[i])
			return
		}
		if n != next[w] {
			t.Errorf("append %d of writer %d is there, and %d should be next", n, w, next[w])
			return
		}
		for ; part < 1+n%3; part, i = part+1, i+1 {
			if want := fmt.Sprintf("%d-%d-%d", w, n, part); i >= len(got) || got[i] != want {
				t.Errorf("record %d should be %s: %s", i, want, strings.Join(got[max(0, i-2):min(len(got), i+2)], " "))
				return
			}
		}
		next[w]++
	}
	for w, n := range next {
		if n < atLeast(w) {
			t.Errorf("%d appends of writer %d are there, want %d", n, w, atLeast(w))
		}
	}
}

func runReopen(t *testing.T, o Options) {
	l := o.Open(t)
	var want []string
	for round := range 4 {
		for i := range 5 {
			id := fmt.Sprintf("%d-%d", round, i)
			want = append(want, id)
			mustAppend(t, l, Outcome(id))
		}
		before, end := mustRead(t, l, 0), l.End()
		l = o.Reopen(t, l)
		after := mustRead(t, l, 0)
		if !slices.Equal(ids(after), want) || l.End() != end {
			t.Fatalf("got %v, the end at %d; want %v, %d", ids(after), l.End(), want, end)
		}
		for i := range before {
			if before[i].At != after[i].At {
				t.Errorf("%s was at %d and is at %d", before[i].ID(), before[i].At, after[i].At)
			}
		}
	}
	l = o.Reopen(t, o.Reopen(t, l)) // with nothing between
	if got := ids(mustRead(t, l, 0)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func runGone(t *testing.T, o Options) {
	l := o.Open(t)
	for i := range 400 {
		var ten []event.Record
		for j := range 10 {
			ten = append(ten, Outcome(fmt.Sprint(i, j)))
		}
		mustAppend(t, l, ten...)
	}
	before := mustRead(t, l, 0)
	o.Trim(t, l)
	_, err := l.Read(t.Context(), before[0].At, 1, func(event.Offset, event.Record) error { return nil })
	gone, ok := errors.AsType[*event.GoneError](err)
	if !ok || !errors.Is(err, event.ErrGone) || gone.From != before[0].At || gone.Oldest <= gone.From || gone.Oldest >= l.End() {
		t.Fatalf("got %v", err)
	}
	after := mustRead(t, l, gone.Oldest)
	if len(after) == 0 || len(after) >= len(before) || !slices.Equal(ids(after), ids(before[len(before)-len(after):])) {
		t.Errorf("of %d records, these are left: %d", len(before), len(after))
	}
	mustAppend(t, l, Outcome("then"))
	if got := mustRead(t, l, gone.Oldest); got[len(got)-1].ID() != "then" || len(got) != len(after)+1 {
		t.Errorf("an append after it is not there")
	}
}
