package trees_test

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/rows"
	"github.com/serin-ml/serin/internal/testenv"
)

// readLibSVM reads rows as serin predict does: what is absent is missing.
func readLibSVM(t *testing.T, path string, width int) array {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := rows.Open(f, rows.LibSVM, rows.Options{Name: filepath.Base(path), Width: width})
	if err != nil {
		t.Fatal(err)
	}
	var batch rows.Batch[float32]
	if err := batch.Read(reader, 1<<20); err != nil {
		t.Fatal(err)
	}
	return array{[]int{batch.Rows, batch.Width}, batch.Values}
}

// readNumbers reads a file of one number a line.
func readNumbers(t *testing.T, path string, shape ...int) array {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := array{shape: shape}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		v, err := strconv.ParseFloat(strings.TrimSpace(lines.Text()), 32)
		if err != nil {
			t.Fatal(err)
		}
		a.values = append(a.values, float32(v))
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	if len(a.values) != n {
		t.Fatalf("%s has %d numbers, want %v", filepath.Base(path), len(a.values), shape)
	}
	return a
}

func width(m predict.Model) int { return m.Signature().Inputs[0].Shape[1] }

// TestOldBinaryFilesAnswerAsPublished asks the models of other projects' tests, which XGBoost wrote before 1.0, and expects the answers
// that were published with them.
func TestOldBinaryFilesAnswerAsPublished(t *testing.T) {
	tests := []struct {
		model, rows, prediction, margin string
		outputs                         int
	}{
		{"treelite/dermatology/dermatology.model", "treelite/dermatology/dermatology.test", "treelite/dermatology/dermatology.test.prob", "treelite/dermatology/dermatology.test.margin", 6},
		{"treelite/mushroom/mushroom.model", "treelite/mushroom/agaricus.test", "treelite/mushroom/agaricus.test.prob", "treelite/mushroom/agaricus.test.margin", 1},
		{"leaves/xgblin_agaricus.model", "leaves/agaricus_test.libsvm", "leaves/xgblin_agaricus_true_predictions.txt", "leaves/xgblin_agaricus_true_raw_predictions.txt", 1},
	}
	for _, tt := range tests {
		t.Run(filepath.Base(tt.model), func(t *testing.T) {
			data := func(path string) string {
				return testenv.Data(t, append([]string{"trees"}, strings.Split(path, "/")...)...)
			}
			m, err := openFile(t, data(tt.model), "")
			if err != nil {
				t.Fatal(err)
			}
			rows := readLibSVM(t, data(tt.rows), width(m))
			prediction, margin, err := ask(t, m, rows)
			if err != nil {
				t.Fatal(err)
			}
			shape := []int{rows.shape[0], tt.outputs}
			if tt.outputs == 1 {
				shape = shape[:1]
			}
			s := compareShaped(t, prediction, readNumbers(t, data(tt.prediction), shape...), rows, "prediction")
			s.add(compareShaped(t, margin, readNumbers(t, data(tt.margin), shape...), rows, "margin"))
			t.Logf("%d rows, %.2f%% equal to the bit, worst relative error %.3g", rows.shape[0], s.share(), s.worst)
		})
	}
}

// TestRealBinaryModelsAnswerAsXGBoostReadsThem has XGBoost 1.7.6 read the same files. It does not know Spark's prefix, so that file is cut
// for it, and read here both ways. It adds the trees of old files to the base score, where the library that wrote them added the base
// score last, as is done here: the sums differ by roundings, which show where a sum cancels out.
func TestRealBinaryModelsAnswerAsXGBoostReadsThem(t *testing.T) {
	spark := testenv.Data(t, "trees", "xgboost", "spark_0.82", "data", "XGBoostClassificationModel")
	content, err := os.ReadFile(spark)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, content[4:], 0o600); err != nil {
		t.Fatal(err)
	}
	m := runOracle(t, testenv.Python(t, "xgboost17"), "predict", strconv.FormatUint(oracleSeed(t), 10), cut,
		testenv.Data(t, "trees", "kserve", "xgboost_iris.bst"), testenv.Data(t, "trees", "treelite", "dermatology", "dermatology.model"),
		testenv.Data(t, "trees", "treelite", "mushroom", "mushroom.model"), testenv.Data(t, "trees", "leaves", "xgblin_agaricus.model"))
	if len(m.Models) != 5 {
		t.Fatalf("%d models", len(m.Models))
	}
	m.Models[0].Files = append(m.Models[0].Files, spark)
	for i := range m.Models {
		o := &m.Models[i]
		rows, answer := m.array(o.Rows), &o.Answers[0]
		for _, name := range o.Files {
			model, err := openFile(t, m.path(name), "")
			if err != nil {
				t.Fatal(err)
			}
			prediction, margin, err := ask(t, model, rows)
			if err != nil {
				t.Fatal(err)
			}
			worst := max(worstRounding(t, prediction, m.array(answer.Prediction)), worstRounding(t, margin, m.array(answer.Margin)))
			if !(worst <= tolerance) {
				t.Errorf("%s: an answer is off by %.3g", name, worst)
			}
			t.Logf("%s: %d rows, no answer is off by more than %.3g", filepath.Base(name), rows.shape[0], worst)
		}
	}
}

// worstRounding returns by how much answers differ, a number below one being taken for one.
func worstRounding(t *testing.T, got, want array) (worst float64) {
	t.Helper()
	if !slices.Equal(got.shape, want.shape) {
		t.Fatalf("shape %v, XGBoost gives %v", got.shape, want.shape)
	}
	for i, w := range want.values {
		worst = max(worst, math.Abs(float64(got.values[i])-float64(w))/max(1, math.Abs(float64(w))))
	}
	return worst
}
