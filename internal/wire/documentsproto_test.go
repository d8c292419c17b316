package wire

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func drawSpecs(t *rapid.T, label string) []tensor.Spec {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) tensor.Spec {
		return tensor.Spec{
			Name: rapid.String().Draw(t, "name"), DType: tensor.DType(rapid.IntRange(int(tensor.Bool), int(tensor.Bytes)).Draw(t, "dtype")),
			Shape: append([]int{rapid.SampledFrom([]int{-1, -1, 1}).Draw(t, "rows")}, rapid.SliceOfN(rapid.IntRange(-1, 500), 0, 3).Draw(t, "shape")...),
		}
	}), 0, 3).Draw(t, label)
}

func drawTiming(t *rapid.T) Timing {
	return Timing{rapid.Uint64().Draw(t, "count"), time.Duration(rapid.Int64Min(0).Draw(t, "ns"))}
}

func drawStatistics(t *rapid.T) ModelStatistics {
	m := ModelStatistics{
		Name: rapid.String().Draw(t, "name"), Version: rapid.String().Draw(t, "version"),
		InferenceCount: rapid.Uint64().Draw(t, "inferences"), ExecutionCount: rapid.Uint64().Draw(t, "executions"),
		Success: drawTiming(t), Fail: drawTiming(t), Queue: drawTiming(t), ComputeInput: drawTiming(t), ComputeInfer: drawTiming(t), ComputeOutput: drawTiming(t),
	}
	if rapid.Bool().Draw(t, "ever") {
		m.LastInference = time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "last"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "batches") {
		m.Batches = append(m.Batches, BatchStatistics{rapid.IntMin(0).Draw(t, "size"), drawTiming(t), drawTiming(t), drawTiming(t)})
	}
	return m
}

// TestDocumentsSayTheSameInBothForms reads the JSON of each document with the protobuf library, by the mapping that protobuf has for
// JSON, and finds the message that we write as protobuf.
func TestDocumentsSayTheSameInBothForms(t *testing.T) {
	files := protos(t)
	rapid.Check(t, func(t *rapid.T) {
		same := func(name protoreflect.FullName, text, message []byte) {
			t.Helper()
			fromText, fromBytes := newMessage(files, name), newMessage(files, name)
			if err := protojson.Unmarshal(text, fromText); err != nil {
				t.Fatalf("%s: %s: %v", name, text, err)
			}
			if err := proto.Unmarshal(message, fromBytes); err != nil {
				t.Fatalf("%s: %x: %v", name, message, err)
			}
			if !proto.Equal(fromText, fromBytes) {
				t.Fatalf("%s:\nJSON     %v\nprotobuf %v", name, fromText, fromBytes)
			}
		}
		yes := rapid.Bool().Draw(t, "yes")
		same("inference.ServerLiveResponse", AppendServerLive(nil, yes), AppendServerLiveProto(nil, yes))
		same("inference.ServerReadyResponse", AppendServerReady(nil, yes), AppendServerReadyProto(nil, yes))
		server := ServerInfo{rapid.String().Draw(t, "name"), rapid.String().Draw(t, "version"), rapid.SliceOf(rapid.String()).Draw(t, "extensions")}
		same("inference.ServerMetadataResponse", AppendServerMetadata(nil, server), AppendServerMetadataProto(nil, server))
		model := ModelInfo{
			Name: rapid.String().Draw(t, "name"), Versions: rapid.SliceOf(rapid.SampledFrom([]string{"1", "-2", "30", "300"})).Draw(t, "versions"),
			Platform: rapid.String().Draw(t, "platform"), Backend: rapid.String().Draw(t, "backend"), MaxRows: rapid.IntRange(0, 1<<30).Draw(t, "rows"),
			Signature: tensor.Signature{Inputs: drawSpecs(t, "inputs"), Outputs: drawSpecs(t, "outputs")},
		}
		if rapid.Bool().Draw(t, "word") {
			model.Versions = append(model.Versions, rapid.String().Draw(t, "version"))
		}
		same("inference.ModelMetadataResponse", AppendModelMetadata(nil, model), AppendModelMetadataProto(nil, model))
		same("inference.ModelConfigResponse", append(AppendModelConfig([]byte(`{"config":`), model), '}'), AppendModelConfigProto(nil, model))
		var entries []RepositoryEntry
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			entries = append(entries, RepositoryEntry{rapid.String().Draw(t, "name"), "2", StateLoading, rapid.String().Draw(t, "reason")})
		}
		same("inference.RepositoryIndexResponse", append(AppendRepositoryIndex([]byte(`{"models":`), entries), '}'), AppendRepositoryIndexProto(nil, entries))
		list := rapid.SliceOfN(rapid.Custom(drawStatistics), 0, 3).Draw(t, "statistics")
		same("inference.ModelStatisticsResponse", AppendModelStatistics(nil, list), AppendModelStatisticsProto(nil, list))
	})
	for _, yes := range []bool{true, false} { // whose JSON names the model besides
		m := newMessage(files, "inference.ModelReadyResponse")
		if err := proto.Unmarshal(AppendModelReadyProto(nil, yes), m); err != nil || field(m, "ready").Bool() != yes {
			t.Errorf("ready %v: %v, %v", yes, m, err)
		}
	}
}

func TestStreamAnswers(t *testing.T) {
	files := protos(t)
	answer := messageOf(t, files, "inference.ModelInferResponse", `model_name: "m"`)
	for want, got := range map[string][]byte{
		`infer_response {model_name: "m"}`:         AppendStreamAnswerProto(nil, answer, nil),
		`error_message: "no such input (send it)"`: AppendStreamAnswerProto(nil, nil, fault.Invalidf("no such input").WithHint("send it")),
		`error_message: "odd \ufffd"`:              AppendStreamAnswerProto(nil, nil, errors.New("odd \xff")),
		`infer_response {}`:                        AppendStreamAnswerProto(nil, nil, nil),
	} {
		if wanted := messageOf(t, files, "inference.ModelStreamInferResponse", want); string(got) != string(wanted) {
			t.Errorf("got %x, want %x", got, wanted)
		}
	}
}

func TestRequestsForDocumentsAsProtobuf(t *testing.T) {
	files := protos(t)
	for _, name := range []protoreflect.FullName{"ModelReadyRequest", "ModelMetadataRequest", "ModelConfigRequest", "ModelStatisticsRequest"} {
		body := messageOf(t, files, "inference."+name, `name: "m" version: "3"`)
		if got, err := ReadModelCallProto(body); err != nil || got != (ModelCall{"m", "3"}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := ReadModelCallProto(nil); err != nil || got != (ModelCall{}) {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	body := messageOf(t, files, "inference.RepositoryIndexRequest", `repository_name: "r" ready: true`)
	if got, err := ReadRepositoryQueryProto(body); err != nil || got != (RepositoryQuery{"r", true}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []protoreflect.FullName{"RepositoryModelLoadRequest", "RepositoryModelUnloadRequest"} {
		for text, want := range map[string]RepositoryCall{
			``:                                     {},
			`repository_name: "r" model_name: "m"`: {Repository: "r", Model: "m"},
			`model_name: "m" parameters {key: "config" value {string_param: "{}"}}`:                                     {Model: "m", Config: "{}"},
			`parameters {key: "unload_dependents" value {bool_param: true}}`:                                            {UnloadDependents: true},
			`parameters {key: "file:1/m" value {bytes_param: "abc"}} parameters {key: "x" value {int64_param: 4}}`:      {Files: []string{"1/m"}},
			`parameters {key: "x" value {}} parameters {key: "config" value {}} parameters {value {string_param: "y"}}`: {},
		} {
			got, err := ReadRepositoryCallProto(messageOf(t, files, "inference."+name, text))
			if err != nil || !cmp.Equal(got, want) {
				t.Errorf("%s: %v, %v", text, cmp.Diff(got, want), err)
			}
		}
	}
	for _, body := range []string{"\xff", "\x0a\x01\xff", "\x0a\x09"} {
		_, call := ReadModelCallProto([]byte(body))
		_, query := ReadRepositoryQueryProto([]byte(body))
		_, load := ReadRepositoryCallProto([]byte(body))
		for _, err := range []error{call, query, load} {
			if err == nil || fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q: %v", body, err)
			}
		}
	}
}
