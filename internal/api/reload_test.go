package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
)

func TestAReloadIsAskedForAndTold(t *testing.T) {
	told := Reloaded{File: "serin.yaml", Changed: []string{"a"}, Loaded: []LoadedVersion{{Service: "a", Variant: "stable", Model: "m", Version: 2, Semver: "1.1.0", Digest: "sha256:00"}}}
	var fails error
	h := New(Options{Log: slog.New(slog.DiscardHandler), Reload: func(context.Context) (Reloaded, error) { return told, fails }})
	c := NewClient("http://test", Direct(h))
	got, err := c.Reload(t.Context())
	want := told
	want.Added, want.Removed, want.Unchanged, want.Server = []string{}, []string{}, []string{}, []string{}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got.Nothing() || !(Reloaded{Unchanged: []string{"a"}}).Nothing() {
		t.Error("what is changed is nothing, or what is unchanged is something")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/reload", http.NoBody))
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "null") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	fails = fault.Invalidf("serin.yaml:1:1: one\nserin.yaml:2:1: two").WithHint("mend them")
	if _, err := c.Reload(t.Context()); fault.KindOf(err) != fault.Invalid || err.Error() != fails.Error() || fault.HintOf(err) != "mend them" {
		t.Errorf("a failure: %v", err)
	}
	if w := get(h, "/api/v1/reload"); w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
		t.Errorf("GET reloads: %d", w.Code)
	}
}

func TestWhereNoServerRunsNothingIsReloaded(t *testing.T) {
	_, c := newControl(t)
	if _, err := c.Reload(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("%v", err)
	}
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w
}
