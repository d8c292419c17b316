package trees

import (
	"context"
	"math"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/tensor"
)

// contributionsTo asks for the contributions and the margins of rows.
func contributionsTo(t testing.TB, h handmade, rows []float32) (contributions, margins []float32) {
	t.Helper()
	m := mustOpen(t, h.json(), nil)
	r := &tensor.Request{
		Inputs:  []tensor.Tensor{tensor.New("input", []int{len(rows) / h.width(), h.width()}, rows)},
		Outputs: []string{"contributions", "margin"},
	}
	if err := m.Signature().Check(r); err != nil {
		t.Fatal(err)
	}
	got, err := m.Predict(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got.Outputs[0].Data.([]float32), got.Outputs[1].Data.([]float32)
}

// expected is what a tree gives if only the features in known are known of the row: at splits on others, the mean of both sides by the
// training rows that went there.
func expected(s *sprout, row []float32, known uint) float64 {
	if s.left == nil {
		return float64(s.value)
	}
	if known>>s.feature&1 == 0 {
		left, right := float64(s.left.cover()), float64(s.right.cover())
		return (expected(s.left, row, known)*left + expected(s.right, row, known)*right) / (left + right)
	}
	v := row[s.feature]
	var left bool
	switch {
	case v != v:
		left = s.missingLeft
	case s.categories != nil:
		left = v < 0 || v >= maxCategory || !slices.Contains(s.categories, int32(v))
	default:
		left = v < s.split
	}
	if left {
		return expected(s.left, row, known)
	}
	return expected(s.right, row, known)
}

// shapley computes the Shapley value of each feature by its definition: the mean, over all orders in which features become known, of what
// each adds. The last number is what is expected when none is known.
func shapley(h handmade, group int32, row []float32) []float64 {
	n := h.features
	worth := make([]float64, 1<<n)
	for known := range worth {
		for i, root := range h.trees {
			if h.groups[i] != group {
				continue
			}
			weight := 1.0
			if h.weights != nil {
				weight = float64(h.weights[i])
			}
			worth[known] += weight * expected(root, row, uint(known))
		}
	}
	orders := make([]float64, n+1) // the share of orders in which a feature comes right behind so many given ones
	for k := range n {
		orders[k] = 1 / (float64(n) * binomial(n-1, k))
	}
	values := make([]float64, n+1)
	for known, v := range worth {
		for i := range n {
			if known>>i&1 == 0 {
				values[i] += orders[bits.OnesCount(uint(known))] * (worth[known|1<<i] - v)
			}
		}
	}
	values[n] = worth[0]
	return values
}

func binomial(n, k int) float64 {
	b := 1.0
	for i := range k {
		b = b * float64(n-i) / float64(i+1)
	}
	return b
}

func TestContributionsAreShapleyValues(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawForest(rt)
		rows := drawRows(rt, h.features)
		n := min(len(rows)/h.features, 12)
		rows = rows[:n*h.features]
		got, margins := contributionsTo(t, h, rows)
		outputs := max(h.classes, 1)
		width := h.features + 1
		for i := range n {
			for k := range outputs {
				want := shapley(h, int32(k), rows[i*h.features:(i+1)*h.features])
				want[h.features] += 0.5 // the base score
				have := got[(i*outputs+k)*width : (i*outputs+k+1)*width]
				largest, sum := 1.0, 0.0
				for _, v := range want {
					largest = max(largest, math.Abs(v))
				}
				for j, v := range have {
					sum += float64(v)
					if math.Abs(float64(v)-want[j]) > 1e-6*largest {
						rt.Fatalf("row %d, output %d: %v, want %v", i, k, have, want)
					}
				}
				if margin := float64(margins[i*outputs+k]); math.Abs(sum-margin) > 1e-5*max(largest, math.Abs(margin)) {
					rt.Fatalf("row %d, output %d: the contributions %v sum up to %v, the margin is %v", i, k, have, sum, margin)
				}
			}
		}
	})
}

// TestDeepTreesAreExplained takes one path over many features, more than the quadrature is exact for, and compares with the closed form: all
// shares are alike, and so each feature that the row follows contributes the same.
func TestDeepTreesAreExplained(t *testing.T) {
	for _, depth := range []int{1, 2, 3, 7, 8, 64, 127, 128, 129, 300, 900} {
		f := &forest[float64]{features: depth, base: []float64{0}}
		var tree []branch[float64]
		for i := range depth {
			at := int32(len(tree))
			tree = append(tree, branch[float64]{feature: int32(i), split: 1, left: at + 1, right: at + 2, cover: math.Pow(0.9, float64(i))},
				branch[float64]{left: none, right: none, cover: math.Pow(0.9, float64(i)) * 0.1})
		}
		tree = append(tree, branch[float64]{left: none, right: none, value: 1, cover: math.Pow(0.9, float64(depth))})
		if err := f.plant(tree, 0); err != nil {
			t.Fatal(err)
		}
		row := slices.Repeat([]float64{2}, depth)
		got := make([]float64, depth+1)
		if err := f.contributions(t.Context(), row, got); err != nil {
			t.Fatal(err)
		}
		bias := math.Pow(0.9, float64(depth))
		for i, v := range got[:depth] {
			if want := (1 - bias) / float64(depth); math.Abs(v-want) > 1e-9*want {
				t.Fatalf("depth %d: feature %d contributes %v, want %v", depth, i, v, want)
			}
		}
		if math.Abs(got[depth]-bias) > 1e-12 {
			t.Errorf("depth %d: the bias is %v, want %v", depth, got[depth], bias)
		}
	}
}

func TestQuadratureIsExactForPolynomials(t *testing.T) {
	for n := 1; n <= 4*maxQuads; n++ {
		points, weights := gauss(n)
		for degree := range 2 * n {
			sum := 0.0
			for i, x := range points {
				sum += weights[i] * math.Pow(x, float64(degree))
			}
			if want := 1 / float64(degree+1); math.Abs(sum-want) > 1e-13 {
				t.Errorf("%d points, degree %d: %v, want %v", n, degree, sum, want)
			}
		}
	}
}
