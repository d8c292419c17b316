package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

func spec(name string, d tensor.DType, shape ...int) tensor.Spec {
	return tensor.Spec{Name: name, DType: d, Shape: shape}
}

func named(s tensor.Spec, columns ...string) tensor.Spec {
	s.Columns = columns
	return s
}

// v1Models are models of every kind that the v1 protocols can ask.
var v1Models = map[string]tensor.Signature{
	"score":  score,
	"plain":  {Inputs: []tensor.Spec{spec("input", tensor.Float32, -1, 3)}, Outputs: score.Outputs},
	"counts": {Inputs: []tensor.Spec{named(spec("input", tensor.Float64, -1, 3), "Column_0", "Column_1", "Column_2")}, Outputs: score.Outputs},
	"one":    {Inputs: []tensor.Spec{spec("x", tensor.Float64, -1, 1)}, Outputs: score.Outputs},
	"flat":   {Inputs: []tensor.Spec{spec("x", tensor.Int16, -1)}, Outputs: score.Outputs},
	"open":   {Inputs: []tensor.Spec{spec("x", tensor.Float32, -1, -1)}, Outputs: score.Outputs},
	"text":   {Inputs: []tensor.Spec{spec("review", tensor.Bytes, -1)}, Outputs: score.Outputs},
	"image":  {Inputs: []tensor.Spec{spec("image", tensor.Float32, -1, 2, 2)}, Outputs: score.Outputs},
	"mixed": {Inputs: []tensor.Spec{
		spec("word", tensor.Bytes, -1), named(spec("numbers", tensor.Float32, -1, 2), "p", "q"), spec("stars", tensor.Int8, -1, 1), spec("good", tensor.Bool, -1),
	}, Outputs: score.Outputs},
	"several": {Inputs: []tensor.Spec{spec("u", tensor.Float32, -1, -1), spec("v", tensor.Int64, -1, -1)}, Outputs: score.Outputs},
	"same":    {Inputs: []tensor.Spec{named(spec("u", tensor.Float32, -1, 1), "a"), named(spec("v", tensor.Float32, -1, 1), "a")}, Outputs: score.Outputs},
	"twice":   {Inputs: []tensor.Spec{named(spec("u", tensor.Float32, -1, 2), "a", "b"), named(spec("v", tensor.Float32, -1, 2), "a", "b")}, Outputs: score.Outputs},
	"nothing": {},
}

// asked is what a body asks, as text: each input with its type, shape and values.
func asked(x Exchange) string {
	var parts []string
	for _, in := range x.Request().Inputs {
		parts = append(parts, fmt.Sprintf("%s %s %s %v", in.Name, in.DType(), appendShape(nil, in.Shape), in.Data))
	}
	return strings.Join(parts, "; ")
}

func TestV1ReadsRowsAndColumns(t *testing.T) {
	kserve, tensorflow := []V1{{}}, []V1{{Tensorflow: true}}
	both := []V1{{}, {Tensorflow: true}}
	for _, tt := range []struct {
		dialects    []V1
		model, body string
		want        string // or a part of the error
	}{
		{both, "score", `{"instances": [[1,2,3],[4,5,null]]}`, "input FP32 [2,3] [1 2 3 4 5 NaN]"},
		{both, "score", `{"instances": [[1,true,-Infinity]], "parameters": {"x": [1]}}`, "input FP32 [1,3] [1 1 -Inf]"},
		{both, "score", `{"instances": [{"c":3,"a":1,"b":2},{"a":4,"b":null,"c":6}]}`, "input FP32 [2,3] [1 2 3 4 NaN 6]"},
		{both, "score", `{"instances": [{"a":[1],"b":{"0":2},"c":true}]}`, "input FP32 [1,3] [1 2 1]"},
		{both, "score", `{"instances": [{"input":[1,2,3]},[4,5,6],{"f2":9,"f0":7,"f1":8}]}`, "input FP32 [3,3] [1 2 3 4 5 6 7 8 9]"},
		{both, "score", `{"instances": [[{"b":2},{"a":1,"c":3}]]}`, "input FP32 [1,3] [1 2 3]"},
		{both, "plain", `{"instances": [{"f1":2,"f0":1,"f2":3},{"f2":6,"f1":5,"f0":4}]}`, "input FP32 [2,3] [1 2 3 4 5 6]"},
		{both, "counts", `{"instances": [{"x2":2,"x1":1,"x3":3}]}`, "input FP64 [1,3] [1 2 3]"},
		{both, "one", `{"instances": [1,2.5,3e2]}`, "x FP64 [3,1] [1 2.5 300]"},
		{both, "one", `{"instances": [[1],[2]]}`, "x FP64 [2,1] [1 2]"},
		{both, "one", `{"instances": [{"x":1},{"x":[2]}]}`, "x FP64 [2,1] [1 2]"},
		{both, "flat", `{"instances": [[1],[-2]]}`, "x INT16 [2] [1 -2]"},
		{both, "open", `{"instances": [[1,2],[3,4]]}`, "x FP32 [2,2] [1 2 3 4]"},
		{both, "open", `{"instances": [1,2]}`, "x FP32 [2,1] [1 2]"},
		{both, "text", `{"instances": ["a b",{"b64":"//79"}]}`, "review BYTES [2] [a b \xff\xfe\xfd]"},
		{both, "text", `{"instances": [{"b64":"aGk="},"x"]}`, "review BYTES [2] [hi x]"},
		{both, "text", `{"instances": [["x"],[{"b64":"aGk="}]]}`, "review BYTES [2] [x hi]"},
		{both, "text", `{"instances": [{"review":{"b64":"aGk="}},{"review":"x"},{"b64":"aGk="}]}`, "review BYTES [3] [hi x hi]"},
		{both, "image", `{"instances": [[[1,2],[3,4]]]}`, "image FP32 [1,2,2] [1 2 3 4]"},
		{both, "image", `{"instances": [{"image":[[1,2],[3,4]]},{"image":[5,6,7,8]}]}`, "image FP32 [2,2,2] [1 2 3 4 5 6 7 8]"},
		{both, "mixed", `{"instances": [{"word":"w","numbers":[1,2],"stars":3,"good":true},{"q":5,"p":4,"stars":-1,"good":0,"word":"v"}]}`,
			"word BYTES [2] [w v]; numbers FP32 [2,2] [1 2 4 5]; stars INT64 [2,1] [3 -1]; good INT64 [2] [1 0]"},
		{both, "mixed", `{"instances": [["w",1,2,3,false]]}`, "word BYTES [1] [w]; numbers FP32 [1,2] [1 2]; stars INT64 [1,1] [3]; good INT64 [1] [0]"},
		{kserve, "score", `{"inputs": [[1,2,3]]}`, "input FP32 [1,3] [1 2 3]"},
		{kserve, "score", `{"inputs": [{"a":1,"b":2,"c":3}], "signature_name": "any"}`, "input FP32 [1,3] [1 2 3]"},
		{tensorflow, "score", `{"inputs": [[1,2,3]], "signature_name": "serving_default"}`, "input FP32 [1,3] [1 2 3]"},
		{tensorflow, "score", `{"inputs": {"input": [[1,2,3],[4,5,6]]}, "signature_name": ""}`, "input FP32 [2,3] [1 2 3 4 5 6]"},
		{tensorflow, "score", `{"inputs": {"c":[3,6],"a":[[1],[4]],"b":[2,5]}}`, "input FP32 [2,3] [1 2 3 4 5 6]"},
		{tensorflow, "plain", `{"inputs": {"f1":2,"f0":[1],"f2":3}}`, "input FP32 [1,3] [1 2 3]"},
		{tensorflow, "one", `{"inputs": [1,2]}`, "x FP64 [2,1] [1 2]"},
		{tensorflow, "text", `{"inputs": {"review": ["a","b"]}}`, "review BYTES [2] [a b]"},
		{tensorflow, "text", `{"inputs": {"review": {"b64":"aGk="}}}`, "review BYTES [1] [hi]"},
		{tensorflow, "several", `{"inputs": {"v": [[1],[2]], "u": [[1,2],[3,4]]}}`, "u FP32 [2,2] [1 2 3 4]; v INT64 [2,1] [1 2]"},
		{tensorflow, "mixed", `{"inputs": {"good":[true,0],"stars":[1,2],"word":["w","v"],"q":[5,6],"p":[3,4]}}`,
			"word BYTES [2] [w v]; numbers FP32 [2,2] [3 5 4 6]; stars INT8 [2,1] [1 2]; good BOOL [2] [true false]"},
		{tensorflow, "mixed", `{"inputs": {"good":1,"stars":[[-128]],"word":"w","numbers":[[1,2]]}}`,
			"word BYTES [1] [w]; numbers FP32 [1,2] [1 2]; stars INT8 [1,1] [-128]; good INT64 [1] [1]"},

		{both, "score", `{}`, `expected "instances" or "inputs" to be a list`},
		{both, "score", `{"instances": null}`, `expected "instances" or "inputs" to be a list`},
		{both, "score", `[[1,2,3]]`, `where an object should be`},
		{both, "score", `{"instances": 3}`, `"instances" is a number; it should be a list of rows`},
		{both, "score", `{"instances": []}`, `"instances" holds no rows`},
		{both, "score", `{"instances": [], "instances": []}`, `holds no rows`},
		{both, "score", `{"instances": [[1,2,3]], "instances": []}`, `"instances" is given twice`},
		{both, "score", `{"instances": [[1,2,3]], "inputs": [[1,2,3]]}`, `both "instances" and "inputs"`},
		{both, "score", `{"instances": [[1,2,3],[4,5]]}`, `instances: JSON at byte 28: row 1 has 2 values, row 0 has 3`},
		{both, "score", `{"instances": [[1,2,3],[4,"x",5]]}`, `instances, row 1, value 1: JSON at byte 29: the string "x" where a number should be`},
		{both, "score", `{"instances": [1,2,3]}`, `instances: it has the shape [3]; the model takes [-1 3]`},
		{both, "score", `{"instances": [[[1,2,3]]]}`, `instances: it has the shape [1 1 3]; the model takes [-1 3]`},
		{both, "score", `{"instances": [[]]}`, `must fail the model's check`},
		{both, "score", `{"instances": [[1,2,3],{"a":1,"b":2,"c":3}]}`, `instances`},
		{both, "score", `{"instances": [{"a":1,"b":2}]}`, `field "instances[0].c" is missing`},
		{both, "score", `{"instances": [{"a":1,"b":2,"c":3},{"a":1,"c":3}]}`, `field "instances[1].b" is missing`},
		{both, "score", `{"instances": [{"a":1,"b":2,"c":3,"d":4}]}`, `instances[0]: the column names are not the model's; unknown: "d"`},
		{both, "score", `{"instances": [{"a":1,"B":2,"c":3}]}`, `unknown: "B"; missing: "b"`},
		{both, "score", `{"instances": [{"a":1,"b":2,"c":3,"a":1}]}`, `field "instances[0].a" is given twice`},
		{both, "score", `{"instances": [{"input":[1,2,3],"a":1}]}`, `field "instances[0].a" is given twice`},
		{both, "score", `{"instances": [{"input":[1,2]}]}`, `field "instances[0].input" does not fit`},
		{both, "score", `{"instances": [{"input":1}]}`, `field "instances[0].input" is a number where a list should be`},
		{both, "score", `{"instances": [{"a":"x","b":2,"c":3}]}`, `field "instances[0].a" is text where a number should be`},
		{both, "score", `{"instances": [{"a":[1,2],"b":2,"c":3}]}`, `field "instances[0].a" holds several values where one belongs`},
		{both, "score", `{"instances": [{"a":[],"b":2,"c":3}]}`, `field "instances[0].a" holds no value`},
		{both, "score", `{"instances": [{"a":1e39,"b":2,"c":3}]}`, `does not fit a 32-bit float`},
		{both, "score", `{"instances": [{}]}`, `field "instances[0].a" is missing`},
		{both, "score", `{"instances": [[{"a":1},2]]}`, `field "instances[0]" is a number where an object should be`},
		{both, "plain", `{"instances": [{"age":1,"b":2,"c":3}]}`, `the names "age", "b", "c" are not those of the model, whose columns have none`},
		{both, "plain", `{"instances": [{"f0":1,"f1":2}]}`, `the names "f0", "f1" are not those of the model`},
		{both, "flat", `{"instances": [1.5]}`, `is not a whole number`},
		{both, "flat", `{"instances": [{"x":40000}]}`, `field "instances[0].x" is 40000, which does not fit INT16`},
		{both, "flat", `{"instances": [null]}`, `instances, element 0`},
		{both, "open", `{"instances": [{"x":[1,2]}]}`, `field "instances[0].x"`},
		{both, "text", `{"instances": [1]}`, `where a string should be`},
		{both, "text", `{"instances": [{"b64":"*"}]}`, `b64 holds no base64`},
		{both, "text", `{"instances": ["x",{"b65":""}]}`, `{"b64": ...} should be`},
		{both, "text", `{"instances": ["x",{"b64":"","c":1}]}`, `more than "b64"`},
		{both, "text", `{"instances": [{"text":"x"}]}`, `unknown: "text"; missing: "review"`},
		{both, "several", `{"instances": [{"u":[1],"v":[1]}]}`, `leaves open how many values a row has`},
		{both, "same", `{"instances": [{"a":1}]}`, `several inputs of the model have a column "a"`},
		{both, "twice", `{"instances": [{"a":1,"b":2,"v":[3,4]}]}`, `several inputs of the model have a column`},
		{both, "twice", `{"instances": [{"u":[1,2],"v":[3,4]}]}`, "u FP32 [1,2] [1 2]; v FP32 [1,2] [3 4]"},
		{both, "mixed", `{"instances": [["w",1,2,3]]}`, `field "instances[0]" has 4 values; 5 are needed`},
		{both, "mixed", `{"instances": [["w",1,2,3,true,5]]}`, `field "instances[0]" has 6 values; 5 are needed`},
		{both, "mixed", `{"instances": [["w",1,2,300,true]]}`, `field "instances[0][3]" is 300, which does not fit INT8`},
		{both, "mixed", `{"instances": ["w"]}`, `field "instances[0]" is text where a row of 5 values should be`},
		{both, "nothing", `{"instances": [1]}`, `the model takes no input`},
		{kserve, "score", `{"inputs": {"input": [[1,2,3]]}}`, `"inputs" is an object; it should be a list of rows`},
		{tensorflow, "score", `{"inputs": [[1,2,3]], "signature_name": "other"}`, `no signature "other"; it has "serving_default"`},
		{tensorflow, "score", `{"inputs": 1}`, `"inputs" is a number`},
		{tensorflow, "score", `{"inputs": {"a":[1],"b":[2,3],"c":[3]}}`, `inputs.b has 2 rows, "a" has 1`},
		{tensorflow, "score", `{"inputs": {"a":[1],"c":[3]}}`, `inputs has no "b"`},
		{tensorflow, "score", `{"inputs": {}}`, `inputs has no "a"`},
		{tensorflow, "score", `{"inputs": {"a":[1],"a":[1]}}`, `inputs.a is given twice`},
		{tensorflow, "score", `{"inputs": {"input":[[1,2,3]],"a":[1]}}`, `inputs has "input" as a whole, and its column "a" too`},
		{tensorflow, "score", `{"inputs": {"z":[1]}}`, `unknown: "z"`},
		{tensorflow, "score", `{"inputs": {"a":[]}}`, `inputs.a: it holds no rows`},
		{tensorflow, "score", `{"inputs": {"a":[[1,2]]}}`, `inputs.a: it has the shape [1 2]`},
		{tensorflow, "mixed", `{"inputs": [[1]]}`, `the model takes 4 inputs: send an object with each by its name: "word", "numbers", "stars", "good"`},
		{tensorflow, "mixed", `{"inputs": {"stars":["x"]}}`, `inputs.stars, element 0`},
		{tensorflow, "several", `{"inputs": {"u": [[1,2]]}}`, `inputs has no "v"`},
		{tensorflow, "several", `{"inputs": {"u": [[1,2]], "w": 1}}`, `"w"`},
	} {
		for _, d := range tt.dialects {
			x, err := d.Decode([]byte(tt.body), v1Models[tt.model], Limits{})
			if err != nil {
				if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%+v %s %s: got %v, want %q", d, tt.model, tt.body, err, tt.want)
				}
				continue
			}
			wellFormed(t, x, len(tt.body))
			if err := v1Models[tt.model].Check(x.Request()); err != nil {
				if tt.want != "must fail the model's check" {
					t.Errorf("%+v %s %s does not fit: %v", d, tt.model, tt.body, err)
				}
				continue
			}
			if got := asked(x); got != tt.want {
				t.Errorf("%+v %s %s: got %s, want %s", d, tt.model, tt.body, got, tt.want)
			}
		}
	}
}

func TestV1ReadsTheBodiesOfKServesTests(t *testing.T) {
	iris := tensor.Signature{Inputs: []tensor.Spec{named(spec("input", tensor.Float32, -1, 4), "sepal_length_(cm)", "sepal_width_(cm)", "petal_length_(cm)", "petal_width_(cm)")}}
	income := tensor.Signature{Inputs: []tensor.Spec{spec("input", tensor.Float64, -1, 12)}}
	for _, tt := range []struct {
		file  string
		model tensor.Signature
		want  string // or a part of the error
	}{
		{"iris_input.json", iris, "input FP32 [2,4] [6.8 2.8 4.8 1.4 6 3.4 4.5 1.6]"},
		{"iris_input_v3.json", iris, "input FP32 [1,4] [5.1 3.5 1.4 0.2]"},
		{"iris_input_v4.json", iris, "input FP32 [1,4] [5.1 3.5 1.4 0.2]"},
		{"iris_input_v5.json", iris, `field "inputs[0].petal_width_(cm)" is missing`},
		{"iris_batch_input.json", iris, "an object should be"},
		{"income_input.json", income, "input FP64 [1,12] [39 7 1 1 1 1 4 1 2174 0 40 9]"},
		{"iris_input_v2.json", iris, `unknown: "name", "shape", "datatype", "data"`},
	} {
		body, err := os.ReadFile(testenv.Data(t, "protocol", "kserve", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		x, err := V1{}.Decode(body, tt.model, Limits{})
		if err != nil && strings.Contains(err.Error(), tt.want) {
			continue
		}
		if err != nil || asked(x) != tt.want {
			t.Errorf("%s: got %v, %v, want %s", tt.file, x, err, tt.want)
		}
	}
}

// answers are outputs, and what is made of them.
func TestV1AndMLflowAnswerInTheShapeOfTheOutputs(t *testing.T) {
	rows := `{"instances":[[1,2,3],[4,5,6]]}`
	columns := `{"inputs":[[1,2,3],[4,5,6]]}`
	numbers := tensor.New("prediction", []int{2}, []float32{0.1, 2})
	lists := tensor.New("probabilities", []int{2, 2}, []float64{0.25, 0.75, 1, 0})
	labels := tensor.New("label", []int{2}, []string{"a \"b\"", "é"})
	raw := tensor.New("image_bytes", []int{2}, []string{"\xff", "hi"})
	rawLists := tensor.New("image_bytes", []int{2, 1}, []string{"\xff", "hi"})
	const double = "0.10000000149011612" // of float32 0.1
	tf := V1{Tensorflow: true}
	for _, tt := range []struct {
		dialect dialect
		body    string
		outputs []tensor.Tensor
		want    string // or a part of the error
	}{
		{V1{}, rows, []tensor.Tensor{numbers}, `{"predictions":[` + double + `,2.0]}`},
		{tf, rows, []tensor.Tensor{numbers}, `{"predictions":[` + double + `,2.0]}`},
		{MLflow{}, rows, []tensor.Tensor{numbers}, `{"predictions":[` + double + `,2.0]}`},
		{V1{}, columns, []tensor.Tensor{numbers}, `{"predictions":[` + double + `,2.0]}`},
		{tf, columns, []tensor.Tensor{numbers}, `{"outputs":[` + double + `,2.0]}`},
		{MLflow{}, columns, []tensor.Tensor{numbers}, `{"predictions":[` + double + `,2.0]}`},
		{V1{}, rows, []tensor.Tensor{lists}, `{"predictions":[[0.25,0.75],[1.0,0.0]]}`},
		{tf, columns, []tensor.Tensor{lists}, `{"outputs":[[0.25,0.75],[1.0,0.0]]}`},
		{V1{}, rows, []tensor.Tensor{labels}, `{"predictions":["a \"b\"","é"]}`},
		{V1{}, rows, []tensor.Tensor{numbers, lists, labels},
			`{"predictions":[{"prediction":` + double + `,"probabilities":[0.25,0.75],"label":"a \"b\""},{"prediction":2.0,"probabilities":[1.0,0.0],"label":"é"}]}`},
		{MLflow{}, rows, []tensor.Tensor{labels, numbers}, `{"predictions":[{"label":"a \"b\"","prediction":` + double + `},{"label":"é","prediction":2.0}]}`},
		{tf, columns, []tensor.Tensor{numbers, labels}, `{"outputs":{"prediction":[` + double + `,2.0],"label":["a \"b\"","é"]}}`},
		{tf, rows, []tensor.Tensor{raw}, `{"predictions":[{"b64":"/w=="},{"b64":"aGk="}]}`},
		{tf, columns, []tensor.Tensor{rawLists}, `{"outputs":[[{"b64":"/w=="}],[{"b64":"aGk="}]]}`},
		{tf, rows, []tensor.Tensor{numbers, rawLists}, `{"predictions":[{"prediction":` + double + `,"image_bytes":[{"b64":"/w=="}]},{"prediction":2.0,"image_bytes":[{"b64":"aGk="}]}]}`},
		{V1{}, rows, []tensor.Tensor{raw}, `not valid UTF-8`},
		{V1{}, rows, []tensor.Tensor{numbers, tensor.New("wide", []int{2, 0}, []float32{})}, `{"predictions":[{"prediction":` + double + `,"wide":[]},{"prediction":2.0,"wide":[]}]}`},
		{V1{}, rows, []tensor.Tensor{tensor.New("x", []int{3}, []int8{1, 2, 3})}, `output "x" has the shape [3] for 2 rows`},
		{V1{}, rows, []tensor.Tensor{tensor.New("x", []int{}, []int8{1})}, `output "x" has the shape [] for 2 rows`},
		{tf, rows, []tensor.Tensor{numbers, tensor.New("x", []int{2}, []int8{1})}, `has 1 elements`},
		{tf, columns, []tensor.Tensor{tensor.New("x", []int{2}, []int8{1})}, `has 1 elements`},
		{MLflow{}, rows, []tensor.Tensor{tensor.New("x", []int{2}, []float64{1, math.Inf(1)})}, `which JSON cannot carry`},
		{MLflow{}, rows, nil, `the model gave no output`},
		{tf, columns, nil, `the model gave no output`},
	} {
		x, err := tt.dialect.Decode([]byte(tt.body), score, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Answer(nil, meta, &tensor.Response{Outputs: tt.outputs})
		if err != nil {
			if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %s", tt.want, err, tt.want)
			}
			continue
		}
		if string(got) != tt.want || !json.Valid(got) {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestV1ExplainsWithContributions(t *testing.T) {
	model := score
	model.Outputs = append(model.Outputs, tensor.Spec{Name: Contributions, DType: tensor.Float32, Shape: []int{-1, 4}, OnDemand: true})
	x, err := V1{Explain: true}.Decode([]byte(`{"instances":[{"b":2,"a":1,"c":3}]}`), model, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(x.Request().Outputs, " "); got != "contributions margin" {
		t.Errorf("asked for %s", got)
	}
	got, err := x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{
		tensor.New(Contributions, []int{1, 4}, []float32{1, 2, 4, 0.5}), tensor.New(Margin, []int{1}, []float64{7.5}),
	}})
	if want := `{"explanations":[{"margin":7.5,"base":0.5,"contributions":{"a":1.0,"b":2.0,"c":4.0}}]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := (V1{Explain: true}).Decode([]byte(`not even JSON`), score, Limits{}); !errors.Is(err, ErrCannotExplain) {
		t.Errorf("got %v", err)
	}
}

func TestV1Documents(t *testing.T) {
	for got, want := range map[string]string{
		string(V1ModelStatus(`a"b`, true, []V1Version{{"3", "AVAILABLE", nil}})): `{"name":"a\"b","ready":true,"model_version_status":[{"version":"3","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}]}`,
		string(V1ModelStatus("m", false, []V1Version{{"3", "AVAILABLE", nil}, {"4", "END", fault.Unavailablef("no memory").WithHint("buy some")}})): `{"name":"m","ready":false,"model_version_status":[` +
			`{"version":"3","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}},{"version":"4","state":"END","status":{"error_code":"UNAVAILABLE","error_message":"no memory (buy some)"}}]}`,
		string(V1ModelStatus("m", false, nil)): `{"name":"m","ready":false,"model_version_status":[]}`,
		string(V1ModelList([]string{"a"})):     `{"models":["a"]}`,
		string(V1Metadata("m", "2", v1Models["mixed"])): `{"model_spec":{"name":"m","signature_name":"","version":"2"},"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{` +
			`"word":{"dtype":"DT_STRING","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"word:0"},` +
			`"numbers":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"2","name":""}],"unknown_rank":false},"name":"numbers:0"},` +
			`"stars":{"dtype":"DT_INT8","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"1","name":""}],"unknown_rank":false},"name":"stars:0"},` +
			`"good":{"dtype":"DT_BOOL","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"good:0"}},` +
			`"outputs":{"prediction":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"prediction:0"}},` +
			`"method_name":"tensorflow/serving/predict"}}}}}`,
	} {
		if got != want || !json.Valid([]byte(got)) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestV1AndMLflowErrors(t *testing.T) {
	err := fault.Invalidf("bad \"row\"").WithHint("send another")
	for _, tt := range []struct {
		d      dialect
		status int
		want   string
	}{
		{V1{}, 400, `{"error":"bad \"row\" (send another)"}`},
		{V1{Tensorflow: true, Explain: true}, 501, `{"error":"bad \"row\" (send another)"}`},
		{MLflow{}, 400, `{"error_code":"BAD_REQUEST","message":"bad \"row\" (send another)"}`},
		{MLflow{}, 415, `{"error_code":"BAD_REQUEST","message":"bad \"row\" (send another)"}`},
		{MLflow{}, 404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"bad \"row\" (send another)"}`},
		{MLflow{}, 429, `{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"bad \"row\" (send another)"}`},
		{MLflow{}, 500, `{"error_code":"INTERNAL_ERROR","message":"bad \"row\" (send another)"}`},
		{MLflow{}, 503, `{"error_code":"TEMPORARILY_UNAVAILABLE","message":"bad \"row\" (send another)"}`},
	} {
		if got := string(tt.d.Error(nil, tt.status, err)); got != tt.want {
			t.Errorf("%d: got %s, want %s", tt.status, got, tt.want)
		}
	}
}
