package load

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/rows"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// header is a payload's, as a dialect asks for it.
type header []Field

func (h header) Lookup(from wire.Origin, name string) (value string, count int) {
	for _, f := range h {
		if from == wire.Header && strings.EqualFold(f.Name, name) {
			value, count = f.Value, count+1
		}
	}
	return value, count
}

// decode reads a payload as the server does.
func decode(d Dialect, p *Payload, s tensor.Signature) (*tensor.Request, error) {
	type decoder interface {
		Decode(body []byte, s tensor.Signature, l wire.Limits) (wire.Exchange, error)
	}
	dialect := map[Dialect]decoder{
		V2: wire.OpenInference{}, V2Binary: wire.OpenInference{}, V2GRPC: wire.OpenInferenceProto{},
		Seldon: wire.Seldon{}, SeldonNdarray: wire.Seldon{}, SeldonGRPC: wire.SeldonProto{}, V1: wire.V1{}, MLflow: wire.MLflow{},
	}[d]
	var exchange wire.Exchange
	var err error
	if c, ok := dialect.(interface {
		DecodeCall(body []byte, call wire.Call, s tensor.Signature, l wire.Limits) (wire.Exchange, error)
	}); ok {
		exchange, err = c.DecodeCall(p.Body, header(p.Header), s, wire.Limits{})
	} else {
		exchange, err = dialect.Decode(p.Body, s, wire.Limits{})
	}
	if err != nil {
		return nil, err
	}
	request := exchange.Request()
	return request, s.Check(request)
}

// same tells whether two tensors hold the same numbers, a missing one where the other has one.
func same(a, b *tensor.Tensor) bool {
	x, errX := a.Float64s()
	y, errY := b.Float64s()
	return errX == nil && errY == nil && slices.Equal(a.Shape, b.Shape) && slices.EqualFunc(x, y, func(p, q float64) bool {
		return math.Float64bits(p) == math.Float64bits(q) || p != p && q != q
	})
}

func numbers[T tensor.Element](t *rapid.T, g *rapid.Generator[T], n int) any {
	return rapid.SliceOfN(g, n, n).Draw(t, "values")
}

// drawTensor draws rows of some type.
func drawTensor(t *rapid.T, infinite bool) tensor.Tensor {
	shape := []int{rapid.IntRange(1, 4).Draw(t, "rows"), rapid.IntRange(1, 6).Draw(t, "columns")}
	n := shape[0] * shape[1]
	x := tensor.Tensor{Name: rapid.SampledFrom([]string{"input", "a \"b\"\n", "ä"}).Draw(t, "name"), Shape: shape}
	special := []float64{math.NaN(), 0, math.Copysign(0, -1), 1e-45, 1e30, 0.1}
	if infinite {
		special = append(special, math.Inf(1), math.Inf(-1))
	}
	single := rapid.OneOf(rapid.Float32(), rapid.Map(rapid.SampledFrom(special), func(v float64) float32 { return float32(v) }))
	double := rapid.OneOf(rapid.Float64(), rapid.SampledFrom(special))
	switch rapid.SampledFrom([]tensor.DType{tensor.Float32, tensor.Float64, tensor.Int64, tensor.Int8, tensor.Uint8, tensor.Uint32, tensor.Bool}).Draw(t, "type") {
	case tensor.Float32:
		x.Data = numbers(t, single, n)
	case tensor.Float64:
		x.Data = numbers(t, double, n)
	case tensor.Int64:
		x.Data = numbers(t, rapid.Int64Range(-mostExact, mostExact), n)
	case tensor.Int8:
		x.Data = numbers(t, rapid.Int8(), n)
	case tensor.Uint8:
		x.Data = numbers(t, rapid.Uint8(), n)
	case tensor.Uint32:
		x.Data = numbers(t, rapid.Uint32(), n)
	default:
		x.Data = numbers(t, rapid.Bool(), n)
	}
	return x
}

func signatureOf(x *tensor.Tensor, columns []string) tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: x.Name, DType: x.DType(), Shape: []int{-1, x.Shape[1]}, Columns: columns}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
	}
}

func TestEveryDialectReadsBackTheRowsThatWereWritten(t *testing.T) {
	for _, d := range Dialects() {
		t.Run(string(d), func(t *testing.T) {
			binary := d == V2Binary || d == V2GRPC || d == SeldonGRPC
			rapid.Check(t, func(t *rapid.T) {
				x := drawTensor(t, binary)
				var columns []string
				if rapid.Bool().Draw(t, "named") {
					for i := range x.Shape[1] {
						columns = append(columns, fmt.Sprintf("column %q", rune('z'-i)))
					}
				}
				p, err := d.Payload("service", &x, columns)
				if err != nil {
					t.Fatal(err)
				}
				request, err := decode(d, &p, signatureOf(&x, columns))
				if err != nil {
					t.Fatalf("%s: %v", p.Body, err)
				}
				if len(request.Inputs) != 1 || request.Inputs[0].Name != x.Name || !same(&request.Inputs[0], &x) {
					t.Fatalf("%v was written as %q and read as %v", x, p.Body, request.Inputs)
				}
			})
		})
	}
}

func TestJSONRefusesWhatItCannotHold(t *testing.T) {
	x := tensor.New("input", []int{1, 2}, []float64{1, math.Inf(1)})
	for _, d := range []Dialect{V2, Seldon, SeldonNdarray, V1, MLflow} {
		if p, err := d.Payload("s", &x, []string{"a", "b"}); err == nil {
			t.Errorf("%s writes %s", d, p.Body)
		}
	}
}

func TestDialectsAreWrittenLikeThis(t *testing.T) {
	x := tensor.New("input", []int{2, 2}, []float32{0.5, float32(math.NaN()), -3, 1e21})
	for d, want := range map[Dialect]string{
		V2:            `{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","data":[0.5,null,-3.0,1e+21]}]}`,
		V2Binary:      `{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true}}`,
		Seldon:        `{"data":{"names":["a","b"],"tensor":{"shape":[2,2],"values":[0.5,"NaN",-3.0,1e+21]}}}`,
		SeldonNdarray: `{"data":{"names":["a","b"],"ndarray":[[0.5,null],[-3.0,1e+21]]}}`,
		V1:            `{"instances":[[0.5,null],[-3.0,1e+21]]}`,
		MLflow:        `{"dataframe_split":{"columns":["a","b"],"data":[[0.5,null],[-3.0,1e+21]]}}`,
	} {
		p, err := d.Payload("s", &x, []string{"a", "b"})
		if body, _, _ := strings.Cut(string(p.Body), "\x00"); err != nil || !strings.HasPrefix(body, want) || d != V2Binary && string(p.Body) != want {
			t.Errorf("%s: %q, %v", d, p.Body, err)
		}
	}
	if p, err := MLflow.Payload("s", &x, nil); err != nil || string(p.Body) != `{"instances":[[0.5,null],[-3.0,1e+21]]}` {
		t.Errorf("MLflow without names: %s, %v", p.Body, err)
	}
}

func TestDialectsKnowWhereTheyAreSpoken(t *testing.T) {
	for _, tt := range []struct {
		d            Dialect
		server, want string
	}{
		{V2, "http://h:1/", "http://h:1/v2/models/a%2Fb/infer"},
		{Seldon, "https://h/prefix", "https://h/prefix/seldon/a%2Fb/api/v1.0/predictions"},
		{V1, "http://h:1", "http://h:1/v1/models/a%2Fb:predict"},
		{MLflow, "http://h:1", "http://h:1/invocations"},
		{V2GRPC, "grpc://h:1", "grpc://h:1/inference.GRPCInferenceService/ModelInfer"},
		{SeldonGRPC, "grpcs://h:1", "grpcs://h:1/seldon.protos.Seldon/Predict"},
		{V2GRPC, "http://h:1", ""},
		{V2, "grpc://h:1", ""},
		{V2, "http://h:1?a=b", ""},
		{"v3", "http://h:1", ""},
	} {
		if got, err := tt.d.URL(tt.server, "a/b"); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s at %s: %q, %v", tt.d, tt.server, got, err)
		}
	}
}

func payloadsOf(t *testing.T, text string, spec tensor.Spec, o RowOptions) (payloads []Payload, n int, more bool, err error) {
	t.Helper()
	in, width, err := RowsInput([]tensor.Spec{spec})
	if err != nil {
		return nil, 0, false, err
	}
	r, err := rows.Open(strings.NewReader(text), "", rows.Options{Name: "rows.csv", Width: width})
	if err != nil {
		return nil, 0, false, err
	}
	o.Input, o.Service = in, "s"
	return RowPayloads(r, o)
}

func TestRowsBecomePayloads(t *testing.T) {
	spec := tensor.Spec{Name: "x", DType: tensor.Float32, Shape: []int{-1, 2}}
	const three = "a,b\n1,2\n3,\n5,6\n"
	payloads, n, more, err := payloadsOf(t, three, spec, RowOptions{Dialect: Seldon, PerRequest: 2})
	if err != nil || n != 3 || more || len(payloads) != 2 {
		t.Fatalf("%d payloads of %d rows, %v, %v", len(payloads), n, more, err)
	}
	want := []string{`{"data":{"names":["a","b"],"tensor":{"shape":[2,2],"values":[1.0,2.0,3.0,"NaN"]}}}`, `{"data":{"names":["a","b"],"tensor":{"shape":[1,2],"values":[5.0,6.0]}}}`}
	for i := range want {
		if string(payloads[i].Body) != want[i] {
			t.Errorf("payload %d is %s", i, payloads[i].Body)
		}
	}
	if payloads, n, more, err = payloadsOf(t, three, spec, RowOptions{Dialect: V1, Most: 2}); err != nil || n != 2 || !more || len(payloads) != 2 {
		t.Errorf("%d payloads of %d rows, %v, %v", len(payloads), n, more, err)
	}
	for name, tt := range map[string]struct {
		text string
		spec tensor.Spec
		o    RowOptions
		want string // of V1; "" for an error
	}{
		"shape of three": {"1,2,3,4\n", tensor.Spec{DType: tensor.Float64, Shape: []int{-1, 2, 2}}, RowOptions{}, `{"instances":[[[1.0,2.0],[3.0,4.0]]]}`},
		"a list":         {"1\n2\n", tensor.Spec{DType: tensor.Int32, Shape: []int{-1}}, RowOptions{PerRequest: 2}, `{"instances":[1,2]}`},
		"truths":         {"1,0\n", tensor.Spec{DType: tensor.Bool, Shape: []int{-1, 2}}, RowOptions{}, `{"instances":[[true,false]]}`},
		"any width":      {"1,2,3\n", tensor.Spec{DType: tensor.Uint8, Shape: []int{-1, -1}}, RowOptions{}, `{"instances":[[1,2,3]]}`},
		"no rows":        {"", spec, RowOptions{}, ""},
		"too wide":       {"1,2,3\n", spec, RowOptions{}, ""},
		"too much":       {"1,2\n", spec, RowOptions{MostBytes: 10}, ""},
		"no whole one":   {"1.5\n", tensor.Spec{DType: tensor.Int8, Shape: []int{-1}}, RowOptions{}, ""},
		"too large":      {"128\n", tensor.Spec{DType: tensor.Int8, Shape: []int{-1}}, RowOptions{}, ""},
		"missing":        {"nan\n", tensor.Spec{DType: tensor.Int64, Shape: []int{-1}}, RowOptions{}, ""},
		"no truth":       {"2\n", tensor.Spec{DType: tensor.Bool, Shape: []int{-1}}, RowOptions{}, ""},
		"text":           {"1\n", tensor.Spec{DType: tensor.Bytes, Shape: []int{-1}}, RowOptions{}, ""},
	} {
		tt.o.Dialect = V1
		payloads, _, _, err := payloadsOf(t, tt.text, tt.spec, tt.o)
		if (err == nil) != (tt.want != "") || err == nil && string(payloads[0].Body) != tt.want {
			t.Errorf("%s: %v, %v", name, payloads, err)
		}
	}
}
