package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// Bounds of metrics.
const (
	minQuantile = 0.5
	maxQuantile = 0.999
	maxSample   = 1_000_000_000
	maxMaturity = 7 * 24 * time.Hour // measure.Window: what comes back later is late, and does not count
	maxFor      = 30 * 24 * time.Hour
	maxExpr     = 4096
	maxQuery    = 8192
	maxTolerate = 10 // times stable's errors
)

// outcomeKind is what kinds of outcomes are called.
var outcomeKind = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// measures are those that there are, and how they are written for people.
var measures = []release.Measure{
	release.Latency, release.Errors, release.Fallbacks, release.Accuracy, release.Value, release.Agreement, release.Expression, release.Query,
}

func measureNames() string {
	names := make([]string, len(measures))
	for i, m := range measures {
		names[i] = string(m)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// metricReader checks one metric.
type metricReader struct {
	releaseReader
	metric  *ReleaseMetric
	measure release.Measure
}

func (r releaseReader) metrics() {
	if len(r.release.Metrics) > maxMetrics {
		r.tell(".metrics", fmt.Sprintf("there are %d metrics", len(r.release.Metrics)), fmt.Sprintf("keep to %d: each makes the others slower to judge", maxMetrics))
		return
	}
	named := map[string]bool{}
	for i := range r.release.Metrics {
		m := &r.release.Metrics[i]
		one := metricReader{r, m, m.measure()}
		one.at = fmt.Sprintf("%s.metrics[%d]", r.at, i)
		checkName(r.doc, one.at+".name", m.Name)
		if named[m.Name] {
			one.tell(".name", fmt.Sprintf("there is a metric %q already", m.Name), "choose another name, and say by measure what is measured")
		}
		named[m.Name] = true
		one.check()
	}
}

func (r metricReader) check() {
	m := r.metric
	if !slices.Contains([]release.Role{release.Guardrail, release.Goal, release.Signal, release.Info}, m.Role) {
		r.tell(".role", fmt.Sprintf("%.40q is no role", m.Role), "write guardrail, goal, signal or info")
	}
	switch known := slices.Contains(measures, r.measure); {
	case !known && m.Measure != "":
		r.tell(".measure", fmt.Sprintf("%.40q is no measure", m.Measure), "write "+measureNames())
		return
	case !known:
		r.tell(".name", fmt.Sprintf("%.80q is no measure, and measure does not say what is measured", m.Name), "add measure: "+measureNames())
		return
	}
	r.strategies()
	r.belong()
	switch r.measure {
	case release.Expression:
		r.expression()
		return
	case release.Query:
		r.query()
	case release.Latency:
		if m.Quantile != 0 && !(m.Quantile >= minQuantile && m.Quantile <= maxQuantile) {
			r.tell(".quantile", fmt.Sprintf("%v is out of range", m.Quantile), "give 0.5 to 0.999, like 0.99; without it the mean is meant")
		}
		if m.Quantile != 0 && m.Mean != nil {
			r.tell(".mean", "the metric has a quantile too, and is one thing", "remove one, or make two metrics")
		}
	case release.Value:
		if !outcomeKind.MatchString(m.Kind) {
			r.tell(".kind", fmt.Sprintf("%.40q is no kind of outcomes", m.Kind), "name the kind that clients send, like rating, reward or click")
		}
	case release.Errors, release.Fallbacks, release.Accuracy, release.Agreement:
	}
	inRange(r.doc, r.at+".minSample", m.MinSample, 1, maxSample)
	r.span(".maturity", m.Maturity, 0, maxMaturity, "0s to 7d, as what comes back later does not count")
	if m.Versus != "" || r.doc.Has(r.at+".vs") {
		r.versus()
	} else {
		r.limits()
	}
}

// strategies tells of measures that there are no figures of.
func (r metricReader) strategies() {
	at := ".name"
	if r.metric.Measure != "" {
		at = ".measure"
	}
	m := r.metric
	if r.release.Strategy != release.Shadow {
		if r.measure == release.Agreement {
			r.tell(at, "a canary's answers are given to clients, not held against stable's: there is no agreement", "write strategy: shadow, or remove the metric")
		}
		return
	}
	switch r.measure {
	case release.Errors, release.Fallbacks, release.Value:
		r.tell(at, fmt.Sprintf("nobody sees a shadow's answers: there are no figures of its %s", r.measure),
			"remove the metric, or write strategy: canary; a shadow that leaves more than 5% of its copies unanswered holds the release")
	case release.Accuracy, release.Latency:
		if !r.doc.Has(r.at + ".vs") {
			r.tell(at, fmt.Sprintf("the %s of a shadow is known only beside stable's, request by request", r.measure), "write vs: stable in place of the limit")
		}
		if m.Quantile != 0 {
			r.tell(".quantile", "a shadow's latency is known by its mean alone", "remove it")
		}
	case release.Agreement, release.Expression, release.Query:
	}
}

// keysOf are the keys that only some measures have.
var keysOf = []struct {
	key string
	of  []release.Measure
}{
	{"quantile", []release.Measure{release.Latency}},
	{"mean", []release.Measure{release.Latency, release.Value}},
	{"kind", []release.Measure{release.Value}},
	{"better", []release.Measure{release.Value}},
	{"maturity", []release.Measure{release.Accuracy, release.Value}},
	{"expr", []release.Measure{release.Expression}},
	{"query", []release.Measure{release.Query}},
	{"server", []release.Measure{release.Query}},
	{"for", []release.Measure{release.Expression, release.Query}},
	{"vs", measures[:6]},
	{"margin", measures[:6]},
	{"tolerate", measures[:6]},
	{"minSample", measures[:7]},
	{"max", []release.Measure{release.Latency, release.Errors, release.Fallbacks, release.Value, release.Query}},
	{"min", []release.Measure{release.Accuracy, release.Agreement, release.Value, release.Query}},
}

// belong tells of keys that the measure has no use for.
func (r metricReader) belong() {
	for _, k := range keysOf {
		if !r.doc.Has(r.at+"."+k.key) || slices.Contains(k.of, r.measure) {
			continue
		}
		hint := "remove it"
		switch {
		case k.key == "max" && r.measure != release.Expression:
			hint = "more is better: write min"
		case k.key == "min" && r.measure != release.Expression:
			hint = "less is better: write max"
		}
		r.tell("."+k.key, fmt.Sprintf("%s has no %s", r.measure, k.key), hint)
	}
}

// versus checks a metric that is held against stable.
func (r metricReader) versus() {
	m := r.metric
	if m.Versus != versusStable {
		r.tell(".vs", fmt.Sprintf("%.40q is nothing to hold the candidate against", m.Versus), "write vs: stable, or give max or min instead")
	}
	for _, k := range []string{"max", "min", "mean"} {
		if r.doc.Has(r.at + "." + k) {
			r.tell("."+k, "the metric is held against stable, by margin", "remove it, or vs; both at once are two metrics")
		}
	}
	if m.Better != betterHigher && m.Better != betterLower && r.doc.Has(r.at+".better") {
		r.tell(".better", fmt.Sprintf("%.40q is no direction", m.Better), "write higher or lower")
	}
	if m.Margin == nil && (r.measure == release.Latency || r.measure == release.Value) {
		r.tell(".margin", "this key is missing", "say by how much the candidate may be worse, like "+r.example())
	}
	r.amount(".margin", m.Margin, 0)
	if r.measure != release.Errors {
		r.amount(".tolerate", m.Tolerate, 0)
	} else if t := m.Tolerate; t != nil && (t.Unit == Seconds || !(t.Value >= 0 && t.Value <= maxTolerate)) {
		r.tell(".tolerate", "this is no part of stable's error rate", "give 0 to 10, like 10% for a tenth more errors")
	}
}

// limits checks a metric that is held to a limit.
func (r metricReader) limits() {
	m := r.metric
	for _, k := range []string{"margin", "tolerate", "better"} {
		if r.doc.Has(r.at + "." + k) {
			r.tell("."+k, k+" is for metrics with vs: stable", "remove it, or hold the metric against stable")
		}
	}
	if m.Mean != nil && (m.Max != nil || m.Min != nil) {
		r.tell(".mean", "the limit is given twice", "keep it in mean, or beside it")
		return
	}
	at := ""
	if m.Mean != nil {
		at = ".mean"
		if m.Mean.Min != nil && r.measure == release.Latency {
			r.tell(".mean.min", "latency has no min", "less is better: write max")
			return
		}
	}
	most, least := m.largest(), m.smallest()
	switch {
	case most == nil && least == nil:
		r.tell(at, "it is not said what is good enough", "hold it against stable by vs: stable, or give "+r.example())
	case most != nil && least != nil:
		r.tell(at+".min", "max is given too, and a metric has one limit", "remove one, or make two metrics")
	default:
		r.amount(at+".max", most, math.Inf(-1))
		r.amount(at+".min", least, math.Inf(-1))
	}
}

// amount checks the unit of what may be given, that a share is one, and that nothing is below least.
func (r metricReader) amount(key string, a *Amount, least float64) {
	if a == nil {
		return
	}
	switch r.measure {
	case release.Latency:
		if a.Unit != Seconds && a.Value != 0 || a.Value < 0 {
			r.tell(key, "this is no time", "give one with a unit, like 500ms")
		}
	case release.Errors, release.Fallbacks, release.Accuracy, release.Agreement:
		if a.Unit == Seconds || !(a.Value >= max(least, 0) && a.Value <= 1) {
			r.tell(key, "this is no share", "give 0 to 1, or 0% to 100%, like 1%")
		}
	case release.Value:
		if a.Unit != Plain || a.Value < least {
			r.tell(key, "this is no such number", "give one like 0.05, without a unit")
		}
	case release.Expression, release.Query:
	}
}

// example is what a limit or margin of the measure looks like.
func (r metricReader) example() string {
	switch vs := r.metric.Versus != ""; {
	case r.measure == release.Latency && vs:
		return "margin: 20ms"
	case r.measure == release.Latency:
		return "max: 500ms"
	case r.measure == release.Value && vs:
		return "margin: 0.05"
	case r.measure == release.Value:
		return "min: 3.5"
	case r.measure == release.Query:
		return "max: 0.5"
	case r.measure == release.Accuracy || r.measure == release.Agreement:
		return "min: 90%"
	}
	return "max: 1%"
}

func (r metricReader) expression() {
	m := r.metric
	inRange(r.doc, r.at+".minSample", m.MinSample, 1, maxSample)
	switch {
	case m.Expr == "":
		r.tell(".expr", "the condition is missing", "write one in CEL, like candidate.errors < 2*stable.errors")
	case len(m.Expr) > maxExpr:
		r.tell(".expr", fmt.Sprintf("it has %d bytes", len(m.Expr)), fmt.Sprintf("keep to %d", maxExpr))
	default:
		if err := release.CheckExpr(m.Expr); err != nil {
			r.tell(".expr", err.Error(), fault.HintOf(err))
		}
	}
	r.span(".for", m.For, time.Second, maxFor, "1s to 30d, like 1m")
}

func (r metricReader) query() {
	m, servers := r.metric, r.config.Prometheus
	switch {
	case strings.TrimSpace(m.Query) == "":
		r.tell(".query", "the question is missing", "write it in PromQL; it has to give one number")
	case len(m.Query) > maxQuery:
		r.tell(".query", fmt.Sprintf("it has %d bytes", len(m.Query)), fmt.Sprintf("keep to %d", maxQuery))
	}
	named := slices.ContainsFunc(servers, func(p Prometheus) bool { return p.Name == m.Server })
	switch {
	case len(servers) == 0:
		r.tell(".query", "there is no server that could be asked", "add one at the end of the file, like prometheus: [{url: \"http://127.0.0.1:9090\"}]")
	case m.Server == "" && len(servers) > 1:
		r.tell(".server", "this key is missing, and there are several under prometheus", "name one of them")
	case m.Server != "" && !named:
		r.tell(".server", fmt.Sprintf("there is no %.80q under prometheus", m.Server), "name one that there is")
	}
	r.span(".for", m.For, time.Second, maxFor, "1s to 30d, like 1m")
}
