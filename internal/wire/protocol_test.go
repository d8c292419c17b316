package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// TestBodiesOfOtherServersTests reads the request bodies of KServe's and MLServer's own tests as Open Inference, and refuses those of
// other protocols for what they lack.
func TestBodiesOfOtherServersTests(t *testing.T) {
	want := map[string]string{ // name, datatype and shape of each input, or a part of the error
		"kserve/autogluon_titanic_input.json":               "the request has no inputs",
		"kserve/autogluon_titanic_input_v2.json":            titanic,
		"kserve/autogluon_titanic_input_v2_all_binary.json": titanic,
		"kserve/autogluon_titanic_input_v2_binary.json":     titanic + " -> predictions",
		"kserve/bert_sequence_classification_v2.json":       "input-0 BYTES []",
		"kserve/income_input.json":                          "the request has no inputs",
		"kserve/iris_batch_input.json":                      "where an object should be",
		"kserve/iris_input.json":                            "the request has no inputs",
		"kserve/iris_input_v2.json":                         "input-0 FP32 [2,4]",
		"kserve/iris_input_v2_all_binary.json":              "input-0 FP32 [2,4]",
		"kserve/iris_input_v2_binary.json":                  "input-0 FP32 [2,4] -> output-0",
		"kserve/iris_input_v2_grpc.json":                    `input "input-0" has no data`,
		"kserve/iris_input_v3.json":                         "input 0 has no name",
		"kserve/iris_input_v4.json":                         "where an object should be",
		"kserve/iris_input_v5.json":                         "where an object should be",
		"kserve/mlflow_input_v2.json": "fixed acidity FP32 [1]; volatile acidity FP32 [1]; citric acid FP32 [1]; residual sugar FP32 [1]; chlorides FP32 [1]; " +
			"free sulfur dioxide FP32 [1]; total sulfur dioxide FP32 [1]; density FP32 [1]; pH FP32 [1]; sulphates FP32 [1]; alcohol FP32 [1]",
		"kserve/sklearn_mixed.json": "the request has no inputs",
		"kserve/sklearn_mixed_v2.json": "MSZoning BYTES [1]; LotArea INT32 [1]; LotShape BYTES [1]; Utilities BYTES [1]; YrSold INT32 [1]; Neighborhood BYTES [1]; " + //nolint:misspell // the name is theirs
			"OverallQual INT32 [1]; YearBuilt INT32 [1]; SaleType BYTES [1]; GarageArea INT32 [1]",
		"kserve/text_embedding_input_v2.json":              "input-0 BYTES []",
		"mlserver/bench_iris_rest.json":                    "input-0 FP32 [1,4]",
		"mlserver/bench_sum_rest.json":                     "input-0 FP32 [1024]",
		"mlserver/generate-request.json":                   "prompt BYTES [1] -> output",
		"mlserver/inference-request-invalid-datatype.json": `input "input-0": unknown datatype "INT322"`,
		"mlserver/inference-request-with-output.json":      "input-0 INT32 [1,3] -> requested-output-0",
		"mlserver/inference-request.json":                  "input-0 INT32 [1,3]",
		"mlserver/inference-response.json":                 "the request has no inputs",
	}
	for path, want := range want {
		body, err := os.ReadFile(testenv.Data(t, "protocol", path))
		if err != nil {
			t.Fatal(err)
		}
		x, err := OpenInference{}.Decode(body, tensor.Signature{}, Limits{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", path, err, want)
			}
			continue
		}
		wellFormed(t, x, len(body))
		var parts []string
		for _, in := range x.Request().Inputs {
			parts = append(parts, in.Name+" "+in.DType().String()+" "+string(appendShape(nil, in.Shape)))
		}
		got := strings.Join(parts, "; ")
		if outputs := x.Request().Outputs; len(outputs) > 0 {
			got += " -> " + strings.Join(outputs, "; ")
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	files, _ := filepath.Glob(filepath.Join(testenv.Data(t, "protocol"), "*", "*.json"))
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		if _, ok := want[name]; !ok && !strings.Contains(name, "settings") && !strings.Contains(name, "metadata") {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// TestProtobufBodiesOfOtherServersTests reads the gRPC requests of KServe's and MLServer's own tests, which they keep as JSON.
func TestProtobufBodiesOfOtherServersTests(t *testing.T) {
	files := protos(t)
	for path, want := range map[string]string{
		"kserve/iris_input_v2_grpc.json":                          "input-0 FP32 [2,4] []float32{6.8, 2.8, 4.8, 1.4, 6, 3.4, 4.5, 1.6}",
		"mlserver/grpc/model-generate-request.json":               `prompt BYTES [1,1] []string{"What is the capital of France?"}`,
		"mlserver/grpc/model-infer-request.json":                  "input-0 INT32 [1,3] []int32{1, 2, 3}",
		"mlserver/grpc/model-infer-request-invalid-datatype.json": `input "input-0": unknown datatype "INT322"`,
	} {
		text, err := os.ReadFile(testenv.Data(t, "protocol", path))
		if err != nil {
			t.Fatal(err)
		}
		m := newMessage(files, "inference.ModelInferRequest")
		if err := protojson.Unmarshal(text, m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		x, err := OpenInferenceProto{}.Decode(body, tensor.Signature{}, Limits{})
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", path, err, want)
			}
			continue
		}
		in := x.Request().Inputs[0]
		if got := fmt.Sprintf("%s %s %s %#v", in.Name, in.DType(), appendShape(nil, in.Shape), in.Data); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

const titanic = "PassengerId INT64 [2]; Pclass INT64 [2]; Name BYTES [2]; Sex BYTES [2]; Age FP64 [2]; SibSp INT64 [2]; Parch INT64 [2]; " +
	"Ticket BYTES [2]; Fare FP64 [2]; Cabin BYTES [2]; Embarked BYTES [2]"

// schemas compiles the protocol's own schemas.
func schemas(t *testing.T) func(name string) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(testenv.Data(t, "protocol", "oip", "open_inference_rest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(tree); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4) // what OpenAPI 3.0 builds on
	if err := c.AddResource("oip.json", document); err != nil {
		t.Fatal(err)
	}
	return func(name string) *jsonschema.Schema {
		s, err := c.Compile("oip.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestAnswersAndDocumentsFitTheSchema(t *testing.T) {
	schema := schemas(t)
	fits := func(name string, body []byte) {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if err := schema(name).Validate(value); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := schema("inference_response").Validate(map[string]any{"model_name": "x"}); err == nil {
		t.Fatal("the schema accepts anything")
	}
	fits("metadata_server_response", AppendServerMetadata(nil, ServerInfo{"serin", "1.0.0", []string{ExtensionBinary}}))
	for _, s := range models {
		fits("metadata_model_response", AppendModelMetadata(nil, ModelInfo{Name: `a "name"`, Versions: []string{"1", "2"}, Platform: "serin_trees", Signature: s}))
	}
	fits("metadata_model_response", AppendModelMetadata(nil, ModelInfo{}))
	answers, _ := filepath.Glob(filepath.Join("testdata", "openinference", "*.answer.json"))
	for _, path := range answers {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := "inference_response"
		if bytes.HasPrefix(body, []byte(`{"error"`)) {
			name = "inference_error_response"
		} else {
			request, err := os.ReadFile(strings.Replace(path, ".answer.", ".request.", 1))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(request, []byte("null")) { // a missing value is beyond the schema
				fits("inference_request", request)
			}
		}
		fits(name, body)
	}
}
