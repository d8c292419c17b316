package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// data are the files of the shared test data that are no models: rows, expected answers, documents.
var data = regexp.MustCompile(`LICENSE|true_(raw_)?predictions|pred_leaves|breast_cancer_data\.txt|\.(libsvm|tsv|csv|data|test|train|group|pred|prob|margin)$|featmap|rank\.|agaricus\.txt|/_|/\.|\.crc$|metadata/`)

// TestEveryModelOfTheSharedDataIsPredictedAndExplained asks every model file there, as it is, about a row of ones. What it answers is
// compared with the libraries' answers by the tests of the runtime; here, explanations must add up to the margin.
func TestEveryModelOfTheSharedDataIsPredictedAndExplained(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var models []string
	err := filepath.WalkDir(testenv.Data(t, "trees"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !data.MatchString(filepath.ToSlash(path)) {
			models = append(models, path)
		}
		return err
	})
	if err != nil || len(models) < 19 {
		t.Fatalf("%d models, %v: %q", len(models), err, models)
	}
	for _, model := range models {
		ask := func(command, row string) (out, errs string, code int) {
			var o, e bytes.Buffer
			code = run(t.Context(), []string{command, model, "--input", "-", "--format", "jsonl", "--json"}, strings.NewReader(row), &o, &e)
			return o.String(), e.String(), code
		}
		_, errs, _ := ask("predict", "[]")
		width := regexp.MustCompile(`0 values where (\d+) are needed`).FindStringSubmatch(errs)
		if width == nil {
			t.Errorf("%s: %s", model, errs)
			continue
		}
		var columns int
		if err := json.Unmarshal([]byte(width[1]), &columns); err != nil {
			t.Fatal(err)
		}
		row := "[" + strings.Join(slices.Repeat([]string{"1"}, columns), ",") + "]"
		if out, errs, code := ask("predict", row); code != 0 || !strings.HasPrefix(out, `{"prediction": `) {
			t.Errorf("%s: exit code %d: %s%s", model, code, out, errs)
		}
		out, errs, code := ask("explain", row)
		var e explained
		if err := json.Unmarshal([]byte(out), &e); code != 0 || err != nil || len(e.Outputs) == 0 {
			t.Errorf("%s: exit code %d, %v: %s", model, code, err, errs)
		}
		for _, o := range e.Outputs {
			if !(math.Abs(o.Margin-o.Sum) <= 1e-5*max(1, math.Abs(o.Bias), math.Abs(o.Margin))) {
				t.Errorf("%s: the explanation adds up to %v, the margin is %v", model, o.Sum, o.Margin)
			}
		}
	}
	if entries, err := os.ReadDir(temp); err != nil {
		t.Error(err)
	} else {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "serin-") {
				t.Errorf("%s was left behind", e.Name())
			}
		}
	}
}
