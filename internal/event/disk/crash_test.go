package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// TestCrashesLoseNothingAcknowledged has one log live through several crashes of the process and losses of power, at any call of
// the file system, with calls that fail meanwhile. SERIN_KILLS sets how many hundred lives there are.
func TestCrashesLoseNothingAcknowledged(t *testing.T) {
	hundreds := 20
	if n, err := strconv.Atoi(os.Getenv("SERIN_KILLS")); err == nil {
		hundreds = n
	}
	if testing.Short() {
		hundreds = 2
	}
	first := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("SERIN_SEED"), 10, 64); err == nil {
		first, hundreds = n, 0
	}
	var sum stats
	for seed := first; seed <= first+uint64(hundreds)*100; seed++ {
		h := &life{t: t, m: newMemory(seed), random: rand.New(rand.NewPCG(seed, 2)), now: time.Unix(1_800_000_000, 0)}
		for range 6 {
			h.run(seed)
		}
		if t.Failed() {
			t.Fatalf("SERIN_SEED=%d shows it again", seed)
		}
		sum.add(h.stats)
	}
	t.Logf("%+v", sum)
	if hundreds > 0 && (sum.acknowledged < 1000 || sum.cut == 0 || sum.turnedUp == 0 || sum.segments < 1000 || sum.refused == 0 || sum.clean == 0) {
		t.Error("the lives were too quiet to show anything")
	}
}

type stats struct{ acknowledged, refused, turnedUp, cut, segments, clean int }

func (s *stats) add(o stats) {
	s.acknowledged += o.acknowledged
	s.refused += o.refused
	s.turnedUp += o.turnedUp
	s.cut += o.cut
	s.segments += o.segments
	s.clean += o.clean
}

// life is a log with what it must hold.
type life struct {
	t      *testing.T
	m      *memory
	random *rand.Rand
	now    time.Time
	serial int
	must   []eventtest.Read // acknowledged, or seen by a reader
	may    []string         // ids of Appends that failed or were not answered, in order
	stats
}

// run opens the log, checks and uses it until it is stopped.
func (h *life) run(seed uint64) {
	l, err := Open(Options{FS: h.m, SegmentBytes: 700, Now: h.clock})
	if err != nil {
		h.t.Errorf("seed %d: open: %v", seed, err)
		return
	}
	h.check(l)
	stop, calls := h.random.IntN(80), 0
	h.m.before = func(op, _ string) error {
		switch calls++; {
		case calls > stop:
			return errStop
		case (op == "sync" || op == "write" || op == "truncate" || op == "syncdir") && h.random.IntN(12) == 0:
			return []error{syscall.EIO, syscall.ENOSPC}[h.random.IntN(2)]
		}
		return nil
	}
	for calls <= stop {
		h.commit(l)
		if h.random.IntN(20) == 0 {
			if l.Close() == nil {
				h.clean++
			}
			break
		}
	}
	h.segments += len(l.segments)
	if h.random.IntN(2) == 0 {
		h.m.kill()
	} else {
		h.m.lose()
	}
}

func (h *life) clock() time.Time {
	h.now = h.now.Add(time.Duration(h.random.IntN(3)-1) * time.Minute)
	return h.now
}

// commit makes one commit of one to four Appends of one to three records.
func (h *life) commit(l *Log) {
	var all [][]event.Record
	var ids [][]string
	for range 1 + h.random.IntN(4) {
		h.serial++
		var records []event.Record
		var names []string
		for part := range 1 + h.serial%3 {
			names = append(names, fmt.Sprintf("%d-%d", h.serial, part))
			records = append(records, long(names[part], h.serial%5*100))
		}
		all, ids = append(all, records), append(ids, names)
	}
	for _, records := range all[:len(all)-1] { // as others would who came while a commit was under way
		var e encoded
		if err := e.encode(records); err != nil {
			h.t.Fatal(err)
		}
		l.pending.add(&e)
	}
	c := l.pending
	if _, err := l.Append(h.t.Context(), all[len(all)-1]...); err != nil {
		h.refused++
		h.may = append(h.may, slices.Concat(ids...)...)
		return
	}
	h.acknowledged += len(all)
	pos := 0
	for i, records := range all {
		for j, r := range records {
			f, problem := parseFrame(c.frames[pos:], c.base+event.Offset(pos))
			if problem != "" {
				h.t.Fatalf("%s: %s", ids[i][j], problem)
			}
			h.must = append(h.must, eventtest.Read{At: c.base + event.Offset(pos), Record: r})
			pos += f.size
		}
	}
}

func long(id string, size int) event.Record {
	r := eventtest.Outcome(id)
	r.Outcome.Text = string(slices.Repeat([]byte("y"), size))
	return r
}

// check compares the log with what it must hold. What turned up must be of Appends that failed, whole.
func (h *life) check(l *Log) {
	h.t.Helper()
	if r := l.Recovered(); len(r.Damage) > 0 {
		h.t.Errorf("damage: %v", r.Damage)
	} else if r.Cut > 0 {
		h.cut++
	}
	got, end, err := eventtest.ReadAll(h.t.Context(), l, 0)
	if err != nil || end != l.End() {
		h.t.Errorf("read up to %d of %d: %v", end, l.End(), err)
		return
	}
	left := h.must
	for i := 0; i < len(got); i++ {
		if len(left) > 0 && got[i].At == left[0].At && eventtest.Same(got[i].Record, left[0].Record) {
			left = left[1:]
			continue
		}
		var serial, part int
		if _, err := fmt.Sscanf(got[i].ID(), "%d-%d", &serial, &part); err != nil || part != 0 || !slices.Contains(h.may, got[i].ID()) {
			h.t.Errorf("%s at %d is there, and nobody wrote it there", got[i].ID(), got[i].At)
			return
		}
		for part := 1; part < 1+serial%3; part++ {
			if i++; i >= len(got) || got[i].ID() != fmt.Sprintf("%d-%d", serial, part) {
				h.t.Errorf("part %d of append %d is not there", part, serial)
				return
			}
		}
		h.turnedUp++
	}
	if len(left) > 0 {
		h.t.Errorf("%d records are lost, the first is %s at %d; the log ends at %d", len(left), left[0].ID(), left[0].At, end)
	}
	h.must, h.may = got, nil
}
