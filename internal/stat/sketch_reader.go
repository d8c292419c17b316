package stat

import (
	"encoding/binary"
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

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
