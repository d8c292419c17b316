package sqlite

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// heard is what a watcher was told, added up.
type heard struct {
	Counts  map[measure.Segment]*measure.SegmentCounts
	Minutes map[measure.Segment]map[int64]*measure.SegmentMinute
	Pairs   map[measure.ShadowMinute][2]uint64 // pairs and agreed
}

func (h *heard) Reset() {
	*h = heard{map[measure.Segment]*measure.SegmentCounts{}, map[measure.Segment]map[int64]*measure.SegmentMinute{}, map[measure.ShadowMinute][2]uint64{}}
}

func (h *heard) Segment(of measure.Segment, added *measure.SegmentDelta) {
	if h.Counts[of] == nil {
		h.Counts[of], h.Minutes[of] = new(measure.SegmentCounts), map[int64]*measure.SegmentMinute{}
	}
	if added.Counts != nil {
		h.Counts[of].Merge(added.Counts)
	}
	for minute, m := range added.Minutes {
		if h.Minutes[of][minute] == nil {
			h.Minutes[of][minute] = new(measure.SegmentMinute)
		}
		h.Minutes[of][minute].Merge(m)
	}
}

func (h *heard) Shadow(of measure.ShadowMinute, added *event.Comparison) {
	pairs, agreed := added.Totals()
	have := h.Pairs[of]
	h.Pairs[of] = [2]uint64{have[0] + pairs, have[1] + agreed}
}

// listen watches an epoch of the tests' service from now on.
func listen(t testing.TB, s *Sink, epoch uint32) *heard {
	t.Helper()
	h := new(heard)
	if _, err := s.Watch(context.Background(), Watched{Service: "reviews", Epoch: epoch}, h); err != nil {
		t.Fatal(err)
	}
	return h
}

// segmentsOf writes down all that the file has of segments, whatever parts it is in.
func segmentsOf(t testing.TB, s *Sink) string {
	t.Helper()
	var out strings.Builder
	for _, of := range slices.SortedFunc(maps.Keys(s.memory.segments), compareSegments) {
		row := s.memory.segments[of]
		whole := new(measure.SegmentCounts)
		if err := s.eachBody(context.Background(), s.sql.partsOf, row.id, whole.MergeBinary); err != nil {
			t.Fatal(err)
		}
		body, err := whole.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%+v %x\n%s", of, body, table(t, s.db.DB, "SELECT minute, hex(body) FROM segment_minutes WHERE segment_id = ? ORDER BY 1", row.id))
	}
	return out.String()
}

// asked is a tally of a segment.
func asked(at time.Time, policy uint64, variant string, bucket uint8, requests int) *event.Tally {
	t := tally(at, requests, 1000)
	t.PolicyVersion, t.Variant, t.Bucket = policy, variant, bucket
	return t
}

func TestSegmentsAreOneVariantUnderOnePolicy(t *testing.T) {
	s := newSink(t)
	h := listen(t, s, 3)
	labelled, byRule := decision(1, start, "1"), decision(2, start, "1")
	byRule.Reason = event.Match
	log := items(
		ta(asked(start, 7, "stable", 5, 10)), ta(asked(start, 7, "canary", 5, 3)), ta(asked(start, 8, "canary", 5, 4)), ta(asked(start, 8, "canary", 6, 1)),
		ta(asked(start, 0, "canary", 5, 100)),
		d(labelled), d(byRule), o(outcomeOf(byRule, "b", "label", "1", time.Second)),
		o(outcomeOf(labelled, "a", "label", "1", time.Second)), o(outcomeOf(labelled, "c", "rating", 4, time.Minute)),
	)
	apply(t, s, log)
	stable := measure.Segment{Variant: measure.Variant{Service: "reviews", Epoch: 3, Variant: "stable", Version: "sha256:aa"}, PolicyVersion: 7}
	canary7, canary8 := stable, stable
	canary7.Variant.Variant, canary8.Variant.Variant, canary8.PolicyVersion = "canary", "canary", 8
	got := map[measure.Segment]uint64{}
	for of, c := range h.Counts {
		for b := range c {
			got[of] += c[b].Requests
		}
	}
	if diff := cmp.Diff(map[measure.Segment]uint64{stable: 10, canary7: 3, canary8: 5}, got); diff != "" {
		t.Errorf("requests (-want +got)\n%s", diff)
	}
	m := h.Minutes[stable][measure.Minute(start)]
	bucket := measure.BucketOf(labelled)
	if c := m.Cells[bucket]; c.Labelled != 1 || c.Correct != 1 || len(m.Kinds) != 1 || m.Kinds[0].Cells[bucket].Sum.Float() != 4 {
		t.Errorf("feedback is %+v in bucket %d, %+v", c, bucket, m.Kinds)
	}
	if diff := cmp.Diff(h, listen(t, s, 3)); diff != "" {
		t.Errorf("who comes later (-heard +told)\n%s", diff)
	}
	if other := listen(t, s, 2); len(other.Counts) > 0 {
		t.Errorf("another epoch: %+v", other)
	}
}

func TestManyPartsArePutTogether(t *testing.T) {
	s := newSink(t)
	h := listen(t, s, 3)
	const batches = 7*mostParts + 5
	var log []measure.Item
	for i := range batches {
		log = append(log, measure.Item{At: event.Offset(10 * i), Record: ta(asked(start.Add(time.Duration(i)*time.Second), 7, "stable", uint8(i%64), 1+i))})
		if i%50 == 49 { // the number of parts is found again
			before := segmentsOf(t, s)
			if err := s.load(context.Background()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, segmentsOf(t, s)); diff != "" {
				t.Fatal(diff)
			}
		}
		apply(t, s, log[i:])
	}
	if got := table(t, s.db.DB, "SELECT count(*) < ? FROM segment_parts", 2*mostParts); got != "1\n" {
		t.Errorf("there are too many parts")
	}
	if diff := cmp.Diff(h, listen(t, s, 3)); diff != "" {
		t.Errorf("(-heard +kept)\n%s", diff)
	}
	whole := newSink(t)
	apply(t, whole, log)
	if diff := cmp.Diff(segmentsOf(t, whole), segmentsOf(t, s)); diff != "" {
		t.Errorf("(-at once +one by one)\n%s", diff)
	}
}

func TestWatchersHearNothingOfWhatIsUndoneAndAllAgainAfterARebuild(t *testing.T) {
	s := newSink(t)
	h := listen(t, s, 3)
	log := &memoryLog{items: items(ta(asked(start, 7, "stable", 5, 10)), ta(asked(start, 7, "stable", 5, 1)), co(comparison(start, 3, 2)))}
	apply(t, s, log.items[:1])
	before := fmt.Sprint(h.Counts, h.Minutes, h.Pairs)
	refusing(t, s, "segment_parts", func() {
		if err := s.Apply(context.Background(), 1, 10, 30, log.items[1:]); err == nil {
			t.Error("it was not refused")
		}
	})
	if got := fmt.Sprint(h.Counts, h.Minutes, h.Pairs); got != before {
		t.Errorf("it heard of what is undone: %s", got)
	}
	apply(t, s, log.items)
	want := listen(t, s, 3)
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-kept +heard)\n%s", diff)
	}
	if err := s.Rebuild(context.Background(), 2, log); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("after a rebuild (-before +after)\n%s", diff)
	}
}

func TestWhoStopsWatchingHearsNoMore(t *testing.T) {
	s := newSink(t)
	h := new(heard)
	stop, err := s.Watch(context.Background(), Watched{Service: "reviews", Epoch: 3, Since: start.Add(time.Minute)}, h)
	if err != nil {
		t.Fatal(err)
	}
	log := items(ta(asked(start, 7, "stable", 5, 10)), co(comparison(start, 3, 2)), ta(asked(start.Add(time.Minute), 7, "stable", 5, 2)), ta(asked(start, 7, "stable", 5, 1)))
	apply(t, s, log[:3])
	for of, minutes := range h.Minutes {
		if len(minutes) != 1 || minutes[measure.Minute(start)+1] == nil || h.Counts[of][5].Requests != 12 {
			t.Errorf("%v: %v", minutes, h.Counts[of][5])
		}
	}
	if len(h.Minutes) != 1 || len(h.Pairs) != 0 {
		t.Errorf("%d segments, %v", len(h.Minutes), h.Pairs)
	}
	stop()
	before := h.Counts
	apply(t, s, log)
	for of := range before {
		if h.Counts[of][5].Requests != 12 {
			t.Error("it heard more")
		}
	}
}

func TestSegmentsOfTwoEpochsAreKeptAndFeedbackByAge(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for epoch := range uint32(4) {
		a := asked(start, uint64(epoch+1), "stable", 1, 1)
		a.Epoch = epoch
		records = append(records, ta(a))
	}
	for hour := range 10 {
		a := asked(start.Add(time.Duration(hour)*time.Hour), 4, "stable", 1, 1)
		records = append(records, ta(a))
	}
	for policy := range uint64(mostSegments) {
		a := asked(start, 10+policy, "canary", 1, 1)
		a.Service = "other"
		records = append(records, ta(a))
	}
	last := asked(start, 9999, "canary", 1, 1)
	last.Service = "other"
	apply(t, s, items(append(records, ta(last))...))
	for range 20 {
		if err := s.Prune(context.Background(), start.Add(9*time.Hour), Retention{Segments: 3 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if got := table(t, s.db.DB, "SELECT epoch FROM segments WHERE service = 'reviews' ORDER BY 1"); got != "2\n3\n" {
		t.Errorf("epochs\n%s", got)
	}
	if got := table(t, s.db.DB, "SELECT count(*), min(policy_version), max(policy_version) FROM segments WHERE service = 'other'"); got != fmt.Sprintf("%d|11|9999\n", mostSegments) {
		t.Errorf("policies %s", got)
	}
	if got := table(t, s.db.DB, "SELECT count(*) FROM segment_minutes m JOIN segments s ON s.id = m.segment_id WHERE service = 'reviews'"); got != "4\n" {
		t.Errorf("%s minutes are left", got)
	}
	if got := table(t, s.db.DB, "SELECT count(*) FROM segment_parts WHERE segment_id NOT IN (SELECT id FROM segments)"); got != "0\n" {
		t.Errorf("%s parts belong to nothing", got)
	}
	again := asked(start, 1, "stable", 1, 1) // a straggler
	again.Epoch = 0
	log := []measure.Item{{At: 10_000, Record: ta(again)}}
	if err := s.Apply(context.Background(), 1, s.Applied(), 10_010, log); err != nil {
		t.Fatal(err)
	}
}

// A file from before there were segments goes on with them: what was decided before is in none, as nobody noted its users' buckets.
func TestAnOlderFileTakesSegments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	old, err := sqlite.Open(context.Background(), path, migrations[:4])
	if err != nil {
		t.Fatal(err)
	}
	before, after := decision(1, start, "1"), decision(2, start, "1")
	// What the last version wrote of a decision: its row of known, and a slot of version 1.
	slot := appendSlot(nil, []slotEntry{entryOf(before.ID, remembered{1, 0, 0})})
	slot[0] = slotVersion1
	slot = append(slot[:2+idRest+1], slot[2+idRest+2:]...)
	for _, q := range []struct {
		text string
		args []any
	}{
		{"INSERT INTO variants VALUES (1, 'reviews', 3, 'stable', 'sha256:aa')", nil},
		{"INSERT INTO known VALUES (1, 1, '1', 0)", nil},
		{"INSERT INTO slots VALUES (?, ?)", []any{slotOf(before.ID), slot}},
		{"UPDATE progress SET generation = 1, place = 10", nil},
	} {
		if _, err := old.ExecContext(context.Background(), q.text, q.args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := openSink(t, path, Options{})
	log := items(
		d(before), d(after), o(outcomeOf(before, "a", "label", "1", time.Second)), o(outcomeOf(after, "b", "label", "1", time.Second)),
		ta(asked(start, 7, "stable", 5, 10)),
	)
	if err := s.Apply(context.Background(), 1, 10, end(log), log[1:]); err != nil {
		t.Fatal(err)
	}
	labelled := uint64(0)
	for _, minutes := range listen(t, s, 3).Minutes {
		for _, m := range minutes {
			for b := range m.Cells {
				labelled += m.Cells[b].Labelled
			}
		}
	}
	if got := table(t, s.db.DB, "SELECT labelled FROM variant_minutes"); got != "2\n" || labelled != 1 {
		t.Errorf("%s labelled by minute, %d in segments", got, labelled)
	}
}
