package registry

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/tensor"
)

// blobFile returns where the store keeps d.
func (h home) blobFile(d store.Digest) string {
	digits := strings.TrimPrefix(d.String(), "sha256:")
	return filepath.Join(h.dir, "blobs", "sha256", digits[:2], digits[2:])
}

func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDamageAndLossAreFoundAtEveryLoadAndMendedByImportingAgain(t *testing.T) {
	ctx := context.Background()
	content := files{"linear.json": modelOf(1)["linear.json"], "never read by the runtime": "x y z"}
	tests := map[string]struct {
		pick func(Version) store.Digest
		hurt func(t *testing.T, path string)
		want string
	}{
		"a bit of the model":       {func(v Version) store.Digest { return v.Files[0].Digest }, flip, `file "linear.json"`},
		"a bit of another file":    {func(v Version) store.Digest { return v.Files[1].Digest }, flip, `file "never read by the runtime"`},
		"a bit of the manifest":    {func(v Version) store.Digest { return v.Digest }, flip, `file "model.yaml"`},
		"the model is lost":        {func(v Version) store.Digest { return v.Files[0].Digest }, lose, `file "linear.json"`},
		"another file is lost":     {func(v Version) store.Digest { return v.Files[1].Digest }, lose, `file "never read by the runtime"`},
		"the manifest is lost":     {func(v Version) store.Digest { return v.Digest }, lose, `file "model.yaml"`},
		"the model is cut to 0":    {func(v Version) store.Digest { return v.Files[0].Digest }, cut, `file "linear.json"`},
		"the manifest is cut to 0": {func(v Version) store.Digest { return v.Digest }, cut, `file "model.yaml"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			v := h.mustCommit(t, "m", content, CommitOptions{})
			other := h.mustCommit(t, "n", modelOf(2), CommitOptions{})
			digest := tt.pick(v)
			tt.hurt(t, h.blobFile(digest))
			_, err := h.Load(ctx, v.Ref())
			wantError(t, err, fault.Internal, "load models:/m/1", tt.want, digest.String(), "import the")
			report, err := h.Verify(ctx)
			if err != nil || len(report.Damage) != 1 || report.Damage[0].Digest != digest || report.Damage[0].Number != 1 || report.Versions != 2 {
				t.Errorf("Verify = %+v, %v", report, err)
			}
			if report, err := h.Verify(ctx, other.Ref()); err != nil || len(report.Damage) != 0 || report.Versions != 1 {
				t.Errorf("Verify of another version = %+v, %v", report, err)
			}
			if _, err := h.Export(ctx, v.Ref(), filepath.Join(t.TempDir(), "out")); fault.KindOf(err) != fault.Internal {
				t.Errorf("Export = %v", err)
			}
			if _, created, err := h.commit("m", content, CommitOptions{}); err != nil || created {
				t.Fatalf("importing it again: created %v, %v", created, err)
			}
			if _, err := h.Load(ctx, v.Ref()); err != nil {
				t.Errorf("after importing it again: %v", err)
			}
		})
	}
}

func lose(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string) {
	t.Helper()
	lose(t, path)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// swapped is the linear runtime of another release: its answers, or its signature, are others.
type swapped struct {
	linear
	factor float64
	rename string
	more   []tensor.Spec // outputs beside those that it had
}

type swappedModel struct {
	predict.Model
	s swapped
}

func (s swapped) Open(ctx context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	m, err := s.linear.Open(ctx, a, o)
	return swappedModel{m, s}, err
}

func (m swappedModel) Signature() tensor.Signature {
	sig := m.Model.Signature()
	if m.s.rename != "" {
		sig.Outputs[0].Name = m.s.rename
	}
	sig.Outputs = append(sig.Outputs, m.s.more...)
	return sig
}

func (m swappedModel) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	response, err := m.Model.Predict(ctx, r)
	if err == nil {
		values := response.Outputs[0].Data.([]float32)
		for i := range values {
			values[i] *= float32(m.s.factor)
		}
	}
	return response, err
}

func TestModelThatAnswersOtherwiseIsNeverReady(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	v := h.mustCommit(t, "m", modelOf(3), CommitOptions{Golden: goldenOf(7, 21)})
	with := func(s swapped) error {
		o := testOptions(h.blobs, h.state)
		o.Runtimes[0].Runtime = s
		r, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Load(ctx, v.Ref())
		return err
	}
	if err := with(swapped{factor: 1 + 5e-7}); err != nil {
		t.Errorf("within the tolerance: %v", err)
	}
	wantError(t, with(swapped{factor: 1.00001}), fault.Internal, "load models:/m/1", "golden row 1", `"prediction" value 1`, "want 21")
	wantError(t, with(swapped{factor: math.NaN()}), fault.Internal, "golden row 1", "null, want 21")
	wantError(t, with(swapped{factor: 1, rename: "score"}), fault.Internal, "another signature")
	wantError(t, with(swapped{factor: 1, more: []tensor.Spec{{Name: "odds", DType: tensor.Float32, Shape: []int{-1}}}}), fault.Internal, "another signature")
	o := testOptions(h.blobs, h.state)
	o.Runtimes = nil
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Load(ctx, v.Ref())
	wantError(t, err, fault.Invalid, `no runtime "linear"`)
}

func TestRuntimeThatLearnedToGiveMoreOnDemandStillLoads(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	f := modelOf(3)
	f[ManifestFile] = "signature: {inputs: [{name: input, columns: [age]}]}\n"
	v := h.mustCommit(t, "m", f, CommitOptions{Golden: goldenOf(7, 21)})
	more := tensor.Spec{Name: "margin", DType: tensor.Float32, Shape: []int{-1}, OnDemand: true}
	o := testOptions(h.blobs, h.state)
	o.Runtimes[0].Runtime = swapped{factor: 1, more: []tensor.Spec{more}}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	live, err := r.Load(ctx, v.Ref())
	if err != nil {
		t.Fatal(err)
	}
	want := live.Manifest.Signature
	want.Outputs = append(slices.Clip(want.Outputs), more)
	if diff := cmp.Diff(want, live.Model.Signature()); diff != "" || len(live.Manifest.Signature.Outputs) != 2 || live.Model.Signature().Inputs[0].Columns[0] != "age" {
		t.Errorf("the signature is another: %s", diff)
	}
}

func TestModelWithoutGoldenRowsWarmsUp(t *testing.T) {
	h := newHome(t)
	for name, content := range map[string]string{"plain": `{"linear":[1,2],"bias":0}`, "refuses zeros": `{"linear":[1,2],"moody":true}`} {
		model := strings.ReplaceAll(name, " ", "-")
		v := h.mustCommit(t, model, files{"m": content}, CommitOptions{})
		if _, err := h.Load(context.Background(), v.Ref()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRowOfZerosFitsAnySignature(t *testing.T) {
	for _, shape := range [][]int{{-1}, {-1, 3}, {8, 2}, {-1, -1, 2}, {}, nil} {
		for dtype := tensor.Bool; dtype <= tensor.Bytes; dtype++ {
			spec := tensor.Spec{Name: "x", DType: dtype, Shape: shape}
			row, err := zeros(spec)
			if err != nil {
				t.Errorf("%v: %v", spec, err)
				continue
			}
			sig := tensor.Signature{Inputs: []tensor.Spec{spec}}
			if err := sig.Check(&tensor.Request{Inputs: []tensor.Tensor{row}}); err != nil {
				t.Errorf("%v: %v", spec, err)
			}
			if row.DType() != dtype {
				t.Errorf("%v: got %v", spec, row.DType())
			}
		}
	}
}

func TestUnsoundSignaturesAreRefused(t *testing.T) {
	in := tensor.Spec{Name: "x", DType: tensor.Float32, Shape: []int{-1, 2}}
	with := func(change func(*tensor.Spec)) tensor.Signature {
		p := in
		change(&p)
		return tensor.Signature{Inputs: []tensor.Spec{in}, Outputs: []tensor.Spec{p}}
	}
	if err := checkSignature(with(func(*tensor.Spec) {})); err != nil {
		t.Error(err)
	}
	for name, sig := range map[string]tensor.Signature{
		"nothing":     {},
		"no name":     with(func(p *tensor.Spec) { p.Name = "" }),
		"long name":   with(func(p *tensor.Spec) { p.Name = strings.Repeat("x", 129) }),
		"no datatype": with(func(p *tensor.Spec) { p.DType = 0 }),
		"not UTF-8":   with(func(p *tensor.Spec) { p.Labels = []string{"\xff"} }),
		"negative":    with(func(p *tensor.Spec) { p.Shape = []int{-2} }),
		"huge":        with(func(p *tensor.Spec) { p.Shape = []int{-1, 1 << 20, 1 << 20} }),
		"twice":       {Inputs: []tensor.Spec{in, in}, Outputs: []tensor.Spec{in}},
	} {
		if err := checkSignature(sig); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	for text, want := range map[string]string{
		"n": `no model "n"`, "m/4": "models:/m/4", "m@candidate": `no alias "candidate"`, "m@9.9.9": "models:/m@9.9.9",
		"m@" + store.Sum(nil).String(): "models:/m@sha256:",
	} {
		_, err := h.Load(ctx, mustRef(t, text))
		wantError(t, err, fault.NotFound, want, "serin model")
		_, err = h.Verify(ctx, mustRef(t, text))
		wantError(t, err, fault.NotFound, want)
	}
	if _, err := h.Show(ctx, "n"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Show: %v", err)
	}
	if _, err := h.Show(ctx, "../m"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("Show: %v", err)
	}
}

func TestReadOnlyRegistryReadsAndSaysWhyItCannotWrite(t *testing.T) {
	h := three(t)
	h.close()
	ro := readOnlyHome(t, h.dir)
	ctx := context.Background()
	if models, err := ro.List(ctx); err != nil || len(models) != 1 || models[0].Versions != 3 || models[0].Newest.Number != 3 {
		t.Errorf("List = %+v, %v", models, err)
	}
	if _, err := ro.Load(ctx, Ref{Model: "m"}); err != nil {
		t.Error(err)
	}
	if _, err := ro.Export(ctx, Ref{Model: "m"}, filepath.Join(t.TempDir(), "out")); err != nil {
		t.Error(err)
	}
	_, err := ro.MoveAlias(ctx, AliasMove{Model: "m", Alias: "a", To: 1, By: "bob"})
	wantError(t, err, fault.Unavailable, "reading only")
}
