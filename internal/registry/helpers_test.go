package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/disk"
	"github.com/serin-ml/serin/internal/store/sqlite"
	"github.com/serin-ml/serin/internal/tensor"
)

// linear is a runtime for tests: the file linear.json holds {"linear": [weights], "bias": b}. The option scale multiplies the answer.
type linear struct{}

type linearModel struct {
	Linear []float64 `json:"linear"`
	Bias   float64   `json:"bias"`
	Moody  bool      `json:"moody"` // refuses zeros
	scale  float64
}

func (linear) Detect(a predict.Artefact) bool {
	for _, path := range a.Files() {
		if b, err := a.ReadFile(path); err == nil && strings.HasPrefix(string(b), `{"linear"`) {
			return true
		}
	}
	return false
}

func (linear) Open(_ context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	m := linearModel{scale: 1}
	for key, value := range o {
		if key != "scale" {
			return nil, fault.Invalidf("unknown option %q", key)
		}
		if _, err := fmt.Sscan(value, &m.scale); err != nil {
			return nil, fault.Invalidf("option scale: %w", err)
		}
	}
	for _, path := range a.Files() {
		b, err := a.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(string(b), `{"linear"`) {
			if err := json.Unmarshal(b, &m); err != nil {
				return nil, fault.Invalidf("%s: %w", path, err)
			}
			return m, nil
		}
	}
	return nil, fault.Invalidf("no linear model")
}

// Decline knows of another kind of model, which it does not open.
func (linear) Decline(a predict.Artefact) error {
	for _, path := range a.Files() {
		if b, err := a.ReadFile(path); err == nil && strings.HasPrefix(string(b), `{"cubic"`) {
			return fault.Invalidf("%s: a cubic model", path).WithHint("make it linear")
		}
	}
	return nil
}

func (m linearModel) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs: []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, len(m.Linear)}}},
		Outputs: []tensor.Spec{
			{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}},
			{Name: "label", DType: tensor.Bytes, Shape: []int{-1}, OnDemand: true},
		},
	}
}

func (m linearModel) Predict(_ context.Context, r *tensor.Request) (*tensor.Response, error) {
	values, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	rows := r.Inputs[0].Rows()
	sums, labels := make([]float32, rows), make([]string, rows)
	for i := range rows {
		sum := m.Bias
		for j, w := range m.Linear {
			if v := float64(values[i*len(m.Linear)+j]); !math.IsNaN(v) {
				sum += w * v
			}
		}
		if m.Moody && sum == m.Bias {
			return nil, fault.Invalidf("no zeros, please")
		}
		sums[i] = float32(sum * m.scale)
		labels[i] = map[bool]string{true: "yes", false: "no"}[sum > 0]
	}
	response := &tensor.Response{}
	for _, name := range m.Signature().Wanted(r) {
		if name == "label" {
			response.Outputs = append(response.Outputs, tensor.New(name, []int{rows}, labels))
		} else {
			response.Outputs = append(response.Outputs, tensor.New(name, []int{rows}, sums))
		}
	}
	return response, nil
}

// clock gives a second more at each look.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Second)
	return c.at
}

// home is a registry on a data directory.
type home struct {
	*Registry
	dir   string
	blobs *disk.Blobs
	state *sqlite.State
}

func (h home) close() {
	h.blobs.Close()
	h.state.Close()
}

func openHome(dir string, o disk.Options) (h home, err error) {
	h.dir = dir
	if h.blobs, err = disk.Open(dir, o); err != nil {
		return h, err
	}
	if h.state, err = sqlite.Open(context.Background(), filepath.Join(dir, "serin.db")); err != nil {
		return h, err
	}
	h.Registry, err = New(testOptions(h.blobs, h.state))
	return h, err
}

func testOptions(b store.Blobs, s store.State) Options {
	start := &clock{at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	return Options{Blobs: b, State: s, Now: start.now, Runtimes: []NamedRuntime{{"linear", linear{}}}}
}

func newHome(t *testing.T) home {
	t.Helper()
	return homeAt(t, t.TempDir())
}

func homeAt(t *testing.T, dir string) home {
	t.Helper()
	h, err := openHome(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// files are what a test imports: path -> content.
type files map[string]string

// modelOf is a linear model of one weight, for versions that differ in it.
func modelOf(weight int) files {
	return files{"linear.json": fmt.Sprintf(`{"linear":[%d],"bias":0}`, weight)}
}

// commit imports files; by is filled in.
func (h home) commit(model string, f files, o CommitOptions) (v Version, created bool, err error) {
	ctx := context.Background()
	d, err := h.Begin(model)
	if err != nil {
		return v, false, err
	}
	defer d.Close(ctx)
	for path, content := range f {
		if err := d.Add(ctx, path, strings.NewReader(content)); err != nil {
			return v, false, err
		}
	}
	if o.By == "" {
		o.By = "ann"
	}
	return d.Commit(ctx, o)
}

func (h home) mustCommit(t *testing.T, model string, f files, o CommitOptions) Version {
	t.Helper()
	v, created, err := h.commit(model, f, o)
	if err != nil || !created {
		t.Fatalf("import into %s: created %v, %v", model, created, err)
	}
	return v
}

func mustRef(t *testing.T, text string) Ref {
	t.Helper()
	ref, err := ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// wantError checks an error's kind and text, and that it says what to do where hint is asked for.
func wantError(t *testing.T, err error, kind fault.Kind, texts ...string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("got %v: %v; want %v", fault.KindOf(err), err, kind)
		return
	}
	all := err.Error() + " / " + fault.HintOf(err)
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%q does not tell %q", all, text)
		}
	}
}

// blobCount returns how many blobs are stored.
func blobCount(t *testing.T, h home) (n int) {
	t.Helper()
	if err := h.blobs.List(context.Background(), func(store.Blob) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// readOnlyHome opens a data directory as commands do that only read.
func readOnlyHome(t *testing.T, dir string) *Registry {
	t.Helper()
	blobs, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	state, err := sqlite.OpenReadOnly(context.Background(), filepath.Join(dir, "serin.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	r, err := New(testOptions(blobs, state))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
