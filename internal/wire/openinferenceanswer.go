package wire

import (
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/tensor"
)

// Answer writes the outputs with flat data, or with binary data behind the JSON where that is wanted. A float32 in JSON is the shortest
// decimal that reads back as the same float32: the datatype beside it says what to read it into. The id is the request's own; a request
// without one gets none.
func (c *openInferenceCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	start := len(dst)
	c.frame = Frame{}
	dst = append(dst, `{"model_name":`...)
	dst = appendText(dst, m.Service)
	if m.Version != "" {
		dst = append(dst, `,"model_version":`...)
		dst = appendText(dst, m.Version)
	}
	if c.hasID {
		dst = append(dst, `,"id":`...)
		dst = appendText(dst, c.id)
	}
	dst = append(dst, `,"outputs":[`...)
	var most [4]*tensor.Tensor
	behind := most[:0] // the outputs whose data goes behind the JSON
	size := 0
	for i := range resp.Outputs {
		o, raw, err := c.given(i, resp, c.signature)
		if err != nil {
			return dst, err
		}
		dst = append(comma(dst, i), `{"name":`...)
		dst = appendText(dst, o.Name)
		dst = append(dst, `,"shape":`...)
		dst = appendShape(dst, o.Shape)
		dst = append(dst, `,"datatype":"`...)
		dst = append(dst, o.DType().String()...)
		if raw {
			n := binaryLen(o)
			size += n
			behind = append(behind, o)
			dst = append(dst, `","parameters":{"binary_data_size":`...)
			dst = append(strconv.AppendInt(dst, int64(n), 10), "}}"...)
			continue
		}
		dst = append(dst, `","data":`...)
		if dst, err = appendFlat(dst, o, singles); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	dst = append(dst, "]}"...)
	if len(behind) == 0 {
		return dst, nil
	}
	c.frame = Frame{ContentType: octetStream, HeaderBytes: len(dst) - start}
	dst = slices.Grow(dst, size)
	for _, o := range behind {
		dst = appendBinary(dst, o)
	}
	return dst, nil
}

// Error appends the protocol's error object. It never fails. The status is not part of it.
func (OpenInference) Error(dst []byte, _ int, err error) []byte {
	dst = append(dst, `{"error":`...)
	dst = appendText(dst, explain(err))
	return append(dst, '}')
}
