package trees

import (
	"math"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/tensor"
)

// linDoc is a gblinear of two features and two outputs, the same as binLinear. weights may be nil.
func linDoc(weights []float32) doc {
	file := handmade{objective: "multi:softprob", base: "5E-1", features: 2, classes: 2, version: []int32{1, 7, 0}}.doc()
	if weights == nil {
		weights = []float32{}
	}
	put(file, "learner/gradient_booster", doc{"name": "gblinear", "model": doc{"weights": weights, "boosted_rounds": int64(3)}})
	return file
}

// linWeights are of each feature one for each output, then the biases.
var linWeights = []float32{1, -2, 0.25, 4, 0.125, -0.5}

// linAsk asks for the margin and the contributions of rows of two.
func linAsk(t *testing.T, m predict.Model, rows ...float32) (margin, contributions []float32) {
	t.Helper()
	r := &tensor.Request{
		Inputs:  []tensor.Tensor{tensor.New("input", []int{len(rows) / 2, 2}, rows)},
		Outputs: []string{"margin", "contributions"},
	}
	if err := m.Signature().Check(r); err != nil {
		t.Fatal(err)
	}
	got, err := m.Predict(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got.Outputs[0].Data.([]float32), got.Outputs[1].Data.([]float32)
}

func TestLinearFunctionsAddUpWhatIsThere(t *testing.T) {
	rows := []float32{0, 0, 2, -1, nan, 3, nan, nan}
	wantMargin := []float32{0.625, 0, 2.375, -8, 1.375, 12, 0.625, 0}
	wantContributions := []float32{
		0, 0, 0.625, 0, 0, 0,
		2, -0.25, 0.625, -4, -4, 0,
		0, 0.75, 0.625, 0, 12, 0,
		0, 0, 0.625, 0, 0, 0,
	}
	for name, data := range map[string][]byte{
		"json": appendJSON(nil, linDoc(linWeights)), "ubjson": appendUBJSON(nil, linDoc(linWeights), typedArrays),
		"binary": binLinear(1, 7), "binary of 0.90": binLinear(),
	} {
		m := mustOpen(t, data, nil)
		margin, contributions := linAsk(t, m, rows...)
		if !slices.Equal(margin, wantMargin) || !slices.Equal(contributions, wantContributions) {
			t.Errorf("%s: margins %v, want %v; contributions %v, want %v", name, margin, wantMargin, contributions, wantContributions)
		}
		for _, o := range m.Signature().Outputs {
			if o.Name == leafName {
				t.Errorf("%s: it has leaves", name)
			}
		}
	}
}

func TestLinearFunctionWithoutWeightsAnswersItsBaseScore(t *testing.T) {
	margin, contributions := linAsk(t, mustOpen(t, appendJSON(nil, linDoc(nil)), nil), 1, 2)
	if !slices.Equal(margin, []float32{0.5, 0.5}) || !slices.Equal(contributions, []float32{0, 0, 0.5, 0, 0, 0.5}) {
		t.Errorf("margin %v, contributions %v", margin, contributions)
	}
}

func TestLinearFunctionsTakeTheFirstBaseScoreForAll(t *testing.T) { // as 3.2.0 does, whose files have one for each output
	file := linDoc(linWeights)
	put(file, "version", []int32{3, 2, 0})
	put(file, atParams+"base_score", "[5E-1,2E0]")
	if margin, _ := linAsk(t, mustOpen(t, appendJSON(nil, file), nil), nan, nan); !slices.Equal(margin, []float32{0.625, 0}) {
		t.Errorf("margin %v, want the biases and the first base score", margin)
	}
}

func TestBadLinearModelsAreRefused(t *testing.T) {
	weights := func(i int, v float32) []float32 {
		w := slices.Clone(linWeights)
		w[i] = v
		return w
	}
	for name, tt := range map[string]struct {
		path  string
		value any
		want  []string
	}{
		"too few weights":            {atModel + "weights", linWeights[:5], []string{"5 weights", "want 6"}},
		"too many weights":           {atModel + "weights", append(slices.Clone(linWeights), 1), []string{"7 weights", "want 6"}},
		"a weight that is NaN":       {atModel + "weights", weights(2, nan), []string{"weight 2", "NaN"}},
		"a weight that is infinite":  {atModel + "weights", weights(5, inf), []string{"weight 5", "Inf"}},
		"no weights at all":          {atModel + "weights", drop{}, []string{"no weights"}},
		"weights that are a number":  {atModel + "weights", int64(1), []string{"array"}},
		"more features than weights": {atParams + "num_feature", "1000000", []string{"6 weights", "want 2000002"}},
		"no features":                {atParams + "num_feature", "0", []string{"num_feature is 0"}},
	} {
		file := linDoc(linWeights)
		put(file, tt.path, tt.value)
		for syntax, data := range map[string][]byte{"json": appendJSON(nil, file), "ubjson": appendUBJSON(nil, file, typedArrays)} {
			allocated, m, err := openCounting(data)
			if m != nil {
				t.Errorf("%s, %s: it opens", name, syntax)
				continue
			}
			mentions(t, err, tt.want...)
			if limit := allowance(data); allocated > limit {
				t.Errorf("%s: %d bytes were allocated for a file of %d, want at most %d", name, allocated, len(data), limit)
			}
		}
	}
}

func TestLinearModelsKnowNoRounds(t *testing.T) {
	data := appendJSON(nil, linDoc(linWeights))
	for _, option := range []string{"auto", "all"} {
		mustOpen(t, data, predict.Options{"iterations": option})
	}
	for _, option := range []string{"best", "1", "x"} {
		_, err := openBytes(data, predict.Options{"iterations": option})
		mentions(t, err, "iterations", option, "gblinear")
	}
}

func TestLinearModelsPassTheSuite(t *testing.T) {
	models := []predicttest.Model{
		{Name: "json", Files: predicttest.Files{"m.json": appendJSON(nil, linDoc(linWeights))}},
		{Name: "binary", Files: predicttest.Files{"m.bin": binLinear(1, 7)}},
	}
	predicttest.Run(t, predicttest.Options{Runtime: Runtime{}, Models: models, Request: sparseRequest})
	_, err := mustOpen(t, binLinear(1, 7), nil).Predict(t.Context(), &tensor.Request{
		Inputs: []tensor.Tensor{tensor.New("input", []int{1, 2}, []float32{1, float32(math.Inf(1))})},
	})
	mentions(t, err, "row 0", "column 1", "infinite")
}
