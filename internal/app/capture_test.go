package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
)

func TestCapturedBodiesAreShownWithTheirDecision(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) {
		text := `
services:
  - name: m
    variants: [{model: m}]
    capture: {percent: 100%, redact: [parameters.email]}
`
		read, err := config.Read("serin.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.Services = read.Services
	})
	r.importStump(t, 1)
	r.until(t, "version 1 is live", live(1))
	asked := strings.Replace(question, "{", `{"parameters":{"email":"a@b.c"},`, 1)
	_, answer := r.send(t, http.MethodPost, "http://"+r.HTTP+"/v2/models/m/infer", asked)
	if code, _ := r.send(t, http.MethodPost, "http://"+r.HTTP+"/v2/models/m/infer", "no JSON: a@b.c"); code != http.StatusBadRequest {
		t.Fatal(code)
	}
	var decisions []api.Decision
	r.until(t, "both decisions are read from the log", func([]api.Service) bool {
		var err error
		decisions, err = r.client.Decisions(t.Context(), "m", "", 10)
		return err == nil && len(decisions) == 2
	})
	good, err := r.client.Decision(t.Context(), decisions[0].ID)
	if err != nil || good.Captured == nil {
		t.Fatalf("%+v, %v", good, err)
	}
	if c := good.Captured; c.Request != strings.Replace(asked, "a@b.c", "[redacted]", 1) || c.Response != answer || c.Version != good.Decision.Version || c.Dialect != "openinference" {
		t.Errorf("%+v", c)
	}
	bad, err := r.client.Decision(t.Context(), decisions[1].ID)
	if err != nil || bad.Captured == nil {
		t.Fatalf("%+v, %v", bad, err)
	}
	if c := bad.Captured; c.Request != "" || c.Response != "" || len(c.Withheld) != 2 || c.Status != http.StatusBadRequest {
		t.Errorf("%+v", c)
	}
}
