package wire

import (
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// written is an input as it is written.
type written struct {
	tensor.Tensor
	form precision // of numbers: the type that the signature says tells what a float32 is; without one it is the double that it equals
	b64  bool      // bytes that are no text, in base64
}

// inputs returns all inputs as the server's model takes them, of as many rows each. Bytes that are no text are for a server that reads b64.
func (q *Question) inputs(b64 bool) ([]written, error) {
	if err := q.sound(); err != nil {
		return nil, err
	}
	list := make([]written, len(q.Request.Inputs))
	for i := range list {
		in := &list[i]
		var err error
		if in.Tensor, err = q.input(i); err != nil {
			return nil, err
		}
		if len(in.Shape) == 0 || in.Rows() != list[0].Rows() {
			return nil, fault.Invalidf("input %q has the shape %v where %d rows are needed", in.Name, in.Shape, list[0].Rows())
		}
		if in.form = singles | nulls; q.spec(i) == nil {
			in.form = doubles | nulls
		}
		if texts, ok := in.Data.([]string); ok && b64 {
			in.b64 = !allText(texts)
		}
	}
	return list, nil
}

func allText(texts []string) bool {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return false
		}
	}
	return true
}

// appendRows writes a list with what the inputs say of each row: the input itself, or an object with each by its name where there are
// several.
func appendRows(dst []byte, inputs []written) (_ []byte, err error) {
	if len(inputs) == 1 {
		return appendWhole(dst, &inputs[0].Tensor, inputs[0].b64, inputs[0].form)
	}
	dst = append(dst, '[')
	for row := range inputs[0].Rows() {
		dst = append(comma(dst, row), '{')
		for i := range inputs {
			in := &inputs[i]
			dst = append(appendText(comma(dst, i), in.Name), ':')
			if dst, err = appendRowOf(dst, &in.Tensor, row, in.b64, in.form); err != nil {
				return dst, err
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// appendByName writes an object with all rows of each input by its name.
func appendByName(dst []byte, inputs []written) (_ []byte, err error) {
	dst = append(dst, '{')
	for i := range inputs {
		in := &inputs[i]
		dst = append(appendText(comma(dst, i), in.Name), ':')
		if dst, err = appendWhole(dst, &in.Tensor, in.b64, in.form); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}
