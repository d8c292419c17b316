package wire

import (
	"bytes"
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/tensor"
)

// field returns a field of a message by name.
func field(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

// rawContents is the raw form of a tensor's elements, made with encoding/binary and not our own code.
func rawContents(t tensor.Tensor) []byte {
	var b bytes.Buffer
	if texts, ok := t.Data.([]string); ok {
		for _, text := range texts {
			binary.Write(&b, binary.LittleEndian, uint32(len(text)))
			b.WriteString(text)
		}
	} else {
		binary.Write(&b, binary.LittleEndian, t.Data)
	}
	return b.Bytes()
}

// fromRaw reads raw contents back.
func fromRaw(raw []byte, d tensor.DType, n int) any {
	if d == tensor.Bytes {
		texts := []string{}
		for len(raw) > 0 {
			length := binary.LittleEndian.Uint32(raw)
			texts = append(texts, string(raw[4:4+length]))
			raw = raw[4+length:]
		}
		return texts
	}
	data := map[tensor.DType]any{
		tensor.Bool: make([]bool, n), tensor.Uint8: make([]uint8, n), tensor.Uint16: make([]uint16, n), tensor.Uint32: make([]uint32, n),
		tensor.Uint64: make([]uint64, n), tensor.Int8: make([]int8, n), tensor.Int16: make([]int16, n), tensor.Int32: make([]int32, n),
		tensor.Int64: make([]int64, n), tensor.Float32: make([]float32, n), tensor.Float64: make([]float64, n),
	}[d]
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, data); err != nil && n > 0 {
		panic(err)
	}
	return data
}

// theirs reads the tensors of a message of the real library: field is inputs or outputs, raw the field beside it.
func theirs(m protoreflect.Message, list, raw protoreflect.Name) (tensors []tensor.Tensor, typed bool) {
	items, raws := field(m, list).List(), field(m, raw).List()
	for i := range items.Len() {
		item := items.Get(i).Message()
		o := tensor.Tensor{Name: field(item, "name").String(), Shape: []int{}}
		for j := range field(item, "shape").List().Len() {
			o.Shape = append(o.Shape, int(field(item, "shape").List().Get(j).Int()))
		}
		d, err := tensor.ParseDType(field(item, "datatype").String())
		if err != nil {
			panic(err)
		}
		n, _ := tensor.Elements(o.Shape)
		contents := item.Descriptor().Fields().ByName("contents")
		if raws.Len() == 0 || item.Has(contents) {
			typed = true
			o.Data = fromContents(item.Get(contents).Message(), d)
		} else {
			o.Data = fromRaw(raws.Get(i).Bytes(), d, n)
		}
		tensors = append(tensors, o)
	}
	return tensors, typed
}

func repeated[T any](m protoreflect.Message, name protoreflect.Name, value func(protoreflect.Value) T) []T {
	l := field(m, name).List()
	out := make([]T, l.Len())
	for i := range out {
		out[i] = value(l.Get(i))
	}
	return out
}

func fromContents(m protoreflect.Message, d tensor.DType) any {
	switch d {
	case tensor.Bool:
		return repeated(m, "bool_contents", protoreflect.Value.Bool)
	case tensor.Int8:
		return repeated(m, "int_contents", func(v protoreflect.Value) int8 { return int8(v.Int()) })
	case tensor.Int16:
		return repeated(m, "int_contents", func(v protoreflect.Value) int16 { return int16(v.Int()) })
	case tensor.Int32:
		return repeated(m, "int_contents", func(v protoreflect.Value) int32 { return int32(v.Int()) })
	case tensor.Int64:
		return repeated(m, "int64_contents", protoreflect.Value.Int)
	case tensor.Uint8:
		return repeated(m, "uint_contents", func(v protoreflect.Value) uint8 { return uint8(v.Uint()) })
	case tensor.Uint16:
		return repeated(m, "uint_contents", func(v protoreflect.Value) uint16 { return uint16(v.Uint()) })
	case tensor.Uint32:
		return repeated(m, "uint_contents", func(v protoreflect.Value) uint32 { return uint32(v.Uint()) })
	case tensor.Uint64:
		return repeated(m, "uint64_contents", protoreflect.Value.Uint)
	case tensor.Float32:
		return repeated(m, "fp32_contents", func(v protoreflect.Value) float32 { return float32(v.Float()) })
	case tensor.Float64:
		return repeated(m, "fp64_contents", protoreflect.Value.Float)
	}
	return repeated(m, "bytes_contents", func(v protoreflect.Value) string { return string(v.Bytes()) })
}

// sameTensors compares tensors with those that were read.
func sameTensors(t *rapid.T, got, want []tensor.Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	for i := range got {
		if !same(got[i], want[i]) {
			t.Fatalf("tensor %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// protoParts writes the fields of a message, and draws all that the encoding leaves to the writer: fields that nobody knows, and the order in
// which fields of different numbers come.
type protoParts map[protowire.Number][][]byte

func (p protoParts) add(number protowire.Number, field []byte) { p[number] = append(p[number], field) }

func (p protoParts) text(number protowire.Number, text string) {
	p.add(number, protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), text))
}

func (p protoParts) join(t *rapid.T) []byte {
	numbers := make([]protowire.Number, 0, len(p))
	for n := range p {
		numbers = append(numbers, n)
	}
	if rapid.Bool().Draw(t, "unknown") {
		p.add(1000, protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7))
		p.add(1000, protowire.AppendFixed32(protowire.AppendTag(nil, 1000, protowire.Fixed32Type), 7))
		p.add(1000, protowire.AppendGroup(protowire.AppendTag(nil, 1000, protowire.StartGroupType), 1000, []byte{8, 1}))
		numbers = append(numbers, 1000)
	}
	var out []byte
	for _, n := range rapid.Permutation(numbers).Draw(t, "order") {
		out = append(out, bytes.Join(p[n], nil)...)
	}
	return out
}

// numbers writes a repeated field: packed, as single values, or both.
func (p protoParts) numbers(t *rapid.T, number protowire.Number, kind protowire.Type, values []uint64) {
	write := func(b []byte, v uint64) []byte {
		switch kind {
		case protowire.Fixed32Type:
			return protowire.AppendFixed32(b, uint32(v))
		case protowire.Fixed64Type:
			return protowire.AppendFixed64(b, v)
		}
		return protowire.AppendVarint(b, v)
	}
	cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
	var packed []byte
	for _, v := range values[:cut] {
		packed = write(packed, v)
	}
	p.add(number, protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), packed))
	for _, v := range values[cut:] {
		p.add(number, write(protowire.AppendTag(nil, number, kind), v))
	}
}

// bits returns the elements as the numbers that stand for them in protobuf.
func bits(data any) (values []uint64) {
	switch data := data.(type) {
	case []bool:
		for _, v := range data {
			values = append(values, one(v))
		}
	case []int8:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []int16:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []int32:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []int64:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []uint8:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []uint16:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []uint32:
		for _, v := range data {
			values = append(values, uint64(v))
		}
	case []uint64:
		values = data
	case []float32:
		for _, v := range data {
			values = append(values, uint64(math.Float32bits(v)))
		}
	case []float64:
		for _, v := range data {
			values = append(values, math.Float64bits(v))
		}
	}
	return values
}

var wireTypes = map[protowire.Number]protowire.Type{6: protowire.Fixed32Type, 7: protowire.Fixed64Type}

// drawRequest writes a request as some library might. Singular fields may come twice: the last one counts.
func drawRequest(t *rapid.T, inputs []tensor.Tensor, raw bool) []byte {
	request := protoParts{}
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		request.text(1, "m")
		request.text(2, "3")
	}
	request.text(3, "forgotten")
	request.text(3, "id-é")
	for _, in := range inputs {
		item := protoParts{}
		item.text(1, "x")
		item.text(1, in.Name)
		item.text(2, in.DType().String())
		var shape []uint64
		for _, d := range in.Shape {
			shape = append(shape, uint64(d))
		}
		item.numbers(t, 3, protowire.VarintType, shape)
		if rapid.Bool().Draw(t, "parameter") {
			item.add(4, []byte("\x22\x07\x0a\x01k\x12\x02\x10\x05"))
		}
		if raw {
			request.add(7, protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), rawContents(in)))
		} else {
			contents := protoParts{}
			number := contentsField(in.DType())
			if texts, ok := in.Data.([]string); ok {
				for _, text := range texts {
					contents.text(number, text)
				}
			} else {
				contents.numbers(t, number, wireTypes[number], bits(in.Data))
			}
			// Contents may come in several messages, which are put together.
			item.add(5, protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), nil))
			item.add(5, protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), contents.join(t)))
		}
		request.add(5, protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), item.join(t)))
	}
	return request.join(t)
}
