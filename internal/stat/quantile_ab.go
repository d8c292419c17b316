package stat

import (
	"math"
	"slices"
	"sort"
)

// QuantileABTest returns the always-valid p-value of "quantile p is the same in both arms" (Howard and Ramdas 2022; confseq's
// QuantileABTest): for each candidate value x the evidence of either arm against "my quantile is x" is multiplied, and the x that is
// least refuted decides. tune is the sample size per arm it is tuned for, at alpha. The values need not be sorted and are left as they
// are. It costs a sort. Without values in one of the arms the answer is 1.
func QuantileABTest(p, alpha, tune float64, a, b []float64) (float64, error) {
	q, err := NewQuantileSequence(p, alpha, tune)
	if err != nil || len(a) == 0 || len(b) == 0 {
		return 1, err
	}
	armA, armB := q.arm(a), q.arm(b)
	least := math.Inf(1)
	for _, values := range [][]float64{armA.sorted, armB.sorted} {
		for _, x := range values {
			least = min(least, armA.logE(x)+armB.logE(x))
		}
	}
	return pValue(least), nil
}

// arm holds one arm's values and where its evidence is smallest.
type arm struct {
	q         QuantileSequence
	sorted    []float64
	least     float64 // the share below that is refuted least; near p
	low, high float64 // the values between which that share lies
}

func (q QuantileSequence) arm(values []float64) arm {
	a := arm{q: q, sorted: slices.Clone(values)}
	slices.Sort(a.sorted)
	n := float64(len(values))
	a.least = q.leastRefuted(n)
	a.low = a.sorted[min(max(int(math.Ceil(a.least*n)), 1), len(values))-1]
	a.high = a.sorted[min(int(math.Floor(a.least*n)), len(values)-1)]
	return a
}

// leastRefuted returns the share of n values for which the evidence against p is smallest, by golden section: it is convex.
func (q QuantileSequence) leastRefuted(n float64) float64 {
	return argmin(0, 1, func(share float64) float64 { return logShareE(share*n, n, q.p, q.kappa) })
}

// logE returns the evidence against "the quantile is x", the smallest that fits the values.
func (a arm) logE(x float64) float64 {
	n, share := float64(len(a.sorted)), a.least
	switch {
	case x < a.low: // few values at or below x
		share = float64(sort.Search(len(a.sorted), func(i int) bool { return a.sorted[i] > x })) / n
	case x > a.high: // many values below x
		share = float64(sort.SearchFloat64s(a.sorted, x)) / n
	}
	return logShareE(share*n, n, a.q.p, a.q.kappa)
}

// PValue is QuantileABTest on sketches. Within a bucket it assumes what refutes least, so the p-value is never too small.
func (q QuantileSequence) PValue(a, b *Sketch) float64 {
	if a.count == 0 || b.count == 0 {
		return 1
	}
	leastA, leastB := q.leastRefuted(float64(a.count)), q.leastRefuted(float64(b.count))
	smallest := math.Inf(1)
	var belowA, belowB uint64
	visit := func(inA, inB uint64) { // the quantile may be any value in this bucket
		smallest = min(smallest, q.within(a.count, belowA, inA, leastA)+q.within(b.count, belowB, inB, leastB))
		belowA, belowB = belowA+inA, belowB+inB
	}
	visit(a.zeros, b.zeros)
	first := min(a.first, b.first)
	last := max(a.first+len(a.buckets), b.first+len(b.buckets))
	for i := first; i < last; i++ {
		if inA, inB := a.in(i), b.in(i); inA+inB > 0 {
			visit(inA, inB)
		}
	}
	return pValue(smallest)
}

// within returns the smallest evidence against a quantile in a bucket of the given count, above the values below it.
func (q QuantileSequence) within(n, below, in uint64, least float64) float64 {
	total := float64(n)
	k := min(max(least*total, float64(below)), float64(below+in))
	return logShareE(k, total, q.p, q.kappa)
}

// in returns the count of a bucket, held or not.
func (s *Sketch) in(bucket int) uint64 {
	if i := bucket - s.first; i >= 0 && i < len(s.buckets) {
		return s.buckets[i]
	}
	return 0
}

// argmin returns where a function with one valley between a and b is smallest, by golden section.
func argmin(a, b float64, f func(float64) float64) float64 {
	const golden = 0.6180339887498949
	c, d := b-golden*(b-a), a+golden*(b-a)
	fc, fd := f(c), f(d)
	for range 80 {
		if fc < fd {
			b, d, fd = d, c, fc
			c = b - golden*(b-a)
			fc = f(c)
		} else {
			a, c, fc = c, d, fd
			d = a + golden*(b-a)
			fd = f(d)
		}
	}
	return (a + b) / 2
}
