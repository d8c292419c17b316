package wire

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// google.protobuf.Value is JSON in protobuf: a message with one of
//
//	null_value = 1 (an enumeration), number_value = 2, string_value = 3, bool_value = 4, struct_value = 5, list_value = 6
//
// where a Struct has fields = 1, entries of key = 1 and value = 2, and a ListValue has values = 1.

// maxValueDepth is how deep values may nest: what protobuf's own libraries read, and less than jsonscan does.
const maxValueDepth = 100

// protoValue is a Value taken apart.
type protoValue struct {
	kind   jsonscan.Kind
	number float64
	truth  bool
	bytes  []byte // of a text, an object (a Struct) or an array (a ListValue); shares the message
}

// readValue reads a Value. One that holds nothing is null.
func readValue(value []byte) (protoValue, error) {
	v := protoValue{kind: jsonscan.Null}
	f := protoFields{message: "google.protobuf.Value", left: value}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | varint:
			v.kind = jsonscan.Null
		case 2<<3 | fixed64:
			v.kind, v.number = jsonscan.Number, math.Float64frombits(f.number)
		case 3<<3 | delimited:
			v.kind, v.bytes = jsonscan.String, f.chars()
		case 4<<3 | varint:
			v.kind, v.truth = jsonscan.Bool, f.number != 0
		case 5<<3 | delimited:
			v.kind, v.bytes = jsonscan.Object, f.bytes
		case 6<<3 | delimited:
			v.kind, v.bytes = jsonscan.Array, f.bytes
		}
	}
	return v, f.err
}

// appendValueJSON appends a Value as JSON. A number that is not finite becomes the token that jsonscan reads where it is told to.
func appendValueJSON(dst, value []byte, depth int) ([]byte, error) {
	v, err := readValue(value)
	if err != nil {
		return dst, err
	}
	switch v.kind {
	case jsonscan.Number:
		return appendLoose(dst, v.number, 64), nil
	case jsonscan.String:
		return appendText(dst, string(v.bytes)), nil
	case jsonscan.Bool:
		return strconv.AppendBool(dst, v.truth), nil
	case jsonscan.Object:
		return appendStructJSON(dst, v.bytes, depth+1)
	case jsonscan.Array:
		return appendListJSON(dst, v.bytes, depth+1)
	}
	return append(dst, "null"...), nil
}

// appendLoose appends a number, or the token for one that is not finite.
func appendLoose(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	return appendFloat(dst, v, bits)
}

var errValueDepth = fault.Invalidf("a google.protobuf.Value is nested deeper than %d", maxValueDepth)

// appendListJSON appends a ListValue.
func appendListJSON(dst, list []byte, depth int) ([]byte, error) {
	if depth > maxValueDepth {
		return dst, errValueDepth
	}
	dst = append(dst, '[')
	f := protoFields{message: "google.protobuf.ListValue", left: list}
	n := 0
	for tag := f.next(); tag != 0; tag = f.next() {
		if tag == 1<<3|delimited {
			var err error
			dst, err = appendValueJSON(comma(dst, n), f.bytes, depth)
			f.refuse(err)
			n++
		}
	}
	return append(dst, ']'), f.err
}

// appendStructJSON appends a Struct.
func appendStructJSON(dst, fields []byte, depth int) ([]byte, error) {
	if depth > maxValueDepth {
		return dst, errValueDepth
	}
	dst = append(dst, '{')
	f := protoFields{message: "google.protobuf.Struct", left: fields}
	n := 0
	for tag := f.next(); tag != 0; tag = f.next() {
		if tag != 1<<3|delimited {
			continue
		}
		var key, value []byte
		entry := f.inside()
		for tag := entry.next(); tag != 0; tag = entry.next() {
			switch tag {
			case 1<<3 | delimited:
				key = entry.chars()
			case 2<<3 | delimited:
				value = entry.bytes
			}
		}
		f.refuse(entry.err)
		var err error
		dst = append(appendText(comma(dst, n), string(key)), ':')
		dst, err = appendValueJSON(dst, value, depth)
		f.refuse(err)
		n++
	}
	return append(dst, '}'), f.err
}

// appendJSONValue reads a JSON value and appends it as the content of a Value.
func appendJSONValue(dst []byte, s *jsonscan.Scanner) []byte {
	switch s.Peek() {
	case jsonscan.Number:
		return appendNumberValue(dst, s.Float64())
	case jsonscan.String:
		return appendTextValue(dst, s.Bytes())
	case jsonscan.Bool:
		v := uint64(0)
		if s.Bool() {
			v = 1
		}
		return protowire.AppendVarint(append(dst, byte(4<<3|varint)), v)
	case jsonscan.Object:
		dst, mark := openProto(dst, 5)
		for s.Object(); s.Next(); {
			dst = appendEntry(dst, 1, s)
		}
		return closeProto(dst, mark)
	case jsonscan.Array:
		dst, mark := openProto(dst, 6)
		for s.Array(); s.Next(); {
			var value int
			dst, value = openProto(dst, 1)
			dst = closeProto(appendJSONValue(dst, s), value)
		}
		return closeProto(dst, mark)
	}
	s.Null()
	return append(dst, byte(1<<3|varint), 0)
}

// appendEntry reads a key and a value and appends them as an entry of a map<string, Value> of the given number.
func appendEntry(dst []byte, number protowire.Number, s *jsonscan.Scanner) []byte {
	dst, entry := openProto(dst, number)
	dst = protowire.AppendBytes(append(dst, byte(1<<3|delimited)), s.Key())
	dst, value := openProto(dst, 2)
	return closeProto(closeProto(appendJSONValue(dst, s), value), entry)
}

// appendNumberValue appends the content of a Value that is a number.
func appendNumberValue(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, byte(2<<3|fixed64)), math.Float64bits(v))
}

// appendTextValue appends the content of a Value that is a text.
func appendTextValue(dst, text []byte) []byte {
	return protowire.AppendBytes(append(dst, byte(3<<3|delimited)), text)
}
