package wire

import (
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Answer writes the outputs with flat data. A float32 is written as the shortest decimal that reads back as the same float32: the
// datatype beside it says what to read it into. The id is the request's own; a request without one gets none.
func (c *openInferenceCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	dst = append(dst, `{"model_name":`...)
	dst = appendText(dst, m.Service)
	if m.Version != "" {
		dst = append(dst, `,"model_version":`...)
		dst = appendText(dst, m.Version)
	}
	if c.hasID {
		dst = append(dst, `,"id":`...)
		dst = appendText(dst, c.request.ID)
	}
	dst = append(dst, `,"outputs":[`...)
	for i := range resp.Outputs {
		o := &resp.Outputs[i]
		err := o.Check()
		if err != nil {
			return dst, fault.Internalf("the model's answer: %s", err.Error())
		}
		dst = append(comma(dst, i), `{"name":`...)
		dst = appendText(dst, o.Name)
		dst = append(dst, `,"shape":`...)
		dst = appendShape(dst, o.Shape)
		dst = append(dst, `,"datatype":"`...)
		dst = append(dst, o.DType().String()...)
		dst = append(dst, `","data":`...)
		if dst, err = appendFlat(dst, o, singles); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...), nil
}

// Error appends the protocol's error object. It never fails. The status is not part of it.
func (OpenInference) Error(dst []byte, _ int, err error) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendText(dst, explain(err))
	return append(dst, '}')
}
