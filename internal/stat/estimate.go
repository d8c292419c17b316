package stat

import "math"

// Interval is a result with its uncertainty and the size of the sample it comes from. A limit that the data cannot give yet is
// infinite (for a share: 0 or 1). Estimate is NaN only while there are no data at all.
type Interval struct {
	Estimate, Low, High float64
	N                   uint64
}

// Estimate is what is known of a number: its value, its standard error and the observations behind it. A standard error that is
// not known yet, for want of data or because all were equal, is +Inf: nothing can be concluded from such an Estimate.
type Estimate struct {
	Value, SE float64
	N         uint64
}

// Difference returns b - a for independent samples.
func Difference(a, b Estimate) Estimate {
	return Estimate{Value: b.Value - a.Value, SE: math.Hypot(a.SE, b.SE), N: a.N + b.N}
}

// Lift returns (b - a)/a, by the delta method for independent samples: Var = Var(b)/a² + Var(a)·b²/a⁴. It wants a away from 0 by
// several standard errors; for a = 0 the standard error is +Inf.
func Lift(a, b Estimate) Estimate {
	n := a.N + b.N
	if a.Value == 0 {
		return Estimate{Value: math.NaN(), SE: math.Inf(1), N: n}
	}
	ratio := b.Value / a.Value
	return Estimate{Value: (b.Value - a.Value) / a.Value, SE: math.Hypot(b.SE/a.Value, a.SE/a.Value*ratio), N: n}
}

// known turns what is no positive finite number into "not known".
func known(se float64) float64 {
	if se > 0 && !math.IsInf(se, 1) {
		return se
	}
	return math.Inf(1)
}

// Moments is what a mean and its error need, kept so that close values far from 0 lose no digits (Welford; merged by Chan, Golub
// and LeVeque). The zero value is ready.
type Moments struct {
	N    uint64
	Mean float64
	M2   float64 // sum of squared deviations from Mean
}

// MomentsOf makes Moments from sums, as SQL gives them. Values close to each other and far from 0 lose digits here.
func MomentsOf(n uint64, sum, sumOfSquares float64) Moments {
	if n == 0 {
		return Moments{}
	}
	mean := sum / float64(n)
	return Moments{N: n, Mean: mean, M2: max(sumOfSquares-sum*mean, 0)}
}

// Add counts one value.
func (m *Moments) Add(v float64) { m.Merge(Moments{N: 1, Mean: v}) }

// Merge adds what another part of the sample has counted.
func (m *Moments) Merge(o Moments) {
	if o.N == 0 {
		return
	}
	n := m.N + o.N
	step, share := o.Mean-m.Mean, float64(o.N)/float64(n)
	m.M2 += o.M2 + step*step*float64(m.N)*share
	m.Mean += step * share
	m.N = n
}

// Variance returns the sample variance (over N-1), NaN for fewer than two values.
func (m Moments) Variance() float64 {
	if m.N < 2 {
		return math.NaN()
	}
	return m.M2 / float64(m.N-1)
}

// Estimate returns the mean and its standard error, for values that are independent of each other. Requests of one user are not:
// see Ratio.
func (m Moments) Estimate() Estimate {
	if m.N == 0 {
		return Estimate{Value: math.NaN(), SE: math.Inf(1)}
	}
	return Estimate{Value: m.Mean, SE: known(math.Sqrt(m.Variance() / float64(m.N))), N: m.N}
}

// Share counts how many of N have a property: errors of requests, right answers of labelled ones. A Count above N counts as N.
type Share struct{ Count, N uint64 }

// MinEvents is the fewest hits, and the fewest misses, from which the error of a share is known well enough for MeanSequence. With
// fewer the normal approximation fails badly: two arms of accuracy 98%, looked at from 30 labels on, differ "significantly" in up to
// 13% of the cases at alpha 5%. With 8 of each in either arm the promise holds at alpha 5% and 1%, for all shares (simulated in the
// tests).
const MinEvents = 8

// Value returns the share, NaN of nothing.
func (s Share) Value() float64 {
	count, n := s.counts()
	return count / n
}

func (s Share) counts() (count, n float64) { return float64(min(s.Count, s.N)), float64(s.N) }

// Estimate returns the share and its standard error sqrt(p(1-p)/N), where p is the share with half a hit and half a miss more. The
// error is not known for fewer than MinEvents hits or misses: ShareSequence and its Difference are exact there.
func (s Share) Estimate() Estimate {
	e := Estimate{Value: s.Value(), SE: math.Inf(1), N: s.N}
	if count, n := s.counts(); min(count, n-count) >= MinEvents {
		e.SE = shareError(count, n)
	}
	return e
}

func shareError(count, n float64) float64 {
	p := (count + 0.5) / (n + 1)
	return math.Sqrt(p * (1 - p) / n)
}
