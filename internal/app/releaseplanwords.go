package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/release"
)

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

// longest is how long a release takes at most, time held not counted.
func longest(p *release.Plan) api.Seconds {
	sum := time.Duration(0)
	for _, s := range p.Steps {
		switch {
		case s.Kind == release.Approval, s.Kind == release.Analysis && s.Duration <= 0:
			return api.Seconds(p.MaxDuration.Seconds())
		case s.Kind == release.Analysis || s.Kind == release.Pause:
			sum += s.Duration
		}
	}
	if p.MaxDuration > 0 {
		sum = min(sum, p.MaxDuration)
	}
	return api.Seconds(sum.Seconds())
}

// gist says how long all of it takes.
func (p *planner) gist() {
	say := func(format string, args ...any) { p.out.Says = append(p.out.Says, fmt.Sprintf(format, args...)) }
	analyses := slices.ContainsFunc(p.plan.Steps, func(s release.PlanStep) bool { return s.Kind == release.Analysis })
	switch {
	case p.out.Decided != nil && analyses:
		say("with the traffic of the last hour, and a candidate as good as stable, it takes about %v", p.out.Horizon)
	case analyses:
		say("how long its analysis takes cannot be told from the last hour; the release takes %v at most", longest(p.plan))
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
	if at := hasty(p.plan); at > 0 {
		p.warn("the analysis of step %d follows a larger share at once: verdicts are of the whole release, so that it may be over before that share was tried; put a pause before it", at)
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

// hasty returns the first analysis, from 1, that no time lies before since the candidate's share was raised, 0 if there is none. The first share is
// always tried: nothing is known before.
func hasty(p *release.Plan) int {
	share, raised := 0.0, false
	for i, s := range p.Steps {
		switch s.Kind {
		case release.SetWeight, release.Mirror:
			raised = share > 0 && s.Percent > share
			share = max(share, s.Percent)
		case release.Pause, release.Approval:
			raised = false
		case release.Analysis:
			if raised {
				return i + 1
			}
		}
	}
	return 0
}
