package wire

import (
	"github.com/serin-ml/serin/internal/tensor"
)

// V1Client asks a server of the v1 protocols, KServe's or TensorFlow's: rows as instances, which both understand alike. An instance is a
// list of values in the model's order, or an object with each input by its name where the model takes several; the protocol has no place
// for the names of columns. Bytes that are no text are {"b64": ...}, which TensorFlow Serving reads.
//
// The answer holds predictions, a value or a list for each row or an object with each output by its name, or outputs, whole tensors. Which
// outputs it holds cannot be asked for: it should be all that the signature names.
type V1Client struct{}

// Ask appends the body of a request.
func (V1Client) Ask(dst []byte, q *Question) ([]byte, Frame, error) {
	inputs, err := q.inputs(true)
	if err != nil {
		return dst, Frame{}, err
	}
	dst, err = appendRows(append(dst, `{"instances":`...), inputs)
	return append(dst, '}'), Frame{}, err
}

// Read reads the body of an answer.
func (V1Client) Read(body []byte, _ Frame, q *Question, l Limits) (*tensor.Response, error) {
	const predictions, outputs = 0, 1
	r := answerReader{question: q, limits: l.orDefault()}
	r.begin(body)
	var seen keys
	s := &r.s
	for s.Object(); s.Next(); {
		switch key := string(s.Key()); key {
		case "predictions":
			if seen.once(s, predictions, key) && r.only(key) {
				r.outputs(key)
			}
		case "outputs":
			if seen.once(s, outputs, key) && r.only(key) {
				r.outputs(key)
			}
		default:
			s.Skip()
		}
	}
	return r.response("the answer has neither predictions nor outputs")
}
