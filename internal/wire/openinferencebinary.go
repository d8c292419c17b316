package wire

import (
	"bytes"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// HeaderLength is the header, of a request and of an answer, that tells how many bytes of the body are JSON where binary data follows.
const HeaderLength = "Inference-Header-Content-Length"

// octetStream is the content type of bodies that hold binary data.
const octetStream = "application/octet-stream"

// DecodeCall reads an inference request: all of its body, or what Inference-Header-Content-Length says, is JSON, and binary data follows.
//
// Where the header is 0, or the content type is application/octet-stream, no header is there and the body does not look like JSON, all
// of the body is one row for a model of one input: a value of each element, or the bytes of the only text. The outputs are then binary.
func (OpenInference) DecodeCall(body []byte, call Call, signature tensor.Signature, l Limits) (Exchange, error) {
	c := &openInferenceCall{}
	c.signature = signature
	c.begin(l)
	text, alone, err := splitBody(body, call)
	if err != nil {
		return nil, err
	}
	c.split = len(text) < len(body) || alone
	if alone {
		err = c.decodeRow(body)
	} else {
		c.raw = body[len(text):]
		err = c.decode(text)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// splitBody returns the part of a body that is JSON, or tells that the body is binary data alone.
func splitBody(body []byte, call Call) (text []byte, alone bool, err error) {
	length, times := call.Lookup(Header, HeaderLength)
	if times == 0 {
		media, _ := call.Lookup(Header, "Content-Type")
		if media == "" || media == "application/json" { // as nearly all say it
			return body, false, nil
		}
		media = mediaType(media)
		return body, media == octetStream && !looksLikeObject(body), jsonMedia(media)
	}
	n, err := strconv.ParseUint(length, 10, 31)
	switch {
	case times > 1:
		return nil, false, fault.Invalidf("the header %s is given %d times", HeaderLength, times)
	case err != nil:
		return nil, false, fault.Invalidf("the header %s is %.40q, not the number of the bytes that are JSON", HeaderLength, length)
	case n > uint64(len(body)):
		return nil, false, fault.Invalidf("the header %s says that %d bytes are JSON, but the body has %d", HeaderLength, n, len(body))
	}
	return body[:n], n == 0, nil
}

// looksLikeObject tells whether a body can be a JSON object. Numbers that look like one, at their first bytes and at their last, are not
// to be expected; a header of 0 leaves no doubt.
func looksLikeObject(body []byte) bool {
	body = bytes.TrimSpace(body)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return false
	}
	inner := bytes.TrimSpace(body[1:])
	return inner[0] == '"' || inner[0] == '}'
}

// binaryValues reads an input's binary data, the next of the body.
func (c *openInferenceCall) binaryValues(in *rawInput) {
	n, err := c.admit(in.shape)
	switch {
	case err != nil:
	case in.binary > len(c.raw) && !c.split:
		err = fault.Invalidf("binary_data_size is %d, but all of the body is JSON", in.binary).
			WithHint("send the header %s with the number of the bytes that are JSON, and binary data after them", HeaderLength)
	case in.binary > len(c.raw):
		err = fault.Invalidf("binary_data_size is %d, but %d bytes are left of the body", in.binary, len(c.raw))
	default:
		in.data, err = readBinary(in.dtype, c.raw[:in.binary], n)
		c.raw = c.raw[in.binary:]
	}
	if err != nil {
		c.fail(fault.Invalidf("%s: %w", c.what(in), err))
	}
}

// decodeRow reads a body that is one row of the model's only input, and nothing else.
func (c *openInferenceCall) decodeRow(body []byte) error {
	if len(c.signature.Inputs) != 1 {
		return fault.Invalidf("a body of binary data alone is one row for a model of one input; this model takes %s", inputNames(c.signature)).
			WithHint("send JSON that describes the inputs, and their binary data after it")
	}
	spec := &c.signature.Inputs[0]
	what := inputWhat(spec.Name, 0)
	shape, known, open := append([]int(nil), spec.Shape...), 1, -1
	for i, d := range shape {
		switch {
		case d != anySize:
			known *= d
		case i == 0 || spec.DType == tensor.Bytes:
			shape[i] = 1
		case open >= 0:
			return fault.Invalidf("%s has shape %v: the bytes alone do not tell how it is meant", what, spec.Shape).
				WithHint("send JSON that describes the input, and its binary data after it")
		default:
			open = i
		}
	}
	var data any
	var err error
	if spec.DType == tensor.Bytes {
		if known != 1 {
			return fault.Invalidf("%s has shape %v: a body of binary data alone is one text", what, spec.Shape)
		}
		data = []string{string(body)}
	} else {
		size := binarySize(spec.DType)
		if open >= 0 && known > 0 {
			shape[open] = len(body) / size / known
		}
		var n int
		if n, err = c.admit(shape); err == nil {
			data, err = readBinary(spec.DType, body, n)
		}
	}
	if err != nil {
		return fault.Invalidf("%s: %w", what, err)
	}
	c.binary = true
	c.request.Inputs = append(c.request.Inputs, tensor.Tensor{Name: spec.Name, Shape: shape, Data: data})
	return nil
}

// Frame describes the last answer: JSON, or JSON with binary data behind it.
func (c *openInferenceCall) Frame() Frame { return c.frame }
