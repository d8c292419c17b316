// Package predicttest is the suite that every runtime passes. A runtime's own tests call Run with models of its format, written by
// hand or by the real library, and test by themselves only what is particular to the format.
package predicttest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// Files is an artefact in memory: the contents of its files, by path.
type Files map[string][]byte

var _ predict.Artefact = Files(nil)

// Files lists the paths, sorted.
func (f Files) Files() []string { return slices.Sorted(maps.Keys(f)) }

// ReadFile returns a copy of a file; an unknown path is NotFound.
func (f Files) ReadFile(path string) ([]byte, error) {
	content, ok := f[path]
	if !ok {
		return nil, fault.NotFoundf("no file %q", path)
	}
	return bytes.Clone(content), nil
}

// with returns the artefact with one file's content replaced.
func (f Files) with(path string, content []byte) Files {
	f = maps.Clone(f)
	f[path] = content
	return f
}

// without returns the artefact without one file.
func (f Files) without(path string) Files {
	f = maps.Clone(f)
	delete(f, path)
	return f
}

// Model is an artefact that the runtime opens, and the options to open it with.
type Model struct {
	Name    string // of the subtest
	Files   Files
	Options predict.Options
}

// Options say what Run tests.
type Options struct {
	Runtime predict.Runtime
	Models  []Model          // at least one; small ones, for most tests open them hundreds of times
	Foreign map[string]Files // artefacts of other formats, by name, that Detect must not claim; the suite has some of its own
	// Request draws a request of so many rows that the model answers. By default it is a random one that fits the signature:
	// numbers both whole and not, none of them NaN, or short words.
	Request func(r *rand.Rand, s tensor.Signature, rows int) tensor.Request
}

// Run checks a runtime against what package predict promises.
func Run(t *testing.T, o Options) {
	if o.Runtime == nil || len(o.Models) == 0 {
		t.Fatal("predicttest.Run needs a runtime and a model")
	}
	if o.Request == nil {
		o.Request = RandomRequest
	}
	t.Run("Detect claims no other format", o.detectNothingElse)
	t.Run("files that cannot be read are no model", o.unreadable)
	for _, m := range o.Models {
		t.Run(m.Name, func(t *testing.T) {
			s := suite{Options: o, model: m}
			t.Run("Detect goes by content", s.detect)
			t.Run("damaged files are refused or answer", s.damage)
			t.Run("an unknown option is refused", s.unknownOption)
			t.Run("the signature is sane and stays", s.signature)
			t.Run("outputs come as they are asked for", s.outputs)
			t.Run("a batch is its rows one by one", s.batches)
			t.Run("numbers of any type give the same", s.numberTypes)
			t.Run("requests and answers are nobody else's", s.ownership)
			t.Run("many at once get what each gets alone", s.concurrency)
			t.Run("a cancelled question ends", s.cancellation)
			t.Run("odd numbers are refused or answered", s.oddNumbers)
		})
	}
}

// suite checks one model.
type suite struct {
	Options
	model Model
}

// seeded returns the random source of a test: the same in each run.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }

func (s *suite) open(t *testing.T) predict.Model {
	t.Helper()
	m, err := s.Runtime.Open(context.Background(), s.model.Files, s.model.Options)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return m
}

func (s *suite) request(t *testing.T, m predict.Model, seed uint64, rows int) *tensor.Request {
	t.Helper()
	r := s.Request(seeded(seed), m.Signature(), rows)
	if err := m.Signature().Check(&r); err != nil {
		t.Fatalf("the request drawn does not fit the signature: %v", err)
	}
	return &r
}

// ask has the model answer, and checks the answer against the signature.
func ask(t *testing.T, m predict.Model, r *tensor.Request) *tensor.Response {
	t.Helper()
	got, err := m.Predict(context.Background(), r)
	if err != nil {
		t.Fatalf("Predict: %v", err)
	}
	if err := checkResponse(m.Signature(), r, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// checkResponse tells what in an answer is not as the signature and the request want it.
func checkResponse(sig tensor.Signature, r *tensor.Request, got *tensor.Response) error {
	wanted := sig.Wanted(r)
	if got == nil || len(got.Outputs) != len(wanted) {
		return fmt.Errorf("the answer is %v; outputs %q were asked for", got, wanted)
	}
	for i := range got.Outputs {
		out := &got.Outputs[i]
		if out.Name != wanted[i] {
			return fmt.Errorf("output %d is %q, want %q", i, out.Name, wanted[i])
		}
		if err := out.Check(); err != nil {
			return err
		}
		spec := sig.Outputs[slices.IndexFunc(sig.Outputs, func(p tensor.Spec) bool { return p.Name == out.Name })]
		fits := func(want, have int) bool { return want == -1 || want == have }
		if out.DType() != spec.DType || !slices.EqualFunc(spec.Shape, out.Shape, fits) {
			return fmt.Errorf("output %q is %v %v; the signature says %v %v", out.Name, out.DType(), out.Shape, spec.DType, spec.Shape)
		}
		if out.Rows() != r.Inputs[0].Rows() {
			return fmt.Errorf("output %q has %d rows for %d asked", out.Name, out.Rows(), r.Inputs[0].Rows())
		}
	}
	return nil
}

// calmly calls f and turns a panic into an error with its stack.
func calmly(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
