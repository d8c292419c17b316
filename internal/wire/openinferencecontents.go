package wire

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// contentsNames are the lists of inference.InferTensorContents, by field number.
var contentsNames = [...]string{
	1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents", 5: "uint64_contents", 6: "fp32_contents",
	7: "fp64_contents", 8: "bytes_contents",
}

// contentsField returns the list that holds values of d, 0 if none does.
func contentsField(d tensor.DType) protowire.Number {
	switch d {
	case tensor.Bool:
		return 1
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return 2
	case tensor.Int64:
		return 3
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return 4
	case tensor.Uint64:
		return 5
	case tensor.Float32:
		return 6
	case tensor.Float64:
		return 7
	case tensor.Bytes:
		return 8
	}
	return 0
}

// contents reads the one list of an input's typed values.
type contents struct {
	in    *protoInput
	field protowire.Number
	n     int // elements that there must be
}

// readContents reads n typed elements, and returns a slice of their Go type.
func readContents(in *protoInput, n int) (any, error) {
	c := contents{in, contentsField(in.datatype), n}
	switch in.datatype {
	case tensor.Bool:
		return varints(c, func(v uint64) (bool, bool) { return v != 0, true })
	case tensor.Int8:
		return varints(c, narrow[int8])
	case tensor.Int16:
		return varints(c, narrow[int16])
	case tensor.Int32:
		return varints(c, narrow[int32])
	case tensor.Int64:
		return varints(c, func(v uint64) (int64, bool) { return int64(v), true })
	case tensor.Uint8:
		return varints(c, narrowUnsigned[uint8])
	case tensor.Uint16:
		return varints(c, narrowUnsigned[uint16])
	case tensor.Uint32:
		return varints(c, narrowUnsigned[uint32])
	case tensor.Uint64:
		return varints(c, func(v uint64) (uint64, bool) { return v, true })
	case tensor.Float32:
		return fixed(c, 4, func(bits uint64) float32 { return math.Float32frombits(uint32(bits)) })
	case tensor.Float64:
		return fixed(c, 8, math.Float64frombits)
	case tensor.Bytes:
		out := make([]string, 0, c.room(2))
		err := c.each(func(f *protoFields, _ uint64) {
			if len(out) < n {
				out = append(out, string(f.bytes))
			} else {
				c.tooMany(f)
			}
		})
		return out, c.complete(len(out), err)
	}
	return nil, fault.Invalidf("%s has no typed contents", datatypeName(in.datatype)).WithHint("send raw_input_contents, or FP32")
}

// narrow is the value of an int32 field as a smaller type, and whether it fits.
func narrow[I int8 | int16 | int32](v uint64) (I, bool) { return I(v), int32(I(v)) == int32(v) }

// narrowUnsigned is the value of an uint32 field as a smaller type, and whether it fits.
func narrowUnsigned[U uint8 | uint16 | uint32](v uint64) (U, bool) {
	return U(v), uint32(U(v)) == uint32(v)
}

// each calls read at each field of the list, packed (delimited) or a single value, and refuses values in any other list.
func (c contents) each(read func(f *protoFields, kind uint64)) error {
	part := c.in.contents
	for i := 0; ; i++ {
		f := protoFields{message: "ModelInferRequest", left: part}
		for tag := f.next(); tag != 0; tag = f.next() {
			number, kind := protowire.Number(tag>>3), tag&7
			switch {
			case int(number) >= len(contentsNames), kind != delimited && kind != wireType(number): // unknown
			case number == c.field:
				read(&f, kind)
			case kind == delimited && len(f.bytes) == 0 && number != 8: // packed, and empty
			default:
				f.refuse(fault.Invalidf("values in %s, but %s has its values in %s", contentsNames[number], c.in.datatype, contentsNames[c.field]))
			}
		}
		if f.err != nil || i == len(c.in.more) {
			return f.err
		}
		part = c.in.more[i]
	}
}

// wireType is that of a single value of a list.
func wireType(number protowire.Number) uint64 {
	switch number {
	case 6:
		return fixed32
	case 7:
		return fixed64
	case 8:
		return delimited
	}
	return varint
}

// room is how many elements of at least the given size there can be, no more than are wanted.
func (c contents) room(size int) int {
	bytes := len(c.in.contents)
	for _, part := range c.in.more {
		bytes += len(part)
	}
	return min(c.n, bytes/size)
}

func (c contents) tooMany(f *protoFields) {
	f.refuse(fault.Invalidf("%s has more than the %d values of shape %v", contentsNames[c.field], c.n, c.in.shape))
}

// complete ends the reading of a list.
func (c contents) complete(got int, err error) error {
	if err == nil && got != c.n {
		err = fault.Invalidf("%s has %d values, but shape %v needs %d", contentsNames[c.field], got, c.in.shape, c.n)
	}
	return err
}

// varints reads a list of whole numbers or of bools.
func varints[T tensor.Element](c contents, value func(uint64) (T, bool)) ([]T, error) {
	out := make([]T, 0, c.room(1))
	add := func(f *protoFields, number uint64) {
		v, fits := value(number)
		switch {
		case len(out) == c.n:
			c.tooMany(f)
		case !fits:
			f.refuse(fault.Invalidf("element %d: %d does not fit %s", len(out), int32(number), c.in.datatype))
		default:
			out = append(out, v)
		}
	}
	err := c.each(func(f *protoFields, kind uint64) {
		if kind == varint {
			add(f, f.number)
			return
		}
		for packed := f.bytes; len(packed) > 0 && f.err == nil; {
			v, n := protowire.ConsumeVarint(packed)
			if n < 0 {
				f.broken(n)
				return
			}
			packed = packed[n:]
			add(f, v)
		}
	})
	return out, c.complete(len(out), err)
}

// fixed reads a list of floats, of 4 or 8 bytes each.
func fixed[F float32 | float64](c contents, size int, value func(bits uint64) F) ([]F, error) {
	out := make([]F, 0, c.room(size))
	err := c.each(func(f *protoFields, kind uint64) {
		packed := f.bytes
		n := len(packed) / size
		if kind != delimited {
			n = 1
		}
		switch {
		case n > c.n-len(out):
			c.tooMany(f)
		case kind != delimited:
			out = append(out, value(f.number))
		case n*size != len(packed):
			f.fail("a packed list is cut off")
		case size == 4:
			for ; len(packed) > 0; packed = packed[4:] {
				out = append(out, value(uint64(binary.LittleEndian.Uint32(packed))))
			}
		default:
			for ; len(packed) > 0; packed = packed[8:] {
				out = append(out, value(binary.LittleEndian.Uint64(packed)))
			}
		}
	})
	return out, c.complete(len(out), err)
}
