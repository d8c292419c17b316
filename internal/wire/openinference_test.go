package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// infer makes a request of one input out of the text of its fields.
func infer(shape, datatype, data string) string {
	return `{"inputs":[{"name":"input","shape":` + shape + `,"datatype":"` + datatype + `","data":` + data + `}]}`
}

func TestOpenInferenceReadsEveryDatatype(t *testing.T) {
	nan := math.NaN()
	for body, want := range map[string]tensor.Tensor{
		infer("[2]", "BOOL", "[true,0]"):                                                      tensor.New("input", []int{2}, []bool{true, false}),
		infer("[2]", "UINT8", "[0,255]"):                                                      tensor.New("input", []int{2}, []uint8{0, 255}),
		infer("[2]", "UINT16", "[0,65535]"):                                                   tensor.New("input", []int{2}, []uint16{0, 65535}),
		infer("[2]", "UINT32", "[0,4294967295]"):                                              tensor.New("input", []int{2}, []uint32{0, math.MaxUint32}),
		infer("[2]", "UINT64", "[-0,18446744073709551615]"):                                   tensor.New("input", []int{2}, []uint64{0, math.MaxUint64}),
		infer("[2]", "INT8", "[-128,127]"):                                                    tensor.New("input", []int{2}, []int8{-128, 127}),
		infer("[2]", "INT16", "[-32768,32767]"):                                               tensor.New("input", []int{2}, []int16{-32768, 32767}),
		infer("[2]", "INT32", "[-2147483648,-0]"):                                             tensor.New("input", []int{2}, []int32{math.MinInt32, 0}),
		infer("[2]", "INT64", "[-9223372036854775808,9223372036854775807]"):                   tensor.New("input", []int{2}, []int64{math.MinInt64, math.MaxInt64}),
		infer("[3]", "FP32", "[1.5,null,3.4028235e38]"):                                       tensor.New("input", []int{3}, []float32{1.5, float32(nan), math.MaxFloat32}),
		infer("[4]", "FP64", "[1e-3,null,NaN,-Infinity]"):                                     tensor.New("input", []int{4}, []float64{1e-3, nan, nan, math.Inf(-1)}),
		infer("[2,1]", "BYTES", `[["a\u00e9"],["\u0000"]]`):                                   tensor.New("input", []int{2, 1}, []string{"aé", "\x00"}),
		infer("[]", "BYTES", `["x"]`):                                                         tensor.New("input", []int{}, []string{"x"}),
		infer("[0,3]", "FP32", `[]`):                                                          tensor.New("input", []int{0, 3}, []float32{}),
		infer("[2,0,3]", "FP32", `[[],[]]`):                                                   tensor.New("input", []int{2, 0, 3}, []float32{}),
		infer("[1,2,2]", "INT8", `[[[1,2],[3,4]]]`):                                           tensor.New("input", []int{1, 2, 2}, []int8{1, 2, 3, 4}),
		`{"inputs":[{"data":[[1,2]],"shape":[1,2],"x":[],"datatype":"INT8","name":"input"}]}`: tensor.New("input", []int{1, 2}, []int8{1, 2}),
		`{"x":1,"id":null,"parameters":null,"outputs":null,"inputs":[{"name":"input","parameters":null,"shape":[1],"datatype":"INT8","data":[7]}]}`: tensor.New("input", []int{1}, []int8{7}),
	} {
		x, err := OpenInference{}.Decode([]byte(body), score, Limits{})
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got := x.Request().Inputs[0]; !same(got, want) {
			t.Errorf("%s: got %v, want %v", body, got, want)
		}
		wellFormed(t, x, len(body))
	}
}

// outputs makes n wishes for outputs.
func outputs(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"name":"o%d"}`, i)
	}
	return strings.Join(list, ",")
}

func TestOpenInferenceRefusesAndSaysWhere(t *testing.T) {
	for body, want := range map[string]string{
		``:                                 "JSON at byte 0: the text ends where an object should be",
		`{"inputs":[]} {}`:                 "more text after the value",
		`{}`:                               "the request has no inputs",
		`{"inputs":null}`:                  "the request has no inputs",
		`{"inputs":{}}`:                    "an array should be",
		`{"inputs":[1]}`:                   "an object should be",
		`{"inputs":[],"inputs":[]}`:        `the key "inputs" is given twice`,
		`{"id":7,"inputs":[]}`:             "where a string should be",
		`{"parameters":[],"inputs":[]}`:    "where an object should be",
		`{"inputs":[{"name":"a"}]}`:        `input "a" has no shape`,
		`{"inputs":[{"shape":[1]}]}`:       "input 0 has no name",
		infer("[1]", "FP32", "null"):       `input "input" has no data`,
		infer("[1]", "FP32", "1"):          `input "input": JSON at byte 64: '1' where an array should be`,
		infer("null", "FP32", "[1]"):       `input "input" has no shape`,
		infer("[-1]", "FP32", "[1]"):       "-1 cannot be the size of a dimension",
		infer("[3000000000]", "FP32", "1"): "3000000000 cannot be the size of a dimension",
		infer("[1.0]", "FP32", "[1]"):      "is not a whole number",
		infer("[70000,70000]", "FP32", ""): "too large",
		infer("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "FP32", "[1]"):                     "more than 16 dimensions",
		infer("[2,2]", "FP32", "[1,2,3]"):                                               `input "input": JSON at byte 73: it has 3 values, but shape [2 2] needs 4`,
		infer("[2,2]", "FP32", "[1,2,3,4,5]"):                                           "it has more values than shape [2 2] needs",
		infer("[2,2]", "FP32", "[[1,2],[3]]"):                                           "row 1 has 1 values, but shape [2 2] needs 2",
		infer("[2,2]", "FP32", "[[1,2]]"):                                               "it has 1 values, but shape [2 2] needs 2",
		infer("[2,2]", "FP32", "[[1,2],3]"):                                             "'3' where an array should be",
		infer("[2,2]", "FP32", "[1,[2],3,4]"):                                           "row 0, value 1: JSON at byte 69: '[' where a number should be",
		infer("[4]", "FP32", "[[1,2],[3,4]]"):                                           "it is nested deeper than shape [4]",
		infer("[2,1,2]", "FP32", "[[1,2],[3,4]]"):                                       "row 0 holds values where arrays should be",
		infer("[]", "FP32", "[[1]]"):                                                    "nested deeper than shape []",
		infer("[1]", "FP16", "[1]"):                                                     `input "input": FP16 cannot be sent as JSON`,
		infer("[1]", "BF16", "[1]"):                                                     "BF16 cannot be sent as JSON",
		infer("[1]", "INT322", "[1]"):                                                   `unknown datatype "INT322"`,
		infer("[1]", "fp32", "[1]"):                                                     `unknown datatype "fp32"`,
		infer("[2]", "INT8", "[1,128]"):                                                 `input "input", element 1: JSON at byte 70: 128 does not fit INT8`,
		infer("[1]", "INT8", "[-129]"):                                                  "-129 does not fit INT8",
		infer("[1]", "UINT8", "[-1]"):                                                   "-1 does not fit UINT8",
		infer("[1]", "UINT64", "[-1]"):                                                  `"-1" does not fit UINT64`,
		infer("[1]", "UINT64", "[18446744073709551616]"):                                "does not fit UINT64",
		infer("[1]", "UINT64", "[1.0]"):                                                 "does not fit UINT64",
		infer("[1]", "UINT64", "[NaN]"):                                                 "does not fit UINT64",
		infer("[1]", "INT64", "[9223372036854775808]"):                                  "is not a whole number of 64 bits",
		infer("[1]", "INT32", "[1.5]"):                                                  "is not a whole number",
		infer("[1]", "INT32", "[1.0]"):                                                  "is not a whole number",
		infer("[1]", "INT32", "[null]"):                                                 "'n' where a number should be",
		infer("[1]", "INT32", "[NaN]"):                                                  "is not a whole number",
		infer("[1]", "INT32", "[true]"):                                                 "'t' where a number should be",
		infer("[1]", "BOOL", "[2]"):                                                     "2 where true, false, 1 or 0 should be",
		infer("[1]", "BOOL", `["true"]`):                                                "where true or false should be",
		infer("[1]", "FP32", "[true]"):                                                  "'t' where a number should be",
		infer("[1]", "FP32", `["NaN"]`):                                                 `the string "NaN" where a number should be`,
		infer("[1]", "FP32", "[1e39]"):                                                  "does not fit a 32-bit float",
		infer("[1]", "FP64", "[1e999]"):                                                 "does not fit a 64-bit float",
		infer("[1]", "BYTES", "[1]"):                                                    "where a string should be",
		infer("[1]", "BYTES", "[null]"):                                                 "where a string should be",
		`{"inputs":[{"name":"a","shape":[2],"data":[1,x],"datatype":"FP32"}]}`:          "'x' where a value should be",
		`{"inputs":[{"name":"a","shape":[2],"data":[1,"x"],"datatype":"FP32"}]}`:        `input "a", element 1: JSON at byte 48: the string "x" where a number should be`,
		`{"inputs":[{"name":"a","name":"a"}]}`:                                          `the key "name" is given twice`,
		`{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1],"data":[1]}]}`: `the key "data" is given twice`,
		`{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`:                         `input "a": binary_data_size is 4, but all of the body is JSON`,
		`{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{"shared_memory_region":"r"}}]}`:                   "shared memory is not supported",
		`{"inputs":[],"outputs":[{"name":"o","parameters":{"classification":0}}]}`:                                            "0 cannot be a number of classes",
		`{"inputs":[],"outputs":[{"name":"o","parameters":{"classification":true}}]}`:                                         "where a number should be",
		`{"inputs":[],"outputs":[{"name":"o","parameters":{"binary_data":1}}]}`:                                               "where true or false should be",
		`{"inputs":[],"outputs":[{"name":"o","parameters":{"shared_memory_region":"r"}}]}`:                                    "shared memory is not supported",
		`{"inputs":[],"parameters":{"binary_data_output":"x"}}`:                                                               "where true or false should be",
		`{"inputs":[],"outputs":[` + outputs(1001) + `]}`:                                                                     "more than 1000 outputs are asked for",
		`{"inputs":[],"outputs":[{"parameters":{}}]}`:                                                                         "output 0 of those asked for has no name",
		`{"inputs":[],"outputs":[{"name":"o"},{"name":"o"}]}`:                                                                 `output "o" is asked for twice`,
		`{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]},{"name":"b","shape":[1],"datatype":"FP32","data":[`: `input "b", element 0: JSON at byte 115: the text ends`,
	} {
		_, err := OpenInference{}.Decode([]byte(body), score, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

func TestOpenInferenceNamesThatCountStandForThePlace(t *testing.T) {
	two := tensor.Signature{Inputs: []tensor.Spec{{Name: "user", DType: tensor.Int64}, {Name: "item", DType: tensor.Int64}}}
	for body, want := range map[string]string{
		`input-0 input-1`: "user item",
		`INPUT1 INPUT2`:   "user item",
		`item user`:       "item user",
		`input-1 input-0`: "input-1 input-0",
		`user input-1`:    "user input-1",
		`input-0`:         "input-0",
	} {
		var inputs []string
		for name := range strings.FieldsSeq(body) {
			inputs = append(inputs, `{"name":"`+name+`","shape":[1],"datatype":"INT64","data":[1]}`)
		}
		x, err := OpenInference{}.Decode([]byte(`{"inputs":[`+strings.Join(inputs, ",")+`]}`), two, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, in := range x.Request().Inputs {
			got = append(got, in.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is read as %v, want %s", body, got, want)
		}
	}
}

func TestOpenInferenceOutputsThatCountStandForThePlace(t *testing.T) {
	for asked, want := range map[string][2]string{ // what the model is asked for, what the answer calls it
		"output-0":          {"probabilities", "output-0"},
		"OUTPUT1 OUTPUT2":   {"probabilities label", "OUTPUT1 OUTPUT2"},
		"label":             {"label", "label"},
		"rank output-0":     {"rank output-0", ""},
		"output-1 output-0": {"output-1 output-0", ""},
		"o0 o1 o2":          {"o0 o1 o2", ""}, // rank is not among those that the model gives by itself
	} {
		var outputs []string
		for name := range strings.FieldsSeq(asked) {
			outputs = append(outputs, `{"name":"`+name+`"}`)
		}
		body := `{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[1,2,3]}],"outputs":[` + strings.Join(outputs, ",") + `]}`
		x, err := OpenInference{}.Decode([]byte(body), classes, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(x.Request().Outputs, " "); got != want[0] {
			t.Errorf("%s asks for %s, want %s", asked, got, want[0])
		}
		if want[1] == "" {
			continue
		}
		var resp tensor.Response
		for _, name := range x.Request().Outputs {
			resp.Outputs = append(resp.Outputs, tensor.New(name, []int{1}, []float32{1}))
		}
		answer, err := x.Answer(nil, Meta{}, &resp)
		if err != nil {
			t.Fatal(err)
		}
		var told struct{ Outputs []struct{ Name string } }
		if err := json.Unmarshal(answer, &told); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range told.Outputs {
			names = append(names, o.Name)
		}
		if got := strings.Join(names, " "); got != want[1] {
			t.Errorf("%s is answered as %s, want %s", asked, got, want[1])
		}
	}
}

// anyTensor draws a tensor of any datatype that JSON can carry.
func anyTensor(t *rapid.T, name string) tensor.Tensor {
	shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")
	n, err := tensor.Elements(shape)
	if err != nil {
		t.Fatal(err)
	}
	switch rapid.SampledFrom([]tensor.DType{tensor.Bool, tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Int8, tensor.Int16,
		tensor.Int32, tensor.Int64, tensor.Float32, tensor.Float64, tensor.Bytes}).Draw(t, "dtype") {
	case tensor.Bool:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "data"))
	case tensor.Uint8:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Uint8(), n, n).Draw(t, "data"))
	case tensor.Uint16:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Uint16(), n, n).Draw(t, "data"))
	case tensor.Uint32:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "data"))
	case tensor.Uint64:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Uint64(), n, n).Draw(t, "data"))
	case tensor.Int8:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Int8(), n, n).Draw(t, "data"))
	case tensor.Int16:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Int16(), n, n).Draw(t, "data"))
	case tensor.Int32:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Int32(), n, n).Draw(t, "data"))
	case tensor.Int64:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Int64(), n, n).Draw(t, "data"))
	case tensor.Float32:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "data"))
	case tensor.Float64:
		return tensor.New(name, shape, rapid.SliceOfN(rapid.Float64(), n, n).Draw(t, "data"))
	}
	return tensor.New(name, shape, rapid.SliceOfN(rapid.String(), n, n).Draw(t, "data"))
}

// TestOpenInferenceAnswersReadBack turns the outputs of an answer into the inputs of a request: the two have one form. The keys of each
// come in any order, and the data flat or nested.
func TestOpenInferenceAnswersReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := []tensor.Tensor{anyTensor(t, "a"), anyTensor(t, `b"é`)}
		answer, err := (&openInferenceCall{}).Answer(nil, meta, &tensor.Response{Outputs: want})
		if err != nil {
			t.Fatal(err)
		}
		var decoded struct {
			Outputs []map[string]json.RawMessage `json:"outputs"`
		}
		if err := json.Unmarshal(answer, &decoded); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		body := `{"inputs":[`
		for i, o := range decoded.Outputs {
			if n := want[i].Len(); n > 0 && rapid.Bool().Draw(t, "nest") {
				o["data"], err = appendNested(nil, &want[i], singles)
				if err != nil {
					t.Fatal(err)
				}
			}
			if i > 0 {
				body += ","
			}
			sep := "{"
			for _, key := range rapid.Permutation([]string{"name", "shape", "datatype", "data"}).Draw(t, "keys") {
				body += fmt.Sprintf("%s%q: %s", sep, key, o[key])
				sep = ", "
			}
			body += "}"
		}
		x, err := OpenInference{}.Decode([]byte(body+"]}"), tensor.Signature{}, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		for i, got := range x.Request().Inputs {
			if !same(got, want[i]) {
				t.Fatalf("%v is answered as %s, which reads as %v", want[i], answer, got)
			}
		}
	})
}

func TestWhatJSONCannotCarryIsOurError(t *testing.T) {
	for want, o := range map[string]tensor.Tensor{
		`output "o", element 1 is NaN`:                   tensor.New("o", []int{2}, []float32{1, float32(math.NaN())}),
		`output "o", element 0 is -Inf`:                  tensor.New("o", []int{1}, []float64{math.Inf(-1)}),
		`output "o", element 0: text that is not valid`:  tensor.New("o", []int{1}, []string{"\xff"}),
		`the model's answer: tensor "o" has 1 elements`:  tensor.New("o", []int{2}, []float32{1}),
		`the model's answer: tensor "o" holds no data`:   {Name: "o"},
		`output "o", element 3 is +Inf, which JSON`:      tensor.New("o", []int{2, 2}, []float32{1, 2, 3, float32(math.Inf(1))}),
		`output "o", element 1: text that is not valid `: tensor.New("o", []int{1, 2}, []string{"", "\xc3"}),
	} {
		for name, body := range map[string]string{"seldon": `{"data":{"ndarray":[[1,2,3]]}}`, "openinference": infer("[1]", "FP32", "[1]")} {
			x, err := dialects[name].Decode([]byte(body), score, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{o}})
			if err == nil || fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
	x, _ := Seldon{}.Decode([]byte(`{"data":{"ndarray":[[1,2,3]]}}`), score, Limits{})
	if _, err := x.Answer(nil, meta, &tensor.Response{}); fault.KindOf(err) != fault.Internal || err == nil {
		t.Errorf("an answer without outputs: %v", err)
	}
}
