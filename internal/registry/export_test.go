package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/tensor"
)

func importFolder(t *testing.T, h home, model, dir string) (Version, bool, error) {
	t.Helper()
	ctx := context.Background()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d, err := h.Begin(model)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(ctx)
	if err := d.AddFolder(ctx, root.FS()); err != nil {
		return Version{}, false, err
	}
	return d.Commit(ctx, CommitOptions{By: "bob"})
}

func TestExportedFolderImportsAsTheSameVersion(t *testing.T) {
	ctx := context.Background()
	h := newHome(t)
	h.mustCommit(t, "m", modelOf(1), CommitOptions{})
	v := h.mustCommit(t, "m", files{"deep/linear.json": `{"linear":[1,2],"bias":0.5}`, "a b/ü.txt": "x", "model.yaml": `
signature: {inputs: [{name: input, columns: ["yes", "1: 2"]}], outputs: [{name: prediction, labels: [a, "b #", "null"]}]}
options: {scale: 2}
lineage: {params: {eta: 1e-3, note: "a: \"b\" 'c' \\ é"}, code: 0123456, data: "md5:{}"}
golden: {tolerance: 0.001, rows: [{inputs: {input: [-0.0, 1e-20]}, outputs: {prediction: [1], label: ["yes"]}}]}
`}, CommitOptions{Parent: Ref{Model: "m", Number: 1}, Version: "4.5.6", Alias: "candidate"})
	dest := filepath.Join(t.TempDir(), "out")
	if _, err := h.Export(ctx, mustRef(t, "m@candidate"), dest); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dest, "a b", "ü.txt")); err != nil || string(got) != "x" {
		t.Errorf("a file came out as %q, %v", got, err)
	}
	same, created, err := importFolder(t, h, "m", dest)
	if err != nil || created || same.Number != v.Number {
		t.Errorf("back into the same registry: %d, created %v, %v", same.Number, created, err)
	}
	other := newHome(t)
	other.mustCommit(t, "x", modelOf(7), CommitOptions{})
	got, created, err := importFolder(t, other, "x", dest)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if got.Digest != v.Digest || got.Semver != "4.5.6" || got.Number != 2 || got.Parent != 1 {
		t.Errorf("elsewhere it is %+v, want the digest %s", got, v.Digest)
	}
	want, err := h.Manifest(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := other.Manifest(ctx, got)
	if err != nil || manifest.Lineage.Parent.IsZero() || manifest.Lineage.Params["eta"] != "1e-3" {
		t.Errorf("%+v, %v", manifest.Lineage, err)
	}
	if diff := cmp.Diff(want, manifest); diff != "" {
		t.Error(diff)
	}
}

func TestExportTakesOnlyANewOrEmptyFolder(t *testing.T) {
	ctx := context.Background()
	h := newHome(t)
	v := h.mustCommit(t, "m", modelOf(1), CommitOptions{})
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.Export(ctx, v.Ref(), full)
	wantError(t, err, fault.Conflict, "not empty", "new folder")
	_, err = h.Export(ctx, v.Ref(), filepath.Join(full, "absent", "out"))
	wantError(t, err, fault.Unavailable, "folder above")
	_, err = h.Export(ctx, v.Ref(), filepath.Join(full, "mine"))
	wantError(t, err, fault.Unavailable, "mine")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Export(ctx, v.Ref(), empty); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Dir(empty))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it there is %v, %v", entries, err)
	}

	flip(t, h.blobFile(v.Files[0].Digest))
	parent := t.TempDir()
	_, err = h.Export(ctx, v.Ref(), filepath.Join(parent, "out"))
	wantError(t, err, fault.Internal, "linear.json", "damaged")
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("a failed export left %v, %v", entries, err)
	}
}

// TestManifestSurvivesYAML is the round trip of Export in short: what is written as model.yaml reads as the same manifest.
func TestManifestSurvivesYAML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawManifest(t)
		yaml, err := renderManifest(m, "1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		user, err := decodeUserManifest(yaml)
		if err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
		bare := tensor.Signature{Inputs: copySpecs(m.Signature.Inputs), Outputs: copySpecs(m.Signature.Outputs)}
		for _, specs := range [][]tensor.Spec{bare.Inputs, bare.Outputs} {
			for i := range specs {
				specs[i].Columns, specs[i].Labels = nil, nil // what the runtime does not know comes from the file
			}
		}
		sig, err := user.overlay(bare)
		if err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
		l := user.Lineage
		back := Manifest{
			Format: user.Format, Runtime: user.Runtime, Options: firstMap(plain(user.Options)), Signature: sig, Files: user.Files,
			Lineage: Lineage{Parent: l.Parent, Data: string(l.Data), Params: plain(l.Params), Code: string(l.Code)},
		}
		if user.Golden != nil {
			g, err := Golden{Tolerance: *user.Golden.Tolerance, Rows: user.Golden.Rows}.normal(sig)
			if err != nil {
				t.Fatalf("%v\n%s", err, yaml)
			}
			back.Golden = &g
		}
		want, err := canonical(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := canonical(back)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\nwrote %s\nread  %s\n%s", err, want, got, yaml)
		}
		stored, err := decodeManifest(want)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := canonical(stored); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("%v\nstored %s\nread   %s", err, want, again)
		}
	})
}

// text is any text that people may write into a manifest.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"yes", "null", "~", "1e3", "0x1f", "- a", "a: b", "#", "{}", "[1, 2]", "'", `"`, `\`, "%", "@x", "&a", "*a", "!t", "|", ">", " a ", "1:30", "2026-11-21", ".nan", "é\u00a0漢😀"}),
		rapid.StringN(1, 12, -1).Filter(func(s string) bool { return checkNote("", s) == nil }),
	)
}

func drawManifest(t *rapid.T) Manifest {
	key := rapid.StringN(1, 8, 100).Filter(func(s string) bool { return checkNote("", s) == nil })
	m := Manifest{
		Format: manifestFormat, Runtime: "linear",
		Options: firstMap(rapid.MapOfN(key, text(), 0, 2).Draw(t, "options")),
		Lineage: Lineage{Params: firstMap(rapid.MapOfN(key, text(), 0, 3).Draw(t, "params"))},
	}
	if rapid.Bool().Draw(t, "lineage") {
		m.Lineage.Parent, m.Lineage.Data, m.Lineage.Code = store.Sum([]byte("p")), text().Draw(t, "data"), text().Draw(t, "code")
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "files") {
		path := rapid.SampledFrom([]string{"a", "deep/er/b-1", "é ü"}).Draw(t, "path") + strconv.Itoa(i)
		m.Files = append(m.Files, File{path, rapid.Int64Range(0, 1<<40).Draw(t, "size"), store.Sum([]byte(path))})
	}
	names := rapid.SliceOfNDistinct(key, 2, 4, rapid.ID[string]).Draw(t, "names")
	var row GoldenRow
	row.Inputs, row.Outputs = map[string]Values{}, map[string]Values{}
	for i, name := range names {
		dtype := tensor.DType(rapid.IntRange(int(tensor.Bool), int(tensor.Bytes)).Draw(t, "dtype"))
		width := rapid.IntRange(1, 3).Draw(t, "width")
		spec := tensor.Spec{Name: name, DType: dtype, Shape: []int{-1, width}}
		if rapid.Bool().Draw(t, "named") {
			spec.Columns = rapid.SliceOfNDistinct(text(), width, width, rapid.ID[string]).Draw(t, "columns")
			spec.Labels = rapid.SliceOfNDistinct(text(), 1, 3, rapid.ID[string]).Draw(t, "labels")
		}
		values := drawValues(t, dtype, width)
		if i == 0 {
			spec.AbsentZero = rapid.Bool().Draw(t, "absentZero")
			m.Signature.Inputs = append(m.Signature.Inputs, spec)
			row.Inputs[name] = values
		} else {
			spec.OnDemand = rapid.Bool().Draw(t, "onDemand")
			m.Signature.Outputs = append(m.Signature.Outputs, spec)
			row.Outputs[name] = values
		}
	}
	if rapid.Bool().Draw(t, "golden") {
		g, err := Golden{Tolerance: rapid.Float64Range(1e-12, .5).Draw(t, "tolerance"), Rows: []GoldenRow{row, row}}.normal(m.Signature)
		if err != nil {
			t.Fatal(err)
		}
		m.Golden = &g
	}
	return m
}

func drawValues(t *rapid.T, dtype tensor.DType, n int) Values {
	draw := func() any {
		switch dtype {
		case tensor.Bool:
			return rapid.Bool().Draw(t, "bool")
		case tensor.Bytes:
			return rapid.String().Draw(t, "text")
		case tensor.Float32:
			return rapid.OneOf(rapid.Just[any](nil), rapid.Just[any]("-Infinity"), rapid.Just[any](float32(math.Copysign(0, -1))), rapid.Float32().AsAny()).Draw(t, "float32")
		case tensor.Float64:
			return rapid.OneOf(rapid.Just[any](nil), rapid.Just[any]("Infinity"), rapid.Float64().AsAny()).Draw(t, "float64")
		case tensor.Int64:
			return rapid.Int64().Draw(t, "int64")
		case tensor.Uint64:
			return rapid.Uint64().Draw(t, "uint64")
		default:
			return json.Number(fmt.Sprint(rapid.IntRange(0, 127).Draw(t, "int")))
		}
	}
	values := make(Values, n)
	for i := range values {
		values[i] = draw()
	}
	return values
}
