package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// compile makes the dialect of a mapping that must be good.
func compile(t testing.TB, m Mapping) *Mapped {
	t.Helper()
	d, err := CompileMapping(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// parts is a call's query, path and headers: "query:NAME" and the like, with all values.
type parts map[string][]string

func (p parts) Lookup(from Origin, name string) (string, int) {
	values := p[map[Origin]string{Query: "query:", Path: "path:", Header: "header:"}[from]+name]
	if len(values) == 0 {
		return "", 0
	}
	return values[0], len(values)
}

// review takes a text, and score a number of whole stars, in an input each.
var review = tensor.Signature{
	Inputs: []tensor.Spec{
		{Name: "review", DType: tensor.Bytes, Shape: []int{-1}},
		{Name: "stars", DType: tensor.Int8, Shape: []int{-1, 1}},
	},
	Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
}

// grid takes rows of two by two and three more columns.
var grid = tensor.Signature{
	Inputs: []tensor.Spec{
		{Name: "grid", DType: tensor.Float32, Shape: []int{-1, 2, 2}},
		{Name: "rest", DType: tensor.Float64, Shape: []int{-1, 3}, Columns: []string{"a", "b", "c"}},
		{Name: "flags", DType: tensor.Bool, Shape: []int{-1, 2}},
	},
	Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
}

var nan = math.NaN()

func TestMappingsFillTheColumns(t *testing.T) {
	single := func(values ...float32) []tensor.Tensor {
		return []tensor.Tensor{tensor.New("input", []int{len(values) / 3, 3}, values)}
	}
	nan32 := float32(nan)
	nested := []MappedField{{Target: "a", From: "user.age"}, {Target: "b", From: "items[1].price"}, {Target: "c", From: `["odd.key"]`}}
	for name, tt := range map[string]struct {
		mapping Mapping
		model   tensor.Signature
		body    string
		call    parts
		want    []tensor.Tensor
	}{
		"own names in any order": {Mapping{}, score, `{"c":3,"x":[{}],"a":1.5,"b":true}`, nil, single(1.5, 1, 3)},
		"nested fields": {
			Mapping{Fields: nested}, score,
			`{"odd.key":3,"items":[{"price":9},{"name":"x","price":2},7],"user":{"age":1}}`, nil, single(1, 2, 3),
		},
		"absent, null and NaN are missing where they may be": {
			Mapping{Missing: true}, score, `{"a":null,"b":NaN}`, nil, single(nan32, nan32, nan32),
		},
		"what is below null is absent": {
			Mapping{Missing: true, Fields: nested}, score, `{"user":null,"items":[]}`, nil, single(nan32, nan32, nan32),
		},
		"a field's own word on absence wins": {
			Mapping{Fields: []MappedField{{Target: "b", From: "b", Missing: NotANumber}}}, score, `{"a":1,"c":2}`, nil, single(1, nan32, 2),
		},
		"null and NaN are missing values, or the default": {
			Mapping{Fields: []MappedField{{Target: "c", From: "c", Default: int64(5)}}}, score, `{"a":null,"b":NaN,"c":null}`, nil, single(nan32, nan32, 5),
		},
		"an empty body": {Mapping{Missing: true}, score, ``, nil, single(nan32, nan32, nan32)},
		"defaults and constants": {
			Mapping{Fields: []MappedField{{Target: "a", From: "a", Default: int64(7)}, {Target: "b", Const: 2.5}, {Target: "c", From: "c", Default: true}}},
			score, `{"a":null}`, nil, single(7, 2.5, 1),
		},
		"one field fills several columns": {
			Mapping{Fields: []MappedField{{Target: "a", From: "x"}, {Target: "b", From: "x", Values: map[string]any{"4": int64(40)}}, {Target: "c", From: "x"}}},
			score, `{"x":4}`, nil, single(4, 40, 4),
		},
		"categories": {
			Mapping{Fields: []MappedField{
				{Target: "a", From: "country", Values: map[string]any{"DE": int64(0), "FR": int64(1)}, Default: int64(2)},
				{Target: "b", From: "vip", Values: map[string]any{"true": int64(5), "false": int64(6)}},
				{Target: "c", From: "size", Values: map[string]any{"XL": 0.5}, Default: int64(9)},
			}},
			score, `{"country":"FR","vip":true,"size":"S"}`, nil, single(1, 5, 9),
		},
		"numbers in text": {
			Mapping{Fields: []MappedField{{Target: "a", From: "a", Parse: true}, {Target: "b", From: "b", Parse: true}, {Target: "c", From: "c", Parse: true}}},
			score, `{"a":"1.5","b":"-2e1","c":"true"}`, nil, single(1.5, -20, 1),
		},
		"beyond the body": {
			Mapping{Parameters: []string{"id"}, Fields: []MappedField{
				{Target: "a", From: "path:id"}, {Target: "b", From: "query:n"},
				{Target: "c", From: "header:Lang", Values: map[string]any{"de": int64(1)}, Default: int64(3)},
			}},
			score, `{}`, parts{"path:id": {"7"}, "query:n": {"1e2"}}, single(7, 100, 3),
		},
		"without a body, names are of the query or the path": {
			Mapping{NoBody: true, Parameters: []string{"b"}}, score, `ignored`,
			parts{"query:a": {"1"}, "path:b": {"2"}, "query:b": {"9"}, "query:c": {"false"}}, single(1, 2, 0),
		},
		"rows": {Mapping{Rows: "data.items"}, score, `{"data":{"items":[{"a":1,"b":2,"c":3},{"c":6,"b":5,"a":4}]}}`, nil, single(1, 2, 3, 4, 5, 6)},
		"rows with values for all of them": {
			Mapping{Rows: "items", Fields: []MappedField{{Target: "a", From: "body:user.age"}, {Target: "b", From: "query:b"}, {Target: "c", From: "price"}}}, score,
			`{"items":[{"price":1},{"price":2}],"user":{"age":30}}`, parts{"query:b": {"5"}}, single(30, 5, 1, 30, 5, 2),
		},
		"the same before the rows, with a default": {
			Mapping{Rows: "items", Fields: []MappedField{{Target: "a", From: "body:user.age"}, {Target: "b", From: "body:user.x", Default: int64(8)}, {Target: "c", From: "price"}}}, score,
			`{"user":{"age":30},"items":[{"price":1},{"price":2}]}`, nil, single(30, 8, 1, 30, 8, 2),
		},
		"rows at a position, and a field beside them": {
			Mapping{Rows: "batches[1].rows", Fields: []MappedField{{Target: "a", From: "body:batches[1].id"}, {Target: "b", From: "body:batches[0].id"}}}, score,
			`{"batches":[{"id":7,"rows":[1]},{"rows":[{"c":1},{"c":2}],"id":8},{}]}`, nil, single(8, 7, 1, 8, 7, 2),
		},
		"a body that is the rows": {Mapping{Rows: "."}, score, `[{"a":1,"b":2,"c":3}]`, nil, single(1, 2, 3)},
		"rows that are bare values": {
			Mapping{Rows: "x", Fields: []MappedField{{Target: "a", From: "."}, {Target: "b", Const: int64(0)}, {Target: "c", Const: int64(0)}}}, score,
			`{"x":[5,6]}`, nil, single(5, 0, 0, 6, 0, 0),
		},
		"an input as a whole": {Mapping{Fields: []MappedField{{Target: "input", From: "features"}}}, score, `{"features":[1,null,3]}`, nil, single(1, nan32, 3)},
		"inputs of several types": {
			Mapping{}, review, `{"stars":5,"review":"good \u00e9"}`, nil,
			[]tensor.Tensor{tensor.New("review", []int{1}, []string{"good é"}), tensor.New("stars", []int{1, 1}, []int64{5})},
		},
		"text by default and from the query": {
			Mapping{Rows: "r", Fields: []MappedField{{Target: "review", From: "query:q", Default: "none"}, {Target: "stars", From: "."}}}, review, `{"r":[1,-2]}`, nil,
			[]tensor.Tensor{tensor.New("review", []int{2}, []string{"none", "none"}), tensor.New("stars", []int{2, 1}, []int64{1, -2})},
		},
		"inputs of several dimensions": {
			Mapping{}, grid, `{"grid":[[1,2],[3,4]],"a":1,"b":2,"c":3,"flags":[true,0]}`, nil,
			[]tensor.Tensor{
				tensor.New("grid", []int{1, 2, 2}, []float32{1, 2, 3, 4}), tensor.New("rest", []int{1, 3}, []float64{1, 2, 3}),
				tensor.New("flags", []int{1, 2}, []int64{1, 0}),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := compile(t, tt.mapping)
			for range 2 { // the second time from the binding that is remembered
				x, err := m.DecodeCall([]byte(tt.body), tt.call, tt.model, Limits{})
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range tt.want {
					if got := x.Request().Inputs[i]; !same(got, want) {
						t.Errorf("got %v, want %v", got, want)
					}
				}
				if err := tt.model.Check(x.Request()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestMappedErrorsNameTheField(t *testing.T) {
	whole := Mapping{Fields: []MappedField{{Target: "input", From: "features"}}}
	deep := Mapping{Fields: []MappedField{{Target: "a", From: "user.age"}, {Target: "b", From: "items[1].price"}}}
	rows := Mapping{Rows: "items", Fields: []MappedField{{Target: "a", From: "body:user.age"}}}
	country := Mapping{Fields: []MappedField{{Target: "a", From: "country", Values: map[string]any{"DE": int64(0), "FR": int64(1)}}}}
	query := Mapping{Fields: []MappedField{{Target: "a", From: "query:n"}, {Target: "b", From: "query:n"}, {Target: "c", From: "query:n"}}}
	for _, tt := range []struct {
		mapping    Mapping
		model      tensor.Signature
		body       string
		call       parts
		field, err string
	}{
		{Mapping{}, score, `{"a":1,"c":2}`, nil, "b", "is missing"},
		{Mapping{}, review, `{"review":null,"stars":1}`, nil, "review", "is null where text should be"},
		{Mapping{}, review, `{"review":"x","stars":null}`, nil, "stars", "is null where a number should be"},
		{whole, score, `{"features":null}`, nil, "features", "is missing"},
		{Mapping{}, score, ``, nil, "a", "is missing"},
		{Mapping{}, score, `{"a":1,"b":2,"c":"3"}`, nil, "c", "is text where a number should be"},
		{Mapping{}, score, `{"a":1,"b":[2],"c":3}`, nil, "b", "is a list where a number should be"},
		{Mapping{}, score, `{"a":1,"b":2,"b":2,"c":3}`, nil, "b", "is given twice"},
		{Mapping{}, score, `{"a":1e39,"b":2,"c":3}`, nil, "a", "is 1e+39, which does not fit a 32-bit float"},
		{Mapping{}, score, `{"a":1e999,"b":2,"c":3}`, nil, "a", "cannot be read: JSON at byte 5: "},
		{Mapping{}, score, `{"a":1,"b":2,"c":3`, nil, "", "JSON at byte 18: the text ends"},
		{Mapping{}, score, `{"a":1,"b":2,"c":3}{}`, nil, "", "more text after the value"},
		{Mapping{}, score, `{"a":,"b":2,"c":3}`, nil, "a", "cannot be read: JSON at byte 5: "},
		{Mapping{}, score, `[1]`, nil, ".", "is a list where an object should be"},
		{Mapping{}, score, `null`, nil, ".", "is null where an object should be"},
		{Mapping{Strict: true}, score, `{"a":1,"b":2,"c":3,"d.e":4}`, nil, `["d.e"]`, "is unknown"},
		{Mapping{Strict: true, Rows: "r"}, score, `{"r":[{"a":1,"b":2,"c":3,"d":4}]}`, nil, "r[0].d", "is unknown"},
		{whole, score, `{"features":[1,2]}`, nil, "features", "does not fit: JSON at byte 17: it has 2 values, but shape [3] needs 3"},
		{whole, score, `{"features":[1,"x",3]}`, nil, "features", "does not fit, element 1: "},
		{whole, score, `{"features":7}`, nil, "features", "is a number where a list should be"},
		{deep, score, `{"user":5}`, nil, "user", "is a number where an object should be"},
		{deep, score, `{"user":{"age":1},"items":{"price":1}}`, nil, "items", "is an object where a list should be"},
		{deep, score, `{"user":{"age":1},"items":[0,{"price":"x"}]}`, nil, "items[1].price", "is text where a number should be"},
		{deep, score, `{"user":{"age":1},"items":[0,{}],"c":1}`, nil, "items[1].price", "is missing"},
		{rows, score, `{"user":{"age":1},"items":[{"b":1,"c":1},{"b":1}]}`, nil, "items[1].c", "is missing"},
		{rows, score, `{"items":[{"b":1,"c":1}]}`, nil, "user.age", "is missing"},
		{rows, score, `{"items":[{"b":1,"c":1}],"user":{"age":1,"age":2}}`, nil, "user.age", "is given twice"},
		{rows, score, `{"items":[{"b":1,"c":1},{"c":1,"b":1,"c":1}],"user":{"age":1}}`, nil, "items[1].c", "is given twice"},
		{rows, score, `{"user":{"age":1},"items":[]}`, nil, "items", "is missing or holds no rows"},
		{rows, score, `{"user":{"age":1},"items":[4]}`, nil, "items[0]", "is a number where an object should be"},
		{Mapping{Rows: "."}, score, `[{"a":1,"b":2,"c":3},{"a":1}]`, nil, "[1].b", "is missing"},
		{country, score, `{"country":"US","b":1,"c":1}`, nil, "country", `is "US", which is none of "DE", "FR"`},
		{country, score, `{"country":{},"b":1,"c":1}`, nil, "country", "is an object where text should be"},
		{Mapping{Fields: []MappedField{{Target: "a", From: "a", Parse: true}}}, score, `{"a":"1.5x","b":1,"c":1}`, nil, "a", `is the text "1.5x" where a number should be`},
		{query, score, `{}`, nil, "query:n", "is missing"},
		{query, score, `{}`, parts{"query:n": {"1", "2"}}, "query:n", "is given 2 times"},
		{query, score, `{}`, parts{"query:n": {""}}, "query:n", `is the text "" where a number should be`},
		{Mapping{}, review, `{"review":5,"stars":1}`, nil, "review", "is a number where text should be"},
		{Mapping{}, review, `{"review":"x","stars":1.5}`, nil, "stars", `is "1.5", which is no whole number that INT8 holds`},
		{Mapping{}, review, `{"review":"x","stars":128}`, nil, "stars", "is 128, which does not fit INT8"},
		{Mapping{Missing: true}, review, `{"stars":1}`, nil, "review", "is missing"},
		{Mapping{}, grid, `{"grid":[[1,2],[3]],"a":1,"b":2,"c":3,"flags":[1,0]}`, nil, "grid", "row 1 has 1 values, but shape [2 2] needs 2"},
		{Mapping{}, grid, `{"grid":[1,2,3,4],"a":1,"b":2,"c":3,"flags":[1,2]}`, nil, "flags", "does not fit, element 1: "},
	} {
		_, err := compile(t, tt.mapping).DecodeCall([]byte(tt.body), tt.call, tt.model, Limits{})
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, want %q", tt.body, err, tt.err)
			continue
		}
		var form struct {
			Error struct{ Message, Field string }
		}
		if e := json.Unmarshal((*Mapped)(nil).Error(nil, 400, err), &form); e != nil || form.Error.Field != tt.field || !strings.Contains(form.Error.Message, tt.err) {
			t.Errorf("%s: the error reads %+v, want field %q", tt.body, form, tt.field)
		}
	}
}
