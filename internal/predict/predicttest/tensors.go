package predicttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/serin-ml/serin/internal/tensor"
)

// RandomRequest draws a request that fits a signature: small numbers, whole and not, but no NaN, and short words. A dimension of
// any size is 3.
func RandomRequest(r *rand.Rand, s tensor.Signature, rows int) tensor.Request {
	var req tensor.Request
	for _, p := range s.Inputs {
		shape, n := slices.Clone(p.Shape), rows
		shape[0] = rows
		for i := 1; i < len(shape); i++ {
			if shape[i] == -1 {
				shape[i] = 3
			}
			n *= shape[i]
		}
		if !p.DType.Numeric() {
			words := make([]string, n)
			for i := range words {
				words[i] = fmt.Sprintf("w%d w%d", r.IntN(9), r.IntN(9))
			}
			req.Inputs = append(req.Inputs, tensor.New(p.Name, shape, words))
			continue
		}
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(r.IntN(10))
			if (p.DType == tensor.Float32 || p.DType == tensor.Float64) && r.IntN(2) == 0 {
				values[i] = r.NormFloat64() * 3
			}
			if p.DType == tensor.Bool {
				values[i] = float64(r.IntN(2))
			}
		}
		req.Inputs = append(req.Inputs, typed(p.DType, p.Name, shape, values))
	}
	return req
}

// typed makes a tensor of a numeric type.
func typed(d tensor.DType, name string, shape []int, values []float64) tensor.Tensor {
	shape = slices.Clone(shape)
	switch d {
	case tensor.Bool:
		set := make([]bool, len(values))
		for i, v := range values {
			set[i] = v != 0
		}
		return tensor.New(name, shape, set)
	case tensor.Uint8:
		return number[uint8](name, shape, values)
	case tensor.Uint16:
		return number[uint16](name, shape, values)
	case tensor.Uint32:
		return number[uint32](name, shape, values)
	case tensor.Uint64:
		return number[uint64](name, shape, values)
	case tensor.Int8:
		return number[int8](name, shape, values)
	case tensor.Int16:
		return number[int16](name, shape, values)
	case tensor.Int32:
		return number[int32](name, shape, values)
	case tensor.Int64:
		return number[int64](name, shape, values)
	case tensor.Float32:
		return number[float32](name, shape, values)
	default:
		return tensor.New(name, shape, slices.Clone(values))
	}
}

func number[T uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32](name string, shape []int, values []float64) tensor.Tensor {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = T(v)
	}
	return tensor.New(name, shape, out)
}

// slice returns rows from up to to, sharing the data.
func slice(t *tensor.Tensor, from, to int) tensor.Tensor {
	width := t.Len() / max(t.Rows(), 1)
	shape := slices.Clone(t.Shape)
	shape[0] = to - from
	return tensor.Tensor{Name: t.Name, Shape: shape, Data: reflect.ValueOf(t.Data).Slice(from*width, to*width).Interface()}
}

func rowsOf(r *tensor.Request, from, to int) *tensor.Request {
	out := &tensor.Request{ID: r.ID, Outputs: r.Outputs}
	for i := range r.Inputs {
		out.Inputs = append(out.Inputs, slice(&r.Inputs[i], from, to))
	}
	return out
}

func cloneTensor(t tensor.Tensor) tensor.Tensor {
	v := reflect.ValueOf(t.Data)
	t.Data = reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v).Interface()
	t.Shape = slices.Clone(t.Shape)
	return t
}

func clone(r *tensor.Request) *tensor.Request {
	out := &tensor.Request{ID: r.ID, Outputs: slices.Clone(r.Outputs)}
	for _, in := range r.Inputs {
		out.Inputs = append(out.Inputs, cloneTensor(in))
	}
	return out
}

func cloneResponse(r *tensor.Response) *tensor.Response {
	out := &tensor.Response{}
	for _, o := range r.Outputs {
		out.Outputs = append(out.Outputs, cloneTensor(o))
	}
	return out
}

// scribble overwrites a tensor's data.
func scribble(t *tensor.Tensor) {
	v := reflect.ValueOf(t.Data)
	for i := range v.Len() {
		v.Index(i).SetZero()
	}
}

// same tells whether two tensors are alike to the last bit: a NaN is like itself, and zero not like minus zero.
func same(a, b *tensor.Tensor) bool {
	if a.Name != b.Name || !slices.Equal(a.Shape, b.Shape) || a.DType() != b.DType() {
		return false
	}
	switch x := a.Data.(type) {
	case []float32:
		return slices.EqualFunc(x, b.Data.([]float32), func(v, w float32) bool { return math.Float32bits(v) == math.Float32bits(w) })
	case []float64:
		return slices.EqualFunc(x, b.Data.([]float64), func(v, w float64) bool { return math.Float64bits(v) == math.Float64bits(w) })
	}
	return reflect.DeepEqual(a.Data, b.Data)
}

// equal tells whether two answers are alike to the last bit. No answer is like no answer.
func equal(a, b *tensor.Response) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Outputs, b.Outputs, func(v, w tensor.Tensor) bool { return same(&v, &w) })
}
