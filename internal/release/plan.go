package release

import "time"

// Strategy is how a release finds out whether the candidate is good.
type Strategy string

// The strategies.
const (
	Canary Strategy = "canary" // it gets a share of the traffic, step by step
	Shadow Strategy = "shadow" // it gets copies of the traffic, and its answers are compared; nobody sees them
)

// StepKind is what a step of a plan does.
type StepKind string

// The kinds of steps.
const (
	SetWeight StepKind = "setWeight" // gives the candidate a share from here on, and goes on at once
	Mirror    StepKind = "mirror"    // copies a share of the traffic to the candidate from here on, and goes on at once
	Pause     StepKind = "pause"     // lets time pass; guardrails are watched
	// Analysis waits until every guardrail and goal passes, by the figures of the whole release. What shows only at the weight before it, as under
	// load, needs a pause between the two.
	Analysis StepKind = "analysis"
	Approval StepKind = "approval" // waits until somebody approves
)

// PlanStep is one step of a plan.
type PlanStep struct {
	Kind     StepKind      `json:"kind"`
	Percent  float64       `json:"percent,omitempty"`  // of SetWeight and Mirror: 0 to 100
	Duration time.Duration `json:"duration,omitempty"` // of Pause; of Analysis the longest, 0: as long as the plan
}

// Policy says what a release does where it cannot tell what is right.
type Policy string

// The policies. Hold keeps the weights until somebody decides.
const (
	Hold     Policy = "hold"
	Resume   Policy = "resume"
	Rollback Policy = "rollback"
)

// Plan is what a release is to do. It is fixed when the release starts: a change of the configuration is for the next one.
type Plan struct {
	Name      string   `json:"name"`
	Service   string   `json:"service"`
	Stable    string   `json:"stable"`    // the variant that has the traffic
	Candidate string   `json:"candidate"` // the variant that is to get it
	Strategy  Strategy `json:"strategy"`

	Steps   []PlanStep `json:"steps"`
	Metrics []Metric   `json:"metrics"`

	OnRestart      Policy        `json:"onRestart"`      // after the one who ran it was gone: hold, resume or rollback
	OnNoData       Policy        `json:"onNoData"`       // where the candidate is not asked at all for NoData: hold or rollback
	OnInconclusive Policy        `json:"onInconclusive"` // where an analysis ends without a verdict: hold or rollback
	NoData         time.Duration `json:"noData"`
	MaxDuration    time.Duration `json:"maxDuration"` // of all of it, time held not counted; then it is inconclusive. 0: no bound
	FalseRollback  float64       `json:"falseRollback"`
	FalsePromotion float64       `json:"falsePromotion"`
	// Lease is for how long the weights hold though nobody runs the release. After it the candidate has 0.
	Lease time.Duration `json:"lease"`

	// Model and Alias are what a promotion moves, where the candidate is a version of a model. Without a model the candidate is an upstream,
	// whose promotion runs Hooks in their order, or, without any, swaps the roles.
	Model string `json:"model,omitempty"`
	Alias string `json:"alias,omitempty"`
	Hooks []Hook `json:"hooks,omitempty"`
}

// Hook is one of build, deploy, ready and undo: a command, or an address that is asked.
type Hook struct {
	Name    string        `json:"name"`
	Exec    []string      `json:"exec,omitempty"`
	URL     string        `json:"url,omitempty"`
	Timeout time.Duration `json:"timeout"`
}

// The hooks. Build, Deploy and Ready promote, in this order; Undo takes back what they did where one fails, and clears up after a rollback.
const (
	Build  = "build"
	Deploy = "deploy"
	Ready  = "ready"
	Undo   = "undo"
)

// hook returns the hook of that name, nil if the plan has none.
func (p *Plan) hook(name string) *Hook {
	for i := range p.Hooks {
		if p.Hooks[i].Name == name {
			return &p.Hooks[i]
		}
	}
	return nil
}

// percent returns the candidate's share, of the given kind, once step at has begun: that of the last such step up to it.
func (p *Plan) percent(kind StepKind, at int) float64 {
	for i := min(at, len(p.Steps)-1); i >= 0; i-- {
		if p.Steps[i].Kind == kind {
			return p.Steps[i].Percent
		}
	}
	return 0
}

// swaps tells whether a promotion swaps the roles: there is neither a model nor a hook that would make stable what the candidate is.
func (p *Plan) swaps() bool {
	return p.Model == "" && p.hook(Build) == nil && p.hook(Deploy) == nil && p.hook(Ready) == nil
}
