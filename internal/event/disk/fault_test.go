package disk

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

// attempt appends outcomes 0 to n-1 each alone, and returns which were acknowledged and the first error.
func attempt(l *Log, n int) (acked []int, first error) {
	for i := range n {
		if _, err := l.Append(context.Background(), eventtest.Outcome(0, i)); err == nil {
			acked = append(acked, i)
		} else if first == nil {
			first = err
		}
	}
	return acked, first
}

// TestEveryFailedCallLeavesTheLogSound fails the n-th call to the file system, for every n until none fails, with each error, once
// or from then on. What is acknowledged is there, at once and after opening again; where nothing fails any more, appending works.
func TestEveryFailedCallLeavesTheLogSound(t *testing.T) {
	kinds := map[syscall.Errno]fault.Kind{
		syscall.ENOSPC: fault.Unavailable, syscall.EDQUOT: fault.Unavailable, syscall.EACCES: fault.Unavailable, syscall.EIO: fault.Internal,
	}
	const records = 7
	for errno, kind := range kinds {
		for _, forever := range []bool{false, true} {
			for allowed := range 3 { // bytes of a failed write that get through: none, some, nearly all
				for n := 1; ; n++ {
					dir := t.TempDir()
					f, calls, failed := &failing{}, 0, ""
					o := fixed(Options{SegmentBytes: 250, Before: f.before})
					l := open(t, dir, o)
					f.fail = func(op, name string, size int) (int, error) {
						if calls++; calls < n || calls > n && !forever {
							return 0, nil
						}
						if failed == "" {
							failed = op + " " + name
						}
						return allowed * (size - 1) / 2, errno
					}
					acked, err := attempt(l, records)
					f.fail = nil
					if failed == "" {
						if err != nil || len(acked) != records || n < 20 {
							t.Fatalf("after %d calls none failed, but %v, %v", n-1, acked, err)
						}
						break
					}
					if fault.KindOf(err) != kind || !errors.Is(err, errno) || fault.HintOf(err) == "" || strings.Contains(err.Error(), ".log") {
						if !strings.HasPrefix(failed, "remove") { // which is no reason to refuse
							t.Fatalf("%v, call %d, %s: %v %v", errno, n, failed, fault.KindOf(err), err)
						}
					}
					if full := errno == syscall.ENOSPC || errno == syscall.EDQUOT; err != nil && errors.Is(err, event.ErrFull) != full {
						t.Errorf("%v, call %d, %s: %v", errno, n, failed, err)
					}
					if _, err := l.Append(context.Background(), eventtest.Outcome(0, records)); err != nil {
						t.Errorf("%v, call %d, %s: then %v", errno, n, failed, err)
					}
					acked = append(acked, records)
					if numbers, damage := survey(t, l); !slices.Equal(numbers, acked) || len(damage) > 0 {
						t.Errorf("%v, call %d, %s: %v acknowledged, %v read; %s", errno, n, failed, acked, numbers, describe(damage))
					}
					abandon(l)
					again := open(t, dir, fixed(Options{SegmentBytes: 250}))
					if numbers, damage := survey(t, again); !slices.Equal(numbers, acked) || len(damage) > 0 || again.Opening().Cut != nil {
						t.Errorf("%v, call %d, %s: %v acknowledged, opened again %v; %s", errno, n, failed, acked, numbers, describe(damage))
					}
					if report, err := again.Verify(context.Background()); err != nil || !allHarmless(report.Damage) {
						t.Errorf("%v, call %d, %s: %v; %s", errno, n, failed, err, describe(report.Damage))
					}
					abandon(again)
				}
			}
		}
	}
}

// allHarmless tells whether the damage is only what a failed flush leaves behind a segment's end.
func allHarmless(damage []*event.DamageError) bool {
	return !slices.ContainsFunc(damage, func(d *event.DamageError) bool { return !strings.Contains(d.What, "never acknowledged") })
}

func TestFullDiskRefusesAndRecoversAlone(t *testing.T) {
	f := &failing{}
	dir := t.TempDir()
	l := open(t, dir, Options{Before: f.before})
	add(t, l, 0, 3)
	end, size := l.End(), len(imageOf(t, dir)[fileName(0)])
	f.fail = func(op, _ string, size int) (int, error) {
		if op == "write" {
			return size / 2, syscall.ENOSPC
		}
		return 0, nil
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			_, err := l.Append(context.Background(), eventtest.Outcome(w, 0))
			if fault.KindOf(err) != fault.Unavailable || !errors.Is(err, event.ErrFull) || !strings.Contains(fault.HintOf(err), "free some space") {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if got := len(imageOf(t, dir)[fileName(0)]); got != size || l.End() != end {
		t.Errorf("the file has %d bytes, not %d; the end is %d, not %d", got, size, l.End(), end)
	}
	if numbers, _ := survey(t, l); !slices.Equal(numbers, upTo(3)) {
		t.Errorf("meanwhile %v is read", numbers)
	}
	f.fail = nil
	add(t, l, 3, 5)
	if numbers, _ := survey(t, l); !slices.Equal(numbers, upTo(5)) {
		t.Errorf("then %v is read", numbers)
	}
	if len(imageOf(t, dir)) != 1 {
		t.Error("a full disk began a segment")
	}
}

// After a failed flush nobody knows what the file holds: no later flush of it may acknowledge anything.
func TestFailedFlushEndsTheSegment(t *testing.T) {
	for _, truncates := range []bool{true, false} {
		f := &failing{}
		dir := t.TempDir()
		l := open(t, dir, Options{Before: f.before})
		add(t, l, 0, 2)
		end := l.End()
		f.fail = func(op, _ string, _ int) (int, error) {
			if op == "sync" || op == "truncate" && !truncates {
				return 0, syscall.EIO
			}
			return 0, nil
		}
		if _, err := l.Append(t.Context(), eventtest.Outcome(0, 99)); !errors.Is(err, syscall.EIO) || l.End() != end {
			t.Fatalf("%v, end %d", err, l.End())
		}
		f.fail = nil
		add(t, l, 2, 4)
		closed(t, l)
		l = open(t, dir, Options{})
		if numbers, damage := survey(t, l); !slices.Equal(numbers, upTo(4)) || len(damage) > 0 {
			t.Errorf("read %v; %s", numbers, describe(damage))
		}
		if names := imageOf(t, dir).names(); !slices.Equal(names, []string{fileName(0), fileName(end)}) {
			t.Errorf("segments %v", names)
		}
		if found := l.Opening().Damage; len(found) > 0 == truncates || !allHarmless(found) {
			t.Errorf("reported: %s", describe(found))
		}
	}
}

func TestFailedReadIsTold(t *testing.T) {
	f := &failing{}
	l := open(t, t.TempDir(), Options{Before: f.before})
	add(t, l, 0, 2)
	f.fail = func(op, _ string, _ int) (int, error) {
		if op == "read" {
			return 0, syscall.EIO
		}
		return 0, nil
	}
	next, err := l.Read(t.Context(), 0, 10, func(event.Offset, event.Record) error { return nil })
	if !errors.Is(err, syscall.EIO) || next != 0 || fault.HintOf(err) == "" {
		t.Errorf("Read: %d, %v", next, err)
	}
	if _, err := l.Verify(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("Verify: %v", err)
	}
	f.fail = nil
	if numbers, _ := survey(t, l); len(numbers) != 2 {
		t.Errorf("then %v", numbers)
	}
}

func TestFolderMustBeThere(t *testing.T) {
	if _, err := Open(t.TempDir()+"/absent", Options{}); fault.KindOf(err) != fault.NotFound || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
