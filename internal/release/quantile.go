package release

import (
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// judgeQuantile holds a quantile of the latency against a limit, or against stable's. "The p99 is at most 0.5 s" is the same as "at most 1%
// of the answers took longer", which is a share, with users for its witnesses. The limits of the quantile are the times that such a test does
// not refute.
func judgeQuantile(m *Metric, segments []Segment, l Levels) (f finding, err error) {
	var stable, candidate []*stat.Sketch
	for i := range segments {
		s := &segments[i]
		if m.Versus && !(s.Share > 0 && s.Share < 1) {
			continue
		}
		stable = addSketches(stable, &s.Stable)
		candidate = addSketches(candidate, &s.Candidate)
	}
	n, least := count(candidate), m.minSample()
	f.shown = stat.Interval{Estimate: quantile(candidate, m.Quantile), Low: math.Inf(-1), High: math.Inf(1)}
	if m.Versus {
		f.shown.Estimate -= quantile(stable, m.Quantile)
		n += count(stable)
		least = max(least, 1)
	}
	f.n, f.shown.N = n, n
	smaller := count(candidate)
	if m.Versus {
		smaller = min(smaller, count(stable))
	}
	if smaller < least {
		f.why = waiting(m, float64(smaller))
		return f, nil
	}
	level, failLevel := l.Pass, l.Fail
	if m.Versus { // two intervals hold together
		level, failLevel = level/2, failLevel/2
	}
	shown, err := quantileLimits(candidate, m.Quantile, level)
	if err != nil {
		return f, err
	}
	harm, err := quantileLimits(candidate, m.Quantile, failLevel)
	if err != nil {
		return f, err
	}
	if !m.Versus {
		f.shown.Low, f.shown.High = shown.Low, shown.High
		f.harm, f.clear = harm.Low > m.Limit, shown.High <= m.Limit
	} else {
		other, err := quantileLimits(stable, m.Quantile, level)
		if err != nil {
			return f, err
		}
		otherHarm, err := quantileLimits(stable, m.Quantile, failLevel)
		if err != nil {
			return f, err
		}
		f.shown.Low, f.shown.High = shown.Low-other.High, shown.High-other.Low
		f.harm, f.clear = harm.Low-otherHarm.High > m.Tolerate, f.shown.High <= m.Margin
	}
	if !f.harm && !f.clear && math.IsInf(f.shown.High, 1) {
		f.why = "too few answers that slow to say how far the quantile can be off"
	}
	return f, nil
}

// quantileLimits returns the times, in seconds, of which a test at alpha does not refute that they are the quantile.
func quantileLimits(by []*stat.Sketch, p, alpha float64) (stat.Interval, error) {
	out := stat.Interval{Low: 0, High: math.Inf(1)}
	mean, err := stat.NewMeanSequence(alpha/2, tuneMeans)
	if err != nil {
		return out, err
	}
	exact, err := stat.NewShareSequence(alpha/2, tuneShares)
	if err != nil {
		return out, err
	}
	// above tells the limits of the share of answers that took longer than t, in microseconds.
	above := func(t float64, atMost bool) (low, high float64) {
		var slow Pairs
		for b, s := range by {
			if s == nil {
				continue
			}
			fewest, most := s.CountAtMost(t)
			if !atMost { // whichever is the more cautious
				fewest = most
			}
			slow[b] = stat.Pair{Y: float64(s.Count() - fewest), Z: float64(s.Count())}
		}
		arms := [][]stat.Pair{slow[:]}
		if few(arms) || !spread(arms) {
			i := exact.Interval(counts(arms))
			return i.Low, i.High
		}
		e := stat.StratifiedMean(arms)
		e.SE = max(e.SE, shareError(total(arms)))
		return mean.AtLeast(e).Low, mean.AtMost(e).High
	}
	top := 0.0
	for _, s := range by {
		if s != nil {
			top = max(top, s.Max())
		}
	}
	if _, high := above(top, true); high <= 1-p {
		out.High = search(top, func(t float64) bool { _, high := above(t, true); return high <= 1-p }) / 1e6
	}
	// The quantile is above every time that more than 1-p of the answers are shown to take longer than.
	out.Low = search(top, func(t float64) bool { low, _ := above(t, false); return low <= 1-p }) / 1e6
	return out, nil
}

// search returns the smallest time, of up to top, for which enough holds, to a thousandth; it holds for all larger ones.
func search(top float64, enough func(float64) bool) float64 {
	low, high := 0.0, top
	for range 40 {
		if middle := low + (high-low)/2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
		if high-low <= high*1e-3 {
			break
		}
	}
	return high
}

func addSketches(to []*stat.Sketch, arm *Arm) []*stat.Sketch {
	if to == nil {
		to = make([]*stat.Sketch, Buckets)
	}
	for b, s := range arm.Latencies {
		switch {
		case s == nil:
		case to[b] == nil:
			to[b] = s.Clone()
		default:
			to[b].Merge(s)
		}
	}
	return to
}

func count(by []*stat.Sketch) (n uint64) {
	for _, s := range by {
		if s != nil {
			n += s.Count()
		}
	}
	return n
}

// quantile of all sketches together, in seconds.
func quantile(by []*stat.Sketch, p float64) float64 {
	var all stat.Sketch
	for _, s := range by {
		if s != nil {
			all.Merge(s)
		}
	}
	return all.Quantile(p) / 1e6
}
