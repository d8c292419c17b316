package wire

import (
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// OpenInferenceClient asks a server of the Open Inference Protocol v2 over REST. Inputs and outputs go by name; a request that names
// outputs asks for those, one that names none gets those that the server gives by itself.
type OpenInferenceClient struct {
	// Binary sends tensors as binary data behind the JSON and asks for outputs as such, as a server reads and writes it whose extensions
	// name ExtensionBinary. Else all is JSON. Answers are read either way.
	Binary bool
}

// Ask appends the body of a request. The frame tells what header it needs.
func (c OpenInferenceClient) Ask(dst []byte, q *Question) ([]byte, Frame, error) {
	if err := q.sound(); err != nil {
		return dst, Frame{}, err
	}
	start := len(dst)
	dst = append(dst, '{')
	if id := q.Request.ID; id != "" {
		dst = append(appendText(append(dst, `"id":`...), id), ',')
	}
	dst = append(dst, `"inputs":[`...)
	var most [4]tensor.Tensor
	behind := most[:0] // the inputs whose data goes behind the JSON
	size := 0
	for i := range q.Request.Inputs {
		in, err := q.input(i)
		if err != nil {
			return dst, Frame{}, err
		}
		dst = appendText(append(comma(dst, i), `{"name":`...), in.Name)
		dst = appendShape(append(dst, `,"shape":`...), in.Shape)
		dst = append(append(dst, `,"datatype":"`...), in.DType().String()...)
		if c.Binary {
			n := binaryLen(&in)
			size += n
			behind = append(behind, in)
			dst = append(strconv.AppendInt(append(dst, `","parameters":{"binary_data_size":`...), int64(n), 10), "}}"...)
			continue
		}
		if dst, err = appendFlat(append(dst, `","data":`...), &in, singles|nulls); err != nil {
			return dst, Frame{}, err
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	for i, name := range q.Request.Outputs {
		if i == 0 {
			dst = append(dst, `,"outputs":[`...)
		}
		dst = append(appendText(append(comma(dst, i), `{"name":`...), name), '}')
	}
	if len(q.Request.Outputs) > 0 {
		dst = append(dst, ']')
	}
	if !c.Binary {
		return append(dst, '}'), Frame{}, nil
	}
	dst = append(dst, `,"parameters":{"binary_data_output":true}}`...)
	f := Frame{ContentType: octetStream, HeaderBytes: len(dst) - start}
	dst = slices.Grow(dst, size)
	for i := range behind {
		dst = appendBinary(dst, &behind[i])
	}
	return dst, f, nil
}

// Read reads the body of an answer.
func (OpenInferenceClient) Read(body []byte, f Frame, q *Question, l Limits) (*tensor.Response, error) {
	c := openInferenceAnswer{}
	c.noun = "output"
	c.signature = tensor.Signature{Inputs: q.Signature.Outputs} // whose names are known: what is read here is what a request has as inputs
	c.begin(l)
	text := body
	if f.HeaderBytes > 0 {
		if f.HeaderBytes > len(body) {
			return nil, fault.Internalf("the answer's header %s says that %d bytes are JSON, but it has %d", HeaderLength, f.HeaderBytes, len(body))
		}
		text, c.raw, c.split = body[:f.HeaderBytes], body[f.HeaderBytes:], true
	}
	c.start(text, c.signature)
	c.array = array{size: len(text), rows: c.limits.Rows}
	given := c.message()
	switch err := c.end(); {
	case err != nil:
		return nil, fault.Internalf("the answer cannot be read: %w", err)
	case !given:
		return nil, fault.Internalf("the answer has no outputs")
	case len(c.raw) > 0:
		return nil, fault.Internalf("%d bytes of binary data belong to no output of the answer", len(c.raw))
	}
	return q.answered(c.request.Inputs)
}

// openInferenceAnswer is an answer while it is read.
type openInferenceAnswer struct{ openInferenceCall }

// message reads the whole body and tells whether it has outputs.
func (c *openInferenceAnswer) message() (given bool) {
	const outputs = 0
	var seen keys
	s := &c.s
	for s.Object(); s.Next(); {
		if string(s.Key()) != "outputs" {
			s.Skip()
		} else if seen.once(s, outputs, "outputs") {
			given = true
			for s.Array(); s.Next(); {
				if len(c.request.Inputs) == maxOutputs {
					s.Failf("more than %d outputs", maxOutputs)
				}
				c.input()
			}
		}
	}
	return given
}

// ReadFrame reads what the header of an answer says of its body: the values of Content-Type and of HeaderLength, "" for none.
func ReadFrame(contentType, headerLength string) (Frame, error) {
	f := Frame{ContentType: contentType}
	if headerLength == "" {
		return f, nil
	}
	n, err := strconv.ParseUint(headerLength, 10, 31)
	if err != nil || n == 0 {
		return f, fault.Internalf("the answer's header %s is %.40q, not the number of the bytes that are JSON", HeaderLength, headerLength)
	}
	f.HeaderBytes = int(n)
	return f, nil
}
