package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// explainedByXGBoost prints XGBoost's own contributions: a line of JSON a row, [output][feature, the bias last].
const explainedByXGBoost = `
import json, sys, numpy, xgboost
model = xgboost.Booster(model_file=sys.argv[1])
rows = numpy.array([[float(v or "nan") for v in line.split(",")] for line in open(sys.argv[2]).read().split()[1:]], dtype="f4")
data = xgboost.DMatrix(rows, feature_names=model.feature_names)
contributions = model.predict(data, pred_contribs=True).astype(float)
for row in contributions.reshape(len(rows), -1, rows.shape[1] + 1).tolist():
    print(json.dumps(row))
`

// TestExplanationsAreXGBoostsOwn compares what explain prints with XGBoost's contributions, within 1e-5 of the row's greatest.
func TestExplanationsAreXGBoostsOwn(t *testing.T) {
	python := testenv.Python(t, "xgboost")
	root := testenv.Root(t)
	example := filepath.Join(root, "examples", "installs")
	for model, input := range map[string]string{
		filepath.Join(example, "model", "model.ubj"):                                                          filepath.Join(example, "rows.csv"),
		filepath.Join(root, "internal", "predict", "trees", "testdata", "versions", "3.2.0", "softprob.json"): filepath.Join("testdata", "four.csv"),
	} {
		cmd := exec.Command(python, "-c", explainedByXGBoost, model, input)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		theirs, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		var ours bytes.Buffer
		if code := run(t.Context(), []string{"explain", model, "--input", input, "--all", "--json"}, strings.NewReader(""), &ours, &errs); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		want, got := strings.Split(strings.TrimSpace(string(theirs)), "\n"), strings.Split(strings.TrimSpace(ours.String()), "\n")
		if len(got) != len(want) {
			t.Fatalf("%s: %d rows, want %d", model, len(got), len(want))
		}
		worst := 0.0
		for i := range want {
			var w [][]float64
			var g explained
			if err := json.Unmarshal([]byte(want[i]), &w); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(got[i]), &g); err != nil {
				t.Fatalf("%s: %v", got[i], err)
			}
			if g.Row != i+1 || g.Line != i+2 || len(g.Outputs) != len(w) {
				t.Fatalf("row %d is row %d, line %d, with %d outputs, want %d", i+1, g.Row, g.Line, len(g.Outputs), len(w))
			}
			for k, o := range g.Outputs {
				worst = max(worst, o.differs(t, w[k]))
			}
		}
		t.Logf("%s: %d rows, worst difference %.2g of the row's greatest contribution", filepath.Base(model), len(want), worst)
		if !(worst <= 1e-5) {
			t.Errorf("%s: the worst difference is %v", model, worst)
		}
	}
}

// explained is a line of `serin explain --json`, as a program reads it.
type explained struct {
	Row, Line  int
	Prediction any
	Outputs    []explainedOutput
}

type explainedOutput struct {
	Output            int
	Label             *string
	Margin, Bias, Sum float64
	Contributions     []struct {
		Feature      int
		Name         string
		Value        *float64
		Contribution float64
	}
	Rest struct {
		Features     int
		Contribution float64
	}
}

// differs returns the greatest difference from what is wanted, as a part of the greatest that is wanted.
func (o *explainedOutput) differs(t *testing.T, want []float64) (worst float64) {
	t.Helper()
	last := len(want) - 1
	if len(o.Contributions) != last || o.Rest.Features != 0 || o.Label == nil {
		t.Fatalf("%d features are told, want %d: %+v", len(o.Contributions), last, o)
	}
	greatest := 0.0
	for _, w := range want {
		greatest = max(greatest, math.Abs(w))
	}
	worst = math.Abs(o.Bias - want[last])
	before := math.Inf(1)
	for _, c := range o.Contributions {
		worst = max(worst, math.Abs(c.Contribution-want[c.Feature]))
		if math.Abs(c.Contribution) > before {
			t.Errorf("feature %d contributes %v, more than the one before it", c.Feature, c.Contribution)
		}
		before = math.Abs(c.Contribution)
	}
	return max(worst, math.Abs(o.Sum-o.Margin)) / greatest
}

// TestTopFeaturesAndTheRestAddUp explains with few features and with all.
func TestTopFeaturesAndTheRestAddUp(t *testing.T) {
	example := filepath.Join(testenv.Root(t), "examples", "installs")
	for _, top := range []int{0, 1, 5, 56, 100} {
		var out, errs bytes.Buffer
		args := []string{"explain", filepath.Join(example, "model"), "--input", filepath.Join(example, "rows.csv"), "--json", "--top", strconv.Itoa(top)}
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		d := json.NewDecoder(&out)
		for d.More() {
			var e explained
			if err := d.Decode(&e); err != nil {
				t.Fatal(err)
			}
			o := e.Outputs[0]
			sum := o.Bias + o.Rest.Contribution
			for _, c := range o.Contributions {
				if c.Contribution == 0 {
					t.Errorf("row %d: feature %d contributes nothing and is told", e.Row, c.Feature)
				}
				sum += c.Contribution
			}
			if len(o.Contributions) > top || len(o.Contributions)+o.Rest.Features != 56 || math.Abs(sum-o.Margin) > 1e-5*math.Abs(o.Bias) || math.Abs(sum-o.Sum) > 1e-5*math.Abs(o.Bias) {
				t.Errorf("row %d of the top %d: %d features and %d more, which add up to %v; the margin is %v", e.Row, top, len(o.Contributions), o.Rest.Features, sum, o.Margin)
			}
		}
	}
}
