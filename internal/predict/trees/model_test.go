package trees

import (
	"context"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// into is how callers with memory of their own ask a model of float32.
type into interface {
	PredictInto(ctx context.Context, rows, out []float32) error
}

func TestPredictIntoAnswersAsPredictDoesAndAllocatesNothing(t *testing.T) {
	for name, h := range map[string]handmade{"grove": grove, "dart": dropout, "timber": timber(30)} {
		t.Run(name, func(t *testing.T) {
			m := mustOpen(t, h.json(), nil)
			for _, n := range []int{1, 7, 8, 100} {
				rows := sparseRows(t, h, n)
				want, _ := answersTo(t, m, rows)
				out := make([]float32, len(want.Data.([]float32)))
				direct := m.(into)
				allocations := testing.AllocsPerRun(20, func() {
					if err := direct.PredictInto(t.Context(), rows, out); err != nil {
						t.Fatal(err)
					}
				})
				if !slices.Equal(out, want.Data.([]float32)) {
					t.Errorf("%d rows: %v, want %v", n, out, want.Data)
				}
				if allocations != 0 && !raceDetector {
					t.Errorf("%d rows: %v allocations", n, allocations)
				}
			}
		})
	}
}

func TestPredictIntoRefusesMemoryThatDoesNotFit(t *testing.T) {
	m := mustOpen(t, grove.json(), nil).(into)
	for _, tt := range []struct{ rows, out int }{{3, 3}, {4, 2}, {4, 4}, {8, 3}} {
		if err := m.PredictInto(t.Context(), make([]float32, tt.rows), make([]float32, tt.out)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%d numbers in, %d out: %v", tt.rows, tt.out, err)
		}
	}
}

func TestLeavesAreTheLibrarysNumbers(t *testing.T) {
	m := mustOpen(t, grove.json(), nil)
	r := &tensor.Request{
		Inputs:  []tensor.Tensor{tensor.New("input", []int{2, 4}, []float32{0, 0, 1, 5, 2, -1, 0, nan})},
		Outputs: []string{"leaf"},
	}
	got, err := m.Predict(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// grove's nodes are numbered level by level
	want := []int32{1, 2, 2, 0, 3, 2, 4, 2, 1, 0, 2, 1}
	if o := got.Outputs[0]; !slices.Equal(o.Data.([]int32), want) || !slices.Equal(o.Shape, []int{2, 6}) {
		t.Errorf("the leaves are %v %v, want %v", o.Shape, o.Data, want)
	}
}
