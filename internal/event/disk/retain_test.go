package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// hand is a clock that is set by hand.
type hand struct{ now time.Time }

func (h *hand) time() time.Time { return h.now }

// hourly has a segment for each of ten hours, with one record in it; the next one would begin the eleventh.
func hourly(t *testing.T, m *memory, r Retain, log *slog.Logger) (*Log, *hand, []eventtest.Read) {
	t.Helper()
	h := &hand{time.Unix(1_800_000_000, 0)}
	l := open(t, Options{FS: m, SegmentBytes: 1, Now: h.time, Retain: r, Log: log})
	for i := range 10 {
		if _, err := l.Append(t.Context(), eventtest.Outcome(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		h.now = h.now.Add(time.Hour)
	}
	all, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if err != nil || len(all) != 10 || len(l.segments) != 10 {
		t.Fatalf("%d records, %d segments, %v", len(all), len(l.segments), err)
	}
	return l, h, all
}

func TestTrimRemovesWhatIsOldOrTooMuchAndNotNeeded(t *testing.T) {
	_, _, all := hourly(t, newMemory(1), Retain{}, nil)
	size := int64(all[1].At - all[0].At) // of a segment
	needed := func(i int) func() event.Offset { return func() event.Offset { return all[i].At } }
	for _, test := range []struct {
		name   string
		retain Retain
		oldest int // the first record that stays
		needed bool
	}{
		{"nothing is asked for", Retain{}, 0, false},
		{"all are young", Retain{Age: 11 * time.Hour}, 0, false},
		{"three are old", Retain{Age: 6*time.Hour + time.Minute}, 3, false}, // record 3 was written 7 h ago, and its segment ended 6 h ago
		{"all are old, but the last stays", Retain{Age: time.Second}, 9, false},
		{"there is room", Retain{Bytes: 10 * size}, 0, false},
		{"there is room for four", Retain{Bytes: 4 * size}, 6, false},
		{"there is room for none, but the last stays", Retain{Bytes: 1}, 9, false},
		{"old, but needed", Retain{Age: time.Second, Keep: needed(5)}, 5, false},
		{"too much, but needed", Retain{Bytes: size, Keep: needed(0)}, 0, false},
		{"needed, but above the most", Retain{Bytes: size, Keep: needed(2), Max: 5 * size}, 5, true},
		{"above the most, and not needed", Retain{Keep: needed(8), Max: 5 * size}, 5, false},
		{"needed by one who is behind all", Retain{Age: time.Second, Keep: func() event.Offset { return 1 << 60 }}, 9, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			m := newMemory(1)
			l, _, _ := hourly(t, m, test.retain, slog.New(slog.NewTextHandler(&out, nil)))
			got, err := l.Trim()
			base := all[test.oldest].At - headerSize
			if err != nil || got.Oldest != base || got.Segments != test.oldest || got.Bytes != int64(base) || l.Oldest() != base {
				t.Errorf("got %+v, %v; want the oldest at %d", got, err, base)
			}
			if test.needed != (got.Needed < got.Oldest) || test.needed && got.Needed != test.retain.Keep() || test.needed != strings.Contains(out.String(), "still needed") {
				t.Errorf("needed from %d to %d: %s", got.Needed, got.Oldest, out.String())
			}
			left, _, err := eventtest.ReadAll(t.Context(), l, l.Oldest())
			if err != nil || len(left) != 10-test.oldest || len(m.durable) != len(left) {
				t.Errorf("%d records in %d files are left, %v", len(left), len(m.durable), err)
			}
			if again, err := l.Trim(); err != nil || again.Segments != 0 {
				t.Errorf("the second time: %+v, %v", again, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l = open(t, Options{FS: m, Now: clock()}); l.Oldest() != base || len(l.Recovered().Damage) > 0 {
				t.Errorf("opened again: from %d, %+v", l.Oldest(), l.Recovered())
			}
		})
	}
}

// stepped returns t as the clock would after a step of whole seconds: another wall time, the same monotonic reading. Package time has no
// way to make one; the seconds are above 30 bits of nanoseconds in a time's first word.
func stepped(t time.Time, seconds int) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(seconds) << 30
	return t
}

func TestStepsOfTheClockExpireNothing(t *testing.T) {
	const day = 24 * 60 * 60
	start, step := time.Now(), 0
	if moved := stepped(start, day); moved.Sub(start) != 0 || moved.Unix()-start.Unix() != day {
		t.Skip("times have another form in this version of Go")
	}
	l := open(t, Options{FS: newMemory(1), SegmentBytes: 1, Retain: Retain{Age: time.Hour}, Now: func() time.Time { return stepped(start, step) }})
	for i, days := range []int{0, 1, 0, -1, 0, 1} {
		step = days * day
		if _, err := l.Append(t.Context(), eventtest.Outcome(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Trim(); err != nil || got.Segments > 0 {
			t.Errorf("after a step of %+d days: %+v, %v", days, got, err)
		}
	}
}

func TestReaderIsNotDisturbedByTrimAndThenTold(t *testing.T) {
	l, _, all := hourly(t, newMemory(1), Retain{Bytes: 1}, nil)
	var got []string
	next, err := l.Read(t.Context(), 0, 100, func(_ event.Offset, r event.Record) error {
		got = append(got, r.Outcome.ID)
		if len(got) == 1 { // its segment is open, and goes
			if _, err := l.Trim(); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	gone, ok := errors.AsType[*event.GoneError](err)
	if !ok || len(got) != 1 || gone.From != next || next != all[1].At-headerSize || gone.Oldest != all[9].At-headerSize {
		t.Fatalf("got %v, %d, %v", got, next, err)
	}
}

func TestFileThatCannotBeRemovedStaysInTheLog(t *testing.T) {
	m := newMemory(1)
	l, _, all := hourly(t, m, Retain{Bytes: 1}, nil)
	m.before = func(op, name string) error {
		if op == "remove" && name == segmentName(all[3].At-headerSize) {
			return syscall.EROFS
		}
		return nil
	}
	if got, err := l.Trim(); !errors.Is(err, syscall.EROFS) || got.Segments != 3 || got.Oldest != all[3].At-headerSize {
		t.Errorf("got %+v, %v", got, err)
	}
	if left, _, err := eventtest.ReadAll(t.Context(), l, l.Oldest()); err != nil || len(left) != 7 {
		t.Errorf("%d are left, %v", len(left), err)
	}
}

func TestLogWhoseFilesAreAllRemovedGoesOnWhereItEnded(t *testing.T) {
	m := newMemory(1)
	l, _, _ := hourly(t, m, Retain{}, nil)
	end := l.End()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range m.files() {
		if name != markName {
			_ = m.Remove(name)
		}
	}
	l = open(t, Options{FS: m, Now: clock()})
	if _, err := l.Read(t.Context(), 0, 1, nil); !errors.Is(err, event.ErrGone) || l.End() != end {
		t.Errorf("%v, the end at %d, it was %d", err, l.End(), end)
	}
	if _, err := l.Append(t.Context(), eventtest.Outcome("then")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := eventtest.ReadAll(t.Context(), l, end); err != nil || len(got) != 1 || got[0].At < end {
		t.Errorf("got %v, %v", got, err)
	}
}
