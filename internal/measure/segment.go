package measure

import (
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/stat"
	"github.com/serin-ml/serin/internal/traffic"
)

// Segment is what a release is judged by is kept by: one way to answer, as one version, while the weights stood still. Within a segment all
// was measured at the same time as in the segments of the other variants.
type Segment struct {
	Variant
	PolicyVersion uint64
}

// NoBucket is the bucket of a decision that says nothing of how weights drew: somebody chose the variant, by hand or by a rule.
const NoBucket = 0xff

// BucketOf returns the bucket of a decision's unit, as tallies have it, or NoBucket.
func BucketOf(d *event.Decision) uint8 {
	if d.Rank || d.Reason != event.Weights && d.Reason != event.Failover && d.Reason != event.Fallback {
		return NoBucket
	}
	if d.Unit == "" {
		return traffic.Bucket(d.ID[:])
	}
	return traffic.Bucket(d.Unit)
}

// SegmentDelta is what records add to a segment.
type SegmentDelta struct {
	Counts  *SegmentCounts           // nil: nothing was asked
	Minutes map[int64]*SegmentMinute // by the minute of the decision
}

// SegmentCounts are tallies by bucket. Sums of them are the same in whatever order they are added.
type SegmentCounts [traffic.Buckets]CountsOfBucket

// CountsOfBucket are the tallies of one bucket.
type CountsOfBucket struct {
	Requests    uint64 // but those that were refused under overload
	Failed      uint64 // of them, by our fault: classes Server and Timeout
	Fallbacks   uint64
	FirstErrors uint64 // units whose first error of the epoch this was
	Micros      uint64 // of successful requests, which Latency counts
	Latency     stat.Sketch
}

// Merge adds o, which is not kept.
func (c *SegmentCounts) Merge(o *SegmentCounts) {
	for b := range o {
		from, to := &o[b], &c[b]
		to.Requests += from.Requests
		to.Failed += from.Failed
		to.Fallbacks += from.Fallbacks
		to.FirstErrors += from.FirstErrors
		to.Micros += from.Micros
		to.Latency.Merge(&from.Latency)
	}
}

// SegmentMinute is what came back for the decisions of one minute, by bucket, and how many there were. Outcomes count that are verified,
// in time, and of decisions that weights have drawn.
type SegmentMinute struct {
	Cells [traffic.Buckets]MinuteOfBucket
	Kinds []KindSums // in the order in which they came; at most MostKinds, but in what one batch adds
}

// MinuteOfBucket counts the predictions of one bucket in one minute.
type MinuteOfBucket struct {
	Successful uint64 // requests
	Labelled   uint64 // outcomes that say whether the prediction was right
	Correct    uint64 // of them
}

// KindSums are the values of outcomes of one kind, by bucket.
type KindSums struct {
	Kind  string
	Cells [traffic.Buckets]ValueSum
}

// ValueSum adds values up.
type ValueSum struct {
	N   uint64
	Sum Fixed
}

// MostKinds is how many kinds of outcomes are told apart in a minute of a segment; others are not added up.
const MostKinds = 16

// Merge adds o, which is not kept.
func (m *SegmentMinute) Merge(o *SegmentMinute) {
	for b := range o.Cells {
		from, to := &o.Cells[b], &m.Cells[b]
		to.Successful += from.Successful
		to.Labelled += from.Labelled
		to.Correct += from.Correct
	}
	for i := range o.Kinds {
		to := m.kind(o.Kinds[i].Kind, MostKinds)
		if to == nil {
			continue
		}
		for b := range to.Cells {
			to.Cells[b].N += o.Kinds[i].Cells[b].N
			to.Cells[b].Sum.Add(o.Kinds[i].Cells[b].Sum)
		}
	}
}

// kind returns the sums of a kind, nil where that would be more than most.
func (m *SegmentMinute) kind(name string, most int) *KindSums {
	at := slices.IndexFunc(m.Kinds, func(k KindSums) bool { return k.Kind == name })
	if at < 0 {
		if len(m.Kinds) >= most {
			return nil
		}
		m.Kinds, at = append(m.Kinds, KindSums{Kind: name}), len(m.Kinds)
	}
	return &m.Kinds[at]
}

func (d *Deltas) segment(of Segment) *SegmentDelta {
	if d.lastDelta != nil && d.lastSegment == of {
		return d.lastDelta
	}
	s := d.Segments[of]
	if s == nil {
		s = &SegmentDelta{Minutes: map[int64]*SegmentMinute{}}
		d.Segments[of] = s
	}
	d.lastSegment, d.lastDelta = of, s
	return s
}

func (s *SegmentDelta) minute(at int64) *SegmentMinute {
	m := s.Minutes[at]
	if m == nil {
		m = &SegmentMinute{}
		s.Minutes[at] = m
	}
	return m
}

// addSegment adds a tally to its segment. What no policy decided is in none.
func (d *Deltas) addSegment(t *event.Tally) {
	if t.PolicyVersion == 0 || t.Bucket >= traffic.Buckets {
		return
	}
	s := d.segment(Segment{Variant{t.Service, t.Epoch, t.Variant, t.Version}, t.PolicyVersion})
	if s.Counts == nil {
		s.Counts = &SegmentCounts{}
	}
	c := &s.Counts[t.Bucket]
	c.Requests += t.Requests - min(t.Shed, t.Requests)
	c.Failed += t.Errors[event.Server] + t.Errors[event.Timeout]
	c.Fallbacks += t.Fallbacks
	c.FirstErrors += t.FirstErrors
	c.Micros += t.Micros
	c.Latency.Merge(&t.Latency)
	if n := t.Latency.Count(); n > 0 {
		s.minute(Minute(t.From)).Cells[t.Bucket].Successful += n
	}
}

// addFeedback adds a settled outcome to its segment.
func (d *Deltas) addFeedback(o *Settled) {
	if o.Status != Counted || o.Class != Verified || o.PolicyVersion == 0 || o.Bucket >= traffic.Buckets {
		return
	}
	m := d.segment(Segment{o.Variant, o.PolicyVersion}).minute(Minute(o.Decided))
	if o.Labelled {
		c := &m.Cells[o.Bucket]
		c.Labelled++
		if o.Correct {
			c.Correct++
		}
	}
	if o.Kind == KindLabel { // its value is whether it was predicted
		return
	}
	// All kinds of a batch: which are too many depends on those before it.
	k := m.kind(o.Kind, math.MaxInt)
	k.Cells[o.Bucket].N++
	k.Cells[o.Bucket].Sum.Add(FixedOf(o.Value))
}
