// Package release moves a service from its stable variant to a candidate, step by step, judges on the way, and goes back at the first harm.
//
// It is pure. Judge turns what was measured into verdicts; Step turns a release's state, what happened and the time into the next state and
// what is to be done. Whoever runs it (app) measures, writes the state down, does what is due, and reports that it is done. The same state
// and the same inputs give the same result, so a release is taken up after a crash where its journal ends.
//
//	measure ─► Segments ─► Judge ─► Verdicts ─┐
//	                people, hooks, clock ─────┴─► Step ─► State ─► weights, due effects
package release

// Role says what a metric's verdict does to a release.
type Role string

// The roles.
const (
	Guardrail Role = "guardrail" // a fail rolls back at once; a pass is needed to go on from an analysis
	Goal      Role = "goal"      // a pass is needed to go on; a fail rolls back once an analysis ends
	Signal    Role = "signal"    // a fail holds the release until somebody looks
	Info      Role = "info"      // is told, and does nothing
)

// Outcome is how a metric was judged.
type Outcome string

// The outcomes. What is not known is Inconclusive, never a pass.
const (
	Pass         Outcome = "pass"
	Fail         Outcome = "fail"
	Inconclusive Outcome = "inconclusive"
)

// Verdict is how one metric stands now.
type Verdict struct {
	Metric  string  `json:"metric"`
	Role    Role    `json:"role"`
	Outcome Outcome `json:"outcome"`
	Value   Number  `json:"value"` // of the candidate; against stable: by how much it is larger
	// Low and High are what the data do not refute, at all times together. The verdict rests on them: the limit on the worse side holds at
	// Levels.Fail, the one on the better side at Levels.Pass. Of Errors against stable the lower one may rest on users with an error.
	Low      Number `json:"low"`
	High     Number `json:"high"`
	Limit    Number `json:"limit"`    // what Value is held against
	N        uint64 `json:"n"`        // observations behind it
	Sentence string `json:"sentence"` // the same for people
}
