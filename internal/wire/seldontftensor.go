package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// tfType is TensorFlow's DataType, of which these are known.
type tfType int64

const (
	tfFloat  tfType = 1
	tfDouble tfType = 2
	tfInt32  tfType = 3
	tfUint8  tfType = 4
	tfInt16  tfType = 5
	tfInt8   tfType = 6
	tfString tfType = 7
	tfInt64  tfType = 9
	tfBool   tfType = 10
	tfUint16 tfType = 17
	tfUint32 tfType = 22
	tfUint64 tfType = 23
)

// tfNames are the names of those types that requests may hold.
var tfNames = map[string]tfType{
	"DT_FLOAT": tfFloat, "DT_DOUBLE": tfDouble, "DT_INT32": tfInt32, "DT_INT64": tfInt64, "DT_STRING": tfString, "DT_BOOL": tfBool,
}

// tfTensor is TensorFlow's TensorProto. Its elements are little-endian bytes in content, or numbers in the list of the type.
//
// TensorFlow lets a list that is too short stand for a tensor whose last element is repeated; here the list must be whole, as clients
// that send arrays make it: a short body could claim any size.
type tfTensor struct {
	dtype   tfType
	dims    int // of the shape, which the caller backs
	content []byte
	singles []float32
	doubles []float64
	whole32 []int32
	whole64 []int64
	texts   []string
	bools   []bool
}

// data returns the elements of a tensor of n.
func (t *tfTensor) data(n int) (any, error) {
	if t.content != nil {
		return t.unpack(n)
	}
	switch t.dtype {
	case tfFloat:
		return t.singles, nil
	case tfDouble:
		return t.doubles, nil
	case tfInt32:
		return t.whole32, nil
	case tfInt64:
		return t.whole64, nil
	case tfString:
		return t.texts, nil
	case tfBool:
		return t.bools, nil
	}
	return nil, t.unknown(strconv.FormatInt(int64(t.dtype), 10))
}

func (t *tfTensor) unknown(dtype string) error {
	if t.dtype == 0 {
		return fault.Invalidf("data.tftensor has no dtype")
	}
	return fault.Invalidf("data.tftensor: the dtype %.40s is not supported", dtype).
		WithHint("use DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64, DT_BOOL or DT_STRING")
}

// unpack reads the elements from content.
func (t *tfTensor) unpack(n int) (any, error) {
	size := map[tfType]int{tfFloat: 4, tfDouble: 8, tfInt32: 4, tfInt64: 8, tfBool: 1}[t.dtype]
	switch {
	case t.dtype == tfString:
		return nil, fault.Invalidf("data.tftensor holds texts as content; send them as string_val")
	case size == 0:
		return nil, t.unknown(strconv.FormatInt(int64(t.dtype), 10))
	case len(t.content)%size != 0 || len(t.content)/size != n:
		return nil, fault.Invalidf("data.tftensor has %d bytes of content, but its shape needs %d elements of %d", len(t.content), n, size)
	}
	switch t.dtype {
	case tfFloat:
		return each(t.content, size, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }), nil
	case tfDouble:
		return each(t.content, size, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }), nil
	case tfInt32:
		return each(t.content, size, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) }), nil
	case tfInt64:
		return each(t.content, size, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) }), nil
	}
	return each(t.content, size, func(b []byte) bool { return b[0] != 0 }), nil
}

func each[T tensor.Element](content []byte, size int, element func([]byte) T) []T {
	out := make([]T, len(content)/size)
	for i := range out {
		out[i] = element(content[i*size:])
	}
	return out
}

// tensorOf makes the input of a tftensor.
func (q *seldonQuestion) tensorOf(t *tfTensor) error {
	shape := q.shape[:t.dims:t.dims]
	n, err := tensor.Elements(shape)
	if err != nil {
		return fault.Invalidf("data.tftensor: %w", err)
	}
	data, err := t.data(n)
	if err != nil {
		return err
	}
	if n > q.limits.Elements {
		return fault.Invalidf("data.tftensor: shape %v has more values than a request may hold (%d)", shape, q.limits.Elements)
	}
	return q.shaped(shape, data)
}

// tftensor reads a TensorProto in protobuf's JSON form: with the names of its fields in either spelling, whole numbers of 64 bits as
// strings, and bytes in base64.
func (c *seldonCall) tftensor() {
	const dtype, shape, content, singles, doubles, whole32, whole64, texts, bools = 0, 1, 2, 3, 4, 5, 6, 7, 8
	var (
		seen keys
		t    tfTensor
		s    = &c.s
	)
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "dtype":
			if seen.once(s, dtype, "dtype") {
				c.tfType(&t)
			}
		case "tensorShape", "tensor_shape":
			if seen.once(s, shape, "tensorShape") {
				c.tfShape(&t)
			}
		case "tensorContent", "tensor_content":
			if seen.once(s, content, "tensorContent") {
				t.content = readBase64(s, "tensorContent")
			}
		case "floatVal", "float_val":
			if seen.once(s, singles, "floatVal") {
				t.singles, _ = c.list(tensor.Float32, "floatVal").([]float32)
			}
		case "doubleVal", "double_val":
			if seen.once(s, doubles, "doubleVal") {
				t.doubles, _ = c.list(tensor.Float64, "doubleVal").([]float64)
			}
		case "intVal", "int_val":
			if seen.once(s, whole32, "intVal") {
				t.whole32 = listOf(c, func() int32 { return int32(c.whole(32)) })
			}
		case "int64Val", "int64_val":
			if seen.once(s, whole64, "int64Val") {
				t.whole64 = listOf(c, func() int64 { return c.whole(64) })
			}
		case "stringVal", "string_val":
			if seen.once(s, texts, "stringVal") {
				t.texts = listOf(c, func() string { return string(readBase64(s, "stringVal")) })
			}
		case "boolVal", "bool_val":
			if seen.once(s, bools, "boolVal") {
				t.bools, _ = c.list(tensor.Bool, "boolVal").([]bool)
			}
		default:
			s.Skip()
		}
	}
	if s.Err() == nil {
		if err := c.tensorOf(&t); err != nil {
			c.fail(err)
		}
	}
}

// list reads a flat list of numbers.
func (c *seldonCall) list(d tensor.DType, what string) any {
	c.array.unshaped(c.width())
	data := c.array.data(d)
	if err := c.s.Err(); err != nil {
		c.err = c.array.wrap(err, "data.tftensor."+what)
	} else if len(c.array.shape()) != 1 {
		c.fail(fault.Invalidf("data.tftensor.%s is nested", what))
	}
	return data
}

// listOf reads a flat list, element by element.
func listOf[T tensor.Element](c *seldonCall, element func() T) []T {
	out := []T{}
	for c.s.Array(); c.s.Next(); {
		if len(out) == c.limits.Elements {
			c.s.Failf("more than %d values; send the rows in several requests", c.limits.Elements)
		}
		out = append(out, element())
	}
	return out
}

// whole reads a whole number, which may stand in a string.
func (c *seldonCall) whole(bits int) int64 {
	if c.s.Peek() != jsonscan.String {
		v := c.s.Int64()
		if bits == 32 && v != int64(int32(v)) {
			c.s.Failf("%d does not fit INT32", v)
		}
		return v
	}
	text := c.s.Bytes()
	v, err := strconv.ParseInt(string(text), 10, bits)
	if err != nil && c.s.Err() == nil {
		c.s.Failf("%.40q is not a whole number of %d bits", text, bits)
	}
	return v
}

// tfType reads a dtype: its name, or its number.
func (c *seldonCall) tfType(t *tfTensor) {
	if c.s.Peek() != jsonscan.String {
		t.dtype = tfType(c.s.Int64())
		return
	}
	name := c.s.Bytes()
	known := false
	if t.dtype, known = tfNames[string(name)]; !known && c.s.Err() == nil {
		t.dtype = -1
		c.fail(t.unknown(string(name)))
	}
}

// tfShape reads {"dim": [{"size": "2"}, ...]}.
func (c *seldonCall) tfShape(t *tfTensor) {
	const dim, unknown = 0, 1
	var seen keys
	s := &c.s
	for s.Object(); s.Next(); {
		switch string(s.Key()) {
		case "dim":
			if !seen.once(s, dim, "dim") {
				continue
			}
			for s.Array(); s.Next(); {
				c.tfDim(t)
			}
		case "unknownRank", "unknown_rank":
			if seen.once(s, unknown, "unknownRank") && s.Bool() {
				s.Failf("data.tftensor is of unknown rank")
			}
		default:
			s.Skip()
		}
	}
}

// tfDim reads the size of one dimension. One that is left out is 0, as in all of protobuf.
func (c *seldonCall) tfDim(t *tfTensor) {
	const size = 0
	var (
		seen keys
		n    int64
		s    = &c.s
	)
	for s.Object(); s.Next(); {
		if string(s.Key()) != "size" {
			s.Skip()
		} else if seen.once(s, size, "size") {
			n = c.whole(64)
		}
	}
	if s.Err() == nil {
		if err := c.dim(t, n); err != nil {
			c.fail(err)
		}
	}
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

// tfTypes are how an answer's elements are typed in a TensorProto, and the list that holds them where they are few.
var tfTypes = map[tensor.DType]struct {
	name   string
	number tfType
	list   string
}{
	tensor.Float32: {"DT_FLOAT", tfFloat, "floatVal"},
	tensor.Float64: {"DT_DOUBLE", tfDouble, "doubleVal"},
	tensor.Int32:   {"DT_INT32", tfInt32, "intVal"},
	tensor.Int16:   {"DT_INT16", tfInt16, "intVal"},
	tensor.Int8:    {"DT_INT8", tfInt8, "intVal"},
	tensor.Uint16:  {"DT_UINT16", tfUint16, "intVal"},
	tensor.Uint8:   {"DT_UINT8", tfUint8, "intVal"},
	tensor.Int64:   {"DT_INT64", tfInt64, "int64Val"},
	tensor.Uint32:  {"DT_UINT32", tfUint32, "uint32Val"},
	tensor.Uint64:  {"DT_UINT64", tfUint64, "uint64Val"},
}

// appendTftensor writes t, which holds numbers, as TensorFlow itself does: one element in the list of its type, several as content.
func appendTftensor(dst []byte, t *tensor.Tensor) ([]byte, error) {
	kind := tfTypes[t.DType()]
	dst = append(append(append(dst, `{"dtype":"`...), kind.name...), `","tensorShape":{"dim":[`...)
	for i, d := range t.Shape {
		dst = append(comma(dst, i), `{"size":"`...)
		dst = append(strconv.AppendInt(dst, int64(d), 10), `"}`...)
	}
	dst = append(dst, `]},"`...)
	if t.Len() == 1 {
		var err error
		dst = append(append(dst, kind.list...), `":`...)
		from := len(dst)
		if dst, err = appendFlat(dst, t, singles); err == nil && strings.Contains(kind.list, "64") { // which protobuf's JSON has as strings
			dst = append(append(append(dst[:from], `["`...), bytes.Clone(dst[from+1:len(dst)-1])...), `"]`...)
		}
		return append(dst, '}'), err
	}
	if err := finite(t); err != nil {
		return dst, err
	}
	dst = append(dst, `tensorContent":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, appendContent(nil, t))
	return append(dst, `"}`...), nil
}

// finite tells which element JSON cannot carry.
func finite(t *tensor.Tensor) error {
	if d := t.DType(); d != tensor.Float32 && d != tensor.Float64 {
		return nil
	}
	values, err := t.Float64s()
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fault.Internalf("output %q, element %d is %v, which JSON cannot carry", t.Name, i, v)
		}
	}
	return err
}

// appendContent appends the little-endian bytes of numbers.
func appendContent(dst []byte, t *tensor.Tensor) []byte {
	switch data := t.Data.(type) {
	case []float32:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case []float64:
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	default:
		dst, _ = binary.Append(dst, binary.LittleEndian, t.Data) // whole numbers of a fixed size always can be
	}
	return dst
}
