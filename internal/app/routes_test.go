package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
)

// A version that a route does not fit is no better than one that does not load.
func TestAVersionThatARouteDoesNotFitDoesNotBecomeLive(t *testing.T) {
	const named = "format: 1\nruntime: trees\nsignature:\n  inputs: [{name: input, columns: [x, y]}]\n"
	r := start(t, t.TempDir(), func(c *config.Config) {
		read, err := config.Read("serin.yaml", []byte(`services:
  - name: m
    variants: [{model: m}]
    routes:
      - {path: /predict, request: {x: a.b, y: "query:y"}, response: {value: prediction, version: version}}
`))
		if err != nil {
			t.Fatal(err)
		}
		c.Services = read.Services
	})
	ask := func() (int, string) {
		t.Helper()
		return r.send(t, http.MethodPost, "http://"+r.HTTP+"/predict?y=1", `{"a": {"b": 2}}`)
	}
	r.importStump(t, 1)
	r.until(t, "a model without the column has failed", func(s []api.Service) bool {
		return len(s) == 1 && s[0].State == "failed" && strings.Contains(s[0].Error, `the model has no column or input "x"`)
	})
	if code, body := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", code, body)
	}
	r.importStump(t, 2, named)
	r.move(t, "2")
	r.until(t, "a model with the column is live", live(2))
	if code, body := ask(); code != 200 || body != `{"value":2.0,"version":"2"}` {
		t.Errorf("%d %s", code, body)
	}
	r.importStump(t, 3)
	r.move(t, "3")
	r.until(t, "the new one is refused", func(s []api.Service) bool { return len(s) == 1 && s[0].State == "degraded" && s[0].Version == 2 })
	if code, body := ask(); code != 200 || body != `{"value":2.0,"version":"2"}` {
		t.Errorf("%d %s", code, body)
	}
}
