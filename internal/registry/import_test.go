package registry

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestFirstVersionIsChampionAndAnswers(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	v := h.mustCommit(t, "m", files{"linear.json": `{"linear":[2,3],"bias":1}`, "notes/read me.txt": "hello"}, CommitOptions{
		By: "ann", Why: "first", DataDigest: "md5:abc", CodeRev: "f00", Params: map[string]string{"depth": "6"}, Labels: map[string]string{"team": "ads"},
	})
	if v.Number != 1 || v.Semver != "1.0.0" || v.Parent != 0 || v.By != "ann" || v.Why != "first" || v.Labels["team"] != "ads" || len(v.Files) != 2 {
		t.Errorf("got %+v", v)
	}
	for _, text := range []string{"m", "models:/m", "m@champion", "models:/m/1", "m@1.0.0", "m@" + v.Digest.String()} {
		live, err := h.Load(ctx, mustRef(t, text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		answer, err := live.Model.Predict(ctx, &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{1, 2}, []float32{10, 100})}})
		if err != nil || answer.Outputs[0].Data.([]float32)[0] != 321 {
			t.Errorf("%s: %v %v", text, answer, err)
		}
		if diff := cmp.Diff(v, live.Version); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		want := Lineage{Data: "md5:abc", Code: "f00", Params: map[string]string{"depth": "6"}}
		if diff := cmp.Diff(want, live.Manifest.Lineage); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestEqualContentIsTheSameVersion(t *testing.T) {
	h := newHome(t)
	first := h.mustCommit(t, "m", modelOf(1), CommitOptions{})
	h.mustCommit(t, "m", modelOf(2), CommitOptions{})
	blobs := blobCount(t, h)
	again, created, err := h.commit("m", modelOf(1), CommitOptions{By: "bob", CodeRev: "other", Alias: "candidate"})
	if err != nil || created {
		t.Fatalf("created %v, %v", created, err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	if got := blobCount(t, h); got != blobs {
		t.Errorf("%d blobs became %d", blobs, got)
	}
	if v, err := h.Resolve(context.Background(), mustRef(t, "m@candidate")); err != nil || v.Number != 1 {
		t.Errorf("the alias points at %d, %v", v.Number, err)
	}
	_, _, err = h.commit("m", modelOf(1), CommitOptions{Version: "7.0.0"})
	wantError(t, err, fault.Conflict, "already", "1.0.0", "7.0.0")
	if v, created, err := h.commit("m", modelOf(1), CommitOptions{Version: "1.0.0"}); err != nil || created || v.Number != 1 {
		t.Errorf("its own version: %d, %v, %v", v.Number, created, err)
	}
}

func TestSemanticVersionFollowsWhatChanged(t *testing.T) {
	h := newHome(t)
	two := files{"linear.json": `{"linear":[1,2],"bias":0}`}
	ref := func(n int) Ref { return Ref{Model: "m", Number: n} }
	steps := []struct {
		name   string
		files  files
		o      CommitOptions
		want   string
		parent int
	}{
		{"the first", modelOf(1), CommitOptions{}, "1.0.0", 0},
		{"other weights", modelOf(2), CommitOptions{}, "1.0.1", 1},
		{"other weights, other data", modelOf(3), CommitOptions{DataDigest: "d2"}, "1.0.2", 2},
		{"params", modelOf(4), CommitOptions{Params: map[string]string{"a": "1"}}, "1.1.0", 3},
		{"same params", modelOf(5), CommitOptions{Params: map[string]string{"a": "1"}}, "1.1.1", 4},
		{"code", modelOf(6), CommitOptions{Params: map[string]string{"a": "1"}, CodeRev: "r2"}, "1.2.0", 5},
		{"runtime options", modelOf(6), CommitOptions{Params: map[string]string{"a": "1"}, CodeRev: "r2", Options: map[string]string{"scale": "2"}}, "1.3.0", 6},
		{"signature", two, CommitOptions{}, "2.0.0", 7},
		{"signature back", modelOf(7), CommitOptions{}, "3.0.0", 8},
		{"chosen", modelOf(8), CommitOptions{Version: "2.3.0"}, "2.3.0", 9},
		{"after a chosen one", modelOf(9), CommitOptions{}, "2.3.1", 10},
		{"from an older parent, its patch taken", modelOf(10), CommitOptions{Parent: ref(1)}, "1.0.3", 1},
		{"from an older parent by version", modelOf(11), CommitOptions{Parent: Ref{Model: "m", Semver: "1.1.0"}, CodeRev: "r3"}, "1.4.0", 4},
		{"a release candidate", modelOf(12), CommitOptions{Version: "5.0.0-rc.1"}, "5.0.0-rc.1", 13},
		{"after it", modelOf(13), CommitOptions{}, "5.0.0", 14},
		{"only golden rows", modelOf(13), CommitOptions{Golden: goldenOf(1, 13)}, "5.0.1", 15},
	}
	for i, s := range steps {
		v := h.mustCommit(t, "m", s.files, s.o)
		if v.Semver != s.want || v.Number != i+1 || v.Parent != s.parent {
			t.Errorf("%s: got number %d, %s from %d; want %d, %s from %d", s.name, v.Number, v.Semver, v.Parent, i+1, s.want, s.parent)
		}
	}
	_, _, err := h.commit("m", modelOf(99), CommitOptions{Version: "1.1.0"})
	wantError(t, err, fault.Conflict, "1.1.0", "number 4", "choose another")
}

// goldenOf is one golden row of a model of one weight.
func goldenOf(input, output any) *Golden {
	return &Golden{Rows: []GoldenRow{{Inputs: map[string]Values{"input": {input}}, Outputs: map[string]Values{"prediction": {output}}}}}
}

func TestBadImportsSaySoAndChangeNothing(t *testing.T) {
	h := newHome(t)
	h.mustCommit(t, "m", modelOf(1), CommitOptions{})
	blobs := blobCount(t, h)
	good := modelOf(5)
	with := func(manifest string) files { return files{"linear.json": good["linear.json"], "model.yaml": manifest} }
	tests := []struct {
		name  string
		model string
		files files
		o     CommitOptions
		kind  fault.Kind
		texts []string
	}{
		{"no file", "m", files{}, CommitOptions{}, fault.Invalid, []string{"no model file"}},
		{"only a manifest", "m", files{"model.yaml": "runtime: linear\n"}, CommitOptions{}, fault.Invalid, []string{"no model file"}},
		{"a format that is declined", "m", files{"a.json": `{"cubic":1}`, "b.txt": "hello"}, CommitOptions{}, fault.Invalid, []string{"a.json: a cubic model / make it linear"}},
		{"unknown format", "m", files{"a.txt": "hello"}, CommitOptions{}, fault.Invalid, []string{"no runtime knows", "a.txt", "linear"}},
		{"unknown runtime", "m", good, CommitOptions{Runtime: "magic"}, fault.Invalid, []string{`"magic"`, "linear"}},
		{"does not open", "m", files{"a": `{"linear":[1,}`}, CommitOptions{}, fault.Invalid, []string{"linear runtime cannot open"}},
		{"unknown option", "m", good, CommitOptions{Options: map[string]string{"sclae": "1"}}, fault.Invalid, []string{"sclae"}},
		{"bad name", "My Model", good, CommitOptions{}, fault.Invalid, []string{"My Model", "a-z"}},
		{"upper case", "Model", good, CommitOptions{}, fault.Invalid, []string{`use "model"`}},
		{"bad alias", "m", good, CommitOptions{Alias: "3"}, fault.Invalid, []string{`"3"`, "letter"}},
		{"alias and none", "m", good, CommitOptions{Alias: "a", NoAlias: true}, fault.Invalid, nil},
		{"bad version", "m", good, CommitOptions{Version: "v2"}, fault.Invalid, []string{"v2", "1.2.0"}},
		{"unknown parent", "m", good, CommitOptions{Parent: Ref{Model: "m", Number: 9}}, fault.NotFound, []string{"models:/m/9"}},
		{"parent elsewhere", "m", good, CommitOptions{Parent: Ref{Model: "n", Number: 1}}, fault.Invalid, []string{"another model"}},
		{"line break in who", "m", good, CommitOptions{By: "ann\nbob"}, fault.Invalid, []string{"control character"}},
		{"wrong golden", "m", good, CommitOptions{Golden: goldenOf(1, 6)}, fault.Invalid, []string{`golden row 1: output "prediction" value 1 is 5, want 6`, "tolerance"}},
		{"golden input missing", "m", good, CommitOptions{Golden: &Golden{Rows: []GoldenRow{{Outputs: map[string]Values{"prediction": {1}}}}}}, fault.Invalid, []string{`row 1: input "input" is missing`}},
		{"golden of other width", "m", good, CommitOptions{Golden: &Golden{Rows: []GoldenRow{{Inputs: map[string]Values{"input": {1, 2}}, Outputs: map[string]Values{"prediction": {1}}}}}}, fault.Invalid, []string{"2 values"}},
		{"golden of unknown output", "m", good, CommitOptions{Golden: &Golden{Rows: []GoldenRow{{Inputs: map[string]Values{"input": {1}}, Outputs: map[string]Values{"p": {1}}}}}}, fault.Invalid, []string{`no output "p"`}},
		{"golden text for a number", "m", good, CommitOptions{Golden: goldenOf("x", 1)}, fault.Invalid, []string{`"x" where a number`}},
		{"golden tolerance", "m", good, CommitOptions{Golden: &Golden{Tolerance: 2, Rows: goldenOf(1, 5).Rows}}, fault.Invalid, []string{"between 0 and 1"}},
		{"manifest typo", "m", with("runtime: linear\nlinage: {}\n"), CommitOptions{}, fault.Invalid, []string{"model.yaml:2:1", "linage", "lineage"}},
		{"manifest of the future", "m", with("format: 2\n"), CommitOptions{}, fault.Conflict, []string{"format 2", "newer Serin"}},
		{"manifest tolerance", "m", with("golden: {tolerance: 0, rows: []}\n"), CommitOptions{}, fault.Invalid, []string{"model.yaml:1:", "between 0 and 1"}},
		{"other dtype", "m", with("signature: {inputs: [{name: input, datatype: FP64}]}\n"), CommitOptions{}, fault.Invalid, []string{"FP32 in the model, not FP64"}},
		{"other shape", "m", with("signature: {inputs: [{name: input, shape: [-1, 2]}]}\n"), CommitOptions{}, fault.Invalid, []string{"[-1 1] in the model"}},
		{"other name", "m", with("signature: {outputs: [{name: score}]}\n"), CommitOptions{}, fault.Invalid, []string{"score", "no such output"}},
		{"columns too many", "m", with("signature: {inputs: [{name: input, columns: [a, b]}]}\n"), CommitOptions{}, fault.Invalid, []string{"2 columns", "has 1"}},
		{"label twice", "m", with("signature: {outputs: [{name: prediction, labels: [a, a]}]}\n"), CommitOptions{}, fault.Invalid, []string{`label "a"`}},
		{"listed file missing", "m", with("files: [{path: b, digest: " + store.Sum(nil).String() + "}]\n"), CommitOptions{}, fault.Invalid, []string{"linear.json", "not listed"}},
		{"listed file differs", "m", with("files: [{path: linear.json, size: 1, digest: " + store.Sum(nil).String() + "}]\n"), CommitOptions{}, fault.Invalid, []string{"is not the file that model.yaml lists", "remove files:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := h.commit(tt.model, tt.files, tt.o)
			wantError(t, err, tt.kind, tt.texts...)
			if got := blobCount(t, h); got != blobs {
				t.Errorf("%d blobs became %d", blobs, got)
			}
		})
	}
	models, err := h.List(context.Background())
	if err != nil || len(models) != 1 || models[0].Versions != 1 {
		t.Errorf("then there are %+v, %v", models, err)
	}
}

func TestPathsThatMeanSomethingElseAreRefused(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	for _, path := range []string{
		"", ".", "..", "../x", "a/../x", "/etc/passwd", "a//b", "a/", "./a", `a\b`, `..\x`, "c:x", "a:stream", "a\x00b", "a\nb", "a.", "a /b", " a",
		"a*", "a?b", `a"b`, "a<b", "a|b", "file:///x", "\xff", strings.Repeat("a", 256), "a\u2028b", "a\u0085b",
	} {
		d, err := h.Begin("m")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Add(ctx, path, strings.NewReader("x")); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", path, err)
		}
		d.Close(ctx)
	}
	for _, pair := range [][2]string{
		{"a", "a"}, {"a", "A"}, {"a/b", "a"}, {"a", "a/b"}, {"A", "a/b"}, {"a/b", "A"}, {"x/model.yaml", "X/Model.yaml"}, {"é", "É"}, {"model.yaml", "model.yaml"},
	} {
		d, err := h.Begin("m")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Add(ctx, pair[0], strings.NewReader("x")); err != nil {
			t.Errorf("%q: %v", pair[0], err)
		}
		if err := d.Add(ctx, pair[1], strings.NewReader("x")); err == nil {
			t.Errorf("%q beside %q was taken", pair[1], pair[0])
		}
		d.Close(ctx)
	}
	d, err := h.Begin("m")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(ctx)
	if err := d.Add(ctx, "Model.YAML", strings.NewReader("x")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
	for i := range maxFiles {
		if err := d.Add(ctx, fmt.Sprintf("f%d", i), strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, d.Add(ctx, "one more", strings.NewReader("x")), fault.Invalid, "more than 1000 files")
}

func TestFolderIsImportedWholeButForLinks(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	folder := fstest.MapFS{
		"linear.json": {Data: []byte(modelOf(1)["linear.json"])},
		"deep/er/x":   {Data: []byte("x")},
		".hidden":     {Data: []byte("y")},
		"model.yaml":  {Data: []byte("lineage: {code: 0123456}\n")},
	}
	d, err := h.Begin("m")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddFolder(ctx, folder); err != nil {
		t.Fatal(err)
	}
	v, _, err := d.Commit(ctx, CommitOptions{By: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range v.Files {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{".hidden", "deep/er/x", "linear.json"}, paths); diff != "" {
		t.Error(diff)
	}
	if m, err := h.Manifest(ctx, v); err != nil || m.Lineage.Code != "0123456" {
		t.Errorf("the code revision is %q, %v", m.Lineage.Code, err)
	}
	if err := d.Add(ctx, "late", strings.NewReader("")); fault.KindOf(err) != fault.Conflict {
		t.Errorf("adding after the end: %v", err)
	}
	if _, _, err := d.Commit(ctx, CommitOptions{By: "ann"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a second commit: %v", err)
	}

	folder["link"] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: 0o777 | 1<<27} // fs.ModeSymlink
	d, err = h.Begin("m")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(ctx)
	wantError(t, d.AddFolder(ctx, folder), fault.Invalid, `"link"`, "not a plain file")
}

func TestSignatureTakesTheUsersNames(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	h.mustCommit(t, "m", files{"linear.json": `{"linear":[1,2],"bias":0}`}, CommitOptions{})
	v := h.mustCommit(t, "m", files{"linear.json": `{"linear":[1,2],"bias":0}`, "model.yaml": `
runtime: linear
signature:
  inputs: [{name: input, datatype: FP32, shape: [-1, 2], columns: [age, fare]}]
  outputs: [{name: prediction, labels: [no, "yes"]}]
golden:
  rows:
    - {inputs: {input: [1, null]}, outputs: {prediction: [1], label: ["yes"]}}
    - {inputs: {input: [-.5, 1.5]}, outputs: {prediction: [2.5]}}
`}, CommitOptions{})
	if v.Semver != "2.0.0" {
		t.Errorf("another signature gives %s, want 2.0.0", v.Semver)
	}
	live, err := h.Load(ctx, v.Ref())
	if err != nil {
		t.Fatal(err)
	}
	sig := live.Model.Signature()
	if !cmp.Equal(sig.Inputs[0].Columns, []string{"age", "fare"}) || !cmp.Equal(sig.Outputs[0].Labels, []string{"no", "yes"}) {
		t.Errorf("got %+v", sig)
	}
	if live.Manifest.Golden == nil || len(live.Manifest.Golden.Rows) != 2 || live.Manifest.Golden.Tolerance != DefaultTolerance {
		t.Errorf("golden rows: %+v", live.Manifest.Golden)
	}
}

func TestImportsAtOnceGetNumbersOfTheirOwn(t *testing.T) {
	h := newHome(t)
	const n = 12
	var wg sync.WaitGroup
	versions := make([]Version, n)
	created := make([]bool, n)
	for i := range n {
		wg.Go(func() {
			var err error
			versions[i], created[i], err = h.commit("m", modelOf(i/2), CommitOptions{}) // each content twice
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	numbers, semvers, made := map[int]bool{}, map[string]bool{}, 0
	for i, v := range versions {
		numbers[v.Number], semvers[v.Semver] = true, true
		if created[i] {
			made++
		}
		if v.Number != versions[i^1].Number {
			t.Errorf("equal imports gave versions %d and %d", v.Number, versions[i^1].Number)
		}
	}
	if len(numbers) != n/2 || len(semvers) != n/2 || made != n/2 {
		t.Errorf("%d numbers, %d semantic versions, %d created; want %d of each", len(numbers), len(semvers), made, n/2)
	}
	if report, err := h.Verify(context.Background()); err != nil || len(report.Damage) != 0 || report.Versions != n/2 {
		t.Errorf("then Verify gives %+v, %v", report, err)
	}
}
