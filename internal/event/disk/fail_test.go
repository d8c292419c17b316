package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

// clock gives a time that is one second later each time.
func clock() func() time.Time {
	now := time.Unix(1_800_000_000, 0)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

// session does a bit of all that a log does. It returns the ids that were acknowledged, and the errors.
func session(m *memory) (acknowledged []string, errs []error) {
	ctx := context.Background()
	note := func(err error) bool {
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	for round := range 4 {
		l, err := Open(Options{FS: m, SegmentBytes: 400, Now: clock(), Retain: Retain{Bytes: 2000}})
		if !note(err) {
			continue
		}
		for i := range 12 {
			id := fmt.Sprintf("%d-%d", round, i)
			if _, err := l.Append(ctx, eventtest.Outcome(id)); note(err) {
				acknowledged = append(acknowledged, id)
			}
		}
		_, _, err = eventtest.ReadAll(ctx, l, l.Oldest())
		note(err)
		_, err = l.Seek(ctx, time.Unix(1_800_000_005, 0))
		note(err)
		report, err := l.Verify(ctx)
		note(err)
		if len(report.Damage) > 0 {
			note(report.Damage[0])
		}
		_, err = l.Trim()
		note(err)
		note(l.Close())
	}
	return acknowledged, errs
}

// TestFaultOfAnyCallIsSurvived fails the n-th call of the file system, for each n. One call fails, or that and the two behind it.
func TestFaultOfAnyCallIsSurvived(t *testing.T) {
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
		for length := 1; length <= 3; length += 2 {
			t.Run(fmt.Sprintf("%v of %d", failure, length), func(t *testing.T) {
				for n := 1; ; n++ {
					m, calls, failed := newMemory(uint64(n)), 0, ""
					m.before = func(op, name string) error {
						if calls++; calls >= n && calls < n+length {
							failed += op + " " + name + " "
							return failure
						}
						return nil
					}
					acknowledged, errs := session(m)
					if failed == "" {
						if len(errs) > 0 || n < 100 {
							t.Fatalf("%d calls, and without a failure: %v", calls, errs)
						}
						return
					}
					m.before = nil
					checkSurvived(t, m, acknowledged, errs, failure, fmt.Sprintf("call %d, %s", n, failed))
				}
			})
		}
	}
}

func checkSurvived(t *testing.T, m *memory, acknowledged []string, errs []error, failure error, call string) {
	t.Helper()
	if len(errs) > 4 || len(acknowledged) < 9 {
		t.Errorf("%s: %d acknowledged, errors: %v", call, len(acknowledged), errs)
	}
	for _, err := range errs {
		if strings.Contains(err.Error(), "/secret") {
			t.Errorf("%s: the error tells a path of the machine: %v", call, err)
		}
		if errors.Is(failure, syscall.ENOSPC) && strings.Contains(err.Error(), "append") && (!errors.Is(err, event.ErrFull) || fault.KindOf(err) != fault.Unavailable) {
			t.Errorf("%s: %v", call, err)
		}
	}
	l := open(t, Options{FS: m, Now: clock()})
	report, err := l.Verify(t.Context())
	if err != nil || len(report.Damage) > 0 || len(l.Recovered().Damage) > 0 {
		t.Errorf("%s: %v, damage: %v, %v", call, err, report.Damage, l.Recovered().Damage)
	}
	got, _, err := eventtest.ReadAll(t.Context(), l, l.Oldest())
	if err != nil {
		t.Errorf("%s: then reading gives %v", call, err)
	}
	var ids []string
	for _, r := range got {
		ids = append(ids, r.ID())
	}
	if len(acknowledged) == 0 || len(got) == 0 {
		return
	}
	var kept []string // those of ids that were acknowledged; the oldest may be removed
	for _, id := range ids {
		if slices.Contains(acknowledged, id) {
			kept = append(kept, id)
		}
	}
	if want := acknowledged[max(0, len(acknowledged)-len(kept)):]; !slices.Equal(kept, want) || len(kept) < 8 {
		t.Errorf("%s: %v are there, %v were acknowledged", call, ids, acknowledged)
	}
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	m := newMemory(1)
	l := open(t, Options{FS: m, SegmentBytes: 1000, Now: clock()})
	var want []string
	add := func(id string) error {
		_, err := l.Append(t.Context(), long(id, 100))
		if err == nil {
			want = append(want, id)
		}
		return err
	}
	check := func() {
		t.Helper()
		got, end, err := eventtest.ReadAll(t.Context(), l, 0)
		if err != nil || end != l.End() || len(got) != len(want) {
			t.Fatalf("%d records of %d, up to %d of %d, %v", len(got), len(want), end, l.End(), err)
		}
		for i, r := range got {
			if r.ID() != want[i] {
				t.Errorf("record %d is %s, want %s", i, r.ID(), want[i])
			}
		}
	}
	m.room = 4000
	for round := range 5 {
		for i := 0; ; i++ {
			err := add(fmt.Sprintf("%d-%d", round, i))
			if err == nil {
				continue
			}
			if !errors.Is(err, event.ErrFull) || fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) == "" || i < 5 {
				t.Fatalf("after %d: %v", i, err)
			}
			break
		}
		end, used := l.End(), m.used()
		for range 10 {
			if err := add("refused"); !errors.Is(err, event.ErrFull) {
				t.Fatalf("got %v", err)
			}
		}
		if l.End() != end || m.used() > used {
			t.Errorf("what was refused moved the end from %d to %d and takes %d bytes", end, l.End(), m.used()-used)
		}
		check()
		m.room += 1500 + 211*round
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m.room = 0
	l = open(t, Options{FS: m, Now: clock()})
	check()
}

func TestFileWhoseSyncFailedIsNotWrittenAgain(t *testing.T) {
	m := newMemory(1)
	l := open(t, Options{FS: m, Now: clock()})
	add := func(id string) error {
		_, err := l.Append(t.Context(), eventtest.Outcome(id))
		return err
	}
	if err := errors.Join(add("a"), add("b")); err != nil {
		t.Fatal(err)
	}
	end, failed := l.End(), ""
	m.before = func(op, name string) error {
		if op == "sync" && failed == "" {
			failed = name
			return syscall.EIO
		}
		if failed != "" && name == segmentName(0) && (op == "write" || op == "sync" || op == "truncate") {
			t.Errorf("%s of the file that failed", op)
		}
		return nil
	}
	if err := add("lost"); !errors.Is(err, syscall.EIO) || fault.KindOf(err) != fault.Internal {
		t.Fatalf("got %v", err)
	}
	if l.End() != end {
		t.Errorf("the end moved from %d to %d", end, l.End())
	}
	if err := add("c"); err != nil || l.Oldest() != 0 || len(l.segments) != 2 {
		t.Fatalf("%v, %d segments", err, len(l.segments))
	}
	m.lose()
	l = open(t, Options{FS: m, Now: clock()})
	got, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if err != nil || len(got) != 3 || got[0].ID() != "a" || got[1].ID() != "b" || got[2].ID() != "c" {
		t.Errorf("got %v, %v", got, err)
	}
}
