package wire

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// client is what the tests, like predict/upstream, want of one.
type client interface {
	Ask(dst []byte, q *Question) ([]byte, Frame, error)
	Read(body []byte, f Frame, q *Question, l Limits) (*tensor.Response, error)
}

// pairs are the clients with the servers that understand them.
var pairs = map[string]struct {
	client client
	server dialect
}{
	"seldon":          {SeldonClient{}, Seldon{}},
	"seldon tensor":   {SeldonClient{Tensor: true}, Seldon{}},
	"open inference":  {OpenInferenceClient{}, OpenInference{}},
	"binary":          {OpenInferenceClient{Binary: true}, OpenInference{}},
	"KServe v1":       {V1Client{}, V1{}},
	"TensorFlow's v1": {V1Client{}, V1{Tensorflow: true}},
	"MLflow":          {MLflowClient{}, MLflow{}},
}

// serve decodes a body as the server does.
func serve(d dialect, body []byte, f Frame, s tensor.Signature) (Exchange, error) {
	if f.HeaderBytes > 0 {
		return d.(OpenInference).DecodeCall(body, headers{HeaderLength: fmt.Sprint(f.HeaderBytes), "Content-Type": f.ContentType}, s, Limits{})
	}
	return d.Decode(body, s, Limits{})
}

// frameOf is the frame of the last answer.
func frameOf(x Exchange) Frame {
	if f, ok := x.(Framer); ok {
		return f.Frame()
	}
	return Frame{}
}

// drawData draws n elements of a type, whole numbers up to top.
func drawData(t *rapid.T, d tensor.DType, n int, top uint64, missing bool) any {
	double, single := rapid.Float64(), rapid.Float32()
	if missing {
		double = rapid.OneOf(double, rapid.Just(math.NaN()))
		single = rapid.OneOf(single, rapid.Just(float32(math.NaN())), rapid.Just(float32(roundedTwice)))
	}
	long, positive := rapid.Int64(), rapid.Uint64Range(0, top)
	if top < math.MaxInt64 {
		long = rapid.Int64Range(-int64(top), int64(top))
	}
	switch d {
	case tensor.Float32:
		return drawn(t, n, single)
	case tensor.Float64:
		return drawn(t, n, double)
	case tensor.Bool:
		return drawn(t, n, rapid.Bool())
	case tensor.Int64:
		return drawn(t, n, long)
	case tensor.Int32:
		return drawn(t, n, rapid.Int32())
	case tensor.Int16:
		return drawn(t, n, rapid.Int16())
	case tensor.Int8:
		return drawn(t, n, rapid.Int8())
	case tensor.Uint64:
		return drawn(t, n, positive)
	case tensor.Uint32:
		return drawn(t, n, rapid.Uint32())
	case tensor.Uint16:
		return drawn(t, n, rapid.Uint16())
	case tensor.Uint8:
		return drawn(t, n, rapid.Uint8())
	}
	return drawn(t, n, rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00", `"`, "b64", "NaN", "null"})))
}

func drawn[T tensor.Element](t *rapid.T, n int, g *rapid.Generator[T]) any {
	return rapid.SliceOfN(g, n, n).Draw(t, "values")
}

// drawTensors draws inputs or outputs, and tensors of so many rows that fit them.
func drawTensors(t *rapid.T, rows, most int, asked bool, top uint64) (specs []tensor.Spec, list []tensor.Tensor) {
	for i := range rapid.IntRange(1, most).Draw(t, "how many") {
		p := tensor.Spec{Name: fmt.Sprintf("%c \"t\u00e9nsor\"", 'a'+i), DType: tensor.DType(rapid.IntRange(int(tensor.Bool), int(tensor.Bytes)).Draw(t, "type")), Shape: []int{-1}}
		shape, n := []int{rows}, rows
		for range rapid.IntRange(0, 2).Draw(t, "more dimensions") {
			d := rapid.IntRange(1, 3).Draw(t, "size")
			p.Shape, shape, n = append(p.Shape, d), append(shape, d), n*d
		}
		if len(shape) == 2 && asked && rapid.Bool().Draw(t, "columns have names") {
			for k := range shape[1] {
				p.Columns = append(p.Columns, fmt.Sprintf("column %d of %d", k, i))
			}
		}
		missing := asked && p.DType <= tensor.Float64
		specs = append(specs, p)
		list = append(list, tensor.Tensor{Name: p.Name, Shape: shape, Data: drawData(t, p.DType, n, top, missing)})
	}
	return specs, list
}

// TestServersReadWhatClientsAskAndClientsReadWhatServersAnswer takes tensors of any type there and back: they are the same to the last bit.
func TestServersReadWhatClientsAskAndClientsReadWhatServersAnswer(t *testing.T) {
	for name, p := range pairs {
		t.Run(name, func(t *testing.T) {
			seldon, frames := strings.HasPrefix(name, "seldon"), strings.Contains(name, "v1") || name == "MLflow"
			rapid.Check(t, func(t *rapid.T) {
				rows := rapid.IntRange(1, 4).Draw(t, "rows")
				var s tensor.Signature
				r := tensor.Request{ID: rapid.SampledFrom([]string{"", "an \"id\""}).Draw(t, "id")}
				most, top := 3, uint64(math.MaxUint64)
				switch {
				case seldon: // whose numbers are doubles, and which answers with one output
					most, top = 1, maxExact-1
				case frames: // whose cells our server keeps as INT64
					top = math.MaxInt64
				}
				s.Inputs, r.Inputs = drawTensors(t, rows, 3, true, top)
				var response tensor.Response
				s.Outputs, response.Outputs = drawTensors(t, rows, most, false, math.MaxUint64)
				q := Question{Request: &r, Signature: s}
				body, f, err := p.client.Ask([]byte("kept"), &q)
				if err != nil {
					t.Fatal(err)
				}
				body = body[len("kept"):]
				x, err := serve(p.server, body, f, s)
				if err == nil {
					err = s.Check(x.Request())
				}
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				if id := x.Request().ID; id != r.ID && (seldon || f.HeaderBytes > 0) {
					t.Fatalf("%s has the id %q", body, id)
				}
				for i := range r.Inputs {
					if got := x.Request().Inputs[i]; !sameNumbers(got, r.Inputs[i]) {
						t.Fatalf("%v was written as %s and read as %v", r.Inputs[i], body, got)
					}
				}
				answer, err := x.Answer(nil, meta, &response)
				if err != nil {
					t.Fatal(err)
				}
				got, err := p.client.Read(answer, frameOf(x), &q, Limits{})
				if err != nil || len(got.Outputs) != len(response.Outputs) {
					t.Fatalf("%s is read as %v, %v", answer, got, err)
				}
				for i := range response.Outputs {
					if !same(got.Outputs[i], response.Outputs[i]) {
						t.Fatalf("%v was answered as %s and read as %v", response.Outputs[i], answer, got.Outputs[i])
					}
				}
			})
		})
	}
}

// sameNumbers compares what was read with what was sent. A table keeps whole numbers as INT64.
func sameNumbers(got, want tensor.Tensor) bool {
	if as, err := asType(&got, want.DType()); err == nil {
		got = as
	}
	return same(got, want)
}

// TestOutputsComeAsTheyAre reads answers of servers that nobody has described.
func TestOutputsComeAsTheyAre(t *testing.T) {
	const null = `NaN`
	for _, tt := range []struct {
		client client
		body   string
		want   string
	}{
		{V1Client{}, `{"predictions":[0.25,1]}`, "prediction FP64 [2] [0.25 1]"},
		{V1Client{}, `{"predictions":[1,-2]}`, "prediction INT64 [2] [1 -2]"},
		{V1Client{}, `{"predictions":[1,0.5,2]}`, "prediction FP64 [3] [1 0.5 2]"},
		{V1Client{}, `{"predictions":[18446744073709551615]}`, "prediction FP64 [1] [1.8446744073709552e+19]"},
		{V1Client{}, `{"predictions":[true,false]}`, "prediction BOOL [2] [true false]"},
		{V1Client{}, `{"predictions":[null,1]}`, "prediction FP64 [2] [" + null + " 1]"},
		{V1Client{}, `{"predictions":["a","b"]}`, "prediction BYTES [2] [a b]"},
		{V1Client{}, `{"predictions":[{"b64":"aGk="}]}`, "prediction BYTES [1] [hi]"},
		{V1Client{}, `{"predictions":[[[1,2]],[[3,4]]],"model_spec":{}}`, "prediction INT64 [2,1,2] [1 2 3 4]"},
		{V1Client{}, `{"predictions":[{"label":"a","p":[0.5,0.5]},{"p":[1,0],"label":"b"}]}`, "label BYTES [2] [a b]; p FP64 [2,2] [0.5 0.5 1 0]"},
		{V1Client{}, `{"predictions":5}`, "prediction INT64 [1] [5]"},
		{V1Client{}, `{"outputs":{"a":[1],"b":[[0.5]]}}`, "a INT64 [1] [1]; b FP64 [1,1] [0.5]"},
		{V1Client{}, `{"outputs":[[1],[2]]}`, "prediction INT64 [2,1] [1 2]"},
		{MLflowClient{}, `{"predictions":[{"0":1.5,"1":"x"},{"0":2,"1":"y"}]}`, "0 FP64 [2] [1.5 2]; 1 BYTES [2] [x y]"},
		{MLflowClient{}, `[1.5,2]`, "prediction FP64 [2] [1.5 2]"},
		{MLflowClient{}, `{"predictions":{"a":[1,2],"b":["x","y"]}}`, "a INT64 [2] [1 2]; b BYTES [2] [x y]"},
		{MLflowClient{}, `{"predictions":"some text"}`, "prediction BYTES [1] [some text]"},
		{SeldonClient{}, `{"data":{"names":["t:0"],"ndarray":[[0.5],[2]]},"meta":{"tags":{}}}`, "prediction FP64 [2,1] [0.5 2]"},
		{SeldonClient{}, `{"data":{"tensor":{"values":[1,2,3,4],"shape":[2,2]},"names":[]}}`, "prediction INT64 [2,2] [1 2 3 4]"},
		{SeldonClient{}, `{"data":{"tensor":{"shape":[2],"values":["NaN",2]}}}`, "prediction FP64 [2] [NaN 2]"},
		{SeldonClient{}, `{"data":{"ndarray":["no","yes"]},"status":{"status":0,"code":200}}`, "prediction BYTES [2] [no yes]"},
		{SeldonClient{}, `{"strData":"hello","status":{"status":"SUCCESS"}}`, "prediction BYTES [1] [hello]"},
		{SeldonClient{}, `{"binData":"aGk="}`, "prediction BYTES [1] [hi]"},
		{SeldonClient{}, `{"jsonData":{"label":"yes","score":[0.5]}}`, "label BYTES [1] [yes]; score FP64 [1] [0.5]"},
		{SeldonClient{}, `{"jsonData":[[1,2]]}`, "prediction INT64 [1,2] [1 2]"},
		{SeldonClient{}, `{"jsonData":0.5}`, "prediction FP64 [1] [0.5]"},
		{OpenInferenceClient{}, `{"model_name":"m","outputs":[{"name":"x","shape":[1,2],"datatype":"INT32","data":[1,2]},{"data":["a"],"name":"y","datatype":"BYTES","shape":[1]}]}`,
			"x INT32 [1,2] [1 2]; y BYTES [1] [a]"},
	} {
		q := Question{Request: &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{2, 1}, []float64{1, 2})}}}
		got, err := tt.client.Read([]byte(tt.body), Frame{}, &q, Limits{})
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
		} else if text := outputsText(got); text != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.body, text, tt.want)
		}
	}
}

// outputsText is an answer as text.
func outputsText(r *tensor.Response) string {
	var parts []string
	for _, o := range r.Outputs {
		parts = append(parts, fmt.Sprintf("%s %s %s %v", o.Name, o.DType(), appendShape(nil, o.Shape), o.Data))
	}
	return strings.Join(parts, "; ")
}

// TestAnswersThatDoNotFitAreOurOwnFault reads answers to a question about two rows, for score: what does not fit is Internal, and says why.
func TestAnswersThatDoNotFitAreOurOwnFault(t *testing.T) {
	for _, tt := range []struct {
		client     client
		body, want string // the outputs, or a part of the error
	}{
		{V1Client{}, `{"predictions":[1,2.5]}`, "prediction FP32 [2] [1 2.5]"},
		{V1Client{}, `{"predictions":[[1],[2.5]]}`, "prediction FP32 [2] [1 2.5]"},
		{V1Client{}, `{"predictions":[{"prediction":1,"x":{}},{"x":0,"prediction":2}]}`, "prediction FP32 [2] [1 2]"},
		{V1Client{}, `{"predictions":[1]}`, "has 1 rows where 2 were asked about"},
		{V1Client{}, `{"predictions":[[1,2],[3,4]]}`, "has the shape [2 2]; the signature says [-1]"},
		{V1Client{}, `{"predictions":["a","b"]}`, "predictions: FP32, element 0"},
		{V1Client{}, `{"predictions":[1e39,1]}`, "does not fit a 32-bit float"},
		{V1Client{}, `{"predictions":[{"prediction":1},{}]}`, `"prediction" comes 1 times in 2 rows`},
		{V1Client{}, `{"predictions":[{"prediction":1,"prediction":2},{}]}`, `"prediction" comes 1 times in 0 rows`},
		{V1Client{}, `{"predictions":[{"x":1},{"x":2}]}`, `"prediction" comes 0 times in 2 rows`},
		{V1Client{}, `{"predictions":{"x":[1,2]}}`, "holds no output"},
		{V1Client{}, `{"predictions":{"prediction":[1,2]}}`, "prediction FP32 [2] [1 2]"},
		{V1Client{}, `{"predictions":[1,2],"outputs":[1,2]}`, "beside other outputs"},
		{V1Client{}, `{"error":"no"}`, "neither predictions nor outputs"},
		{V1Client{}, `<html>`, "cannot be read"},
		{V1Client{}, ``, "cannot be read"},
		{V1Client{}, `{"predictions":[1,2]} x`, "cannot be read"},
		{MLflowClient{}, `{"predictions":null}`, "no predictions"},
		{MLflowClient{}, `7`, "cannot be read"},
		{SeldonClient{}, `{"data":{"ndarray":[[1],[2]]}}`, "prediction FP32 [2] [1 2]"},
		{SeldonClient{}, `{"data":{"ndarray":[[1],[2]]},"status":{"status":"FAILURE","info":"out of order"}}`, "a failure: out of order"},
		{SeldonClient{}, `{"status":{"status":1,"reason":"BAD"}}`, "a failure: BAD"},
		{SeldonClient{}, `{"data":{"names":["a"]}}`, "data holds 0 of tensor and ndarray"},
		{SeldonClient{}, `{"data":{"ndarray":[1,2],"tensor":{"shape":[2],"values":[1,2]}}}`, "data holds 2 of tensor and ndarray"},
		{SeldonClient{}, `{"data":{"tensor":{"shape":[3],"values":[1,2]}}}`, "has 2 values, but shape [3] needs 3"},
		{SeldonClient{}, `{"data":{"tensor":{"shape":[2147483647,2147483647],"values":[1,2]}}}`, "is too large"},
		{SeldonClient{}, `{"data":{"tensor":{"values":[1,2]}}}`, "no shape or no values"},
		{SeldonClient{}, `{"data":{"tftensor":{}}}`, "tftensor is not read"},
		{SeldonClient{}, `{"data":{"ndarray":[1,2]},"strData":"x"}`, "beside other outputs"},
		{SeldonClient{}, `{"strData":"x"}`, "holds BYTES; the signature says FP32"},
		{SeldonClient{}, `{"meta":{}}`, "no data"},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[2],"datatype":"FP32","data":[1,2]},{"name":"z","shape":[1],"datatype":"INT8","data":[1]}]}`,
			"prediction FP32 [2] [1 2]"},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[2,1],"datatype":"INT16","data":[1,2]}]}`, "prediction FP32 [2] [1 2]"},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[2],"datatype":"FP64","data":[1,2]}]}`, "holds FP64; the signature says FP32"},
		{OpenInferenceClient{}, `{"outputs":[{"name":"predict","shape":[2],"datatype":"FP32","data":[1,2]}]}`, `no output "prediction"; it has "predict"`},
		{OpenInferenceClient{}, `{"outputs":[]}`, "holds no output"},
		{OpenInferenceClient{}, `{"inputs":[]}`, "has no outputs"},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[2],"datatype":"FP32","data":[1]}]}`, `output "prediction"`},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[1000000000],"datatype":"FP32","data":[1]}]}`, "more values than"},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}`, "all of the body is JSON"},
	} {
		q := Question{Request: &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{2, 3}, make([]float32, 6))}}, Signature: score}
		got, err := tt.client.Read([]byte(tt.body), Frame{}, &q, Limits{})
		if err == nil {
			if text := outputsText(got); text != tt.want {
				t.Errorf("%s: got %s, want %s", tt.body, text, tt.want)
			}
		} else if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v (%v), want %q", tt.body, err, fault.KindOf(err), tt.want)
		}
	}
}

// goldenQuestions are questions whose bodies are kept.
var goldenQuestions = map[string]Question{
	"score": {Signature: score, Request: &tensor.Request{ID: "an \"id\"", Inputs: []tensor.Tensor{
		tensor.New("input", []int{2, 3}, []float64{1, math.NaN(), 0.1, roundedTwice, -2.5, 1e300 / 1e280}),
	}}},
	"margin": {Signature: score, Request: &tensor.Request{Outputs: []string{"margin"}, Inputs: []tensor.Tensor{tensor.New("input", []int{1, 3}, []float32{1, 2, 3})}}},
	"mixed": {Signature: v1Models["mixed"], Request: &tensor.Request{Inputs: []tensor.Tensor{
		tensor.New("word", []int{2}, []string{"a \"word\"", "b"}), tensor.New("numbers", []int{2, 2}, []float32{0.1, 2, 3, 4}),
		tensor.New("stars", []int{2, 1}, []int64{5, -1}), tensor.New("good", []int{2}, []float64{1, 0}),
	}}},
	"columns": {Signature: tensor.Signature{Inputs: []tensor.Spec{spec("age", tensor.Float64, -1, 1), spec("city", tensor.Bytes, -1)}}, Request: &tensor.Request{Inputs: []tensor.Tensor{
		tensor.New("age", []int{2, 1}, []float64{30, math.NaN()}), tensor.New("city", []int{2}, []string{"Ulm", "K\u00f6ln"}),
	}}},
	"open": {Request: &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{1, 3}, []float32{0.1, 2, 3})}}},
}

// TestGoldenQuestions holds what each client asks against the file beside, byte for byte.
func TestGoldenQuestions(t *testing.T) {
	for name, p := range pairs {
		for what, q := range goldenQuestions {
			body, _, err := p.client.Ask(nil, &q)
			if err != nil {
				body = fmt.Appendf(nil, "error: %v", err)
			}
			path := filepath.Join("testdata", "clients", strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), "'", "")+"-"+what+".golden")
			got := string(body) + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || got != string(want) {
				t.Errorf("%s: got %q, want %q, %v", path, got, want, err)
			}
		}
	}
}

func TestRequestsThatCannotBeWrittenAreRefused(t *testing.T) {
	rows := func(data any) tensor.Request {
		x := tensor.Tensor{Name: "input", Data: data}
		x.Shape = []int{1, x.Len()}
		return tensor.Request{Inputs: []tensor.Tensor{x}}
	}
	whole := tensor.Signature{Inputs: []tensor.Spec{spec("input", tensor.Int8, -1, -1)}}
	for name, p := range pairs {
		for _, tt := range []struct {
			request   tensor.Request
			signature tensor.Signature
			want      string
		}{
			{tensor.Request{}, score, "no input"},
			{tensor.Request{Inputs: []tensor.Tensor{{Name: "input", Shape: []int{2}, Data: []float32{1}}}}, score, "needs 2"},
			{rows([]float64{1.5}), whole, "element 0: 1.5 is no INT8"},
			{rows([]float64{1, math.NaN()}), whole, "element 1: NaN is no INT8"},
			{rows([]int64{1, 2, 128}), whole, "element 2: 128 is no INT8"},
			{rows([]string{"x"}), whole, "holds BYTES where INT8 is needed"},
			{rows([]float64{1e39}), score, "element 0: 1e+39 is no FP32"},
		} {
			if body, _, err := p.client.Ask(nil, &Question{Request: &tt.request, Signature: tt.signature}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %s, %v; want %s", name, body, err, tt.want)
			}
		}
		for want, r := range map[string]tensor.Request{
			"is +Inf, which JSON cannot carry": rows([]float64{1, math.Inf(1)}), "not valid UTF-8": rows([]string{"\xff"}),
		} {
			_, _, err := p.client.Ask(nil, &Question{Request: &r})
			carried := name == "binary" || strings.Contains(name, "v1") && strings.Contains(want, "UTF-8") // which has {"b64": ...}
			if carried != (err == nil) || err != nil && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
}

// TestClaimsOfAnswersAllocateNothing reads answers that claim to be long, or are and hold nothing.
func TestClaimsOfAnswersAllocateNothing(t *testing.T) {
	const n = 20_000
	for _, tt := range []struct {
		client client
		body   string
	}{
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[2147483647],"datatype":"FP32","data":[1]}]}`},
		{OpenInferenceClient{}, `{"outputs":[{"name":"prediction","shape":[16000000],"datatype":"BYTES","data":["1"]}]}`},
		{OpenInferenceClient{}, `{"outputs":[` + strings.Repeat("{},", n) + `{}]}`},
		{SeldonClient{}, `{"data":{"tensor":{"shape":[2147483647],"values":[1]}}}`},
		{SeldonClient{}, `{"data":{"names":[` + strings.Repeat(`"",`, n) + `""],"ndarray":[]}}`},
		{V1Client{}, `{"predictions":[` + strings.Repeat("{},", n) + `{}]}`},
		{V1Client{}, `{"predictions":[` + strings.Repeat("[],", n) + `[]]}`},
		{V1Client{}, `{"predictions":` + strings.Repeat("[", n)},
		{MLflowClient{}, `{"predictions":{` + strings.Repeat(`"a":1,`, n) + `"b":1}}`},
		{MLflowClient{}, `{"predictions":[{` + strings.Repeat(`"a":1,`, n) + `"b":1}]}`},
	} {
		for _, s := range []tensor.Signature{{}, score, severalOutputs} {
			var err error
			used := allocated(func() {
				_, err = tt.client.Read([]byte(tt.body), Frame{}, &Question{Request: &twoRows, Signature: s}, Limits{})
			})
			if limit := uint64(100*len(tt.body) + 1<<18); used > limit {
				t.Errorf("%.80s: %d bytes were allocated for an answer of %d: %v", tt.body, used, len(tt.body), err)
			}
		}
	}
	long := `{"predictions":[` + strings.Repeat("1,", n) + `1]}`
	if _, err := (V1Client{}).Read([]byte(long), Frame{}, &Question{Request: &twoRows}, Limits{Elements: 100}); err == nil || !strings.Contains(err.Error(), "more than 100 values") {
		t.Errorf("got %v", err)
	}
}
