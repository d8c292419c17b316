// Package tensor holds what goes into a model and what comes out of it: named, typed, shaped arrays, and the signature that
// says which of them a model wants and gives. Every dialect is turned into a Request, every model answers with a Response.
package tensor

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

// Tensor is a row-major array. Data is a slice of one of the Element types, with one element per cell of Shape.
type Tensor struct {
	Name  string
	Shape []int
	Data  any
}

// New makes a tensor that shares data. It does not check that shape and data agree; Check does.
func New[T Element](name string, shape []int, data []T) Tensor {
	return Tensor{Name: name, Shape: shape, Data: data}
}

// DType returns the type of the elements, 0 if Data is not a slice of an Element type.
func (t *Tensor) DType() DType {
	d, _ := dtypeOf(t.Data)
	return d
}

// Len returns the number of elements held.
func (t *Tensor) Len() int {
	_, n := dtypeOf(t.Data)
	return n
}

// Rows returns the size of the first dimension, the batch; 1 for a scalar.
func (t *Tensor) Rows() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[0]
}

// Check tells whether Data is of a known type and holds exactly the elements Shape asks for.
func (t *Tensor) Check() error {
	d, n := dtypeOf(t.Data)
	if d == 0 {
		return fault.Invalidf("tensor %q holds no data", t.Name)
	}
	want, err := Elements(t.Shape)
	if err != nil {
		return fault.Invalidf("tensor %q: %w", t.Name, err)
	}
	if n != want {
		return fault.Invalidf("tensor %q has %d elements, but shape %v needs %d", t.Name, n, t.Shape, want)
	}
	return nil
}

// Elements returns how many cells a shape has: 1 for an empty shape (a scalar), 0 if a dimension is 0. A negative dimension or
// a product beyond 2^31-1 is Invalid.
func Elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fault.Invalidf("shape %v has a negative dimension", shape)
		}
		if d != 0 && n > math.MaxInt32/d {
			return 0, fault.Invalidf("shape %v is too large", shape)
		}
		n *= d
	}
	return n, nil
}

// Float32s returns the elements as float32, converted as numpy's astype does (float64 rounds to nearest, bool is 0 or 1).
// A FP32 tensor's own slice is returned, not a copy. Bytes is Invalid.
func (t *Tensor) Float32s() ([]float32, error) { return floats[float32](t) }

// Float64s returns the elements as float64. A FP64 tensor's own slice is returned, not a copy. Bytes is Invalid.
func (t *Tensor) Float64s() ([]float64, error) { return floats[float64](t) }

func floats[F float32 | float64](t *Tensor) ([]F, error) {
	switch s := t.Data.(type) {
	case []F:
		return s, nil
	case []float32:
		return convert[F](s), nil
	case []float64:
		return convert[F](s), nil
	case []int64:
		return convert[F](s), nil
	case []int32:
		return convert[F](s), nil
	case []int16:
		return convert[F](s), nil
	case []int8:
		return convert[F](s), nil
	case []uint64:
		return convert[F](s), nil
	case []uint32:
		return convert[F](s), nil
	case []uint16:
		return convert[F](s), nil
	case []uint8:
		return convert[F](s), nil
	case []bool:
		out := make([]F, len(s))
		for i, b := range s {
			if b {
				out[i] = 1
			}
		}
		return out, nil
	}
	return nil, fault.Invalidf("tensor %q holds %s; numbers are needed", t.Name, t.DType())
}

func convert[F float32 | float64, T float32 | float64 | int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8](s []T) []F {
	out := make([]F, len(s))
	for i, v := range s {
		out[i] = F(v)
	}
	return out
}

// Request is one question to a model. A dialect that carries no tensor names leaves them empty: an unnamed single input stands
// for the model's only input.
type Request struct {
	ID      string   // the client's own id, echoed to it; never a key of ours
	Inputs  []Tensor // in the order they came
	Outputs []string // the outputs wanted, by name; empty means the signature's defaults
}

// Response is a model's answer: one tensor per output asked for, in the order asked.
type Response struct {
	Outputs []Tensor
}
