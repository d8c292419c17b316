package wire

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// explained is a model whose columns, labels and outputs on demand tests of explanations use.
var explained = tensor.Signature{
	Inputs: []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 2}, Columns: []string{"age", `"price"`}}},
	Outputs: []tensor.Spec{
		{Name: "prediction", DType: tensor.Float32, Shape: []int{-1, 2}, Labels: []string{"no", "yes"}},
		{Name: Margin, DType: tensor.Float32, Shape: []int{-1, 2}, OnDemand: true},
		{Name: Contributions, DType: tensor.Float32, Shape: []int{-1, 2, 3}, OnDemand: true},
	},
}

func TestExplanationsHaveAnObjectForEachRow(t *testing.T) {
	unnamed, unlabelled := explained, explained
	unnamed.Inputs = []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 2}}}
	unlabelled.Outputs = explained.Outputs[1:]
	single := []tensor.Tensor{
		tensor.New(Contributions, []int{2, 3}, []float32{.1, -2, .5, 0, 1e-7, .5}),
		tensor.New(Margin, []int{2}, []float32{-1.4, .5}),
	}
	several := []tensor.Tensor{
		tensor.New(Margin, []int{1, 2}, []float64{1, 2}),
		tensor.New(Contributions, []int{1, 2, 3}, []float64{.1, .2, .7, 1, 1, 0}),
	}
	for name, tt := range map[string]struct {
		signature tensor.Signature
		outputs   []tensor.Tensor
		want      string
	}{
		"named columns": {explained, single,
			`[{"margin":-1.4,"base":0.5,"contributions":{"age":0.1,"\"price\"":-2.0}},{"margin":0.5,"base":0.5,"contributions":{"age":0.0,"\"price\"":1e-07}}]`},
		"unnamed columns": {unnamed, single,
			`[{"margin":-1.4,"base":0.5,"contributions":[0.1,-2.0]},{"margin":0.5,"base":0.5,"contributions":[0.0,1e-07]}]`},
		"no margin": {explained, single[:1],
			`[{"base":0.5,"contributions":{"age":0.1,"\"price\"":-2.0}},{"base":0.5,"contributions":{"age":0.0,"\"price\"":1e-07}}]`},
		"classes": {explained, several,
			`[{"outputs":[{"output":0,"label":"no","margin":1.0,"base":0.7,"contributions":{"age":0.1,"\"price\"":0.2}},` +
				`{"output":1,"label":"yes","margin":2.0,"base":0.0,"contributions":{"age":1.0,"\"price\"":1.0}}]}]`},
		"classes without labels": {unlabelled, several,
			`[{"outputs":[{"output":0,"margin":1.0,"base":0.7,"contributions":{"age":0.1,"\"price\"":0.2}},` +
				`{"output":1,"margin":2.0,"base":0.0,"contributions":{"age":1.0,"\"price\"":1.0}}]}]`},
		"one of several outputs": {explained, []tensor.Tensor{tensor.New(Contributions, []int{1, 1, 3}, []float32{1, 2, 3})},
			`[{"base":3.0,"contributions":{"age":1.0,"\"price\"":2.0}}]`},
		"no rows": {explained, []tensor.Tensor{tensor.New(Contributions, []int{0, 3}, []float32{})}, `[]`},
	} {
		got, err := appendExplanations([]byte("before "), tt.signature, &tensor.Response{Outputs: tt.outputs})
		if err != nil || string(got) != "before "+tt.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tt.want)
		}
		if !json.Valid([]byte(tt.want)) {
			t.Errorf("%s: %s is no JSON", name, tt.want)
		}
	}
}

func TestExplanationsThatDoNotAddUpAreTheServersFault(t *testing.T) {
	nan := math.NaN()
	for want, outputs := range map[string][]tensor.Tensor{
		"no output":                     {tensor.New(Margin, []int{1}, []float32{1})},
		"has shape [3]":                 {tensor.New(Contributions, []int{3}, []float32{1, 2, 3})},
		"has shape [1 0]":               {tensor.New(Contributions, []int{1, 0}, []float32{})},
		"beside contributions of shape": {tensor.New(Contributions, []int{1, 3}, []float32{1, 2, 3}), tensor.New(Margin, []int{2}, []float32{1, 2})},
		"holds INT32":                   {tensor.New(Contributions, []int{1, 3}, []int32{1, 2, 3})},
		"needs 4":                       {tensor.New(Contributions, []int{1, 4}, []float32{1, 2, 3})},
		"element 1 is NaN":              {tensor.New(Contributions, []int{1, 3}, []float64{1, nan, 3})},
		"element 2 is NaN":              {tensor.New(Contributions, []int{1, 3}, []float64{1, 2, nan})},
		"element 0 is NaN":              {tensor.New(Contributions, []int{1, 3}, []float64{1, 2, 3}), tensor.New(Margin, []int{1}, []float64{nan})},
	} {
		_, err := appendExplanations(nil, explained, &tensor.Response{Outputs: outputs})
		if err == nil || fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestOnlyModelsWithContributionsAreExplained(t *testing.T) {
	if _, err := explanationOutputs(score); !errors.Is(err, ErrCannotExplain) {
		t.Errorf("got %v", err)
	}
	for want, outputs := range map[string][]tensor.Spec{
		"contributions,margin": explained.Outputs,
		"contributions":        explained.Outputs[2:],
	} {
		got, err := explanationOutputs(tensor.Signature{Outputs: outputs})
		if err != nil || !slices.Equal(got, strings.Split(want, ",")) {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
}
