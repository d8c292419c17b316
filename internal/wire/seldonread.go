package wire

import (
	"encoding/base64"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// seldonCall is a SeldonMessage in JSON and what reading it needs, in one allocation.
type seldonCall struct {
	reading
	seldonQuestion
	seen keys // in the message, its data and its meta

	rank    int // of a tensor's shape, as the client gave it; -1: none came
	values  any // of a tensor
	tags    []byte
	metrics []byte // both the request's own text
}

// The keys of a SeldonMessage, of its data, of a tensor and of meta, as bits of keys.
const (
	seldonData = iota
	seldonMeta
	seldonString
	seldonBinary
	seldonJSON
	seldonNamesKey
	seldonTensor
	seldonNdarray
	seldonTftensor
	seldonShape
	seldonValues
	seldonPuid
	seldonTags
	seldonMetrics
	seldonPath
)

// Decode reads a SeldonMessage in JSON for a model of the given signature. A model with several outputs gives the first that is not on
// demand.
func (d Seldon) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	c, err := d.call(signature, l)
	if err != nil {
		return nil, err
	}
	c.scan(body)
	c.message()
	return c.decoded(c.end())
}

func (d Seldon) call(signature tensor.Signature, l Limits) (*seldonCall, error) {
	c := &seldonCall{rank: -1}
	return c, c.begin(signature, l, d.Explain)
}

// scan makes text what is read next.
func (c *seldonCall) scan(text []byte) {
	c.start(text, c.model)
	c.array = array{s: &c.s, size: len(text), rows: c.limits.Rows, max: c.limits.Elements, proto: true}
}

// decoded ends the reading.
func (c *seldonCall) decoded(err error) (Exchange, error) {
	if err == nil {
		err = c.settle()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// message reads a whole message.
func (c *seldonCall) message() {
	s := &c.s
	s.Object()
	for s.Next() {
		c.field(s.Key())
	}
}

// field reads the value of a field of the message.
func (c *seldonCall) field(key []byte) {
	s := &c.s
	switch string(key) {
	case "data":
		if c.seen.once(s, seldonData, "data") {
			c.data()
		}
	case "meta":
		if c.seen.once(s, seldonMeta, "meta") {
			c.meta()
		}
	case "strData":
		if c.seen.once(s, seldonString, "strData") && c.only(stringForm) {
			c.one([]string{s.String()})
		}
	case "binData":
		if c.seen.once(s, seldonBinary, "binData") && c.only(binaryForm) {
			c.one([]string{string(readBase64(s, "binData"))})
		}
	case "jsonData":
		if c.seen.once(s, seldonJSON, "jsonData") && c.only(jsonForm) {
			c.jsonData()
		}
	case "customData":
		if s.Peek() != jsonscan.Null {
			c.only(customForm)
		}
		s.Skip()
	default:
		s.Skip()
	}
}

// only notes the payload's form, and tells whether to read on.
func (c *seldonCall) only(form seldonForm) bool {
	if err := c.takes(form); err != nil {
		c.fail(err)
		return false
	}
	return c.s.Err() == nil
}

// readBase64 reads a string of bytes as protobuf's JSON has them: in base64 of either alphabet, with or without padding.
func readBase64(s *jsonscan.Scanner, what string) []byte {
	text := s.Bytes()
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	encoding := base64.RawStdEncoding
	for _, c := range text {
		if c == '-' || c == '_' {
			encoding = base64.RawURLEncoding
			break
		}
	}
	out, err := encoding.AppendDecode(nil, text)
	if err != nil && s.Err() == nil {
		s.Failf("%s is not base64: %w", what, err)
	}
	return out
}

// data reads the object that holds names and a payload.
func (c *seldonCall) data() {
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "names":
			if c.seen.once(s, seldonNamesKey, "names") {
				for s.Array(); s.Next(); {
					c.names.add(s.Bytes(), c.columns())
				}
			}
		case "tensor":
			if c.seen.once(s, seldonTensor, "tensor") && c.only(tensorForm) {
				c.tensor()
			}
		case "ndarray":
			if c.seen.once(s, seldonNdarray, "ndarray") && c.only(ndarrayForm) {
				c.nested("data.ndarray")
			}
		case "tftensor":
			if c.seen.once(s, seldonTftensor, "tftensor") && c.only(tftensorForm) {
				c.tftensor()
			}
		default:
			s.Skip()
		}
	}
}

// tensor reads {"shape": [...], "values": [...]}.
func (c *seldonCall) tensor() {
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "shape":
			if c.seen.once(s, seldonShape, "shape") {
				c.rank = readShape(s, c.shape[:])
			}
		case "values":
			if c.seen.once(s, seldonValues, "values") {
				c.flat()
			}
		default:
			s.Skip()
		}
	}
	switch {
	case s.Err() != nil:
	case c.rank < 0:
		c.fail(fault.Invalidf("data.tensor has no shape"))
	case c.values == nil:
		c.fail(fault.Invalidf("data.tensor has no values"))
	default:
		if err := c.shaped(c.shape[:c.rank:c.rank], c.values); err != nil {
			c.fail(err)
		}
	}
}

// flat reads a tensor's values, whose shape may come later.
func (c *seldonCall) flat() {
	hint := c.width()
	if c.rank > 0 {
		if n, err := tensor.Elements(c.shape[:c.rank]); err == nil {
			hint = n
		}
	}
	c.array.unshaped(hint)
	c.values = c.array.data(c.elements(0))
	if err := c.s.Err(); err != nil {
		c.err = c.array.wrap(err, "data.tensor.values")
	} else if len(c.array.shape()) != 1 {
		c.fail(fault.Invalidf("data.tensor.values is nested").WithHint("send a flat list, or nested lists as data.ndarray"))
	}
}

// nested reads arrays within arrays, of equal lengths, as the only input.
func (c *seldonCall) nested(what string) {
	c.array.unshaped(c.width())
	data := c.array.data(c.elements(0))
	if err := c.s.Err(); err != nil {
		c.err = c.array.wrap(err, what)
		return
	}
	shape := c.shape[:copy(c.shape[:], c.array.shape())] // a copy: another part of a form may be read with the same array
	c.input[0] = tensor.Tensor{Shape: shape, Data: data}
}

// meta reads the request's meta. Only what the answer repeats is kept.
func (c *seldonCall) meta() {
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "puid":
			if c.seen.once(s, seldonPuid, "puid") {
				c.puid = s.String()
			}
		case "tags":
			if c.seen.once(s, seldonTags, "tags") {
				c.tags = c.repeated(jsonscan.Object, "meta.tags", "an object")
			}
		case "metrics":
			if c.seen.once(s, seldonMetrics, "metrics") {
				c.metrics = c.repeated(jsonscan.Array, "meta.metrics", "an array")
			}
		case "requestPath":
			if c.seen.once(s, seldonPath, "requestPath") {
				for s.Object(); s.Next(); {
					name := string(s.Key())
					if err := c.passed(name, s.String()); err != nil {
						c.fail(err)
					}
				}
			}
		default:
			s.Skip()
		}
	}
}

// repeated reads what the answer repeats as it is. It becomes part of an answer in strict JSON, so it must be strict too.
func (c *seldonCall) repeated(kind jsonscan.Kind, what, form string) []byte {
	if c.s.Peek() != kind {
		c.s.Failf("%s is not %s", what, form)
		return nil
	}
	text := c.s.Raw()
	strict := jsonscan.New(text)
	if strict.Skip(); c.s.Err() == nil && strict.Err() != nil {
		c.s.Failf("%s: %w", what, strict.Err())
	}
	return text
}
