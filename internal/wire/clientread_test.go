package wire

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestComplaintsAreFoundWhereServersPutThem(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"no such model"}`:                                                       "no such model",
		`{"status":{"status":1,"info":"wrong","code":-1,"reason":"BAD"}}`:                 "wrong",
		`{"status":{"code":500,"info":"","reason":"EMPTY","status":"FAILURE"}}`:           "FAILURE",
		`{"error_code":"BAD_REQUEST","message":"a\nb\u0000","stack_trace":"File \"x\""}`:  "a b",
		`{"detail":[{"loc":["body","inputs"],"msg":"field required"},{"msg":"another"}]}`: "field required",
		`{"detail":"Not Found"}`:                        "Not Found",
		`{"error":{"code":3,"message":"inner"}}`:        "inner",
		`{"code":5,"message":"not found","details":[]}`: "not found",
		`"a text"`:                      "a text",
		"  plain\r\ntext ":              "plain text",
		`<html><body>502</body></html>`: "",
		``:                              "",
		`{"a":1}`:                       "",
		`{"error":`:                     "",
		`{"error":"` + strings.Repeat("\u00e9", 300) + `"}`: strings.Repeat("\u00e9", 200) + "...",
	} {
		if got := Complaint([]byte(body)); got != want {
			t.Errorf("%.60s: got %q, want %q", body, got, want)
		}
	}
}

// TestOneFloatIsWrittenAsADouble is about the one float32 whose shortest decimal is another once it has been a double.
func TestOneFloatIsWrittenAsADouble(t *testing.T) {
	v := float32(roundedTwice)
	shortest := strconv.FormatFloat(float64(v), 'g', -1, 32)
	if d, _ := strconv.ParseFloat(shortest, 64); float32(d) == v {
		t.Errorf("%s is no such float", shortest)
	}
	for _, v := range []float32{v, -v} {
		text := appendFloat(nil, float64(v), 32)
		if d, err := strconv.ParseFloat(string(text), 64); err != nil || float32(d) != v {
			t.Errorf("%s reads as %v, not %v", text, float32(d), v)
		}
	}
}

// TestNumbersBecomeTheTypeThatIsNeeded converts numbers that every type holds from each type to each other, and others that some do not.
func TestNumbersBecomeTheTypeThatIsNeeded(t *testing.T) {
	plain := map[tensor.DType]any{
		tensor.Bool: []bool{false, true}, tensor.Uint8: []uint8{0, 1}, tensor.Uint16: []uint16{0, 1}, tensor.Uint32: []uint32{0, 1}, tensor.Uint64: []uint64{0, 1},
		tensor.Int8: []int8{0, 1}, tensor.Int16: []int16{0, 1}, tensor.Int32: []int32{0, 1}, tensor.Int64: []int64{0, 1},
		tensor.Float32: []float32{0, 1}, tensor.Float64: []float64{0, 1},
	}
	for from, data := range plain {
		for to, want := range plain {
			x := tensor.Tensor{Name: "x", Shape: []int{2}, Data: data}
			if got, err := asType(&x, to); err != nil || !reflect.DeepEqual(got.Data, want) {
				t.Errorf("%v to %v: %v, %v", from, to, got.Data, err)
			}
			if widens(from, to) && to != tensor.Float32 && to != tensor.Float64 {
				t.Errorf("%v is said to widen to %v", from, to)
			}
		}
	}
	for _, tt := range []struct {
		data any
		to   tensor.DType
		want any // nil: refused
	}{
		{[]float64{0.1}, tensor.Float32, []float32{0.1}},
		{[]float64{1e39}, tensor.Float32, nil},
		{[]float64{math.Inf(1)}, tensor.Float32, []float32{float32(math.Inf(1))}},
		{[]int64{1<<53 + 1}, tensor.Float64, []float64{1 << 53}},
		{[]int64{16777217}, tensor.Float32, []float32{16777216}},
		{[]int64{1<<62 + 1}, tensor.Uint64, []uint64{1<<62 + 1}},
		{[]int64{-1}, tensor.Uint64, nil},
		{[]int64{2}, tensor.Bool, nil},
		{[]int32{-129}, tensor.Int8, nil},
		{[]uint64{1 << 63}, tensor.Int64, nil},
		{[]uint64{7}, tensor.Int64, []int64{7}},
		{[]float64{1 << 53}, tensor.Int64, nil}, // which may not be what was meant
		{[]float64{-0.5}, tensor.Int16, nil},
		{[]float64{math.NaN()}, tensor.Bool, nil},
		{[]string{"1"}, tensor.Int64, nil},
		{[]int64{1}, tensor.Bytes, nil},
	} {
		x := tensor.Tensor{Name: "x", Shape: []int{1}, Data: tt.data}
		got, err := asType(&x, tt.to)
		if tt.want == nil && fault.KindOf(err) != fault.Invalid || tt.want != nil && (err != nil || !reflect.DeepEqual(got.Data, tt.want)) {
			t.Errorf("%v to %v: %v, %v", tt.data, tt.to, got.Data, err)
		}
	}
}

// TestWholeNumbersMayComeAsDoubles reads answers of servers that have no other numbers.
func TestWholeNumbersMayComeAsDoubles(t *testing.T) {
	counts := tensor.Signature{Outputs: []tensor.Spec{spec("n", tensor.Uint8, -1)}}
	for body, want := range map[string]string{
		`{"data":{"ndarray":[1.0,2.0]}}`: "n UINT8 [2] [1 2]", `{"data":{"ndarray":[[1.0],[255]]}}`: "n UINT8 [2] [1 255]",
		`{"data":{"ndarray":[1.5,2.0]}}`: "element 0: 1.5 is no UINT8", `{"data":{"ndarray":[1,256]}}`: "element 1: 256 is no UINT8", `{"data":{"ndarray":[1,"x"]}}`: "UINT8, element 1",
	} {
		got, err := SeldonClient{}.Read([]byte(body), Frame{}, &Question{Request: &twoRows, Signature: counts}, Limits{})
		if err == nil && outputsText(got) != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %s", body, got, err, want)
		}
	}
}

// TestColumnsThatAreNamedAreOutputs reads the one tensor of Seldon's as several outputs.
func TestColumnsThatAreNamedAreOutputs(t *testing.T) {
	two := tensor.Signature{Outputs: []tensor.Spec{spec("p", tensor.Float32, -1), spec("class", tensor.Int64, -1)}}
	texts := tensor.Signature{Outputs: []tensor.Spec{spec("a", tensor.Bytes, -1), spec("b", tensor.Bytes, -1)}}
	for _, tt := range []struct {
		body string
		s    tensor.Signature
		asks []string
		want string
	}{
		{`{"data":{"names":["class","p"],"ndarray":[[1,0.25],[2,0.5]]}}`, two, nil, "p FP32 [2] [0.25 0.5]; class INT64 [2] [1 2]"},
		{`{"data":{"ndarray":[[1,0.25,9],[2,0.5,9]],"names":["class","p","x"]},"meta":{}}`, two, nil, "p FP32 [2] [0.25 0.5]; class INT64 [2] [1 2]"},
		{`{"data":{"names":["class","p"],"ndarray":[[1,0.25],[2,0.5]]}}`, two, []string{"class"}, "class INT64 [2] [1 2]"},
		{`{"data":{"names":["a","b"],"ndarray":[["x","y"],["z","w"]]}}`, texts, nil, "a BYTES [2] [x z]; b BYTES [2] [y w]"},
		{`{"jsonData":{"p":[0.25,0.5],"class":[1,2],"x":{}}}`, two, nil, "p FP32 [2] [0.25 0.5]; class INT64 [2] [1 2]"},
		{`{"data":{"names":["class","p"],"ndarray":[[1.5,0.25],[2,0.5]]}}`, two, nil, `data.ndarray, row 0: "class" is no INT64`},
		{`{"data":{"names":["class","p"],"ndarray":[[1],[2]]}}`, two, nil, "has the shape [2 1] where 2 columns are named"},
		{`{"data":{"names":["class","p"],"ndarray":[[1,"x"],[2,0.5]]}}`, two, nil, "data.ndarray: FP64, element 1"},
		{`{"data":{"names":["t:0","t:1"],"ndarray":[[1,0.25],[2,0.5]]}}`, two, nil, `output "p" has the shape [2 2]; the signature says [-1]`},
		{`{"data":{"tensor":{"shape":[2],"values":[1,2]}}}`, two, nil, `no output "class"; it has "p"`},
	} {
		r := twoRows
		r.Outputs = tt.asks
		got, err := SeldonClient{}.Read([]byte(tt.body), Frame{}, &Question{Request: &r, Signature: tt.s}, Limits{})
		if err == nil && outputsText(got) != tt.want || err != nil && (fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, %v; want %s", tt.body, got, err, tt.want)
		}
	}
}

func TestTheFrameOfAnAnswerIsReadFromItsHeader(t *testing.T) {
	for length, want := range map[string]int{"": 0, "12": 12, "0": -1, "-1": -1, "x": -1, "99999999999": -1, "+1": -1} {
		f, err := ReadFrame("application/octet-stream", length)
		if want < 0 && fault.KindOf(err) != fault.Internal || want < 0 == (err == nil) || want >= 0 && f.HeaderBytes != want {
			t.Errorf("%q: %v, %v", length, f, err)
		}
	}
	answer := []byte(`{"outputs":[]}`)
	for _, f := range []Frame{{HeaderBytes: len(answer) + 1}, {HeaderBytes: 1}} {
		if _, err := (OpenInferenceClient{}).Read(answer, f, &Question{Request: &twoRows}, Limits{}); fault.KindOf(err) != fault.Internal || err == nil {
			t.Errorf("%d bytes of JSON: %v", f.HeaderBytes, err)
		}
	}
	const one = `{"outputs":[{"name":"prediction","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}`
	if _, err := (OpenInferenceClient{}).Read([]byte(one+"0123456789"), Frame{HeaderBytes: len(one)}, &Question{Request: &twoRows, Signature: score}, Limits{}); err == nil ||
		!strings.Contains(err.Error(), "2 bytes of binary data belong to no output") {
		t.Errorf("got %v", err)
	}
}
