package predicttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// foreign are contents that are nobody's model.
var foreign = map[string]string{
	"an empty file":     "",
	"a brace":           "{",
	"an empty object":   "{}",
	"an empty array":    "[]",
	"a JSON document":   `{"name": "serin", "values": [1, 2, 3], "nested": {"a": null}}`,
	"YAML":              "runtime: none\ninputs:\n  - {name: x}\n",
	"CSV":               "a,b,c\n1,2,3\n4,5,6\n",
	"prose":             "This file is a text that someone left in the folder.\n",
	"HTML":              "<!DOCTYPE html><html><body>Not found</body></html>",
	"a PNG's head":      "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01",
	"a pickle's head":   "\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins",
	"a ZIP's head":      "PK\x03\x04\x14\x00\x00\x00\x08\x00",
	"zeros":             strings.Repeat("\x00", 4096),
	"bytes of all ones": strings.Repeat("\xff", 4096),
	"noise":             noise(4096),
}

func noise(n int) string {
	r := seeded(1)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func (o Options) detectNothingElse(t *testing.T) {
	claims := func(name string, f Files) {
		if o.Runtime.Detect(f) {
			t.Errorf("%s is claimed", name)
		}
		if m, err := o.Runtime.Open(context.Background(), f, nil); err == nil || m != nil {
			t.Errorf("%s opens", name)
		} else if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: the error is %v, want Invalid: %v", name, fault.KindOf(err), err)
		}
	}
	claims("an artefact without files", Files{})
	for name, f := range o.Foreign {
		claims(name, f)
	}
	for name, content := range foreign {
		claims(name, Files{"file": []byte(content)})
		for _, m := range o.Models { // under the names that the format's own files have
			f := Files{}
			for _, path := range m.Files.Files() {
				f[path] = []byte(content)
			}
			claims(name+" under the names of "+m.Name, f)
		}
	}
}

// broken is an artefact whose files cannot be read.
type broken struct {
	predict.Artefact
	err error
}

func (b broken) ReadFile(string) ([]byte, error) { return nil, b.err }

func (o Options) unreadable(t *testing.T) {
	cause := errors.New("the disk is on fire")
	b := broken{Artefact: o.Models[0].Files, err: fault.Internalf("read: %w", cause)}
	if o.Runtime.Detect(b) {
		t.Error("Detect claims files that it cannot have read")
	}
	m, err := o.Runtime.Open(context.Background(), b, o.Models[0].Options)
	if m != nil || !errors.Is(err, cause) || fault.KindOf(err) != fault.Internal {
		t.Errorf("Open = %v, %v (%v); want the Internal error of the disk", m, err, fault.KindOf(err))
	}
}

func (s *suite) detect(t *testing.T) {
	if !s.Runtime.Detect(s.model.Files) {
		t.Error("the runtime does not claim its own model")
	}
	if len(s.model.Files) == 1 { // files of an artefact with several may need their names
		renamed := Files{"nameless": s.model.Files[s.model.Files.Files()[0]]}
		if !s.Runtime.Detect(renamed) {
			t.Error("the model is not claimed under another name")
		}
		if _, err := s.Runtime.Open(context.Background(), renamed, s.model.Options); err != nil {
			t.Errorf("the model does not open under another name: %v", err)
		}
	}
	if m, err := s.Runtime.Open(context.Background(), Files{}, s.model.Options); m != nil || fault.KindOf(err) != fault.Invalid {
		t.Errorf("Open without files = %v, %v; want Invalid", m, err)
	}
}

// samples is how many damages of one kind are tried on a file.
const samples = 400

// damage cuts, flips and removes. What comes of it is an Invalid error, or a model that answers: never a panic.
func (s *suite) damage(t *testing.T) {
	r := seeded(3)
	for _, path := range s.model.Files.Files() {
		content := s.model.Files[path]
		cuts := make([]int, 0, samples)
		for n := range len(content) {
			cuts = append(cuts, n)
		}
		r.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
		for _, n := range cuts[:min(samples, len(cuts))] {
			s.try(t, fmt.Sprintf("%s cut to %d bytes", path, n), s.model.Files.with(path, content[:n]))
		}
		for range samples {
			flipped := bytes.Clone(content)
			if len(flipped) == 0 {
				break
			}
			at, by := r.IntN(len(flipped)), byte(1+r.IntN(255))
			flipped[at] ^= by
			s.try(t, fmt.Sprintf("%s with byte %d changed by %#x", path, at, by), s.model.Files.with(path, flipped))
		}
		s.try(t, path+" taken away", s.model.Files.without(path))
	}
}

// widest is the most numbers in a row that a damaged model is asked with: damage may have made it a billion.
const widest = 1 << 16

func (s *suite) try(t *testing.T, what string, f Files) {
	t.Helper()
	err := calmly(func() error {
		s.Runtime.Detect(f)
		m, err := s.Runtime.Open(context.Background(), f, s.model.Options)
		if err != nil {
			if m != nil {
				return errors.New("both a model and an error")
			}
			if fault.KindOf(err) != fault.Invalid {
				return fmt.Errorf("the error is %v, want Invalid: %w", fault.KindOf(err), err)
			}
			return nil
		}
		return answers(m)
	})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// answers asks a model that may be damaged. It may refuse, but what it answers is well formed.
func answers(m predict.Model) error {
	sig := m.Signature()
	for _, in := range sig.Inputs {
		width := 1
		for _, d := range in.Shape[1:] {
			if width *= max(d, 1); width > widest {
				return nil
			}
		}
	}
	r := RandomRequest(seeded(4), sig, 3)
	if err := sig.Check(&r); err != nil {
		return err
	}
	got, err := m.Predict(context.Background(), &r)
	if err != nil {
		if fault.KindOf(err) != fault.Invalid {
			return fmt.Errorf("Predict: the error is %v, want Invalid: %w", fault.KindOf(err), err)
		}
		return nil
	}
	return checkResponse(sig, &r, got)
}

func (s *suite) unknownOption(t *testing.T) {
	const key = "no-such-option"
	o := predict.Options{key: "1"}
	for k, v := range s.model.Options {
		o[k] = v
	}
	m, err := s.Runtime.Open(context.Background(), s.model.Files, o)
	if m != nil || fault.KindOf(err) != fault.Invalid {
		t.Fatalf("Open = %v, %v; want Invalid", m, err)
	}
	if !strings.Contains(err.Error(), key) {
		t.Errorf("the error does not name the option %s: %v", key, err)
	}
}

func (s *suite) signature(t *testing.T) {
	m := s.open(t)
	sig := m.Signature()
	if len(sig.Inputs) == 0 || len(sig.Outputs) == 0 {
		t.Fatalf("the model takes %d inputs and gives %d outputs", len(sig.Inputs), len(sig.Outputs))
	}
	checkSpecs(t, "input", sig.Inputs)
	checkSpecs(t, "output", sig.Outputs)
	if slices.ContainsFunc(sig.Inputs, func(p tensor.Spec) bool { return p.OnDemand }) {
		t.Error("an input is on demand")
	}
	if !slices.ContainsFunc(sig.Outputs, func(p tensor.Spec) bool { return !p.OnDemand }) {
		t.Error("no output is given unasked")
	}
	ask(t, m, s.request(t, m, 5, 3))
	if !m.Signature().Equal(sig) {
		t.Errorf("the signature was %v and is %v", sig, m.Signature())
	}
	again := s.open(t)
	if !again.Signature().Equal(sig) {
		t.Errorf("opened again, the signature is %v, not %v", again.Signature(), sig)
	}
	r := s.request(t, m, 6, 9)
	if a, b := ask(t, m, r), ask(t, again, r); !equal(a, b) {
		t.Errorf("opened again, the model answers %v, not %v", b, a)
	}
}

func checkSpecs(t *testing.T, kind string, specs []tensor.Spec) {
	t.Helper()
	names := map[string]bool{}
	for _, p := range specs {
		if p.Name == "" || names[p.Name] {
			t.Errorf("the name %q of an %s is empty or used twice", p.Name, kind)
		}
		names[p.Name] = true
		if p.DType.String() == "" {
			t.Errorf("%s %q has no type", kind, p.Name)
		}
		if len(p.Shape) == 0 || p.Shape[0] != -1 || slices.ContainsFunc(p.Shape, func(d int) bool { return d == 0 || d < -1 }) {
			t.Errorf("%s %q has shape %v; the first dimension is the batch, -1, and the others are -1 or sizes", kind, p.Name, p.Shape)
			continue
		}
		if n := len(p.Columns); n > 0 && (n != p.Shape[len(p.Shape)-1] || len(slices.Compact(slices.Sorted(slices.Values(p.Columns)))) != n) {
			t.Errorf("%s %q of shape %v has the columns %q", kind, p.Name, p.Shape, p.Columns)
		}
	}
}
