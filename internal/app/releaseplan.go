package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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

// planRelease tells what a release would do, and, by the traffic of the last hour, what it would find out, and when. NotFound: the
// configuration has no such release.
func planRelease(ctx context.Context, c *config.Config, name string, of totaller, now time.Time) (api.ReleasePlan, error) {
	plan, err := c.ReleasePlan(name)
	if err != nil {
		return api.ReleasePlan{}, err
	}
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

// stepWords are the steps for people, the promotion among them.
func stepWords(p *release.Plan) (words []string) {
	for _, s := range p.Steps {
		length := api.Seconds(s.Duration.Seconds())
		switch s.Kind {
		case release.SetWeight:
			words = append(words, fmt.Sprintf("%s gets %g%% of the traffic, %s the rest", p.Candidate, s.Percent, p.Stable))
		case release.Mirror:
			words = append(words, fmt.Sprintf("%s gets copies of %g%% of the requests; its answers are compared, and go to nobody", p.Candidate, s.Percent))
		case release.Pause:
			words = append(words, fmt.Sprintf("wait %v; whenever a guardrail fails, all goes back to %s", length, p.Stable))
		case release.Analysis:
			text := "wait until every guardrail and goal passes"
			if length > 0 {
				text += fmt.Sprintf(", at most %v", length)
			}
			words = append(words, text)
		case release.Approval:
			words = append(words, fmt.Sprintf("wait until somebody approves (`serin release approve %s`)", p.Name))
		}
	}
	var hooks []string
	for _, h := range p.Hooks {
		if h.Name != release.Undo {
			hooks = append(hooks, h.Name)
		}
	}
	switch {
	case p.Model != "":
		words = append(words, fmt.Sprintf("promote: the alias %s of model %s moves to the version of %s", p.Alias, p.Model, p.Candidate))
	case hooks != nil:
		words = append(words, "promote: run "+strings.Join(hooks, ", then "))
	default:
		words = append(words, fmt.Sprintf("promote: %s is stable from then on", p.Candidate))
	}
	return words
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

// gist says how long all of it takes.
func (p *planner) gist() {
	say := func(format string, args ...any) { p.out.Says = append(p.out.Says, fmt.Sprintf(format, args...)) }
	analyses := slices.ContainsFunc(p.plan.Steps, func(s release.PlanStep) bool { return s.Kind == release.Analysis })
	switch {
	case p.out.Decided != nil && analyses:
		say("with the traffic of the last hour, and a candidate as good as stable, it takes about %v", p.out.Horizon)
	case analyses:
		say("how long its analysis takes cannot be told from the last hour; it takes %v at most", api.Seconds(p.plan.MaxDuration.Seconds()))
	default:
		say("it takes %v, and what is not shown to be bad by then is promoted", p.out.Pauses)
	}
	promised := ""
	if slices.ContainsFunc(p.plan.Metrics, func(m release.Metric) bool {
		return (m.Role == release.Guardrail || m.Role == release.Goal) && (m.Measure == release.Expression || m.Measure == release.Query)
	}) {
		promised = "; expressions and queries come on top, and promise nothing"
	}
	say("a candidate that is as good as it has to be is rolled back by chance in at most %g%% of releases%s", 100*p.plan.FalseRollback, promised)
	if slices.ContainsFunc(p.out.Metrics, func(m api.PlannedMetric) bool { return m.Passes != nil }) {
		say("the times are of users who ask once each; where few users send most of the requests it takes longer")
	}
}

// warnings tells what may not be as it is meant.
func (p *planner) warnings(c *config.Config) {
	has := func(kind release.StepKind) bool {
		return slices.ContainsFunc(p.plan.Steps, func(s release.PlanStep) bool { return s.Kind == kind })
	}
	if p.out.Requests == 0 {
		p.warn("service %s had no requests in the last hour: the release would learn nothing, and be held after %v", p.plan.Service, api.Seconds(p.plan.NoData.Seconds()))
	} else if span := p.out.To.Sub(p.out.From); span < short {
		p.warn("there are figures of the last %v only", api.Seconds(span.Round(time.Second).Seconds()))
	}
	if !has(release.Analysis) && len(p.plan.Metrics) > 0 {
		p.warn("there is no analysis: it is promoted at its end though nothing may be shown yet; add {analysis: {}} behind the last pause")
	}
	if len(p.plan.Metrics) == 0 {
		p.warn("it is judged by nothing: only people can take it back")
	}
	versus := slices.ContainsFunc(p.plan.Metrics, func(m release.Metric) bool { return m.Versus })
	if versus && slices.ContainsFunc(p.plan.Steps, func(s release.PlanStep) bool { return s.Kind == release.SetWeight && s.Percent >= 100 }) {
		p.warn("while the candidate has 100%% there is no stable to hold it against: what is measured then counts for limits alone")
	}
	if limit := api.Seconds(p.plan.MaxDuration.Seconds()); p.out.Decided != nil && p.out.Horizon > limit {
		p.warn("by the traffic of the last hour it takes %v, and is cut off undecided after %v (maxDuration): raise the share, the margins or maxDuration", p.out.Horizon, limit)
	}
	if s := c.Service(p.plan.Service); s != nil && s.Traffic.Sticky == nil && p.plan.Strategy == release.Canary {
		p.warn("the service has no sticky: each request is drawn on its own, so that users go back and forth between %s and %s", p.plan.Stable, p.plan.Candidate)
	}
	if len(c.Notify) == 0 {
		p.warn("nobody is told: the configuration has no notify")
	}
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
