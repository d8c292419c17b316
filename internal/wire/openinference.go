package wire

import (
	"cmp"
	"math"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// OpenInference is the Open Inference Protocol v2 over REST, as KServe, MLServer and Triton speak it: tensors as JSON, or as binary data
// behind the JSON, or both in one request.
//
// Inputs are binary where their parameter binary_data_size says so, outputs where they are asked for with binary_data or all of them with
// binary_data_output. An output asked for with classification is answered by its highest values. Tensors in shared memory are Invalid.
// The parameter timeout of a request says how many microseconds its caller waits. Others (sequence_id, priority and whatever else) are
// accepted and change nothing.
type OpenInference struct{}

// openInferenceCall is an inference request and what reading it needs, in one allocation.
type openInferenceCall struct {
	reading
	inference
	raw   []byte // the binary data that no input has taken yet
	split bool   // the JSON ends before the body does
	noun  string // what the tensors are that are read: "" for inputs
	hasID bool   // the request has an id, maybe an empty one
	frame Frame
}

// Decode reads an inference request for a model of the given signature that is JSON and nothing else. Where a request's inputs have names
// that only count (input-0, input-1, ...) and the model knows none of them, they stand for the model's inputs in order: KServe's and
// MLServer's clients make such names up.
func (o OpenInference) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	return o.DecodeCall(body, nothing{}, signature, l)
}

// decode reads a request whose JSON is followed by binary data.
func (c *openInferenceCall) decode(text []byte) error {
	c.start(text, c.signature)
	c.array = array{size: len(text), rows: c.limits.Rows}
	given := c.message()
	if err := c.end(); err != nil {
		return err
	}
	switch {
	case !given:
		return fault.Invalidf("the request has no inputs").
			WithHint(`send {"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}`)
	case len(c.raw) > 0:
		return fault.Invalidf("%d bytes of binary data belong to no input: binary_data_size of each input must say how many are its own", len(c.raw))
	}
	c.nameInputs(c.signature)
	c.nameOutputs(c.signature)
	return nil
}

// message reads the whole body and tells whether it has inputs.
func (c *openInferenceCall) message() (given bool) {
	const id, parameters, inputs, outputs = 0, 1, 2, 3
	var seen keys
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "id":
			if seen.once(s, id, "id") {
				c.id, c.hasID = s.String(), true
				c.request.ID = c.id
			}
		case "parameters":
			if seen.once(s, parameters, "parameters") {
				c.parameters()
			}
		case "inputs":
			if seen.once(s, inputs, "inputs") {
				given = true
				s.Array()
				for s.Next() {
					c.input()
				}
			}
		case "outputs":
			if seen.once(s, outputs, "outputs") {
				s.Array()
				for s.Next() {
					c.output()
				}
			}
		default:
			s.Skip()
		}
	}
	return given
}

// parameters reads the parameters of the request.
func (c *openInferenceCall) parameters() {
	const output = 0
	var seen keys
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "binary_data_output":
			if seen.once(s, output, "binary_data_output") {
				c.binary = s.Bool()
			}
		case "timeout":
			if s.Peek() == jsonscan.Number {
				c.setTimeout(s.Float64())
			} else {
				s.Skip()
			}
		default:
			s.Skip()
		}
	}
}

// output reads one output asked for.
func (c *openInferenceCall) output() {
	const name, parameters = 0, 1
	var seen keys
	var w wish
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "name":
			if seen.once(s, name, "name") {
				w.name = knownName(c.signature.Outputs, s.Bytes())
			}
		case "parameters":
			if seen.once(s, parameters, "parameters") {
				c.outputParameters(&w)
			}
		default:
			s.Skip()
		}
	}
	if s.Err() == nil {
		if err := c.ask(w, c.signature); err != nil {
			c.fail(err)
		}
	}
}

// outputParameters reads the parameters of an output asked for.
func (c *openInferenceCall) outputParameters(w *wish) {
	const data, classification = 0, 1
	var seen keys
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "binary_data":
			if seen.once(s, data, "binary_data") {
				w.told, w.binary = true, s.Bool()
			}
		case "classification":
			if seen.once(s, classification, "classification") {
				n := s.Int64()
				if n < 1 || n > math.MaxInt32 {
					s.Failf("%d cannot be a number of classes", n)
				}
				w.classes = int(n)
			}
		case sharedMemory:
			if s.Peek() != jsonscan.Null {
				c.fail(fault.Invalidf("an output: %w", errSharedMemory))
			}
			s.Skip()
		default:
			s.Skip()
		}
	}
}

// input reads one input.
func (c *openInferenceCall) input() {
	const name, shape, datatype, parameters, data = 0, 1, 2, 3, 4
	var (
		seen   keys
		in     = rawInput{binary: noBinary}
		s      = &c.s
		needed = 1<<name | 1<<shape | 1<<datatype | 1<<data
		given  int // of the needed keys, those that are there and not null
	)
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "name":
			if seen.once(s, name, "name") {
				in.name = knownName(c.signature.Inputs, s.Bytes())
				given |= 1 << name
			}
		case "shape":
			if seen.once(s, shape, "shape") {
				in.shape = c.shape()
				given |= 1 << shape
			}
		case "datatype":
			if seen.once(s, datatype, "datatype") {
				in.dtype = c.datatype(&in)
				given |= 1 << datatype
			}
		case "parameters":
			if seen.once(s, parameters, "parameters") {
				c.inputParameters(&in)
			}
		case "data":
			if !seen.once(s, data, "data") {
				continue
			}
			given |= 1 << data
			if given == needed && in.binary == noBinary {
				c.values(&in, s)
				continue
			}
			in.later = *s // the scanner is a value: a copy of it comes back to this place
			s.Skip()
		default:
			s.Skip()
		}
	}
	if s.Err() == nil && in.binary != noBinary {
		if given&(1<<data) != 0 {
			c.fail(fault.Invalidf("%s has both data and the parameter binary_data_size", c.what(&in)))
		}
		given |= 1 << data
	}
	if s.Err() == nil && given != needed {
		for bit, key := range []string{"name", "shape", "datatype", "parameters", "data"} {
			if 1<<bit&needed&^given != 0 {
				c.fail(fault.Invalidf("%s has no %s", c.what(&in), key))
			}
		}
	}
	switch {
	case s.Err() != nil:
	case in.binary != noBinary:
		c.binaryValues(&in)
		c.add(&in)
	case in.data == nil:
		c.again(in)
	default:
		c.add(&in)
	}
}

// inputParameters reads the parameters of an input.
func (c *openInferenceCall) inputParameters(in *rawInput) {
	const size = 0
	var seen keys
	s := &c.s
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "binary_data_size":
			if seen.once(s, size, "binary_data_size") {
				n := s.Int64()
				if n < 0 || n > math.MaxInt32 {
					s.Failf("%d cannot be the size of binary data", n)
				}
				in.binary = int(n)
			}
		case sharedMemory:
			if s.Peek() != jsonscan.Null {
				c.fail(fault.Invalidf("%s: %w", c.what(in), errSharedMemory))
			}
			s.Skip()
		default:
			s.Skip()
		}
	}
}

// rawInput is an input while it is read.
type rawInput struct {
	name  string
	shape []int
	dtype tensor.DType
	data  any

	binary int              // how many bytes of binary data are its own, or noBinary
	later  jsonscan.Scanner // at the data, where that came before what explains it
}

// noBinary says that an input's data is JSON.
const noBinary = -1

// what names an input for an error.
func (c *openInferenceCall) what(in *rawInput) string {
	return tensorWhat(cmp.Or(c.noun, "input"), in.name, len(c.request.Inputs))
}

// again reads data that came before its shape or datatype.
func (c *openInferenceCall) again(in rawInput) {
	c.values(&in, &in.later)
	c.add(&in)
}

// add ends an input.
func (c *openInferenceCall) add(in *rawInput) {
	if c.s.Err() == nil {
		c.request.Inputs = append(c.request.Inputs, tensor.Tensor{Name: in.name, Shape: in.shape, Data: in.data})
	}
}

// datatype reads the type of an input's elements.
func (c *openInferenceCall) datatype(in *rawInput) tensor.DType {
	name := c.s.Bytes()
	d := parseDatatype(name)
	if d == 0 && c.s.Err() == nil {
		_, err := tensor.ParseDType(string(name))
		c.fail(fault.Invalidf("%s: %w", c.what(in), err))
	}
	return d
}

// shape reads a shape.
func (c *openInferenceCall) shape() []int {
	var sizes [maxRank]int
	n := readShape(&c.s, sizes[:])
	from := len(c.sizes)
	c.sizes = append(c.sizes, sizes[:n]...)
	return c.sizes[from:len(c.sizes):len(c.sizes)]
}

// values reads an input's data at s, which is the call's own scanner or a copy of it.
func (c *openInferenceCall) values(in *rawInput, s *jsonscan.Scanner) {
	if in.dtype > tensor.Bytes {
		c.fail(fault.Invalidf("%s: %s cannot be sent as JSON", c.what(in), datatypeName(in.dtype)).WithHint("send FP32, or binary data"))
		return
	}
	n, err := c.admit(in.shape)
	if err != nil {
		c.fail(fault.Invalidf("%s: %w", c.what(in), err))
		return
	}
	c.array.s, c.array.max = s, n
	c.array.shaped(in.shape, n)
	in.data = c.array.data(in.dtype)
	if err = s.Err(); err != nil {
		c.err = c.array.wrap(err, c.what(in))
		c.s.Failf("%w", err) // where s is a copy, the original must stop too
	}
}

// readShape reads the sizes of dimensions into shape and returns how many there are.
func readShape(s *jsonscan.Scanner, shape []int) (n int) {
	s.Array()
	for s.Next() {
		if n == len(shape) {
			s.Failf("a shape of more than %d dimensions", len(shape))
			return n
		}
		d := s.Int64()
		if d < 0 || d > math.MaxInt32 {
			s.Failf("%d cannot be the size of a dimension", d)
		}
		shape[n] = int(d)
		n++
	}
	return n
}
