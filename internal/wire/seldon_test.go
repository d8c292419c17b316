package wire

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestSeldonReads(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, tt := range []struct {
		body  string
		shape []int
		data  []float32
	}{
		{`{"data":{"ndarray":[[1,2,3]]}}`, []int{1, 3}, []float32{1, 2, 3}},
		{`{"data":{"ndarray":[1,2,3]}}`, []int{3}, []float32{1, 2, 3}},
		{` { "data" : { "ndarray" : [ [ 1 , 2 ] , [ 3 , 4 ] ] , "x" : 1 } , "y" : [ ] } `, []int{2, 2}, []float32{1, 2, 3, 4}},
		{`{"data":{"ndarray":[[[1],[2]],[[3],[4]]]}}`, []int{2, 2, 1}, []float32{1, 2, 3, 4}},
		{`{"data":{"ndarray":[[null,NaN],["NaN","Infinity"],[-Infinity,Infinity],["-Infinity",true]]}}`, []int{4, 2}, []float32{nan, nan, nan, inf, -inf, inf, -inf, 1}},
		{`{"data":{"ndarray":[]}}`, []int{0}, []float32{}},
		{`{"data":{"ndarray":[[],[]]}}`, []int{2, 0}, []float32{}},
		{`{"data":{"tensor":{"shape":[2,2],"values":[1,2,3,4]},"ndarray":null}}`, []int{2, 2}, []float32{1, 2, 3, 4}},
		{`{"data":{"tensor":{"values":[false,2,"NaN",4],"shape":[4,1],"x":{}}}}`, []int{4, 1}, []float32{0, 2, nan, 4}},
		{`{"data":{"tensor":{"shape":[],"values":[5]}}}`, []int{}, []float32{5}},
		{`{"data":{"names":["f0","f1"],"ndarray":[[1,2]]}}`, []int{1, 2}, []float32{1, 2}},
		{`{"data":{"names":[],"tensor":{"shape":[0,3],"values":[]}},"meta":null}`, []int{0, 3}, []float32{}},
	} {
		sig := score
		if strings.Contains(tt.body, "f0") {
			sig = tensor.Signature{Inputs: []tensor.Spec{{DType: tensor.Float32, Shape: []int{-1, 2}, Columns: []string{"x", "y"}}}}
		}
		x, err := Seldon{}.Decode([]byte(tt.body), sig, Limits{})
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		if want := tensor.New("", tt.shape, tt.data); !same(x.Request().Inputs[0], want) {
			t.Errorf("%s: got %v, want %v", tt.body, x.Request().Inputs[0], want)
		}
		wellFormed(t, x, len(tt.body))
	}
}

func TestSeldonRefusesAndSaysWhere(t *testing.T) {
	for body, want := range map[string]string{
		``:                                 "JSON at byte 0: the text ends where an object should be",
		`[]`:                               "an object should be",
		`{"data":{}}`:                      "the request has no data",
		`{"data":1}`:                       "an object should be",
		`{"data":{"ndarray":[[1,2,3]]}} x`: "more text after the value",
		`{"data":{"ndarray":[[1,2,3]]},"data":{"ndarray":[[1,2,3]]}}`:                    `the key "data" is given twice`,
		`{"data":{"ndarray":[[1,2,3]],"ndarray":[]}}`:                                    `the key "ndarray" is given twice`,
		`{"data":{"ndarray":[[1,2,3]],"tensor":{"shape":[1],"values":[1]}}}`:             "data holds both ndarray and tensor",
		`{"data":{"ndarray":5}}`:                                                         "where an array should be",
		`{"data":{"ndarray":[[1,2,3],[1,2]]}}`:                                           "row 1 has 2 values, row 0 has 3",
		`{"data":{"ndarray":[[1,2,3],[1,2,3,4]]}}`:                                       "row 1 has 4 values, row 0 has 3",
		`{"data":{"ndarray":[[1,2,3],4]}}`:                                               "'4' where an array should be",
		`{"data":{"ndarray":[1,[2],3]}}`:                                                 "element 1: JSON at byte 22: '[' where a number should be",
		`{"data":{"ndarray":[[1],[[2]]]}}`:                                               "row 1 is nested deeper than what came before",
		`{"data":{"ndarray":[[[1]],[2]]}}`:                                               "row 1 holds values where arrays should be",
		`{"data":{"ndarray":[[[1],[2]],[[3]]]}}`:                                         "row 1 has 1 values, row 0 has 2",
		`{"data":{"ndarray":[[[1,2]],[[3]]]}}`:                                           "[1][0] has 1 values, those before it have 2",
		`{"data":{"ndarray":[[1,2],["x",2]]}}`:                                           `data.ndarray, row 1, value 0: JSON at byte 30: the string "x" where a number should be`,
		`{"data":{"ndarray":[[1,2],[3,1e39]]}}`:                                          "row 1, value 1: JSON at byte 33: 1e+39 does not fit a 32-bit float",
		`{"data":{"ndarray":[[1e400]]}}`:                                                 "does not fit a 64-bit float",
		`{"data":{"ndarray":[[{}]]}}`:                                                    "'{' where a number should be",
		`{"data":{"ndarray":` + strings.Repeat("[", 40):                                  "more than 16 dimensions",
		`{"data":{"tensor":{"values":[1]}}}`:                                             "data.tensor has no shape",
		`{"data":{"tensor":{"shape":null,"values":[1]}}}`:                                "data.tensor has no shape",
		`{"data":{"tensor":{"shape":[1]}}}`:                                              "data.tensor has no values",
		`{"data":{"tensor":{"shape":[2,2],"values":[1,2,3]}}}`:                           "data.tensor has 3 values, but shape [2 2] needs 4",
		`{"data":{"tensor":{"shape":[-1,3],"values":[1,2,3]}}}`:                          "-1 cannot be the size of a dimension",
		`{"data":{"tensor":{"shape":[1.5],"values":[1]}}}`:                               `"1.5" is not a whole number`,
		`{"data":{"tensor":{"shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"values":[1]}}}`: "more than 16 dimensions",
		`{"data":{"tensor":{"shape":[1,3],"values":[[1,2,3]]}}}`:                         "data.tensor.values is nested",
		`{"data":{"tensor":{"shape":[65536,65536],"values":[1]}}}`:                       "too large",
		`{"customData":{"@type":"x"}}`:                                                   "customData is not supported",
		`{"data":{"ndarray":[[1,2,3]]},"strData":"x"}`:                                   "the request holds both data.ndarray and strData; send one of them",
		`{"data":{"names":["a","b"],"ndarray":[[1,2,3]]}}`:                               "data.names has 2 names, but a row has 3 values",
		`{"data":{"names":["a","a","b"],"ndarray":[[1,2,3]]}}`:                           `"a" is given twice`,
		`{"data":{"names":["a","b","x"],"ndarray":[[1,2,3]]}}`:                           `unknown: "x"; missing: "c"`,
		`{"data":{"names":["A","B","C"],"ndarray":[[1,2,3]]}}`:                           `unknown: "A", "B", "C"; missing: "a", "b", "c"`,
		`{"data":{"names":["t:1","t:0","t:2"],"ndarray":[[1,2,3]]}}`:                     `unknown: "t:1", "t:0", "t:2"`,
		`{"data":{"names":["f0","f1","f2","f3"],"ndarray":[[1,2,3,4]]}}`:                 `unknown: "f0", "f1", "f2", "f3"`,
		`{"data":{"names":[1,2,3],"ndarray":[[1,2,3]]}}`:                                 "where a string should be",
		`{"data":{"ndarray":[[1,2,3]]},"meta":{"tags":{"x":NaN}}}`:                       "meta.tags: JSON at byte 5: 'N' where a value should be",
		`{"data":{"ndarray":[[1,2,3]]},"meta":{"tags":[]}}`:                              "meta.tags is not an object",
		`{"data":{"ndarray":[[1,2,3]]},"meta":{"puid":7}}`:                               "where a string should be",
		`{"data":{"ndarray":[[1,2,3]]}`:                                                  "the text ends",
		`{"data":{"names":["a","b","c","d","e","f"],"ndarray":[[1,2,3,4,5,6]]}}`:         `unknown: "d", "e", "f"`,
		`{"data":{"names":["1","3","5","7","9","11","13"],"ndarray":[[1,2,3,4,5,6,7]]}}`: `"9" and 2 more`,
	} {
		_, err := Seldon{}.Decode([]byte(body), score, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
}

func TestSeldonPutsNamedColumnsInTheModelsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, rows := rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(1, 5).Draw(t, "rows")
		columns := make([]string, width)
		for i := range columns {
			columns[i] = "c" + strconv.Itoa(i*7%1000) + strings.Repeat("x", i%3)
		}
		dtype := rapid.SampledFrom([]tensor.DType{tensor.Float32, tensor.Float64, tensor.Int64}).Draw(t, "dtype")
		sig := tensor.Signature{Inputs: []tensor.Spec{{DType: dtype, Shape: []int{-1, width}, Columns: columns}}}
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).Perm(width)
		names := make([]string, width)
		for i, from := range order {
			names[i] = columns[from]
		}
		flat, nested := make([]float64, 0, rows*width), make([][]float64, rows)
		for r := range rows {
			for _, from := range order {
				nested[r] = append(nested[r], float64(r*100+from))
			}
			flat = append(flat, nested[r]...)
		}
		tensorBody, _ := json.Marshal(map[string]any{"data": map[string]any{"names": names, "tensor": map[string]any{"shape": []int{rows, width}, "values": flat}}})
		arrayBody, _ := json.Marshal(map[string]any{"data": map[string]any{"names": names, "ndarray": nested}})
		for _, body := range [][]byte{tensorBody, arrayBody} {
			x, err := Seldon{}.Decode(body, sig, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := x.Request().Inputs[0].Float64s()
			for i, v := range got {
				if v != float64(i/width*100+i%width) {
					t.Fatalf("%s: value %d is %v", body, i, v)
				}
			}
		}
	})
}

// TestSeldonAnswersReadBack writes an output as an answer and reads the answer's data as a request.
func TestSeldonAnswersReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 3).Draw(t, "shape")
		n, _ := tensor.Elements(shape)
		want := tensor.New("", shape, rapid.SliceOfN(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), n, n).Draw(t, "data"))
		sig := tensor.Signature{Inputs: []tensor.Spec{{DType: tensor.Float64, Shape: make([]int, 0)}}}
		for _, form := range []string{
			`{"data":{"tensor":{"shape":[1],"values":[1]}}}`, `{"data":{"ndarray":[1]}}`, `{"data":{"tftensor":{"dtype":"DT_DOUBLE","doubleVal":[1]}}}`,
		} {
			x, err := Seldon{}.Decode([]byte(form), sig, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := x.Answer(nil, meta, &tensor.Response{Outputs: []tensor.Tensor{want}})
			if err != nil {
				t.Fatal(err)
			}
			back, err := Seldon{}.Decode(answer, sig, Limits{})
			if err != nil {
				t.Fatalf("%s: %v", answer, err)
			}
			if !same(back.Request().Inputs[0], want) {
				t.Fatalf("%v is answered as %s, which reads as %v", want, answer, back.Request().Inputs[0])
			}
		}
	})
}

func TestSeldonAnswersMirrorTheRequest(t *testing.T) {
	for _, tt := range []struct {
		form, want string
		o          tensor.Tensor
	}{
		{"tensor", `{"names":[],"tensor":{"shape":[2],"values":[1,-2]}}`, tensor.New("o", []int{2}, []int64{1, -2})},
		{"ndarray", `{"names":["t:0","t:1"],"ndarray":[[1,2],[3,4]]}`, tensor.New("o", []int{2, 2}, []uint8{1, 2, 3, 4})},
		{"tensor", `{"names":["t:0"],"tensor":{"shape":[2,1],"values":[0.5,1.0]}}`, tensor.New("o", []int{2, 1}, []float64{.5, 1})},
		{"tensor", `{"names":[],"ndarray":["a","b"]}`, tensor.New("o", []int{2}, []string{"a", "b"})},
		{"tensor", `{"names":[],"ndarray":[true,false]}`, tensor.New("o", []int{2}, []bool{true, false})},
		{"ndarray", `{"names":[],"ndarray":[1.5]}`, tensor.New("o", nil, []float32{1.5})},
		{"ndarray", `{"names":[],"ndarray":[]}`, tensor.New("o", []int{0}, []float32{})},
		{"ndarray", `{"names":["t:0"],"ndarray":[[[1,2]]]}`, tensor.New("o", []int{1, 1, 2}, []int32{1, 2})},
	} {
		body := `{"data":{"ndarray":[1]}}`
		if tt.form == "tensor" {
			body = `{"data":{"tensor":{"shape":[1],"values":[1]}}}`
		}
		x, err := Seldon{}.Decode([]byte(body), score, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Answer([]byte("before "), Meta{}, &tensor.Response{Outputs: []tensor.Tensor{tt.o}})
		if want := `before {"data":` + tt.want + `,"meta":{}}`; err != nil || string(got) != want {
			t.Errorf("%v: got %s, %v, want %s", tt.o, got, err, want)
		}
	}
}

func TestSeldonErrorsTellTheirKind(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fault.Invalidf("a \"b\"\xff").WithHint("do c"), `{"status":{"code":400,"info":"a \"b\"` + "\ufffd" + ` (do c)","reason":"MICROSERVICE_BAD_DATA","status":"FAILURE"}}`},
		{fault.Unavailablef("later"), `{"status":{"code":503,"info":"later","reason":"UNAVAILABLE","status":"FAILURE"}}`},
		{fault.NotFoundf("none"), `{"status":{"code":404,"info":"none","reason":"NOT_FOUND","status":"FAILURE"}}`},
		{fault.Conflictf("two"), `{"status":{"code":409,"info":"two","reason":"CONFLICT","status":"FAILURE"}}`},
		{strconv.ErrRange, `{"status":{"code":500,"info":"value out of range","reason":"MICROSERVICE_INTERNAL_ERROR","status":"FAILURE"}}`},
	} {
		if got := (Seldon{}).Error(nil, fault.HTTPStatus(tt.err), tt.err); string(got) != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
