package wire

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Answer appends a SeldonMessage: what the answer in JSON tells, with numbers as the doubles that they equal, and a tftensor's in the
// output's own type.
func (c *seldonProtoCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	o, form, err := c.output(resp)
	if err != nil {
		return dst, err
	}
	dst = c.appendMeta(dst, m)
	dst, data := openProto(dst, 3)
	dst, err = c.appendNames(dst, o)
	if err != nil {
		return dst, err
	}
	switch form {
	case tensorForm:
		dst = appendTensorProto(dst, o)
	case tftensorForm:
		dst = appendTftensorProto(dst, o)
	default:
		dst, err = appendNdarrayProto(dst, o)
	}
	return closeProto(dst, data), err
}

func (c *seldonProtoCall) appendMeta(dst []byte, m Meta) []byte {
	dst, meta := openProto(dst, 2)
	dst = appendProtoText(dst, 1, c.id(m))
	for _, entry := range c.tags {
		dst = protowire.AppendBytes(append(dst, byte(2<<3|delimited)), entry)
	}
	for n := range c.nodes(m) {
		var entry int
		dst, entry = openProto(dst, 4)
		dst = closeProto(appendProtoText(appendProtoText(dst, 1, n.name), 2, n.image), entry)
	}
	for _, metric := range c.metrics {
		dst = protowire.AppendBytes(append(dst, byte(5<<3|delimited)), metric)
	}
	return closeProto(dst, meta)
}

func (c *seldonProtoCall) appendNames(dst []byte, o *tensor.Tensor) ([]byte, error) {
	labels := c.labels(o)
	var digits [24]byte
	for i := range columnCount(o) {
		dst = append(dst, byte(1<<3|delimited))
		if labels == nil {
			dst = protowire.AppendBytes(dst, strconv.AppendInt(append(digits[:0], "t:"...), int64(i), 10))
		} else if !utf8.ValidString(labels[i]) {
			return dst, fault.Internalf("output %q: label %d is not valid UTF-8", o.Name, i)
		} else {
			dst = protowire.AppendString(dst, labels[i])
		}
	}
	return dst, nil
}

// appendTensorProto appends numbers as data.tensor.
func appendTensorProto(dst []byte, o *tensor.Tensor) []byte {
	dst, mark := openProto(dst, 2)
	dst = appendProtoShape(dst, 1, o.Shape)
	n := o.Len()
	if n > 0 {
		dst = protowire.AppendVarint(append(dst, byte(2<<3|delimited)), uint64(n)*8)
	}
	switch data := o.Data.(type) {
	case []float32:
		for _, v := range data {
			dst = appendDouble(dst, float64(v))
		}
	case []float64:
		for _, v := range data {
			dst = appendDouble(dst, v)
		}
	default:
		values, _ := o.Float64s() // of numbers always
		for _, v := range values {
			dst = appendDouble(dst, v)
		}
	}
	return closeProto(dst, mark)
}

func appendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// appendNdarrayProto appends data.ndarray. A scalar becomes a list of one.
func appendNdarrayProto(dst []byte, o *tensor.Tensor) ([]byte, error) {
	dst, mark := openProto(dst, 3)
	shape := o.Shape
	if len(shape) == 0 || o.Len() == 0 {
		shape = []int{o.Len()}
	}
	var (
		numbers []float64
		err     error
	)
	if texts, ok := o.Data.([]string); ok {
		dst, err = appendLists(dst, o, shape, texts, func(dst []byte, v string) ([]byte, error) {
			if !utf8.ValidString(v) {
				return dst, fault.Internalf("text that is not valid UTF-8 cannot be carried by ndarray")
			}
			return append(protowire.AppendVarint(append(dst, byte(3<<3|delimited)), uint64(len(v))), v...), nil
		})
	} else if truths, ok := o.Data.([]bool); ok {
		dst, err = appendLists(dst, o, shape, truths, func(dst []byte, v bool) ([]byte, error) {
			return append(dst, byte(4<<3|varint), byte(one(v))), nil
		})
	} else if numbers, err = o.Float64s(); err == nil {
		dst, err = appendLists(dst, o, shape, numbers, func(dst []byte, v float64) ([]byte, error) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return dst, fault.Internalf("%v cannot be carried by ndarray", v)
			}
			return appendNumberValue(dst, v), nil
		})
	}
	return closeProto(dst, mark), err
}

// appendLists appends data as the content of a ListValue, of lists within lists where there are more dimensions than one.
func appendLists[T tensor.Element](dst []byte, o *tensor.Tensor, shape []int, data []T, element func([]byte, T) ([]byte, error)) ([]byte, error) {
	var mark, list int
	var err error
	step := len(data) / max(shape[0], 1)
	for i := range shape[0] {
		dst, mark = openProto(dst, 1)
		if len(shape) > 1 {
			dst, list = openProto(dst, 6)
			dst, err = appendLists(dst, o, shape[1:], data[i*step:(i+1)*step], element)
			dst = closeProto(dst, list)
		} else if dst, err = element(dst, data[i]); err != nil {
			err = fault.Internalf("output %q: %w", o.Name, err)
		}
		if err != nil {
			return dst, err
		}
		dst = closeProto(dst, mark)
	}
	return dst, nil
}

// appendTftensorProto appends numbers as data.tftensor: one element in the list of its type, several as content.
func appendTftensorProto(dst []byte, o *tensor.Tensor) []byte {
	kind := tfTypeOf(o.DType())
	dst, mark := openProto(dst, 4)
	dst = appendProtoNumber(dst, 1, kind.number)
	dst, shape := openProto(dst, 2)
	for _, d := range o.Shape {
		var dim int
		dst, dim = openProto(dst, 2)
		dst = closeProto(appendProtoNumber(dst, 1, uint64(d)), dim)
	}
	dst = closeProto(dst, shape)
	if o.Len() != 1 {
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = appendBinary(protowire.AppendVarint(dst, uint64(binaryLen(o))), o)
		return closeProto(dst, mark)
	}
	dst, list := openProto(dst, protowire.Number(kind.field))
	dst = appendPacked(dst, o)
	return closeProto(closeProto(dst, list), mark)
}
