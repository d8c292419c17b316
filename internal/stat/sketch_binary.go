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
	occupied := r.uvarint()
	first, last := 0, -1
	start := r.at
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

func isWhole(v float64) bool { return v <= maxWhole && v == math.Trunc(v) }

func appendNumber(dst []byte, v float64) []byte {
	if isWhole(v) {
		return binary.AppendUvarint(dst, uint64(v)<<1)
	}
	return binary.LittleEndian.AppendUint64(append(dst, 1), math.Float64bits(v))
}
