package stat

import (
	"encoding/binary"
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

// The binary form, version 1:
//
//	byte     1, the version
//	uvarint  values below MinSketchValue
//	uvarint  occupied buckets, at most 5121
//	  each:  uvarint steps from the one before (from -1 for the first; never 0), uvarint count (never 0)
//	if there are values: sum, min, max, each a uvarint of 2·v for whole numbers up to 2^53, else a byte 1 and 8 bytes of
//	float64, little end first
//
// One sketch has one form: numbers are in their shortest spelling and nothing follows. One value of 1234 takes 12 bytes.
const sketchVersion = 1

const (
	maxWhole       = 1 << 53
	maxSketchCount = 1 << 53 // what an encoded sketch may count, so that a merge of damaged ones does not overflow
)

// AppendBinary appends the sparse, versioned form of the sketch. It fails only for more than 2^53 values.
func (s *Sketch) AppendBinary(dst []byte) ([]byte, error) {
	if s.count > maxSketchCount {
		return dst, fault.New(fault.Internal, "a sketch of %d values is more than its binary form holds (2^53)", s.count)
	}
	occupied := 0
	for _, n := range s.buckets {
		if n > 0 {
			occupied++
		}
	}
	dst = append(dst, sketchVersion)
	dst = binary.AppendUvarint(dst, s.zeros)
	dst = binary.AppendUvarint(dst, uint64(occupied))
	last := -1
	for i, n := range s.buckets {
		if n > 0 {
			dst = binary.AppendUvarint(dst, uint64(s.first+i-last))
			dst = binary.AppendUvarint(dst, n)
			last = s.first + i
		}
	}
	if s.count > 0 {
		dst = appendNumber(appendNumber(appendNumber(dst, s.sum), s.min), s.max)
	}
	return dst, nil
}

// MarshalBinary is AppendBinary into new memory.
func (s *Sketch) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// UnmarshalBinary replaces the sketch by the one that AppendBinary wrote, and reuses its memory. What is not exactly such a form
// is Invalid, with the byte where it goes wrong, and leaves the sketch as it was.
func (s *Sketch) UnmarshalBinary(data []byte) error {
	r := reader{data: data}
	if v := r.byte(); r.err == nil && v != sketchVersion {
		return fault.Invalidf("sketch of version %d; this program reads version %d", v, sketchVersion)
	}
	n := Sketch{zeros: r.uvarint()}
	if n.count = n.zeros; n.zeros > maxSketchCount {
		r.failf("%d values are more than a sketch holds", n.zeros)
	}
	// A first walk checks; the second fills memory that is then known to be needed.
	occupied, start := r.uvarint(), 0
	first, last := 0, -1
	start = r.at
	for k := uint64(0); k < occupied && r.err == nil; k++ {
		bucket, count := r.bucket(last)
		if n.count += count; n.count > maxSketchCount { // both are at most 2^53: no overflow
			r.failf("%d values are more than a sketch holds", n.count)
		}
		if last = bucket; k == 0 {
			first = bucket
		}
	}
	end := r.at
	if n.count > 0 {
		n.sum, n.min, n.max = r.number(), r.number(), r.number()
	}
	if r.err == nil && r.at != len(data) {
		r.failf("%d more bytes than the sketch needs", len(data)-r.at)
	}
	if r.err == nil && n.count > 0 {
		n.checkExtremes(&r, first, last)
	}
	if r.err != nil {
		return r.err
	}
	s.Reset()
	n.buckets, n.first = s.buckets, s.first
	if last >= 0 {
		n.hold(first, last)
	}
	for r, last = (reader{data: data[:end], at: start}), -1; r.at < end; {
		bucket, count := r.bucket(last)
		n.buckets[bucket-n.first] = count
		last = bucket
	}
	*s = n
	return nil
}

// checkExtremes holds sum, min and max against the buckets, so that a damaged sketch does not answer with figures that cannot be.
func (s *Sketch) checkExtremes(r *reader, first, last int) {
	lowest, highest := -1, -1 // the buckets where min and max must lie; -1: below MinSketchValue
	if s.zeros == 0 {
		lowest = first
	}
	if last >= 0 {
		highest = last
	}
	n := float64(s.count)
	switch {
	case !inBucket(s.min, lowest) || !inBucket(s.max, highest) || s.min > s.max:
		r.failf("min %v or max %v is not in the outermost bucket", s.min, s.max)
	case s.sum < n*s.min*(1-1e-3) || s.sum > n*s.max*(1+1e-3): // room for the rounding of many additions
		r.failf("sum %v is not that of %d values between %v and %v", s.sum, s.count, s.min, s.max)
	}
}

func inBucket(v float64, bucket int) bool {
	if v < MinSketchValue {
		return bucket < 0
	}
	return v <= MaxSketchValue && bucketOf(v) == bucket
}

// reader walks an encoded sketch; after the first error it returns zeros.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) failf(format string, args ...any) {
	if r.err == nil {
		r.err = fault.Invalidf("sketch, byte %d: %w", r.at, fault.Invalidf(format, args...))
	}
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.at >= len(r.data) {
		r.failf("ends too early")
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 || n > 1 && r.data[r.at+n-1] == 0 {
		r.failf("not a number in its shortest form")
		return 0
	}
	r.at += n
	return v
}

// bucket reads one bucket behind the last one.
func (r *reader) bucket(last int) (bucket int, count uint64) {
	step := r.uvarint()
	count = r.uvarint()
	if step == 0 || step > bucketCount || last+int(step) >= bucketCount {
		r.failf("no bucket %d steps behind %d", step, last)
		return 0, 0
	}
	if count == 0 || count > maxSketchCount {
		r.failf("a bucket that counts %d", count)
		return 0, 0
	}
	return last + int(step), count
}

func isWhole(v float64) bool { return v <= maxWhole && v == math.Trunc(v) }

func appendNumber(dst []byte, v float64) []byte {
	if isWhole(v) {
		return binary.AppendUvarint(dst, uint64(v)<<1)
	}
	return binary.LittleEndian.AppendUint64(append(dst, 1), math.Float64bits(v))
}

func (r *reader) number() float64 {
	whole := r.uvarint()
	if whole&1 == 0 {
		if whole>>1 > maxWhole {
			r.failf("whole number %d beyond 2^53", whole>>1)
		}
		return float64(whole >> 1)
	}
	if whole != 1 || len(r.data)-r.at < 8 {
		r.failf("not a number")
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.data[r.at:]))
	if r.at += 8; !(v >= 0) || math.IsInf(v, 1) || isWhole(v) {
		r.failf("%v is not a finite number that is not whole", v)
	}
	return v
}
