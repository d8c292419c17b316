package load

import (
	"errors"
	"io"
	"math"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/rows"
	"github.com/serin-ml/serin/internal/tensor"
)

// RowOptions say how rows become payloads.
type RowOptions struct {
	Dialect    Dialect
	Service    string
	Input      tensor.Spec // what the service takes: one input of numbers
	PerRequest int         // rows of a request; 1
	Most       int         // rows that are read at most; 100,000
	MostBytes  int         // that their bodies take at most; 512 MiB
}

const (
	defaultMostRows  = 100_000
	defaultMostBytes = 512 << 20
)

// RowsInput returns the input that rows can be read for, and how many values a row has.
func RowsInput(inputs []tensor.Spec) (in tensor.Spec, width int, err error) {
	if len(inputs) != 1 || !inputs[0].DType.Numeric() || len(inputs[0].Shape) == 0 {
		return in, 0, fault.Invalidf("the service takes other inputs than rows of numbers").WithHint("send a body of your own with --body or --data")
	}
	in = inputs[0]
	width = 1
	for _, d := range in.Shape[1:] {
		if d < 1 { // any size goes: the rows say which
			return in, 0, nil
		}
		if width *= d; width > math.MaxInt32 {
			return in, 0, fault.Invalidf("the service says it takes the shape %v", in.Shape)
		}
	}
	return in, width, nil
}

// RowPayloads reads rows and writes them into payloads, PerRequest at a time; the last may have fewer. More tells whether rows were left
// unread. A file without rows is Invalid.
func RowPayloads(r *rows.Reader, o RowOptions) (payloads []Payload, n int, more bool, err error) {
	setDefault(&o.PerRequest, 1)
	setDefault(&o.Most, defaultMostRows)
	setDefault(&o.MostBytes, defaultMostBytes)
	if o.Input.DType == tensor.Float32 {
		payloads, n, more, err = rowPayloads[float32](r, &o)
	} else {
		payloads, n, more, err = rowPayloads[float64](r, &o)
	}
	if err == nil && n == 0 {
		err = fault.Invalidf("there are no rows to send")
	}
	return payloads, n, more, err
}

func rowPayloads[F float32 | float64](r *rows.Reader, o *RowOptions) (payloads []Payload, n int, more bool, err error) {
	var b rows.Batch[F]
	size := 0
	for {
		err := b.Read(r, o.PerRequest)
		switch {
		case errors.Is(err, io.EOF):
			return payloads, n, false, nil
		case err != nil:
			return nil, 0, false, err
		case n+b.Rows > o.Most:
			return payloads, n, true, nil
		}
		x, err := shaped(b.Tensor(o.Input.Name), &o.Input)
		if err != nil {
			return nil, 0, false, fault.Invalidf("the row on line %d: %w", b.Lines[0], err)
		}
		p, err := o.Dialect.Payload(o.Service, &x, r.Columns())
		if err != nil {
			return nil, 0, false, fault.Invalidf("the row on line %d: %w", b.Lines[0], err)
		}
		if size += len(p.Body); size > o.MostBytes {
			return nil, 0, false, fault.Invalidf("%d rows take more than %d bytes as requests", n+b.Rows, o.MostBytes).
				WithHint("send fewer different ones with --rows: they are sent over and over")
		}
		payloads = append(payloads, p)
		n += b.Rows
	}
}

// shaped gives rows the shape and the type of an input.
func shaped(x tensor.Tensor, spec *tensor.Spec) (tensor.Tensor, error) {
	count, width := x.Shape[0], x.Shape[1]
	switch {
	case len(spec.Shape) == 1 && width != 1:
		return x, fault.Invalidf("it has %d values, but the service takes %v", width, spec.Shape)
	case len(spec.Shape) == 1:
		x.Shape = []int{count}
	case len(spec.Shape) > 2:
		shape := append([]int{count}, spec.Shape[1:]...)
		if n, err := tensor.Elements(shape); err != nil || n != x.Len() {
			return x, fault.Invalidf("it has %d values, but the service takes %v", width, spec.Shape)
		}
		x.Shape = shape
	}
	values, ok := x.Data.([]float64)
	if !ok {
		return x, nil
	}
	var err error
	switch spec.DType {
	case tensor.Bool:
		x.Data, err = truths(values)
	case tensor.Uint8:
		x.Data, err = integers[uint8](values, 0, math.MaxUint8)
	case tensor.Uint16:
		x.Data, err = integers[uint16](values, 0, math.MaxUint16)
	case tensor.Uint32:
		x.Data, err = integers[uint32](values, 0, math.MaxUint32)
	case tensor.Uint64:
		x.Data, err = integers[uint64](values, 0, mostExact)
	case tensor.Int8:
		x.Data, err = integers[int8](values, math.MinInt8, math.MaxInt8)
	case tensor.Int16:
		x.Data, err = integers[int16](values, math.MinInt16, math.MaxInt16)
	case tensor.Int32:
		x.Data, err = integers[int32](values, math.MinInt32, math.MaxInt32)
	case tensor.Int64:
		x.Data, err = integers[int64](values, -mostExact, mostExact)
	}
	return x, err
}

// mostExact is the largest whole number that float64, in which rows are read, holds and takes no other one for.
const mostExact = 1<<53 - 1

type whole interface {
	int64 | int32 | int16 | int8 | uint64 | uint32 | uint16 | uint8
}

func integers[T whole](values []float64, least, most float64) ([]T, error) {
	out := make([]T, len(values))
	for i, v := range values {
		if v != math.Trunc(v) || v < least || v > most { // NaN is no whole number either
			return nil, fault.Invalidf("value %d, %v, is no whole number from %v to %v", i, v, least, most)
		}
		out[i] = T(v)
	}
	return out, nil
}

func truths(values []float64) ([]bool, error) {
	out := make([]bool, len(values))
	for i, v := range values {
		if v != 0 && v != 1 {
			return nil, fault.Invalidf("value %d, %v, is neither 0 nor 1", i, v)
		}
		out[i] = v == 1
	}
	return out, nil
}
