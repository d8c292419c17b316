package config

import (
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/release"
)

// releaseNames tells what releases there are.
func (c *Config) releaseNames() string {
	if len(c.Releases) == 0 {
		return "there is none"
	}
	names := make([]string, len(c.Releases))
	for i := range c.Releases {
		names[i] = c.Releases[i].Name
	}
	return "there are " + strings.Join(names, ", ")
}

// ReleasePlan returns what a release of that name is to do, as the file says it now. NotFound: the file has no such release.
func (c *Config) ReleasePlan(name string) (release.Plan, error) {
	at := slices.IndexFunc(c.Releases, func(r Release) bool { return r.Name == name })
	if at < 0 {
		return release.Plan{}, fault.NotFoundf("the configuration has no release %.80q", name).WithHint("%s; add it under releases, and reload", c.releaseNames())
	}
	r := &c.Releases[at]
	s := c.Service(r.Service)
	if s == nil {
		return release.Plan{}, fault.Internalf("release %s is of no service", name) // Read has seen to it that there is one
	}
	p := release.Plan{
		Name: r.Name, Service: r.Service, Stable: r.StableIn(s), Candidate: r.Candidate, Strategy: r.Strategy,
		OnRestart: r.OnRestart, OnNoData: r.OnNoData, OnInconclusive: r.OnInconclusive, NoData: r.NoData, MaxDuration: r.MaxDuration,
		FalseRollback: r.FalseRollback.Share(), FalsePromotion: r.FalsePromotion.Share(), Lease: r.Lease,
		Hooks: r.Hooks.list(),
	}
	for i := range r.Steps {
		p.Steps = append(p.Steps, r.Steps[i].plan())
	}
	for i := range r.Metrics {
		p.Metrics = append(p.Metrics, r.Metrics[i].plan())
		if m := &p.Metrics[i]; m.Measure == release.Query && m.Server == "" && len(c.Prometheus) > 0 {
			m.Server = c.Prometheus[0].Name
		}
	}
	if model, ok := r.model(s); ok {
		p.Model, p.Alias = model, r.Alias
	}
	return p, nil
}

// Service returns the service of that name, nil if there is none.
func (c *Config) Service(name string) *Service {
	for i := range c.Services {
		if c.Services[i].Name == name {
			return &c.Services[i]
		}
	}
	return nil
}

// variant returns the variant of that name, nil if there is none.
func (s *Service) variant(name string) *Variant {
	for i := range s.Variants {
		if s.Variants[i].Name == name {
			return &s.Variants[i]
		}
	}
	return nil
}

// StableIn returns the variant that a release takes the traffic from: the one that is named, else the only one that the service gives a
// weight; "" where there are several, or none.
func (r *Release) StableIn(s *Service) string {
	if r.Stable != "" {
		return r.Stable
	}
	only := ""
	for name, w := range s.Traffic.FileWeights(s.VariantNames()) {
		switch {
		case w.IsZero() || name == r.Candidate:
		case only != "":
			return ""
		default:
			only = name
		}
	}
	return only
}

// model returns the model that both variants are versions of. It is then the alias that a promotion moves.
func (r *Release) model(s *Service) (string, bool) {
	stable, candidate := s.variant(r.StableIn(s)), s.variant(r.Candidate)
	if stable == nil || candidate == nil || stable.Model == "" || candidate.Model == "" {
		return "", false
	}
	a, err := registry.ParseRef(stable.Model)
	if err != nil {
		return "", false
	}
	b, err := registry.ParseRef(candidate.Model)
	return a.Model, err == nil && a.Model == b.Model
}

// plan is a step as release knows it.
func (s *ReleaseStep) plan() release.PlanStep {
	switch {
	case s.SetWeight != nil:
		return release.PlanStep{Kind: release.SetWeight, Percent: float64(*s.SetWeight)}
	case s.Mirror != nil:
		return release.PlanStep{Kind: release.Mirror, Percent: float64(*s.Mirror)}
	case s.Pause != nil:
		return release.PlanStep{Kind: release.Pause, Duration: *s.Pause}
	case s.Analysis != nil:
		return release.PlanStep{Kind: release.Analysis, Duration: s.Analysis.MaxDuration}
	}
	return release.PlanStep{Kind: release.Approval}
}

// list are the hooks that are set.
func (h *Hooks) list() (all []release.Hook) {
	for _, one := range h.all() {
		if one.hook != nil {
			all = append(all, release.Hook{Name: one.name, Exec: one.hook.Exec, URL: one.hook.URL, Timeout: one.hook.Timeout})
		}
	}
	return all
}

// namedHook is a hook, nil where it is not set, with its name.
type namedHook struct {
	name string
	hook *Hook
}

func (h *Hooks) all() []namedHook {
	return []namedHook{{release.Build, h.Build}, {release.Deploy, h.Deploy}, {release.Ready, h.Ready}, {release.Undo, h.Undo}}
}

// defaultMargin is by how much a share may be worse than stable's.
const defaultMargin = 0.01

// measure is what is measured: as it is said, else what the other keys or the name say.
func (m *ReleaseMetric) measure() release.Measure {
	switch {
	case m.Measure != "":
		return m.Measure
	case m.Expr != "":
		return release.Expression
	case m.Query != "":
		return release.Query
	}
	return release.Measure(m.Name)
}

// largest and smallest are the limits, wherever they are said.
func (m *ReleaseMetric) largest() *Amount {
	if m.Max == nil && m.Mean != nil {
		return m.Mean.Max
	}
	return m.Max
}

func (m *ReleaseMetric) smallest() *Amount {
	if m.Min == nil && m.Mean != nil {
		return m.Mean.Min
	}
	return m.Min
}

// plan is a metric as release knows it, if Read has found nothing wrong with it.
func (m *ReleaseMetric) plan() release.Metric {
	p := release.Metric{
		Name: m.Name, Role: m.Role, Measure: m.measure(), Kind: m.Kind, Quantile: m.Quantile, Versus: m.Versus != "",
		MinSample: uint64(max(m.MinSample, 0)), Maturity: m.Maturity, Expr: m.Expr, Query: m.Query, Server: m.Server,
	}
	if p.Measure == release.Expression || p.Measure == release.Query {
		p.For = m.For
	}
	most, least := m.largest(), m.smallest()
	switch {
	case p.Versus:
		p.Margin = defaultMargin
		if m.Margin != nil {
			p.Margin = m.Margin.Value
		}
		if p.Measure != release.Errors {
			p.Tolerate = p.Margin
		}
		if m.Tolerate != nil {
			p.Tolerate = m.Tolerate.Value
		}
		p.Higher = p.Measure == release.Value && m.Better != betterLower
	case most != nil:
		p.Limit = most.Value
	case least != nil:
		p.Limit, p.Higher = least.Value, p.Measure == release.Value || p.Measure == release.Query
	}
	return p
}

// length is how long a release takes at least: all its pauses.
func (r *Release) length() (sum time.Duration) {
	for _, s := range r.Steps {
		if s.Pause != nil && *s.Pause > 0 {
			sum += min(*s.Pause, maxRelease)
		}
	}
	return sum
}
