package measure

import (
	"encoding/hex"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/traffic"
)

func TestFixedSumsAreTheSameInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1e6, 1e6), rapid.SampledFrom([]float64{0, 0.1, -0.1, 1e-12, -1e-12, math.NaN(), math.Inf(1), math.Inf(-1)})), 0, 30).Draw(t, "values")
		var one, parts, part Fixed
		exact, size := 0.0, 1.0
		for i, v := range values {
			one.Add(FixedOf(v))
			exact += FixedOf(v).Float()
			size += math.Abs(FixedOf(v).Float())
			part.Add(FixedOf(values[len(values)-1-i]))
			if rapid.Bool().Draw(t, "cut") {
				parts.Add(part)
				part = Fixed{}
			}
		}
		parts.Add(part)
		if one != parts {
			t.Fatalf("%+v forwards, %+v backwards and in parts", one, parts)
		}
		if got := one.Float(); math.Abs(got-exact) > 1e-12*size {
			t.Fatalf("%v, not %v", got, exact)
		}
	})
	for _, v := range []float64{0, 1, -1, 0.5, -0.25, 1234.75, 0.1} {
		if got := FixedOf(v).Float(); math.Abs(got-v) > 1e-12 {
			t.Errorf("%v is kept as %v", v, got)
		}
	}
}

func TestOnlyDecisionsThatWeightsHaveDrawnHaveABucket(t *testing.T) {
	for reason, drawn := range map[event.Reason]bool{
		event.Weights: true, event.Failover: true, event.Fallback: true, event.Match: false, event.ByHand: false, event.Holdout: false,
	} {
		d := &event.Decision{ID: made(1), Unit: "u1", Reason: reason}
		want := uint8(NoBucket)
		if drawn {
			want = traffic.Bucket("u1")
		}
		if got := KnownOf(d).Bucket; got != want {
			t.Errorf("%v: bucket %d, not %d", reason, got, want)
		}
	}
	if got := BucketOf(&event.Decision{ID: made(1)}); got >= traffic.Buckets {
		t.Errorf("nobody in particular has no bucket: %d", got)
	}
	if got := BucketOf(&event.Decision{ID: made(1), Unit: "u1", Rank: true}); got != NoBucket {
		t.Errorf("a ranking has bucket %d", got)
	}
}

func TestFeedbackCountsInItsSegmentIfItCanBeBelieved(t *testing.T) {
	known := &Known{Variant: canary, Label: "1", Bucket: 9}
	tell := func(change func(*event.Outcome), known *Known) *Deltas {
		o := fromToken(KindLabel, 1)
		o.PolicyVersion = 4
		change(o)
		d := NewDeltas()
		d.AddOutcome(Settle(o, known, time.Hour))
		return d
	}
	d := tell(func(*event.Outcome) {}, known)
	want := map[Segment]*SegmentDelta{{canary, 4}: {Minutes: map[int64]*SegmentMinute{Minute(noon): {}}}}
	want[Segment{canary, 4}].Minutes[Minute(noon)].Cells[9] = MinuteOfBucket{Labelled: 1, Correct: 1}
	if diff := cmp.Diff(want, d.Segments); diff != "" {
		t.Errorf("a true label (-want +got)\n%s", diff)
	}
	rated := tell(func(o *event.Outcome) { o.Kind, o.Number = "rating", 3.5 }, known).Segments[Segment{canary, 4}].Minutes[Minute(noon)]
	if k := rated.Kinds; len(k) != 1 || k[0].Kind != "rating" || k[0].Cells[9].N != 1 || k[0].Cells[9].Sum.Float() != 3.5 || rated.Cells[9].Labelled != 0 {
		t.Errorf("a rating: %+v", rated)
	}
	byRule := *known
	byRule.Bucket = NoBucket
	for name, d := range map[string]*Deltas{
		"late":                tell(func(o *event.Outcome) { o.ReceivedAt = noon.Add(2 * time.Hour) }, known),
		"by the id alone":     tell(func(o *event.Outcome) { o.Verified = false }, known),
		"by hand":             tell(func(o *event.Outcome) { o.ByHand = true }, known),
		"by a rule":           tell(func(*event.Outcome) {}, &byRule),
		"of an unknown user":  tell(func(*event.Outcome) {}, nil),
		"of no policy":        tell(func(o *event.Outcome) { o.PolicyVersion = 0 }, known),
		"through the cookie":  tell(func(o *event.Outcome) { o.Attributed = true }, known),
		"of unknown decision": tell(func(o *event.Outcome) { *o = *fromID(KindLabel, 1) }, nil),
	} {
		if len(d.Segments) > 0 {
			t.Errorf("feedback %s counts", name)
		}
	}
}

func TestTalliesCountInTheirSegment(t *testing.T) {
	tally := &event.Tally{
		From: noon, To: noon.Add(time.Second), Service: "reviews", Epoch: 2, PolicyVersion: 4, Variant: "canary", Version: "v", Bucket: 63,
		Requests: 10, Shed: 2, Fallbacks: 1, FirstErrors: 2, Errors: [event.NumClasses]uint64{1, 2, 1, 0}, Micros: 800,
	}
	tally.Latency.AddN(200, 4)
	d := NewDeltas()
	d.AddTally(tally)
	d.AddTally(tally)
	unknown := *tally
	unknown.PolicyVersion = 0
	d.AddTally(&unknown)
	got := d.Segments[Segment{canary, 4}]
	if len(d.Segments) != 1 || got == nil {
		t.Fatalf("%d segments", len(d.Segments))
	}
	c := got.Counts[63]
	if c.Requests != 16 || c.Failed != 6 || c.Fallbacks != 2 || c.FirstErrors != 4 || c.Micros != 1600 || c.Latency.Count() != 8 {
		t.Errorf("%+v", c)
	}
	if m := got.Minutes[Minute(noon)]; len(got.Minutes) != 1 || m.Cells[63] != (MinuteOfBucket{Successful: 8}) {
		t.Errorf("%+v", got.Minutes)
	}
}

func drawCounts(t *rapid.T) *SegmentCounts {
	c := new(SegmentCounts)
	for range rapid.IntRange(0, 4).Draw(t, "buckets") {
		n := rapid.Uint64Range(0, 1000)
		cell := &c[rapid.IntRange(0, traffic.Buckets-1).Draw(t, "bucket")]
		cell.Requests, cell.Failed, cell.Fallbacks, cell.FirstErrors = n.Draw(t, "requests"), n.Draw(t, "failed"), n.Draw(t, "fallbacks"), n.Draw(t, "first")
		for range rapid.IntRange(0, 3).Draw(t, "latencies") {
			v := rapid.IntRange(0, 1e7).Draw(t, "latency")
			cell.Micros += uint64(v)
			cell.Latency.Add(float64(v))
		}
	}
	return c
}

func drawMinute(t *rapid.T) *SegmentMinute {
	m := new(SegmentMinute)
	for range rapid.IntRange(0, 4).Draw(t, "buckets") {
		n := rapid.Uint64Range(0, 1000)
		b := rapid.IntRange(0, traffic.Buckets-1).Draw(t, "bucket")
		m.Cells[b] = MinuteOfBucket{n.Draw(t, "successful"), n.Draw(t, "labelled"), n.Draw(t, "correct")}
		k := m.kind(rapid.SampledFrom([]string{"reward", "click", ""}).Draw(t, "kind"), MostKinds)
		k.Cells[b].N++
		k.Cells[b].Sum.Add(FixedOf(rapid.Float64Range(-10, 10).Draw(t, "value")))
	}
	return m
}

func TestSegmentsReadAsTheyWereWrittenAndAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawCounts(t), drawCounts(t)
		whole, read := new(SegmentCounts), new(SegmentCounts)
		for _, c := range []*SegmentCounts{a, b} {
			whole.Merge(c)
			body, err := c.AppendBinary(nil)
			if err == nil {
				err = read.MergeBinary(body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(whole, read); diff != "" {
			t.Fatalf("counts (-added +read)\n%s", diff)
		}
		m, n := drawMinute(t), drawMinute(t)
		minutes, back := new(SegmentMinute), new(SegmentMinute)
		for _, c := range []*SegmentMinute{m, n} {
			minutes.Merge(c)
			if err := back.MergeBinary(c.AppendBinary(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(minutes, back); diff != "" {
			t.Fatalf("minutes (-added +read)\n%s", diff)
		}
	})
}

// The forms are a contract: files hold them.
func TestSegmentFormsAreKept(t *testing.T) {
	c := new(SegmentCounts)
	c[2] = CountsOfBucket{Requests: 300, Failed: 2, Fallbacks: 1, FirstErrors: 1, Micros: 1234}
	c[2].Latency.Add(1234)
	m := new(SegmentMinute)
	m.Cells[63] = MinuteOfBucket{Successful: 5, Labelled: 3, Correct: 2}
	m.kind("click", MostKinds).Cells[0] = ValueSum{N: 2, Sum: FixedOf(-1.5)}
	counts, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	minute := m.AppendBinary(nil)
	for what, p := range map[string]struct {
		got  []byte
		want string
		read func([]byte) error
	}{
		"counts": {counts, goldenCounts, new(SegmentCounts).MergeBinary},
		"minute": {minute, goldenMinute, new(SegmentMinute).MergeBinary},
	} {
		if got := hex.EncodeToString(p.got); got != p.want {
			t.Errorf("%s are written as %s", what, got)
		}
		if err := p.read(p.got); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for n := range p.got {
			if p.read(p.got[:n]) == nil {
				t.Errorf("%s cut to %d bytes read", what, n)
			}
		}
		if p.read(append(p.got, 0)) == nil {
			t.Errorf("%s read with more behind them", what)
		}
	}
}

const (
	goldenCounts = "010400000000000000ac02020101d2090c0100018e1501a413a413a413"
	goldenMinute = "0100000000000000800503020105636c69636b01000000000000000203808080808010"
)

func TestBeyondSomeKindsOfOutcomesNoMoreAreAddedUp(t *testing.T) {
	whole, delta := new(SegmentMinute), new(SegmentMinute)
	for i := range 3 * MostKinds {
		delta.kind(string(rune('a'+i)), math.MaxInt).Cells[0].N++
	}
	whole.Merge(delta)
	whole.Merge(delta)
	if len(whole.Kinds) != MostKinds || whole.Kinds[0].Kind != "a" || whole.Kinds[0].Cells[0].N != 2 {
		t.Errorf("%d kinds, first %+v", len(whole.Kinds), whole.Kinds[0])
	}
}

func FuzzSegment(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0})
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 1, 1, 'k', 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := new(SegmentCounts)
		if c.MergeBinary(data) == nil {
			body, err := c.AppendBinary(nil)
			again := new(SegmentCounts)
			if err == nil {
				err = again.MergeBinary(body)
			}
			if err != nil || !cmp.Equal(c, again) {
				t.Fatalf("counts do not survive writing: %v", err)
			}
		}
		m := new(SegmentMinute)
		if m.MergeBinary(data) == nil {
			again := new(SegmentMinute)
			if err := again.MergeBinary(m.AppendBinary(nil)); err != nil || m.Cells != again.Cells || len(m.Kinds) != len(again.Kinds) {
				t.Fatalf("a minute does not survive writing: %v", err)
			}
		}
	})
}
