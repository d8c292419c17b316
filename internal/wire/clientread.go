package wire

import (
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// answerReader reads the outputs of an answer whose dialect has rows or columns rather than tensors with types.
type answerReader struct {
	reading
	question *Question
	limits   Limits // none is 0
	proto    bool   // numbers may be what protobuf's JSON makes of them
	size     int    // of the body
	left     int    // values that may still come
	given    bool   // the outputs have come
	tensors  []tensor.Tensor
	single   [1]tensor.Tensor
}

// begin prepares for reading.
func (r *answerReader) begin(body []byte) {
	r.start(body, tensor.Signature{})
	r.size, r.left, r.tensors = len(body), r.limits.Elements, r.single[:0]
}

// only notes that the outputs have come, which may be once.
func (r *answerReader) only(key string) bool {
	if r.given {
		r.s.Failf("the answer holds %s beside other outputs", key)
		return false
	}
	r.given = true
	return r.s.Err() == nil
}

// response ends the reading. Missing says what is wrong where no outputs have come.
func (r *answerReader) response(missing string) (*tensor.Response, error) {
	switch err := r.end(); {
	case err != nil:
		return nil, fault.Internalf("the answer cannot be read: %w", err)
	case !r.given:
		return nil, fault.Internalf("%s", missing)
	}
	return r.question.answered(r.tensors)
}

// outputs reads what stands at a key: a list with what each row is answered, an object with each output by its name, or a bare value.
func (r *answerReader) outputs(key string) {
	s := &r.s
	switch kind := s.Peek(); {
	case kind == jsonscan.Object && !startsB64(*s):
		r.byName(key)
	case kind == jsonscan.Array && holdsRows(*s):
		r.table(key)
	default:
		spec := r.unnamed()
		name := OpenOutput
		if spec != nil {
			name = spec.Name
		}
		r.output(key, name, spec)
	}
}

// holdsRows tells whether the array that comes next begins with an object that is no value.
func holdsRows(ahead jsonscan.Scanner) bool {
	ahead.Array()
	return ahead.Next() && ahead.Peek() == jsonscan.Object && !startsB64(ahead)
}

// unnamed is what the signature says of an output that comes without a name: the first that is not on demand. It is nil without one.
func (r *answerReader) unnamed() *tensor.Spec {
	outputs := r.question.Signature.Outputs
	for i := range outputs {
		if !outputs[i].OnDemand {
			return &outputs[i]
		}
	}
	return nil
}

// byName reads an object of outputs.
func (r *answerReader) byName(what string) {
	s := &r.s
	for s.Object(); s.Next(); {
		name := string(s.Key())
		spec, known := r.named(name)
		switch {
		case !known:
			s.Skip()
			continue
		case slices.ContainsFunc(r.tensors, func(t tensor.Tensor) bool { return t.Name == name }):
			s.Failf("the key %.60q is given twice", name)
		case len(r.tensors) == maxOutputs:
			s.Failf("%s has more than %d keys", what, maxOutputs)
		}
		r.output(what+"."+name[:min(len(name), 60)], name, spec)
	}
}

// named is what the signature says of an output, nil where it names none at all. It is not known where the signature names others.
func (r *answerReader) named(name string) (spec *tensor.Spec, known bool) {
	outputs := r.question.Signature.Outputs
	if len(outputs) == 0 {
		return nil, true
	}
	at := indexOfSpec(outputs, name)
	if at < 0 {
		return nil, false
	}
	return &outputs[at], true
}

// output reads the value of an output.
func (r *answerReader) output(what, name string, spec *tensor.Spec) {
	s := &r.s
	if s.Peek() == jsonscan.Array {
		r.read(s, what, name, spec)
		return
	}
	text := s.Raw() // a bare value, which is read as a list of one
	if s.Err() != nil {
		return
	}
	one := jsonscan.New(slices.Concat([]byte{'['}, text, []byte{']'})).AllowNonFinite()
	r.read(one, what, name, spec)
}

// read reads a list at s, which is the reader's own scanner or one of a part of the body.
func (r *answerReader) read(s *jsonscan.Scanner, what, name string, spec *tensor.Spec) {
	if r.s.Err() != nil {
		return
	}
	d := guess(*s, r.proto)
	if spec != nil {
		d = spec.DType
	}
	before := *s // the scanner is a value: a copy of it comes back to this place
	data, shape, err := r.list(s, d, spec)
	if err != nil && d != tensor.Bytes && d != tensor.Float32 && d != tensor.Float64 { // whole numbers may be written as doubles are
		again := before
		if doubles, shaped, wrong := r.list(&again, tensor.Float64, spec); wrong == nil {
			*s, shape, err = again, shaped, nil
			if data = doubles; spec != nil {
				var at int
				if data, at = fromDoubles(doubles.([]float64), d); at >= 0 {
					err = fault.Invalidf("element %d: %v is no %v", at, doubles.([]float64)[at], d)
				}
			}
		}
	}
	if err != nil {
		r.wrong(what, err)
		return
	}
	t := tensor.Tensor{Name: name, Shape: slices.Clone(shape), Data: data}
	r.left -= t.Len()
	r.tensors = append(r.tensors, t)
}

// wrong records what is wrong with what stands at a key, instead of what a scanner says about it.
func (r *answerReader) wrong(what string, err error) {
	if r.err == nil {
		r.err = fault.Invalidf("%s: %w", what, err)
	}
	r.s.Failf("%w", err)
}

// list reads a list into elements of a type. An error is not left in s alone.
func (r *answerReader) list(s *jsonscan.Scanner, d tensor.DType, spec *tensor.Spec) (data any, shape []int, err error) {
	a := &r.array
	*a = array{s: s, size: r.size, rows: r.limits.Rows, max: r.left, plain: true, proto: r.proto}
	hint := 1
	if spec != nil {
		hint = 1
		for _, n := range spec.Shape[min(1, len(spec.Shape)):] {
			hint = min(hint*max(n, 1), r.left)
		}
	}
	if in := r.question.Request.Inputs; len(in) > 0 {
		hint = min(hint*max(in[0].Rows(), 1), r.left)
	}
	a.unshaped(hint)
	data = a.data(d)
	if err := s.Err(); err != nil {
		return nil, nil, a.wrap(err, d.String())
	}
	return data, a.shape(), nil
}

// guess tells what the elements of the list that comes next seem to be, by the first of them.
func guess(ahead jsonscan.Scanner, proto bool) tensor.DType {
	for ahead.Peek() == jsonscan.Array {
		if ahead.Array(); !ahead.Next() {
			return tensor.Float64
		}
	}
	switch ahead.Peek() {
	case jsonscan.Number:
		return tensor.Int64
	case jsonscan.Bool:
		return tensor.Bool
	case jsonscan.String:
		if text := string(ahead.Bytes()); proto && (text == "NaN" || text == "Infinity" || text == "-Infinity") {
			return tensor.Float64
		}
		return tensor.Bytes
	case jsonscan.Object:
		return tensor.Bytes
	}
	return tensor.Float64
}

// columnText is an output of rows that are objects: the texts of its values, as a list.
type columnText struct {
	name string
	spec *tensor.Spec
	text []byte
	rows int
}

// table reads a list of objects, one for each row, with what each output says of it. Their values are gathered by output, and read then.
func (r *answerReader) table(what string) {
	s := &r.s
	var list []columnText
	for i := range r.question.Signature.Outputs {
		if p := &r.question.Signature.Outputs[i]; !p.OnDemand {
			list = append(list, columnText{name: p.Name, spec: p})
		}
	}
	open := list == nil
	rows := 0
	for s.Array(); s.Next(); rows++ {
		if rows == r.limits.Rows {
			s.Failf("%s has more than %d rows", what, rows)
			return
		}
		next := 0 // keys come in the order of the row before, most likely
		for s.Object(); s.Next(); {
			key := s.Key()
			at := next
			if at == len(list) || list[at].name != string(key) {
				at = slices.IndexFunc(list, func(c columnText) bool { return c.name == string(key) })
			}
			switch {
			case at < 0 && open && rows == 0 && len(list) < maxOutputs:
				at = len(list)
				list = append(list, columnText{name: string(key)})
			case at < 0 && open:
				s.Failf("%s, row %d has %.60q, which row 0 has not", what, rows, key)
				return
			case at < 0:
				s.Skip()
				continue
			}
			c := &list[at]
			next = at + 1
			if c.rows != rows {
				r.uneven(what, c, rows)
				return
			}
			c.text = append(comma(c.text, c.rows), s.Raw()...)
			c.rows++
		}
	}
	for i := range list {
		c := &list[i]
		if c.rows != rows {
			r.uneven(what, c, rows)
		}
		if s.Err() != nil {
			return
		}
		r.read(jsonscan.New(slices.Concat([]byte{'['}, c.text, []byte{']'})).AllowNonFinite(), what+"."+c.name[:min(len(c.name), 60)], c.name, c.spec)
	}
}

// uneven says that an output has not come once in each of the rows so far.
func (r *answerReader) uneven(what string, c *columnText, rows int) {
	if r.s.Err() == nil {
		r.s.Failf("%s: %s comes %d times in %d rows", what, strconv.Quote(c.name[:min(len(c.name), 60)]), c.rows, rows)
	}
}
