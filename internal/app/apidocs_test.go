package app

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/testenv"
)

func TestTheDocumentationShowsTheFirstGoldenRow(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	folder := filepath.Join(testenv.Root(t), "examples", "installs", "model")
	var files []api.Source
	for _, name := range []string{"model.ubj", "model.yaml"} {
		files = append(files, api.Source{Path: name, Open: func() (io.ReadCloser, error) { return os.Open(filepath.Join(folder, name)) }})
	}
	if _, err := r.client.Import(t.Context(), "installs", api.ImportOptions{By: "test"}, files); err != nil {
		t.Fatal(err)
	}
	r.until(t, "the model is live", live(1))
	status, body := r.send(t, http.MethodGet, "http://"+r.HTTP+"/openapi.json", "")
	for _, want := range []string{`"data":[84,2,14,1,0,41.16,2845,`, `"data":[0.0009727765]`, `"device_model":84,`} { // row, answer, row by name
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d: the document lacks %s", status, want)
		}
	}
	if status, body := r.send(t, http.MethodGet, "http://"+r.HTTP+"/docs", ""); status != http.StatusOK || !strings.HasPrefix(body, "<!doctype html>") {
		t.Errorf("%d %.80s", status, body)
	}
}
