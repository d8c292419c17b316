package stat

import "math"

// Quantile returns the value below or at which the share q of the values lies: the value of rank ceil(q·Count), within 1% (see
// SketchError). q = 0 is Min, q = 1 is Max. It is NaN if there are no values or q is outside 0..1.
func (s *Sketch) Quantile(q float64) float64 {
	low, high, i := s.locate(q)
	if i < 0 {
		return low
	}
	middle := lowerEdge(i) + (lowerEdge(i+1)-lowerEdge(i))/2
	return min(max(middle, low), high)
}

// QuantileBounds returns two values between which the exact quantile (of the same rank as in Quantile) lies for certain. It is
// what an interval is built on: the sketch's own error is then inside it.
func (s *Sketch) QuantileBounds(q float64) (low, high float64) {
	low, high, _ = s.locate(q)
	return low, high
}

// locate returns the bounds of the quantile and the bucket that holds it: -1 where both bounds are the answer.
func (s *Sketch) locate(q float64) (low, high float64, bucket int) {
	if s.count == 0 || !(q >= 0 && q <= 1) {
		return math.NaN(), math.NaN(), -1
	}
	return s.atRank(rankOf(q, s.count))
}

// rankOf returns ceil(q·n), between 1 and n. A product such as 0.07·100 = 7.000000000000001 means rank 7.
func rankOf(q float64, n uint64) uint64 {
	r := math.Ceil(q * float64(n) * (1 - 0x1p-51))
	if r < 1 {
		return 1
	}
	if r >= float64(n) {
		return n
	}
	return uint64(r)
}

// atRank is locate for a rank between 1 and count.
func (s *Sketch) atRank(rank uint64) (low, high float64, bucket int) {
	switch {
	case rank <= 1:
		return s.min, s.min, -1
	case rank >= s.count:
		return s.max, s.max, -1
	case rank <= s.zeros: // too small to tell from 0
		return s.min, min(s.max, MinSketchValue), -1
	}
	rank -= s.zeros
	for i, n := range s.buckets {
		if rank <= n {
			i += s.first
			return max(s.min, lowerEdge(i)), min(s.max, lowerEdge(i+1)), i
		}
		rank -= n
	}
	return s.max, s.max, -1
}

// CountAtMost returns how many values are x or less: between low and high, for the bucket that x falls in cannot be divided. The
// two are equal for x at or above Max or below Min. "p99 is at most 500 ms" is the same as "at most 1% of the answers took
// longer", which needs no quantile: see ShareSequence.
func (s *Sketch) CountAtMost(x float64) (low, high uint64) {
	switch {
	case s.count == 0 || !(x >= s.min):
		return 0, 0
	case x >= s.max:
		return s.count, s.count
	case x < MinSketchValue:
		return 1, min(s.zeros, s.count-1)
	}
	low = s.zeros
	at := bucketOf(x) - s.first
	if at < 0 {
		return low, low
	}
	for i, n := range s.buckets {
		if i == at {
			return max(low, 1), min(low+n, s.count-1)
		}
		low += n
	}
	return low, low
}
