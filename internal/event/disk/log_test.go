package disk

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
	"github.com/serin-ml/serin/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestSegmentOfVersion1IsReadAndWritten holds the format fast: what the file says is what is written to disks now.
func TestSegmentOfVersion1IsReadAndWritten(t *testing.T) {
	samples := append(eventtest.Samples(), eventtest.ShadowSamples()...)
	dir := t.TempDir()
	l := open(t, dir, fixed(Options{}))
	if _, err := l.Append(t.Context(), samples...); err != nil {
		t.Fatal(err)
	}
	add(t, l, 0, 2)
	closed(t, l)
	written := imageOf(t, dir)[fileName(0)]
	golden := filepath.Join("testdata", "segment.1.now.hex")
	if *update {
		var text bytes.Buffer
		for line := range slices.Chunk(written, 32) {
			text.WriteString(hex.EncodeToString(line) + "\n")
		}
		if err := os.WriteFile(golden, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := digits(t, golden); !bytes.Equal(written, want) {
		t.Fatalf("wrote\n%x\nwant\n%x", written, want)
	}
	holds(t, golden, samples)
}

// TestSegmentOfOlderRecordsIsRead reads what was written before tallies told the policy, and before there were shadows.
func TestSegmentOfOlderRecordsIsRead(t *testing.T) {
	holds(t, filepath.Join("testdata", "segment.1.hex"), eventtest.Samples())
}

// digits reads a file of hexadecimal digits.
func digits(t *testing.T, golden string) []byte {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// holds tells whether a golden segment holds these records, and two outcomes behind them.
func holds(t *testing.T, golden string, samples []event.Record) {
	t.Helper()
	b := digits(t, golden)
	dir := t.TempDir()
	image{fileName(0): b}.put(t, dir)
	l := open(t, dir, Options{})
	records, _ := eventtest.ReadAll(t, l, 0, 100)
	if diff := eventtest.Diff(append(samples[:len(samples):len(samples)], eventtest.Outcome(0, 0), eventtest.Outcome(0, 1)), records); diff != "" || !l.Opening().Clean {
		t.Errorf("%s; %+v", diff, l.Opening())
	}
	report, err := l.Verify(t.Context())
	if err != nil || report.Unknown != 1 || report.Records[event.KindOutcome] != 3 || report.Records[200] != 1 || len(report.Damage) > 0 || report.Bytes != int64(len(b)) {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestOpeningWritesNothing(t *testing.T) {
	dir := t.TempDir()
	closed(t, open(t, dir, Options{}))
	if got := imageOf(t, dir); len(got) != 0 {
		t.Errorf("there is %v", got.names())
	}
	l := open(t, dir, Options{})
	add(t, l, 0, 1)
	closed(t, l)
	before := imageOf(t, dir)
	closed(t, open(t, dir, Options{}))
	if after := imageOf(t, dir); !bytes.Equal(before[fileName(0)], after[fileName(0)]) {
		t.Error("the segment changed")
	}
}

func TestOnlyItsOwnerMayReadTheLog(t *testing.T) {
	dir := t.TempDir()
	add(t, open(t, dir, Options{}), 0, 1)
	info, err := os.Stat(filepath.Join(dir, fileName(0)))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestUnfinishedSegmentsAndStrangeFilesAreNoSegments(t *testing.T) {
	dir := t.TempDir()
	image{fileName(7) + unready: []byte("half"), "notes.txt": []byte("mine"), "7.log": []byte("no")}.put(t, dir)
	l := open(t, dir, Options{})
	if l.End() != 0 || !l.Opening().Clean {
		t.Errorf("end %d, %+v", l.End(), l.Opening())
	}
	if got := imageOf(t, dir).names(); !slices.Equal(got, []string{"7.log", "notes.txt"}) {
		t.Errorf("there is %v", got)
	}
}

func TestReadSaysWhereItMayGoOn(t *testing.T) {
	clock := newClock()
	l := open(t, t.TempDir(), clock.options(Options{SegmentBytes: 200, MaxBytes: 500}))
	add(t, l, 0, 20)
	_, offsets := eventtest.ReadAll(t, l, 0, 100)
	nothing := func(event.Offset, event.Record) error { return nil }
	t.Run("within a record", func(t *testing.T) {
		for _, i := range []int{0, 5, 19} {
			for within := event.Offset(1); within < 20; within++ {
				next, err := l.Read(t.Context(), offsets[i]+within, 10, nothing)
				if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "not where a record begins") || next != offsets[i]+within {
					t.Fatalf("record %d, byte %d: %d, %v", i, within, next, err)
				}
			}
		}
	})
	t.Run("behind the end", func(t *testing.T) {
		_, err := l.Read(t.Context(), l.End()+1, 10, nothing)
		if d, ok := errors.AsType[*event.DamageError](err); !ok || d.At != l.End() || d.Next != l.End() {
			t.Errorf("got %v", err)
		}
	})
	t.Run("removed", func(t *testing.T) {
		kept, err := l.Retain(t.Context())
		if err != nil || kept.Segments == 0 || kept.Oldest != l.Start() || l.Bytes() > 500 {
			t.Fatalf("%+v, %v", kept, err)
		}
		_, err = l.Read(t.Context(), 0, 10, nothing)
		gone, ok := errors.AsType[*event.GoneError](err)
		if !ok || !errors.Is(err, event.ErrGone) || gone.Oldest != kept.Oldest || gone.From != 0 || !strings.Contains(err.Error(), "the oldest is") {
			t.Fatalf("got %v", err)
		}
		numbers, damage := survey(t, l)
		if len(damage) > 0 || !slices.Equal(numbers, upTo(20)[20-len(numbers):]) {
			t.Errorf("read %v, %s", numbers, describe(damage))
		}
	})
}

func TestRecordsBeyondTheLimitsAreRefused(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	r := eventtest.Outcome(0, 0)
	r.Outcome.Text = strings.Repeat("x", MaxRecord)
	if _, err := l.Append(t.Context(), r); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
		t.Errorf("a long record: %v", err)
	}
	r.Outcome.Text = strings.Repeat("x", MaxRecord-1000)
	if _, err := l.Append(t.Context(), slices.Repeat([]event.Record{r}, MaxGroup/MaxRecord+1)...); fault.KindOf(err) != fault.Invalid {
		t.Errorf("many records: %v", err)
	}
	if l.End() != 0 {
		t.Errorf("the end is %d", l.End())
	}
}

func TestBatchesBeyondTheLimitAreWrittenOneAfterTheOther(t *testing.T) {
	l := open(t, t.TempDir(), fixed(Options{}))
	r := eventtest.Outcome(0, 0)
	r.Outcome.Text = strings.Repeat("x", MaxRecord-1000)
	third := slices.Repeat([]event.Record{r}, MaxGroup/MaxRecord/3)
	l.turn <- struct{}{} // so that all wait
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := l.Append(context.Background(), third...); err != nil {
				t.Error(err)
			}
		})
	}
	<-l.turn
	all.Wait()
	if report, err := l.Verify(t.Context()); err != nil || report.Records[event.KindOutcome] != uint64(8*len(third)) || len(report.Damage) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestClosedLogRefuses(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, 0, 1)
	closed(t, l)
	closed(t, l)
	if _, err := l.Append(t.Context(), eventtest.Outcome(0, 1)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}

// Whoever does not want to wait any longer leaves, and what nobody waits for is not written.
func TestAppendThatIsGivenUpIsNotWritten(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, 0, 1)
	l.turn <- struct{}{} // as if a write were under way
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() {
		_, err := l.Append(ctx, eventtest.Outcome(0, 99))
		given <- err
	}()
	for joined := false; !joined; {
		l.mu.Lock()
		joined = l.pending != nil
		l.mu.Unlock()
	}
	cancel()
	if err := <-given; fault.KindOf(err) != fault.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-l.turn
	add(t, l, 1, 2)
	if numbers, _ := survey(t, l); !slices.Equal(numbers, upTo(2)) {
		t.Errorf("read %v", numbers)
	}
}

func TestOneFlushServesAllWhoWait(t *testing.T) {
	flushes := 0
	f := &failing{}
	l := open(t, t.TempDir(), Options{Before: f.before})
	add(t, l, 0, 1)
	f.fail = func(op, _ string, _ int) (int, error) {
		if op == "sync" {
			flushes++
		}
		return 0, nil
	}
	l.turn <- struct{}{}
	var all sync.WaitGroup
	for w := range 64 {
		all.Go(func() {
			if _, err := l.Append(context.Background(), eventtest.Outcome(w, 0)); err != nil {
				t.Error(err)
			}
		})
	}
	for joined := 0; joined < 64; {
		l.mu.Lock()
		if l.pending != nil {
			joined = l.pending.members
		}
		l.mu.Unlock()
	}
	<-l.turn
	all.Wait()
	if flushes != 1 {
		t.Errorf("%d flushes for 64 writers who waited", flushes)
	}
}

func TestRetentionRemovesWholeOldSegments(t *testing.T) {
	clock := newClock()
	needed := event.Offset(math.MaxUint64)
	dir := t.TempDir()
	o := clock.options(Options{SegmentBytes: 200, MaxAge: 10 * time.Hour, Needed: func() event.Offset { return needed }})
	l := open(t, dir, o)
	for i := range 12 {
		add(t, l, i, i+1)
		clock.pass(time.Hour)
	}
	retain := func() Retention {
		t.Helper()
		r, err := l.Retain(t.Context())
		if err != nil || r.Oldest != l.Start() {
			t.Fatalf("%+v, %v", r, err)
		}
		return r
	}
	total := l.Bytes()
	if r := retain(); r.Segments == 0 || l.Bytes() != total-r.Bytes {
		t.Errorf("%+v of %d bytes, %d left", r, total, l.Bytes())
	}
	if numbers, _ := survey(t, l); len(numbers) < 10 || len(numbers) == 12 || numbers[len(numbers)-1] != 11 {
		t.Errorf("left: %v", numbers)
	}
	closed(t, l)
	l = open(t, dir, o) // opened again, the segments are as old as before
	if r := retain(); r.Segments != 0 {
		t.Errorf("%+v", r)
	}
	needed = l.Start() + 1
	clock.pass(24 * time.Hour)
	if r := retain(); r.Segments != 0 || r.Held == 0 {
		t.Errorf("what is needed: %+v", r)
	}
	needed = l.End()
	retain()
	if numbers, _ := survey(t, l); len(numbers) == 0 || len(imageOf(t, dir)) != 1 {
		t.Errorf("the last segment is gone too: %v", numbers)
	}
}

func TestFailedRemovalIsTriedAgain(t *testing.T) {
	f := &failing{}
	l := open(t, t.TempDir(), fixed(Options{SegmentBytes: 200, MaxBytes: 1, Before: f.before}))
	add(t, l, 0, 10)
	for _, bad := range []string{"remove", "syncdir"} {
		f.fail = func(op, _ string, _ int) (int, error) {
			if op == bad {
				return 0, syscall.EIO
			}
			return 0, nil
		}
		if _, err := l.Retain(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	f.fail = nil
	if r, err := l.Retain(t.Context()); err != nil || r.Segments == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if report, err := l.Verify(t.Context()); err != nil || report.Segments != 1 || len(report.Damage) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// The system's clock is set by a day to either side while the log is open: nothing expires that would not have.
func TestClockThatIsSetExpiresNothing(t *testing.T) {
	for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		clock := newClock()
		l := open(t, t.TempDir(), clock.options(Options{SegmentBytes: 200, MaxAge: 12 * time.Hour}))
		add(t, l, 0, 6)
		clock.wall = clock.wall.Add(step)
		add(t, l, 6, 12)
		clock.pass(time.Hour)
		if r, err := l.Retain(t.Context()); err != nil || r.Segments != 0 {
			t.Errorf("a step of %v: %+v, %v", step, r, err)
		}
		clock.wall = clock.wall.Add(-step)
		clock.pass(time.Hour)
		if r, err := l.Retain(t.Context()); err != nil || r.Segments != 0 {
			t.Errorf("a step of %v and back: %+v, %v", step, r, err)
		}
		clock.pass(11 * time.Hour)
		if r, err := l.Retain(t.Context()); err != nil || r.Segments == 0 {
			t.Errorf("after a step of %v, nothing ever expires: %+v, %v", step, r, err)
		}
	}
}

// TestSeekMissesNothing holds Seek against the times at which all was appended, with a clock that also goes back.
func TestSeekMissesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := newClock()
		o := clock.options(Options{SegmentBytes: 2000})
		o.flush = func(*os.File) error { return nil }
		l := open(t, t.TempDir(), o)
		var at []time.Time // when it was appended, by the clock
		latest := time.Time{}
		monotone := true
		for i := range 120 {
			clock.pass(time.Duration(rapid.Int64Range(0, 2000).Draw(rt, "ms")) * time.Millisecond)
			if rapid.IntRange(0, 60).Draw(rt, "set") == 0 {
				clock.wall = clock.wall.Add(time.Duration(rapid.Int64Range(-20, 20).Draw(rt, "s")) * time.Second)
			}
			monotone = monotone && !clock.wall.Before(latest)
			latest = clock.wall
			at = append(at, clock.wall)
			add(t, l, i, i+1)
		}
		_, offsets := eventtest.ReadAll(t, l, 0, 1000)
		for range 30 {
			when := at[rapid.IntRange(0, len(at)-1).Draw(rt, "which")].Add(time.Duration(rapid.Int64Range(-3000, 3000).Draw(rt, "off")) * time.Millisecond)
			found, err := l.Seek(t.Context(), when)
			if err != nil {
				rt.Fatal(err)
			}
			for i := range at {
				if !at[i].Before(when) && offsets[i] < found {
					rt.Fatalf("record %d of %v is before offset %d, which Seek gives for %v", i, at[i], found, when)
				}
				if monotone && at[i].Before(when.Truncate(time.Millisecond)) && offsets[i] >= found {
					rt.Fatalf("record %d of %v is behind offset %d, which Seek gives for %v", i, at[i], found, when)
				}
			}
		}
		abandon(l)
	})
}

func TestSeekFindsItsPlaceInALargeSegment(t *testing.T) {
	clock := newClock()
	began := clock.wall
	reads := 0
	f := &failing{}
	o := clock.options(Options{Before: f.before})
	o.flush = func(*os.File) error { return nil }
	l := open(t, t.TempDir(), o)
	if at, err := l.Seek(t.Context(), began); err != nil || at != 0 {
		t.Errorf("in an empty log: %d, %v", at, err)
	}
	r := eventtest.Outcome(0, 0)
	r.Outcome.Text = strings.Repeat("x", 2000)
	var offsets []event.Offset
	for range 8000 { // 16 MB
		offsets = append(offsets, l.End())
		if _, err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		clock.pass(time.Second)
	}
	f.fail = func(op, _ string, _ int) (int, error) {
		if op == "read" {
			reads++
		}
		return 0, nil
	}
	for _, i := range []int{0, 1, 77, 4000, 7999} {
		found, err := l.Seek(t.Context(), began.Add(time.Duration(i)*time.Second))
		if err != nil || found != offsets[i] {
			t.Errorf("second %d is at %d, not %d: %v", i, offsets[i], found, err)
		}
	}
	if found, err := l.Seek(t.Context(), clock.wall); err != nil || found != l.End() {
		t.Errorf("what is not there yet: %d, %v", found, err)
	}
	if reads > 6*12 {
		t.Errorf("%d reads for 6 searches", reads)
	}
}

// TestAllGoesOnAtOnce appends, reads, searches, verifies and removes at the same time: nothing is taken for damage, and readers go
// forward.
func TestAllGoesOnAtOnce(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 2000, MaxBytes: 20_000, flush: func(*os.File) error { return nil }})
	ctx, stop := context.WithCancel(t.Context())
	var readers, all sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for from, last := event.Offset(0), -1; ctx.Err() == nil; {
				next, err := l.Read(context.Background(), from, 17, func(_ event.Offset, r event.Record) error {
					_, n, err := eventtest.Writer(r)
					if n <= last {
						t.Errorf("%d after %d", n, last)
					}
					last = n
					return err
				})
				gone, removed := errors.AsType[*event.GoneError](err)
				if removed {
					next, err = gone.Oldest, nil
				}
				if err != nil || next < from {
					t.Errorf("from %d to %d: %v", from, next, err)
					return
				}
				from = next
			}
		})
	}
	readers.Go(func() {
		for ctx.Err() == nil {
			if r, err := l.Verify(context.Background()); err != nil || len(r.Damage) > 0 {
				t.Errorf("%s, %v", describe(r.Damage), err)
				return
			}
		}
	})
	readers.Go(func() {
		for ctx.Err() == nil {
			if _, err := l.Retain(context.Background()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	all.Go(func() { add(t, l, 0, 3000) })
	all.Wait()
	stop()
	readers.Wait()
}
