package registry

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

func TestRemovedVersionIsGoneForGood(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	shared := files{"linear.json": modelOf(9)["linear.json"], "shared": "the same words"}
	h.mustCommit(t, "m", shared, CommitOptions{})                                            // 4
	also := h.mustCommit(t, "n", shared, CommitOptions{Params: map[string]string{"a": "1"}}) // shares both files, not the manifest
	blobs := blobCount(t, h)

	_, err := h.Remove(ctx, Removal{Ref: Ref{Model: "m", Alias: Champion}, By: "bob"})
	wantError(t, err, fault.Conflict, `"champion" points at version models:/m/1`, "first")
	_, err = h.Remove(ctx, Removal{Ref: Ref{Model: "m", Number: 4}})
	wantError(t, err, fault.Invalid, "who")

	v, err := h.Remove(ctx, Removal{Ref: Ref{Model: "m", Number: 4}, By: "bob", Why: "mistake"})
	if err != nil || v.Removed == nil || v.Removed.By != "bob" {
		t.Fatalf("Remove = %+v, %v", v, err)
	}
	if got := blobCount(t, h); got != blobs-1 {
		t.Errorf("%d blobs became %d; only the manifest was its own", blobs, got)
	}
	if _, err := h.Load(ctx, also.Ref()); err != nil {
		t.Errorf("the other version of the same files: %v", err)
	}
	for _, ref := range []Ref{{Model: "m", Number: 4}, {Model: "m", Semver: v.Semver}, {Model: "m", Digest: v.Digest}} {
		_, err := h.Load(ctx, ref)
		wantError(t, err, fault.NotFound, "was removed by bob", "mistake")
	}
	_, err = h.Remove(ctx, Removal{Ref: Ref{Model: "m", Number: 4}, By: "bob"})
	wantError(t, err, fault.NotFound, "was removed")
	_, err = h.MoveAlias(ctx, AliasMove{Model: "m", Alias: "candidate", To: 4, By: "bob"})
	wantError(t, err, fault.NotFound, "was removed")

	_, _, err = h.commit("m", modelOf(10), CommitOptions{Version: v.Semver})
	wantError(t, err, fault.Conflict, "was removed", "choose another")
	again := h.mustCommit(t, "m", shared, CommitOptions{})
	if again.Number != 5 || again.Semver == v.Semver || again.Digest != v.Digest {
		t.Errorf("imported again it is %d, %s, %s; it was %d, %s, %s", again.Number, again.Semver, again.Digest, v.Number, v.Semver, v.Digest)
	}
	if got, err := h.Resolve(ctx, Ref{Model: "m", Digest: v.Digest}); err != nil || got.Number != 5 {
		t.Errorf("the digest names %d, %v", got.Number, err)
	}
	d, err := h.Show(ctx, "m")
	if err != nil || len(d.All) != 5 || d.Versions != 4 || d.All[3].Removed.Why != "mistake" {
		t.Errorf("Show = %+v, %v", d, err)
	}
	if _, err := h.Remove(ctx, Removal{Ref: also.Ref(), By: "bob"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("n's champion: %v", err)
	}
}

func TestModelWithoutVersionsSaysSo(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	v := h.mustCommit(t, "m", modelOf(1), CommitOptions{NoAlias: true})
	if _, err := h.Remove(ctx, Removal{Ref: v.Ref(), By: "bob"}); err != nil {
		t.Fatal(err)
	}
	_, err := h.Resolve(ctx, Ref{Model: "m"})
	wantError(t, err, fault.NotFound, "no version left")
	if got := blobCount(t, h); got != 0 {
		t.Errorf("%d blobs are left", got)
	}
	if models, err := h.List(ctx); err != nil || len(models) != 1 || models[0].Versions != 0 || models[0].Newest != nil {
		t.Errorf("List = %+v, %v", models, err)
	}
	if v := h.mustCommit(t, "m", modelOf(2), CommitOptions{}); v.Number != 2 || v.Parent != 0 || v.Semver != "1.1.0" {
		t.Errorf("the next is %d, %s, from %d", v.Number, v.Semver, v.Parent)
	}
}

func TestSweepTakesOldOrphansAlone(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	blobs := blobCount(t, h)
	orphan, _, err := h.blobs.Put(ctx, strings.NewReader("left by a crash"))
	if err != nil {
		t.Fatal(err)
	}
	if swept, err := h.Sweep(ctx, time.Now().Add(-SweepAge)); err != nil || swept.Blobs != 0 {
		t.Errorf("a young orphan: %+v, %v", swept, err)
	}
	draft, err := h.Begin("m")
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Close(ctx)
	if err := draft.Add(ctx, "linear.json", strings.NewReader(modelOf(8)["linear.json"])); err != nil {
		t.Fatal(err)
	}
	swept, err := h.Sweep(ctx, time.Now().Add(time.Hour)) // all are old by then
	if err != nil || swept.Blobs != 1 || swept.Bytes != int64(len("left by a crash")) {
		t.Errorf("Sweep = %+v, %v", swept, err)
	}
	if _, err := h.blobs.Open(ctx, orphan); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the orphan: %v", err)
	}
	v, _, err := draft.Commit(ctx, CommitOptions{By: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Load(ctx, v.Ref()); err != nil {
		t.Errorf("the import that was in progress: %v", err)
	}
	if got := blobCount(t, h); got != blobs+2 {
		t.Errorf("%d blobs became %d", blobs, got)
	}
}

func TestDroppedDraftLeavesNothingAndTakesNothing(t *testing.T) {
	h := three(t)
	ctx := context.Background()
	blobs := blobCount(t, h)
	d, err := h.Begin("m")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{"new": "new", "known": modelOf(1)["linear.json"]} {
		if err := d.Add(ctx, path, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	if got := blobCount(t, h); got != blobs {
		t.Errorf("%d blobs became %d", blobs, got)
	}
	if report, err := h.Verify(ctx); err != nil || len(report.Damage) != 0 {
		t.Errorf("Verify = %+v, %v", report, err)
	}
}

// A removal while an import streams the same bytes: the import must find them there at its end.
func TestRemovalBesideAnImportOfTheSameBytes(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	content := modelOf(1)["linear.json"]
	v := h.mustCommit(t, "m", files{"linear.json": content}, CommitOptions{NoAlias: true})
	d, err := h.Begin("n")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(ctx)
	// The reader removes the version when all but the end has been read, and again after the blob is in place.
	remove := readerFunc(func([]byte) (int, error) {
		_, err := h.Remove(ctx, Removal{Ref: v.Ref(), By: "bob"})
		if err != nil {
			return 0, err
		}
		return 0, io.EOF
	})
	if err := d.Add(ctx, "linear.json", io.MultiReader(strings.NewReader(content), remove)); err != nil {
		t.Fatal(err)
	}
	second := h.mustCommit(t, "m", files{"linear.json": content}, CommitOptions{NoAlias: true})
	if _, err := h.Remove(ctx, Removal{Ref: second.Ref(), By: "bob"}); err != nil {
		t.Fatal(err)
	}
	made, created, err := d.Commit(ctx, CommitOptions{By: "ann"})
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if _, err := h.Load(ctx, made.Ref()); err != nil {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// plainBlobs hides that the store can be collected, and that its readers can read anywhere.
type plainBlobs struct{ b store.Blobs }

func (p plainBlobs) Put(ctx context.Context, r io.Reader) (store.Digest, int64, error) {
	return p.b.Put(ctx, r)
}

func (p plainBlobs) Open(ctx context.Context, d store.Digest) (io.ReadCloser, error) {
	r, err := p.b.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return io.NopCloser(io.MultiReader(bytes.NewReader(b))), err
}

func TestStoreWithoutExtrasWillDo(t *testing.T) {
	h := newHome(t)
	ctx := context.Background()
	r, err := New(testOptions(plainBlobs{h.blobs}, h.state))
	if err != nil {
		t.Fatal(err)
	}
	h.Registry = r
	v := h.mustCommit(t, "m", modelOf(1), CommitOptions{NoAlias: true})
	if _, err := h.Load(ctx, v.Ref()); err != nil {
		t.Error(err)
	}
	_, _, err = h.commit("m", files{"p": "\x80\x04N."}, CommitOptions{})
	wantError(t, err, fault.Invalid, "pickle")
	if _, err := h.Remove(ctx, Removal{Ref: v.Ref(), By: "bob"}); err != nil {
		t.Error(err)
	}
	if swept, err := h.Sweep(ctx, time.Now().Add(time.Hour)); err != nil || swept.Blobs != 0 {
		t.Errorf("Sweep = %+v, %v", swept, err)
	}
}

func TestRegistryNeedsItsParts(t *testing.T) {
	_, err := New(Options{})
	wantError(t, err, fault.Invalid, "no Blobs", "no State", "no clock")
}
