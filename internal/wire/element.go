package wire

import (
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/jsonscan"
)

// next moves to the next element of an innermost array that holds n elements already, and keeps to the limit.
func (a *array) next(n int) bool {
	if !a.s.Next() {
		return false
	}
	a.count = n
	switch {
	case n < a.max:
		return true
	case a.free:
		a.fail("it has more than %d values; send the rows in several requests", a.max)
	default:
		a.fail("it has more values than shape %v needs", a.shape())
	}
	return false
}

func floats[F float32 | float64](a *array, out []F) []F {
	for a.next(len(out)) {
		var v float64
		if a.s.Peek() == jsonscan.Number {
			v = a.s.Float64()
		} else {
			v = a.odd()
		}
		f := F(v)
		if math.IsInf(float64(f), 0) && !math.IsInf(v, 0) {
			a.s.Failf("%v does not fit a 32-bit float", v)
		}
		out = append(out, f)
	}
	return out
}

// odd reads what may stand where a number is meant.
func (a *array) odd() float64 {
	switch kind := a.s.Peek(); {
	case kind == jsonscan.Null:
		a.s.Null()
		return math.NaN()
	case kind == jsonscan.Bool && (a.proto || a.plain):
		if a.s.Bool() {
			return 1
		}
		return 0
	case kind == jsonscan.String:
		text := a.s.Bytes()
		if a.proto {
			switch string(text) {
			case "NaN":
				return math.NaN()
			case "Infinity":
				return math.Inf(1)
			case "-Infinity":
				return math.Inf(-1)
			}
		}
		a.s.Failf("the string %.40q where a number should be", text)
		return 0
	}
	return a.s.Float64()
}

func ints[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](a *array, out []I) []I {
	for a.next(len(out)) {
		v := a.s.Int64()
		if v < a.lo || v > a.hi {
			a.s.Failf("%d does not fit %v", v, a.dtype)
		}
		out = append(out, I(v))
	}
	return out
}

func uint64s(a *array, out []uint64) []uint64 {
	for a.next(len(out)) {
		text := a.s.Number()
		v, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil && string(text) != "-0" {
			a.s.Failf("%.40q does not fit UINT64", text)
		}
		out = append(out, v)
	}
	return out
}

// bools reads true and false, and 1 and 0, which numpy's users send.
func bools(a *array, out []bool) []bool {
	for a.next(len(out)) {
		if a.s.Peek() != jsonscan.Number {
			out = append(out, a.s.Bool())
			continue
		}
		v := a.s.Int64()
		if v != 0 && v != 1 {
			a.s.Failf("%d where true, false, 1 or 0 should be", v)
		}
		out = append(out, v == 1)
	}
	return out
}

func texts(a *array, out []string) []string {
	for a.next(len(out)) {
		if a.plain && a.s.Peek() == jsonscan.Object {
			out = append(out, readB64(a.s))
			continue
		}
		out = append(out, a.s.String())
	}
	return out
}
