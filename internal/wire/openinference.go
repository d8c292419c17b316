package wire

import (
	"math"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// OpenInference is the Open Inference Protocol v2 over REST with tensors in JSON, as KServe, MLServer and Triton speak it.
//
// The binary tensor extension is not part of it: an input that announces binary data is Invalid, and a wish for binary outputs is
// answered in JSON, which every client reads. Other parameters are ignored but those that would change what the answer means.
type OpenInference struct{}

// openInferenceCall is an inference request and what reading it needs, in one allocation.
type openInferenceCall struct {
	reading
	limits Limits

	request tensor.Request
	inputs  [1]tensor.Tensor
	sizes   []int // backs the shapes
	size4   [4]int
	used    int  // elements read so far
	hasID   bool // the request has an id, maybe an empty one
}

// Decode reads an inference request for a model of the given signature. Where a request's inputs have names that only count (input-0,
// input-1, ...) and the model knows none of them, they stand for the model's inputs in order: KServe's and MLServer's clients make
// such names up.
func (OpenInference) Decode(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	c := &openInferenceCall{limits: l.orDefault()}
	c.start(body, signature)
	c.array = array{size: len(body), rows: c.limits.Rows}
	c.request.Inputs, c.sizes = c.inputs[:0], c.size4[:0]
	given := c.message()
	if err := c.end(); err != nil {
		return nil, err
	}
	if !given {
		return nil, fault.Invalidf("the request has no inputs").
			WithHint(`send {"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}`)
	}
	c.nameInputs()
	return c, nil
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
				c.request.ID, c.hasID = s.String(), true
			}
		case "parameters":
			if seen.once(s, parameters, "parameters") {
				c.parameters(nil, nil)
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

// refusal is a parameter that we cannot honour and must not ignore.
type refusal struct{ parameter, why string }

var (
	refusedOfInputs = []refusal{
		{"binary_data_size", "binary tensor data is not supported by this service; send the values as JSON in data (in tritonclient: binary_data=False)"},
		{"shared_memory_region", "shared memory is not supported by this service; send the values as JSON in data"},
	}
	refusedOfOutputs = []refusal{
		{"classification", "the classification extension is not supported by this service; ask for the output itself"},
		{"shared_memory_region", "shared memory is not supported by this service"},
	}
)

// parameters reads the parameters of an input, or of something else where in is nil, and looks for those that are refused.
func (c *openInferenceCall) parameters(in *rawInput, refused []refusal) {
	s := &c.s
	s.Object()
	for s.Next() {
		key := s.Key()
		for _, r := range refused {
			if r.parameter != string(key) || s.Peek() == jsonscan.Null {
				continue
			}
			what := "an output"
			if in != nil {
				what = c.what(in)
			}
			c.fail(fault.Invalidf("%s has the parameter %s: %s", what, r.parameter, r.why))
		}
		s.Skip()
	}
}

// maxOutputs is how many outputs a request may ask for; each is looked for among the others.
const maxOutputs = 1000

// output reads one output asked for.
func (c *openInferenceCall) output() {
	const name, parameters = 0, 1
	var seen keys
	s := &c.s
	output, named := "", false
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "name":
			if seen.once(s, name, "name") {
				output, named = s.String(), true
			}
		case "parameters":
			if seen.once(s, parameters, "parameters") {
				c.parameters(nil, refusedOfOutputs)
			}
		default:
			s.Skip()
		}
	}
	switch {
	case !named:
		c.fail(fault.Invalidf("output %d of those asked for has no name", len(c.request.Outputs)))
	case len(c.request.Outputs) == maxOutputs:
		c.fail(fault.Invalidf("more than %d outputs are asked for", maxOutputs))
	case slices.Contains(c.request.Outputs, output):
		c.fail(fault.Invalidf("output %.60q is asked for twice", output))
	default:
		c.request.Outputs = append(c.request.Outputs, output)
	}
}

// input reads one input.
func (c *openInferenceCall) input() {
	const name, shape, datatype, parameters, data = 0, 1, 2, 3, 4
	var (
		seen   keys
		in     rawInput
		s      = &c.s
		needed = 1<<name | 1<<shape | 1<<datatype | 1<<data
		given  int // of the needed keys, those that are there and not null
	)
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "name":
			if seen.once(s, name, "name") {
				in.name = c.knownName(s.Bytes())
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
				c.parameters(&in, refusedOfInputs)
			}
		case "data":
			if !seen.once(s, data, "data") {
				continue
			}
			given |= 1 << data
			if given == needed {
				c.values(&in, s)
				continue
			}
			in.later = *s // the scanner is a value: a copy of it comes back to this place
			s.Skip()
		default:
			s.Skip()
		}
	}
	if s.Err() == nil && given != needed {
		for bit, key := range []string{"name", "shape", "datatype", "parameters", "data"} {
			if 1<<bit&needed&^given != 0 {
				c.fail(fault.Invalidf("%s has no %s", c.what(&in), key))
			}
		}
	}
	if s.Err() == nil && in.data == nil {
		c.again(in)
		return
	}
	c.add(&in)
}

// rawInput is an input while it is read.
type rawInput struct {
	name  string
	shape []int
	dtype tensor.DType
	data  any
	later jsonscan.Scanner // at the data, where that came before what explains it
}

// what names an input for an error.
func (c *openInferenceCall) what(in *rawInput) string {
	if in.name == "" {
		return "input " + strconv.Itoa(len(c.request.Inputs))
	}
	return "input " + strconv.Quote(in.name[:min(len(in.name), 60)])
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

// knownName returns the string of a name, without a copy if the model has an input of that name.
func (c *openInferenceCall) knownName(name []byte) string {
	for i := range c.signature.Inputs {
		if known := c.signature.Inputs[i].Name; known == string(name) {
			return known
		}
	}
	return string(name)
}

// datatype reads the type of an input's elements.
func (c *openInferenceCall) datatype(in *rawInput) tensor.DType {
	name := c.s.Bytes()
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		if d.String() == string(name) {
			return d
		}
	}
	if c.s.Err() != nil {
		return 0
	}
	if text := string(name); text == "FP16" || text == "BF16" {
		c.fail(fault.Invalidf("%s: %s cannot be sent as JSON", c.what(in), text).WithHint("send FP32"))
	} else {
		_, err := tensor.ParseDType(text)
		c.fail(fault.Invalidf("%s: %w", c.what(in), err))
	}
	return 0
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
	n, err := tensor.Elements(in.shape)
	switch {
	case err != nil:
	case len(in.shape) > 1 && in.shape[0] > c.limits.Rows:
		err = fault.Invalidf("it has %d rows; a request may have %d", in.shape[0], c.limits.Rows)
	case n > c.limits.Elements-c.used:
		err = fault.Invalidf("shape %v has more values than a request may hold (%d)", in.shape, c.limits.Elements)
	default:
		c.used += n
		c.array.s, c.array.max = s, n
		c.array.shaped(in.shape, n)
		in.data = c.array.data(in.dtype)
		if err = s.Err(); err == nil {
			return
		}
		c.err = c.array.wrap(err, c.what(in))
		c.s.Failf("%w", err) // where s is a copy, the original must stop too
		return
	}
	c.fail(fault.Invalidf("%s: %w", c.what(in), err))
}

// nameInputs gives the model's names to inputs that are only counted.
func (c *openInferenceCall) nameInputs() {
	inputs := c.request.Inputs
	if len(inputs) != len(c.signature.Inputs) {
		return
	}
	names := make([]string, 0, 4)
	for i := range inputs {
		if slices.ContainsFunc(c.signature.Inputs, func(p tensor.Spec) bool { return p.Name == inputs[i].Name }) {
			return
		}
		names = append(names, inputs[i].Name)
	}
	if !positional(names) {
		return
	}
	for i := range inputs {
		inputs[i].Name = c.signature.Inputs[i].Name
	}
}

// Request returns what is asked.
func (c *openInferenceCall) Request() *tensor.Request { return &c.request }

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
