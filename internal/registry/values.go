package registry

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Values are the flat, row-major values of one row of a tensor, as YAML and JSON give them: numbers (any Go number, or
// json.Number), bool, string, and nil for a missing value (NaN). Infinities are the strings "Infinity" and "-Infinity".
type Values []any

// rowOf makes a tensor of one row out of values, of the type and shape that spec asks for.
func rowOf(spec tensor.Spec, values Values) (t tensor.Tensor, err error) {
	shape, err := rowShape(spec, len(values))
	if err != nil {
		return t, err
	}
	t = tensor.Tensor{Name: spec.Name, Shape: shape}
	switch spec.DType {
	case tensor.Float32:
		t.Data, err = convert(values, func(v any) (float32, error) { f, err := float(v, 32); return float32(f), err })
	case tensor.Float64:
		t.Data, err = convert(values, func(v any) (float64, error) { return float(v, 64) })
	case tensor.Bool:
		t.Data, err = convert(values, func(v any) (bool, error) { return as[bool](v, "true or false") })
	case tensor.Bytes:
		t.Data, err = convert(values, func(v any) (string, error) { return as[string](v, "a string") })
	case tensor.Int8:
		t.Data, err = convert(values, signed[int8])
	case tensor.Int16:
		t.Data, err = convert(values, signed[int16])
	case tensor.Int32:
		t.Data, err = convert(values, signed[int32])
	case tensor.Int64:
		t.Data, err = convert(values, signed[int64])
	case tensor.Uint8:
		t.Data, err = convert(values, unsigned[uint8])
	case tensor.Uint16:
		t.Data, err = convert(values, unsigned[uint16])
	case tensor.Uint32:
		t.Data, err = convert(values, unsigned[uint32])
	case tensor.Uint64:
		t.Data, err = convert(values, unsigned[uint64])
	default:
		err = fault.Internalf("%q is of no known datatype", spec.Name)
	}
	return t, err
}

// rowShape is spec's shape with one row; one further dimension may be of any size, and follows from the number of values.
func rowShape(spec tensor.Spec, n int) ([]int, error) {
	shape := append([]int(nil), spec.Shape...)
	if len(shape) > 0 {
		shape[0] = 1
	}
	product, open := 1, -1
	for i, d := range shape {
		switch {
		case d >= 0:
			product *= d
		case open < 0:
			open = i
		default:
			return nil, fault.Invalidf("%q has more than one dimension of any size, so that flat values do not tell its shape", spec.Name)
		}
	}
	if open >= 0 && product > 0 && n%product == 0 {
		shape[open] = n / product
		return shape, nil
	}
	if open >= 0 || n != product {
		return nil, fault.Invalidf("%d values for %q, which has shape %v (one row)", n, spec.Name, spec.Shape)
	}
	return shape, nil
}

func convert[T any](values Values, one func(any) (T, error)) ([]T, error) {
	out := make([]T, len(values))
	for i, v := range values {
		var err error
		if out[i], err = one(v); err != nil {
			return nil, fault.Invalidf("value %d: %w", i+1, err)
		}
	}
	return out, nil
}

func as[T any](v any, want string) (T, error) {
	t, ok := v.(T)
	if !ok {
		return t, fault.Invalidf("%s where %s is needed", show(v), want)
	}
	return t, nil
}

// float reads a number rounded to nearest in the given bits. Only NaN and infinities that are written as such are taken.
func float(v any, bits int) (float64, error) {
	switch v := v.(type) {
	case nil:
		return math.NaN(), nil
	case string:
		switch v {
		case "NaN":
			return math.NaN(), nil
		case "Infinity", "-Infinity":
			return strconv.ParseFloat(v, bits)
		}
		return 0, fault.Invalidf("%s where a number is needed", show(v))
	case bool:
		return 0, fault.Invalidf("%s where a number is needed", show(v))
	}
	text := numberText(v)
	f, err := strconv.ParseFloat(text, bits)
	if err != nil {
		return 0, fault.Invalidf("%.40s does not fit FP%d", text, bits)
	}
	return f, nil
}

func signed[T int8 | int16 | int32 | int64](v any) (T, error) {
	n, err := strconv.ParseInt(numberText(v), 10, 64)
	if err != nil || int64(T(n)) != n {
		return 0, fault.Invalidf("%s where a whole number of type %T is needed", show(v), T(0))
	}
	return T(n), nil
}

func unsigned[T uint8 | uint16 | uint32 | uint64](v any) (T, error) {
	text, ok := v.(string) // see wholeNumber
	if !ok {
		text = numberText(v)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || uint64(T(n)) != n {
		return 0, fault.Invalidf("%s where a whole number of type %T is needed", show(v), T(0))
	}
	return T(n), nil
}

// numberText writes a number so that parsing gives it back; "" for what is no number. A whole number as float (1.0, 1e3) reads as
// an integer too.
func numberText(v any) string {
	switch v := v.(type) {
	case json.Number:
		if f, err := strconv.ParseFloat(string(v), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 && !digitsOnly(string(v)) {
			return wholeText(f)
		}
		return string(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return wholeText(v)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v)
	}
	return ""
}

// wholeText keeps the sign of a zero, which a float has and an integer must not.
func wholeText(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }

func digitsOnly(text string) bool {
	for i := range len(text) {
		if text[i]-'0' >= 10 && (i > 0 || text[i] != '-') {
			return false
		}
	}
	return true
}

// show writes a value for a message.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%.40q", v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return fmt.Sprintf("%.40s", string(v))
	}
	if text := numberText(v); text != "" {
		return text
	}
	return fmt.Sprintf("a %T", v)
}

// valuesOf is rowOf's inverse: the values of t in their one spelling. A float32 is written with the digits that a float32 needs.
func valuesOf(t *tensor.Tensor) Values {
	switch data := t.Data.(type) {
	case []float32:
		return list(data, func(v float32) any { return plainFloat(float64(v), 32) })
	case []float64:
		return list(data, func(v float64) any { return plainFloat(v, 64) })
	case []bool:
		return list(data, func(v bool) any { return v })
	case []string:
		return list(data, func(v string) any { return v })
	case []int8:
		return list(data, func(v int8) any { return int64(v) })
	case []int16:
		return list(data, func(v int16) any { return int64(v) })
	case []int32:
		return list(data, func(v int32) any { return int64(v) })
	case []int64:
		return list(data, func(v int64) any { return v })
	case []uint8:
		return list(data, func(v uint8) any { return uint64(v) })
	case []uint16:
		return list(data, func(v uint16) any { return uint64(v) })
	case []uint32:
		return list(data, func(v uint32) any { return uint64(v) })
	case []uint64:
		return list(data, wholeNumber)
	}
	return nil
}

// wholeNumber writes what no int64 holds as a string: YAML and many JSON readers would round it.
func wholeNumber(v uint64) any {
	if v > math.MaxInt64 {
		return strconv.FormatUint(v, 10)
	}
	return v
}

func list[T any](data []T, one func(T) any) Values {
	out := make(Values, len(data))
	for i, v := range data {
		out[i] = one(v)
	}
	return out
}

func plainFloat(v float64, bits int) any {
	switch {
	case math.IsNaN(v):
		return nil
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	case v == 0 && math.Signbit(v):
		return json.Number("-0.0") // without the point a reader may take it for an integer and lose the sign
	}
	return json.Number(strconv.FormatFloat(v, 'g', -1, bits))
}
