package wire

import (
	"encoding/base64"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// appendPredictions writes a list with what resp says of each row: the output itself, or an object with each output by its name where there
// are several. Where binary, bytes whose output's name says so are written in base64.
func appendPredictions(dst []byte, resp *tensor.Response, rows int, binary bool) ([]byte, error) {
	if len(resp.Outputs) == 0 {
		return dst, fault.Internalf("the model gave no output")
	}
	for i := range resp.Outputs {
		o := &resp.Outputs[i]
		if err := o.Check(); err != nil {
			return dst, fault.Internalf("the model's answer: %s", err.Error())
		}
		if len(o.Shape) == 0 || o.Shape[0] != rows {
			return dst, fault.Internalf("output %q has the shape %v for %d rows", o.Name, o.Shape, rows)
		}
	}
	if len(resp.Outputs) == 1 {
		return appendWhole(dst, &resp.Outputs[0], binary && isBinary(&resp.Outputs[0]), doubles)
	}
	var err error
	dst = append(dst, '[')
	for row := range rows {
		dst = append(comma(dst, row), '{')
		for i := range resp.Outputs {
			o := &resp.Outputs[i]
			dst = append(appendText(comma(dst, i), o.Name), ':')
			if dst, err = appendRowOf(dst, o, row, binary && isBinary(o), doubles); err != nil {
				return dst, err
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// appendColumns writes the only output, or an object with each output by its name.
func appendColumns(dst []byte, resp *tensor.Response) (_ []byte, err error) {
	if len(resp.Outputs) == 0 {
		return dst, fault.Internalf("the model gave no output")
	}
	for i := range resp.Outputs {
		if err := resp.Outputs[i].Check(); err != nil {
			return dst, fault.Internalf("the model's answer: %s", err.Error())
		}
	}
	if len(resp.Outputs) == 1 {
		return appendWhole(dst, &resp.Outputs[0], isBinary(&resp.Outputs[0]), doubles)
	}
	dst = append(dst, '{')
	for i := range resp.Outputs {
		o := &resp.Outputs[i]
		dst = append(appendText(comma(dst, i), o.Name), ':')
		if dst, err = appendWhole(dst, o, isBinary(o), doubles); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// appendWhole writes all of a tensor, in lists by its shape; bytes in base64 if b64 says so.
func appendWhole(dst []byte, t *tensor.Tensor, b64 bool, p precision) ([]byte, error) {
	if texts, ok := t.Data.([]string); ok && b64 {
		return appendB64(dst, texts, t.Shape), nil
	}
	return appendNested(dst, t, p)
}

// appendRowOf writes one row of a tensor.
func appendRowOf(dst []byte, t *tensor.Tensor, row int, b64 bool, p precision) ([]byte, error) {
	width := t.Len() / t.Shape[0]
	from, to := row*width, (row+1)*width
	shape := t.Shape[1:]
	if texts, ok := t.Data.([]string); ok && b64 {
		return appendB64(dst, texts[from:to], shape), nil
	}
	if len(shape) > 0 {
		if width == 0 {
			return append(dst, "[]"...), nil
		}
		return appendLevel(dst, t, shape, from, to, p)
	}
	start := len(dst)
	dst, err := appendElements(dst, t, from, to, p)
	if err != nil {
		return dst, err
	}
	return append(dst[:start], dst[start+1:len(dst)-1]...), nil // without the brackets of an array of one
}

// isBinary tells whether an output of bytes is no text, which TensorFlow tells by its name.
func isBinary(o *tensor.Tensor) bool { return strings.HasSuffix(o.Name, "_bytes") }

// appendB64 writes bytes in base64, in lists of the given shape.
func appendB64(dst []byte, texts []string, shape []int) []byte {
	if len(shape) == 0 {
		dst = append(dst, `{"b64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(texts[0]))
		return append(dst, `"}`...)
	}
	dst = append(dst, '[')
	for i := range shape[0] {
		step := len(texts) / shape[0]
		dst = appendB64(comma(dst, i), texts[i*step:(i+1)*step], shape[1:])
	}
	return append(dst, ']')
}
