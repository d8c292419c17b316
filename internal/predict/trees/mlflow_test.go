package trees

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/strictyaml"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// mlflowFolder reads a folder that MLflow wrote.
func mlflowFolder(t *testing.T, elem ...string) predicttest.Files {
	t.Helper()
	files := predicttest.Files{}
	folder := filepath.Join(elem...)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestMLflowFoldersAnswerAsMLflowDoes has the real MLflow save models and answer with them. A classifier of scikit-learn's kind gives the
// class in MLflow, where the model itself, and so this runtime, gives its probability.
func TestMLflowFoldersAnswerAsMLflowDoes(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(testenv.Python(t, "mlflow"), filepath.Join("testdata", "mlflow_folders.py"), dir)
	cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Version string
		Columns []string
		Rows    []*float64
		Answers map[string][]float64
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	rows := make([]float64, len(want.Rows))
	for i, v := range want.Rows {
		rows[i] = math.NaN()
		if v != nil {
			rows[i] = *v
		}
	}
	for _, tt := range []struct {
		name      string
		tolerance float64
		class     bool
	}{
		{"xgboost_xgb", 1e-6, false}, {"xgboost_json", 1e-6, false}, {"xgboost_ubj", 1e-6, false}, {"xgboost_wrapper", 0, true},
		{"lightgbm", 1e-12, false},
	} {
		m := opened(t, mlflowFolder(t, dir, tt.name))
		in := m.Signature().Inputs[0]
		columns := strings.Join(want.Columns, ",")
		if tt.name == "lightgbm" {
			columns = strings.ReplaceAll(columns, " ", "_") // as LightGBM itself writes them
		}
		if got := strings.Join(in.Columns, ","); got != columns {
			t.Errorf("%s: the columns are %s, want %s", tt.name, got, columns)
		}
		x := tensor.New(in.Name, []int{len(rows) / len(want.Columns), len(want.Columns)}, rows)
		response, err := m.Predict(t.Context(), &tensor.Request{Inputs: []tensor.Tensor{x}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := response.Outputs[0].Float64s()
		if err != nil || len(got) != len(want.Answers[tt.name]) || len(got) == 0 {
			t.Fatalf("%s: %d answers of %d, %v", tt.name, len(got), len(want.Answers[tt.name]), err)
		}
		for i, w := range want.Answers[tt.name] {
			g := got[i]
			if tt.class {
				g = math.Round(g)
			}
			if !(math.Abs(g-w) <= tt.tolerance*math.Abs(w)) {
				t.Errorf("%s: row %d gives %v, in MLflow %s %v", tt.name, i, got[i], want.Version, w)
			}
		}
	}
	wrapper := mlflowFolder(t, dir, "lightgbm_wrapper")
	declines(t, wrapper, `"model.pkl", is a pickle`, "mlflow.lightgbm.load_model('FOLDER').booster_.save_model('model.txt')")
}

func opened(t *testing.T, files predicttest.Files) predict.Model {
	t.Helper()
	if !(Runtime{}).Detect(files) {
		t.Errorf("%q are not taken for a model", files.Files())
	}
	if err := (Runtime{}).Decline(files); err != nil {
		t.Errorf("declined: %v", err)
	}
	m, err := Runtime{}.Open(t.Context(), files, nil)
	if err != nil {
		t.Fatalf("%q: %v", files.Files(), err)
	}
	return m
}

// declines checks that a folder is refused, with both texts, in the message and in the hint.
func declines(t *testing.T, files predicttest.Files, message, hint string) {
	t.Helper()
	if (Runtime{}).Detect(files) {
		t.Errorf("%q are taken for a model", files.Files())
	}
	_, err := Runtime{}.Open(t.Context(), files, nil)
	for _, err := range []error{err, Runtime{}.Decline(files)} {
		if fault.KindOf(err) != fault.Invalid || err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("got %v (%s)\nwant %s (%s)", err, fault.HintOf(err), message, hint)
		}
	}
}

//nolint:misspell // MLflow's own spelling of flavours
func TestAnMLflowFolderSaysWhichFileIsItsModel(t *testing.T) {
	model := grove.ubjson()
	for name, tt := range map[string]struct{ mlmodel, path string }{
		"as MLflow 3 writes it": {"flavors:\n  python_function:\n    data: model.xgb\n    loader_module: mlflow.xgboost\n  xgboost:\n    code: null\n" +
			"    data: model.xgb\n    model_class: xgboost.core.Booster\nmlflow_version: 3.17.2\nsignature:\n  inputs: '[{\"type\": \"double\",\n    \"name\": \"a\"}]'\n", "model.xgb"},
		"as MLflow 1 wrote it, without data": {"flavors:\n  python_function: {loader_module: mlflow.xgboost}\n  xgboost: {xgb_version: 0.90}\n", "model.xgb"},
		"data is null":                       {"flavors: {xgboost: {data: null}}", "model.xgb"},
		"in a folder":                        {"flavors: {xgboost: {data: ./data//model.bin}}", "data/model.bin"},
		"by an alias":                        {"a: &a {data: m.ubj}\nflavors: {xgboost: *a}", "m.ubj"},
		"flavours by an alias":               {"a: &a\n  xgboost: {data: m.ubj}\nflavors: *a", "m.ubj"},
		"keys nobody knows":                  {"flavors: {xgboost: {data: m.ubj, new: [1, {a: b}]}, spark: {}}\nnew: {deep: [[[1]]]}\n", "m.ubj"},
	} {
		t.Run(name, func(t *testing.T) {
			opened(t, predicttest.Files{mlflowFile: []byte(tt.mlmodel), tt.path: model, "other.json": thicket().json(), "conda.yaml": []byte("name: mlflow-env\n")})
		})
	}
}

//nolint:misspell // MLflow's own spelling of flavours
func TestMLflowFoldersOfOtherModelsAreDeclined(t *testing.T) {
	pickle := []byte("\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins")
	many := "flavors:\n"
	for i := range 11 {
		many += fmt.Sprintf("  f%02d: {}\n", i)
	}
	for _, tt := range []struct {
		mlmodel, file string
		content       []byte
		message, hint string
	}{
		{"flavors: {sklearn: {pickled_model: model.pkl}, python_function: {}}", "model.pkl", pickle, "flavours are python_function, sklearn; xgboost and lightgbm are read", "mlflow models serve"},
		{many, "m", nil, "f00, f01, f02, f03, f04, f05, f06, f07 and 3 more", "mlflow models serve"},
		{"flavors: {xgboost: {data: model.xgb}}", "model.ubj", grove.ubjson(), `"model.xgb", which is not in the folder`, "import the whole folder"},
		{"flavors: {xgboost: {data: ../model.xgb}}", "model.xgb", grove.ubjson(), `"../model.xgb", which is not in the folder`, "import the whole folder"},
		{"flavors: {lightgbm: {}}", "model.txt", nil, `"model.lgb", which is not in the folder`, "booster_.save_model('model.txt')"},
		{"flavors: {lightgbm: {data: model.pkl}}", "model.pkl", pickle, `"model.pkl", is a pickle`, "import mlflow.lightgbm; mlflow.lightgbm.load_model('FOLDER').booster_.save_model('model.txt')"},
		{"flavors: {lightgbm: {data: model.skops}}", "model.skops", []byte("PK\x03\x04\x14\x00"), `"model.skops", is a skops file`, "booster_.save_model('model.txt')"},
		{"flavors: {xgboost: {data: m}}", "m", pickle, `"m", is a pickle`, "mlflow.xgboost.load_model('FOLDER').get_booster().save_model('model.ubj')"},
		{"", "model.ubj", grove.ubjson(), "MLmodel: it has no flavors", "as MLflow wrote it"},
		{"flavors: {}", "model.ubj", grove.ubjson(), "MLmodel: it has no flavors", "as MLflow wrote it"},
		{"flavors: [xgboost]", "model.ubj", grove.ubjson(), "MLmodel: it has no flavors", "as MLflow wrote it"},
		{"- flavors: {xgboost: {}}", "model.ubj", grove.ubjson(), "MLmodel: it has no flavors", "take MLmodel out of it"},
		{"flavors: {xgboost: ", "model.ubj", grove.ubjson(), "MLmodel: this is no YAML", "as MLflow wrote it"},
		{strings.Repeat("[", 1000), "model.ubj", grove.ubjson(), "MLmodel: this is no YAML", "as MLflow wrote it"},
		{strings.Repeat("a,", strictyaml.MaxMarks+1), "model.ubj", grove.ubjson(), "MLmodel: the file is too large", "leave the signature out"},
		{strings.Repeat("a", strictyaml.MaxBytes+1), "model.ubj", grove.ubjson(), "MLmodel: the file is too large", "leave the signature out"},
	} {
		declines(t, predicttest.Files{mlflowFile: []byte(tt.mlmodel), tt.file: tt.content}, tt.message, tt.hint)
	}
	if err := (Runtime{}).Decline(predicttest.Files{"model.txt": []byte("prose")}); err != nil {
		t.Errorf("what is no MLflow folder is declined: %v", err)
	}
	// What the data holds otherwise is told as it is of any file.
	damaged := predicttest.Files{mlflowFile: []byte("flavors: {xgboost: {}}"), "model.xgb": grove.ubjson()[:200]}
	if _, err := (Runtime{}).Open(t.Context(), damaged, nil); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "model.xgb") {
		t.Errorf("got %v", err)
	}
}

// FuzzMLmodel reads any text as an MLmodel: it names a file of the folder, or there is an error that says what is wrong.
func FuzzMLmodel(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		data, found, err := mlflowData(predicttest.Files{mlflowFile: text, "model.xgb": []byte("{}"), "model.lgb": []byte("tree\n")})
		switch {
		case err != nil && (found || fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == ""):
			t.Errorf("%v, %v (%s)", found, err, fault.HintOf(err))
		case err == nil && (!found || data != "model.xgb" && data != "model.lgb" && data != mlflowFile):
			t.Errorf("%q, %v", data, found)
		}
	})
}
