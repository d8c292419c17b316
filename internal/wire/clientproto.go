package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// AskModelInfer appends inference.ModelInferRequest, with all tensors in raw_input_contents, as Triton's client sends them.
func AskModelInfer(dst []byte, model string, q *Question) ([]byte, error) {
	const modelName, id, inputs, outputs, rawContents = 1, 3, 5, 6, 7
	const name, datatype, shape = 1, 2, 3 // of InferInputTensor, and of InferRequestedOutputTensor the first
	if err := q.sound(); err != nil {
		return dst, err
	}
	dst = appendProtoText(appendProtoText(dst, modelName, model), id, q.Request.ID)
	list := make([]tensor.Tensor, len(q.Request.Inputs))
	for i := range list {
		var err error
		if list[i], err = q.input(i); err != nil {
			return dst, err
		}
		var mark int
		dst, mark = openProto(dst, inputs)
		dst = appendProtoText(dst, name, list[i].Name)
		dst = appendProtoText(dst, datatype, list[i].DType().String())
		dst = closeProto(appendProtoShape(dst, shape, list[i].Shape), mark)
	}
	for _, output := range q.Request.Outputs {
		var mark int
		dst, mark = openProto(dst, outputs)
		dst = closeProto(appendProtoText(dst, name, output), mark)
	}
	for i := range list {
		var mark int
		dst, mark = openProto(dst, rawContents)
		dst = closeProto(appendBinary(dst, &list[i]), mark)
	}
	return dst, nil
}

// AskSeldonMessage appends seldon.protos.SeldonMessage with the only input, of numbers, as a tensor, whose values are doubles.
func AskSeldonMessage(dst []byte, q *Question) ([]byte, error) {
	const meta, data = 2, 3
	const puid = 1                 // of Meta
	const names, tensorForm = 1, 2 // of DefaultData
	const shape, values = 1, 2     // of Tensor
	inputs, err := q.inputs(false)
	if err != nil {
		return dst, err
	}
	if len(inputs) != 1 || !inputs[0].DType().Numeric() {
		return dst, fault.Invalidf("a tensor of Seldon's is one input of numbers")
	}
	doubles, err := asType(&inputs[0].Tensor, tensor.Float64)
	if err != nil {
		return dst, err
	}
	if q.Request.ID != "" {
		var mark int
		dst, mark = openProto(dst, meta)
		dst = closeProto(appendProtoText(dst, puid, q.Request.ID), mark)
	}
	dst, whole := openProto(dst, data)
	for _, column := range q.columns(0) {
		dst = appendProtoItem(dst, names, column)
	}
	dst, form := openProto(dst, tensorForm)
	dst = appendProtoShape(dst, shape, doubles.Shape)
	dst, content := openProto(dst, values)
	dst = closeProto(appendBinary(dst, &doubles), content)
	return closeProto(closeProto(dst, form), whole), nil
}

// ReadModelMetadataProto reads inference.ModelMetadataResponse: what ReadModelMetadata reads.
func ReadModelMetadataProto(body []byte) (ModelInfo, error) {
	var m ModelInfo
	f := protoFields{message: "ModelMetadataResponse", left: body}
	for tag := f.next(); tag != 0; tag = f.next() {
		switch tag {
		case 1<<3 | delimited:
			m.Name = f.text()
		case 2<<3 | delimited:
			if len(m.Versions) < maxOpenColumns {
				m.Versions = append(m.Versions, f.text())
			}
		case 3<<3 | delimited:
			m.Platform = f.text()
		case 4<<3 | delimited:
			m.Signature.Inputs = f.spec(m.Signature.Inputs, true)
		case 5<<3 | delimited:
			m.Signature.Outputs = f.spec(m.Signature.Outputs, false)
		}
	}
	if f.err != nil {
		return ModelInfo{}, fault.Internalf("the model's metadata cannot be read: %w", f.err)
	}
	return m, nil
}

// spec reads the TensorMetadata that the present field holds, behind those of list.
func (f *protoFields) spec(list []tensor.Spec, input bool) []tensor.Spec {
	var p tensor.Spec
	datatype := ""
	f.within(func(tag uint64, inner *protoFields) {
		switch tag {
		case 1<<3 | delimited:
			p.Name = inner.text()
		case 2<<3 | delimited:
			datatype = inner.text()
		case 3<<3 | varint: // not packed, which is allowed too
			p.Shape = inner.dimension(p.Shape, inner.number)
		case 3<<3 | delimited:
			for left := inner.bytes; len(left) > 0 && inner.err == nil; {
				d, n := protowire.ConsumeVarint(left)
				if n < 0 {
					inner.broken(n)
					return
				}
				p.Shape, left = inner.dimension(p.Shape, d), left[n:]
			}
		}
	})
	if f.err != nil {
		return nil
	}
	err := described(&p, datatype, input)
	switch {
	case err == nil && len(list) == maxSpecs:
		err = fault.Invalidf("more than %d inputs or outputs", maxSpecs)
	case err == nil && slices.ContainsFunc(list, func(before tensor.Spec) bool { return before.Name == p.Name }):
		err = fault.Invalidf("%.60q comes twice", p.Name)
	}
	if err != nil {
		f.refuse(err)
		return nil
	}
	return append(list, p)
}

// dimension reads one size of a shape.
func (f *protoFields) dimension(shape []int, d uint64) []int {
	if len(shape) == maxRank {
		f.refuse(fault.Invalidf("a shape of more than %d dimensions", maxRank))
		return shape
	}
	return append(shape, int(int64(d)))
}
