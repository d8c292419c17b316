package app

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

var update = flag.Bool("update", false, "write testdata/plans anew")

// hour is what was measured in an hour, or since it began.
type hour struct {
	totals []measure.Totals
	began  time.Duration // ago; 0: nothing was measured
}

var planDay = time.Date(2026, 11, 21, 8, 0, 30, 0, time.UTC)

func (h hour) Totals(context.Context, string, time.Time, time.Time) ([]measure.Totals, error) {
	return h.totals, nil
}

func (h hour) First(context.Context, string, time.Time) (time.Time, error) {
	if h.began == 0 {
		return time.Time{}, nil
	}
	return planDay.Add(-h.began).Truncate(time.Minute), nil
}

// busy are the totals of a variant: so many requests, of which one in a hundred failed, and half came back judged, nine in ten right.
func busy(variant string, requests int) measure.Totals {
	t := measure.Totals{Variant: measure.Variant{Service: "movies", Variant: variant}, Requests: uint64(requests)}
	t.Errors[event.Server] = uint64(requests / 100)
	for i := range requests {
		micros := 20_000 + 160_000*float64(i%1000)/1000 // even, around 100 ms
		t.Latency.Add(micros)
		t.Micros += uint64(micros)
	}
	half := uint64(requests / 2)
	t.Outcomes = map[measure.OutcomeKey]measure.Sums{
		{Class: measure.Verified, Kind: "correct"}:   {N: half, Labelled: half, Correct: half * 9 / 10},
		{Class: measure.Unverified, Kind: "correct"}: {N: half, Labelled: half},
		{Class: measure.Verified, Kind: "rating"}:    {N: 100, Sum: 400, Squares: 1700},
	}
	return t
}

const planServices = `
services:
  - name: movies
    path: /movies
    variants: [{upstream: "http://a:1"}, {name: canary, upstream: "http://a:2"}, {name: next, upstream: "http://a:3"}]
    traffic: {weights: {stable: 1}%s}
    shadow: [{variant: next, percent: 0}]
`

// plans are files and hours, whose plans testdata/plans shows as people get them.
var plans = map[string]struct {
	sticky  bool
	release string
	hour    hour
}{
	"usual": {true, `
    candidate: canary
    steps: [{setWeight: 20}, {pause: 12h}, {analysis: {}}]
    metrics:
      - {name: latency, mean: {max: 500ms}}
      - {name: errors, vs: stable}
      - {name: accuracy, role: goal, vs: stable, margin: 0.01, maturity: 2h}
      - {name: rating, role: info, measure: value, kind: rating, min: 3.5}
notify: [{kind: email, to: [a@example.com], smtp: "smtp://localhost"}]
`, hour{[]measure.Totals{busy("stable", 60_000)}, 2 * time.Hour}},
	"careless": {false, `
    candidate: canary
    hooks: {build: {exec: [make]}, deploy: {exec: [make]}}
    steps: [{setWeight: 20}, {pause: 1h}, {setWeight: 100}, {pause: 1h}]
    metrics:
      - {name: slow, measure: latency, max: 90ms}
      - {name: errors, vs: stable, margin: 0}
      - {name: reward, measure: value, kind: reward, vs: stable, margin: 0.1}
      - {name: both, expr: candidate.errors < 2*stable.errors}
      - {name: seed, query: 'sum(request_latency_sum{path=~"/recommend/.*"}) / sum(request_latency_count{path=~"/recommend/.*"})', max: 0.5}
prometheus: [{url: "http://127.0.0.1:9090"}]
`, hour{[]measure.Totals{busy("stable", 600), busy("canary", 100), busy("next", 5000)}, 3 * time.Minute}},
	"slow": {true, `
    candidate: canary
    steps: [{setWeight: 1}, {pause: 1m}, {approval: {}}, {analysis: {}}, {setWeight: 2}, {analysis: {}}]
    maxDuration: 1d
notify: [{kind: email, to: [a@example.com], smtp: "smtp://localhost"}]
`, hour{[]measure.Totals{busy("stable", 1000)}, 2 * time.Hour}},
	"idle": {true, `
    candidate: canary
    steps: [{setWeight: 20}, {analysis: {maxDuration: 2h}}]
`, hour{}},
	"shadow": {true, `
    candidate: next
    strategy: shadow
    steps: [{mirror: 50}, {pause: 1h}, {analysis: {}}]
    metrics: [{name: agreement, role: goal, min: 99%}]
`, hour{[]measure.Totals{busy("stable", 1000)}, 2 * time.Hour}},
}

func TestAPlanTellsWhatAReleaseWouldFindOut(t *testing.T) {
	for name, tt := range plans {
		t.Run(name, func(t *testing.T) {
			sticky := ""
			if tt.sticky {
				sticky = `, sticky: {unit: "header:X-User-Id"}`
			}
			c, err := config.Read("serin.yaml", fmt.Appendf(nil, planServices+"releases:\n  - name: movies\n    service: movies%s", sticky, tt.release))
			if err != nil {
				t.Fatal(err)
			}
			plan, err := c.ReleasePlan("movies")
			if err != nil {
				t.Fatal(err)
			}
			p, err := planRelease(t.Context(), c, plan, tt.hour, planDay)
			if err != nil {
				t.Fatal(err)
			}
			file, got := filepath.Join("testdata/plans", name+".txt"), planText(&p)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("write it with go test ./internal/app -update: %s", diff)
			}
		})
	}
}

// planText is all of a plan but for the release's own.
func planText(p *api.ReleasePlan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests from %s to %s\n", p.Requests, p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%d. %s\n", i+1, s)
	}
	for _, m := range p.Metrics {
		fmt.Fprintf(&b, "%s: %.0f per hour, %g%%: %s\n", m.Metric, m.PerHour, 100*m.Share, m.Says)
		for _, w := range m.Warnings {
			fmt.Fprintf(&b, "  warning: %s\n", w)
		}
	}
	for _, s := range p.Says {
		fmt.Fprintln(&b, s)
	}
	for _, w := range p.Warnings {
		fmt.Fprintln(&b, "warning: "+w)
	}
	return b.String()
}

// What nothing was measured of is no error: a release can be planned before the first request.
func TestAPlanNeedsNoTelemetry(t *testing.T) {
	none := telemetryFile(filepath.Join(t.TempDir(), telemetryName))
	totals, err := none.Totals(t.Context(), "movies", planDay, planDay)
	first, failed := none.First(t.Context(), "movies", planDay)
	if len(totals) != 0 || err != nil || !first.IsZero() || failed != nil {
		t.Errorf("%v, %v; %v, %v", totals, err, first, failed)
	}
}
