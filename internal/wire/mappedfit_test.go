package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestMistakesInMappingsAreAllTold(t *testing.T) {
	from := func(target, text string) MappedField { return MappedField{Target: target, From: text} }
	m := Mapping{
		Parameters: []string{"id"}, Rows: "items",
		Fields: []MappedField{
			from("a", "path:id"), from("a", "x"), from("", "x"), from("b", "path:user"), from("c", "query:"), from("d", "header: x"), from("e", "."),
			from("f", "x..y"), from("g", "x[-1]"), from("h", "x[01]"), from("i", "x[99999]"), from("j", `x["y`), from("k", `["y"]z`), from("l", " x"),
			from("m", strings.Repeat("x.", 16)+"x"), {Target: "n", Const: nan}, {Target: "o", Const: []any{}}, {Target: "p", Const: int64(1), Parse: true},
			{Target: "q", From: "x", Values: map[string]any{"v": nil}}, {Target: "r", From: "x", Values: map[string]any{"v": int64(1)}, Parse: true},
			{Target: "odd key", From: "cookie:x"},
		},
		Answer: object(key("a", leaf("nothing")), key("a", leaf("output:")), key("b", list(list(leaf("label")))), key("c", Template{Const: math.Inf(1)})),
	}
	_, err := CompileMapping(m)
	var all MappingProblems
	if !errors.As(err, &all) || fault.KindOf(err) != fault.Invalid {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range all {
		if p.Message == "" || p.Hint == "" {
			t.Errorf("%+v says too little", p)
		}
		got = append(got, p.Path)
	}
	want := []string{
		"request.a", `request[""]`, "request.b", "request.c", "request.d", "request.f", "request.g", "request.h", "request.i", "request.j", "request.k", "request.l",
		"request.m", "request.n.const", "request.o.const", "request.p", "request.q.values.v", "request.r.parse", `request["odd key"]`,
		"response.a", "response.a", "response.a", "response.b[0]", "response.c",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWhatDoesNotFitTheModelIsToldAtOnce(t *testing.T) {
	from := func(target, text string) MappedField { return MappedField{Target: target, From: text} }
	answer := func(text string) Mapping { return Mapping{Answer: &Template{Word: text}} }
	with := func(f ...MappedField) Mapping { return Mapping{Fields: f} }
	open := tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, -1}}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Bytes, Shape: []int{-1, 2}}},
	}
	double := tensor.Signature{
		Inputs: []tensor.Spec{
			{Name: "x", DType: tensor.Float32, Shape: []int{-1, 1}, Columns: []string{"a"}}, {Name: "y", DType: tensor.Float32, Shape: []int{-1, 1}, Columns: []string{"a"}},
		},
		Outputs: score.Outputs,
	}
	for _, tt := range []struct {
		mapping Mapping
		model   tensor.Signature
		want    []string
	}{
		{with(from("d", "x"), from("e", "y")), score, []string{`no column or input "d"`, `no column or input "e"`}},
		{with(from("a", "x"), from("input", "y")), score, []string{`"input" is filled twice`}},
		{with(MappedField{Target: "a", Const: "text"}), score, []string{`"a" takes FP32, which the constant text is not`}},
		{with(MappedField{Target: "a", Const: 1e39}), score, []string{"which the constant 1e+39 is not"}},
		{with(MappedField{Target: "review", Const: int64(1)}, MappedField{Target: "stars", Const: 1.5}), review, []string{`"review" takes BYTES`, `"stars" takes INT8`}},
		{with(MappedField{Target: "stars", From: "s", Values: map[string]any{"many": int64(128)}}), review, []string{"which the constant 128 is not"}},
		{with(MappedField{Target: "stars", From: "s", Missing: NotANumber}), review, []string{`"stars" cannot be missing: the model takes INT8 there; give a default`}},
		{with(MappedField{Target: "input", From: "x", Default: int64(0)}), score, []string{"takes a list of 3 values"}},
		{with(from("input", "query:x")), score, []string{"takes a list of 3 values"}},
		{with(from("b", "a.x")), score, []string{`"a" is read from "a", of which other columns read parts`}},
		{with(from("b", "a[0]")), score, []string{`"a" is read from "a", of which other columns read parts`}},
		{with(from("a", "x")), double, []string{`several inputs of the model have a column "a"`}},
		{Mapping{}, open, []string{"has the shape [-1 -1], which leaves the size of a row open"}},
		{answer("output:leaf"), score, []string{`the model has no output "leaf"`}},
		{answer("label"), score, []string{`no names for label; set the service's labels.classes`}},
		{answer("label"), open, []string{`has not one text for each row`}},
		{answer("score"), open, []string{"is text, which is no score"}},
		{Mapping{Labels: Labels{Classes: []string{"a", "b", "c"}}, Answer: &Template{Word: "label"}}, classes, []string{"has 2 numbers for each row, but 3 classes are named"}},
		{Mapping{Rows: "a"}, score, nil},
	} {
		m := compile(t, tt.mapping)
		err := m.Fits(tt.model)
		if tt.want == nil {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("%v: got %v", tt.want, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		// A request for it is not the client's fault.
		if _, err := m.Decode([]byte("{}"), tt.model, Limits{}); fault.KindOf(err) != fault.Internal {
			t.Errorf("decoding gives %v", err)
		}
	}
}

func TestMappedLimitsAreKept(t *testing.T) {
	m := compile(t, Mapping{Rows: ".", Missing: true})
	rows := func(n int) []byte { return []byte("[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]") }
	for _, tt := range []struct {
		rows   int
		limits Limits
		want   string
	}{
		{4, Limits{Rows: 4, Elements: 12}, ""},
		{5, Limits{Rows: 4}, "has more than 4 rows"},
		{5, Limits{Elements: 14}, "the request has more than 14 values"},
	} {
		_, err := m.Decode(rows(tt.rows), score, tt.limits)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%d rows: got %v, want %q", tt.rows, err, tt.want)
		}
	}
	if _, err := compile(t, Mapping{}).Decode([]byte("{}"), score, Limits{Elements: 2}); err == nil || !strings.Contains(err.Error(), "more than 2 values") {
		t.Errorf("one row that is too wide: %v", err)
	}
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	if _, err := m.Decode([]byte("["+deep+"]"), score, Limits{}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("deep: %v", err)
	}
}

func TestMoreModelsAtOnceThanAreRemembered(t *testing.T) {
	m := compile(t, Mapping{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for i := range 5 * maxBindings {
				i %= 2 * maxBindings
				s := tensor.Signature{
					Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 1}, Columns: []string{fmt.Sprint("c", i)}}},
					Outputs: score.Outputs,
				}
				x, err := m.Decode(fmt.Appendf(nil, `{"c%d":%d}`, i, i), s, Limits{})
				if err != nil || x.Request().Inputs[0].Data.([]float32)[0] != float32(i) {
					t.Errorf("model %d: %v", i, err)
				}
			}
		})
	}
	askers.Wait()
	if n := len(*m.bindings.Load()); n != maxBindings {
		t.Errorf("%d signatures are remembered", n)
	}
}

// TestMappedRowsAreReadBack writes rows of numbers in a nested contract, in any order of keys, and reads them back through the mapping.
func TestMappedRowsAreReadBack(t *testing.T) {
	m := compile(t, Mapping{
		Rows: "data.rows", Missing: true,
		Fields: []MappedField{{Target: "a", From: "body:user.age"}, {Target: "b", From: "x.y[1]"}, {Target: "c", From: `["odd.key"]`, Default: 0.5}},
		Answer: object(key("rows", list(*object(key("m", leaf("margin")))))),
	})
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Custom(func(t *rapid.T) any {
			if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
				return nil
			}
			return float64(rapid.Float32Range(-1e6, 1e6).Draw(t, "number"))
		})
		age := number.Draw(t, "age")
		want := []float64{}
		rows := []any{}
		value := func(v any, absent float64) float64 {
			if v == nil {
				return absent
			}
			return v.(float64)
		}
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			b, c := number.Draw(t, "b"), number.Draw(t, "c")
			rows = append(rows, map[string]any{"x": map[string]any{"y": []any{"other", b}, "z": []any{1}}, "odd.key": c, "unread": "x"})
			want = append(want, value(age, nan), value(b, nan), value(c, 0.5))
		}
		body, err := json.Marshal(map[string]any{"data": map[string]any{"rows": rows, "n": len(rows)}, "user": map[string]any{"age": age}})
		if err != nil {
			t.Fatal(err)
		}
		x, err := m.Decode(body, score, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		got, _ := x.Request().Inputs[0].Float64s()
		if !slices.EqualFunc(got, want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
			t.Fatalf("%s: got %v, want %v", body, got, want)
		}
		answer, err := x.Answer(nil, meta, predict(t.Context(), score, x.Request()))
		if err != nil {
			t.Fatal(err)
		}
		var form struct{ Rows []struct{ M float64 } }
		if err := json.Unmarshal(answer, &form); err != nil || len(form.Rows) != len(rows) {
			t.Fatalf("%s: %v", answer, err)
		}
		for i, row := range form.Rows {
			sum := 0.0
			for k, v := range want[3*i : 3*i+3] {
				if math.IsNaN(v) {
					v = 100
				}
				sum += v * float64(int(1)<<k)
			}
			if row.M != sum {
				t.Fatalf("row %d: got %v, want %v", i, row.M, sum)
			}
		}
	})
}

// fuzzed reads most of what a mapping can read.
var fuzzed = Mapping{
	Rows: "rows", Strict: false,
	Fields: []MappedField{
		{Target: "a", From: "body:user.age", Default: int64(1)},
		{Target: "b", From: "x[1].y", Parse: true, Missing: NotANumber},
		{Target: "c", From: "k", Values: map[string]any{"de": int64(0), "fr": 1.5}, Default: int64(2)},
		{Target: "grid", From: "grid", Missing: NotANumber},
		{Target: "flags", From: "flags"},
	},
	Answer: object(key("all", leaf("prediction")), key("rows", list(*object(key("p", leaf("prediction")), key("v", leaf("version")))))),
}

func FuzzMappedDecode(f *testing.F) {
	m, err := CompileMapping(fuzzed)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		x, err := m.Decode(body, grid, Limits{Rows: 100})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%q: the error is of kind %v: %v", body, fault.KindOf(err), err)
			}
			if form := m.Error(nil, 400, err); !json.Valid(form) {
				t.Fatalf("%q: the error is no JSON: %s", body, form)
			}
			return
		}
		if err := grid.Check(x.Request()); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		rows := x.Request().Inputs[0].Rows()
		if rows < 1 || rows > len(body)/2 {
			t.Fatalf("%q: %d rows", body, rows)
		}
		again, err := m.Decode(body, grid, Limits{Rows: 100})
		if err != nil {
			t.Fatalf("%q is refused the second time: %v", body, err)
		}
		for i, in := range x.Request().Inputs {
			if !same(in, again.Request().Inputs[i]) {
				t.Fatalf("%q reads as %v and as %v", body, in, again.Request().Inputs[i])
			}
		}
		// What encoding/json reads of it must be the same, where it reads it.
		var other map[string]json.RawMessage // which does not take ROWS for rows
		var list []json.RawMessage
		if json.Unmarshal(body, &other) == nil && json.Unmarshal(other["rows"], &list) == nil && len(list) != rows {
			t.Fatalf("%q: %d rows, encoding/json finds %d", body, rows, len(list))
		}
		response := &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{rows}, make([]float32, rows))}}
		answer, err := x.Answer(nil, meta, response)
		if err != nil || !json.Valid(answer) {
			t.Fatalf("%q: %v, %s", body, err, answer)
		}
	})
}

func FuzzMappingPath(f *testing.F) {
	for _, text := range []string{".", "a", "a.b", "items[0].price", `["a.b"]`, `a["\u00e9"][9999]`, "a[", "a..b", `[""]`, "query:x", "body:.", "[0]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src, err := parseSource(text)
		if err != nil || !src.body {
			return
		}
		path := ""
		for _, s := range src.path {
			path = appendStep(path, s)
		}
		if path == "" {
			path = itself
		}
		again, err := parsePath(path)
		if err != nil || !slices.Equal(again, src.path) {
			t.Fatalf("%q reads as %v; written %q it reads as %v, %v", text, src.path, path, again, err)
		}
	})
}

func BenchmarkMapped(b *testing.B) {
	columns := make([]string, 56)
	var body strings.Builder
	for i := range columns {
		columns[i] = fmt.Sprint("user_feature_", i)
		fmt.Fprintf(&body, `%s"%s": %v`, map[bool]string{true: "{", false: ", "}[i == 0], columns[i], float64(i)*1.25)
	}
	body.WriteString("}")
	s := tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, len(columns)}, Columns: columns}},
		Outputs: score.Outputs,
	}
	m := compile(b, Mapping{})
	text := []byte(body.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Decode(text, s, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
