package registry

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/tensor"
)

// survive turns a panic of a runtime into an error: one bad model must not take the others down. Defer it.
func survive(err *error) {
	if p := recover(); p != nil {
		*err = fault.Internalf("the runtime panicked on this model: %v", p).WithHint("this is a fault of the runtime; please report it with the model")
	}
}

// ready warms m up and checks that it gives the known answers. Golden rows do both; without any, m is asked one row of zeros.
func ready(ctx context.Context, m predict.Model, sig tensor.Signature, g *Golden) error {
	if g != nil {
		return g.check(ctx, m, sig)
	}
	request := &tensor.Request{}
	for _, spec := range sig.Inputs {
		t, err := zeros(spec)
		if err != nil {
			return err
		}
		request.Inputs = append(request.Inputs, t)
	}
	_, err := ask(ctx, m, sig, request)
	if fault.KindOf(err) == fault.Invalid {
		return nil // a model need not take zeros; it was asked, which is what warming up is for
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "a first question, to warm up: %w", err)
	}
	return nil
}

// zeros is one row of zeros, or of empty strings; a dimension of any size is 1.
func zeros(spec tensor.Spec) (tensor.Tensor, error) {
	shape := slices.Clone(spec.Shape)
	n := 1
	for i, d := range shape {
		if d < 0 {
			shape[i] = 1
		}
		n *= shape[i]
	}
	values := make(Values, n)
	for i := range values {
		switch spec.DType {
		case tensor.Bytes:
			values[i] = ""
		case tensor.Bool:
			values[i] = false
		default:
			values[i] = 0
		}
	}
	t, err := rowOf(tensor.Spec{Name: spec.Name, DType: spec.DType, Shape: []int{1, n}}, values)
	t.Shape = shape
	return t, err
}

// maxRow bounds the cells of one row of an input or output.
const maxRow = 1 << 24

// checkSignature refuses what a runtime should not say of its model, so that all else may rely on it.
func checkSignature(sig tensor.Signature) error {
	if len(sig.Inputs) == 0 || len(sig.Outputs) == 0 {
		return fault.Internalf("the runtime tells of %d inputs and %d outputs", len(sig.Inputs), len(sig.Outputs))
	}
	if err := checkSpecs("input", sig.Inputs); err != nil {
		return err
	}
	return checkSpecs("output", sig.Outputs)
}

func checkSpecs(what string, specs []tensor.Spec) error {
	names := make([]string, len(specs))
	for i, p := range specs {
		names[i] = p.Name
		if p.Name == "" || len(p.Name) > strictyaml.MaxKey || p.DType.String() == "" {
			return fault.Invalidf("%s %d has no usable name or datatype (%.80q, %q)", what, i+1, p.Name, p.DType)
		}
		for _, text := range slices.Concat([]string{p.Name}, p.Columns, p.Labels) {
			if !utf8.ValidString(text) {
				return fault.Invalidf("%s %.80q: %.80q is not valid UTF-8", what, p.Name, text)
			}
		}
		n := 1
		for _, d := range p.Shape {
			if d < -1 || d > 0 && n > maxRow/d {
				return fault.Invalidf("%s %.80q has the impossible shape %v", what, p.Name, p.Shape)
			}
			n *= max(d, 1)
		}
	}
	if name := repeated(names); name != "" {
		return fault.Invalidf("two %ss are called %.80q", what, name)
	}
	return nil
}

// named is a model with the user's labels and column names.
type named struct {
	predict.Model
	sig tensor.Signature
}

// Signature implements predict.Model.
func (n named) Signature() tensor.Signature { return n.sig }

// Unwrap returns the runtime's own model.
func (n named) Unwrap() predict.Model { return n.Model }

// withSignature gives m the signature sig, of which only labels and column names, and the order of outputs, may differ from its own.
func withSignature(m predict.Model, sig tensor.Signature) predict.Model {
	if m.Signature().Equal(sig) {
		return m
	}
	return named{m, sig}
}
