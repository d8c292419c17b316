package stat

import "math"

// QuantileSequence gives confidence sequences for one quantile, such as the p99 of a latency: the beta-binomial mixture of
// ShareSequence on the number of values at or below it (Howard and Ramdas, Sequential estimation of quantiles, 2022; confseq).
// Without assumptions on the distribution, the p99 has no upper limit before 607 values (alpha 0.05, tuned for 2000): a gate on fewer
// is theatre, and here it says so by High = +Inf.
type QuantileSequence struct {
	threshold, kappa, p float64
}

// NewQuantileSequence returns the sequence for quantile p (0.99 for p99) of error probability alpha, closest at about tune values.
func NewQuantileSequence(p, alpha, tune float64) (QuantileSequence, error) {
	if err := checkLevel(alpha, tune); err != nil {
		return QuantileSequence{}, err
	}
	if err := checkQuantile(p); err != nil {
		return QuantileSequence{}, err
	}
	return QuantileSequence{threshold: -math.Log(alpha), kappa: countKappa(alpha, tune), p: p}, nil
}

// Interval returns the sketch's quantile and the limits of the true one. The sketch's own error of 1% is inside them.
func (q QuantileSequence) Interval(s *Sketch) Interval {
	i := Interval{Estimate: s.Quantile(q.p), Low: 0, High: math.Inf(1), N: s.Count()}
	low, high := q.ranks(s.Count())
	if low > 0 {
		i.Low, _, _ = s.atRank(low)
	}
	if high < s.Count() {
		_, i.High, _ = s.atRank(high + 1)
	}
	return i
}

// ranks returns the smallest and the largest number of values, of n, that may lie at or below the true quantile.
func (q QuantileSequence) ranks(n uint64) (low, high uint64) {
	total := float64(n)
	out := func(k float64) bool { return logShareE(math.Round(k), total, q.p, q.kappa) > q.threshold }
	middle := math.Round(q.p * total)
	high = n
	if out(0) {
		low = uint64(math.Round(boundary(0, middle, out))) + 1
	}
	if out(total) {
		high = uint64(math.Round(boundary(total, middle, out))) - 1
	}
	return low, high
}

// Difference returns b's quantile less a's, with the limits of the true difference: those of two sequences of error probability
// alpha/2 each (union bound).
func (q QuantileSequence) Difference(a, b *Sketch) Interval {
	q.threshold += math.Ln2
	x, y := q.Interval(a), q.Interval(b)
	return Interval{Estimate: y.Estimate - x.Estimate, Low: y.Low - x.High, High: y.High - x.Low, N: x.N + y.N}
}

// MinSamples returns the number of values before which Interval has no upper limit.
func (q QuantileSequence) MinSamples() uint64 {
	return firstCount(func(n float64) bool { return logShareE(n, n, q.p, q.kappa) > q.threshold })
}
