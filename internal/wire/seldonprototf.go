package wire

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// tftensor reads a TensorProto.
func (c *seldonProtoCall) tftensor(f protoFields) error {
	var t tfTensor
	l := tfLists{&f, c.limits.Elements}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | varint:
			f.refuse(t.setNumber(f.number))
		case 2<<3 | delimited:
			f.refuse(c.tfShape(&t, f.inside()))
		case 4<<3 | delimited:
			t.content = f.bytes
		case 5<<3 | fixed32, 5<<3 | delimited:
			t.singles = tfFloats(l, t.singles, tag&7, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
		case 6<<3 | fixed64, 6<<3 | delimited:
			t.doubles = tfFloats(l, t.doubles, tag&7, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
		case 7<<3 | varint, 7<<3 | delimited:
			t.whole32 = tfVarints(l, t.whole32, tag&7, func(v uint64) int32 { return int32(v) })
		case 8<<3 | delimited:
			if l.room(len(t.texts), 1) {
				t.texts = append(t.texts, string(f.bytes))
			}
		case 10<<3 | varint, 10<<3 | delimited:
			t.whole64 = tfVarints(l, t.whole64, tag&7, func(v uint64) int64 { return int64(v) })
		case 11<<3 | varint, 11<<3 | delimited:
			t.bools = tfVarints(l, t.bools, tag&7, func(v uint64) bool { return v != 0 })
		}
	}
	if f.err != nil {
		return f.err
	}
	return c.tensorOf(&t)
}

// tfShape reads a TensorShapeProto.
func (c *seldonProtoCall) tfShape(t *tfTensor, f protoFields) error {
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 2<<3 | delimited:
			size := uint64(0)
			dim := f.inside()
			for tag := dim.next(); tag != 0; tag = dim.next() {
				if tag == 1<<3|varint {
					size = dim.number
				}
			}
			f.refuse(dim.err)
			f.refuse(c.dim(t, int64(size)))
		case 3<<3 | varint:
			if f.number != 0 {
				f.refuse(fault.Invalidf("data.tftensor is of unknown rank"))
			}
		}
	}
	return f.err
}

// tfLists reads the elements of lists, packed or one by one.
type tfLists struct {
	f    *protoFields
	most int
}

// room tells whether a list may have more elements.
func (l tfLists) room(have, more int) bool {
	if more > l.most-have {
		l.f.refuse(fault.Invalidf("data.tftensor has more than %d values; send the rows in several requests", l.most))
	}
	return l.f.err == nil
}

func tfFloats[T tensor.Element](l tfLists, out []T, kind uint64, size int, value func([]byte) T) []T {
	packed := l.f.bytes
	if kind != delimited {
		packed = binary.LittleEndian.AppendUint64(nil, l.f.number)[:size]
	}
	if len(packed)%size != 0 {
		l.f.fail("a packed list is cut off")
		return out
	}
	if !l.room(len(out), len(packed)/size) {
		return out
	}
	for ; len(packed) > 0; packed = packed[size:] {
		out = append(out, value(packed))
	}
	return out
}

func tfVarints[T tensor.Element](l tfLists, out []T, kind uint64, value func(uint64) T) []T {
	if kind == varint {
		if l.room(len(out), 1) {
			out = append(out, value(l.f.number))
		}
		return out
	}
	for packed := l.f.bytes; len(packed) > 0; {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			l.f.broken(n)
			return out
		}
		if !l.room(len(out), 1) {
			return out
		}
		out = append(out, value(v))
		packed = packed[n:]
	}
	return out
}
