package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// newRelease is a release with nothing but the defaults, and a change.
func newRelease(change func(*Release)) (r Release) {
	r.SetDefaults()
	change(&r)
	return r
}

func newMetric(change func(*ReleaseMetric)) (m ReleaseMetric) {
	m.SetDefaults()
	change(&m)
	return m
}

// goodReleases is what testdata/good/releases.yaml says.
func goodReleases(t *testing.T) *Config {
	t.Helper()
	const file = "testdata/good/releases.yaml"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(file, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The plans are golden: what a file means is what is run.
func TestReleasesBecomePlans(t *testing.T) {
	c := goodReleases(t)
	for _, r := range c.Releases {
		plan, err := c.ReleasePlan(r.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Check(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		got, err := json.MarshalIndent(plan, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata/plans", r.Name+".json")
		if *update {
			if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("%s (write it with go test ./internal/config -update): %s", r.Name, diff)
		}
	}
	if _, err := c.ReleasePlan("nothing"); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestTheExampleOfTheDesignIsRead(t *testing.T) {
	c := goodReleases(t)
	want := newRelease(func(r *Release) {
		r.Name, r.Service, r.Candidate = "sentiment", "sentiment", "canary"
		twenty, half := Percent(20), 12*time.Hour
		r.Steps = []ReleaseStep{{SetWeight: &twenty}, {Pause: &half}, {Analysis: &AnalysisStep{}}}
		r.Metrics = []ReleaseMetric{
			newMetric(func(m *ReleaseMetric) { m.Name, m.Mean = "latency", &Limit{Max: &Amount{0.5, Seconds}} }),
			newMetric(func(m *ReleaseMetric) { m.Name, m.Versus = "errors", "stable" }),
			newMetric(func(m *ReleaseMetric) {
				m.Name, m.Role, m.Versus, m.Margin = "accuracy", release.Goal, "stable", &Amount{0.01, Plain}
			}),
		}
	})
	if diff := cmp.Diff(want, c.Releases[0]); diff != "" {
		t.Error(diff)
	}
	people := []Notify{
		{Name: "email", Kind: NotifyEmail, To: []string{"ml-team@example.com", "Ann <ann@example.com>"}, SMTP: "smtp://127.0.0.1:1025", Form: FormJSON},
		{Name: "on-call", Kind: NotifyEmail, To: []string{"b@example.com"}, From: "serin@example.com", SMTP: "smtps://serin@mail.example.com", PasswordFile: "/run/secrets/smtp", Form: FormJSON},
		{Name: "webhook", Kind: NotifyWebhook, URL: "https://hooks.slack.com/services/T/B/x", Form: FormSlack},
		{Name: "ci", Kind: NotifyWebhook, URL: "http://127.0.0.1:9000/hook", Form: FormJSON, Headers: map[string]string{"Authorization": "Bearer x"}, SecretFile: "/run/secrets/hook"},
	}
	if diff := cmp.Diff(people, c.Notify); diff != "" {
		t.Error(diff)
	}
	servers := []Prometheus{
		{Name: "main", URL: "http://127.0.0.1:9090/prom", BearerFile: "/run/secrets/prometheus", Timeout: 10 * time.Second},
		{Name: "other", URL: "http://127.0.0.1:9091", Timeout: 5 * time.Second},
	}
	if diff := cmp.Diff(servers, c.Prometheus); diff != "" {
		t.Error(diff)
	}
}

// However an approval and an analysis are written, they are steps.
func TestStepsMayHaveNoSettings(t *testing.T) {
	c, err := Read("x", []byte(`
services:
  - {name: a, path: /a, variants: [{upstream: "http://a:1"}, {name: b, upstream: "http://b:1"}], traffic: {weights: {stable: 1}}}
releases:
  - name: a
    service: a
    candidate: b
    steps:
      - setWeight: 5
      - analysis:
      - approval:
`))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.ReleasePlan("a")
	want := []release.PlanStep{{Kind: release.SetWeight, Percent: 5}, {Kind: release.Analysis}, {Kind: release.Approval}}
	if diff := cmp.Diff(want, plan.Steps); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestACanaryIsJudgedByErrorsUnlessToldOtherwise(t *testing.T) {
	for text, want := range map[string]int{"": 1, "metrics: []": 0, "metrics:": 0} {
		file := fmt.Sprintf(`
services:
  - {name: a, path: /a, variants: [{upstream: "http://a:1"}, {name: b, upstream: "http://b:1"}], traffic: {weights: {stable: 1}}}
releases:
  - name: a
    service: a
    candidate: b
    steps: [{setWeight: 5}]
    %s
`, text)
		c, err := Read("x", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := c.ReleasePlan("a")
		if err != nil || len(plan.Metrics) != want {
			t.Errorf("%q: %v, %v", text, plan.Metrics, err)
		}
		if want == 1 && (plan.Metrics[0].Measure != release.Errors || !plan.Metrics[0].Versus || plan.Metrics[0].Role != release.Guardrail || plan.Metrics[0].Margin != 0.01) {
			t.Errorf("%+v", plan.Metrics[0])
		}
	}
}

func TestAmountsAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Amount{
		"0": {0, Plain}, "0.01": {0.01, Plain}, ".5": {0.5, Plain}, "-1.5": {-1.5, Plain}, "1e-6": {1e-6, Plain}, "1%": {0.01, Parts}, "0.5%": {0.005, Parts},
		"500ms": {0.5, Seconds}, "1d": {86400, Seconds}, "0s": {0, Seconds},
	} {
		var got, again Amount
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
		written, err := got.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(written); err != nil || again != want {
			t.Errorf("%s is written %s", text, written)
		}
	}
	pattern, durations := regexp.MustCompile(amountPattern), regexp.MustCompile(durationPattern)
	for _, text := range []string{"", "%", "-", "e5", "1e", "01", "1 %", "1%%", "NaN", "inf", "1e400", "0x10", "1_000", "5ms%", "1kg", "1.", "+1"} {
		if err := new(Amount).UnmarshalText([]byte(text)); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
			t.Errorf("%q: got %v", text, err)
		}
		if text != "1e400" && (pattern.MatchString(text) || durations.MatchString(text)) {
			t.Errorf("%q: the schema takes it", text)
		}
	}
}

// Whatever is wrong with a release, its secrets are not repeated.
func TestSecretsAreNotRepeated(t *testing.T) {
	_, err := Read("x", []byte(`
notify:
  - {kind: email, to: [a@example.com], smtp: "smtp://ann:hunter2@mail"}
  - {kind: webhook, url: "https://ann:hunter2@hooks.example.com/hunter2#hunter2"}
  - {name: b, kind: webhook, url: "ftp://hooks.example.com/hunter2"}
prometheus:
  - {url: "http://ann:hunter2@prom"}
`))
	if fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "hunter2") || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("got %v", err)
	}
}
