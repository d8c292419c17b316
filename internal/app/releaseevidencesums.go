package app

import (
	"fmt"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/stat"
)

// armSums is what was measured of one variant while the weights stood still. Its methods that only read take a nil one for an empty one.
type armSums struct {
	counts [release.Buckets]struct{ requests, failed, fallbacks, successful, micros uint64 }
	erred  uint64
	fed    []fedSums // as watched.feedback
	slow   bool      // sketches are wanted

	latencies [release.Buckets]*stat.Sketch
	told      [release.Buckets]bool // the sketch is in a look, and must not change any more
}

// fedSums is feedback of one kind, on decisions that are old enough.
type fedSums [release.Buckets]struct {
	n, correct, successful uint64 // of values there are n; of predictions n are labelled, correct of them right, of so many in all
	sum                    measure.Fixed
}

func (a *armSums) add(c *measure.SegmentCounts) {
	for b := range c {
		from, to := &c[b], &a.counts[b]
		to.requests += from.Requests
		to.failed += from.Failed
		to.fallbacks += from.Fallbacks
		to.successful += from.Latency.Count()
		to.micros += from.Micros
		a.erred += from.FirstErrors
		if !a.slow || from.Latency.Count() == 0 {
			continue
		}
		switch s := a.latencies[b]; {
		case s == nil:
			a.latencies[b] = from.Latency.Clone()
		case a.told[b]:
			a.latencies[b], a.told[b] = s.Clone(), false
			a.latencies[b].Merge(&from.Latency)
		default:
			s.Merge(&from.Latency)
		}
	}
}

func (f *fedSums) add(kind string, m *measure.SegmentMinute) {
	if kind == "" {
		for b := range m.Cells {
			from, to := &m.Cells[b], &f[b]
			to.n += from.Labelled
			to.correct += from.Correct
			to.successful += from.Successful
		}
		return
	}
	for i := range m.Kinds {
		if m.Kinds[i].Kind != kind {
			continue
		}
		for b := range m.Kinds[i].Cells {
			f[b].n += m.Kinds[i].Cells[b].N
			f[b].sum.Add(m.Kinds[i].Cells[b].Sum)
		}
	}
}

// asked is how many requests the variant got.
func (a *armSums) asked() (n uint64) {
	if a != nil {
		for b := range a.counts {
			n += a.counts[b].requests
		}
	}
	return n
}

// fill writes the sums into an arm of a look.
func (a *armSums) fill(to *release.Arm, feedback []ripening) {
	if a == nil {
		return
	}
	to.Erred = a.erred
	for b := range a.counts {
		c := &a.counts[b]
		asked := float64(c.requests)
		to.Failed[b] = stat.Pair{Y: float64(min(c.failed, c.requests)), Z: asked}
		to.Fellback[b] = stat.Pair{Y: float64(min(c.fallbacks, c.requests)), Z: asked}
		to.Took[b] = stat.Pair{Y: float64(c.micros) / 1e6, Z: float64(c.successful)}
		if a.latencies[b] != nil {
			to.Latencies[b], a.told[b] = a.latencies[b], true
		}
	}
	for i := range feedback {
		if kind := feedback[i].kind; kind != "" {
			if to.Values == nil {
				to.Values = map[string]*release.Pairs{}
			}
			to.Values[kind] = a.fed[i].values()
			continue
		}
		for b := range a.fed[i] {
			f := &a.fed[i][b]
			to.Right[b] = stat.Pair{Y: float64(f.correct), Z: float64(f.n)}
			to.Covered[b] = stat.Pair{Y: float64(min(f.n, f.successful)), Z: float64(f.successful)} // of one prediction there may be two labels
		}
	}
}

func (f *fedSums) values() *release.Pairs {
	p := new(release.Pairs)
	for b := range f {
		p[b] = stat.Pair{Y: f[b].sum.Float(), Z: float64(f[b].n)}
	}
	return p
}

// copySums is what came of copies that a shadow got.
type copySums struct {
	any    bool
	agreed release.Pairs
	slower [release.Buckets]int64 // microseconds that the shadow took longer, in all
	pairs  uint64
	failed uint64 // stable answered, and the shadow did not, or was late
	others uint64 // neither answered, or stable did not, or there was nothing to compare
}

func (c *copySums) add(of *event.Comparison) {
	c.any = true
	for i := range of.Buckets {
		b := &of.Buckets[i]
		if int(b.Bucket) >= len(c.agreed) {
			continue
		}
		c.agreed[b.Bucket].Y += float64(min(b.Agreed, b.Pairs))
		c.agreed[b.Bucket].Z += float64(b.Pairs)
		c.slower[b.Bucket] += b.Micros
		c.pairs += b.Pairs
	}
	c.failed += of.Unpaired[event.ShadowFailed] + of.Unpaired[event.ShadowLate]
	c.others += of.Unpaired[event.PrimaryFailed] + of.Unpaired[event.BothFailed] + of.Unpaired[event.Incomparable]
}

func (c *copySums) asked() uint64 { return c.pairs + c.failed + c.others }

// segment is that of the copies, nil where there are none. Either arm has answered all that is compared. A candidate that answers users is
// judged by how long that takes.
func (c *copySums) segment(strategy release.Strategy) *release.Segment {
	if !c.any {
		return nil
	}
	if strategy != release.Shadow {
		return &release.Segment{Share: 0.5, Candidate: release.Arm{Agreed: c.agreed}}
	}
	slower, none := new(release.Pairs), new(release.Pairs)
	for b := range slower {
		slower[b] = stat.Pair{Y: float64(c.slower[b]) / 1e6, Z: c.agreed[b].Z}
		none[b].Z = c.agreed[b].Z
	}
	return &release.Segment{
		Share: 0.5, Stable: release.Arm{Paired: none}, Candidate: release.Arm{Agreed: c.agreed, Paired: slower},
	}
}

// How many copies a shadow may leave without an answer until what agrees of the others says nothing of it.
const (
	mostUnanswered  = 0.05
	fewestForDoubts = 20
)

// unfit says why the comparisons say nothing of the shadow, "" if they do: an answer that it does not give agrees with nothing, and is in no
// pair.
func (c *copySums) unfit() string {
	if copies := c.pairs + c.failed; c.failed >= fewestForDoubts && float64(c.failed) > mostUnanswered*float64(copies) {
		return fmt.Sprintf("the candidate answered only %d of %d copies: how many of those agree says nothing of the others", c.pairs, copies)
	}
	return ""
}
