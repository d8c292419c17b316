package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/store/disk"
	"github.com/serin-ml/serin/internal/store/sqlite"
	"github.com/serin-ml/serin/internal/tensor"
)

// echo is a runtime whose models answer with their input. A file of its format begins with "echo".
type echo struct{}

func (echo) Detect(a predict.Artefact) bool {
	text, err := a.ReadFile(a.Files()[0])
	return err == nil && bytes.HasPrefix(text, []byte("echo"))
}

func (echo) Open(context.Context, predict.Artefact, predict.Options) (predict.Model, error) {
	return echo{}, nil
}

func (echo) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 1}}},
		Outputs: []tensor.Spec{{Name: "same", DType: tensor.Float32, Shape: []int{-1, 1}}},
	}
}

func (echo) Predict(_ context.Context, r *tensor.Request) (*tensor.Response, error) {
	return &tensor.Response{Outputs: []tensor.Tensor{{Name: "same", Shape: r.Inputs[0].Shape, Data: r.Inputs[0].Data}}}, nil
}

// newControl returns a control plane on an empty registry, and a client of it.
func newControl(t *testing.T) (http.Handler, *Client) {
	t.Helper()
	dir := t.TempDir()
	state, err := sqlite.Open(t.Context(), filepath.Join(dir, "serin.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	blobs, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	r, err := registry.New(registry.Options{Blobs: blobs, State: state, Now: time.Now, Runtimes: []registry.NamedRuntime{{Name: "echo", Runtime: echo{}}}})
	if err != nil {
		t.Fatal(err)
	}
	h := New(Options{Version: "1.2.3", Registry: r, Log: slog.New(slog.DiscardHandler)})
	return h, NewClient("http://test", Direct(h))
}

func text(path, content string) Source {
	return Source{Path: path, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

func TestAModelsLifeThroughTheClient(t *testing.T) {
	_, c := newControl(t)
	ctx := t.Context()
	first, err := c.Import(ctx, "m", ImportOptions{By: "ann", Why: "start"}, []Source{text("deep/er/echo.txt", "echo 1")})
	if err != nil || !first.Created || first.Version.Number != 1 || len(first.Aliases) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := c.Import(ctx, "m", ImportOptions{By: "ann"}, []Source{text("deep/er/echo.txt", "echo 1")})
	if err != nil || again.Created {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	second, err := c.Import(ctx, "m", ImportOptions{By: "bob", Alias: "candidate", Labels: map[string]string{"é": "ü"}}, []Source{text("ä ö.txt", "echo 2")})
	if err != nil || second.Version.Semver != "1.0.1" || second.Version.Files[0].Path != "ä ö.txt" {
		t.Fatalf("%+v, %v", second, err)
	}
	zero := 0
	if _, err := c.MoveAlias(ctx, "m", "champion", AliasChange{To: "candidate", Expect: &zero, By: "bob"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a move that expects otherwise: %v", err)
	}
	moved, err := c.MoveAlias(ctx, "m", "champion", AliasChange{To: "candidate", By: "bob", Why: "better"})
	if err != nil || moved.To != 2 || moved.Move == nil || moved.Move.Why != "better" {
		t.Errorf("%+v, %v", moved, err)
	}
	v, err := c.Version(ctx, registry.Ref{Model: "m", Semver: "1.0.1"})
	if err != nil || v.Number != 2 || len(v.Aliases) != 2 || v.Manifest.Runtime != "echo" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.Remove(ctx, registry.Ref{Model: "m", Number: 2}, RemoveRequest{By: "bob"}); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
		t.Errorf("removal of the champion: %v", err)
	}
	if removed, err := c.Remove(ctx, registry.Ref{Model: "m", Number: 1}, RemoveRequest{By: "bob"}); err != nil || removed.Number != 1 {
		t.Errorf("%+v, %v", removed, err)
	}
	if report, err := c.Verify(ctx, nil); err != nil || report.Versions != 1 || len(report.Damage) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := c.Verify(ctx, &registry.Ref{Model: "m", Number: 2}); err != nil || report.Versions != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	models, err := c.Models(ctx)
	if err != nil || len(models) != 1 || models[0].Aliases["champion"] != 2 {
		t.Errorf("%+v, %v", models, err)
	}
	d, err := c.Model(ctx, "m")
	if err != nil || len(d.All) != 2 || d.All[0].Removed == nil || len(d.Moves) != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := c.Model(ctx, "nobody"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an unknown model: %v", err)
	}
	if list, err := c.Services(ctx); err != nil || list.Version != "1.2.3" || list.Services == nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAFileThatFailsStopsTheImport(t *testing.T) {
	_, c := newControl(t)
	gone := errors.New("the disk is gone")
	broken := Source{Path: "b.txt", Open: func() (io.ReadCloser, error) { return nil, gone }}
	if _, err := c.Import(t.Context(), "m", ImportOptions{By: "ann"}, []Source{text("a.txt", "echo"), broken}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if models, err := c.Models(t.Context()); err != nil || len(models) != 0 {
		t.Errorf("a model is left: %v, %v", models, err)
	}
}

func TestABadImportSaysWhatIsWrong(t *testing.T) {
	h, _ := newControl(t)
	part := func(disposition, body string) [2]string { return [2]string{disposition, body} }
	options := part(`form-data; name="options"`, `{"by":"ann"}`)
	tests := []struct {
		name, model string
		parts       [][2]string
		status      int
		want        string
	}{
		{"no options", "m", [][2]string{part(`form-data; name="file"; filename="a.txt"`, "echo")}, 400, `first part must be \"options\"`},
		{"unknown option", "m", [][2]string{part(`form-data; name="options"`, `{"by":"ann","path":"/etc/passwd"}`)}, 400, `unknown field \"path\"`},
		{"options of another type", "m", [][2]string{part(`form-data; name="options"`, `[]`)}, 400, "options of the import"},
		{"a part of another name", "m", [][2]string{options, part(`form-data; name="path"`, "/etc/passwd")}, 400, `only \"file\" may follow`},
		{"no filename", "m", [][2]string{options, part(`form-data; name="file"`, "echo")}, 400, "no filename"},
		{"up and out", "m", [][2]string{options, part(`form-data; name="file"; filename="../../evil"`, "echo")}, 400, "evil"},
		{"absolute", "m", [][2]string{options, part(`form-data; name="file"; filename="/etc/cron.d/evil"`, "echo")}, 400, "evil"},
		{"backslashes", "m", [][2]string{options, part(`form-data; name="file"; filename*=utf-8''..%5C..%5Cevil`, "echo")}, 400, "evil"},
		{"the same path twice", "m", [][2]string{options, part(`form-data; name="file"; filename="a"`, "echo"), part(`form-data; name="file"; filename="a"`, "echo")}, 409, `\"a\" is given twice`},
		{"nobody does it", "m", [][2]string{part(`form-data; name="options"`, `{}`), part(`form-data; name="file"; filename="a"`, "echo")}, 400, "who does this"},
		{"no runtime knows it", "m", [][2]string{options, part(`form-data; name="file"; filename="a"`, "noise")}, 400, "hint"},
		{"no files", "m", [][2]string{options}, 400, "file"},
		{"a bad name", "M", [][2]string{options}, 400, "is no name for a model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var body bytes.Buffer
			form := multipart.NewWriter(&body)
			for _, p := range tt.parts {
				w, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {p[0]}})
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(w, p[1])
			}
			form.Close()
			r := httptest.NewRequest(http.MethodPost, "/api/v1/models/"+tt.model+"/versions", &body)
			r.Header.Set("Content-Type", form.FormDataContentType())
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json") {
				t.Errorf("Content-Type is %q", w.Header().Get("Content-Type"))
			}
		})
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/models/m/versions", strings.NewReader("{}"))
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 400 || !strings.Contains(w.Body.String(), "multipart/form-data") {
		t.Errorf("no form: %d %s", w.Code, w.Body)
	}
}

func TestWhatDoesNotFitTheSchemaIsRefused(t *testing.T) {
	h, _ := newControl(t)
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPut, "/api/v1/models/m/aliases/champion", `{"to":"1"}`, 422},
		{http.MethodPut, "/api/v1/models/m/aliases/champion", `{"to":1,"by":"ann"}`, 422},
		{http.MethodPut, "/api/v1/models/m/aliases/champion", `{"to":"1","by":"ann","weight":3}`, 422},
		{http.MethodPut, "/api/v1/models/m/aliases/champion", `{`, 400},
		{http.MethodPut, "/api/v1/models/m/aliases/9", `{"to":"1","by":"ann"}`, 404},
		{http.MethodGet, "/api/v1/versions/m%2F..%2F..%2Fetc", ``, 400},
		{http.MethodGet, "/api/v1/versions/m@", ``, 400},
		{http.MethodGet, "/api/v1/nowhere", ``, 404},
		{http.MethodPatch, "/api/v1/models", ``, 404},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status)
		}
	}
}

func TestTheDescriptionNamesEveryOperation(t *testing.T) {
	h, _ := newControl(t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/openapi.json", nil))
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID, Summary string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %v %q", w.Code, err, doc.OpenAPI)
	}
	have := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			have[o.OperationID] = true
			if o.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
		}
	}
	for _, id := range []string{"list-models", "show-model", "import-version", "show-version", "verify-version", "verify-all", "remove-version", "move-alias", "list-services",
		"list-traffic", "show-traffic", "set-traffic", "clear-traffic", "query", "list-views", "list-decisions", "show-decision", "export-view", "summarise-service",
		"list-releases", "show-release", "follow-release", "start-release", "plan-release", "promote-release", "abort-release", "approve-release", "resume-release", "retry-release"} {
		if !have[id] {
			t.Errorf("%s is not described", id)
		}
	}
}
