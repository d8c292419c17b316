package shadow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

func must(t testing.TB, r Rule) *Comparer {
	t.Helper()
	c, err := NewComparer(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func body(text string) *Answer { return &Answer{Status: 200, Body: []byte(text), Score: math.NaN()} }

func TestBodiesAreComparedByTheRule(t *testing.T) {
	exact, near, label, ranked := Rule{By: ByExact}, Rule{Tolerance: 0.01}, Rule{By: ByLabel, At: "label"}, Rule{By: ByTopK, K: 3, At: "items[].id"}
	for _, tt := range []struct {
		name             string
		rule             Rule
		primary, shadow  string
		verdict          Verdict
		difference       float64
		overlap          float64
		where            string // a part
		primaryLabel     string
		primaryIsNothing bool
	}{
		{name: "the same bytes", rule: exact, primary: "x\x00y", shadow: "x\x00y"},
		{name: "other bytes", rule: exact, primary: "xay", shadow: "xby", verdict: Disagree, where: "byte 1"},
		{name: "a longer one", rule: exact, primary: "xa", shadow: "xab", verdict: Disagree, where: "byte 2"},
		{name: "another order of keys, other white space", rule: exact, primary: `{"a":1,"b":[true,null]}`, shadow: `{ "b" : [true, null], "a":1}`},
		{name: "the same number written otherwise", rule: exact, primary: `{"a":1.0}`, shadow: `{"a":1}`, verdict: Disagree, where: "a"},
		{name: "no JSON where the primary has some", rule: exact, primary: `{}`, shadow: `<html>`, verdict: Disagree, where: "no JSON"},
		{name: "a key twice is no JSON", rule: exact, primary: `{"a":1,"a":2}`, shadow: `{"a":2,"a":1}`, verdict: Disagree, where: "byte"},
		{name: "more values than are read", rule: exact, primary: "[" + strings.Repeat("0,", mostNodes) + "0]", shadow: "[" + strings.Repeat("0,", mostNodes) + "1]", verdict: Disagree, where: "byte"},
		{name: "what is ignored may differ", rule: Rule{By: ByExact, Ignore: []string{"id", "rows[].at"}}, primary: `{"id":1,"rows":[{"at":1,"v":2}]}`, shadow: `{"id":2,"rows":[{"at":3,"v":2}]}`},
		{name: "what is ignored may be missing", rule: Rule{By: ByExact, Ignore: []string{"id"}}, primary: `{"id":1}`, shadow: `{}`},
		{name: "a missing key", rule: exact, primary: `{"a":{"b":1}}`, shadow: `{"a":{}}`, verdict: Disagree, where: "a.b is missing in the shadow's answer"},
		{name: "a key more", rule: exact, primary: `{"a":{}}`, shadow: `{"a":{"b":1}}`, verdict: Disagree, where: "a.b is in the shadow's answer alone"},
		{name: "values are not told", rule: exact, primary: `{"user":"ada"}`, shadow: `{"user":"bob"}`, verdict: Disagree, where: "user"},

		{name: "numbers within tolerance", rule: near, primary: `[1, 2, {"x":3}]`, shadow: `[1, 2.005, {"x":3.0}]`, difference: 0.005},
		{name: "one beyond", rule: near, primary: `[1, 2]`, shadow: `[1.005, 1.5]`, verdict: Disagree, difference: -0.5, where: "[1]"},
		{name: "relative", rule: Rule{Relative: 0.01}, primary: `[1000]`, shadow: `[1009]`, difference: 9},
		{name: "relative to the primary", rule: Rule{Relative: 0.01}, primary: `[1000]`, shadow: `[1011]`, verdict: Disagree, difference: 11},
		{name: "NaN is NaN", rule: near, primary: `[NaN, Infinity]`, shadow: `[NaN, Infinity ]`},
		{name: "NaN is no number", rule: near, primary: `[NaN]`, shadow: `[1]`, verdict: Disagree, difference: math.NaN()},
		{name: "infinities have signs", rule: near, primary: `[Infinity]`, shadow: `[-Infinity]`, verdict: Disagree, difference: math.NaN()},
		{name: "an infinity is not near", rule: Rule{Relative: 1}, primary: `[Infinity]`, shadow: `[1]`, verdict: Disagree, difference: math.NaN()},
		{name: "a text is no number", rule: near, primary: `["1"]`, shadow: `[1]`, verdict: Disagree, difference: math.NaN(), where: "[0]"},
		{name: "another number of elements", rule: near, primary: `[1,2]`, shadow: `[1]`, verdict: Disagree, difference: math.NaN(), where: "2 elements, and of the shadow 1"},
		{name: "the same text that is no JSON", rule: near, primary: "hello", shadow: "hello", difference: math.NaN()},
		{name: "other text that is no JSON", rule: near, primary: "hello", shadow: "hullo", verdict: Incomparable, difference: math.NaN()},

		{name: "the same label", rule: label, primary: `{"label":"spam","p":0.9}`, shadow: `{"p":0.1,"label":"spam"}`, primaryLabel: "spam"},
		{name: "another label", rule: label, primary: `{"label":"spam"}`, shadow: `{"label":"ham"}`, verdict: Disagree, where: `"spam", and of the shadow "ham"`, primaryLabel: "spam"},
		{name: "no label", rule: label, primary: `{}`, shadow: `{"label":"ham"}`, verdict: Incomparable},
		{name: "a label is missing", rule: label, primary: `{"label":"ham"}`, shadow: `{}`, verdict: Disagree, where: "1 labels, and of the shadow 0"},
		{name: "labels of rows", rule: Rule{By: ByLabel, At: "rows[].label"}, primary: `{"rows":[{"label":"a"},{"label":1}]}`, shadow: `{"rows":[{"label":"a"},{"label":2}]}`, verdict: Disagree, where: "row 1"},

		{name: "the same ranking", rule: ranked, primary: items(1, 2, 3, 4), shadow: items(3, 2, 1, 9), overlap: 1},
		{name: "two of three", rule: ranked, primary: items(1, 2, 3), shadow: items(1, 2, 9), verdict: Disagree, overlap: 2.0 / 3, where: "66.67% of the first 3"},
		{name: "two of three will do", rule: Rule{By: ByTopK, K: 3, At: "items[].id", Overlap: 0.66}, primary: items(1, 2, 3), shadow: items(1, 2, 9), overlap: 2.0 / 3},
		{name: "a shorter one", rule: ranked, primary: items(1, 2, 3), shadow: items(1), verdict: Disagree, overlap: 1.0 / 3},
		{name: "a longer one ranks more", rule: ranked, primary: items(1), shadow: items(1, 2), verdict: Disagree, overlap: 0.5},
		{name: "an empty one", rule: ranked, primary: items(), shadow: items(1), verdict: Incomparable, overlap: math.NaN()},
		{name: "an id twice counts once", rule: ranked, primary: items(1, 1, 2, 3), shadow: items(1, 2, 3), overlap: 1},
		{name: "a list alone", rule: Rule{By: ByTopK, K: 2}, primary: `["a","b","c"]`, shadow: `["b","a","d"]`, overlap: 1},
		{name: "no list", rule: Rule{By: ByTopK}, primary: `{"a":1}`, shadow: `{"a":1}`, verdict: Incomparable, overlap: math.NaN()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := must(t, tt.rule).Compare(body(tt.primary), body(tt.shadow))
			if got.Verdict != tt.verdict || !strings.Contains(got.Where, tt.where) || tt.verdict == Agree && got.Where != "" || got.Primary != tt.primaryLabel {
				t.Errorf("got %+v", got)
			}
			if tt.rule.By == "" && tt.difference != 0 && !same(got.Difference, tt.difference) {
				t.Errorf("the difference is %v, want %v", got.Difference, tt.difference)
			}
			if tt.rule.By == ByTopK && !same(got.Overlap, tt.overlap) {
				t.Errorf("the overlap is %v, want %v", got.Overlap, tt.overlap)
			}
		})
	}
}

func items(ids ...int) string {
	type item struct {
		ID int `json:"id"`
	}
	list := struct {
		Items []item `json:"items"`
	}{[]item{}}
	for _, id := range ids {
		list.Items = append(list.Items, item{id})
	}
	text, _ := json.Marshal(list)
	return string(text)
}

// same tells whether two numbers are equal but for rounding.
func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(a))
}

func one(values ...float64) *Answer {
	return &Answer{Status: 200, Outputs: []tensor.Tensor{tensor.New("prediction", []int{len(values)}, values)}, Scored: true}
}

func matrix(width int, values ...float64) *Answer {
	return &Answer{Status: 200, Outputs: []tensor.Tensor{tensor.New("prediction", []int{len(values) / width, width}, values)}, Scored: true}
}

func labelled(labels ...string) *Answer {
	a := one(make([]float64, len(labels))...)
	a.Labels = labels
	return a
}

func outputs(list ...tensor.Tensor) *Answer { return &Answer{Status: 200, Outputs: list} }

func TestTensorsAreComparedByTheRule(t *testing.T) {
	exact, near, label := Rule{By: ByExact}, Rule{Tolerance: 0.01}, Rule{By: ByLabel}
	ids := func(rows int, ids ...string) *Answer {
		return outputs(tensor.New("items", []int{rows, len(ids) / rows}, ids))
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		name            string
		rule            Rule
		primary, shadow *Answer
		verdict         Verdict
		difference      float64
		overlap         float64
		where           string
	}{
		{"the same", exact, one(1, nan, inf), one(1, nan, inf), Agree, 0, nan, ""},
		{"one bit off", exact, one(1), one(math.Nextafter(1, 2)), Disagree, math.Nextafter(1, 2) - 1, nan, "prediction[0]"},
		{"another type", exact, one(1), outputs(tensor.New("prediction", []int{1}, []float32{1})), Disagree, nan, nan, "FP64, and of the shadow FP32"},
		{"large whole numbers", exact, outputs(tensor.New("n", []int{1}, []int64{1 << 60})), outputs(tensor.New("n", []int{1}, []int64{1<<60 + 1})), Disagree, nan, nan, "n"},
		{"another type, but near", near, one(1), outputs(tensor.New("prediction", []int{1}, []float32{1.005})), Agree, 0.005, nan, ""},
		{"within tolerance", near, one(1, 2), one(1, 2.005), Agree, 0.005, nan, ""},
		{"beyond", near, one(1, 2), one(1, 1.5), Disagree, -0.5, nan, "prediction[1]: 2, and of the shadow 1.5"},
		{"another shape", near, one(1, 2), matrix(2, 1, 2), Disagree, 0, nan, "shape [2], and of the shadow [1 2]"},
		{"an output is missing", near, outputs(tensor.New("a", []int{1}, []int32{1})), outputs(tensor.New("b", []int{1}, []int32{1})), Disagree, nan, nan, "a is missing"},
		{"an output more", near, outputs(tensor.New("a", []int{1}, []int32{1})), outputs(tensor.New("a", []int{1}, []int32{1}), tensor.New("b", []int{1}, []int32{1})), Disagree, 0, nan, "b is in the shadow's answer alone"},
		{"an output is ignored", Rule{Ignore: []string{"b"}}, outputs(tensor.New("a", []int{1}, []int32{1})), outputs(tensor.New("a", []int{1}, []int32{1}), tensor.New("b", []int{1}, []int32{1})), Agree, 0, nan, ""},
		{"texts", near, outputs(tensor.New("a", []int{2}, []string{"x", "y"})), outputs(tensor.New("a", []int{2}, []string{"x", "z"})), Disagree, nan, nan, "a[1]"},
		{"a text is no number", near, outputs(tensor.New("a", []int{1}, []string{"1"})), outputs(tensor.New("a", []int{1}, []int32{1})), Disagree, nan, nan, "BYTES, and of the shadow INT32"},

		{"the same labels", label, labelled("a", "b"), labelled("a", "b"), Agree, 0, nan, ""},
		{"another label", label, labelled("a", "b"), labelled("a", "c"), Disagree, 0, nan, `row 1: "b", and of the shadow "c"`},
		{"no labels", label, labelled("", ""), labelled("", ""), Incomparable, 0, nan, "no label"},
		{"labels in an output", Rule{By: ByLabel, At: "class"}, outputs(tensor.New("class", []int{1}, []string{"x"})), outputs(tensor.New("class", []int{1}, []string{"y"})), Disagree, nan, nan, `"x"`},
		{"an output that is not there", Rule{By: ByLabel, At: "klass"}, one(1), one(1), Incomparable, 0, nan, "no label"},
		{"the score of the primary's class", label, scored(3, 0.2, 0.7, 0.1), scored(3, 0.6, 0.3, 0.1), Disagree, 0.3 - 0.7, nan, "row 0"},

		{"ids", Rule{By: ByTopK, K: 2}, ids(1, "a", "b", "c"), ids(1, "b", "a", "z"), Agree, nan, 1, ""},
		{"ids of rows", Rule{By: ByTopK, K: 2}, ids(2, "a", "b", "c", "d"), ids(2, "a", "b", "c", "z"), Disagree, nan, 0.75, "75% of the first 2"},
		{"scores", Rule{By: ByTopK, K: 2}, matrix(4, 0.1, 0.9, 0.8, 0), matrix(4, 0.7, 0.9, 0.1, 0), Disagree, 0, 0.5, "50%"},
		{"a row less", Rule{By: ByTopK, K: 1}, ids(2, "a", "b"), ids(1, "a"), Disagree, nan, 0.5, "50%"},
		{"no such output", Rule{By: ByTopK, At: "x"}, ids(1, "a"), ids(1, "a"), Incomparable, nan, nan, `no output "x"`},

		{"another status", label, labelled("a"), &Answer{Status: 404}, Disagree, nan, nan, "status 200, and of the shadow 404"},
		{"both refuse", label, &Answer{Status: 400, Body: []byte("a")}, &Answer{Status: 400, Body: []byte("b")}, Agree, nan, nan, ""},
		{"tensors and none", near, one(1), body("{}"), Incomparable, nan, nan, "tensors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := must(t, tt.rule).Compare(tt.primary, tt.shadow)
			if got.Verdict != tt.verdict || !strings.Contains(got.Where, tt.where) || tt.verdict == Agree && got.Where != "" {
				t.Errorf("got %+v", got)
			}
			if !same(got.Overlap, tt.overlap) || tt.rule.By != ByExact && tt.difference != 0 && !near32(got.Difference, tt.difference) {
				t.Errorf("difference %v, want %v; overlap %v, want %v", got.Difference, tt.difference, got.Overlap, tt.overlap)
			}
		})
	}
}

// near32 is same for numbers that were float32.
func near32(a, b float64) bool { return same(a, b) || math.Abs(a-b) < 1e-7 }

// scored is one row of scores with the label of the largest.
func scored(width int, values ...float64) *Answer {
	a := matrix(width, values...)
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	a.Labels = []string{fmt.Sprint(best)}
	return a
}

func TestARuleThatIsWrongSaysWhere(t *testing.T) {
	for want, r := range map[string]Rule{
		"by: ":                       {By: "magic"},
		"tolerance: -1":              {Tolerance: -1},
		"tolerance: NaN":             {Tolerance: math.NaN()},
		"relative: +Inf":             {Relative: math.Inf(1)},
		"tolerance: it is for by":    {By: ByLabel, Tolerance: 1},
		"k: -1 is out of range":      {By: ByTopK, K: -1},
		"k: 1001 is out of range":    {By: ByTopK, K: 1001},
		"overlap: 1.5":               {By: ByTopK, Overlap: 1.5},
		"overlap: NaN":               {By: ByTopK, Overlap: math.NaN()},
		"at: it is for by: label":    {At: "x"},
		"at: path \"x[\"":            {By: ByLabel, At: "x["},
		"ignore[1]: path \"\"":       {Ignore: []string{"x", ""}},
		"ignore: 65 paths; at most ": {Ignore: make([]string, 65)},
	} {
		if _, err := NewComparer(r); fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %s...", r, err, want)
		}
	}
}

func TestARuleHasAShortTextOfItsOwn(t *testing.T) {
	long := make([]string, 20)
	for i := range long {
		long[i] = fmt.Sprintf("a.rather.long.path.number%d", i)
	}
	other := append(append([]string{}, long[:19]...), "x")
	for want, r := range map[string]Rule{
		"numeric":                                {},
		"numeric, within 1e-06":                  {Tolerance: 1e-6},
		"numeric, within 0.5, within 1%":         {Tolerance: 0.5, Relative: 0.01},
		"exact, without id items[].at":           {By: ByExact, Ignore: []string{"id", "items[].at"}},
		"label, at label":                        {By: ByLabel, At: "label"},
		"topK, k 10":                             {By: ByTopK},
		"topK, k 5, overlap 80%, at items":       {By: ByTopK, K: 5, Overlap: 0.8, At: "items"},
		must(t, Rule{Ignore: long}).Text():       {Ignore: long},
		must(t, Rule{Ignore: other}).Text():      {Ignore: other},
		must(t, Rule{By: ByLabel}).rule.String(): {By: ByLabel},
	} {
		if got := must(t, r).Text(); got != want || len(got) > 200 {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if must(t, Rule{Ignore: long}).Text() == must(t, Rule{Ignore: other}).Text() {
		t.Error("two rules have one text")
	}
}

// anyJSON makes values as encoding/json has them.
func anyJSON(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(1, kinds).Draw(t, "kind") {
	case 1:
		return nil
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		return float64(rapid.IntRange(-3, 3).Draw(t, "number"))
	case 4:
		return rapid.StringN(0, 3, -1).Draw(t, "text")
	case 5:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "elements"))
		for i := range list {
			list[i] = anyJSON(t, depth-1)
		}
		return list
	default:
		object := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			object[rapid.StringMatching(`[a-c]`).Draw(t, "key")] = anyJSON(t, depth-1)
		}
		return object
	}
}

// TestJSONComparesAsTheStandardLibraryHasIt takes encoding/json and reflect.DeepEqual as the oracle.
func TestJSONComparesAsTheStandardLibraryHasIt(t *testing.T) {
	exact, near := must(t, Rule{By: ByExact}), must(t, Rule{})
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyJSON(t, 3), anyJSON(t, 3)
		if rapid.Bool().Draw(t, "equal") {
			b = a
		}
		p, _ := json.Marshal(a)
		s, _ := json.MarshalIndent(b, " ", "\t")
		for name, c := range map[string]*Comparer{"exact": exact, "numeric": near} {
			r := c.Compare(&Answer{Status: 200, Body: p}, &Answer{Status: 200, Body: s})
			if agree := r.Verdict == Agree; agree != reflect.DeepEqual(a, b) {
				t.Fatalf("%s: %s and %s: %+v", name, p, s, r)
			}
		}
	})
}

func TestComparisonIsTheSameEitherWayRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-2, 2), rapid.Just(math.NaN()), rapid.Just(math.Inf(1))), 3, 3)
		a, b := numbers.Draw(t, "a"), numbers.Draw(t, "b")
		c := must2(Rule{Tolerance: rapid.SampledFrom([]float64{0, 0.5, 4}).Draw(t, "tolerance")})
		forth, back := c.Compare(one(a...), one(b...)), c.Compare(one(b...), one(a...))
		if forth.Verdict != back.Verdict || !same(math.Abs(forth.Difference), math.Abs(back.Difference)) {
			t.Fatalf("%+v, %+v", forth, back)
		}
	})
}

func must2(r Rule) *Comparer {
	c, err := NewComparer(r)
	if err != nil {
		panic(err)
	}
	return c
}

func FuzzCompareBodies(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":"c"}]}`), []byte(`{"a":[1,2.5,{"b":"d"}]}`))
	f.Add([]byte(`[NaN]`), []byte(`[1e400]`))
	f.Add([]byte(`{"":{"":0}}`), []byte(`{}`))
	f.Add(bytes.Repeat([]byte("["), 200), []byte("[]"))
	rules := []*Comparer{
		must2(Rule{By: ByExact}), must2(Rule{Tolerance: 0.1, Ignore: []string{"a[].b", "x"}}), must2(Rule{By: ByLabel, At: "a[].b"}), must2(Rule{By: ByTopK, At: "a"}), must2(Rule{By: ByTopK}),
	}
	f.Fuzz(func(t *testing.T, p, s []byte) {
		for _, c := range rules {
			r := c.Compare(&Answer{Status: 200, Body: p}, &Answer{Status: 200, Body: s})
			if (r.Verdict == Agree) != (r.Where == "") || len(r.Where) > whereMost || math.IsInf(r.Difference, 0) {
				t.Errorf("%s: %q and %q: %+v", c.Text(), p, s, r)
			}
			if self := c.Compare(&Answer{Status: 200, Body: p}, &Answer{Status: 200, Body: p}); self.Verdict == Disagree {
				t.Errorf("%s: %q disagrees with itself: %+v", c.Text(), p, self)
			}
		}
	})
}
