package stat

import (
	"math"
	"slices"
)

// What a Sketch can tell apart. Both limits are far outside what a latency is, in seconds or in microseconds.
const (
	// MaxSketchValue is the largest value: more, and +Inf, counts as this. In microseconds it is nine years.
	MaxSketchValue = 1 << 48
	// MinSketchValue is the smallest value told apart from 0.
	MinSketchValue = 1.0 / (1 << 32)
	// SketchError is the largest relative error of Sketch.Quantile for values of at least MinSketchValue.
	SketchError = 1.0 / (2 << octaveBits)
)

const (
	octaveBits  = 6 // buckets per power of two, as a power of two: 64, hence an error of at most 1/128
	octave      = 1 << octaveBits
	indexShift  = 52 - octaveBits // a float64 has 52 bits of mantissa
	firstIndex  = (1023 - 32) << octaveBits
	bucketCount = (32+48)<<octaveBits + 1 // the last one holds MaxSketchValue alone
)

// Sketch is a histogram of non-negative values, such as latencies, whose quantiles are right within 1%. Sketches of parts merge
// to the very sketch of the whole, so they can be kept per second and per unit bucket and added up later.
//
// Each power of two is cut into 64 equal buckets: a bucket's number is the top bits of the float64. That is the HDR histogram's
// division (Tene) with the DDSketch's guarantee of relative error (Masson, Rim, Lee, VLDB 2019). It needs no logarithm and no
// rounding, so every machine counts alike. There are at most 5121 buckets (40 KiB); only the powers of two in use are held.
//
// Count, Sum, Min and Max are exact (Sum as far as float64 goes: whole numbers up to 2^53). The zero value is ready. A copy of
// the struct shares its buckets: use Clone. Not for concurrent use.
type Sketch struct {
	buckets  []uint64 // counts of the buckets first, first+1, ...
	first    int
	zeros    uint64 // values below MinSketchValue
	count    uint64
	sum      float64
	min, max float64 // of no meaning while count is 0
}

// Add counts one value. A negative one (a clock that stepped back) counts as 0; NaN is no measurement and is ignored.
func (s *Sketch) Add(v float64) { s.AddN(v, 1) }

// AddN counts a value n times.
func (s *Sketch) AddN(v float64, n uint64) {
	if n == 0 || math.IsNaN(v) {
		return
	}
	v = min(max(v, 0), MaxSketchValue)
	if s.count == 0 {
		s.min, s.max = v, v
	} else if v < s.min {
		s.min = v
	} else if v > s.max {
		s.max = v
	}
	s.count += n
	s.sum += v * float64(n)
	if v < MinSketchValue {
		s.zeros += n
		return
	}
	i := bucketOf(v)
	if uint(i-s.first) >= uint(len(s.buckets)) {
		s.hold(i, i)
	}
	s.buckets[i-s.first] += n
}

// bucketOf wants MinSketchValue <= v <= MaxSketchValue.
func bucketOf(v float64) int { return int(math.Float64bits(v)>>indexShift) - firstIndex }

// lowerEdge is the smallest value of a bucket, and the first one beyond the bucket before.
func lowerEdge(i int) float64 { return math.Float64frombits(uint64(i+firstIndex) << indexShift) }

// hold widens the window of buckets, by whole powers of two, to those from..to as well.
func (s *Sketch) hold(from, to int) {
	from, to = from&^(octave-1), (to|(octave-1))+1
	if len(s.buckets) > 0 {
		from, to = min(from, s.first), max(to, s.first+len(s.buckets))
	}
	if from == s.first && to-from == len(s.buckets) {
		return
	}
	wider := make([]uint64, to-from)
	copy(wider[max(s.first-from, 0):], s.buckets)
	s.buckets, s.first = wider, from
}

// Merge adds all that o has counted. The order of merges makes no difference. o may be s.
func (s *Sketch) Merge(o *Sketch) {
	if o.count == 0 {
		return
	}
	if s.count == 0 {
		s.min, s.max = o.min, o.max
	} else {
		s.min, s.max = min(s.min, o.min), max(s.max, o.max)
	}
	s.count += o.count
	s.sum += o.sum
	s.zeros += o.zeros
	if from, to, any := o.occupied(); any {
		s.hold(from, to)
		into := s.buckets[from-s.first:]
		for i, n := range o.buckets[from-o.first : to+1-o.first] {
			into[i] += n
		}
	}
}

// occupied returns the first and the last bucket that is not empty.
func (s *Sketch) occupied() (from, to int, any bool) {
	from, to = 0, len(s.buckets)-1
	for from <= to && s.buckets[from] == 0 {
		from++
	}
	for to > from && s.buckets[to] == 0 {
		to--
	}
	return from + s.first, to + s.first, from <= to
}

// Count returns the number of values.
func (s *Sketch) Count() uint64 { return s.count }

// Sum returns the sum of the values.
func (s *Sketch) Sum() float64 { return s.sum }

// Mean returns the mean of the values, NaN if there are none.
func (s *Sketch) Mean() float64 { return s.sum / float64(s.count) }

// Min returns the smallest value, NaN if there are none.
func (s *Sketch) Min() float64 {
	if s.count == 0 {
		return math.NaN()
	}
	return s.min
}

// Max returns the largest value, NaN if there are none.
func (s *Sketch) Max() float64 {
	if s.count == 0 {
		return math.NaN()
	}
	return s.max
}

// Reset forgets all values and keeps the memory.
func (s *Sketch) Reset() {
	clear(s.buckets)
	*s = Sketch{buckets: s.buckets, first: s.first}
}

// Clone returns a sketch of the same values that shares nothing.
func (s *Sketch) Clone() *Sketch {
	c := *s
	c.buckets = slices.Clone(s.buckets)
	return &c
}

// Equal reports whether both sketches have counted the same, whatever memory they hold. (By value, so that go-cmp finds it.)
func (s Sketch) Equal(o Sketch) bool {
	if s.count != o.count || s.zeros != o.zeros {
		return false
	}
	if s.count > 0 && (s.sum != o.sum || s.min != o.min || s.max != o.max) {
		return false
	}
	from, to, any := s.occupied()
	oFrom, oTo, oAny := o.occupied()
	if !any || !oAny {
		return any == oAny
	}
	return from == oFrom && to == oTo && slices.Equal(s.buckets[from-s.first:to+1-s.first], o.buckets[from-o.first:to+1-o.first])
}
