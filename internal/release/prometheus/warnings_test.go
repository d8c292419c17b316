package prometheus

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQueriesAreWarnedOf(t *testing.T) {
	for query, want := range map[string]string{
		// What one writes first.
		`sum(request_latency_seconds_sum{path=~"/recommend/.*"}) / sum(request_latency_seconds_count{path=~"/recommend/.*"})`:                                                                                 "window status variant",
		`sum(rate(request_latency_seconds_sum{path=~"/recommend/.*",status="200",variant="canary"}[5m])) / sum(rate(request_latency_seconds_count{path=~"/recommend/.*",status="200",variant="canary"}[5m]))`: "",
		`sum(rate(http_requests_total{code!~"5..", variant = "canary"}[1m]))`:                                                                                                                                 "",
		`sum(rate(http_requests_total{variant="canary"}[1m]))`:                                                                                                                                                "status",
		`sum(rate(http_requests_total{code="200"}[1m]))`:                                                                                                                                                      "variant",
		`histogram_quantile(0.99, sum by (le) (rate(latency_bucket{version="2",code="200"}[5m])))`:                                                                                                            "",
		`sum by (variant, status) (rate(http_requests_total[5m]))`:                                                                                                                                            "status variant", // grouping picks nothing
		`queue_length{variant="canary"}`: "", // a gauge is of now
		`queue_length`:                   "variant",
		`requests_total{path="[5m]",code="200",variant="canary"}`:           "window", // in a text
		"requests_total{code='200',variant=`canary`} # [5m]":                "window", // in a comment
		`rate({"requests_total", "status"="200", "variant"=~"canary"}[5m])`: "",       // the quoted form
		`{"requests_total"}`: "window status variant",
		`rate(requests_total{path="a\"}",code="200",variant="canary"}[5m])`: "",
		``: "variant",
	} {
		var got []string
		for _, w := range QueryWarnings(query) {
			for _, word := range []string{"window", "status", "variant"} {
				if strings.HasPrefix(w, "it has no "+word) || strings.HasPrefix(w, "it picks no "+word) {
					got = append(got, word)
				}
			}
		}
		if d := cmp.Diff(want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s\n%s", query, d)
		}
	}
}

// Any text has at most the three warnings, and what is put behind it as a comment changes none.
func FuzzQueryWarnings(f *testing.F) {
	f.Add(`sum(rate(a_total{b="c"}[5m])) / {"d", 'e'=~` + "`f`" + `}`)
	f.Add(`}}{{"\`)
	f.Fuzz(func(t *testing.T, query string) {
		got := QueryWarnings(query)
		if len(got) > 3 {
			t.Fatalf("%q: %q", query, got)
		}
		if strings.ContainsAny(query, "\"'`") { // a text that is open takes the comment in
			return
		}
		if d := cmp.Diff(got, QueryWarnings(query+"\n# a_total{code=\"1\",variant=\"2\"}[5m]")); d != "" {
			t.Fatalf("%q: %s", query, d)
		}
	})
}
