package wire

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// dialect is what the tests, like the gateway, want of one.
type dialect interface {
	Decode(body []byte, s tensor.Signature, l Limits) (Exchange, error)
	Error(dst []byte, status int, err error) []byte
}

var dialects = map[string]dialect{"seldon": Seldon{}, "openinference": OpenInference{}}

var meta = Meta{Service: "installs", Model: "installs", Version: "3", Semver: "1.2.0", ID: "made-by-server"}

// score is a model that tells its columns apart: a + 2b + 4c, with 100 for a missing value.
var score = tensor.Signature{
	Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 3}, Columns: []string{"a", "b", "c"}}},
	Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}, {Name: "margin", DType: tensor.Float64, Shape: []int{-1}, OnDemand: true}},
}

// classes gives two outputs, the first with a label for each of its columns.
var classes = tensor.Signature{
	Inputs: []tensor.Spec{{Name: "input", DType: tensor.Float64, Shape: []int{-1, 3}}},
	Outputs: []tensor.Spec{
		{Name: "probabilities", DType: tensor.Float32, Shape: []int{-1, 2}, Labels: []string{"no", `"yes"`}},
		{Name: "label", DType: tensor.Bytes, Shape: []int{-1}},
		{Name: "rank", DType: tensor.Int64, Shape: []int{-1, 1}, OnDemand: true},
	},
}

var models = map[string]tensor.Signature{"score": score, "classes": classes}

// predict answers as both models do.
func predict(_ context.Context, s tensor.Signature, r *tensor.Request) *tensor.Response {
	in, _ := r.Inputs[0].Float64s()
	rows := r.Inputs[0].Rows()
	sums := make([]float64, rows)
	for i, v := range in {
		if math.IsNaN(v) {
			v = 100
		}
		sums[i/3] += v * float64(int(1)<<(i%3))
	}
	resp := &tensor.Response{}
	for _, name := range s.Wanted(r) {
		var o tensor.Tensor
		switch name {
		case "prediction":
			o = tensor.New(name, []int{rows}, make([]float32, rows))
		case "margin":
			o = tensor.New(name, []int{rows}, sums)
		case "probabilities":
			o = tensor.New(name, []int{rows, 2}, make([]float32, 2*rows))
		case "label":
			o = tensor.New(name, []int{rows}, make([]string, rows))
		case "rank":
			o = tensor.New(name, []int{rows, 1}, make([]int64, rows))
		}
		for i, sum := range sums {
			switch data := o.Data.(type) {
			case []float32:
				if name == "prediction" {
					data[i] = float32(sum / 10)
				} else {
					data[2*i], data[2*i+1] = float32(1-sum/1000), float32(sum/1000)
				}
			case []string:
				data[i] = "row \"" + string(rune('0'+i)) + "\"\n"
			case []int64:
				data[i] = int64(i)
			}
		}
		resp.Outputs = append(resp.Outputs, o)
	}
	return resp
}

// exchange takes a body all the way to the answer's body.
func exchange(d dialect, s tensor.Signature, body []byte) []byte {
	x, err := d.Decode(body, s, Limits{})
	if err == nil {
		err = s.Check(x.Request())
	}
	var out []byte
	if err == nil {
		out, err = x.Answer(nil, meta, predict(context.Background(), s, x.Request()))
	}
	if err != nil {
		out = d.Error(nil, fault.HTTPStatus(err), err)
	}
	return out
}

var update = flag.Bool("update", false, "write the golden answers anew")

// TestGoldenExchanges holds every testdata/DIALECT/MODEL-CASE.json against the answer beside it, byte for byte.
func TestGoldenExchanges(t *testing.T) {
	for name, d := range dialects {
		requests, _ := filepath.Glob(filepath.Join("testdata", name, "*.request.json"))
		if len(requests) < 5 {
			t.Fatalf("%s has %d golden requests", name, len(requests))
		}
		for _, path := range requests {
			model, _, _ := strings.Cut(filepath.Base(path), "-")
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := append(exchange(d, models[model], body), '\n')
			if !json.Valid(got) {
				t.Errorf("%s: the answer is no JSON: %s", path, got)
			}
			answer := strings.Replace(path, ".request.", ".answer.", 1)
			if *update {
				if err := os.WriteFile(answer, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(answer)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s\n got %s want %s", path, got, want)
			}
		}
	}
}

// same compares tensors with NaN equal to NaN.
func same(a, b tensor.Tensor) bool {
	if a.Name != b.Name || a.DType() != b.DType() || a.Len() != b.Len() || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i := range a.Shape {
		if a.Shape[i] != b.Shape[i] {
			return false
		}
	}
	switch x := a.Data.(type) {
	case []float32:
		for i, v := range b.Data.([]float32) {
			if math.Float32bits(v) != math.Float32bits(x[i]) && (v == v || x[i] == x[i]) {
				return false
			}
		}
		return true
	case []float64:
		for i, v := range b.Data.([]float64) {
			if math.Float64bits(v) != math.Float64bits(x[i]) && (v == v || x[i] == x[i]) {
				return false
			}
		}
		return true
	}
	return a.Len() == 0 || reflect.DeepEqual(a.Data, b.Data)
}

// wellFormed checks what every decoded request keeps: tensors that hold what their shapes say, in memory in proportion to the body.
func wellFormed(t *testing.T, x Exchange, size int) {
	t.Helper()
	for _, in := range x.Request().Inputs {
		if err := in.Check(); err != nil {
			t.Fatalf("a decoded tensor does not pass Check: %v", err)
		}
		if c := reflect.ValueOf(in.Data).Cap(); c > size+64 {
			t.Fatalf("room for %d elements was made for a body of %d bytes", c, size)
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestClaimedSizesAllocateNothing(t *testing.T) {
	bodies := map[string][]string{
		"seldon": {
			`{"data":{"tensor":{"shape":[2147483647],"values":[1]}}}`,
			`{"data":{"tensor":{"shape":[50000,3],"values":[1]}}}`,
			`{"data":{"tensor":{"values":[1],"shape":[1,2147483647]}}}`,
			`{"data":{"tensor":{"shape":[1099511627776,1099511627776],"values":[1]}}}`,
		},
		"openinference": {
			`{"inputs":[{"name":"input","shape":[2147483647],"datatype":"FP32","data":[1]}]}`,
			`{"inputs":[{"name":"input","shape":[16000000],"datatype":"BYTES","data":["1"]}]}`,
			`{"inputs":[{"data":[1],"name":"input","shape":[90000,100],"datatype":"FP64"}]}`,
			`{"inputs":[{"name":"input","shape":[100000,0,1000000000],"datatype":"FP32","data":[1]}]}`,
			`{"inputs":[{"name":"input","shape":[9223372036854775807],"datatype":"FP32","data":[1]}]}`,
		},
	}
	for name, list := range bodies {
		for _, body := range list {
			var err error
			n := allocated(func() { _, err = dialects[name].Decode([]byte(body), score, Limits{}) })
			if err == nil || fault.KindOf(err) != fault.Invalid || n > 64<<10 {
				t.Errorf("%s: %d bytes allocated, %v", body, n, err)
			}
		}
	}
}

func TestLimitsAreKept(t *testing.T) {
	rows := func(n int) string { return strings.TrimSuffix(strings.Repeat("[1,2,3],", n), ",") }
	small := Limits{Rows: 4, Elements: 15}
	for _, tt := range []struct {
		dialect, body string
		limits        Limits
		want          string // "" for none
	}{
		{"seldon", `{"data":{"ndarray":[` + rows(4) + `]}}`, small, ""},
		{"seldon", `{"data":{"ndarray":[` + rows(5) + `]}}`, small, "more than 4 rows"},
		{"seldon", `{"data":{"ndarray":[` + rows(6) + `]}}`, Limits{Rows: 9, Elements: 15}, "more than 15 values"},
		{"seldon", `{"data":{"tensor":{"shape":[5,3],"values":[1,2,3,1,2,3,1,2,3,1,2,3,1,2,3]}}}`, small, "5 rows; a request may have 4"},
		{"seldon", `{"data":{"tensor":{"shape":[4,4],"values":[1,2,3,1,2,3,1,2,3,1,2,3,1,2,3,1]}}}`, small, "more than 15 values"},
		{"openinference", `{"inputs":[{"name":"input","shape":[4,3],"datatype":"FP32","data":[` + rows(4) + `]}]}`, small, ""},
		{"openinference", `{"inputs":[{"name":"input","shape":[5,3],"datatype":"FP32","data":[` + rows(5) + `]}]}`, small, "5 rows; a request may have 4"},
		{"openinference", `{"inputs":[{"name":"a","shape":[8],"datatype":"INT8","data":[1,1,1,1,1,1,1,1]},{"name":"b","shape":[8],"datatype":"INT8","data":[1,1,1,1,1,1,1,1]}]}`,
			small, `input "b": shape [8] has more values than a request may hold (15)`},
	} {
		_, err := dialects[tt.dialect].Decode([]byte(tt.body), score, tt.limits)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.body, err, tt.want)
		}
	}
}
