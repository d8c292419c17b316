package wire

import (
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// asType returns t with elements of the type d. What d cannot hold is Invalid: a fraction where it is of whole numbers, a number out of its
// range, text where it is of numbers. Floats are rounded to nearest.
func asType(t *tensor.Tensor, d tensor.DType) (tensor.Tensor, error) {
	to := *t
	if d == t.DType() {
		return to, nil
	}
	if d == tensor.Bytes || t.DType() == tensor.Bytes {
		return to, fault.Invalidf("input %q holds %v where %v is needed", t.Name, t.DType(), d)
	}
	if d == tensor.Float32 && t.DType() != tensor.Float64 {
		singles, err := t.Float32s() // rounded once
		to.Data = singles
		return to, err
	}
	if wholes := asWholes(t.Data); wholes != nil && d != tensor.Float64 {
		var at int
		if to.Data, at = fromWholes(wholes, d); at >= 0 {
			return to, fault.Invalidf("input %q, element %d: %d is no %v, which the model takes", t.Name, at, wholes[at], d)
		}
		return to, nil
	}
	values, err := t.Float64s()
	if err != nil {
		return to, err
	}
	var at int
	if to.Data, at = fromDoubles(values, d); at >= 0 {
		return to, fault.Invalidf("input %q, element %d: %s is no %v, which the model takes", t.Name, at, strconv.FormatFloat(values[at], 'g', -1, 64), d)
	}
	return to, nil
}

// asWholes returns whole numbers of any type as INT64, nil for what else there is.
func asWholes(data any) []int64 {
	switch data := data.(type) {
	case []int64:
		return data
	case []int32:
		return widen(data)
	case []int16:
		return widen(data)
	case []int8:
		return widen(data)
	case []uint32:
		return widen(data)
	case []uint16:
		return widen(data)
	case []uint8:
		return widen(data)
	}
	return nil
}

func widen[I int32 | int16 | int8 | uint32 | uint16 | uint8](data []I) []int64 {
	out := make([]int64, len(data))
	for i, v := range data {
		out[i] = int64(v)
	}
	return out
}

// fromWholes is fromDoubles of whole numbers, which loses none. The type d is no float.
func fromWholes(data []int64, d tensor.DType) (any, int) {
	switch d {
	case tensor.Bool:
		out := make([]bool, len(data))
		for i, v := range data {
			if v != 0 && v != 1 {
				return nil, i
			}
			out[i] = v == 1
		}
		return out, -1
	case tensor.Int32:
		return both(inRange[int32](data, math.MinInt32, math.MaxInt32))
	case tensor.Int16:
		return both(inRange[int16](data, math.MinInt16, math.MaxInt16))
	case tensor.Int8:
		return both(inRange[int8](data, math.MinInt8, math.MaxInt8))
	case tensor.Uint64:
		return both(inRange[uint64](data, 0, math.MaxInt64))
	case tensor.Uint32:
		return both(inRange[uint32](data, 0, math.MaxUint32))
	case tensor.Uint16:
		return both(inRange[uint16](data, 0, math.MaxUint16))
	case tensor.Uint8:
		return both(inRange[uint8](data, 0, math.MaxUint8))
	}
	return data, -1
}

func inRange[I int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8](data []int64, lo, hi int64) ([]I, int) {
	out := make([]I, len(data))
	for i, v := range data {
		if v < lo || v > hi {
			return nil, i
		}
		out[i] = I(v)
	}
	return out, -1
}

// fromDoubles returns numbers of the type d, which is not BYTES, and -1; or the index of the first that d cannot hold. Whole numbers from
// 2^53 on are such: a double may not be the one that was meant.
func fromDoubles(data []float64, d tensor.DType) (any, int) {
	switch d {
	case tensor.Float32:
		return both(toSingles(data))
	case tensor.Bool:
		return both(toBools(data))
	case tensor.Int64:
		return both(toWholes[int64](data, -maxExact+1, maxExact-1))
	case tensor.Int32:
		return both(toWholes[int32](data, math.MinInt32, math.MaxInt32))
	case tensor.Int16:
		return both(toWholes[int16](data, math.MinInt16, math.MaxInt16))
	case tensor.Int8:
		return both(toWholes[int8](data, math.MinInt8, math.MaxInt8))
	case tensor.Uint64:
		return both(toWholes[uint64](data, 0, maxExact-1))
	case tensor.Uint32:
		return both(toWholes[uint32](data, 0, math.MaxUint32))
	case tensor.Uint16:
		return both(toWholes[uint16](data, 0, math.MaxUint16))
	case tensor.Uint8:
		return both(toWholes[uint8](data, 0, math.MaxUint8))
	}
	return data, -1
}

func both[T tensor.Element](data []T, at int) (any, int) { return data, at }

// widens tells whether each number of the type from is a number of the type to as well, a wider float.
func widens(from, to tensor.DType) bool {
	switch to {
	case tensor.Float64:
		return from.Numeric() && from != tensor.Int64 && from != tensor.Uint64
	case tensor.Float32:
		return from.Numeric() && binarySize(from) <= 2
	}
	return false
}
