package release

import "github.com/serin-ml/serin/internal/stat"

// Buckets is how many groups of whole users figures are kept by. Requests of one user depend on each other; those of different buckets do
// not.
const Buckets = 64

// Pairs are one figure by bucket: Y of Z.
type Pairs [Buckets]stat.Pair

// Arm is what was measured of one variant in one segment.
type Arm struct {
	Failed    Pairs                 // requests that failed, of all
	Fellback  Pairs                 // requests that the fallback answered, of all
	Took      Pairs                 // seconds, of successful requests
	Right     Pairs                 // predictions that were right, of labelled ones
	Covered   Pairs                 // predictions that a label came back for, of all that are old enough for one
	Agreed    Pairs                 // of a shadow: answers that agree, of those that could be compared
	Paired    *Pairs                // of a shadow and of stable beside it: seconds by which it took longer than stable, 0 for stable itself; else nil
	Values    map[string]*Pairs     // by kind: the sum of outcomes' values, of how many there are
	Erred     uint64                // users who had their first error of the release here
	Latencies [Buckets]*stat.Sketch // microseconds, of successful requests; nil: none
}

// Segment is what was measured while the weights stood still.
type Segment struct {
	Share     float64 // the candidate's share of the units that either arm gets: above 0 and below 1, or the segment compares nothing
	Stable    Arm
	Candidate Arm
	Disputed  *Disputed // of a shadow: nil where the candidate answers by itself
}

// Disputed counts who was right where a shadow predicted another class than stable: of each user the first prediction that feedback judged.
type Disputed struct{ Stable, Candidate, Neither uint64 }

// pairs returns the figures that a metric is about; nil where there are none.
func (a *Arm) pairs(m *Metric) *Pairs {
	switch m.Measure {
	case Latency:
		if m.Versus && a.Paired != nil {
			return a.Paired
		}
		return &a.Took
	case Errors:
		return &a.Failed
	case Fallbacks:
		return &a.Fellback
	case Accuracy:
		return &a.Right
	case Agreement:
		return &a.Agreed
	case covered:
		return &a.Covered
	case Value:
		return a.Values[m.Kind]
	case Expression, Query: // are judged elsewhere
	}
	return nil
}

var nothing Pairs

// strata are the segments in which both arms had a share, as a metric sees them.
func strata(m *Metric, segments []Segment) []stat.Stratum {
	all := make([]stat.Stratum, 0, len(segments))
	for i := range segments {
		s := &segments[i]
		if !(s.Share > 0 && s.Share < 1) {
			continue
		}
		a, b := s.Stable.pairs(m), s.Candidate.pairs(m)
		if a == nil {
			a = &nothing
		}
		if b == nil {
			b = &nothing
		}
		all = append(all, stat.Stratum{A: a[:], B: b[:]})
	}
	return all
}

// candidate is what a metric sees of the candidate alone, in all segments.
func candidate(m *Metric, segments []Segment) [][]stat.Pair {
	all := make([][]stat.Pair, 0, len(segments))
	for i := range segments {
		if p := segments[i].Candidate.pairs(m); p != nil {
			all = append(all, p[:])
		}
	}
	return all
}

// byBucket adds up a figure over segments.
func byBucket(arms [][]stat.Pair) (sums Pairs) {
	for _, arm := range arms {
		for b, p := range arm {
			sums[b].Y += p.Y
			sums[b].Z += p.Z
		}
	}
	return sums
}

// carriers count by how many buckets a share is carried: how many have a hit, and how many have a miss.
func carriers(arms [][]stat.Pair) (hits, misses int) {
	for _, p := range byBucket(arms) {
		if p.Y > 0 {
			hits++
		}
		if p.Y < p.Z {
			misses++
		}
	}
	return hits, misses
}

// total adds up a figure.
func total(arms [][]stat.Pair) (sum stat.Pair) {
	for _, p := range byBucket(arms) {
		sum.Y += p.Y
		sum.Z += p.Z
	}
	return sum
}
