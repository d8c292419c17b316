package trees_test

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/serin-ml/serin/internal/predict/trees"
	"github.com/serin-ml/serin/internal/testenv"
)

// TestIrisAnswersAsKServeSays asks the iris model of KServe's own tests what they ask, and expects what they expect.
func TestIrisAnswersAsKServeSays(t *testing.T) {
	text, err := os.ReadFile(testenv.Data(t, "protocol", "kserve", "iris_input_v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	var question struct{ Inputs []struct{ Data any } }
	if err := json.Unmarshal(text, &question); err != nil || len(question.Inputs) != 1 {
		t.Fatalf("%d inputs, %v", len(question.Inputs), err)
	}
	for _, name := range []string{"xgboost_2.0.3_iris.json", "xgboost_iris.bst"} {
		m, err := openFile(t, testenv.Data(t, "trees", "kserve", name), "")
		if err != nil {
			t.Fatal(err)
		}
		prediction, _, err := ask(t, m, flat(question.Inputs[0].Data))
		if err != nil {
			t.Fatal(err)
		}
		if len(prediction.values) != 2 || prediction.values[0] != 1 || prediction.values[1] != 1 {
			t.Errorf("%s: got %v, want [1 1]", name, prediction.values)
		}
	}
}

// TestRealModelsAnswerAsXGBoostReadsThem has the real library read the same files, and compares the answers to random rows.
func TestRealModelsAnswerAsXGBoostReadsThem(t *testing.T) {
	m := runOracle(t, testenv.Python(t, "xgboost"), "predict", strconv.FormatUint(oracleSeed(t), 10),
		testenv.Data(t, "trees", "kserve", "xgboost_2.0.3_iris.json"), testenv.Data(t, "trees", "kserve", "mlserver_mushroom_xgboost.json"))
	if len(m.Models) != 2 {
		t.Fatalf("%d models", len(m.Models))
	}
	for i := range m.Models {
		s := m.check(t, &m.Models[i])
		t.Logf("%s: %d numbers, %.2f%% equal to the bit, worst relative error %.3g", m.Models[i].Name, s.values, s.share(), s.worst)
	}
}

// TestAgaricusAnswersAsXGBoostDoes trains on a real libsvm file with the real library, and reads the test file as serin predict does.
func TestAgaricusAnswersAsXGBoostDoes(t *testing.T) {
	test := testenv.Data(t, "trees", "xgboost", "agaricus.txt.test")
	m := runOracle(t, testenv.Python(t, "xgboost"), "agaricus", testenv.Data(t, "trees", "xgboost", "agaricus.txt.train"), test)
	if len(m.Models) == 0 {
		t.Fatal("no models")
	}
	read := readLibSVM(t, test, m.array(m.Models[0].Rows).shape[1])
	for i := range m.Models {
		o := &m.Models[i]
		model, err := trees.Runtime{}.Open(t.Context(), file(m.path(o.Files[0])), nil)
		if err != nil {
			t.Fatal(err)
		}
		prediction, margin, err := ask(t, model, read)
		if err != nil {
			t.Fatal(err)
		}
		s := compareShaped(t, prediction, m.array(o.Answers[0].Prediction), read, "%s, prediction", o.Name)
		s.add(compareShaped(t, margin, m.array(o.Answers[0].Margin), read, "%s, margin", o.Name))
		t.Logf("%s: %d rows, %.2f%% equal to the bit, worst relative error %.3g", o.Name, read.shape[0], s.share(), s.worst)
	}
}
