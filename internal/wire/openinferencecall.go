package wire

import (
	"slices"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// inference is what an Open Inference request is in each of its forms. It is part of the one allocation of a request: arrays that hold
// what most requests have stand in it.
type inference struct {
	limits  Limits
	request tensor.Request
	id      string // of the request, to be echoed whatever becomes of request.ID
	inputs  [1]tensor.Tensor
	wishes  []wish // one for each of request.Outputs
	wish    [1]wish
	names   [1]string
	sizes   []int // backs the shapes
	size4   [4]int
	used    int  // elements read so far
	binary  bool // outputs are binary where their wish does not tell
	timeout time.Duration
}

// Timeout implements Timed: it is the request's parameter timeout, which counts microseconds.
func (c *inference) Timeout() time.Duration { return c.timeout }

// setTimeout takes a parameter over, as far as it says a time.
func (c *inference) setTimeout(micros float64) {
	if most := float64(time.Hour / time.Microsecond); micros > 0 {
		c.timeout = time.Duration(min(micros, most)) * time.Microsecond
	}
}

// wish is an output asked for, and how.
type wish struct {
	name    string
	classes int  // how many classes to tell instead of the values, 0: the values
	told    bool // binary is told
	binary  bool
}

func (c *inference) begin(l Limits) {
	c.limits = l.orDefault()
	c.request.Inputs, c.request.Outputs = c.inputs[:0], c.names[:0]
	c.wishes, c.sizes = c.wish[:0], c.size4[:0]
}

// Request returns what is asked.
func (c *inference) Request() *tensor.Request { return &c.request }

// admit counts the elements of an input's shape and holds them to the limits.
func (c *inference) admit(shape []int) (elements int, err error) {
	n, err := tensor.Elements(shape)
	switch {
	case err != nil:
		return 0, err
	case len(shape) > 1 && shape[0] > c.limits.Rows:
		return 0, fault.Invalidf("it has %d rows; a request may have %d", shape[0], c.limits.Rows)
	case n > c.limits.Elements-c.used:
		return 0, fault.Invalidf("shape %v has more values than a request may hold (%d)", shape, c.limits.Elements)
	}
	c.used += n
	return n, nil
}

// maxOutputs is how many outputs a request may ask for; each is looked for among the others.
const maxOutputs = 1000

// maxInputs is how many inputs a request may have: as protobuf they can be so short that what describes them takes many times their bytes.
const maxInputs = 1 << 16

// ask adds an output asked for.
func (c *inference) ask(w wish, s tensor.Signature) error {
	switch {
	case w.name == "":
		return fault.Invalidf("output %d of those asked for has no name", len(c.wishes))
	case len(c.wishes) == maxOutputs:
		return fault.Invalidf("more than %d outputs are asked for", maxOutputs)
	case slices.Contains(c.request.Outputs, w.name):
		return fault.Invalidf("output %.60q is asked for twice", w.name)
	}
	if w.classes > 0 {
		if at := indexOfSpec(s.Outputs, w.name); at >= 0 && !s.Outputs[at].DType.Numeric() {
			return fault.Invalidf("output %.60q holds %s, which has no classes to rank; ask for the output itself", w.name, s.Outputs[at].DType)
		}
	}
	c.request.Outputs = append(c.request.Outputs, w.name)
	c.wishes = append(c.wishes, w)
	return nil
}

// given returns output i of an answer as it was asked for, and tells whether as binary data.
func (c *inference) given(i int, resp *tensor.Response, s tensor.Signature) (o *tensor.Tensor, binary bool, err error) {
	o = &resp.Outputs[i]
	if err := o.Check(); err != nil {
		return nil, false, fault.Internalf("the model's answer: %s", err.Error())
	}
	if i >= len(c.wishes) || c.request.Outputs[i] != o.Name { // outputs come in the order asked for
		return o, c.binary, nil
	}
	w := &c.wishes[i]
	if w.classes > 0 && o.DType().Numeric() {
		var labels []string
		if at := indexOfSpec(s.Outputs, o.Name); at >= 0 {
			labels = s.Outputs[at].Labels
		}
		o = topClasses(o, labels, w.classes)
	}
	if w.name != o.Name {
		called := *o
		called.Name, o = w.name, &called
	}
	return o, w.binary || !w.told && c.binary, nil
}

func indexOfSpec(specs []tensor.Spec, name string) int {
	return slices.IndexFunc(specs, func(p tensor.Spec) bool { return p.Name == name })
}

// sharedMemory is the parameter of a tensor that is not in the message.
const sharedMemory = "shared_memory_region"

// errSharedMemory refuses such a tensor.
var errSharedMemory = fault.Invalidf("shared memory is not supported by this service").WithHint("send tensors in the request itself")

// inputWhat names an input for an error: by its name, or by its place where that is not known.
func inputWhat(name string, at int) string { return tensorWhat("input", name, at) }

func tensorWhat(noun, name string, at int) string {
	if name == "" {
		return noun + " " + strconv.Itoa(at)
	}
	return noun + " " + strconv.Quote(name[:min(len(name), 60)])
}

// knownName returns the string of a name, without a copy if one of specs has it.
func knownName(specs []tensor.Spec, name []byte) string {
	for i := range specs {
		if known := specs[i].Name; known == string(name) {
			return known
		}
	}
	return string(name)
}

// nameOutputs takes outputs that are only counted (output-0, output-1, ...) for the first of those that the model gives by itself. They are
// answered under the names asked for.
func (c *inference) nameOutputs(s tensor.Signature) {
	asked := c.request.Outputs
	if len(asked) == 0 || indexOfSpec(s.Outputs, asked[0]) >= 0 || !positional(asked) {
		return
	}
	names := s.Wanted(&tensor.Request{})
	if len(names) < len(asked) || slices.ContainsFunc(asked, func(name string) bool { return indexOfSpec(s.Outputs, name) >= 0 }) {
		return
	}
	copy(asked, names)
}

// nameInputs gives the model's names to inputs that are only counted (input-0, input-1, ...): KServe's and MLServer's clients make such
// names up where they have none.
func (c *inference) nameInputs(s tensor.Signature) {
	inputs := c.request.Inputs
	if len(inputs) != len(s.Inputs) {
		return
	}
	names := make([]string, 0, 4)
	for i := range inputs {
		if indexOfSpec(s.Inputs, inputs[i].Name) >= 0 {
			return
		}
		names = append(names, inputs[i].Name)
	}
	if !positional(names) {
		return
	}
	for i := range inputs {
		inputs[i].Name = s.Inputs[i].Name
	}
}
