package wire

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// tfType is a type of TensorFlow's enum DataType.
type tfType struct {
	number uint64
	name   string
	dtype  tensor.DType
	list   string // the list of a TensorProto that holds its elements, in protobuf's JSON
	field  uint64 // the number of that
}

// tfTypes are those types that a tensor of ours can have. TensorFlow has others: complex, quantised, half.
var tfTypes = [...]tfType{
	{1, "DT_FLOAT", tensor.Float32, "floatVal", 5},
	{2, "DT_DOUBLE", tensor.Float64, "doubleVal", 6},
	{3, "DT_INT32", tensor.Int32, "intVal", 7},
	{4, "DT_UINT8", tensor.Uint8, "intVal", 7},
	{5, "DT_INT16", tensor.Int16, "intVal", 7},
	{6, "DT_INT8", tensor.Int8, "intVal", 7},
	{7, "DT_STRING", tensor.Bytes, "stringVal", 8},
	{9, "DT_INT64", tensor.Int64, "int64Val", 10},
	{10, "DT_BOOL", tensor.Bool, "boolVal", 11},
	{17, "DT_UINT16", tensor.Uint16, "intVal", 7},
	{22, "DT_UINT32", tensor.Uint32, "uint32Val", 16},
	{23, "DT_UINT64", tensor.Uint64, "uint64Val", 17},
}

// tfTypeOf returns the type of TensorFlow's for d, which each has.
func tfTypeOf(d tensor.DType) tfType {
	for _, t := range tfTypes {
		if t.dtype == d {
			return t
		}
	}
	return tfType{}
}

// tfTensor is TensorFlow's TensorProto. Its elements are little-endian bytes in content, or numbers in the list of the type.
//
// TensorFlow lets a list that is too short stand for a tensor whose last element is repeated; here the list must be whole, as clients
// that send arrays make it: a short body could claim any size.
type tfTensor struct {
	dtype   tensor.DType // 0: none was given
	dims    int          // of the shape, which the caller backs
	content []byte
	singles []float32
	doubles []float64
	whole32 []int32
	whole64 []int64
	texts   []string
	bools   []bool
}

// setNumber sets the type by its number.
func (t *tfTensor) setNumber(number uint64) error {
	if number == 0 {
		return nil
	}
	for _, known := range tfTypes {
		if known.number == number {
			t.dtype = known.dtype
			return nil
		}
	}
	return unknownTF("%d", number)
}

// setName sets the type by its name.
func (t *tfTensor) setName(name []byte) error {
	for _, known := range tfTypes {
		if known.name == string(name) {
			t.dtype = known.dtype
			return nil
		}
	}
	return unknownTF("%.40q", name)
}

func unknownTF(format string, dtype any) error {
	return fault.Invalidf("data.tftensor: the dtype "+format+" is not supported", dtype).
		WithHint("use DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64, DT_BOOL or DT_STRING")
}

// data returns the elements, of which there should be n.
func (t *tfTensor) data(n int) (any, error) {
	if len(t.content) > 0 {
		if t.dtype == tensor.Bytes {
			return nil, fault.Invalidf("data.tftensor holds texts as content; send them as string_val")
		}
		data, err := readBinary(t.dtype, t.content, n)
		if err != nil {
			return nil, fault.Invalidf("data.tftensor: %w", err)
		}
		return data, nil
	}
	switch t.dtype {
	case tensor.Float32:
		return t.singles, nil
	case tensor.Float64:
		return t.doubles, nil
	case tensor.Int32:
		return t.whole32, nil
	case tensor.Int64:
		return t.whole64, nil
	case tensor.Bytes:
		return t.texts, nil
	case tensor.Bool:
		return t.bools, nil
	case tensor.Uint8:
		return narrowed[uint8](t.whole32)
	case tensor.Int16:
		return narrowed[int16](t.whole32)
	case tensor.Int8:
		return narrowed[int8](t.whole32)
	case tensor.Uint16:
		return narrowed[uint16](t.whole32)
	}
	return nil, unknownTF("%s", tfTypeOf(t.dtype).name+" as a list")
}

// narrowed returns numbers of an int_val as those of a smaller type.
func narrowed[I uint8 | int16 | int8 | uint16](list []int32) ([]I, error) {
	out := make([]I, len(list))
	for i, v := range list {
		if out[i] = I(v); int32(out[i]) != v {
			return nil, fault.Invalidf("data.tftensor, element %d: %d does not fit its dtype", i, v)
		}
	}
	return out, nil
}

// dim adds a dimension of size n to the shape of t.
func (q *seldonQuestion) dim(t *tfTensor, n int64) error {
	switch {
	case t.dims == maxRank:
		return fault.Invalidf("data.tftensor has more than %d dimensions", maxRank)
	case n < 0 || n > math.MaxInt32:
		return fault.Invalidf("data.tftensor: %d cannot be the size of a dimension", n)
	}
	q.shape[t.dims] = int(n)
	t.dims++
	return nil
}

// tensorOf makes the input of a tftensor.
func (q *seldonQuestion) tensorOf(t *tfTensor) error {
	shape := q.shape[:t.dims:t.dims]
	n, err := tensor.Elements(shape)
	switch {
	case t.dtype == 0:
		return fault.Invalidf("data.tftensor has no dtype")
	case err != nil:
		return fault.Invalidf("data.tftensor: %w", err)
	case n > q.limits.Elements:
		return fault.Invalidf("data.tftensor: shape %v has more values than a request may hold (%d)", shape, q.limits.Elements)
	}
	data, err := t.data(n)
	if err != nil {
		return err
	}
	return q.shaped(shape, data)
}
