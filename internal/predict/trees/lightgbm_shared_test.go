package trees_test

import (
	"bufio"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/trees"
	"github.com/serin-ml/serin/internal/rows"
	"github.com/serin-ml/serin/internal/testenv"
)

// lgbOpen opens a file of the shared data.
func lgbOpen(t *testing.T, name string) predict.Model {
	t.Helper()
	m, err := trees.Runtime{}.Open(t.Context(), file(testenv.Data(t, "trees", name)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lgbTable reads a file of numbers, parted by white space or commas.
func lgbTable(t *testing.T, name string) [][]float64 {
	t.Helper()
	f, err := os.Open(testenv.Data(t, "trees", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var table [][]float64
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		row := []float64(nil)
		for _, cell := range strings.FieldsFunc(lines.Text(), func(r rune) bool { return strings.ContainsRune(" \t,", r) }) {
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		table = append(table, row)
	}
	if lines.Err() != nil || len(table) == 0 {
		t.Fatalf("%s: %d rows, %v", name, len(table), lines.Err())
	}
	return table
}

// lgbRows reads rows for a model from a file, without the label where there is one.
func lgbRows(t *testing.T, m predict.Model, name string, labelled bool) lgbArray {
	t.Helper()
	input := m.Signature().Inputs[0]
	width := input.Shape[1]
	if strings.HasSuffix(name, ".libsvm") || strings.HasSuffix(name, ".test") {
		if !input.AbsentZero {
			t.Error("an entry absent from a sparse row must be 0")
		}
		f, err := os.Open(testenv.Data(t, "trees", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		reader, err := rows.Open(f, rows.LibSVM, rows.Options{Name: name, Width: width})
		if err != nil {
			t.Fatal(err)
		}
		var batch rows.Batch[float64]
		if err := batch.Read(reader, 1<<20); err != nil {
			t.Fatal(err)
		}
		for i, v := range batch.Values {
			if math.IsNaN(v) { // the reader has not been told what absent means
				batch.Values[i] = 0
			}
		}
		return lgbArray{[]int{batch.Rows, width}, batch.Values}
	}
	a := lgbArray{shape: []int{0, width}}
	for _, row := range lgbTable(t, name) {
		if labelled {
			row = row[1:]
		}
		if len(row) != width {
			t.Fatalf("%s: %d columns, the model has %d", name, len(row), width)
		}
		a.shape[0]++
		a.values = append(a.values, row...)
	}
	return a
}

// TestPublishedAnswersAreGiven asks models of other projects' tests what those ask, and expects what they expect, as far as the
// published digits go.
func TestPublishedAnswersAreGiven(t *testing.T) {
	const digits = 1e-14
	tests := []struct {
		model, rows string
		labelled    bool
		output      string
		answers     string
		tolerance   float64
	}{
		{"leaves/lg_breast_cancer.txt", "leaves/lg_breast_cancer_data.txt", false, "leaf", "leaves/lg_breast_cancer_data_pred_leaves.txt", 0},
		{"leaves/lg_dart_breast_cancer.model", "leaves/breast_cancer_test.tsv", false, "prediction", "leaves/lg_dart_breast_cancer_true_predictions.txt", digits},
		{lgbOldForest, "leaves/iris_test.libsvm", false, "prediction", "leaves/lg_rf_iris_true_predictions.txt", digits},
		{"leaves/lgmulticlass.model", "leaves/multiclass_test.tsv", true, "prediction", "leaves/lgmulticlass_true_predictions.txt", digits},
		{"leaves/lgmulticlass.model", "leaves/multiclass_test.tsv", true, "margin", "leaves/lgmulticlass_true_raw_predictions.txt", digits},
		{"leaves/genlin_fmtp_gamma_AvgClaimAmount.model", "leaves/genlin_fmtp_gamma_AvgClaimAmount_features.tsv", false, "prediction", "leaves/genlin_fmtp_gamma_AvgClaimAmount_true_predictions.txt", digits},
		{"leaves/genlin_fmtp_poisson_Frequency.model", "leaves/genlin_fmtp_poisson_Frequency_features.tsv", false, "prediction", "leaves/genlin_fmtp_poisson_Frequency_true_predictions.txt", digits},
		{"leaves/genlin_fmtp_tweedie_PurePremium.model", "leaves/genlin_fmtp_tweedie_PurePremium_features.tsv", false, "prediction", "leaves/genlin_fmtp_tweedie_PurePremium_true_predictions.txt", digits},
		{"treelite/toy_categorical/toy_categorical_model.txt", "treelite/toy_categorical/toy_categorical.test", false, "prediction", "treelite/toy_categorical/toy_categorical.test.pred", digits},
	}
	for _, tt := range tests {
		t.Run(tt.model+" "+tt.output, func(t *testing.T) {
			m := lgbOpen(t, tt.model)
			asked := lgbRows(t, m, tt.rows, tt.labelled)
			got := lgbAsk(t, m, asked, tt.output)[tt.output]
			want := lgbTable(t, tt.answers)
			if len(want) != got.shape[0] {
				t.Fatalf("%d answers for %d rows", len(want), got.shape[0])
			}
			worst := 0.0
			for i, want := range want {
				got := got.row(i)
				if len(got) != len(want) {
					t.Fatalf("row %d: %d numbers, want %d", i, len(got), len(want))
				}
				for k := range want {
					worst = max(worst, lgbDistance(got[k], want[k], 0))
					if lgbDistance(got[k], want[k], 0) > tt.tolerance {
						t.Errorf("row %d, number %d: %v, want %v", i, k, got[k], want[k])
					}
				}
			}
			t.Logf("%d rows, worst relative error %.3g", len(want), worst)
		})
	}
}

// TestHandmadeDumpsAnswer opens two dumps whose answers can be told by looking at them.
func TestHandmadeDumpsAnswer(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		name string
		row  []float64 // the first columns; the rest is 0
		want float64
	}{
		{"leaves/lg_1tree.json", []float64{0.14, 10}, 0.4703}, // up to 0.14, one of 1, 10, 100
		{"leaves/lg_1tree.json", []float64{0.14, 100.9}, 0.4703},
		{"leaves/lg_1tree.json", []float64{-1, 2}, 0.4242},
		{"leaves/lg_1tree.json", []float64{nan, nan}, 0.4242}, // NaN counts as 0 where nothing is missing, and is no category
		{"leaves/lg_1tree.json", []float64{0.15, 10}, 1.1111},
		{"leaves/lg_1tree_1leaf.json", []float64{1}, 0.42},
	}
	for _, tt := range tests {
		m := lgbOpen(t, tt.name)
		row := make([]float64, m.Signature().Inputs[0].Shape[1])
		copy(row, tt.row)
		got := lgbAsk(t, m, lgbArray{[]int{1, len(row)}, row}, "prediction", "margin")
		if want := []float64{tt.want}; !slices.Equal(got["prediction"].values, want) || !slices.Equal(got["margin"].values, want) {
			t.Errorf("%s, %v: %v, want %v", tt.name, tt.row, got, tt.want)
		}
	}
}
