package predicttest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// scale is a small runtime: it multiplies two columns by the weights of its file, and counts the letters of a text. A lie makes it
// break one promise.
type scale struct{ lie string }

const magic = "scale 1\n"

func (s scale) Detect(a predict.Artefact) bool {
	if s.lie == "detects by name" {
		return slices.Contains(a.Files(), "weights")
	}
	content, err := a.ReadFile("weights")
	switch {
	case err != nil:
		return false
	case s.lie == "claims everything":
		return true
	}
	return bytes.HasPrefix(content, []byte(magic))
}

func (s scale) Open(_ context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	for key := range o {
		if key != "gain" && s.lie != "takes every option" {
			return nil, fault.Invalidf("unknown option %q", key)
		}
	}
	content, err := a.ReadFile("weights")
	switch {
	case fault.KindOf(err) == fault.NotFound || err == nil && !bytes.HasPrefix(content, []byte(magic)):
		return nil, fault.Invalidf("no scale")
	case s.lie == "hides the disk's error" && err != nil:
		return nil, fault.Invalidf("no scale")
	case err != nil:
		return nil, err
	}
	if weights := content[len(magic):]; len(weights) == 2 || s.lie == "trusts its file" {
		return &scaled{lie: s.lie, weights: [2]float32{float32(weights[0]), float32(weights[1])}}, nil
	}
	if s.lie == "blames the machine" {
		return nil, errors.New("short file")
	}
	return nil, fault.Invalidf("a scale needs two weights")
}

type scaled struct {
	lie     string
	weights [2]float32
	asked   float32
	mu      sync.Mutex
	last    []float32
}

func (m *scaled) Signature() tensor.Signature {
	m.mu.Lock()
	defer m.mu.Unlock()
	sig := tensor.Signature{
		Inputs: []tensor.Spec{
			{Name: "text", DType: tensor.Bytes, Shape: []int{-1}},
			{Name: "numbers", DType: tensor.Float32, Shape: []int{-1, 2}, Columns: []string{"a", "b"}},
		},
		Outputs: []tensor.Spec{
			{Name: "scaled", DType: tensor.Float32, Shape: []int{-1, 2}},
			{Name: "letters", DType: tensor.Int64, Shape: []int{-1}, OnDemand: true},
		},
	}
	switch m.lie {
	case "has two outputs of one name":
		sig.Outputs[1].Name = "scaled"
	case "has a fixed batch":
		sig.Inputs[0].Shape[0] = 1
	case "changes its signature":
		sig.Inputs[1].Columns[0] += strings.Repeat("a", int(m.asked))
	}
	return sig
}

func (m *scaled) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	numbers, text := &r.Inputs[0], &r.Inputs[1]
	if numbers.Name == "text" {
		numbers, text = text, numbers
	}
	values, err := numbers.Float32s()
	if m.lie == "takes FP32 alone" && numbers.DType() != tensor.Float32 {
		values = make([]float32, numbers.Len())
	}
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(values))
	switch m.lie {
	case "answers in the request's memory":
		out = values
	case "answers in shared memory":
		m.last = slices.Grow(m.last[:0], len(values))[:len(values)]
		out = m.last
	}
	letters := make([]int64, numbers.Rows())
	for i := range letters {
		if err := ctx.Err(); err != nil && m.lie != "never looks at the context" && (i == 0 || m.lie != "looks at the context once") {
			return nil, err
		}
		letters[i] = int64(len(text.Data.([]string)[i]))
		for c, w := range m.weights {
			v := values[2*i+c]
			if m.lie == "panics at infinities" && math.IsInf(float64(v), 0) {
				panic("infinite")
			}
			out[2*i+c] = v * w
			if m.lie == "answers batches otherwise" && len(letters) > 60 {
				out[2*i+c] = v*w + v*1e-6
			}
			if m.lie == "remembers" {
				out[2*i+c] += m.asked
			}
		}
	}
	response := &tensor.Response{}
	wanted := (&scaled{}).Signature().Wanted(r)
	if m.lie == "orders outputs" {
		wanted = slices.Sorted(slices.Values(wanted))
	}
	for _, name := range wanted {
		if name == "letters" {
			response.Outputs = append(response.Outputs, tensor.New(name, []int{len(letters)}, letters))
		} else {
			response.Outputs = append(response.Outputs, tensor.New(name, []int{len(letters), 2}, out))
		}
	}
	if m.lie == "forgets a row" {
		response.Outputs[0].Shape[0]--
	}
	return response, nil
}

func suiteOf(lie string) Options {
	files := Files{"weights": []byte(magic + "\x02\x07"), "notes": []byte("nothing")}
	return Options{Runtime: scale{lie}, Models: []Model{{Name: "scale", Files: files, Options: predict.Options{"gain": "1"}}}}
}

func TestAnHonestRuntimePasses(t *testing.T) { Run(t, suiteOf("")) }

const lieVariable = "SERIN_PREDICTTEST_LIE"

// TestLiar is what TestLiesAreCaught runs, in a process of its own because it is to fail.
func TestLiar(t *testing.T) {
	lie := os.Getenv(lieVariable)
	if lie == "" {
		t.Skip("runs within TestLiesAreCaught alone")
	}
	Run(t, suiteOf(lie))
}

func TestLiesAreCaught(t *testing.T) {
	lies := map[string]string{ // and the test that catches it
		"detects by name":                 "Detect_claims_no_other_format",
		"claims everything":               "Detect_claims_no_other_format",
		"hides the disk's error":          "files_that_cannot_be_read_are_no_model",
		"takes every option":              "an_unknown_option_is_refused",
		"trusts its file":                 "damaged_files_are_refused_or_answer",
		"blames the machine":              "damaged_files_are_refused_or_answer",
		"has two outputs of one name":     "the_signature_is_sane_and_stays",
		"has a fixed batch":               "the_signature_is_sane_and_stays",
		"changes its signature":           "the_signature_is_sane_and_stays",
		"orders outputs":                  "outputs_come_as_they_are_asked_for",
		"forgets a row":                   "outputs_come_as_they_are_asked_for",
		"answers batches otherwise":       "a_batch_is_its_rows_one_by_one",
		"takes FP32 alone":                "numbers_of_any_type_give_the_same",
		"answers in the request's memory": "requests_and_answers_are_nobody_else's",
		"answers in shared memory":        "requests_and_answers_are_nobody_else's",
		"remembers":                       "many_at_once_get_what_each_gets_alone",
		"never looks at the context":      "a_cancelled_question_ends",
		"looks at the context once":       "a_cancelled_question_ends",
		"panics at infinities":            "odd_numbers_are_refused_or_answered",
	}
	for lie, caught := range lies {
		t.Run(lie, func(t *testing.T) {
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLiar$", "-test.v")
			c.Env = append(os.Environ(), lieVariable+"="+lie)
			out, err := c.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes it")
			}
			fails := "--- FAIL: TestLiar/" + caught
			if !strings.HasPrefix(caught, "Detect_claims") && !strings.HasPrefix(caught, "files_") {
				fails = "--- FAIL: TestLiar/scale/" + caught
			}
			if !bytes.Contains(out, []byte(fails)) {
				t.Errorf("%q is not what failed:\n%.2000s", fails, out)
			}
		})
	}
}
