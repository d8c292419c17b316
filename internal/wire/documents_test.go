package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestDocumentsAsJSON(t *testing.T) {
	second := func(n uint64) Timing { return Timing{n, time.Duration(n) * time.Second} }
	statistics := ModelStatistics{
		Name: "m", Version: "3", LastInference: time.UnixMilli(1700000000123), InferenceCount: 7, ExecutionCount: 6,
		Success: second(1), Fail: second(2), Queue: second(3), ComputeInput: second(4), ComputeInfer: second(5), ComputeOutput: second(6),
		Batches: []BatchStatistics{{Size: 8, ComputeInput: second(1), ComputeInfer: second(2), ComputeOutput: second(3)}},
	}
	fixed := tensor.Signature{Inputs: []tensor.Spec{{Name: "i", DType: tensor.Int32, Shape: []int{1, 16}}}, Outputs: []tensor.Spec{{Name: "o", DType: tensor.Bytes, Shape: []int{-1}}}}
	for got, want := range map[string]string{
		string(AppendServerLive(nil, true)):              `{"live":true}`,
		string(AppendServerReady(nil, false)):            `{"ready":false}`,
		string(AppendModelReady(nil, "a\tb", true)):      `{"name":"a\tb","ready":true}`,
		string(AppendModelList(nil, nil)):                `{"models":[]}`,
		string(AppendModelList(nil, []string{"a", "b"})): `{"models":["a","b"]}`,
		string(AppendServerMetadata(nil, ServerInfo{})):  `{"name":"","version":"","extensions":[]}`,
		string(AppendRepositoryIndex(nil, nil)):          `[]`,
		string(AppendModelStatistics(nil, nil)):          `{"model_stats":[]}`,
		string(AppendModelMetadata(nil, ModelInfo{})):    `{"name":"","versions":[],"platform":"","inputs":[],"outputs":[]}`,
		string(AppendServerMetadata(nil, ServerInfo{"serin", "v1", []string{ExtensionBinary, ExtensionStatistics}})): `{"name":"serin","version":"v1","extensions":["binary_tensor_data","statistics"]}`,
		string(AppendModelMetadata(nil, ModelInfo{Name: "m", Platform: "p", Signature: score})): `{"name":"m","versions":[],"platform":"p","inputs":[{"name":"input","datatype":"FP32","shape":[-1,3],` +
			`"parameters":{"columns":["a","b","c"]}}],` +
			`"outputs":[{"name":"prediction","datatype":"FP32","shape":[-1]},{"name":"margin","datatype":"FP64","shape":[-1],"parameters":{"on_demand":true}}]}`,
		string(AppendModelConfig(nil, ModelInfo{Name: "m", Versions: []string{"3", "4"}, Platform: "p", Backend: "b", MaxRows: 9, Signature: score})): `{"name":"m","platform":"p","backend":"b",` +
			`"version_policy":{"specific":{"versions":[3,4]}},"max_batch_size":9,"input":[{"name":"input","data_type":"TYPE_FP32","dims":[3]}],` +
			`"output":[{"name":"prediction","data_type":"TYPE_FP32","dims":[]},{"name":"margin","data_type":"TYPE_FP64","dims":[]}]}`,
		string(AppendModelConfig(nil, ModelInfo{Versions: []string{"a"}, Signature: fixed})): `{"name":"","platform":"","backend":"","version_policy":{"latest":{"num_versions":1}},"max_batch_size":0,` +
			`"input":[{"name":"i","data_type":"TYPE_INT32","dims":[1,16]}],"output":[{"name":"o","data_type":"TYPE_STRING","dims":[-1]}]}`,
		string(AppendRepositoryIndex(nil, []RepositoryEntry{{"a", "1", StateReady, ""}, {"a", "2", StateUnavailable, "golden rows"}})): `[{"name":"a","version":"1","state":"READY","reason":""},` +
			`{"name":"a","version":"2","state":"UNAVAILABLE","reason":"golden rows"}]`,
		string(AppendModelStatistics(nil, []ModelStatistics{statistics})): `{"model_stats":[{"name":"m","version":"3","last_inference":1700000000123,"inference_count":7,"execution_count":6,` +
			`"inference_stats":{"success":{"count":1,"ns":1000000000},"fail":{"count":2,"ns":2000000000},"queue":{"count":3,"ns":3000000000},` +
			`"compute_input":{"count":4,"ns":4000000000},"compute_infer":{"count":5,"ns":5000000000},"compute_output":{"count":6,"ns":6000000000},` +
			`"cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},` +
			`"batch_stats":[{"batch_size":8,"compute_input":{"count":1,"ns":1000000000},"compute_infer":{"count":2,"ns":2000000000},"compute_output":{"count":3,"ns":3000000000}}]}]}`,
	} {
		if got != want || !json.Valid([]byte(got)) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestRequestsForDocumentsAsJSON(t *testing.T) {
	for body, want := range map[string]RepositoryQuery{
		"": {}, "\n\t": {}, "{}": {}, `{"ready":true,"x":[1]}`: {Ready: true}, `{"ready":null}`: {},
	} {
		if got, err := ReadRepositoryQuery([]byte(body)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
	for body, want := range map[string]RepositoryCall{
		"": {}, "{}": {}, `{"parameters":null}`: {}, `{"parameters":{}}`: {},
		`{"x":1,"parameters":{"config":"{}","file:1/m.onnx":"AA==","file:2/m.onnx":"","unload_dependents":true,"y":{}}}`: {
			Config: "{}", Files: []string{"1/m.onnx", "2/m.onnx"}, UnloadDependents: true,
		},
	} {
		got, err := ReadRepositoryCall([]byte(body))
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %v, %v", body, cmp.Diff(got, want), err)
		}
	}
	for _, body := range []string{"[", "1", "{} {}", `{"ready":1,"parameters":1}`, `{"ready":true,"ready":true,"parameters":{"config":1}}`, `{"ready":true`} {
		if _, err := ReadRepositoryQuery([]byte(body)); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q as a query: %v", body, err)
		}
		if _, err := ReadRepositoryCall([]byte(body)); err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q as a call: %v", body, err)
		}
	}
}
