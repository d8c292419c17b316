package release

import (
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// judgeQuantile holds a quantile of the latency against a limit, or against stable's. "The p99 is at most 0.5 s" is the same as "at most 1%
// of the answers took longer", which is a share, with users for its witnesses: the limits of a quantile are the times at which the share of
// answers that took longer is shown to be larger, and shown to be smaller, than 1%, or than stable's share beyond stable's p99.
//
// Against stable, both arms are counted within each segment and put together as stat.StratifiedDifference does, so that a slow hour in which the
// candidate had more of the traffic is not held against it. Limits are edges of the sketches' cells, so a difference within a cell, of some
// 1%, is never shown.
func judgeQuantile(m *Metric, segments []Segment, l Levels) (f finding, err error) {
	t := newTails(m, segments)
	f.n = t.n
	f.shown = stat.Interval{Estimate: math.NaN(), Low: math.Inf(-1), High: math.Inf(1), N: t.n}
	if t.smaller == 0 {
		f.why = waiting(m, 0)
		return f, nil
	}
	var reference place // of a metric with a limit: 0
	if m.Versus {
		reference = t.find(ofStable)
		t.hold(reference)
	}
	own := t.find(ofCandidate)
	f.shown.Estimate = (own.value - reference.value) / 1e6
	switch {
	case t.smaller < m.minSample():
		f.why = waiting(m, float64(t.smaller))
		return f, nil
	case !spread(t.pairs[ofCandidate]) || m.Versus && !spread(t.pairs[ofStable]):
		f.why = tooFewUsers
		return f, nil
	}
	fail, err := stat.NewMeanSequence(l.Fail, tuneMeans)
	if err != nil {
		return f, err
	}
	pass, err := stat.NewMeanSequence(l.Pass, tuneMeans)
	if err != nil {
		return f, err
	}
	harm, clear := fail.OneSidedMultiplier(t.n), pass.OneSidedMultiplier(t.n)
	low, high := math.Inf(-1), math.Inf(1)
	if cell, ok := t.search(own.cell, -1, func(z float64) bool { return z > harm }); ok {
		_, edge := stat.CellEdges(cell)
		low = (edge - reference.high) / 1e6
	}
	if cell, ok := t.search(own.cell, 1, func(z float64) bool { return z < -clear }); ok {
		_, edge := stat.CellEdges(cell)
		high = (edge - reference.low) / 1e6
	}
	if m.Versus {
		f.settle(m, low, high, m.Tolerate, m.Margin)
	} else {
		f.settle(m, max(low, 0), high, m.Limit, m.Limit)
	}
	if math.IsInf(high, 1) {
		f.why = "too few answers that slow to say how far the quantile can be off"
	}
	return f, nil
}

// The arms, as tails keeps them.
const (
	ofStable = iota
	ofCandidate
)

// tails are the answers of both arms that took longer than some time, in each segment in which both have any.
type tails struct {
	quantile   float64
	arms       [2][]*stat.Tails // by segment; stable's are empty if the metric is not against it
	pairs      [2][][]stat.Pair // the same: answers that took longer, of all
	counts     [2][]float64     // the same: answers
	weights    []float64        // of the segments; their sum is 1
	both       []stat.Stratum   // the pairs of both arms
	n, smaller uint64           // answers of the arms, and of the one that has fewer
	null       float64          // the least standard error of the candidate's share where it is just what it is held against
	stableSE   float64          // the least standard error of stable's share
}

func newTails(m *Metric, segments []Segment) *tails {
	t := &tails{quantile: m.Quantile}
	var sums [2]float64
	sum := 0.0
	for i := range segments {
		s := &segments[i]
		if m.Versus && !(s.Share > 0 && s.Share < 1) {
			continue
		}
		b, nB := answers(&s.Candidate)
		weight := nB
		if m.Versus {
			a, nA := answers(&s.Stable)
			if weight = nA * nB / (nA + nB); !(weight > 0) {
				continue
			}
			t.add(ofStable, &s.Stable, a, nA)
			t.both = append(t.both, stat.Stratum{A: a, B: b})
			sums[ofStable] += nA
		}
		if !(weight > 0) {
			continue
		}
		t.add(ofCandidate, &s.Candidate, b, nB)
		sums[ofCandidate] += nB
		t.weights = append(t.weights, weight)
		sum += weight
	}
	for i := range t.weights {
		t.weights[i] /= sum
	}
	n, smaller := sums[ofCandidate], sums[ofCandidate]
	if m.Versus {
		n, smaller = n+sums[ofStable], min(sums[ofStable], smaller)
	}
	t.n, t.smaller = uint64(n), uint64(smaller)
	t.null = math.Sqrt(m.Quantile * (1 - m.Quantile) / sums[ofCandidate])
	return t
}

// answers are the counts of an arm's answers by bucket, and all of them.
func answers(arm *Arm) (pairs []stat.Pair, n float64) {
	pairs = make([]stat.Pair, Buckets)
	for b, s := range arm.Latencies {
		if s != nil {
			pairs[b].Z = float64(s.Count())
			n += pairs[b].Z
		}
	}
	return pairs, n
}

func (t *tails) add(arm int, of *Arm, pairs []stat.Pair, n float64) {
	t.arms[arm] = append(t.arms[arm], stat.NewTails(of.Latencies[:]))
	t.pairs[arm] = append(t.pairs[arm], pairs)
	t.counts[arm] = append(t.counts[arm], n)
}

// place is where a quantile lies: in a cell, of whose values the given part lie above it. Times are in microseconds.
type place struct {
	cell             int
	part             float64
	value, low, high float64
}

// find returns the place of the quantile in an arm, all segments put together by their weights.
func (t *tails) find(arm int) (p place) {
	slow := (1 - t.quantile) * (1 - 1e-12)
	low, high := math.MaxInt, -1
	for _, tail := range t.arms[arm] {
		low, high = min(low, tail.Lowest()), max(high, tail.Highest())
	}
	for step := 1; ; step *= 2 { // most quantiles that are asked for are near the top
		next := max(high-step, low-1) // above which all are
		if t.above(arm, next) >= slow {
			low = next
			break
		}
		high = next
	}
	for high-low > 1 { // fewer than wanted are above high, as many or more above low
		if middle := low + (high-low)/2; t.above(arm, middle) < slow {
			high = middle
		} else {
			low = middle
		}
	}
	p.cell = high
	p.low, p.high = stat.CellEdges(p.cell)
	above := t.above(arm, p.cell)
	if in := t.above(arm, p.cell-1) - above; in > 0 {
		p.part = min(max((1-t.quantile-above)/in, 0), 1)
	}
	p.value = p.high - p.part*(p.high-p.low)
	return p
}

// above is the share of an arm's answers above a cell.
func (t *tails) above(arm, cell int) (share float64) {
	for i, tail := range t.arms[arm] {
		tail.MoveTo(cell)
		sum := 0.0
		for _, v := range tail.Above {
			sum += v
		}
		share += t.weights[i] * sum / t.counts[arm][i]
	}
	return share
}

// hold makes stable's answers beyond its quantile what the candidate's are held against.
func (t *tails) hold(at place) {
	for i, tail := range t.arms[ofStable] {
		tail.MoveTo(at.cell)
		for b := range t.pairs[ofStable][i] {
			t.pairs[ofStable][i][b].Y = tail.Above[b] + at.part*tail.In(b)
		}
	}
	sum := total(t.pairs[ofStable])
	t.stableSE = shareError(sum)
	// Where it equals stable's, the candidate's share is as uncertain as stable's, however few of its own answers were slow so far.
	if own := stat.StratifiedMean(t.pairs[ofStable]); !math.IsInf(own.SE, 1) {
		t.null = max(t.null, own.SE*math.Sqrt(sum.Z/total(t.pairs[ofCandidate]).Z))
	}
}

// z is by how many standard errors the candidate's share of answers above a cell exceeds what it is held against.
func (t *tails) z(cell int) float64 {
	for i, tail := range t.arms[ofCandidate] {
		tail.MoveTo(cell)
		for b, v := range tail.Above {
			t.pairs[ofCandidate][i][b].Y = v
		}
	}
	least := max(t.null, shareError(total(t.pairs[ofCandidate])))
	if t.both == nil {
		e := stat.StratifiedMean(t.pairs[ofCandidate])
		return (e.Value - (1 - t.quantile)) / atLeast(e.SE, least)
	}
	e, leastOfStable := stat.StratifiedDifference(t.both), t.stableSE
	if a, b := sumOfAll(t.counts[ofStable]), sumOfAll(t.counts[ofCandidate]); b > a { // stable may have none of the few users who are slow
		leastOfStable = atLeast(stat.StratifiedMean(t.pairs[ofCandidate]).SE*math.Sqrt(b/a), leastOfStable)
	}
	return e.Value / atLeast(e.SE, math.Hypot(least, leastOfStable))
}

func sumOfAll(counts []float64) (sum float64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// atLeast is a standard error that is known to be no smaller than another; the other where all groups say the same, which tells none.
func atLeast(se, least float64) float64 {
	if math.IsInf(se, 1) {
		return least
	}
	return max(se, least)
}

// search looks from a cell downwards (-1) or upwards (1) for the nearest at which z shows something; ok tells whether there is one. What z
// shows at one cell it shows at those beyond.
func (t *tails) search(from, direction int, shows func(z float64) bool) (cell int, ok bool) {
	last := from
	for _, tail := range t.arms[ofCandidate] {
		if direction < 0 {
			last = min(last, tail.Lowest()-1)
		} else {
			last = max(last, tail.Highest())
		}
	}
	near, far := from, from // z shows nothing at near
	for step := direction; !shows(t.z(far)); step *= 2 {
		if far == last {
			return 0, false
		}
		near = far
		if far += step; (far-last)*direction > 0 {
			far = last
		}
	}
	for (far-near)*direction > 1 {
		if middle := near + (far-near)/2; shows(t.z(middle)) {
			far = middle
		} else {
			near = middle
		}
	}
	return far, true
}
