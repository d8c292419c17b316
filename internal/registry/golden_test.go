package registry

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestGoldenRowsAreReadAsJSONLines(t *testing.T) {
	g, err := ReadGolden(strings.NewReader(`{"inputs": {"input": [1, null, NaN, -Infinity, 1e-3]}, "outputs": {"prediction": [0.5]}}

 {"outputs": {"label": ["ä", true]}, "inputs": {"input": []}}` + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Golden{Rows: []GoldenRow{
		{map[string]Values{"input": {json.Number("1"), nil, nil, "-Infinity", json.Number("1e-3")}}, map[string]Values{"prediction": {json.Number("0.5")}}},
		{map[string]Values{"input": {}}, map[string]Values{"label": {"ä", true}}},
	}}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Error(diff)
	}
}

func TestBadGoldenLinesSayWhere(t *testing.T) {
	row := `{"inputs": {"input": [1]}, "outputs": {"p": [1]}}` + "\n"
	tests := map[string]struct{ text, want string }{
		"nothing":      {"\n \n", "no golden rows"},
		"broken":       {row + `{"inputs": {"input": [1`, "line 2: JSON at byte 23"},
		"no outputs":   {`{"inputs": {"input": [1]}}`, `line 1: a golden row needs "inputs" and "outputs"`},
		"no inputs":    {`{"inputs": {}, "outputs": {"p": [1]}}`, `line 1: a golden row needs`},
		"other key":    {row + row + `{"input": {}}`, `line 3: JSON at byte 9: "input" is given twice or is no part`},
		"twice":        {`{"inputs": {"a": [1], "a": [2]}}`, `"a" is given twice`},
		"nested":       {`{"inputs": {"a": [[1]]}}`, "flat"},
		"an object":    {`{"inputs": {"a": [{}]}}`, "null should be"},
		"no list":      {`{"inputs": {"a": 1}}`, "an array should be"},
		"more on it":   {strings.TrimSpace(row) + " {}", "more text"},
		"too long":     {strings.Repeat(" ", 5<<20) + row, "longer than 4 MiB"},
		"too many":     {strings.Repeat(row, maxGoldenRows+1), "more than 1000 golden rows"},
		"too wide":     {`{"inputs": {"a": [1` + strings.Repeat(",1", maxGoldenValues) + `]}, "outputs": {"p": [1]}}`, "50000 values"},
		"not UTF-8":    {"{\"inputs\": {\"a\": [\"\xff\"]}}", "UTF-8"},
		"huge integer": {`{"inputs": {"a": [1e]}}`, "line 1: JSON at byte 20"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ReadGolden(strings.NewReader(tt.text))
			wantError(t, err, fault.Invalid, tt.want)
		})
	}
	if _, err := ReadGolden(iotest.ErrReader(iotest.ErrTimeout)); err == nil || fault.KindOf(err) == fault.Invalid {
		t.Errorf("a reader that fails: %v", err)
	}
}

func TestValuesFitTheirType(t *testing.T) {
	spec := func(d tensor.DType) tensor.Spec { return tensor.Spec{Name: "x", DType: d, Shape: []int{-1, 1}} }
	good := []struct {
		dtype    tensor.DType
		in, want any
	}{
		{tensor.Float32, 0.1, json.Number("0.1")},
		{tensor.Float32, json.Number("0.10000000149011612"), json.Number("0.1")},
		{tensor.Float32, int64(1 << 24), json.Number("1.6777216e+07")},
		{tensor.Float32, nil, nil},
		{tensor.Float32, "NaN", nil},
		{tensor.Float64, "-Infinity", "-Infinity"},
		{tensor.Float64, json.Number("-0"), json.Number("-0.0")},
		{tensor.Int64, json.Number("9223372036854775807"), int64(9223372036854775807)},
		{tensor.Int64, float64(3), int64(3)},
		{tensor.Int8, json.Number("1e2"), int64(100)},
		{tensor.Uint64, "18446744073709551615", "18446744073709551615"},
		{tensor.Uint64, json.Number("18446744073709551615"), "18446744073709551615"},
		{tensor.Bool, true, true},
		{tensor.Bytes, "1", "1"},
	}
	for _, tt := range good {
		row, err := rowOf(spec(tt.dtype), Values{tt.in})
		if err != nil {
			t.Errorf("%v as %v: %v", tt.in, tt.dtype, err)
			continue
		}
		if got := valuesOf(&row); got[0] != tt.want {
			t.Errorf("%v as %v is %v (%T), want %v (%T)", tt.in, tt.dtype, got[0], got[0], tt.want, tt.want)
		}
	}
	for _, tt := range []struct {
		dtype tensor.DType
		in    any
	}{
		{tensor.Float32, json.Number("1e39")}, {tensor.Float64, json.Number("1e309")}, {tensor.Float32, "1"}, {tensor.Float32, true}, {tensor.Float32, "inf"},
		{tensor.Int8, 128}, {tensor.Int8, nil}, {tensor.Int64, 1.5}, {tensor.Int64, "1"}, {tensor.Int64, json.Number("9223372036854775808")}, {tensor.Uint8, -1},
		{tensor.Uint8, 256}, {tensor.Uint64, "x"}, {tensor.Bool, 1}, {tensor.Bool, "true"}, {tensor.Bytes, 1}, {tensor.Bytes, nil}, {tensor.Bytes, json.Number("1")},
		{tensor.Float32, Values{1}}, {tensor.DType(0), 1},
	} {
		if row, err := rowOf(spec(tt.dtype), Values{tt.in}); err == nil {
			t.Errorf("%v (%T) as %v gives %v", tt.in, tt.in, tt.dtype, row.Data)
		}
	}
}

func TestRowShapes(t *testing.T) {
	tests := []struct {
		shape []int
		n     int
		want  []int
	}{
		{[]int{-1, 3}, 3, []int{1, 3}}, {[]int{-1}, 1, []int{1}}, {[]int{8, 2}, 2, []int{1, 2}}, {nil, 1, nil}, {[]int{-1, -1}, 5, []int{1, 5}}, {[]int{-1, -1}, 0, []int{1, 0}},
		{[]int{-1, 2, -1}, 6, []int{1, 2, 3}}, {[]int{-1, 3}, 2, nil}, {[]int{-1, 2, -1}, 5, nil}, {[]int{-1, -1, -1}, 4, nil}, {[]int{-1, 0, -1}, 0, nil}, {[]int{-1}, 2, nil},
	}
	for _, tt := range tests {
		got, err := rowShape(tensor.Spec{Name: "x", Shape: tt.shape}, tt.n)
		if tt.want == nil && tt.shape != nil {
			if fault.KindOf(err) != fault.Invalid || err == nil {
				t.Errorf("%d values in %v: %v, %v", tt.n, tt.shape, got, err)
			}
		} else if err != nil || !cmp.Equal(got, tt.want) {
			t.Errorf("%d values in %v: %v, %v; want %v", tt.n, tt.shape, got, err, tt.want)
		}
	}
}

// as math.isclose of Python, whose documentation has these.
func TestToleranceIsRelativeToTheGreater(t *testing.T) {
	for _, tt := range []struct {
		a, b      any
		tolerance float64
		want      bool
	}{
		{1.0, 1.0, 1e-9, true}, {1.0, 1.0 + 1e-6, 1e-6, true}, {1.0, 1.0 + 2e-6, 1e-6, false}, {-1.0, 1.0, .5, false}, {0.0, 1e-300, 1e-6, false},
		{1e300, 1.0000001e300, 1e-6, true}, {"Infinity", "Infinity", .5, false}, {"Infinity", 1e308, .5, false}, {nil, 1.0, .5, false},
	} {
		if got := near(tt.a, tt.b, tt.tolerance); got != tt.want {
			t.Errorf("near(%v, %v, %v) = %v", tt.a, tt.b, tt.tolerance, got)
		}
	}
	infinite := tensor.New("x", []int{1}, []float32{float32(inf())})
	if err := compare(&infinite, &infinite, 1e-6); err != nil {
		t.Errorf("infinities are equal: %v", err)
	}
}

func inf() float64 {
	f, _ := float("Infinity", 64)
	return f
}

func FuzzReadGolden(f *testing.F) {
	for _, seed := range []string{
		`{"inputs": {"input": [1, null]}, "outputs": {"prediction": [0.5]}}`, `{"inputs":{"a":[NaN,-Infinity,"x",true]},"outputs":{"p":[1e-400]}}`, "\n\n{}", `{"inputs":{"a":[[`,
	} {
		f.Add([]byte(seed))
	}
	specs := []tensor.Spec{}
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		specs = append(specs, tensor.Spec{Name: "x", DType: d, Shape: []int{-1, -1}})
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		g, err := ReadGolden(strings.NewReader(string(content)))
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
			return
		}
		for _, row := range g.Rows {
			for _, values := range row.Inputs {
				for _, spec := range specs {
					once, err := rowOf(spec, values)
					if err != nil {
						continue
					}
					plain := valuesOf(&once)
					twice, err := rowOf(spec, plain)
					if err != nil || !cmp.Equal(valuesOf(&twice), plain) {
						t.Errorf("%v as %v is %v, then %v, %v", values, spec.DType, plain, valuesOf(&twice), err)
					}
				}
			}
		}
	})
}

func TestTheExampleIsTheFirstGoldenRowElseZeros(t *testing.T) {
	sig := tensor.Signature{Inputs: []tensor.Spec{
		{Name: "x", DType: tensor.Float32, Shape: []int{-1, 2}}, {Name: "word", DType: tensor.Bytes, Shape: []int{-1}}, {Name: "open", DType: tensor.Int8, Shape: []int{-1, -1}},
	}}
	golden := &Golden{Rows: []GoldenRow{
		{Inputs: map[string]Values{"x": {json.Number("0.5"), "-Infinity"}, "word": {"a"}, "open": {json.Number("1"), json.Number("2")}}},
		{Inputs: map[string]Values{"x": {json.Number("9"), json.Number("9")}, "word": {"z"}, "open": {json.Number("9")}}},
	}}
	for _, tt := range []struct {
		golden *Golden
		want   []tensor.Tensor
	}{
		{golden, []tensor.Tensor{
			tensor.New("x", []int{1, 2}, []float32{0.5, float32(math.Inf(-1))}), tensor.New("word", []int{1}, []string{"a"}), tensor.New("open", []int{1, 2}, []int8{1, 2}),
		}},
		{nil, []tensor.Tensor{tensor.New("x", []int{1, 2}, []float32{0, 0}), tensor.New("word", []int{1}, []string{""}), tensor.New("open", []int{1, 1}, []int8{0})}},
		{&Golden{Rows: []GoldenRow{{Inputs: map[string]Values{"x": {json.Number("1")}}}}}, nil},
	} {
		got := Live{Manifest: Manifest{Signature: sig, Golden: tt.golden}}.Example()
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
}
