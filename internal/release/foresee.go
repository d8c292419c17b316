package release

import (
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// Before is what is known of a metric before a release begins: how stable is.
type Before struct {
	Value    float64      // its mean, share or quantile; NaN: nothing is known
	Variance float64      // of one observation; of shares it follows from the value
	Latency  *stat.Sketch // microseconds; for quantiles
}

// never is more observations than anybody waits for.
const never = 1e15

// Foresee returns after how many observations, of both variants together, a metric passes of a candidate that is as good as stable and has the
// given share of them: about, half of the times sooner. It asks what Judge asks, of figures that are as expected and of users who ask once
// each; those who ask often make it later. It is +Inf where that never comes, and NaN where nothing is known.
func Foresee(m Metric, b Before, share float64, l Levels) (float64, error) {
	if math.IsNaN(b.Value) || !(share > 0 && share < 1) || m.elsewhere() {
		return math.NaN(), nil
	}
	passes, err := m.passing(b, share, l)
	if err != nil {
		return 0, err
	}
	n := first(float64(m.minSample()), never, passes)
	if n >= never {
		return math.Inf(1), nil
	}
	return math.Ceil(n), nil
}

// passing returns whether a metric passes after so many observations.
func (m *Metric) passing(b Before, share float64, l Levels) (func(n float64) bool, error) {
	mean, err := stat.NewMeanSequence(l.Pass, tuneMeans)
	if err != nil {
		return nil, err
	}
	exact, err := stat.NewShareSequence(l.Pass, tuneShares)
	if err != nil {
		return nil, err
	}
	enough := func(n float64) bool {
		smaller := n * share
		if m.Versus {
			smaller = n * min(share, 1-share)
		}
		return smaller >= float64(m.minSample())
	}
	switch {
	case m.Quantile > 0 && (b.Latency == nil || b.Latency.Count() == 0):
		return func(float64) bool { return false }, nil
	case m.Quantile > 0:
		limit := m.Limit * 1e6
		if m.Versus {
			limit = b.Latency.Quantile(m.Quantile) + m.Margin*1e6
		}
		atMost, _ := b.Latency.CountAtMost(limit)
		fewer := float64(atMost)/float64(b.Latency.Count()) - m.Quantile // answers beyond the limit than may be
		return func(n float64) bool {
			counted, part := n*share, 1/(n*share)
			if m.Versus {
				counted, part = n, part+1/(n*(1-share))
			}
			return enough(n) && fewer > mean.OneSidedMultiplier(uint64(counted))*math.Sqrt(spreadOf(m.Quantile)*part)
		}, nil
	case m.Versus:
		return func(n float64) bool {
			one, two := n*(1-share), n*share
			if m.isShare() && scarce(b.Value, min(one, two)) {
				_, high := m.mirror(limits(exact.Difference(expected(b.Value, one), expected(b.Value, two))))
				return enough(n) && high <= m.Margin
			}
			e := stat.Estimate{SE: math.Sqrt(m.variance(b) * (1/one + 1/two)), N: uint64(n)}
			if m.isShare() {
				e.SE = m.atMargin(e.SE, stat.Pair{Y: b.Value * one, Z: one}, stat.Pair{Y: b.Value * two, Z: two})
			}
			return enough(n) && mean.AtMost(e).High <= m.Margin
		}, nil
	}
	return func(n float64) bool {
		n *= share
		if m.isShare() { // see cautiously
			_, high := m.mirror(limits(exact.Interval(expected(b.Value, n))))
			return enough(n/share) && high <= -m.better()*m.Limit
		}
		e := stat.Estimate{Value: -m.better() * b.Value, SE: math.Sqrt(m.variance(b) / n), N: uint64(n)}
		return enough(n/share) && mean.AtMost(e).High <= -m.better()*m.Limit
	}, nil
}

// Harm returns how much worse than stable, or beyond the limit, a candidate has to be for the metric to fail after so many observations of both
// variants, half of the times. It is NaN where that is not known, as for quantiles.
func Harm(m Metric, b Before, share, n float64, l Levels) (float64, error) {
	if math.IsNaN(b.Value) || !(share > 0 && share < 1) || m.elsewhere() || m.Quantile > 0 || !(n > 0) {
		return math.NaN(), nil
	}
	fails, err := m.failing(b, share, n, l)
	if err != nil {
		return 0, err
	}
	most := 1.0
	if !m.isShare() {
		most = 1e6 * max(math.Abs(b.Value), 1)
	}
	harm := first(most*1e-9, most, fails)
	if harm >= most {
		return math.NaN(), nil
	}
	return harm, nil
}

// failing returns whether a metric fails of a candidate that is so much worse.
func (m *Metric) failing(b Before, share, n float64, l Levels) (func(harm float64) bool, error) {
	mean, err := stat.NewMeanSequence(l.Fail, tuneMeans)
	if err != nil {
		return nil, err
	}
	exact, err := stat.NewShareSequence(l.Fail, Buckets)
	if err != nil {
		return nil, err
	}
	one, two := n*(1-share), n*share
	variance := func(value float64) float64 {
		if m.isShare() {
			return spreadOf(value)
		}
		return b.Variance
	}
	if m.Measure == Errors && m.Versus {
		test, err := stat.NewSplitTest(stat.EventsKappa, 1-share, share*(1+m.Tolerate))
		if err != nil {
			return nil, err
		}
		return func(harm float64) bool {
			e, err := test.LogEMore(1, uint64(b.Value*one), uint64(min(b.Value+harm, 1)*two))
			return err == nil && e >= -math.Log(l.Fail*usersPart)
		}, nil
	}
	if m.Versus {
		return func(harm float64) bool {
			worse := b.Value - m.better()*harm
			if m.isShare() && scarce(b.Value, min(one, two)) {
				low, _ := m.mirror(limits(exact.Difference(expected(b.Value, Buckets), expected(worse, Buckets))))
				return low > m.Tolerate
			}
			e := stat.Estimate{Value: harm, SE: math.Sqrt(variance(b.Value)/one + variance(worse)/two), N: uint64(n)}
			return mean.AtLeast(e).Low > m.Tolerate
		}, nil
	}
	return func(harm float64) bool {
		worse := m.Limit - m.better()*harm
		if m.isShare() && scarce(worse, two) {
			low, _ := m.mirror(limits(exact.Interval(expected(worse, Buckets))))
			return low > -m.better()*m.Limit
		}
		e := stat.Estimate{Value: -m.better() * worse, SE: math.Sqrt(variance(worse) / two), N: uint64(two)}
		return mean.AtLeast(e).Low > -m.better()*m.Limit
	}, nil
}

// variance is that of one observation.
func (m *Metric) variance(b Before) float64 {
	if m.isShare() {
		return spreadOf(b.Value)
	}
	return b.Variance
}

// spreadOf is the variance of one observation that is a hit with probability p.
func spreadOf(p float64) float64 {
	p = max(0, min(p, 1))
	return p * (1 - p)
}

// expected is a share as it is expected after n observations.
func expected(p, n float64) stat.Share {
	return stat.Share{Count: uint64(math.Round(max(0, min(p, 1)) * n)), N: uint64(math.Round(n))}
}

// scarce tells whether few groups of users are expected to have a hit, or to have a miss, after n observations: see few.
func scarce(p, n float64) bool {
	carried := func(events float64) float64 { return Buckets * (1 - math.Exp(-events/Buckets)) }
	return min(carried(p*n), carried((1-p)*n)) < stat.MinEvents
}

// first returns the smallest number of from to most for which enough holds, to a thousandth; it holds for all larger ones. It is most where it
// holds for none.
func first(from, most float64, enough func(float64) bool) float64 {
	if enough(from) {
		return from
	}
	low, high := from, from
	for !enough(high) {
		if low, high = high, high*2; high >= most {
			return most
		}
	}
	for high-low > high*1e-3 {
		if middle := low + (high-low)/2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

func limits(i stat.Interval) (low, high float64) { return i.Low, i.High }
