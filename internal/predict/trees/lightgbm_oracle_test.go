package trees_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

const (
	lgbTolerance     = 1e-12
	lgbContributions = 1e-5 // of the largest contribution of its row
)

// lgbOutputs are what a model is asked for.
var lgbOutputs = []string{"prediction", "margin", "leaf", "contributions"}

// lgbArray is float64 numbers and their shape.
type lgbArray struct {
	shape  []int
	values []float64
}

func (a lgbArray) row(i int) []float64 {
	n := len(a.values) / a.shape[0]
	return a.values[i*n : (i+1)*n]
}

// lgbAsk returns a model's outputs for rows, by name.
func lgbAsk(tb testing.TB, m predict.Model, rows lgbArray, outputs ...string) map[string]lgbArray {
	tb.Helper()
	r := &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", rows.shape, rows.values)}, Outputs: outputs}
	if err := m.Signature().Check(r); err != nil {
		tb.Fatal(err)
	}
	response, err := m.Predict(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	got := map[string]lgbArray{}
	for i := range response.Outputs {
		o := &response.Outputs[i]
		if err := o.Check(); err != nil {
			tb.Fatal(err)
		}
		if want := map[bool]tensor.DType{true: tensor.Int32, false: tensor.Float64}[o.Name == "leaf"]; o.DType() != want {
			tb.Fatalf("output %q holds %s, want %s", o.Name, o.DType(), want)
		}
		values, err := o.Float64s()
		if err != nil {
			tb.Fatal(err)
		}
		got[o.Name] = lgbArray{o.Shape, values}
	}
	return got
}

// lgbHas tells whether a model has an output.
func lgbHas(m predict.Model, output string) bool {
	return slices.ContainsFunc(m.Signature().Outputs, func(s tensor.Spec) bool { return s.Name == output })
}

// lgbDistance is how far got is from want: relative to size, which is |want| where it is 0.
func lgbDistance(got, want, size float64) float64 {
	if got == want || got != got && want != want {
		return 0
	}
	if size == 0 {
		size = math.Abs(want)
	}
	d := math.Abs(got-want) / size
	if d != d { // a NaN or an infinity that the other does not have
		return math.Inf(1)
	}
	return d
}

// lgbCompare compares an answer with the library's.
func lgbCompare(t *testing.T, output string, got, want, rows lgbArray, format string, args ...any) (s tally) {
	t.Helper()
	what := fmt.Sprintf(format, args...) + ", " + output
	if !slices.Equal(got.shape, want.shape) {
		t.Errorf("%s: shape %v, LightGBM gives %v", what, got.shape, want.shape)
		return s
	}
	tolerance, at := lgbTolerance, -1
	for i := range want.shape[0] {
		size := 0.0
		if output == "contributions" {
			tolerance = lgbContributions
			for _, v := range want.row(i) {
				size = max(size, math.Abs(v))
			}
		}
		got, want := got.row(i), want.row(i)
		for k := range want {
			s.values++
			d := lgbDistance(got[k], want[k], size)
			if math.Float64bits(got[k]) == math.Float64bits(want[k]) || got[k] != got[k] && want[k] != want[k] {
				s.equal++
			}
			if d > s.worst {
				s.worst, at = d, i
			}
		}
	}
	if s.worst > tolerance {
		t.Errorf("%s: row %d is %v, LightGBM gives %v (relative error %.3g); the row is %v", what, at, got.row(at), want.row(at), s.worst, rows.row(at))
	}
	return s
}

// lgbManifest is what testdata/lightgbm_oracle.py writes.
type lgbManifest struct {
	Version string
	Models  []lgbModel

	folder  string
	numbers []float64
}

type lgbModel struct {
	Name, Objective, About string
	Files                  []string
	Rows                   place
	Answers                []map[string]json.RawMessage // iterations, and the place of each output
}

func (m *lgbManifest) array(p place) lgbArray {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return lgbArray{p.Shape, m.numbers[p.At : p.At+n : p.At+n]}
}

// lgbOracle runs testdata/lightgbm_oracle.py and reads what it wrote.
func lgbOracle(t *testing.T, job string, args ...string) *lgbManifest {
	t.Helper()
	m := &lgbManifest{folder: t.TempDir()}
	args = append([]string{filepath.Join("testdata", "lightgbm_oracle.py"), job, m.folder}, args...)
	if out, err := exec.CommandContext(t.Context(), testenv.Python(t, "lightgbm"), args...).CombinedOutput(); err != nil {
		t.Fatalf("lightgbm_oracle.py %s: %v\n%s", job, err, out)
	}
	text, err := os.ReadFile(filepath.Join(m.folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(m.folder, "numbers.bin"))
	if err != nil {
		t.Fatal(err)
	}
	m.numbers = make([]float64, len(data)/8)
	for i := range m.numbers {
		m.numbers[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return m
}

// check compares a model's every file and answer with the library's, and returns how they compare, by output.
func (m *lgbManifest) check(t *testing.T, o *lgbModel, outputs ...string) map[string]tally {
	t.Helper()
	all, rows := map[string]tally{}, m.array(o.Rows)
	for _, name := range o.Files {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(m.folder, name)
		}
		for _, answer := range o.Answers {
			var iterations string
			if err := json.Unmarshal(answer["iterations"], &iterations); err != nil {
				t.Fatal(err)
			}
			model, err := openFile(t, path, iterations)
			if err != nil {
				t.Errorf("%s %s, iterations %q: %v", name, o.About, iterations, err)
				continue
			}
			want, wanted := map[string]lgbArray{}, []string(nil)
			for _, output := range outputs {
				var p *place
				if err := json.Unmarshal(answer[output], &p); err != nil {
					t.Fatal(err)
				}
				has := lgbHas(model, output)
				if none := p == nil || output == "leaf" && p.Shape[1] == 0; none == has && (!none || output == "leaf") {
					t.Errorf("%s %s: the output %s is there: %v", name, o.About, output, has)
				}
				if p != nil && has {
					want[output], wanted = m.array(*p), append(wanted, output)
				}
			}
			got := lgbAsk(t, model, rows, wanted...)
			for _, output := range wanted {
				s := all[output]
				s.add(lgbCompare(t, output, got[output], want[output], rows, "%s %s, iterations %q", name, o.About, iterations))
				all[output] = s
			}
		}
	}
	return all
}

// TestRandomModelsAnswerAsLightGBMDoes trains models with random parameters and compares every answer, from the text and from the JSON.
func TestRandomModelsAnswerAsLightGBMDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains models for seconds")
	}
	seed := oracleSeed(t)
	m := lgbOracle(t, "train", strconv.FormatUint(seed, 10))
	total, objectives := map[string]tally{}, map[string]tally{}
	for i := range m.Models {
		o := &m.Models[i]
		for output, s := range m.check(t, o, lgbOutputs...) {
			all := total[output]
			all.add(s)
			total[output] = all
			if output == "prediction" {
				of := objectives[o.Objective]
				of.add(s)
				objectives[o.Objective] = of
			}
		}
	}
	t.Logf("LightGBM %s, seed %d: %d models", m.Version, seed, len(m.Models))
	for _, by := range []map[string]tally{total, objectives} {
		for _, name := range slices.Sorted(maps.Keys(by)) {
			s := by[name]
			t.Logf("%-22s %7d numbers, %7.3f%% equal to the bit, worst relative error %.3g", name, s.values, s.share(), s.worst)
		}
	}
	if want := 100; len(m.Models) < want {
		t.Errorf("%d models, want at least %d", len(m.Models), want)
	}
}

// lgbShared are the models of other projects' tests.
var lgbShared = []string{
	"leaves/lg_breast_cancer.txt", "leaves/lg_dart_breast_cancer.model", "leaves/lgmulticlass.model", "leaves/model_simple.txt",
	"leaves/genlin_fmtp_gamma_AvgClaimAmount.model", "leaves/genlin_fmtp_poisson_Frequency.model", "leaves/genlin_fmtp_tweedie_PurePremium.model",
	"treelite/lightgbm_constant_tree/model_with_constant_tree.txt", "treelite/toy_categorical/toy_categorical_model.txt",
	lgbOldForest,
}

// lgbOldForest was written by LightGBM 2.1, which predicted the mean of what its leaves hold. Newer ones transform that once more.
const lgbOldForest = "leaves/lg_rf_iris.model"

// TestRealModelsAnswerAsLightGBMReadsThem has the real library read the same files, and compares the answers to random rows.
func TestRealModelsAnswerAsLightGBMReadsThem(t *testing.T) {
	args := []string{strconv.FormatUint(oracleSeed(t), 10)}
	for _, name := range lgbShared {
		args = append(args, testenv.Data(t, "trees", name))
	}
	m := lgbOracle(t, "predict", args...)
	if len(m.Models) != len(lgbShared) {
		t.Fatalf("%d models", len(m.Models))
	}
	for i := range m.Models {
		outputs := lgbOutputs
		if strings.HasSuffix(lgbOldForest, m.Models[i].Name) {
			outputs = outputs[1:]
		}
		for output, s := range m.check(t, &m.Models[i], outputs...) {
			t.Logf("%s: %-13s %6d numbers, %.2f%% equal to the bit, worst relative error %.3g", m.Models[i].Name, output, s.values, s.share(), s.worst)
		}
	}
}
