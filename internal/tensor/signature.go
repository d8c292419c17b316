package tensor

import (
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Spec describes one input or output of a model.
type Spec struct {
	Name     string   `json:"name" yaml:"name"`
	DType    DType    `json:"datatype" yaml:"datatype"`
	Shape    []int    `json:"shape" yaml:"shape,flow"`                         // -1 where any size goes; the first is the batch
	Columns  []string `json:"columns,omitempty" yaml:"columns,omitempty,flow"` // names along the last dimension
	Labels   []string `json:"labels,omitempty" yaml:"labels,omitempty,flow"`   // class labels, by class number
	OnDemand bool     `json:"onDemand,omitempty" yaml:"onDemand,omitempty"`    // an output given only to those who ask for it by name
	// AbsentZero says of an input that what a sparse row leaves out is 0. Otherwise it is missing, a NaN.
	AbsentZero bool `json:"absentZero,omitempty" yaml:"absentZero,omitempty"`
}

// Signature is what a model takes and gives. Two versions with equal signatures can stand in for each other.
type Signature struct {
	Inputs  []Spec `json:"inputs" yaml:"inputs"`
	Outputs []Spec `json:"outputs" yaml:"outputs"` // none: they are not known before an answer is there; a model of ours always has some
}

// Equal tells whether a and b take and give the same: names, types, shapes, columns, labels and what sparse rows mean, in the same order.
func (s Signature) Equal(o Signature) bool {
	same := func(a, b Spec) bool {
		return a.Name == b.Name && a.DType == b.DType && a.OnDemand == b.OnDemand && a.AbsentZero == b.AbsentZero && slices.Equal(a.Shape, b.Shape) &&
			slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Labels, b.Labels)
	}
	return slices.EqualFunc(s.Inputs, o.Inputs, same) && slices.EqualFunc(s.Outputs, o.Outputs, same)
}

// Wanted returns the names of the outputs that r asks for: its own list, or every output that is not on demand. It is empty where all are
// wanted of which none is known.
func (s Signature) Wanted(r *Request) []string {
	if len(r.Outputs) > 0 {
		return r.Outputs
	}
	names := make([]string, 0, len(s.Outputs))
	for _, o := range s.Outputs {
		if !o.OnDemand {
			names = append(names, o.Name)
		}
	}
	return names
}

// Check tells what in r does not fit the signature: an input missing, unknown or given twice, a wrong shape, text where numbers
// are needed, no rows at all, or an output the model does not have, as far as its outputs are known. All inputs must agree on the
// number of rows. A number of another type is no mistake: runtimes convert. Check names a single unnamed input after the
// signature's only one.
func (s Signature) Check(r *Request) error {
	if len(s.Inputs) == 1 && len(r.Inputs) == 1 && r.Inputs[0].Name == "" {
		r.Inputs[0].Name = s.Inputs[0].Name
	}
	if len(r.Inputs) == 0 {
		return fault.Invalidf("no input given; the model takes %s", specNames(s.Inputs))
	}
	for i := range r.Inputs {
		in := &r.Inputs[i]
		at := slices.IndexFunc(s.Inputs, func(p Spec) bool { return p.Name == in.Name })
		if at < 0 {
			return fault.Invalidf("unknown input %q; the model takes %s", in.Name, specNames(s.Inputs))
		}
		if slices.ContainsFunc(r.Inputs[:i], func(t Tensor) bool { return t.Name == in.Name }) {
			return fault.Invalidf("input %q is given twice", in.Name)
		}
		if err := s.Inputs[at].fits(in); err != nil {
			return err
		}
		if in.Rows() != r.Inputs[0].Rows() {
			return fault.Invalidf("input %q has %d rows, input %q has %d", in.Name, in.Rows(), r.Inputs[0].Name, r.Inputs[0].Rows())
		}
	}
	for _, p := range s.Inputs {
		if !slices.ContainsFunc(r.Inputs, func(t Tensor) bool { return t.Name == p.Name }) {
			return fault.Invalidf("input %q is missing", p.Name)
		}
	}
	for _, name := range r.Outputs {
		if len(s.Outputs) > 0 && !slices.ContainsFunc(s.Outputs, func(p Spec) bool { return p.Name == name }) {
			return fault.Invalidf("unknown output %q; the model gives %s", name, specNames(s.Outputs))
		}
	}
	return nil
}

// fits tells what in t does not fit p. A single row may leave the batch dimension out.
func (p Spec) fits(t *Tensor) error {
	if len(t.Shape) == len(p.Shape)-1 && len(p.Shape) > 0 && p.Shape[0] == -1 {
		t.Shape = append([]int{1}, t.Shape...)
	}
	if err := t.Check(); err != nil {
		return err
	}
	if t.Len() == 0 { // before its shape, which says little of a list with nothing in it
		return fault.Invalidf("input %q is empty: send at least one row", p.Name)
	}
	if len(t.Shape) != len(p.Shape) {
		return fault.Invalidf("input %q has shape %v; the model takes %v (-1: any number)", p.Name, t.Shape, p.Shape)
	}
	for i, want := range p.Shape {
		if want != -1 && t.Shape[i] != want {
			return fault.Invalidf("input %q has shape %v; the model takes %v (-1: any number)", p.Name, t.Shape, p.Shape)
		}
	}
	if p.DType.Numeric() != t.DType().Numeric() {
		return fault.Invalidf("input %q holds %s; the model takes %s", p.Name, t.DType(), p.DType)
	}
	return nil
}

func specNames(specs []Spec) string {
	quoted := make([]string, len(specs))
	for i, p := range specs {
		quoted[i] = `"` + p.Name + `"`
	}
	return strings.Join(quoted, ", ")
}
