package wire

import (
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/tensor"
)

// Answer appends an inference.ModelInferResponse. The id is the request's own.
func (c *openInferenceProtoCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	dst = appendProtoText(dst, 1, m.Service)
	dst = appendProtoText(dst, 2, m.Version)
	dst = appendProtoText(dst, 3, c.id)
	var most [4]*tensor.Tensor
	outputs := most[:0]
	size := 0
	for i := range resp.Outputs {
		o, raw, err := c.given(i, resp, c.signature)
		if err != nil {
			return dst, err
		}
		outputs = append(outputs, o)
		size += binaryLen(o)
		var mark int
		dst, mark = openProto(dst, 5)
		dst = appendProtoText(dst, 1, o.Name)
		dst = appendProtoText(dst, 2, o.DType().String())
		dst = appendProtoShape(dst, 3, o.Shape)
		if !raw {
			dst = appendContents(dst, 5, o)
		}
		dst = closeProto(dst, mark)
	}
	dst = slices.Grow(dst, size+len(outputs)*(1+protowire.SizeVarint(math.MaxInt32))) // and a tag and a length for each
	for _, o := range outputs {
		dst = protowire.AppendTag(dst, 6, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(binaryLen(o)))
		dst = appendBinary(dst, o)
	}
	return dst, nil
}

// appendContents appends the elements of t, which has passed its Check, as inference.InferTensorContents in the given field.
func appendContents(dst []byte, number protowire.Number, t *tensor.Tensor) []byte {
	dst, mark := openProto(dst, number)
	list := contentsField(t.DType())
	if texts, ok := t.Data.([]string); ok {
		for _, text := range texts {
			dst = append(protowire.AppendVarint(protowire.AppendTag(dst, list, protowire.BytesType), uint64(len(text))), text...)
		}
		return closeProto(dst, mark)
	}
	if t.Len() == 0 {
		return closeProto(dst, mark)
	}
	dst, packed := openProto(dst, list)
	dst = appendPacked(dst, t)
	return closeProto(closeProto(dst, packed), mark)
}
