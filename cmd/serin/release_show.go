package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/release"
)

type releaseStatusCmd struct {
	ID string `arg:"" name:"release" help:"The release, such as movies-12, or a template's name: its newest."`
}

// Run shows how a release stands.
func (s *releaseStatusCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	r, err := c.release(ctx, say, s.ID)
	if err != nil {
		return err
	}
	return say.answer(r, func(w io.Writer) { showStanding(say, w, &r) })
}

type releaseShowCmd struct {
	ID string `arg:"" name:"release" help:"The release, such as movies-12, or a template's name: its newest."`
}

// Run shows all of a release.
func (s *releaseShowCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	r, err := c.release(ctx, say, s.ID)
	if err != nil {
		return err
	}
	return say.answer(r, func(w io.Writer) {
		showStanding(say, w, &r)
		showHistory(say, w, &r)
	})
}

type releaseListCmd struct{}

// Run lists releases.
func (*releaseListCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	client, done, err := c.releases(ctx, say)
	if err != nil {
		return err
	}
	defer done()
	all, err := client.Releases(ctx)
	if err != nil {
		return err
	}
	return say.answer(all, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "no release was started yet")
			return
		}
		var rows [][]string
		for i := range all {
			r := &all[i]
			ended := "-"
			if r.Over() {
				ended = when(r.Ended)
			}
			rows = append(rows, []string{r.ID, r.Plan.Service, r.Plan.Candidate, string(r.Phase), sharesNow(r), when(r.Started), ended, reasonOf(r)})
		}
		say.table(w, "RELEASE SERVICE CANDIDATE PHASE SHARE STARTED ENDED WHY", rows)
	})
}

// reasonOf is why a release is as it is, in what fits a table: `release show` tells the rest.
func reasonOf(r *api.Release) string {
	const most = 60
	reason := []rune("-")
	switch {
	case r.Unled != "":
		reason = []rune(oneLine(r.Unled))
	case r.Held != "":
		reason = []rune("held: " + oneLine(r.Held))
	case r.Reason != "":
		reason = []rune(oneLine(r.Reason))
	}
	if len(reason) > most {
		return string(reason[:most-3]) + "..."
	}
	return string(reason)
}

// share is a share of the traffic that is in percent already.
func share(percent float64) string { return fmt.Sprintf("%.4g%%", percent) }

// sharesNow is the candidate's share, or how much of the requests is copied to it.
func sharesNow(r *api.Release) string {
	switch {
	case r.Phase == release.Promoted:
		return "-"
	case r.Plan.Strategy == release.Shadow:
		return share(r.Mirrored) + " copied"
	}
	return share(r.Percent)
}

// shareThen is the candidate's share after a transition. One that is promoted is no candidate any more.
func shareThen(t release.Transition) string {
	if t.Phase == release.Promoted {
		return "-"
	}
	return share(t.Percent)
}

// standing is how a release stands, in a sentence.
func standing(r *api.Release) string {
	switch r.Phase {
	case release.Promoted:
		return fmt.Sprintf("%s is promoted", r.Plan.Candidate)
	case release.RolledBack:
		return "rolled back, all traffic is with stable"
	case release.RollingBack:
		return "going back, all traffic is with stable" + held(r)
	case release.Promoting:
		return fmt.Sprintf("%s is being promoted%s", r.Plan.Candidate, held(r))
	case release.Running:
	}
	text := fmt.Sprintf("%s has %s of the traffic", r.Plan.Candidate, share(r.Percent))
	if r.Plan.Strategy == release.Shadow {
		text = fmt.Sprintf("%s gets copies of %s of the requests", r.Plan.Candidate, share(r.Mirrored))
	}
	text += ", " + r.StepName + left(r)
	return text + held(r)
}

func held(r *api.Release) (text string) {
	if r.Held != "" {
		text = "; it is held: " + oneLine(r.Held)
	}
	if r.Unled != "" {
		text += "; " + oneLine(r.Unled)
	}
	return text
}

// left is how much of a step's time is left.
func left(r *api.Release) string {
	if r.At >= len(r.Plan.Steps) || r.Held != "" || r.Unled != "" {
		return ""
	}
	step := r.Plan.Steps[r.At]
	if step.Duration <= 0 {
		return ""
	}
	return fmt.Sprintf(", %v to go", span(max(step.Duration-r.Elapsed, 0).Round(time.Second)))
}

// span is a time for people.
func span(d time.Duration) api.Seconds { return api.Seconds(d.Seconds()) }

func showStanding(say *speaker, w io.Writer, r *api.Release) {
	fmt.Fprintf(w, "%s: %s\n", r.ID, standing(r))
	line(w, "service", r.Plan.Service)
	line(w, "stable", boundText(r.Plan.Stable, r.Stable))
	line(w, "candidate", boundText(r.Plan.Candidate, r.Bound))
	line(w, "started", when(r.Started))
	if r.Over() {
		line(w, "ended", fmt.Sprintf("%s, after %v", when(r.Ended), span(r.Ended.Sub(r.Started))))
	}
	line(w, "why", oneLine(r.Reason))
	line(w, "drift", oneLine(r.Drift))
	for _, e := range r.Due {
		what := string(e.Kind)
		if e.Hook != "" {
			what = "hook " + e.Hook
		}
		line(w, "to do", what)
	}
	if len(r.Verdicts) == 0 {
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		m := metricOf(r, v.Metric)
		rows = append(rows, []string{v.Metric, string(v.Role), string(v.Outcome), valueText(m, v.Value), limitsText(m, v), limitText(m, v), strconv.FormatUint(v.N, 10)})
	}
	say.table(w, "METRIC ROLE VERDICT CANDIDATE BETWEEN LIMIT OBSERVATIONS", rows)
	fmt.Fprintln(w)
	for i := range r.Verdicts {
		if v := &r.Verdicts[i]; v.Sentence != r.Reason { // which is said above
			fmt.Fprintf(w, "%s: %s\n", v.Metric, oneLine(v.Sentence))
		}
	}
}

func boundText(variant string, b release.Bound) string {
	text := variant
	if b.Number > 0 {
		text += fmt.Sprintf(", version %d", b.Number)
		if b.Semver != "" {
			text += " (" + b.Semver + ")"
		}
	}
	return text + ", " + oneLine(shortVersion(b.Version))
}

// metricOf is the metric of the release's plan that has this name, nil if there is none.
func metricOf(r *api.Release, name string) *release.Metric {
	for i := range r.Plan.Metrics {
		if r.Plan.Metrics[i].Name == name {
			return &r.Plan.Metrics[i]
		}
	}
	return nil
}

// valueText is a verdict's value in the metric's unit: of one that is held against stable, by how much it is larger.
func valueText(m *release.Metric, n release.Number) string {
	v := float64(n) + 0 // which makes 0 of -0
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case m == nil:
		return plain(v)
	case m.Versus && v > 0:
		return "+" + m.Text(v)
	}
	return m.Text(v)
}

func limitsText(m *release.Metric, v *release.Verdict) string {
	low, high := valueText(m, v.Low), valueText(m, v.High)
	if low == "-" && high == "-" {
		return "-"
	}
	return "[" + low + ".." + high + "]"
}

func limitText(m *release.Metric, v *release.Verdict) string {
	if m != nil && m.Measure == release.Expression {
		return "-"
	}
	return valueText(m, v.Limit)
}

func showHistory(say *speaker, w io.Writer, r *api.Release) {
	fmt.Fprintln(w)
	var rows [][]string
	for i, s := range r.Plan.Steps {
		at := "-"
		if i == r.At && !r.Over() {
			at = "here"
		}
		text := string(s.Kind)
		switch {
		case s.Kind == release.SetWeight || s.Kind == release.Mirror:
			text += " " + share(s.Percent)
		case s.Duration > 0:
			text += " " + span(s.Duration).String()
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), text, at})
	}
	say.table(w, "STEP WHAT NOW", rows)
	fmt.Fprintln(w)
	rows = nil
	for _, t := range r.Journal {
		rows = append(rows, []string{when(t.At), shareThen(t), string(t.What), oneLine(t.By), oneLine(t.Sentence)})
	}
	say.table(w, "AT SHARE WHAT BY SENTENCE", rows)
	for i := range r.Hooks {
		h := &r.Hooks[i]
		how := "it is done"
		if h.Err != "" {
			how = "it failed: " + oneLine(h.Err)
		}
		fmt.Fprintf(w, "\nhook %s at %s took %v: %s\n", h.Hook, when(h.At), h.TookSeconds, how)
		for said := range strings.Lines(h.Said) {
			fmt.Fprintf(w, "  %s\n", oneLine(strings.TrimRight(said, "\n")))
		}
	}
}
