package wire

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// TestSignaturesComeBackFromTheirDocuments writes signatures as the server does, and reads them as clients do.
func TestSignaturesComeBackFromTheirDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s tensor.Signature
		s.Inputs, _ = drawTensors(t, 1, 3, true, 1)
		s.Outputs, _ = drawTensors(t, 1, 3, false, 1)
		for i := range s.Outputs {
			s.Outputs[i].OnDemand = rapid.Bool().Draw(t, "on demand")
			if rapid.Bool().Draw(t, "labels") {
				s.Outputs[i].Labels = []string{"no", "yes \"\u00e9\""}
			}
		}
		s.Inputs[0].AbsentZero = rapid.Bool().Draw(t, "absent is zero")
		m := ModelInfo{Name: "a \"model\"", Versions: []string{"1", "2"}, Platform: "p", Signature: s}
		text := AppendModelMetadata(nil, m)
		got, err := ReadModelMetadata(text)
		if err != nil || got.Name != m.Name || !slices.Equal(got.Versions, m.Versions) || got.Platform != m.Platform || !got.Signature.Equal(s) {
			t.Fatalf("%s is read as %v, %v", text, got, err)
		}
		plain := tensor.Signature{Inputs: slices.Clone(s.Inputs), Outputs: slices.Clone(answered(s))}
		for _, list := range [][]tensor.Spec{plain.Inputs, plain.Outputs} {
			for i := range list {
				list[i].Columns, list[i].Labels, list[i].AbsentZero = nil, nil, false
			}
		}
		for _, document := range [][]byte{SeldonModelMetadata("m", "1", "p", s), SeldonGraphMetadata("m", "1", "p", s)} {
			if sig, err := ReadSeldonMetadata(document); err != nil || !sig.Equal(plain) {
				t.Fatalf("%s is read as %v, %v", document, sig, err)
			}
		}
		document := V1Metadata("m", "1", s)
		if sig, err := ReadV1Metadata(document); err != nil || !sig.Equal(plain) {
			t.Fatalf("%s is read as %v, %v", document, sig, err)
		}
	})
	info := ServerInfo{"serin", "1", []string{ExtensionBinary, ExtensionRepository}}
	got, err := ReadServerMetadata(AppendServerMetadata(nil, info))
	if err != nil || got.Name != info.Name || got.Version != info.Version || !slices.Equal(got.Extensions, info.Extensions) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMetadataOfOtherServersIsRead(t *testing.T) {
	for name, tt := range map[string]struct {
		read func([]byte) (tensor.Signature, error)
		body string
		want string // or a part of the error
	}{
		"MLServer without settings": {modelMetadata, `{"name":"iris","versions":[],"platform":"","inputs":[],"outputs":[],"parameters":{"extra":1}}`, "inputs [] outputs []"},
		"MLServer":                  {modelMetadata, `{"name":"m","inputs":[{"name":"x","datatype":"INT32","shape":[1,-1],"parameters":{"content_type":"np"}}],"outputs":null}`, "inputs [{x INT32 [1 -1]}] outputs []"},
		"halves":                    {modelMetadata, `{"outputs":[{"name":"x","datatype":"FP16","shape":[-1]}]}`, "inputs [] outputs [{x FP32 [-1]}]"},
		"halves to send":            {modelMetadata, `{"inputs":[{"name":"x","datatype":"FP16","shape":[-1]}]}`, "FP16, which cannot be sent"},
		"no name":                   {modelMetadata, `{"inputs":[{"datatype":"FP32","shape":[-1]}]}`, "no name"},
		"no type":                   {modelMetadata, `{"inputs":[{"name":"x","shape":[-1]}]}`, `"x" has the datatype ""`},
		"no shape":                  {modelMetadata, `{"inputs":[{"name":"x","datatype":"FP32"}]}`, "the shape []"},
		"a negative shape":          {modelMetadata, `{"inputs":[{"name":"x","datatype":"FP32","shape":[-2]}]}`, "the shape [-2]"},
		"twice":                     {modelMetadata, `{"inputs":[{"name":"x","datatype":"FP32","shape":[1]},{"name":"x","datatype":"FP32","shape":[1]}]}`, "comes twice"},
		"too many columns":          {modelMetadata, `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,1],"parameters":{"columns":["a","b"]}}]}`, "inputs [{x FP32 [-1 1]}] outputs []"},
		"no document":               {modelMetadata, `nothing`, "cannot be read"},
		"Seldon's for people":       {ReadSeldonMetadata, `{"name":"m","inputs":[{"messagetype":"tensor","schema":{"names":["a","b"],"shape":[2]}}],"outputs":[{"messagetype":"tensor","schema":{"shape":[1]}}]}`, "inputs [] outputs []"},
		"Seldon's own":              {ReadSeldonMetadata, `{"name":"m","graphinputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"models":{"a":{"inputs":[]}}}`, "inputs [{x FP32 [-1 4]}] outputs []"},
		"TensorFlow's": {ReadV1Metadata, `{"model_spec":{"name":"m"},"metadata":{"signature_def":{"signature_def":{"other":{"inputs":{},"outputs":{}},"serving_default":{"inputs":{"x":` +
			`{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"4","name":""}],"unknown_rank":false},"name":"x:0"}},"outputs":{"y":{"dtype":"DT_STRING",` +
			`"tensor_shape":{"dim":[{"size":-1}]}}},"method_name":"tensorflow/serving/predict"}}}}}`, "inputs [{x FP32 [-1 4]}] outputs [{y BYTES [-1]}]"},
		"TensorFlow's of unknown rank": {ReadV1Metadata, `{"metadata":{"signature_def":{"signature_def":{"a":{"inputs":{"x":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[],"unknown_rank":true}}}}}}}}`, "no known rank"},
		"TensorFlow's of another type": {ReadV1Metadata, `{"metadata":{"signature_def":{"signature_def":{"a":{"inputs":{"x":{"dtype":"DT_HALF","tensor_shape":{"dim":[{"size":"1"}]}}}}}}}}`, "DT_HALF"},
		"KServe's status":              {ReadV1Metadata, `{"name":"m","ready":"True"}`, "0 signatures"},
	} {
		sig, err := tt.read([]byte(tt.body))
		got := "inputs " + specsText(sig.Inputs) + " outputs " + specsText(sig.Outputs)
		if err != nil && (fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), tt.want)) || err == nil && got != tt.want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, tt.want)
		}
	}
	body, err := os.ReadFile(testenv.Data(t, "protocol", "mlserver", "metadata-model-response.json"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ReadModelMetadata(body); err != nil || len(m.Signature.Inputs) == 0 {
		t.Errorf("MLServer's: %+v, %v", m, err)
	}
}

func modelMetadata(body []byte) (tensor.Signature, error) {
	m, err := ReadModelMetadata(body)
	return m.Signature, err
}

func specsText(specs []tensor.Spec) string {
	var parts []string
	for _, p := range specs {
		parts = append(parts, "{"+p.Name+" "+p.DType.String()+" "+strings.ReplaceAll(string(appendShape(nil, p.Shape)), ",", " ")+"}")
	}
	return "[" + strings.Join(parts, " ") + "]"
}
