package trees_test

import (
	"math"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// explained is how far a contribution may be from the library's, and their sum from the margin, relative to the largest of its row, or to
// the base score that the library adds them up from, in float32.
const explained = 1e-5

// explanation is what the library answers beside predictions. What it does not give has no shape.
type explanation struct {
	leaf, contributions array
	magnitude           float64 // of the base score
}

// compare compares a model's leaves and contributions with the library's, and returns the worst error of a contribution.
func (want explanation) compare(t *testing.T, m predict.Model, rows, margin array, what string) (worst float64) {
	t.Helper()
	var names []string
	if want.leaf.shape != nil {
		names = append(names, "leaf")
	}
	if want.contributions.shape != nil {
		names = append(names, "contributions")
	}
	if names == nil {
		return 0
	}
	r := &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", rows.shape, rows.values)}, Outputs: names}
	if err := m.Signature().Check(r); err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	response, err := m.Predict(t.Context(), r)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	for i := range response.Outputs {
		switch o := &response.Outputs[i]; o.Name {
		case "leaf":
			compareLeaves(t, o, want.leaf, what)
		case "contributions":
			worst = compareContributions(t, o, want.contributions, margin, want.magnitude, what)
		}
	}
	return worst
}

func compareLeaves(t *testing.T, o *tensor.Tensor, want array, what string) {
	t.Helper()
	got, ok := o.Data.([]int32)
	if !ok || !slices.Equal(o.Shape, want.shape) {
		t.Errorf("%s: leaves are %s %v, XGBoost gives %v", what, o.DType(), o.Shape, want.shape)
		return
	}
	for i, w := range want.values {
		if float32(got[i]) != w {
			t.Errorf("%s: row %d ends in leaf %d of tree %d, XGBoost says %v", what, i/o.Shape[1], got[i], i%o.Shape[1], w)
			return
		}
	}
}

func compareContributions(t *testing.T, o *tensor.Tensor, want, margin array, magnitude float64, what string) (worst float64) {
	t.Helper()
	got, ok := o.Data.([]float32)
	if !ok || !slices.Equal(o.Shape, want.shape) {
		t.Errorf("%s: contributions are %s %v, XGBoost gives %v", what, o.DType(), o.Shape, want.shape)
		return 0
	}
	width := o.Shape[len(o.Shape)-1]
	for i := range margin.values {
		from, to := i*width, (i+1)*width
		sum, largest, off := 0.0, max(magnitude, 1e-6), 0.0
		for j := from; j < to; j++ {
			g, w := float64(got[j]), float64(want.values[j])
			if sum += g; g == w && math.IsInf(g, 0) { // of a linear function and a number far out
				continue
			}
			largest = max(largest, math.Abs(w))
			off = max(off, math.Abs(g-w))
		}
		if m := float64(margin.values[i]); !math.IsInf(m, 0) && m == m {
			off = max(off, math.Abs(sum-m))
		}
		off /= largest
		if !(off <= explained) {
			t.Errorf("%s: contributions %d are %v with the sum %v and the margin %v, XGBoost gives %v (relative error %.3g)", what, i,
				got[from:to], sum, margin.values[i], want.values[from:to], off)
			return off
		}
		worst = max(worst, off)
	}
	return worst
}
