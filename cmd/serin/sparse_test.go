package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// sparsePredictions trains models on sparse data and writes, to the folder that it is told, the models, rows.libsvm and answers.json: by
// the model's file, what its library makes of these rows. LightGBM answers twice, from the file itself and from a sparse matrix, which
// must agree. Explicit zeros and explicit NaNs are among the entries.
const sparsePredictions = `
import json, sys, warnings
warnings.simplefilter("ignore")
import lightgbm, numpy, scipy.sparse, xgboost
folder = sys.argv[1]
random = numpy.random.default_rng(5)
n, m = 600, 8
present = random.random((n, m)) < 0.5
values = random.normal(size=(n, m)).round(3)
values[random.random((n, m)) < 0.15] = 0
values[random.random((n, m)) < 0.10] = numpy.nan
at, column = numpy.nonzero(present)
sparse = scipy.sparse.csr_matrix((values[at, column], (at, column)), shape=(n, m))
labels = (numpy.nan_to_num(values[:, 0]) * present[:, 0] + present[:, 1] > 0.6).astype(int)
with open(folder + "/rows.libsvm", "w") as out:
    for i in range(n):
        print(labels[i], *("%d:%r" % (j, float(values[i, j])) for j in range(m) if present[i, j]), file=out)
answers = {}
for name, params in {"plain": {}, "zeros": {"zero_as_missing": True}, "never": {"use_missing": False}}.items():
    data = lightgbm.Dataset(sparse, label=labels, params={"verbose": -1, **params})
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "min_data_in_leaf": 3, "num_leaves": 15, **params}, data, 10)
    booster.save_model(f"{folder}/{name}.txt")
    from_file = booster.predict(folder + "/rows.libsvm", predict_disable_shape_check=True)
    assert (from_file == booster.predict(sparse)).all(), name
    dense = numpy.where(present, values, 0)
    assert (from_file == booster.predict(dense)).all(), name
    assert (from_file != booster.predict(numpy.where(present, values, numpy.nan))).any() or name != "plain"
    answers[name + ".txt"] = from_file.tolist()
data = xgboost.DMatrix(sparse, label=labels)
booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4}, data, 10)
booster.save_model(folder + "/xgboost.ubj")
answers["xgboost.ubj"] = booster.predict(data).astype(float).tolist()
assert (booster.predict(xgboost.DMatrix(numpy.where(present, values, 0))) != booster.predict(data)).any()
json.dump(answers, open(folder + "/answers.json", "w"))
`

// TestAbsentEntriesOfSparseRowsAreWhatTheLibraryTakesThemFor predicts a libsvm file, and has the libraries do it: what is absent is 0 to
// LightGBM and missing to XGBoost.
func TestAbsentEntriesOfSparseRowsAreWhatTheLibraryTakesThemFor(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command(testenv.Python(t, "mlflow"), "-c", sparsePredictions, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string][]float64
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 4 {
		t.Fatalf("%d models", len(answers))
	}
	for model, want := range answers {
		tolerance := 1e-12
		if strings.HasPrefix(model, "xgboost") {
			tolerance = 1e-6
		}
		var out, errs bytes.Buffer
		args := []string{"predict", filepath.Join(dir, model), "--input", filepath.Join(dir, "rows.libsvm")}
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("%s: exit code %d: %s", model, code, errs.String())
		}
		d := json.NewDecoder(&out)
		for i, w := range want {
			var got struct{ Prediction float64 }
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%s: row %d: %v", model, i, err)
			}
			if !(math.Abs(got.Prediction-w) <= tolerance*math.Abs(w)) {
				t.Errorf("%s: row %d is %v, to the library %v", model, i, got.Prediction, w)
			}
		}
		if d.More() {
			t.Errorf("%s: more answers than rows", model)
		}
	}
}
