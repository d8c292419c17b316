package stat

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

// bandScale is the constant A, the best known balance between early and late samples.
const bandScale = 0.85

// Band bounds the whole distribution function at once, at all times from its first sample size on (empirical-process law of the
// iterated logarithm, Howard and Ramdas 2022, theorem 2; Netflix compares quantiles so, arXiv 2205.14762):
//
//	sup |F_n(x) - F(x)| <= A·sqrt( (ln(1 + ln(n/m)) + C)/n ) for all n >= m,  A = 0.85
//
// Use it to show all quantiles together. For one quantile chosen beforehand QuantileSequence is closer.
type Band struct{ c, first float64 }

// NewBand returns the band of error probability alpha (at most 0.5) that holds from n = first on, first >= 1.
func NewBand(alpha, first float64) (Band, error) {
	if err := checkLevel(alpha, first); err != nil {
		return Band{}, err
	}
	if alpha > 0.5 || first < 1 {
		return Band{}, fault.Invalidf("a band of alpha %v from %v values on: alpha is at most 0.5 and the size at least 1", alpha, first)
	}
	return Band{c: bandConstant(alpha), first: first}, nil
}

// bandConstant returns the smallest C with inf over eta of 4·exp(-g·C)·(1 + 1/((g-1)·ln eta)) <= alpha, where g is
// 2/eta·(A - sqrt(2(eta-1)/C))² and has to be above 1.
func bandConstant(alpha float64) float64 {
	return boundary(1000, 2, func(c float64) bool { return bandError(c) <= alpha })
}

func bandError(c float64) float64 {
	gamma := func(eta float64) float64 {
		root := bandScale - math.Sqrt(2*(eta-1)/c)
		return 2 / eta * root * math.Abs(root)
	}
	// gamma falls with eta: the valley of the error lies between 1 and the eta where gamma is 1.
	top := boundary(1, 2, func(eta float64) bool { return gamma(eta) > 1 })
	errorAt := func(eta float64) float64 {
		g := gamma(eta)
		return 4 * math.Exp(-g*c) * (1 + 1/((g-1)*math.Log(eta)))
	}
	return errorAt(argmin(1, top, errorAt))
}

// Radius returns how far the empirical distribution function of n values is from the true one at most, 1 before the first size.
func (b Band) Radius(n uint64) float64 {
	t := float64(n)
	if t < b.first {
		return 1
	}
	return min(1, bandScale*math.Sqrt((math.Log1p(math.Log(t/b.first))+b.c)/t))
}

// Interval returns the sketch's quantile p with limits that hold for all p together.
func (b Band) Interval(s *Sketch, p float64) Interval {
	i := Interval{Estimate: s.Quantile(p), Low: 0, High: math.Inf(1), N: s.Count()}
	e := b.Radius(s.Count())
	if p-e > 0 {
		i.Low, _ = s.QuantileBounds(p - e)
	}
	if n := float64(s.Count()); math.Floor((p+e)*n)+1 <= n {
		_, i.High, _ = s.atRank(uint64(math.Floor((p+e)*n)) + 1)
	}
	return i
}

// Difference returns b's quantile p less a's, for a band made with alpha/2. The limits hold for all p together:
// [Q2(p-e2) - Q1(p+e1), Q2(p+e2) - Q1(p-e1)].
func (b Band) Difference(one, two *Sketch, p float64) Interval {
	x, y := b.Interval(one, p), b.Interval(two, p)
	return Interval{Estimate: y.Estimate - x.Estimate, Low: y.Low - x.High, High: y.High - x.Low, N: x.N + y.N}
}

func checkQuantile(p float64) error {
	if !(p > 0 && p < 1) {
		return fault.Invalidf("quantile %v is not between 0 and 1", p).WithHint("the p99 is quantile 0.99")
	}
	return nil
}
