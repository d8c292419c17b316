package registry

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/tensor"
)

// exampleManifest uses every part of the format. The golden files hold what version 1 of the formats made of it.
func exampleManifest(t *testing.T) Manifest {
	t.Helper()
	m := Manifest{
		Format: 1, Runtime: "trees", Options: map[string]string{"output": "margin"},
		Signature: tensor.Signature{
			Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 2}, Columns: []string{"age", "fare <£>"}}},
			Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}, {Name: "label", DType: tensor.Bytes, Shape: []int{-1}, Labels: []string{"no", "yes"}, OnDemand: true}},
		},
		Files: []File{{"model.ubj", 123, store.Sum([]byte("a"))}, {"notes/ä.txt", 0, store.Sum(nil)}},
		Lineage: Lineage{
			Parent: store.Sum([]byte("parent")), Data: "md5:0cc175b9c0f1b6a831c399e269772661", Params: map[string]string{"max_depth": "6", "eta": "0.3"}, Code: "8cbd5fa",
		},
	}
	g, err := Golden{Rows: []GoldenRow{
		{map[string]Values{"input": {1.5, nil}}, map[string]Values{"prediction": {0.1}, "label": {"yes"}}},
		{map[string]Values{"input": {-1e-20, "Infinity"}}, map[string]Values{"prediction": {2}}},
	}}.normal(m.Signature)
	if err != nil {
		t.Fatal(err)
	}
	m.Golden = &g
	return m
}

func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// The canonical form and its digest are contracts: if this fails, every version there is gets another digest.
func TestManifestOfFormat1IsWrittenAndReadAsEver(t *testing.T) {
	m := exampleManifest(t)
	text, err := canonical(m)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(golden(t, "manifest1.json"), string(text)); diff != "" {
		t.Errorf("the canonical form changed: %s", diff)
	}
	if got := store.Sum(text).String(); got != golden(t, "manifest1.digest") {
		t.Errorf("the digest is %s", got)
	}
	read, err := decodeManifest([]byte(golden(t, "manifest1.json")))
	if diff := cmp.Diff(m, read); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	yaml, err := renderManifest(m, "1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(golden(t, "manifest1.yaml"), strings.TrimSuffix(string(yaml), "\n")); diff != "" {
		t.Errorf("model.yaml changed: %s", diff)
	}
}

func TestUnfitManifestsAreRefused(t *testing.T) {
	good := golden(t, "manifest1.json")
	for name, tt := range map[string]struct {
		text string
		kind fault.Kind
	}{
		"of the future": {strings.Replace(good, `"format":1`, `"format":2`, 1), fault.Conflict},
		"no format":     {strings.Replace(good, `"format":1,`, ``, 1), fault.Conflict},
		"unknown key":   {strings.Replace(good, `"runtime"`, `"runtimes"`, 1), fault.Internal},
		"cut short":     {good[:len(good)-1], fault.Internal},
		"more text":     {good + "{}", fault.Internal},
		"empty":         {"", fault.Internal},
	} {
		if _, err := decodeManifest([]byte(tt.text)); err == nil || fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The documents are contracts too: what version 1 wrote must be read.
func TestDocumentsOfFormat1StillRead(t *testing.T) {
	ctx := context.Background()
	h := newHome(t)
	var docs map[string]json.RawMessage
	if err := json.Unmarshal([]byte(golden(t, "documents1.json")), &docs); err != nil {
		t.Fatal(err)
	}
	err := h.state.Update(ctx, func(tx store.Tx) error {
		for key, value := range docs {
			if _, err := tx.Put(key, value, store.Absent); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Show(ctx, "churn")
	if err != nil {
		t.Fatal(err)
	}
	if d.Versions != 1 || len(d.All) != 2 || d.All[0].Removed == nil || d.All[0].Removed.Why != "wrong data" || len(d.Moves) != 2 || d.Aliases[Champion] != 2 {
		t.Errorf("got %+v", d)
	}
	v := d.All[1]
	if v.Semver != "1.1.0" || v.Parent != 1 || v.By != "ann" || v.Labels["team"] != "crm" || len(v.Files) != 1 || v.Files[0].Path != "linear.json" {
		t.Errorf("got %+v", v)
	}
	if same, created, err := h.commit("churn", modelOf(2), CommitOptions{}); err != nil || created || same.Number != 2 {
		t.Errorf("its content imported again: %d, created %v, %v", same.Number, created, err)
	}
	if next := h.mustCommit(t, "churn", modelOf(3), CommitOptions{}); next.Number != 3 || next.Semver != "1.2.0" {
		t.Errorf("the next is %d, %s", next.Number, next.Semver)
	}

	err = h.state.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Put("model/later", []byte(`{"format":2}`), store.Absent)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Show(ctx, "later")
	wantError(t, err, fault.Conflict, "model/later", "format 2", "newer Serin")
}

func FuzzModelYAML(f *testing.F) {
	for _, seed := range []string{
		"runtime: linear\n", "signature: {inputs: [{name: input, shape: [-1, 2], columns: [a, b]}]}\n", "golden: {tolerance: 0.1, rows: [{inputs: {input: [1, null]}, outputs: {p: [.5]}}]}\n",
		"files: [{path: ../x, digest: sha256:00}]\n", "lineage: {parent: x, params: {a: 1e-3}, code: 012}\nversion: 1.2.0\nformat: 1\n",
	} {
		f.Add([]byte(seed))
	}
	sig := linearModel{Linear: []float64{1, 2}}.Signature()
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := decodeUserManifest(content)
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.Conflict {
				t.Errorf("%v: %v", kind, err)
			}
			return
		}
		got, err := m.overlay(sig)
		if err == nil && !sameButNames(got, sig) {
			t.Errorf("the signature became %+v", got)
		}
		if m.Golden != nil {
			if _, err := (Golden{Rows: m.Golden.Rows}).normal(sig); err != nil && fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
		}
	})
}
