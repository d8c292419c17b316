package wire

import (
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// Seldon is the protocol of Seldon Core v1 over REST: a SeldonMessage in protobuf's JSON form, with numeric data as tensor or ndarray.
// It carries one unnamed tensor each way.
//
// data.names, where given, must be the model's columns, in any order; the columns are put in the model's order. Names that only count
// (t:0, t:1, ...) stand for positions, and a model without column names takes any.
type Seldon struct{}

// seldonCall is a SeldonMessage and what reading it needs, in one allocation.
type seldonCall struct {
	reading
	seen keys // in the message, its data and its meta

	request tensor.Request
	input   [1]tensor.Tensor
	shape   [maxRank]int // a tensor's, as the client gave it
	rank    int          // of that shape; -1: none came
	names   []string
	values  any
	output  [1]string
	form    string // "tensor", "ndarray", or "" before either has come
	puid    string
	tags    []byte // the request's own text, an object
}

// The keys of a SeldonMessage, of its data, of a tensor and of meta, as bits of keys.
const (
	seldonData = iota
	seldonMeta
	seldonNames
	seldonTensor
	seldonNdarray
	seldonShape
	seldonValues
	seldonPuid
	seldonTags
)

// Decode reads a SeldonMessage for a model of the given signature. Its numbers become float32 for an input of FP32, else float64,
// which is what the protocol's tensor holds. A model with several inputs is Invalid, one with several outputs gives the first that is
// not on demand.
func (Seldon) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	if len(signature.Inputs) != 1 || !signature.Inputs[0].DType.Numeric() {
		return nil, fault.Invalidf("the Seldon protocol carries one tensor of numbers; this model takes %s", inputNames(signature)).
			WithHint("ask it over the Open Inference Protocol, /v2/models/NAME/infer")
	}
	l = l.orDefault()
	c := &seldonCall{rank: -1}
	c.start(body, signature)
	c.array = array{s: &c.s, size: len(body), rows: l.Rows, max: l.Elements, proto: true}
	c.message()
	if err := c.end(); err != nil {
		return nil, err
	}
	if c.form == "" {
		return nil, fault.Invalidf(`the request has no data`).WithHint(`send {"data": {"ndarray": [[...]]}}`)
	}
	if err := c.nameColumns(); err != nil {
		return nil, err
	}
	c.ask()
	return c, nil
}

// message reads the whole body.
func (c *seldonCall) message() {
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "data":
			if c.seen.once(s, seldonData, "data") {
				c.data()
			}
		case "meta":
			if c.seen.once(s, seldonMeta, "meta") {
				c.meta()
			}
		case "strData":
			c.unsupported("strData")
		case "jsonData":
			c.unsupported("jsonData")
		case "binData":
			c.unsupported("binData")
		case "customData":
			c.unsupported("customData")
		default:
			s.Skip()
		}
	}
}

// unsupported refuses a payload that is not numbers, unless it is null.
func (c *seldonCall) unsupported(key string) {
	if c.s.Peek() == jsonscan.Null {
		c.s.Null()
		return
	}
	c.s.Failf(`%s is not supported by this service; send numbers as data.tensor or data.ndarray`, key)
}

// data reads the object that holds the numbers.
func (c *seldonCall) data() {
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "names":
			if c.seen.once(s, seldonNames, "names") {
				c.readNames()
			}
		case "tensor":
			if c.seen.once(s, seldonTensor, "tensor") && c.only("tensor") {
				c.tensor()
			}
		case "ndarray":
			if c.seen.once(s, seldonNdarray, "ndarray") && c.only("ndarray") {
				c.ndarray()
			}
		case "tftensor":
			c.unsupported("tftensor")
		default:
			s.Skip()
		}
	}
}

// only notes the data's form, which may be one.
func (c *seldonCall) only(form string) bool {
	if c.form != "" {
		c.s.Failf("data holds both %s and %s; send one of them", c.form, form)
		return false
	}
	c.form = form
	return true
}

// readNames reads the column names; those that stand where the model's do cost nothing.
func (c *seldonCall) readNames() {
	s, columns := &c.s, c.signature.Inputs[0].Columns
	c.names = make([]string, 0, len(columns))
	s.Array()
	for s.Next() {
		name := s.Bytes()
		if i := len(c.names); i < len(columns) && columns[i] == string(name) {
			c.names = append(c.names, columns[i])
		} else {
			c.names = append(c.names, string(name))
		}
	}
}

// width is how many values a row of the model has, 1 if that varies.
func (c *seldonCall) width() int {
	shape := c.signature.Inputs[0].Shape
	if len(shape) == 0 {
		return 1
	}
	n, err := tensor.Elements(shape[1:])
	if err != nil {
		return 1
	}
	return n
}

// dtype is what the numbers are read into.
func (c *seldonCall) dtype() tensor.DType {
	if c.signature.Inputs[0].DType == tensor.Float32 {
		return tensor.Float32
	}
	return tensor.Float64
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
		return
	case c.rank < 0:
		c.fail(fault.Invalidf("data.tensor has no shape"))
	case c.values == nil:
		c.fail(fault.Invalidf("data.tensor has no values"))
	default:
		c.input[0] = tensor.Tensor{Shape: c.shape[:c.rank:c.rank], Data: c.values}
		if n, err := tensor.Elements(c.input[0].Shape); err != nil {
			c.fail(fault.Invalidf("data.tensor: %w", err))
		} else if n != c.input[0].Len() {
			c.fail(fault.Invalidf("data.tensor has %d values, but shape %v needs %d", c.input[0].Len(), c.input[0].Shape, n))
		} else if c.rank > 1 && c.shape[0] > c.array.rows {
			c.fail(fault.Invalidf("data.tensor has %d rows; a request may have %d", c.shape[0], c.array.rows))
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
	c.values = c.array.data(c.dtype())
	if err := c.s.Err(); err != nil {
		c.err = c.array.wrap(err, "data.tensor.values")
	} else if len(c.array.shape()) != 1 {
		c.fail(fault.Invalidf("data.tensor.values is nested").WithHint("send a flat list, or nested lists as data.ndarray"))
	}
}

// ndarray reads nested arrays of equal lengths.
func (c *seldonCall) ndarray() {
	c.array.unshaped(c.width())
	data := c.array.data(c.dtype())
	if err := c.s.Err(); err != nil {
		c.err = c.array.wrap(err, "data.ndarray")
		return
	}
	c.input[0] = tensor.Tensor{Shape: c.array.shape(), Data: data}
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
				c.readTags()
			}
		default:
			s.Skip()
		}
	}
}

// readTags keeps the tags as they are. They become part of an answer in strict JSON, so they must be strict too.
func (c *seldonCall) readTags() {
	if c.s.Peek() != jsonscan.Object {
		c.s.Failf("meta.tags is not an object")
		return
	}
	tags := c.s.Raw()
	strict := jsonscan.New(tags)
	if strict.Skip(); c.s.Err() == nil && strict.Err() != nil {
		c.s.Failf("meta.tags: %w", strict.Err())
	}
	c.tags = tags
}

// nameColumns puts the columns in the model's order, where the request names them.
func (c *seldonCall) nameColumns() error {
	shape, columns := c.input[0].Shape, c.signature.Inputs[0].Columns
	if len(c.names) == 0 || len(shape) == 0 || len(shape) > 2 || len(c.signature.Inputs[0].Shape) != 2 {
		return nil // names of something else than columns
	}
	if width := shape[len(shape)-1]; width != len(c.names) {
		return fault.Invalidf("data.names has %d names, but a row has %d values", len(c.names), width)
	}
	if len(columns) == 0 {
		return nil
	}
	order, err := columnOrder(c.names, columns)
	if err != nil {
		return fault.Invalidf("data.names: %w", err)
	}
	if order == nil {
		return nil
	}
	switch data := c.input[0].Data.(type) {
	case []float32:
		reorder(data, order)
	case []float64:
		reorder(data, order)
	}
	return nil
}

// ask makes the request for the model.
func (c *seldonCall) ask() {
	c.request.ID = c.puid
	c.request.Inputs = c.input[:]
	defaults := 0
	for _, o := range c.signature.Outputs {
		if o.OnDemand {
			continue
		}
		if defaults++; defaults == 1 {
			c.output[0] = o.Name
		}
	}
	if defaults > 1 {
		c.request.Outputs = c.output[:]
	}
}

// Request returns what is asked.
func (c *seldonCall) Request() *tensor.Request { return &c.request }
