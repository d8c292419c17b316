package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// The wire types of protobuf, as the low three bits of a tag have them: field 4, a string, is the tag 4<<3|delimited.
const (
	varint    = uint64(protowire.VarintType)
	fixed64   = uint64(protowire.Fixed64Type)
	delimited = uint64(protowire.BytesType)
	fixed32   = uint64(protowire.Fixed32Type)
)

// protoFields reads the fields of one protobuf message in the order they come, as
// https://protobuf.dev/programming-guides/encoding tells their form. A field that the reader does not know, or that comes with another
// wire type than it should, is passed over, as every protobuf library does.
type protoFields struct {
	message string // its name, for errors
	left    []byte
	bytes   []byte // the value of a delimited field; shares the message
	number  uint64 // the value of any other
	err     error  // Invalid; nothing is read after it
}

// next moves to the next field and returns its tag, 0 at the end or after an error. No field has the tag 0.
func (f *protoFields) next() uint64 {
	if len(f.left) == 0 || f.err != nil {
		return 0
	}
	tag, n := protowire.ConsumeVarint(f.left)
	if n < 0 {
		return f.broken(n)
	}
	number, kind := protowire.DecodeTag(tag)
	if number < protowire.MinValidNumber || number > protowire.MaxValidNumber {
		f.fail("it has a field of number %d", tag>>3)
		return 0
	}
	f.left = f.left[n:]
	switch kind {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.left)
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(f.left)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(f.left)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(f.left)
		f.number = uint64(v)
	default:
		n = protowire.ConsumeFieldValue(number, kind, f.left)
	}
	if n < 0 {
		return f.broken(n)
	}
	f.left = f.left[n:]
	return tag
}

// broken records that the bytes are no message.
func (f *protoFields) broken(code int) uint64 {
	f.fail("%v", protowire.ParseError(code))
	return 0
}

// fail records an error, unless one came before it.
func (f *protoFields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fault.Invalidf("the body is no %s: %w", f.message, fault.Invalidf(format, args...))
	}
}

// chars returns the value of a string field, which shares the message: valid UTF-8, as protobuf demands.
func (f *protoFields) chars() []byte {
	if !utf8.Valid(f.bytes) {
		f.fail("a string of it is not valid UTF-8")
		return nil
	}
	return f.bytes
}

// text returns the value of a string field.
func (f *protoFields) text() string { return string(f.chars()) }

// appendProtoText appends a string field; nothing for "". What is not UTF-8 in it is replaced: no client could read it.
func appendProtoText(dst []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	return appendProtoItem(dst, number, text)
}

// appendProtoItem appends one element of a repeated string field.
func appendProtoItem(dst []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), validText(text))
}

// appendProtoNumber appends a field of a whole number, an enumeration or a bool; nothing for 0.
func appendProtoNumber(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), v)
}

// appendProtoShape appends a packed field of whole numbers; nothing for none.
func appendProtoShape(dst []byte, number protowire.Number, shape []int) []byte {
	if len(shape) == 0 {
		return dst
	}
	dst, mark := openProto(dst, number)
	for _, d := range shape {
		dst = protowire.AppendVarint(dst, uint64(d))
	}
	return closeProto(dst, mark)
}

// openProto begins a delimited field whose length will be known at its end, with closeProto.
func openProto(dst []byte, number protowire.Number) (_ []byte, mark int) {
	dst = append(protowire.AppendTag(dst, number, protowire.BytesType), 0)
	return dst, len(dst)
}

// closeProto ends a field that began at mark. A byte is there for the length; where that needs more, what it counts moves up.
func closeProto(dst []byte, mark int) []byte {
	length := len(dst) - mark
	more := protowire.SizeVarint(uint64(length)) - 1
	if more > 0 {
		dst = append(dst, make([]byte, more)...)
		copy(dst[mark+more:], dst[mark:mark+length])
	}
	protowire.AppendVarint(dst[:mark-1], uint64(length))
	return dst
}

// within reads the message that the present field holds, with read called for each of its fields.
func (f *protoFields) within(read func(tag uint64, inner *protoFields)) {
	inner := protoFields{message: f.message, left: f.bytes}
	for tag := inner.next(); tag != 0; tag = inner.next() {
		read(tag, &inner)
	}
	f.err = inner.err
}

// protoParameter is an entry of a map<string, InferParameter> or map<string, ModelRepositoryParameter>. The two number alike what they
// both have.
type protoParameter struct {
	key    string
	choice uint64 // which of the values there is, 0 for none: 1 bool, 2 int64, 3 string, 4 double or bytes, 5 uint64
	number uint64 // of a number; a double's bits
	text   string // of a string
}

// readProtoParameter reads the entry that the present field of f holds.
func readProtoParameter(f *protoFields) (p protoParameter) {
	f.within(func(tag uint64, entry *protoFields) {
		switch tag {
		case 1<<3 | delimited:
			p.key = entry.text()
		case 2<<3 | delimited:
			entry.within(func(tag uint64, value *protoFields) {
				switch tag {
				case 1<<3 | varint, 2<<3 | varint, 4<<3 | fixed64, 5<<3 | varint:
					p.choice, p.number, p.text = tag>>3, value.number, ""
				case 3<<3 | delimited:
					p.choice, p.number, p.text = 3, 0, value.text()
				case 4<<3 | delimited:
					p.choice, p.number, p.text = 4, 0, ""
				}
			})
		}
	})
	return p
}

// refuse records an error about what the message means, unless one came before it.
func (f *protoFields) refuse(err error) {
	if f.err == nil {
		f.err = err
	}
}

// appendPacked appends the elements of t, which are no texts, as the content of a packed list: floats and truths in the form of binary
// tensors, which is protobuf's too, and whole numbers as varints.
func appendPacked(dst []byte, t *tensor.Tensor) []byte {
	switch data := t.Data.(type) {
	case []float32, []float64, []bool:
		return appendBinary(dst, t)
	case []int64:
		return appendVarints(dst, data)
	case []int32:
		return appendVarints(dst, data)
	case []int16:
		return appendVarints(dst, data)
	case []int8:
		return appendVarints(dst, data)
	case []uint64:
		return appendVarints(dst, data)
	case []uint32:
		return appendVarints(dst, data)
	case []uint16:
		return appendVarints(dst, data)
	case []uint8:
		return appendVarints(dst, data)
	}
	return dst
}

// appendVarints writes negative numbers in ten bytes, as protobuf has those of int32 and int64.
func appendVarints[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](dst []byte, data []I) []byte {
	for _, v := range data {
		dst = protowire.AppendVarint(dst, uint64(v))
	}
	return dst
}
