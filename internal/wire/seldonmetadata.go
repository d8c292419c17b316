package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/tensor"
)

// SeldonModelMetadata returns what Seldon's GET .../metadata/MODEL tells of a model: its inputs and outputs by name, datatype and shape,
// -1 where any size goes. Outputs on demand are left out: this protocol cannot ask for them.
func SeldonModelMetadata(name, version, platform string, signature tensor.Signature) []byte {
	return appendSeldonModel(nil, name, version, platform, signature)
}

func appendSeldonModel(dst []byte, name, version, platform string, signature tensor.Signature) []byte {
	dst = appendText(append(dst, `{"name":`...), name)
	dst = appendTexts(append(dst, `,"versions":`...), []string{version})
	dst = appendText(append(dst, `,"platform":`...), platform)
	dst = appendSpecs(append(dst, `,"inputs":`...), signature.Inputs, false)
	dst = appendSpecs(append(dst, `,"outputs":`...), answered(signature), false)
	return append(dst, '}')
}

// SeldonGraphMetadata returns what Seldon's GET .../metadata tells of a deployment: a graph of one node, which has the same name.
func SeldonGraphMetadata(name, version, platform string, signature tensor.Signature) []byte {
	dst := appendText([]byte(`{"name":`), name)
	dst = append(appendText(append(dst, `,"models":{`...), name), ':')
	dst = appendSeldonModel(dst, name, version, platform, signature)
	dst = appendSpecs(append(dst, `},"graphinputs":`...), signature.Inputs, false)
	dst = appendSpecs(append(dst, `,"graphoutputs":`...), answered(signature), false)
	return append(dst, '}')
}

// answered returns the outputs that are not on demand.
func answered(signature tensor.Signature) []tensor.Spec {
	outputs := make([]tensor.Spec, 0, len(signature.Outputs))
	for _, o := range signature.Outputs {
		if !o.OnDemand {
			outputs = append(outputs, o)
		}
	}
	return outputs
}

// SeldonModelMetadataProto returns the same as SeldonModelMetadata, as seldon.protos.SeldonModelMetadata.
func SeldonModelMetadataProto(name, version, platform string, signature tensor.Signature) []byte {
	return appendSeldonModelProto(nil, name, version, platform, signature)
}

func appendSeldonModelProto(dst []byte, name, version, platform string, signature tensor.Signature) []byte {
	dst = appendProtoText(dst, 1, name)
	dst = appendProtoItem(dst, 2, version)
	dst = appendProtoText(dst, 3, platform)
	dst = appendSeldonSpecs(dst, 4, signature.Inputs)
	return appendSeldonSpecs(dst, 5, answered(signature))
}

// SeldonGraphMetadataProto returns the same as SeldonGraphMetadata, as seldon.protos.SeldonGraphMetadata.
func SeldonGraphMetadataProto(name, version, platform string, signature tensor.Signature) []byte {
	dst := appendProtoText(nil, 1, name)
	dst, entry := openProto(dst, 2)
	dst = appendProtoText(dst, 1, name)
	dst, model := openProto(dst, 2)
	dst = appendSeldonModelProto(dst, name, version, platform, signature)
	dst = closeProto(closeProto(dst, model), entry)
	dst = appendSeldonSpecs(dst, 3, signature.Inputs)
	return appendSeldonSpecs(dst, 4, answered(signature))
}

// appendSeldonSpecs appends seldon.protos.SeldonMessageMetadata for each of specs.
func appendSeldonSpecs(dst []byte, number protowire.Number, specs []tensor.Spec) []byte {
	for _, p := range specs {
		var mark int
		dst, mark = openProto(dst, number)
		dst = appendProtoText(dst, 3, p.Name)
		dst = appendProtoText(dst, 4, p.DType.String())
		dst = closeProto(appendProtoShape(dst, 5, p.Shape), mark)
	}
	return dst
}
