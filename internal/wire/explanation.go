package wire

import (
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// explanationOutputs returns the outputs that an explain call asks a model for: its contributions, and its margin if it tells that. It is
// ErrCannotExplain for a model without contributions.
func explanationOutputs(signature tensor.Signature) ([]string, error) {
	gives := func(name string) bool {
		return slices.ContainsFunc(signature.Outputs, func(o tensor.Spec) bool { return o.Name == name })
	}
	switch {
	case !gives(Contributions):
		return nil, ErrCannotExplain
	case !gives(Margin):
		return []string{Contributions}, nil
	}
	return []string{Contributions, Margin}, nil
}

// appendExplanations appends a JSON array with one object for each row of resp, which must hold the outputs of explanationOutputs. For a
// model of one output that object is
//
//	{"margin":1.5,"base":0.5,"contributions":{"age":0.75,"price":0.25}}
//
// where base and the contributions add up to the margin but for rounding; margin is left out where the model tells none, and an input
// without column names has its contributions as an array, in the order of its columns. For a model of several outputs, such as classes,
// it is {"outputs":[...]} with one such object for each of them, which begins with the number of the output, "output", and its label,
// "label", where the model has labels. A number is the shortest decimal that reads back as the same number of the output's type.
func appendExplanations(dst []byte, signature tensor.Signature, resp *tensor.Response) ([]byte, error) {
	x, err := newExplanations(signature, resp)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for row := range x.rows {
		dst = comma(dst, row)
		if x.outputs == 1 {
			if dst, err = x.append(append(dst, '{'), row, 0); err != nil {
				return dst, err
			}
			continue
		}
		dst = append(dst, `{"outputs":[`...)
		for i := range x.outputs {
			dst = append(comma(dst, i), `{"output":`...)
			dst = append(strconv.AppendInt(dst, int64(i), 10), ',')
			if x.labels != nil {
				dst = append(appendText(append(dst, `"label":`...), x.labels[i]), ',')
			}
			if dst, err = x.append(dst, row, i); err != nil {
				return dst, err
			}
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, ']'), nil
}

// explanations are the outputs that rows are explained with, of shapes that agree.
type explanations struct {
	contributions *tensor.Tensor
	margin        *tensor.Tensor // nil: none
	rows          int
	outputs       int
	features      int
	columns       []string // of the features, or none
	labels        []string // of the outputs, or none
}

func newExplanations(signature tensor.Signature, resp *tensor.Response) (*explanations, error) {
	x := &explanations{outputs: 1}
	for i := range resp.Outputs {
		o := &resp.Outputs[i]
		if o.Name != Contributions && o.Name != Margin {
			continue
		}
		if err := o.Check(); err != nil {
			return nil, fault.Internalf("the model's answer: %s", err.Error())
		}
		if d := o.DType(); d != tensor.Float32 && d != tensor.Float64 {
			return nil, fault.Internalf("output %q holds %s where contributions are FP32 or FP64", o.Name, d)
		}
		if o.Name == Margin {
			x.margin = o
		} else {
			x.contributions = o
		}
	}
	if x.contributions == nil {
		return nil, fault.Internalf("the model gave no output %q", Contributions)
	}
	shape := x.contributions.Shape
	if len(shape) < 2 || len(shape) > 3 || shape[len(shape)-1] < 1 {
		return nil, fault.Internalf("output %q has shape %v; it is [rows, features+1] or [rows, outputs, features+1]", Contributions, shape)
	}
	x.rows, x.features = shape[0], shape[len(shape)-1]-1
	if len(shape) == 3 {
		x.outputs = shape[1]
	}
	if x.margin != nil && x.margin.Len() != x.rows*x.outputs {
		return nil, fault.Internalf("output %q has shape %v beside contributions of shape %v", Margin, x.margin.Shape, shape)
	}
	if len(signature.Inputs) == 1 && len(signature.Inputs[0].Columns) == x.features {
		x.columns = signature.Inputs[0].Columns
	}
	for i := range signature.Outputs {
		if labels := signature.Outputs[i].Labels; len(labels) == x.outputs && x.labels == nil {
			x.labels = labels
		}
	}
	return x, nil
}

// append appends the rest of an object that has been begun: what explains one output for one row.
func (x *explanations) append(dst []byte, row, output int) ([]byte, error) {
	var err error
	at := row*x.outputs + output
	if x.margin != nil {
		dst = append(dst, `"margin":`...)
		if dst, err = appendElement(dst, x.margin, at); err != nil {
			return dst, err
		}
		dst = append(dst, ',')
	}
	from := at * (x.features + 1)
	dst = append(dst, `"base":`...)
	if dst, err = appendElement(dst, x.contributions, from+x.features); err != nil {
		return dst, err
	}
	dst = append(dst, `,"contributions":`...)
	if len(x.columns) == 0 {
		dst, err = appendElements(dst, x.contributions, from, from+x.features, singles)
		return append(dst, '}'), err
	}
	dst = append(dst, '{')
	for i, name := range x.columns {
		dst = append(appendText(comma(dst, i), name), ':')
		if dst, err = appendElement(dst, x.contributions, from+i); err != nil {
			return dst, err
		}
	}
	return append(dst, "}}"...), nil
}

// appendElement appends one element of a tensor of floats.
func appendElement(dst []byte, t *tensor.Tensor, at int) ([]byte, error) {
	start := len(dst)
	dst, err := appendElements(dst, t, at, at+1, singles)
	if err != nil {
		return dst, err
	}
	return append(dst[:start], dst[start+1:len(dst)-1]...), nil // without the brackets of an array
}
