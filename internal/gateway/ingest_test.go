package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

func outcome(id string, value float64) event.Outcome {
	return event.Outcome{ID: id, Kind: kindReward, Number: value, ReceivedAt: testTime}
}

var testTime = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

func mustAdd(t *testing.T, in *Ingest, outcomes ...event.Outcome) []verdict {
	t.Helper()
	verdicts, err := in.add(t.Context(), outcomes)
	if err != nil {
		t.Fatal(err)
	}
	return verdicts
}

func want(t *testing.T, got []verdict, want ...verdict) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestTheFirstOutcomeWithAnIDWins(t *testing.T) {
	in, log, telemetry := newIngest(0)
	for _, when := range []string{"remembered", "read back", "after a restart"} {
		first := outcome(when, 1)
		want(t, mustAdd(t, in, first), accepted)
		switch when {
		case "read back":
			telemetry.catchUp()
		case "after a restart":
			telemetry.catchUp()
			in = ingestOf(log, telemetry, 0)
		}
		again := first
		again.At, again.ReceivedAt, again.Verified = testTime, testTime.Add(time.Hour), true
		want(t, mustAdd(t, in, again), duplicate)
		want(t, mustAdd(t, in, outcome(when, 0)), conflict)
		for name, change := range map[string]func(*event.Outcome){
			"kind":     func(o *event.Outcome) { o.Kind = kindRating },
			"slot":     func(o *event.Outcome) { o.Slot = 1 },
			"decision": func(o *event.Outcome) { o.Decision[15] = 1 },
			"text":     func(o *event.Outcome) { o.IsText, o.Text, o.Number = true, "1", 0 },
		} {
			other := first
			change(&other)
			if got := mustAdd(t, in, other); got[0] != conflict {
				t.Errorf("%s: another %s is %v", when, name, got)
			}
		}
		if n := len(log.all(when)); n != 1 {
			t.Errorf("%s: %d outcomes are stored", when, n)
		}
	}
}

func TestARequestIsOneAppend(t *testing.T) {
	in, log, _ := newIngest(0)
	want(t, mustAdd(t, in, outcome("a", 1), outcome("b", 2), outcome("a", 1), outcome("b", 3), outcome("c", 4)),
		accepted, accepted, duplicate, conflict, accepted)
	if log.appends != 1 || len(log.records) != 3 {
		t.Errorf("%d appends of %d records", log.appends, len(log.records))
	}
	want(t, mustAdd(t, in, outcome("a", 1), outcome("b", 3)), duplicate, conflict)
	if log.appends != 1 {
		t.Errorf("a repeat is written")
	}
}

// A batch may hold a value that the telemetry contradicts before one that repeats it.
func TestABatchIsJudgedByTheFirstOfAll(t *testing.T) {
	in, log, telemetry := newIngest(0)
	mustAdd(t, in, outcome("a", 1))
	telemetry.catchUp()
	in = ingestOf(log, telemetry, 0)
	want(t, mustAdd(t, in, outcome("a", 2), outcome("a", 1), outcome("a", 2)), conflict, duplicate, conflict)
}

func TestNothingIsTakenBeforeTheLogHasBeenReadBack(t *testing.T) {
	_, log, telemetry := newIngest(0)
	mustAdd(t, ingestOf(log, telemetry, 0), outcome("a", 1), outcome("b", 1))
	in := ingestOf(log, telemetry, 0)
	telemetry.applied.Store(1)
	if _, err := in.add(t.Context(), []event.Outcome{outcome("b", 2)}); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v", err)
	}
	telemetry.applied.Store(2)
	want(t, mustAdd(t, in, outcome("b", 2)), conflict)
}

func TestWhoComesSecondWaitsForTheFirst(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fail   error
		values [2]float64
		want   []verdict // of the second; nil: it fails as well
	}{
		{"a repeat", nil, [2]float64{1, 1}, []verdict{duplicate}},
		{"another value", nil, [2]float64{1, 2}, []verdict{conflict}},
		{"a repeat of what fails", io.ErrShortWrite, [2]float64{1, 1}, nil},
		{"another value than what fails", io.ErrShortWrite, [2]float64{1, 2}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, log, _ := newIngest(0)
				log.gate, log.fail = make(chan struct{}), tt.fail
				var errs [2]error
				var verdicts [2][]verdict
				var group sync.WaitGroup
				for i := range 2 {
					group.Go(func() { verdicts[i], errs[i] = in.add(t.Context(), []event.Outcome{outcome("a", tt.values[i])}) })
					synctest.Wait()
				}
				if verdicts[0] != nil || verdicts[1] != nil || errs[0] != nil || errs[1] != nil {
					t.Fatal("an answer before anything is durable")
				}
				close(log.gate)
				group.Wait()
				if tt.want == nil {
					if errs[0] == nil || errs[1] == nil || len(log.records) != 0 {
						t.Fatalf("%v, %v, %d records", errs[0], errs[1], len(log.records))
					}
					return
				}
				want(t, verdicts[0], accepted)
				want(t, verdicts[1], tt.want...)
				if len(log.records) != 1 {
					t.Errorf("%d records", len(log.records))
				}
			})
		})
	}
}

// Two batches that hold what the other wants must not wait for each other.
func TestBatchesInOppositeOrderDoNotDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, log, _ := newIngest(0)
		log.gate = make(chan struct{})
		var group sync.WaitGroup
		ids := [][]string{{"a", "b"}, {"b", "c", "a"}, {"c", "d", "b"}}
		count := atomic.Int64{}
		for _, list := range ids {
			group.Go(func() {
				var outcomes []event.Outcome
				for _, id := range list {
					outcomes = append(outcomes, outcome(id, 1))
				}
				for _, v := range mustAdd(t, in, outcomes...) {
					if v == accepted {
						count.Add(1)
					}
				}
			})
		}
		synctest.Wait()
		close(log.gate)
		group.Wait()
		if count.Load() != 4 || len(log.records) != 4 {
			t.Errorf("%d accepted, %d stored", count.Load(), len(log.records))
		}
	})
}

func TestWhoHangsUpWhileWaitingLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, log, _ := newIngest(0)
		log.gate = make(chan struct{})
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		var first []verdict
		var firstErr, secondErr error
		group.Go(func() { first, firstErr = in.add(ctx, []event.Outcome{outcome("a", 1)}) })
		synctest.Wait()
		group.Go(func() { _, secondErr = in.add(ctx, []event.Outcome{outcome("a", 1)}) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		if fault.KindOf(secondErr) != fault.Unavailable {
			t.Errorf("who waits for another is told %v", secondErr)
		}
		close(log.gate)
		group.Wait()
		if firstErr != nil {
			t.Fatalf("what was being written is told as %v", firstErr)
		}
		want(t, first, accepted)
		want(t, mustAdd(t, in, outcome("a", 2)), conflict)
	})
}

func TestWhatFailedMayBeSentAgain(t *testing.T) {
	full := fault.Unavailablef("no room: %w", event.ErrFull)
	for _, tt := range []struct {
		fail    error
		written bool
		status  int
	}{
		{io.ErrShortWrite, false, http.StatusServiceUnavailable},
		{io.ErrShortWrite, true, http.StatusServiceUnavailable},
		{full, false, http.StatusInsufficientStorage},
	} {
		in, log, telemetry := newIngest(0)
		log.fail, log.written = tt.fail, tt.written
		for range 2 {
			if _, err := in.add(t.Context(), []event.Outcome{outcome("a", 1)}); statusOf(err) != tt.status {
				t.Fatalf("%v: got %v", tt.fail, err)
			}
		}
		log.fail = nil
		// Another client gets there first. The value that may have been written counts all the same.
		want(t, mustAdd(t, in, outcome("a", 2)), conflict)
		want(t, mustAdd(t, in, outcome("a", 1)), duplicate)
		telemetry.catchUp()
		want(t, mustAdd(t, in, outcome("a", 1), outcome("a", 2)), duplicate, conflict)
		for _, o := range log.all("") {
			if o.Number != 1 {
				t.Errorf("another value was written: %v", o)
			}
		}
	}
}

// A doubt ends when a later record has been read back.
func TestADoubtEndsWithTheNextRecord(t *testing.T) {
	in, log, telemetry := newIngest(0)
	log.fail = io.ErrShortWrite
	if _, err := in.add(t.Context(), []event.Outcome{outcome("a", 1)}); err == nil {
		t.Fatal("no error")
	}
	log.fail = nil
	want(t, mustAdd(t, in, outcome("b", 1)), accepted)
	telemetry.catchUp()
	want(t, mustAdd(t, in, outcome("a", 2)), accepted)
	telemetry.catchUp()
	want(t, mustAdd(t, in, outcome("a", 1)), conflict)
	in.forget(telemetry.Applied())
	if len(in.entries) != 0 || len(in.oldest) != 0 {
		t.Errorf("%d entries and %d places are kept", len(in.entries), len(in.oldest))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const recent = 10
	in, log, telemetry := newIngest(recent)
	for i := range recent {
		mustAdd(t, in, outcome(fmt.Sprint(i), 1))
	}
	if _, err := in.add(t.Context(), []event.Outcome{outcome("0", 1), outcome("more", 1)}); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v", err)
	}
	want(t, mustAdd(t, in, outcome("0", 1)), duplicate)
	telemetry.catchUp()
	want(t, mustAdd(t, in, outcome("more", 1)), accepted)

	// A full disk does not fill the memory, is told as what it is, and is over when there is room.
	log.fail = event.ErrFull
	for i := range 5 * recent {
		if _, err := in.add(t.Context(), []event.Outcome{outcome(fmt.Sprint("full", i), 1)}); statusOf(err) != http.StatusInsufficientStorage {
			t.Fatalf("got %v", err)
		}
	}
	if len(in.entries) > recent+1 {
		t.Errorf("%d entries", len(in.entries))
	}
	for range 20 * recent { // clients that do as they are told
		if _, err := in.add(t.Context(), []event.Outcome{outcome("full0", 1)}); statusOf(err) != http.StatusInsufficientStorage {
			t.Fatalf("got %v", err)
		}
	}
	for i := range recent { // and those that repeat what the telemetry knows
		want(t, mustAdd(t, in, outcome(fmt.Sprint(i), 1)), duplicate)
	}
	if len(in.entries) > recent+1 {
		t.Errorf("%d entries", len(in.entries))
	}
	if len(in.oldest) > 2*recent {
		t.Errorf("%d places for %d entries", len(in.oldest), len(in.entries))
	}
	log.fail = nil
	want(t, mustAdd(t, in, outcome("room", 1)), accepted)
	telemetry.catchUp()
	want(t, mustAdd(t, in, outcome("again", 1)), accepted)
	if len(in.entries) != 1 || len(in.oldest) != 1 {
		t.Errorf("%d entries and %d places are kept", len(in.entries), len(in.oldest))
	}
}

func TestTelemetryThatFailsHoldsNothing(t *testing.T) {
	in, log, telemetry := newIngest(0)
	telemetry.fail = io.ErrUnexpectedEOF
	if _, err := in.add(t.Context(), []event.Outcome{outcome("a", 1), outcome("b", 1)}); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v", err)
	}
	telemetry.fail = nil
	if len(in.entries) != 0 || log.appends != 0 {
		t.Errorf("%d entries, %d appends", len(in.entries), log.appends)
	}
	want(t, mustAdd(t, in, outcome("a", 2)), accepted)
}

func TestADoubtOutlivesATelemetryThatFails(t *testing.T) {
	in, log, telemetry := newIngest(0)
	for _, fail := range []*error{&log.fail, &telemetry.fail} {
		*fail = io.ErrUnexpectedEOF
		if _, err := in.add(t.Context(), []event.Outcome{outcome("a", 1)}); err == nil {
			t.Fatal("no error")
		}
		*fail = nil
	}
	want(t, mustAdd(t, in, outcome("a", 2)), conflict)
}

func TestAPanicOfTheLogLeavesNobodyWaiting(t *testing.T) {
	in, log, _ := newIngest(0)
	log.panics = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_, _ = in.add(t.Context(), []event.Outcome{outcome("a", 1)})
	}()
	log.panics = false
	want(t, mustAdd(t, in, outcome("a", 2)), conflict) // what panicked may have been written
	want(t, mustAdd(t, in, outcome("a", 1)), duplicate)
}
