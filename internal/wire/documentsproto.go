package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/serin-ml/serin/internal/tensor"
)

// AppendServerLiveProto appends inference.ServerLiveResponse.
func AppendServerLiveProto(dst []byte, live bool) []byte { return appendProtoNumber(dst, 1, one(live)) }

// AppendServerReadyProto appends inference.ServerReadyResponse.
func AppendServerReadyProto(dst []byte, ready bool) []byte {
	return appendProtoNumber(dst, 1, one(ready))
}

// AppendModelReadyProto appends inference.ModelReadyResponse.
func AppendModelReadyProto(dst []byte, ready bool) []byte {
	return appendProtoNumber(dst, 1, one(ready))
}

func one(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// AppendServerMetadataProto appends inference.ServerMetadataResponse.
func AppendServerMetadataProto(dst []byte, s ServerInfo) []byte {
	dst = appendProtoText(dst, 1, s.Name)
	dst = appendProtoText(dst, 2, s.Version)
	for _, extension := range s.Extensions {
		dst = appendProtoItem(dst, 3, extension)
	}
	return dst
}

// AppendModelMetadataProto appends inference.ModelMetadataResponse: what AppendModelMetadata tells.
func AppendModelMetadataProto(dst []byte, m ModelInfo) []byte {
	dst = appendProtoText(dst, 1, m.Name)
	for _, version := range m.Versions {
		dst = appendProtoItem(dst, 2, version)
	}
	dst = appendProtoText(dst, 3, m.Platform)
	dst = appendSpecsProto(dst, 4, m.Signature.Inputs)
	return appendSpecsProto(dst, 5, m.Signature.Outputs)
}

func appendSpecsProto(dst []byte, number protowire.Number, specs []tensor.Spec) []byte {
	for _, p := range specs {
		var mark int
		dst, mark = openProto(dst, number)
		dst = appendProtoText(dst, 1, p.Name)
		dst = appendProtoText(dst, 2, p.DType.String())
		dst = appendProtoShape(dst, 3, p.Shape)
		dst = closeProto(dst, mark)
	}
	return dst
}

// AppendModelConfigProto appends inference.ModelConfigResponse: what AppendModelConfig tells.
func AppendModelConfigProto(dst []byte, m ModelInfo) []byte {
	dst, config := openProto(dst, 1)
	dst = appendProtoText(dst, 1, m.Name)
	dst = appendProtoText(dst, 2, m.Platform)
	dst, policy := openProto(dst, 3)
	if numbers := m.versionNumbers(); numbers != nil {
		var specific int
		dst, specific = openProto(dst, 3)
		dst = closeProto(appendProtoShape(dst, 1, numbers), specific)
	} else {
		var latest int
		dst, latest = openProto(dst, 1)
		dst = closeProto(appendProtoNumber(dst, 1, 1), latest)
	}
	dst = closeProto(dst, policy)
	batch := m.maxBatch()
	dst = appendProtoNumber(dst, 4, uint64(batch))
	dst = appendConfigTensorsProto(dst, 5, 4, m.Signature.Inputs, batch > 0)
	dst = appendConfigTensorsProto(dst, 6, 3, m.Signature.Outputs, batch > 0)
	dst = appendProtoText(dst, 17, m.Backend)
	return closeProto(dst, config)
}

func appendConfigTensorsProto(dst []byte, number, dims protowire.Number, specs []tensor.Spec, batched bool) []byte {
	for _, p := range specs {
		var mark int
		dst, mark = openProto(dst, number)
		dst = appendProtoText(dst, 1, p.Name)
		dst = appendProtoNumber(dst, 2, uint64(slices.Index(configTypes[:], p.DType)+1))
		dst = appendProtoShape(dst, dims, configDims(p.Shape, batched))
		dst = closeProto(dst, mark)
	}
	return dst
}

// configTypes are our element types in the order of the enumeration inference.DataType, from 1 on; 0 is in the place of FP16.
var configTypes = [...]tensor.DType{
	tensor.Bool, tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, 0,
	tensor.Float32, tensor.Float64, tensor.Bytes,
}

// AppendRepositoryIndexProto appends inference.RepositoryIndexResponse.
func AppendRepositoryIndexProto(dst []byte, entries []RepositoryEntry) []byte {
	for _, e := range entries {
		var mark int
		dst, mark = openProto(dst, 1)
		dst = appendProtoText(dst, 1, e.Name)
		dst = appendProtoText(dst, 2, e.Version)
		dst = appendProtoText(dst, 3, e.State)
		dst = appendProtoText(dst, 4, e.Reason)
		dst = closeProto(dst, mark)
	}
	return dst
}

// AppendModelStatisticsProto appends inference.ModelStatisticsResponse.
func AppendModelStatisticsProto(dst []byte, list []ModelStatistics) []byte {
	for i := range list {
		m := &list[i]
		var model, timings, batch int
		dst, model = openProto(dst, 1)
		dst = appendProtoText(dst, 1, m.Name)
		dst = appendProtoText(dst, 2, m.Version)
		dst = appendProtoNumber(dst, 3, m.lastInference())
		dst = appendProtoNumber(dst, 4, m.InferenceCount)
		dst = appendProtoNumber(dst, 5, m.ExecutionCount)
		dst, timings = openProto(dst, 6)
		for j, t := range m.timings() {
			dst = appendTimingProto(dst, protowire.Number(j+1), t.Timing)
		}
		dst = closeProto(dst, timings)
		for _, b := range m.Batches {
			dst, batch = openProto(dst, 7)
			dst = appendProtoNumber(dst, 1, uint64(max(b.Size, 0)))
			dst = appendTimingProto(dst, 2, b.ComputeInput)
			dst = appendTimingProto(dst, 3, b.ComputeInfer)
			dst = appendTimingProto(dst, 4, b.ComputeOutput)
			dst = closeProto(dst, batch)
		}
		dst = closeProto(dst, model)
	}
	return dst
}

func appendTimingProto(dst []byte, number protowire.Number, t Timing) []byte {
	dst, mark := openProto(dst, number)
	dst = appendProtoNumber(dst, 1, t.Count)
	dst = appendProtoNumber(dst, 2, t.nanoseconds())
	return closeProto(dst, mark)
}

// AppendStreamAnswerProto appends inference.ModelStreamInferResponse: an answer, the bytes of an inference.ModelInferResponse, or what
// went wrong instead.
func AppendStreamAnswerProto(dst []byte, answer []byte, err error) []byte {
	if err != nil {
		return appendProtoText(dst, 1, explain(err))
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, 2, protowire.BytesType), answer)
}
