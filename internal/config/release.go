package config

import (
	"time"

	"github.com/serin-ml/serin/internal/release"
)

// Release is a template: how a service goes from its stable variant to a candidate whenever somebody starts it. What runs was fixed when it
// was started, and is no longer what stands here.
type Release struct {
	Name      string           `yaml:"name,required" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"The name that it is started by; unique. Lower-case letters, digits and dashes, at most 63. What is started has a number besides: movies-12."`
	Service   string           `yaml:"service,required" jsonschema:"required" jsonschema_description:"The service whose traffic it moves."`
	Candidate string           `yaml:"candidate,required" jsonschema:"required" jsonschema_description:"The variant that is to get the traffic. The service gives it no weight: the release does."`
	Stable    string           `yaml:"stable" jsonschema_description:"The variant that has the traffic. Default: the one with a weight, where there is only one."`
	Alias     string           `yaml:"alias" jsonschema:"default=champion" jsonschema_description:"Where candidate and stable are versions of one model: the alias that stable follows, which a promotion moves to the candidate's version."`
	Strategy  release.Strategy `yaml:"strategy" jsonschema:"default=canary,enum=canary,enum=shadow" jsonschema_description:"canary: the candidate gets a share of the traffic, step by step. shadow: it gets copies, its answers are compared with stable's, and nobody sees them."`
	Steps     []ReleaseStep    `yaml:"steps,required" jsonschema:"required,minItems=1,maxItems=100" jsonschema_description:"What is done, in this order. Behind the last one the candidate is promoted."`
	Metrics   []ReleaseMetric  `yaml:"metrics" jsonschema:"maxItems=32" jsonschema_description:"What it is judged by. Default of a canary: errors against stable, as a guardrail."`

	FalseRollback  Percent        `yaml:"falseRollback" jsonschema:"default=5%" jsonschema_description:"How often, at most, a candidate that is as good as it has to be is rolled back by chance, by all guardrails and goals together, however long it takes. More than 0, at most 50%."`
	FalsePromotion Percent        `yaml:"falsePromotion" jsonschema:"default=5%" jsonschema_description:"How often, at most, a metric passes by chance of a candidate that is worse than its margin or limit allows. More than 0, at most 50%."`
	OnRestart      release.Policy `yaml:"onRestart" jsonschema:"default=resume,enum=hold,enum=resume,enum=rollback" jsonschema_description:"What happens when the server comes back after it was gone for longer than the lease. hold waits until somebody decides."`
	OnNoData       release.Policy `yaml:"onNoData" jsonschema:"default=hold,enum=hold,enum=rollback" jsonschema_description:"What happens when nobody asks the candidate for as long as noData."`
	NoData         time.Duration  `yaml:"noData" jsonschema:"default=1h" jsonschema_description:"See onNoData. 1s to 30d."`
	OnInconclusive release.Policy `yaml:"onInconclusive" jsonschema:"default=hold,enum=hold,enum=rollback" jsonschema_description:"What happens when an analysis, or the release, has taken as long as it may and is not decided."`
	MaxDuration    time.Duration  `yaml:"maxDuration" jsonschema:"default=7d" jsonschema_description:"How long it may take, time held not counted; then onInconclusive. More than its pauses together, at most 365d."`
	Lease          time.Duration  `yaml:"lease" jsonschema:"default=30s" jsonschema_description:"For how long the candidate keeps its share though nothing in the server sees to the release any more. 1s to 1h."`
	Hooks          Hooks          `yaml:"hooks" jsonschema_description:"What promotes a candidate that is an upstream. Default: nothing is run, and the roles are swapped: the candidate's variant is stable from then on."`
}

// SetDefaults is what a release holds before the file says otherwise.
func (r *Release) SetDefaults() {
	*r = Release{
		Alias: "champion", Strategy: release.Canary, FalseRollback: 5, FalsePromotion: 5, OnRestart: release.Resume, OnNoData: release.Hold,
		NoData: time.Hour, OnInconclusive: release.Hold, MaxDuration: 7 * 24 * time.Hour, Lease: 30 * time.Second,
	}
	errors := ReleaseMetric{}
	errors.SetDefaults()
	errors.Name, errors.Versus = string(release.Errors), versusStable
	r.Metrics = []ReleaseMetric{errors}
}

// ReleaseStep is one step: exactly one of its keys is given.
type ReleaseStep struct {
	SetWeight *Percent       `yaml:"setWeight" jsonschema:"oneof_required=setWeight" jsonschema_description:"Of a canary: the candidate's share of the traffic from here on, in percent; stable has the rest."`
	Mirror    *Percent       `yaml:"mirror" jsonschema:"oneof_required=mirror" jsonschema_description:"Of a shadow: how many requests are copied to the candidate from here on, in percent."`
	Pause     *time.Duration `yaml:"pause" jsonschema:"oneof_required=pause" jsonschema_description:"Lets so much time pass, while guardrails are watched. More than 0, at most 365d."`
	Analysis  *AnalysisStep  `yaml:"analysis" jsonschema:"oneof_required=analysis" jsonschema_description:"Waits until every guardrail and goal has passed."`
	Approval  *ApprovalStep  `yaml:"approval" jsonschema:"oneof_required=approval" jsonschema_description:"Waits until somebody approves."`
}

// AnalysisStep waits for verdicts.
type AnalysisStep struct {
	MaxDuration time.Duration `yaml:"maxDuration" jsonschema_description:"How long at most; then onInconclusive. Default: as long as the release may take."`
}

// ApprovalStep waits for somebody. It has no keys.
type ApprovalStep struct{}

// Hooks run when an upstream is promoted.
type Hooks struct {
	Build  *Hook `yaml:"build" jsonschema_description:"Runs first."`
	Deploy *Hook `yaml:"deploy" jsonschema_description:"Runs when build is done."`
	Ready  *Hook `yaml:"ready" jsonschema_description:"Runs when deploy is done: whether what is deployed is ready. Then the release is promoted."`
	Undo   *Hook `yaml:"undo" jsonschema_description:"Runs when the release goes back, be it that one of the others failed."`
}

// Hook is a command that is run, or an address that is asked: exactly one of both.
type Hook struct {
	Exec    []string      `yaml:"exec" jsonschema:"oneof_required=exec,minItems=1,maxItems=64" jsonschema_description:"A program and its arguments, without a shell. It succeeds by exit code 0. SERIN_RELEASE and the like in its environment tell what it is about."`
	URL     string        `yaml:"url" jsonschema:"oneof_required=url,pattern=^https?://,example=https://ci.example.com/deploy" jsonschema_description:"Gets a POST of JSON that tells what it is about. It succeeds by a status of 200 to 299."`
	Timeout time.Duration `yaml:"timeout" jsonschema:"default=5m" jsonschema_description:"How long it may take. 1s to 24h."`
}

// SetDefaults is what a hook holds before the file says otherwise.
func (h *Hook) SetDefaults() { h.Timeout = 5 * time.Minute }

// ReleaseMetric is one thing that a release is judged by.
type ReleaseMetric struct {
	Name    string          `yaml:"name,required" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]{0\\,62}$" jsonschema_description:"What people see; unique in the release. The name of a measure needs no measure besides."`
	Measure release.Measure `yaml:"measure" jsonschema:"enum=latency,enum=errors,enum=fallbacks,enum=accuracy,enum=value,enum=agreement,enum=expression,enum=query" jsonschema_description:"What is measured. latency: of successful answers, the mean or a quantile. errors: the share of requests that failed by a fault of the service. fallbacks: the share that the fallback answered. accuracy: the share of labelled predictions that were right. value: the mean value of outcomes of a kind. agreement: the share of a shadow's answers that agree. expression: whether expr holds. query: what a Prometheus server answers. Default: expression with expr, query with query, else the name."`
	Role    release.Role    `yaml:"role" jsonschema:"default=guardrail,enum=guardrail,enum=goal,enum=signal,enum=info" jsonschema_description:"guardrail: a fail goes back at once, and an analysis waits for its pass. goal: an analysis waits for its pass, and goes back when it fails. signal: a fail holds the release until somebody looks. info: is told, and does nothing."`

	Versus   string  `yaml:"vs" jsonschema:"enum=stable" jsonschema_description:"stable: the candidate is held against stable, measured at the same time. Otherwise it is held to max or min."`
	Margin   *Amount `yaml:"margin" jsonschema_description:"With vs: by how much the candidate may be worse. It passes once it is shown not to be worse by more. Default: 1% of shares; of latency and value it must be given."`
	Tolerate *Amount `yaml:"tolerate" jsonschema_description:"With vs: it fails once it is shown to be worse by more than this. Of errors a part of stable's rate, 10% being a tenth more, by default 0: worse at all. Of all others in the metric's unit, by default the margin."`

	Max      *Amount `yaml:"max" jsonschema_description:"Where less is better: the largest value that is good enough, as 500ms of latency, 1% of errors, or a number."`
	Min      *Amount `yaml:"min" jsonschema_description:"Where more is better: the smallest value that is good enough."`
	Mean     *Limit  `yaml:"mean" jsonschema_description:"Of latency and value: max or min, with the word that says what of."`
	Quantile float64 `yaml:"quantile" jsonschema:"example=0.99,exclusiveMinimum=0,exclusiveMaximum=1" jsonschema_description:"Of latency: the quantile that is meant, 0.5 to 0.999. Default: the mean."`

	Kind   string `yaml:"kind" jsonschema:"example=rating" jsonschema_description:"Of value: which outcomes."`
	Better string `yaml:"better" jsonschema:"enum=higher,enum=lower" jsonschema_description:"Of value with vs: which way is better. Elsewhere max and min say it. Default: higher."`

	MinSample int           `yaml:"minSample" jsonschema:"default=300,minimum=1,maximum=1000000000" jsonschema_description:"How many observations of each variant it takes before anything is said; of expression: of those that it names. More errors than stable's are found with fewer."`
	Maturity  time.Duration `yaml:"maturity" jsonschema_description:"Of accuracy and value: only decisions that are as old as this count, by what came back for them until then. 0s to 7d, as what comes back later does not count. Default: 0s."`

	Expr   string        `yaml:"expr" jsonschema:"maxLength=4096,example=candidate.errors < 2*stable.errors && candidate.latency.p99 < 0.5" jsonschema_description:"Of expression: a condition in CEL that holds while the candidate is good. Latencies are in seconds. It knows nothing of chance: no rate of false rollbacks is promised of it."`
	Query  string        `yaml:"query" jsonschema:"maxLength=8192" jsonschema_description:"Of query: what the server is asked, in PromQL. It gives one number, which is held to max or min. It knows nothing of chance either."`
	Server string        `yaml:"server" jsonschema_description:"Of query: which of prometheus. Default: the one, where there is one."`
	For    time.Duration `yaml:"for" jsonschema_description:"Of expression and query: how long they have to say the same, at every look, before it counts. 1s to 30d. Default: 1m."`
}

// SetDefaults is what a metric holds before the file says otherwise.
func (m *ReleaseMetric) SetDefaults() {
	*m = ReleaseMetric{Role: release.Guardrail, MinSample: release.DefaultMinSample, For: release.DefaultFor}
}

// versusStable is what a candidate is held against.
const versusStable = "stable"

// Words of better.
const (
	betterHigher = "higher"
	betterLower  = "lower"
)

// Limit is a largest or smallest value.
type Limit struct {
	Max *Amount `yaml:"max" jsonschema:"oneof_required=max" jsonschema_description:"The largest value that is good enough."`
	Min *Amount `yaml:"min" jsonschema:"oneof_required=min" jsonschema_description:"The smallest value that is good enough."`
}
