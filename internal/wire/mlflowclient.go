package wire

import (
	"slices"

	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// MLflowClient asks MLflow's scoring server: a data frame in JSON (dataframe_split) where all columns have names, those of the only input
// or the inputs' own where each of them is one value a row; else tensors, as instances or, several of them, as inputs by their names.
//
// The answer holds predictions: a value or a list for each row, objects by column as pandas writes a data frame, or whole tensors by name.
// Servers before MLflow 2 answer with the list alone. Which outputs it holds cannot be asked for: it should be all that the signature
// names.
type MLflowClient struct{}

// Ask appends the body of a request.
func (MLflowClient) Ask(dst []byte, q *Question) (_ []byte, _ Frame, err error) {
	inputs, err := q.inputs(false)
	if err != nil {
		return dst, Frame{}, err
	}
	columns := q.columns(0)
	switch {
	case len(inputs) == 1 && columns != nil:
		dst = appendTexts(append(dst, `{"dataframe_split":{"columns":`...), columns)
		dst, err = appendNested(append(dst, `,"data":`...), &inputs[0].Tensor, inputs[0].form)
		return append(dst, "}}"...), Frame{}, err
	case len(inputs) == 1:
		dst, err = appendNested(append(dst, `{"instances":`...), &inputs[0].Tensor, inputs[0].form)
	case slices.ContainsFunc(inputs, func(in written) bool { return in.Len() != in.Rows() }):
		dst, err = appendByName(append(dst, `{"inputs":`...), inputs)
	default:
		dst, err = appendFrame(dst, inputs)
	}
	return append(dst, '}'), Frame{}, err
}

// appendFrame writes inputs of one value a row as the columns of a data frame.
func appendFrame(dst []byte, inputs []written) (_ []byte, err error) {
	dst = append(dst, `{"dataframe_split":{"columns":[`...)
	for i := range inputs {
		dst = appendText(comma(dst, i), inputs[i].Name)
		inputs[i].Shape = inputs[i].Shape[:1]
	}
	dst = append(dst, `],"data":[`...)
	for row := range inputs[0].Rows() {
		dst = append(comma(dst, row), '[')
		for i := range inputs {
			if dst, err = appendRowOf(comma(dst, i), &inputs[i].Tensor, row, false, inputs[i].form); err != nil {
				return dst, err
			}
		}
		dst = append(dst, ']')
	}
	return append(dst, "]}"...), nil
}

// Read reads the body of an answer.
func (MLflowClient) Read(body []byte, _ Frame, q *Question, l Limits) (*tensor.Response, error) {
	const predictions = 0
	r := answerReader{question: q, limits: l.orDefault()}
	r.begin(body)
	var seen keys
	s := &r.s
	if s.Peek() == jsonscan.Array {
		r.given = true
		r.outputs("the answer")
		return r.response("")
	}
	for s.Object(); s.Next(); {
		if key := string(s.Key()); key != "predictions" {
			s.Skip()
		} else if seen.once(s, predictions, key) && r.only(key) {
			r.outputs(key)
		}
	}
	return r.response("the answer has no predictions")
}
