package app

import (
	"net/http"
	"strings"
	"testing"
)

func TestLimitsHoldClientsBehindTrustedProxies(t *testing.T) {
	const text = `
server: {trustedProxies: [127.0.0.0/8]}
services:
  - name: a
    variants: [{model: m/1}]
    rateLimit: [{requests: 2, per: 1h}, {requests: 1000, per: 1h, key: "header:x-user", burst: 10, alertAbove: 15}, {requests: 5, per: 1h, paths: [/seldon/]}]
  - {name: free, variants: [{model: m/1}]}
`
	f := startFile(t, text)
	ask := func(service, from string, want int) http.Header {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.HTTP+"/v2/models/"+service+"/infer", strings.NewReader(question))
		must(t, err)
		r.Header.Set("X-Forwarded-For", from)
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s from %s: %s, want %d", service, from, resp.Status, want)
		}
		return resp.Header
	}
	h := ask("a", "198.51.100.7", 200)
	if got, want := h.Get("RateLimit-Policy"), `"client/1h";q=2;w=3600, "header:x-user/1h";q=1000;w=3600;serin-burst=10`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	ask("a", "1.2.3.4, 198.51.100.7", 200)
	ask("a", "5.6.7.8, 198.51.100.7", 429)
	ask("a", "198.51.100.8", 200)
	if h := ask("free", "198.51.100.7", 200); h.Get("RateLimit") != "" {
		t.Errorf("a service without limits tells of %q", h.Get("RateLimit"))
	}
	_, metrics := f.send(t, http.MethodGet, "http://"+f.Control+"/metrics", "")
	for _, line := range []string{
		`serin_rate_limited_total{limit="client/1h",service="a"} 1`, `serin_rate_limit_clients{limit="client/1h",service="a"} 2`,
		`serin_rate_limit_clients_above{limit="header:x-user/1h",service="a"} 0`, `serin_rate_limit_forgotten_total{limit="client/1h (2)",service="a"} 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics do not say %s", line)
		}
	}

	// A reload that leaves the limit as it is frees nobody; one that changes it begins afresh.
	f.reload(t, strings.Replace(text, "name: a", "name: a\n    timeout: 5s", 1))
	ask("a", "198.51.100.7", 429)
	f.reload(t, strings.Replace(text, "requests: 2,", "requests: 3,", 1))
	ask("a", "198.51.100.7", 200)
}
