package wire

import (
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// maxExact is from where a double no longer holds every whole number.
const maxExact = 1 << 53

// convert makes the floats of t numbers of the type of the input that they are for. Whole numbers, which a tftensor brings, are left as
// they are.
func (q *seldonQuestion) convert(t *tensor.Tensor) error {
	spec := &q.model.Inputs[0]
	for i := range q.model.Inputs {
		if q.model.Inputs[i].Name == t.Name {
			spec = &q.model.Inputs[i]
		}
	}
	var data []float64
	switch floats := t.Data.(type) {
	case []float64:
		data = floats
	case []float32:
		if spec.DType == tensor.Float32 || spec.DType == tensor.Float64 {
			return nil
		}
		data, _ = t.Float64s() // of floats always
	default:
		return nil
	}
	if spec.DType == tensor.Bytes || spec.DType == tensor.Float64 {
		return nil
	}
	var at int
	t.Data, at = fromDoubles(data, spec.DType)
	if at < 0 {
		return nil
	}
	return q.unfit(t, data[at], at, spec.DType)
}

// unfit says which number the model's input cannot hold.
func (q *seldonQuestion) unfit(t *tensor.Tensor, v float64, at int, d tensor.DType) error {
	where := "element " + strconv.Itoa(at)
	if len(t.Shape) == 2 && t.Shape[1] > 0 {
		where = "row " + strconv.Itoa(at/t.Shape[1]) + ", value " + strconv.Itoa(at%t.Shape[1])
	}
	if t.Name != "" {
		where = strconv.Quote(t.Name) + ", " + where
	}
	number := string(appendFloat(nil, v, 64))
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		number = strconv.FormatFloat(v, 'g', -1, 64)
	case math.Abs(v) >= maxExact && (d == tensor.Int64 || d == tensor.Uint64):
		return fault.Invalidf("%s, %s: %s may not be the number that was meant: a double is exact below 2^53 only", q.form.place(), where, number).
			WithHint("send a tftensor of DT_INT64, or ask over the Open Inference Protocol, /v2/models/NAME/infer")
	case d == tensor.Float32:
		return fault.Invalidf("%s, %s: %s does not fit a 32-bit float", q.form.place(), where, number)
	}
	return fault.Invalidf("%s, %s: %s is no %v, which the model takes", q.form.place(), where, number, d)
}

// toSingles rounds to float32 and returns -1, or the index of the first number that none can hold.
func toSingles(data []float64) ([]float32, int) {
	out := make([]float32, len(data))
	for i, v := range data {
		out[i] = float32(v)
		if math.IsInf(float64(out[i]), 0) && !math.IsInf(v, 0) {
			return nil, i
		}
	}
	return out, -1
}

// toWholes returns -1 beside whole numbers of a type, or the index of the first that is not whole or not within its bounds.
func toWholes[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](data []float64, lo, hi float64) ([]I, int) {
	out := make([]I, len(data))
	for i, v := range data {
		if !(v >= lo && v <= hi) || v != math.Trunc(v) { // NaN is not within them
			return nil, i
		}
		out[i] = I(v)
	}
	return out, -1
}

// toBools returns -1 beside truths, or the index of the first number that is neither 0 nor 1.
func toBools(data []float64) ([]bool, int) {
	out := make([]bool, len(data))
	for i, v := range data {
		if v != 0 && v != 1 {
			return nil, i
		}
		out[i] = v == 1
	}
	return out, -1
}
