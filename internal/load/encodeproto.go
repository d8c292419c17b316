package load

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/tensor"
)

// v2Proto writes inference.ModelInferRequest with the data in raw_input_contents, as Triton's client does.
func v2Proto(service string, x *tensor.Tensor) []byte {
	const (
		modelName, inputs, rawContents = 1, 5, 7
		name, datatype, shape          = 1, 2, 3 // of InferInputTensor
	)
	in := appendField(nil, name, []byte(x.Name))
	in = appendField(in, datatype, []byte(x.DType().String()))
	in = appendField(in, shape, appendVarints(nil, x.Shape))
	dst := appendField(nil, modelName, []byte(service))
	dst = appendField(dst, inputs, in)
	return appendField(dst, rawContents, appendRaw(nil, x))
}

// seldonProto writes seldon.protos.SeldonMessage with the data as a tensor, whose values are doubles.
func seldonProto(x *tensor.Tensor, columns []string) ([]byte, error) {
	const (
		messageData          = 3
		names, tensorOfData  = 1, 2 // of DefaultData
		tensorShape, tValues = 1, 2 // of Tensor
	)
	doubles, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	var values, data []byte
	for _, v := range doubles {
		values = binary.LittleEndian.AppendUint64(values, math.Float64bits(v))
	}
	for _, column := range columns {
		data = appendField(data, names, []byte(column))
	}
	t := appendField(nil, tensorShape, appendVarints(nil, x.Shape))
	data = appendField(data, tensorOfData, appendField(t, tValues, values))
	return appendField(nil, messageData, data), nil
}

func appendField(dst []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), content)
}

func appendVarints(dst []byte, values []int) []byte {
	for _, v := range values {
		dst = protowire.AppendVarint(dst, uint64(v))
	}
	return dst
}

// appendRaw writes elements as Open Inference's binary tensors have them: little-endian, one after the other, a byte for a BOOL.
func appendRaw(dst []byte, x *tensor.Tensor) []byte {
	switch data := x.Data.(type) {
	case []bool:
		for _, v := range data {
			if v {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		}
	default:
		dst, _ = binary.Append(dst, binary.LittleEndian, data) // numbers of a fixed size
	}
	return dst
}
