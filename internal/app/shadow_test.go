package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// compared is a second of comparisons, n seconds after noon, of pairs with one bucket each.
func compared(n int, pairs, agreed int) *event.Comparison {
	at := noon.Add(time.Duration(n) * time.Second)
	c := &event.Comparison{
		From: at, To: at.Add(time.Second), Service: "reviews", Shadow: "next", ShadowVersion: "sha256:bb", Primary: "stable", PrimaryVersion: "sha256:aa",
		Rule: "label", Drops: [event.NumDrops]uint64{event.DropQueue: 3}, Unpaired: [event.NumUnpaired]uint64{event.ShadowLate: 2},
	}
	for i := range pairs {
		b := c.Bucket(uint8(i % 64))
		b.Pairs++
		b.Lean++
		b.Micros += 500
		b.Scored++
		b.Score -= 0.25
		c.ScoreBelow.Add(0.25)
		if i < agreed {
			b.Agreed++
		}
		c.PrimaryLatency.Add(1000)
		c.ShadowLatency.Add(1500)
	}
	return c
}

func differ(d *event.Decision, where string, difference float64) *event.Disagreement {
	return &event.Disagreement{
		Decision: d.ID, At: d.At, Service: "reviews", Shadow: "next", ShadowVersion: "sha256:bb", Primary: "stable", PrimaryVersion: "sha256:aa", Rule: "label",
		PrimaryStatus: 200, ShadowStatus: 200, PrimaryLabel: "1", ShadowLabel: "0", PrimaryScore: 0.6, ShadowScore: 0.6 + difference, Difference: difference, Where: where,
	}
}

func TestWhatShadowsAreSaidToBeIsWhatTheLogHolds(t *testing.T) {
	first, second, third := decided(t, 1, "stable"), decided(t, 2, "stable"), decided(t, 3, "stable")
	c, _ := asked(t,
		event.Record{Comparison: compared(1, 1000, 950)}, event.Record{Comparison: compared(70, 280, 280)}, event.Record{Decision: first},
		event.Record{Disagreement: differ(first, "the oldest, and the largest", -0.9)}, event.Record{Disagreement: differ(second, "again and again", -0.1)},
		event.Record{Disagreement: differ(third, "again and again", -0.1)}, event.Record{Outcome: judged(first, 0)},
	)
	report, err := c.Shadows(t.Context(), "reviews", "next", noon, time.Time{}, 2)
	must(t, err)
	if len(report.Shadows) != 1 {
		t.Fatalf("%+v", report)
	}
	s := report.Shadows[0]
	if s.Pairs != 1280 || s.Agreed != 1230 || s.Rule != "label" || s.ShadowVersion != "sha256:bb" || s.Version != "sha256:aa" || s.Dropped["queue"] != 6 ||
		s.Unpaired["timeout"] != 4 || s.Unpaired["shadowFailed"] != 0 || *s.SlowerMicros.Estimate != 500 || *s.Score.Estimate != -0.25 || s.Overlap.N != 0 {
		t.Errorf("%+v", s)
	}
	if want := fmt.Sprintf("next agrees with stable in 96.09%% of 1280 answers; the true share lies between %.4g%% and %.4g%%", 100**s.Agreement.Low, 100**s.Agreement.High); s.Says != want ||
		*s.Agreement.Low >= 0.9609 || *s.Agreement.High <= 0.9609 {
		t.Errorf("%s, want %s", s.Says, want)
	}
	if s.Judged != (api.JudgedPairs{ShadowRight: 1, P: s.Judged.P}) || s.Judged.P < 0.5 {
		t.Errorf("judged %+v", s.Judged)
	}
	var shown []string
	for _, d := range s.Examples {
		shown = append(shown, d.Decision+" "+d.Where)
	}
	if diff := cmp.Diff([]string{third.ID.String() + " again and again", first.ID.String() + " the oldest, and the largest"}, shown); diff != "" {
		t.Error(diff)
	}

	for name, ask := range map[string]struct{ service, variant string }{"another service": {"x", ""}, "another shadow": {"reviews", "x"}} {
		if r, err := c.Shadows(t.Context(), ask.service, ask.variant, noon, time.Time{}, 2); err != nil || r.Shadows == nil || len(r.Shadows) != 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if all, err := c.Shadows(t.Context(), "", "", noon.Add(time.Minute), time.Time{}, 0); err != nil || len(all.Shadows) != 1 || all.Shadows[0].Pairs != 280 || len(all.Shadows[0].Examples) != 0 {
		t.Errorf("later: %+v, %v", all, err)
	}
	for name, ask := range map[string]struct {
		from, to time.Time
		examples int
	}{"backwards": {noon, noon.Add(-time.Hour), 1}, "too long": {noon.AddDate(-1, 0, 0), noon, 1}} {
		if _, err := c.Shadows(t.Context(), "", "", ask.from, ask.to, ask.examples); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutPairsShadowsSayThatThereIsNoData(t *testing.T) {
	failed := compared(1, 0, 0)
	dropped := compared(2, 0, 0)
	dropped.Unpaired, dropped.Rule = [event.NumUnpaired]uint64{}, "exact"
	c, _ := asked(t, event.Record{Comparison: failed}, event.Record{Comparison: dropped})
	report, err := c.Shadows(t.Context(), "", "", noon, time.Time{}, 1)
	must(t, err)
	said := map[string]string{}
	for _, s := range report.Shadows {
		said[s.Rule] = s.Says
		if s.Agreement.Estimate != nil || s.Agreement.N != 0 {
			t.Errorf("%s: %+v", s.Rule, s.Agreement)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"label": "no data yet: next was sent 2 copies, and not one gave two answers to compare",
		"exact": "no data yet: not one of 3 requests that were drawn was copied to next",
	}, said); diff != "" {
		t.Error(diff)
	}
	nothing, _ := asked(t)
	if _, err := nothing.Shadows(t.Context(), "", "", noon, time.Time{}, 1); fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no telemetry") {
		t.Errorf("without telemetry: %v", err)
	}
}

// became is what has become of all that was drawn for shadows.
func became(s api.Shadow) (n uint64) {
	n = s.Pairs
	for _, counts := range []map[string]uint64{s.Unpaired, s.Dropped} {
		for _, m := range counts {
			n += m
		}
	}
	return n
}

// TestEachRequestIsAccountedForOverReloadsAndRestarts asks a server with a shadow, while it is reloaded and started anew: what was drawn is a pair,
// a failure or a drop, and nothing else, and figures can be read while it runs.
func TestEachRequestIsAccountedForOverReloadsAndRestarts(t *testing.T) {
	const text = `
services:
  - name: m
    variants: [{name: stable, model: m/1}, {name: next, model: m/%d}]
    traffic: {weights: {stable: 1, next: 0}}
    shadow: [{variant: next, compare: {by: exact}}]
`
	f := startFile(t, fmt.Sprintf(text, 2))
	const n = 50
	ask := func() {
		t.Helper()
		for range n {
			if code, body := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/models/m/infer", question); code != 200 || !strings.Contains(body, "[1.0]") {
				t.Fatalf("%d %s", code, body)
			}
		}
	}
	counted := func(c *api.Client) (list []api.Shadow, n uint64) {
		t.Helper()
		report, err := c.Shadows(t.Context(), "m", "", time.Time{}, time.Time{}, 0)
		must(t, err)
		for _, s := range report.Shadows {
			n += became(s)
		}
		return report.Shadows, n
	}
	ask()
	f.eventually(t, "all are counted", func() bool {
		list, counted := counted(f.client)
		if counted > n || counted == n && (len(list) != 1 || list[0].Pairs != n || list[0].Agreed != 0) {
			t.Fatalf("%+v", list)
		}
		return counted == n
	})
	f.reload(t, fmt.Sprintf(text, 1))
	ask()
	must(t, f.stop())
	reader, err := Reader(t.Context(), options(f.dir))
	must(t, err)
	defer reader.Close()
	got, all := counted(reader.Client)
	if len(got) != 2 || all != 2*n {
		t.Fatalf("%+v", got)
	}
	for _, s := range got {
		same := s.ShadowVersion == s.Version
		if dropped := s.Dropped["draining"]; s.Pairs+dropped != n || same && s.Agreed != s.Pairs || !same && s.Agreed != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestAShadowThatHangsIsAlone: clients are answered by the upstream that is asked for them, and the server stops, while a shadow answers nothing.
func TestAShadowThatHangsIsAlone(t *testing.T) {
	stable, next := proxytest.Serve(t, nil), proxytest.Misbehave(t, proxytest.HangAfterHead)
	f := startFile(t, fmt.Sprintf(`
services:
  - name: web
    path: /
    timeout: 10s
    variants: [{name: stable, upstream: %q}, {name: next, upstream: %q, version: hangs}]
    traffic: {weights: {stable: 1, next: 0}}
    shadow: [{variant: next, timeout: 10m, inFlight: 2, queue: 5, compare: {by: exact}}]
`, stable.URL(), next.URL()))
	const n = 60
	for range n {
		if code, body := f.send(t, http.MethodGet, "http://"+f.HTTP+"/", ""); code != 200 || body != "ok" {
			t.Fatalf("%d %s", code, body)
		}
	}
	must(t, f.stop())
	reader, err := Reader(t.Context(), options(f.dir))
	must(t, err)
	defer reader.Close()
	report, err := reader.Shadows(t.Context(), "web", "next", time.Time{}, time.Time{}, 0)
	must(t, err)
	if len(report.Shadows) != 1 || became(report.Shadows[0]) != n || report.Shadows[0].Pairs != 0 || report.Shadows[0].Dropped["queue"] != n-7 || report.Shadows[0].Dropped["draining"] != 7 {
		t.Errorf("%+v", report.Shadows)
	}
	if summary, err := reader.Summary(t.Context(), "web", time.Time{}, time.Time{}); err != nil || len(summary.Variants) != 1 || summary.Variants[0].Requests != n || summary.Variants[0].Errors["timeout"] != 0 {
		t.Errorf("%+v, %v", summary, err)
	}
}
