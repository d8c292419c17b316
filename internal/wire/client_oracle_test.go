package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// The real servers of MLflow and of Seldon's Python wrapper, without their sockets: they read a request a line, hand it to a model, and print
// what they answer, a line each. The model gives back what it got: as an array, as a data frame, by name, or as texts of it.
const mlflowScores = `
import json, sys
import numpy as np, pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

class Model:
    metadata = None
    def __init__(self, gives):
        self.gives = gives
    def predict(self, data, params=None):
        if self.gives == "data":
            return data
        values = np.asarray(data.to_numpy() if isinstance(data, pd.DataFrame) else data, dtype=float)
        return {
            "array": values, "frame": pd.DataFrame({"first": values[:, 0], "last": values[:, -1]}), "sums": values.sum(axis=1),
            "dict": {"first": values[:, 0], "all": values}, "texts": [str(v) for v in values[:, 0]],
        }[self.gives]

for line in sys.stdin:
    q = json.loads(line)
    try:
        print(json.dumps(scoring_server.invocations(q["body"], "application/json", Model(q["gives"]), None).response))
    except MlflowException as e:
        print(json.dumps(e.serialize_as_json()))
`

const seldonPredicts = `
import json, sys
from unittest.mock import MagicMock
for name in "yaml", "jsonschema", "jsonschema.exceptions": # are for metadata alone, and not there where its client is all that is needed
    sys.modules[name] = MagicMock()
import numpy as np
from seldon_core import seldon_methods
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.metrics import SeldonMetrics

class Model:
    def __init__(self, gives):
        self.gives = gives
    def predict(self, X, names, meta=None):
        if self.gives == "data":
            return X
        values = np.asarray(X, dtype=float)
        return {"array": values, "sums": values.sum(axis=1), "texts": np.array([str(v) for v in values[:, 0]]), "dict": {"first": values[:, 0].tolist(), "names": list(names)}}[self.gives]

for line in sys.stdin:
    q = json.loads(line)
    try:
        print(json.dumps(json.dumps(seldon_methods.predict(Model(q["gives"]), json.loads(q["body"]), SeldonMetrics()))))
    except SeldonMicroserviceException as e:
        print(json.dumps(json.dumps(e.to_dict())))
`

// TestRealServersUnderstandWhatIsAskedAndAreUnderstood asks them for numbers of every size: what comes back is what was sent, to the last bit.
func TestRealServersUnderstandWhatIsAskedAndAreUnderstood(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows = 40
	values := make([]float32, 3*rows)
	for i := range values {
		for values[i] = math.Float32frombits(r.Uint32()); values[i]-values[i] != 0; {
			values[i] = math.Float32frombits(r.Uint32())
		}
	}
	values[1], values[5] = float32(math.NaN()), roundedTwice
	firsts, lasts, texts := make([]float32, rows), make([]float32, rows), make([]string, rows)
	for i := range rows {
		firsts[i], lasts[i] = values[3*i], values[3*i+2]
		texts[i] = string(appendFloat(nil, float64(firsts[i]), 32)) // a server that keeps doubles gets the decimal, not the double that the float equals
	}
	columns := named(spec("input", tensor.Float32, -1, 3), "a", "b", "c")
	input := []tensor.Tensor{tensor.New("input", []int{rows, 3}, values)}
	array := spec("all", tensor.Float32, -1, 3)
	first, last := spec("first", tensor.Float32, -1), spec("last", tensor.Float32, -1)
	want := map[string]tensor.Tensor{
		"all": tensor.New("all", []int{rows, 3}, values), "first": tensor.New("first", []int{rows}, firsts), "last": tensor.New("last", []int{rows}, lasts),
		"texts": tensor.New("texts", []int{rows}, texts), "age": tensor.New("age", []int{2}, []float64{30.5, math.NaN()}), "city": tensor.New("city", []int{2}, []string{"Ulm", "K\u00f6ln"}),
	}
	cities := []tensor.Spec{spec("age", tensor.Float64, -1), spec("city", tensor.Bytes, -1)}
	type question struct {
		gives   string
		inputs  []tensor.Spec
		given   []tensor.Tensor
		outputs []tensor.Spec
	}
	ours := []question{
		{"array", []tensor.Spec{columns}, input, []tensor.Spec{array}}, {"array", []tensor.Spec{spec("input", tensor.Float32, -1, 3)}, input, []tensor.Spec{array}},
		{"texts", []tensor.Spec{columns}, input, []tensor.Spec{spec("texts", tensor.Bytes, -1)}},
	}
	two := question{"data", cities, []tensor.Tensor{want["age"], want["city"]}, cities}
	frames := slices.Concat(ours, []question{
		{"frame", []tensor.Spec{columns}, input, []tensor.Spec{first, last}}, {"dict", []tensor.Spec{columns}, input, []tensor.Spec{first, array}}, two,
	})
	messages := slices.Concat(ours, []question{{"dict", []tensor.Spec{columns}, input, []tensor.Spec{first}}, two})
	for _, tt := range []struct {
		venv, script string
		client       client
		questions    []question
	}{{"mlflow", mlflowScores, MLflowClient{}, frames}, {"seldon", seldonPredicts, SeldonClient{}, messages}} {
		t.Run(tt.venv, func(t *testing.T) {
			var lines strings.Builder
			var asked []Question
			for _, q := range tt.questions {
				ask := Question{Request: &tensor.Request{Inputs: q.given}, Signature: tensor.Signature{Inputs: q.inputs, Outputs: q.outputs}}
				body, _, err := tt.client.Ask(nil, &ask)
				if err != nil {
					t.Fatal(err)
				}
				line, _ := json.Marshal(map[string]string{"gives": q.gives, "body": string(body)})
				fmt.Fprintf(&lines, "%s\n", line)
				asked = append(asked, ask)
			}
			cmd := exec.Command(testenv.Python(t, tt.venv), "-W", "ignore", "-c", tt.script)
			said := new(bytes.Buffer)
			cmd.Stdin, cmd.Stderr = strings.NewReader(lines.String()), said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			answers := strings.Split(strings.TrimSpace(string(out)), "\n")
			if len(answers) != len(asked) {
				t.Fatalf("%d answers to %d questions: %s", len(answers), len(asked), said)
			}
			for i, line := range answers {
				var answer string
				if err := json.Unmarshal([]byte(line), &answer); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				got, err := tt.client.Read([]byte(answer), Frame{}, &asked[i], Limits{})
				if err != nil {
					t.Errorf("%s: %.300s: %v", tt.questions[i].gives, answer, err)
					continue
				}
				for _, o := range got.Outputs {
					if !same(o, want[o.Name]) {
						t.Errorf("%s: %s is %v, want %v", tt.questions[i].gives, o.Name, o, want[o.Name])
					}
				}
			}
		})
	}
}
