package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/release/prometheus"
)

// planned is the time before a release whose traffic says what it would find out.
const planned = time.Hour

// short is a time whose traffic says little of the hours to come.
const short = 10 * time.Minute

// unknownHorizon is up to when harm is looked for where nothing says how long a release takes.
const unknownHorizon = 24 * time.Hour

// totaller counts what was measured of a service.
type totaller interface {
	// Totals are those of each epoch, variant and version in the minutes from one time up to another.
	Totals(ctx context.Context, service string, from, to time.Time) ([]measure.Totals, error)
	// First is the first minute of that time and after that something was measured in; zero: none.
	First(ctx context.Context, service string, from time.Time) (time.Time, error)
}

// Totals implements totaller. Where nothing was measured yet there is nothing.
func (path telemetryFile) Totals(ctx context.Context, service string, from, to time.Time) ([]measure.Totals, error) {
	r, err := path.open(ctx)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	totals, err := r.Totals(ctx, service, from, to)
	return totals, errors.Join(err, r.Close())
}

// First implements totaller.
func (path telemetryFile) First(ctx context.Context, service string, from time.Time) (first time.Time, err error) {
	const text = "SELECT min(minute) FROM variant_minutes WHERE service = ? AND minute >= ?"
	rows, err := path.Query(ctx, text, service, from.UTC().Format(time.DateTime))
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return first, nil
	case err != nil:
		return first, err
	}
	defer rows.Close()
	for row, err := range rows.All {
		if err != nil {
			return first, err
		}
		if minute, ok := row[0].(string); ok {
			return time.Parse(time.DateTime, minute)
		}
	}
	return first, nil
}

// planRelease tells what a release by a template would do, and what it would find out, of the roles that the variants have now. NotFound: the
// configuration has no such release.
func (s *server) planRelease(ctx context.Context, name string) (api.ReleasePlan, error) {
	c := s.settings.Load()
	plan, err := c.ReleasePlan(name)
	if err != nil {
		return api.ReleasePlan{}, err
	}
	swapped, err := s.releases.rolesOf(ctx, plan.Service)
	if err != nil {
		return api.ReleasePlan{}, err
	}
	inFile := plan.Stable
	plan.Stable, plan.Candidate = swapped.of(plan.Stable), swapped.of(plan.Candidate)
	out, err := planRelease(ctx, c, plan, telemetryFile(filepath.Join(s.options.DataDir, telemetryName)), s.options.Now())
	if err == nil && plan.Stable != inFile {
		out.Warnings = append(out.Warnings, fmt.Sprintf("since release %s %s is stable, whatever the file says: this would take its place by %s", swapped.Release, plan.Stable, plan.Candidate))
	}
	return out, err
}

// planRelease tells what a release would do, and, by the traffic of the last hour, what it would find out, and when.
func planRelease(ctx context.Context, c *config.Config, plan release.Plan, of totaller, now time.Time) (api.ReleasePlan, error) {
	from := now.UTC().Add(-planned).Truncate(time.Minute)
	totals, err := of.Totals(ctx, plan.Service, from, now.UTC().Add(time.Minute))
	if err != nil {
		return api.ReleasePlan{}, err
	}
	if first, err := of.First(ctx, plan.Service, from); err != nil {
		return api.ReleasePlan{}, err
	} else if first.After(from) {
		from = first // a server that has begun since has had no traffic before
	}
	p := planner{
		plan: &plan, before: usual(totals, plan.Stable), all: usual(totals, plan.Stable, plan.Candidate), share: shareAt(&plan),
		levels: release.LevelsOf(plan.FalseRollback, plan.FalsePromotion, plan.Metrics),
	}
	p.out = api.ReleasePlan{Plan: plan, Steps: stepWords(&plan), From: from, To: now.UTC(), Requests: p.all.asked(), Pauses: pauses(&plan)}
	if err := p.metrics(); err != nil {
		return api.ReleasePlan{}, err
	}
	p.gist()
	p.warnings(c)
	return p.out, nil
}

// shareAt is the candidate's share where the first analysis begins; without any, the largest one that leaves something to compare with.
func shareAt(p *release.Plan) (share float64) {
	now := 0.0
	for _, s := range p.Steps {
		switch s.Kind {
		case release.SetWeight, release.Mirror:
			now = s.Percent / 100
			if now < 1 || p.Strategy == release.Shadow {
				share = max(share, now)
			}
		case release.Analysis:
			return now
		case release.Pause, release.Approval:
		}
	}
	return share
}

func pauses(p *release.Plan) (sum api.Seconds) {
	for _, s := range p.Steps {
		if s.Kind == release.Pause {
			sum += api.Seconds(s.Duration.Seconds())
		}
	}
	return sum
}

// planner makes a plan's words and figures.
type planner struct {
	plan   *release.Plan
	before *figures // of stable
	all    *figures // of stable and the candidate
	share  float64  // the candidate's, which the figures are for
	levels release.Levels
	out    api.ReleasePlan
}

func (p *planner) warn(format string, args ...any) {
	p.out.Warnings = append(p.out.Warnings, fmt.Sprintf(format, args...))
}

// metrics foresees every metric: first when it passes, and then what harm is found until all have.
func (p *planner) metrics() error {
	decided, known := api.Seconds(0), true
	for i := range p.plan.Metrics {
		m := &p.plan.Metrics[i]
		one, err := p.passing(m)
		if err != nil {
			return err
		}
		if m.Role == release.Guardrail || m.Role == release.Goal {
			if known = known && one.Passes != nil; known {
				decided = max(decided, *one.Passes)
			}
		}
		p.out.Metrics = append(p.out.Metrics, one)
	}
	if known {
		p.out.Decided = &decided
	}
	p.out.Horizon = max(decided, p.out.Pauses)
	if p.out.Horizon == 0 {
		p.out.Horizon = api.Seconds(unknownHorizon.Seconds())
	}
	for i := range p.out.Metrics {
		if err := p.harm(&p.plan.Metrics[i], &p.out.Metrics[i]); err != nil {
			return err
		}
	}
	return nil
}

// passing foresees when a metric passes.
func (p *planner) passing(m *release.Metric) (api.PlannedMetric, error) {
	b, n := p.before.of(m)
	_, all := p.all.of(m)
	one := api.PlannedMetric{Metric: m.Name, Role: m.Role, Now: finite(b.Value), N: n, PerHour: float64(all) / p.out.To.Sub(p.out.From).Hours(), Share: p.share}
	if p.plan.Strategy == release.Shadow { // whose figures are of pairs, which are not known before
		one.Says = m.Words() + " of a shadow is known once copies are compared"
		return one, nil
	}
	f, err := release.Foresee(*m, b, p.share, p.levels)
	if err != nil {
		return one, err
	}
	if one.PerHour > 0 && !math.IsNaN(f) && !math.IsInf(f, 0) {
		passes := api.Seconds(f/one.PerHour*3600 + m.Maturity.Seconds())
		one.Passes = &passes
	}
	one.Says, one.Warnings = p.says(m, b, &one, math.IsInf(f, 1))
	return one, nil
}

// says tells when a metric passes, and what may be wrong with it.
func (p *planner) says(m *release.Metric, b release.Before, one *api.PlannedMetric, never bool) (says string, warnings []string) {
	switch {
	case m.Measure == release.Expression || m.Measure == release.Query:
		says = fmt.Sprintf("%s knows nothing of chance: it counts once it has said the same for %v", m.Name, api.Seconds(m.For.Seconds()))
		warnings = append(warnings, "no rate of false rollbacks is promised of it: it can fail, or pass, by chance")
		if m.Measure == release.Query {
			warnings = append(warnings, prometheus.QueryWarnings(m.Query)...)
		}
		return says, warnings
	case math.IsNaN(b.Value) && (m.Measure == release.Accuracy || m.Measure == release.Value):
		says = fmt.Sprintf("nothing is known of %s: no outcomes came back in this hour", m.Words())
		return says, append(warnings, "without outcomes it never passes; see whether feedback is sent, with tokens, and of which kind")
	case math.IsNaN(b.Value):
		return fmt.Sprintf("nothing is known of %s: there was no traffic in this hour", m.Words()), nil
	}
	says = fmt.Sprintf("%s is %s now, of %d", m.Words(), m.Text(b.Value), one.N)
	switch {
	case one.Passes != nil:
		says += fmt.Sprintf("; of a candidate as good it passes after about %v", *one.Passes)
		if m.Versus {
			says += fmt.Sprintf(", when it is shown to be worse by no more than %s", m.Difference(m.Margin))
		}
	case p.share <= 0 || p.share >= 1:
		says += "; at 100% there is nothing to compare with"
	case never && !m.Versus:
		says += "; stable itself does not keep to " + m.Text(m.Limit)
		warnings = append(warnings, fmt.Sprintf("a candidate as good as stable fails or stays undecided: stable is at %s, and the limit is %s", m.Text(b.Value), m.Text(m.Limit)))
	case never:
		says += "; it never passes"
		warnings = append(warnings, "with this margin it passes only of a candidate that is better than stable; one that is as good stays undecided until the release has taken as long as it may")
	}
	return says, warnings
}

// harm foresees what harm of a metric is found in time.
func (p *planner) harm(m *release.Metric, one *api.PlannedMetric) error {
	if p.plan.Strategy == release.Shadow {
		return nil
	}
	b, _ := p.before.of(m)
	hours := (float64(p.out.Horizon) - m.Maturity.Seconds()) / 3600
	harm, err := release.Harm(*m, b, p.share, one.PerHour*hours, p.levels)
	if err != nil || math.IsNaN(harm) {
		return err
	}
	one.Harm = &harm
	beyond := "more than stable's"
	switch less := m.Higher || m.Measure == release.Accuracy || m.Measure == release.Agreement; {
	case !m.Versus:
		beyond = "beyond the limit"
	case less:
		beyond = "less than stable's"
	}
	one.Says += fmt.Sprintf("; harm of %s %s is found within %v half of the times", m.Difference(harm), beyond, p.out.Horizon)
	return nil
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
