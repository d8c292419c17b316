package trees

import (
	"math"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// The rules that changed between versions of XGBoost. What the installed libraries can show is in testdata/versions; 3.3 and 3.4, which
// no package registry has yet, are held here against what their sources say.

func TestWeightsInsideTheModelCount(t *testing.T) { // as 3.4 writes dropout, under the name gbtree
	want, _ := answersTo(t, mustOpen(t, dropout.json(), nil), []float32{0, 0, 5, 5})
	h := dropout
	h.weights, h.version = nil, []int32{3, 4, 1}
	file := h.doc()
	put(file, atModel+"weight_drop", dropout.weights)
	for name, data := range map[string][]byte{"json": appendJSON(nil, file), "ubjson": appendUBJSON(nil, file, typedArrays)} {
		if got, _ := answersTo(t, mustOpen(t, data, nil), []float32{0, 0, 5, 5}); !slices.Equal(got.Data.([]float32), want.Data.([]float32)) {
			t.Errorf("%s: %v, want %v as with the weights beside the model", name, got.Data, want.Data)
		}
	}
	unweighted, _ := answersTo(t, mustOpen(t, h.json(), nil), []float32{0, 0, 5, 5})
	if slices.Equal(unweighted.Data.([]float32), want.Data.([]float32)) {
		t.Error("the weights make no difference, so this test shows nothing")
	}
}

// outputs makes a model of constant margins.
func outputs(objective, base string, version []int32, margins ...float32) handmade {
	h := handmade{objective: objective, base: base, classes: len(margins), version: version}
	for i, m := range margins {
		h.trees, h.groups = append(h.trees, leaf(m)), append(h.groups, int32(i))
	}
	return h
}

func TestQuantilesDoNotCrossSince34(t *testing.T) {
	for _, tt := range []struct {
		version []int32
		want    []float32
	}{{[]int32{3, 3, 0}, []float32{2, -1, 1}}, {[]int32{3, 4, 0}, []float32{-1, 1, 2}}} {
		got, margin := answersTo(t, mustOpen(t, outputs("reg:quantileerror", "0", tt.version, 2, -1, 1).json(), nil), []float32{0})
		if !slices.Equal(got.Data.([]float32), tt.want) || !slices.Equal(margin.Data.([]float32), []float32{2, -1, 1}) {
			t.Errorf("version %v: %v of %v, want %v", tt.version, got.Data, margin.Data, tt.want)
		}
	}
}

func TestExpectilesRise(t *testing.T) {
	// Without trees' help the expectiles are the base scores, through gaps and back.
	base, want := "[-5E-1,2.5E-1,1E0]", []float64{-0.5, 0.25, 1}
	got, _ := answersTo(t, mustOpen(t, outputs("reg:expectileerror", base, []int32{3, 3, 0}, 0, 0, 0).json(), nil), []float32{0})
	for i, v := range got.Data.([]float32) {
		if math.Abs(float64(v)-want[i]) > 1e-6 {
			t.Errorf("expectile %d is %v, want %v", i, v, want[i])
		}
	}
	// A first value of 1 and gaps of softplus(0), softplus(-90) and softplus(90), each and a millionth.
	row := []float32{1, 0, -90, 90}
	fromGaps(row)
	for i, v := range []float64{1, 1 + math.Ln2 + 1e-6, 1 + math.Ln2 + 2e-6, 91 + math.Ln2 + 3e-6} {
		if math.Abs(float64(row[i])-v) > 1e-6*v {
			t.Errorf("expectile %d is %v, want %v", i, row[i], v)
		}
	}
}

func TestCertaintyHasALogitSince32(t *testing.T) {
	for base, want := range map[string]float32{"0E0": -13.81551, "1E0": 13.74516, "1E-8": -13.815510, "5E-1": 0} { // as 3.2.0 answers
		_, margin := answersTo(t, mustOpen(t, outputs("binary:logistic", base, []int32{3, 2, 0}, 0).json(), nil), []float32{0})
		if got := margin.Data.([]float32)[0]; math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want)) {
			t.Errorf("base_score %s: the margin is %v, want %v", base, got, want)
		}
	}
}

func TestCountsMayBeZero(t *testing.T) { // labels that are all 0 lead to it since 3.0
	got, margin := answersTo(t, mustOpen(t, outputs("count:poisson", "0E0", nil, 0.5).json(), nil), []float32{0})
	if p, m := got.Data.([]float32)[0], margin.Data.([]float32)[0]; p != 0 || !math.IsInf(float64(m), -1) {
		t.Errorf("prediction %v of margin %v, want 0 of -Inf, as every XGBoost says", p, m)
	}
}

func TestOldWrapperSaysHowManyTreesARoundHas(t *testing.T) {
	h := handmade{version: []int32{1, 3, 3}, trees: []*sprout{leaf(1), leaf(2), leaf(4), leaf(8)}}
	for meta, want := range map[string]float32{
		`{"missing": NaN, "best_ntree_limit": 2}`: 3, // the first round, two trees side by side
		`{"best_ntree_limit": null}`:              1,
		`{"best_ntree_limit": 2`:                  1,
		``:                                        1,
	} {
		h.attributes = doc{"best_iteration": "0", "scikit_learn": meta}
		file := h.doc()
		put(file, atModel+"gbtree_model_param/num_parallel_tree", drop{})
		got, _ := answersTo(t, mustOpen(t, appendJSON(nil, file), predict.Options{"iterations": "best"}), []float32{0})
		if v := got.Data.([]float32)[0]; v != want {
			t.Errorf("%s: %v, want %v", meta, v, want)
		}
	}
}

func TestAnswersBeyondATensorAreRefused(t *testing.T) {
	margins := make([]float32, 300)
	m := mustOpen(t, outputs("multi:softprob", "0", nil, margins...).json(), nil)
	rows := math.MaxInt32/300 + 1
	_, err := m.Predict(t.Context(), &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{rows, 1}, make([]float32, rows))}})
	mentions(t, err, "too many for one answer")
}
