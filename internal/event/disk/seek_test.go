package disk

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

// TestSeekFindsTheFirstRecordOfATime compares with a list of when each record was written. The clock goes back at times; the log's time
// stands still then.
func TestSeekFindsTheFirstRecordOfATime(t *testing.T) {
	searched := false
	rapid.Check(t, func(r *rapid.T) {
		start := time.Unix(1_800_000_000, 0)
		h := &hand{start}
		l := open(t, Options{FS: newMemory(1), Now: h.time, SegmentBytes: rapid.SampledFrom([]int64{1, 500, 5000, 400 << 10}).Draw(r, "segment")})
		size := rapid.SampledFrom([]int{0, 5000, 50_000}).Draw(r, "size") // so that segments are searched, not only read through
		var stamps []time.Time                                            // of each record
		last := start.Add(-time.Hour)
		for i := range rapid.IntRange(0, 40).Draw(r, "commits") {
			h.now = h.now.Add(time.Duration(rapid.IntRange(-3, 10).Draw(r, "step")) * time.Second)
			if h.now.After(last) {
				last = h.now
			}
			var records []event.Record
			for range rapid.IntRange(1, 3).Draw(r, "records") {
				records, stamps = append(records, long(fmt.Sprint(i), size)), append(stamps, last)
			}
			if _, err := l.Append(t.Context(), records...); err != nil {
				r.Fatal(err)
			}
		}
		all, end, err := eventtest.ReadAll(t.Context(), l, 0)
		if err != nil || len(all) != len(stamps) {
			r.Fatalf("%d records of %d, %v", len(all), len(stamps), err)
		}
		searched = searched || end > 4*linear
		for at := start.Add(-3 * time.Second); !at.After(start.Add(7 * time.Minute)); at = at.Add(1500 * time.Millisecond) {
			from, err := l.Seek(t.Context(), at)
			if err != nil {
				r.Fatal(err)
			}
			first := 0
			for first < len(stamps) && stamps[first].Before(at) {
				first++
			}
			got, want := end, end
			if first < len(all) {
				want = all[first].At
			}
			_, err = l.Read(t.Context(), from, 1, func(at event.Offset, _ event.Record) error {
				got = at
				return nil
			})
			if err != nil || got != want {
				r.Fatalf("%v: from %d the first record is at %d, want %d; %v", at.Sub(start), from, got, want, err)
			}
		}
		for _, far := range []time.Time{{}, time.Unix(1<<40, 0)} {
			want := map[bool]event.Offset{true: 0, false: end}[far.IsZero()]
			if from, err := l.Seek(t.Context(), far); err != nil || from != want {
				r.Fatalf("%v: %d, %v, want %d", far, from, err, want)
			}
		}
	})
	if !searched {
		t.Error("no segment was large enough to be searched")
	}
}

func TestSeekStepsOverDamage(t *testing.T) {
	h := &hand{time.Unix(1_800_000_000, 0)}
	m := newMemory(1)
	l := open(t, Options{FS: m, Now: h.time})
	for i := range 100 {
		h.now = h.now.Add(time.Second)
		if _, err := l.Append(t.Context(), long(fmt.Sprint(i), 5000)); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := eventtest.ReadAll(t.Context(), l, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := 20; i < 60; i++ { // the middle of the file, and where the search begins
		m.names[segmentName(0)].now[all[i].At+20] ^= 1
	}
	for i, want := range map[int]int{10: 10, 19: 19, 20: 60, 40: 60, 59: 60, 60: 60, 61: 61, 99: 99} {
		from, err := l.Seek(t.Context(), time.Unix(1_800_000_001+int64(i), 0))
		if err != nil || from != all[want].At {
			t.Errorf("record %d: %d, %v; want record %d at %d", i, from, err, want, all[want].At)
		}
	}
}
