package wire

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// SeldonProto is the protocol of Seldon Core v1 over gRPC: the body of a request and that of an answer are seldon.protos.SeldonMessage.
// What they say is what Seldon tells of their JSON form; here a NaN or an infinity may stand in a tensor or a tftensor of an answer, as
// it may in one of a request.
type SeldonProto struct{}

// seldonProtoCall is a SeldonMessage and what reading it needs, in one allocation.
type seldonProtoCall struct {
	seldonQuestion
	tags    [][]byte // the entries of both in the request's own bytes
	metrics [][]byte
}

// seldonMessageName is what errors call a message that is none.
const seldonMessageName = "SeldonMessage"

// Decode reads a SeldonMessage for a model of the given signature. A model with several outputs gives the first that is not on demand.
func (SeldonProto) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	c := &seldonProtoCall{}
	if err := c.begin(signature, l, false); err != nil {
		return nil, err
	}
	if err := c.message(body); err != nil {
		return nil, err
	}
	if err := c.settle(); err != nil {
		return nil, err
	}
	return c, nil
}

// Error appends nothing: the status of a gRPC call tells what went wrong.
func (SeldonProto) Error(dst []byte, _ int, _ error) []byte { return dst }

// inside returns a reader of the message that the present field holds.
func (f *protoFields) inside() protoFields { return protoFields{message: f.message, left: f.bytes} }

// message reads the whole body. A message that comes in parts is put together, as protobuf has it; a payload may come once.
func (c *seldonProtoCall) message(body []byte) error {
	f := protoFields{message: seldonMessageName, left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 2<<3 | delimited:
			f.refuse(c.meta(f.inside()))
		case 3<<3 | delimited:
			f.refuse(c.data(f.inside()))
		case 4<<3 | delimited:
			if c.only(&f, binaryForm) {
				c.one([]string{string(f.bytes)})
			}
		case 5<<3 | delimited:
			if c.only(&f, stringForm) {
				c.one([]string{f.text()})
			}
		case 6<<3 | delimited:
			if c.only(&f, jsonForm) {
				f.refuse(c.jsonData(f.bytes))
			}
		case 7<<3 | delimited:
			c.only(&f, customForm)
		}
	}
	return f.err
}

// only notes the payload's form, and tells whether to read on.
func (c *seldonProtoCall) only(f *protoFields, form seldonForm) bool {
	f.refuse(c.takes(form))
	return f.err == nil
}

// data reads names and a payload.
func (c *seldonProtoCall) data(f protoFields) error {
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			c.names.add(f.chars(), c.columns())
		case 2<<3 | delimited:
			if c.only(&f, tensorForm) {
				f.refuse(c.tensor(f.inside()))
			}
		case 3<<3 | delimited:
			if c.only(&f, ndarrayForm) {
				f.refuse(c.ndarray(f.bytes))
			}
		case 4<<3 | delimited:
			if c.only(&f, tftensorForm) {
				f.refuse(c.tftensor(f.inside()))
			}
		}
	}
	return f.err
}

// tensor reads a tensor's shape and values, straight into the type of the model's input if that is FP32 or FP64.
func (c *seldonProtoCall) tensor(f protoFields) error {
	rank := 0
	var (
		singles []float32
		doubles []float64
		loose   []byte // of values that are not packed
	)
	for tag := f.next(); tag != 0; tag = f.next() {
		packed := f.bytes
		switch tag {
		case 1<<3 | varint:
			rank = c.size(&f, rank, f.number)
			continue
		case 1<<3 | delimited:
			for len(packed) > 0 && f.err == nil {
				size, n := protowire.ConsumeVarint(packed)
				if n < 0 {
					f.broken(n)
					break
				}
				rank = c.size(&f, rank, size)
				packed = packed[n:]
			}
			continue
		case 2<<3 | fixed64:
			loose = binary.LittleEndian.AppendUint64(loose[:0], f.number)
			packed = loose
		case 2<<3 | delimited:
		default:
			continue
		}
		switch have := len(singles) + len(doubles); {
		case len(packed)%8 != 0:
			f.fail("a packed list is cut off")
		case len(packed)/8 > c.limits.Elements-have:
			f.refuse(fault.Invalidf("data.tensor has more than %d values; send the rows in several requests", c.limits.Elements))
		case c.elements(0) == tensor.Float32:
			var err error
			singles, err = appendSingles(singles, packed)
			f.refuse(err)
		default:
			doubles = appendDoubles(doubles, packed)
		}
	}
	switch {
	case f.err != nil:
		return f.err
	case c.elements(0) == tensor.Float32:
		return c.shaped(c.shape[:rank:rank], singles)
	}
	return c.shaped(c.shape[:rank:rank], doubles)
}

// size adds a dimension to a tensor's shape and returns its rank.
func (c *seldonProtoCall) size(f *protoFields, rank int, size uint64) int {
	switch {
	case rank == maxRank:
		f.refuse(fault.Invalidf("data.tensor has a shape of more than %d dimensions", maxRank))
	case size > math.MaxInt32: // a negative one is larger yet
		f.refuse(fault.Invalidf("data.tensor: %d cannot be the size of a dimension", int64(size)))
	default:
		c.shape[rank] = int(size)
		return rank + 1
	}
	return rank
}

// appendSingles appends packed doubles, rounded.
func appendSingles(out []float32, packed []byte) ([]float32, error) {
	if out == nil {
		out = make([]float32, 0, len(packed)/8)
	}
	for ; len(packed) > 0; packed = packed[8:] {
		v := math.Float64frombits(binary.LittleEndian.Uint64(packed))
		f := float32(v)
		if math.IsInf(float64(f), 0) && !math.IsInf(v, 0) {
			return out, fault.Invalidf("data.tensor.values, element %d: %v does not fit a 32-bit float", len(out), v)
		}
		out = append(out, f)
	}
	return out, nil
}

// appendDoubles appends packed doubles.
func appendDoubles(out []float64, packed []byte) []float64 {
	if out == nil {
		out = make([]float64, 0, len(packed)/8)
	}
	for ; len(packed) > 0; packed = packed[8:] {
		out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(packed)))
	}
	return out
}

// meta reads the request's meta. Only what the answer repeats is kept.
func (c *seldonProtoCall) meta(f protoFields) error {
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			c.puid = f.text()
		case 2<<3 | delimited:
			c.tags = append(c.tags, f.bytes)
			f.refuse(checkEntry(f.inside()))
		case 4<<3 | delimited:
			f.refuse(c.pathEntry(f.inside()))
		case 5<<3 | delimited:
			c.metrics = append(c.metrics, f.bytes)
			f.refuse(checkMetric(f.inside()))
		}
	}
	return f.err
}

// pathEntry reads an entry of requestPath.
func (c *seldonProtoCall) pathEntry(f protoFields) error {
	var n seldonNode
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			n.name = f.text()
		case 2<<3 | delimited:
			n.image = f.text()
		}
	}
	if f.err == nil {
		f.err = c.passed(n.name, n.image)
	}
	return f.err
}

// checkEntry checks an entry of the tags, which the answer repeats: what is sent on must be readable.
func checkEntry(f protoFields) error {
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			f.chars()
		case 2<<3 | delimited:
			_, err := appendValueJSON(nil, f.bytes, 0)
			f.refuse(err)
		}
	}
	return f.err
}

// checkMetric checks a metric, which the answer repeats.
func checkMetric(f protoFields) error {
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			f.chars()
		case 4<<3 | delimited:
			inner := f.inside()
			for tag := inner.next(); tag != 0; tag = inner.next() {
				if tag == 1<<3|delimited || tag == 2<<3|delimited {
					inner.chars()
				}
			}
			f.refuse(inner.err)
		}
	}
	return f.err
}

// jsonData reads a google.protobuf.Value as JSON, as the protocol's other form has it.
func (c *seldonProtoCall) jsonData(value []byte) error {
	text, err := appendValueJSON(nil, value, 0)
	if err != nil {
		return fault.Invalidf("jsonData: %w", err)
	}
	if string(text) == "null" { // which is as good as none, as in JSON
		c.form = noForm
		return nil
	}
	call := &seldonCall{seldonQuestion: c.seldonQuestion}
	call.scan(text)
	call.jsonData()
	err = call.end()
	c.seldonQuestion = call.seldonQuestion
	return err
}
