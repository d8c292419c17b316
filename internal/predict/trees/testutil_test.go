package trees_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/trees"
	"github.com/serin-ml/serin/internal/tensor"
)

// tolerance is how far an answer may be from the library's: relative, in float32. A number below tiny counts as tiny, because what is
// left of a sum of float32 that cancels out has no digits to compare.
const (
	tolerance = 1e-6
	tiny      = 1e-6
)

// file is an artefact of one file on disk.
type file string

func (f file) Files() []string { return []string{filepath.Base(string(f))} }

func (f file) ReadFile(path string) ([]byte, error) {
	if path != filepath.Base(string(f)) {
		return nil, fault.NotFoundf("no file %q", path)
	}
	return os.ReadFile(string(f))
}

// openFile opens a model. An empty iterations leaves the option out.
func openFile(tb testing.TB, path, iterations string) (predict.Model, error) {
	tb.Helper()
	if !(trees.Runtime{}).Detect(file(path)) {
		tb.Errorf("%s is not taken for an XGBoost model", filepath.Base(path))
	}
	var options predict.Options
	if iterations != "" {
		options = predict.Options{"iterations": iterations}
	}
	return trees.Runtime{}.Open(tb.Context(), file(path), options)
}

// array is float32 numbers and their shape.
type array struct {
	shape  []int
	values []float32
}

// ask returns a model's prediction and margin for rows.
func ask(tb testing.TB, m predict.Model, rows array) (prediction, margin array, err error) {
	tb.Helper()
	r := &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", rows.shape, rows.values)}, Outputs: []string{"prediction", "margin"}}
	if err := m.Signature().Check(r); err != nil {
		return array{}, array{}, err
	}
	response, err := m.Predict(tb.Context(), r)
	if err != nil {
		return array{}, array{}, err
	}
	if len(response.Outputs) != 2 || response.Outputs[0].Name != "prediction" || response.Outputs[1].Name != "margin" {
		tb.Fatalf("the outputs are not prediction and margin: %v", response.Outputs)
	}
	both := [2]array{}
	for i := range response.Outputs {
		o := &response.Outputs[i]
		if err := o.Check(); err != nil {
			tb.Fatal(err)
		}
		values, ok := o.Data.([]float32)
		if !ok {
			tb.Fatalf("output %q holds %s", o.Name, o.DType())
		}
		both[i] = array{o.Shape, values}
	}
	return both[0], both[1], nil
}

// tally counts how answers compare with the library's.
type tally struct {
	values, equal int // numbers compared, and those that are the same to the bit
	worst         float64
	explained     float64 // the worst error of a contribution
}

// compare adds the comparison of two arrays; it says where they differ most if that is beyond the tolerance.
func (s *tally) compare(got, want array) (ok bool, at int) {
	worst := 0.0
	for i, w := range want.values {
		s.values++
		g := got.values[i]
		if math.Float32bits(g) == math.Float32bits(w) {
			s.equal++
			continue
		}
		e := math.Abs(float64(g)-float64(w)) / max(math.Abs(float64(w)), tiny)
		if e != e { // a NaN, or an infinity the other does not have
			e = math.Inf(1)
		}
		if g == w { // infinities, and zeros of either sign
			e = 0
		}
		if e > worst {
			worst, at = e, i
		}
	}
	s.worst = max(s.worst, worst)
	return worst <= tolerance, at
}

func (s *tally) add(o tally) {
	s.values += o.values
	s.equal += o.equal
	s.worst = max(s.worst, o.worst)
	s.explained = max(s.explained, o.explained)
}

func (s *tally) share() float64 { return 100 * float64(s.equal) / float64(max(s.values, 1)) }

// manifest is what testdata/oracle.py writes.
type manifest struct {
	Version string
	Models  []oracleModel

	folder  string
	numbers []float32
}

type oracleModel struct {
	Name, Objective, About string
	Files                  []string
	Magnitude              float64 // of the base score
	Rows                   place
	Answers                []oracleAnswer
}

// oracleAnswer is what the library answers. Where it has no leaves or does not explain, that is nil.
type oracleAnswer struct {
	Iterations          string
	Prediction, Margin  place
	Leaf, Contributions *place
}

// place is where in numbers.bin an array is.
type place struct {
	At    int
	Shape []int
}

func (m *manifest) array(p place) array {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return array{p.Shape, m.numbers[p.At : p.At+n : p.At+n]}
}

// path returns where a model's file is: beside the manifest, unless its name is whole.
func (m *manifest) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(m.folder, name)
}

// runOracle runs testdata/oracle.py and reads what it wrote.
func runOracle(t *testing.T, python, job string, args ...string) *manifest {
	t.Helper()
	m := &manifest{folder: t.TempDir()}
	cmd := exec.CommandContext(t.Context(), python, append([]string{filepath.Join("testdata", "oracle.py"), job, m.folder}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("oracle.py %s: %v\n%s", job, err, out)
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
	m.numbers = make([]float32, len(data)/4)
	for i := range m.numbers {
		m.numbers[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return m
}

// check compares a model's every file and answer with the library's, and returns how they compare.
func (m *manifest) check(t *testing.T, o *oracleModel) (all tally) {
	t.Helper()
	rows := m.array(o.Rows)
	for _, name := range o.Files {
		for _, answer := range o.Answers {
			model, err := openFile(t, m.path(name), answer.Iterations)
			if err != nil {
				t.Errorf("%s %s, iterations %q: %v", name, o.About, answer.Iterations, err)
				continue
			}
			prediction, margin, err := ask(t, model, rows)
			if err != nil {
				t.Errorf("%s %s, iterations %q: %v", name, o.About, answer.Iterations, err)
				continue
			}
			for _, c := range []struct {
				what      string
				got, want array
			}{{"prediction", prediction, m.array(answer.Prediction)}, {"margin", margin, m.array(answer.Margin)}} {
				all.add(compareShaped(t, c.got, c.want, rows, "%s %s, iterations %q, %s", name, o.About, answer.Iterations, c.what))
			}
			want := explanation{magnitude: o.Magnitude}
			if answer.Leaf != nil {
				want.leaf = m.array(*answer.Leaf)
			}
			if answer.Contributions != nil {
				want.contributions = m.array(*answer.Contributions)
			}
			all.explained = max(all.explained, want.compare(t, model, rows, margin, fmt.Sprintf("%s %s, iterations %q", name, o.About, answer.Iterations)))
		}
	}
	return all
}

// compareShaped compares two answers to rows; where the shapes differ, or the numbers by more than the tolerance, it fails the test with
// the row that differs most.
func compareShaped(t *testing.T, got, want, rows array, format string, args ...any) (s tally) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	if !slices.Equal(got.shape, want.shape) {
		t.Errorf("%s: shape %v, XGBoost gives %v", what, got.shape, want.shape)
		return s
	}
	if ok, at := s.compare(got, want); !ok {
		row := at * want.shape[0] / len(want.values)
		width := rows.shape[1]
		t.Errorf("%s: row %d is %v, XGBoost gives %v (relative error %.3g); the row is %v", what, row, got.values[at], want.values[at],
			s.worst, rows.values[row*width:(row+1)*width])
	}
	return s
}

// oracleSeed returns the seed of what the oracle draws: always the same, so that the test gives the same answer for the same code,
// unless SERIN_SEED sets another.
func oracleSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SERIN_SEED")
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("SERIN_SEED: %v", err)
	}
	return seed
}
