package release

import (
	"fmt"
	"time"

	"github.com/serin-ml/serin/internal/stat"
)

// Phase is how far a release is.
type Phase string

// The phases. The last two are the ends.
const (
	Running     Phase = "running"
	Promoting   Phase = "promoting"
	RollingBack Phase = "rollingBack"
	Promoted    Phase = "promoted"
	RolledBack  Phase = "rolledBack"
)

// words are the phase for people.
func (p Phase) words() string {
	switch p {
	case RollingBack:
		return "going back"
	case RolledBack:
		return "rolled back"
	case Promoting:
		return "being promoted"
	case Running, Promoted:
	}
	return string(p)
}

// Bound is what a variant was when the release began.
type Bound struct {
	Version string `json:"version"`          // a digest, or an upstream's version text
	Number  int    `json:"number,omitempty"` // in the registry
	Semver  string `json:"semver,omitempty"`
}

// State is a release as it is written down. Who reads it can go on from it.
type State struct {
	Format int    `json:"format"`
	ID     string `json:"id"` // the plan's name and a number: movies-12
	Plan   Plan   `json:"plan"`
	Stable Bound  `json:"stable"`
	Bound  Bound  `json:"candidate"`

	Phase   Phase         `json:"phase"`
	At      int           `json:"at"`             // the step that it is at, from 0
	Elapsed time.Duration `json:"elapsed"`        // in the step, as long as it was run and not held
	Total   time.Duration `json:"total"`          // the same of all steps
	Quiet   time.Duration `json:"quiet"`          // for which nobody asked the candidate
	Held    string        `json:"held,omitempty"` // why it stands still, "" if it does not
	Seq     int           `json:"seq"`            // transitions so far

	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Reason  string    `json:"reason,omitempty"` // for which it ended, or goes back

	Verdicts []Verdict                `json:"verdicts,omitempty"`
	Kept     map[string]stat.Evidence `json:"kept,omitempty"` // by metric
	Lasting  map[string]Lasting       `json:"lasting,omitempty"`
	Waived   []string                 `json:"waived,omitempty"` // signals that fail, and do not hold it, as somebody has looked
	Unfit    string                   `json:"unfit,omitempty"`  // why the figures cannot be compared, as of the last look
	Asked    uint64                   `json:"asked"`            // requests to the candidate so far
	Due      []Effect                 `json:"due,omitempty"`    // what is to be done, in order; each until it is reported as done

	WaivedUnfit bool `json:"waivedUnfit,omitempty"` // Unfit does not hold it, as somebody has looked

	seen time.Time // of the last look, by a clock that does not step; not written down
}

// Lasting is what an expression or a query says, and for how long it has said the same.
type Lasting struct {
	Outcome Outcome       `json:"outcome"`
	For     time.Duration `json:"for"`
}

// format is that of State.
const format = 1

// Effect is something to be done. It may be done more than once, after a crash between the doing and the writing down: its key stays, so that
// whoever does it can tell.
type Effect struct {
	Key  string     `json:"key"` // the release's id, the transition's number and the kind
	Kind EffectKind `json:"kind"`
	Hook string     `json:"hook,omitempty"`
}

// EffectKind is what an effect does.
type EffectKind string

// The kinds of effects.
const (
	MoveAlias EffectKind = "moveAlias" // the plan's alias to the candidate's version
	SwapRoles EffectKind = "swapRoles" // the candidate's variant is stable from now on
	RunHook   EffectKind = "hook"
	BumpEpoch EffectKind = "bumpEpoch" // everybody is assigned afresh: nobody stays with the candidate
	LetGo     EffectKind = "letGo"     // the release has no say in the weights any more
)

// Transition is a line of the journal, which nobody changes any more.
type Transition struct {
	Release  string    `json:"release"`
	Seq      int       `json:"seq"` // from 1
	At       time.Time `json:"at"`
	What     What      `json:"what"`
	By       string    `json:"by"`
	Phase    Phase     `json:"phase"` // after it
	Step     int       `json:"step"`  // after it, from 1
	Percent  float64   `json:"percent"`
	Sentence string    `json:"sentence"`
	Verdicts []Verdict `json:"verdicts,omitempty"`
}

// What is what happened in a transition.
type What string

// What happens. People are told of those that Announced says.
const (
	Start     What = "start"
	Advance   What = "advance"
	Held      What = "hold"
	Resumed   What = "resume"
	Approved  What = "approve"
	Promote   What = "promote"
	RollBack  What = "rollback"
	EndedWell What = "promoted"
	EndedBack What = "rolledBack"
	Effected  What = "done"
	Failed    What = "failed"
	Restarted What = "restart"
)

// Announced tells whether people are told, once for each transition.
func (w What) Announced() bool {
	switch w {
	case Start, Held, RollBack, EndedWell, EndedBack, Failed:
		return true
	case Advance, Resumed, Approved, Promote, Effected, Restarted:
	}
	return false
}

// Over tells whether the release has ended.
func (s *State) Over() bool { return s.Phase == Promoted || s.Phase == RolledBack }

// Percent is the candidate's share of the traffic that the state prescribes. It is that of a step of the plan, or 0; or 100 where the candidate
// has become stable, as the roles were swapped.
func (s *State) Percent() float64 {
	switch s.Phase {
	case Running, Promoting:
		return s.Plan.percent(SetWeight, s.At)
	case Promoted:
		if s.Plan.swaps() {
			return 100
		}
	case RollingBack, RolledBack:
	}
	return 0
}

// Mirrored is the share of the traffic, in percent, that is copied to the candidate.
func (s *State) Mirrored() float64 {
	if s.Phase != Running {
		return 0
	}
	return s.Plan.percent(Mirror, s.At)
}

// step returns the step that the release is at, nil behind the last.
func (s *State) step() *PlanStep {
	if s.At >= len(s.Plan.Steps) {
		return nil
	}
	return &s.Plan.Steps[s.At]
}

// StepName tells people which step a release is at.
func (s *State) StepName() string {
	p := s.step()
	if p == nil {
		return "the end of the plan"
	}
	switch p.Kind {
	case SetWeight, Mirror:
		return fmt.Sprintf("step %d (%s %g%%)", s.At+1, p.Kind, p.Percent)
	case Pause, Analysis, Approval:
	}
	if p.Duration > 0 {
		return fmt.Sprintf("step %d (%s, %v)", s.At+1, p.Kind, p.Duration)
	}
	return fmt.Sprintf("step %d (%s)", s.At+1, p.Kind)
}
