package wire

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// leaf, object, list and key make templates.
func leaf(text string) Template          { return Template{Word: text} }
func object(members ...Member) *Template { return &Template{Object: members} }
func list(t Template) Template           { return Template{Each: &t} }
func key(name string, t Template) Member { return Member{name, t} }

// mappings are those of the golden files, by the first part of their names: the model's, and the mapping's.
var mappings = map[string]struct {
	model   tensor.Signature
	mapping Mapping
}{
	"plain": {score, Mapping{}},
	"rows": {score, Mapping{Rows: "items", Fields: []MappedField{{Target: "a", From: "price"}, {Target: "b", From: "body:user.age"}}, Answer: object(
		key("results", list(*object(key("p", leaf("prediction")), key("m", leaf("margin")), key("by", leaf("model"))))),
		key("all", leaf("prediction")), key("one", Template{Const: int64(1)}), key(`"quoted"`, leaf("const:\ttext")),
	)}},
	"bare": {score, Mapping{Missing: true, Answer: &Template{Word: "margin"}}},
	"told": {score, Mapping{Labels: Labels{Classes: []string{"negative", "positive"}, Threshold: 0.5}, Answer: object(
		key("sentiment", leaf("label")), key("score", leaf("score")),
		key("served", *object(
			key("model", leaf("model")), key("version", leaf("version")), key("variant", leaf("variant")), key("id", leaf("decisionId")),
			key("token", leaf("decision")), key("ok", Template{Const: true}), key("x", Template{Const: 1.0}), key("none", Template{Object: []Member{}}),
		)),
	)}},
	"classes": {classes, Mapping{Rows: ".", Fields: []MappedField{{Target: "input", From: "."}}, Answer: &Template{Each: object(
		key("class", leaf("label")), key("score", leaf("score")), key("probabilities", leaf("prediction")), key("rank", leaf("output:rank")), key("text", leaf("output:label")),
	)}}},
}

var mappedMeta = Meta{Service: "reviews", Model: "sentiment", Version: "3", DecisionID: "0190-id", Token: "token"}

func TestGoldenMappedExchanges(t *testing.T) {
	requests, _ := filepath.Glob(filepath.Join("testdata", "mapped", "*.request.json"))
	if len(requests) < 10 {
		t.Fatalf("%d golden requests", len(requests))
	}
	for _, path := range requests {
		name, _, _ := strings.Cut(filepath.Base(path), "-")
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c := mappings[name]
		d := compile(t, c.mapping)
		var got []byte
		x, err := d.Decode(body, c.model, Limits{})
		if err == nil {
			err = c.model.Check(x.Request())
		}
		if err == nil {
			got, err = x.Answer(nil, mappedMeta, predict(t.Context(), c.model, x.Request()))
		}
		if err != nil {
			got = d.Error(nil, fault.HTTPStatus(err), err)
		}
		got = append(got, '\n')
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

func TestLabelsAreThoseOfTheNumbers(t *testing.T) {
	two, three := Labels{Classes: []string{"no", "yes"}, Threshold: 0.4}, Labels{Classes: []string{"a", "b", "c"}}
	for _, tt := range []struct {
		labels Labels
		row    []float64
		class  int
		score  float64
	}{
		{two, []float64{0.4}, 1, 0.4},
		{two, []float64{0.39}, 0, 0.39},
		{two, []float64{0}, 0, 0},
		{two, []float64{1}, 1, 1},
		{two, []float64{1.1}, -1, 1.1},
		{two, []float64{-0.1}, -1, -0.1},
		{two, []float64{nan}, -1, nan},
		{two, []float64{0.9, 0.1}, 0, 0.9},
		{three, []float64{2}, 2, 2},
		{three, []float64{3}, -1, 3},
		{three, []float64{0.5}, -1, 0.5},
		{three, []float64{-1}, -1, -1},
		{three, []float64{nan, 1, 1}, 1, 1},
		{three, []float64{nan, nan}, -1, nan},
		{Labels{}, []float64{0.5}, -1, 0.5},
		{Labels{}, []float64{1, 3, 2}, 1, 3},
		{Labels{}, nil, -1, nan},
	} {
		class, score := tt.labels.Of(tt.row)
		if class != tt.class || math.Float64bits(score) != math.Float64bits(tt.score) && (score == score || tt.score == tt.score) {
			t.Errorf("%v of %v: got %d %v, want %d %v", tt.labels.Classes, tt.row, class, score, tt.class, tt.score)
		}
	}
}

// TestTheModelsPromiseIsKept answers with what a model may give although it promised another thing.
func TestTheModelsPromiseIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		outputs []tensor.Tensor
		want    string
	}{
		"no class":     {[]tensor.Tensor{tensor.New("prediction", []int{1}, []float32{7})}, "says [7] of row 0, which is no class"},
		"no number":    {[]tensor.Tensor{tensor.New("prediction", []int{1}, []float32{float32(nan)})}, "which is no class"},
		"other rows":   {[]tensor.Tensor{tensor.New("prediction", []int{2}, []float32{0, 1})}, "has the shape [2] for 1 rows"},
		"wider":        {[]tensor.Tensor{tensor.New("prediction", []int{1, 2}, []float32{0, 1})}, "not the one that was promised"},
		"too few":      {nil, "gave 0 outputs where 1 were asked for"},
		"inconsistent": {[]tensor.Tensor{tensor.New("prediction", []int{1}, []float32{0, 1})}, "has 2 elements"},
	} {
		m := compile(t, Mapping{
			Missing: true, Labels: Labels{Classes: []string{"a", "b"}, Threshold: 0.5},
			Answer: object(key("score", leaf("score")), key("label", leaf("label"))),
		})
		if strings.HasPrefix(name, "no ") {
			m = compile(t, Mapping{Missing: true, Labels: m.mapping.Labels, Answer: object(key("label", leaf("label")))})
		}
		x, err := m.Decode(nil, score, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = x.Answer(nil, mappedMeta, &tensor.Response{Outputs: tt.outputs})
		if err == nil || fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
