package wire

import (
	"encoding/base64"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

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
	var err error
	if c.s.Peek() == jsonscan.String {
		err = t.setName(c.s.Bytes())
	} else {
		err = t.setNumber(uint64(c.s.Int64()))
	}
	if err != nil {
		c.fail(err)
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

// appendTftensor writes t, which holds numbers, as TensorFlow itself does: one element in the list of its type, several as content.
func appendTftensor(dst []byte, t *tensor.Tensor) ([]byte, error) {
	kind := tfTypeOf(t.DType())
	dst = append(append(append(dst, `{"dtype":"`...), kind.name...), `","tensorShape":{"dim":[`...)
	for i, d := range t.Shape {
		dst = append(comma(dst, i), `{"size":"`...)
		dst = append(strconv.AppendInt(dst, int64(d), 10), `"}`...)
	}
	dst = append(dst, `]},"`...)
	if t.Len() != 1 {
		if err := finite(t); err != nil {
			return dst, err
		}
		dst = append(dst, `tensorContent":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, appendBinary(nil, t))
		return append(dst, `"}`...), nil
	}
	dst = append(append(dst, kind.list...), `":`...)
	from := len(dst)
	dst, err := appendFlat(dst, t, singles)
	if err != nil {
		return dst, err
	}
	if kind.dtype == tensor.Int64 || kind.dtype == tensor.Uint64 { // which protobuf's JSON has as a string
		number := string(dst[from+1 : len(dst)-1])
		dst = append(append(append(dst[:from], `["`...), number...), `"]`...)
	}
	return append(dst, '}'), nil
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
