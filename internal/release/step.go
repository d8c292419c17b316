package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/stat"
)

// Begin starts a release. Its first transition is written down before anything is done.
func Begin(id string, p Plan, stable, candidate Bound, by string, now time.Time) (State, []Transition, error) {
	if err := p.Check(); err != nil {
		return State{}, nil, err
	}
	if stable.Version == candidate.Version {
		return State{}, nil, fault.Conflictf("stable and candidate of service %s are the same version: there is nothing to release", p.Service).WithHint("let the candidate be another version first")
	}
	s := State{Format: format, ID: id, Plan: p, Stable: stable, Bound: candidate, Phase: Running, Started: now, seen: now}
	t := turn{state: s, now: now, by: by}
	t.tell(Start, fmt.Sprintf("the release of %s to %s begins", p.Candidate, p.Service))
	t.due(BumpEpoch, "")
	t.enter(0)
	return t.state, t.told, nil
}

// Input is what happened: exactly one of its fields is set.
type Input struct {
	Look    *Look
	Command *Command
	Done    *Done
	Taken   bool // whoever ran the release was gone for longer than its lease, and somebody else takes it up
	Lost    string
}

// Look is what a look at the figures gave.
type Look struct {
	Segments []Segment
	Same     bool      // Segments are those of the look before: what was concluded from them stands
	Asked    uint64    // requests to the candidate since the release began, shadows' copies included
	Unfit    string    // why the figures cannot be compared (a sample-ratio mismatch), "" if they can
	Others   []Verdict // of queries and expressions, of the same names as in the plan; one that is missing is inconclusive
}

// Command is what somebody wants.
type Command struct {
	What    Wish
	By, Why string
}

// Wish is what somebody can want of a release.
type Wish string

// The wishes.
const (
	WantPromotion Wish = "promote" // at once, whatever steps are left
	WantAbort     Wish = "abort"   // back to stable
	WantApproval  Wish = "approve" // of the step that waits for it
	WantResume    Wish = "resume"  // on from where it is held
	WantRetry     Wish = "retry"   // of what is due and failed
)

// Done says how an effect ended.
type Done struct {
	Key string
	Err string // "" if it is done
}

// Step takes in what happened at now, and returns the state after it and what is to be written down. It changes nothing that it is given.
// The error is for whoever wanted something that the release's phase does not allow; the state is then as it was.
func Step(s State, in Input, now time.Time) (State, []Transition, error) {
	before := s
	s.Due, s.Verdicts, s.Kept = slices.Clone(s.Due), slices.Clone(s.Verdicts), maps.Clone(s.Kept)
	s.Lasting, s.Waived = maps.Clone(s.Lasting), slices.Clone(s.Waived)
	t := turn{state: s, now: now, by: "serin"}
	var err error
	switch {
	case s.Over():
		if in.Command != nil {
			err = fault.Conflictf("release %s has ended: it is %s", s.ID, s.Phase.words()).
				WithHint("`serin release show %s` tells all that happened; `serin release start %s` begins another one", s.ID, s.Plan.Name)
		}
	case in.Command != nil:
		err = t.command(*in.Command)
	case in.Done != nil:
		t.done(*in.Done)
	case in.Taken:
		t.taken()
	case in.Lost != "":
		if s.Phase == Running {
			t.rollBack("the candidate is lost: " + in.Lost)
		}
	case in.Look != nil:
		err = t.look(in.Look)
	}
	if err != nil {
		return before, nil, err
	}
	return t.state, t.told, nil
}

// turn is one Step on its way.
type turn struct {
	state State
	now   time.Time
	by    string
	told  []Transition
}

// tell adds a transition to the journal.
func (t *turn) tell(what What, sentence string) {
	s := &t.state
	s.Seq++
	t.told = append(t.told, Transition{
		Release: s.ID, Seq: s.Seq, At: t.now, What: what, By: t.by, Phase: s.Phase, Step: min(s.At+1, len(s.Plan.Steps)), Percent: s.Percent(),
		Sentence: sentence, Verdicts: s.Verdicts,
	})
}

// due adds something to be done.
func (t *turn) due(kind EffectKind, hook string) {
	s := &t.state
	key := fmt.Sprintf("%s/%d/%s", s.ID, s.Seq, kind)
	if hook != "" {
		key += "/" + hook
	}
	s.Due = append(s.Due, Effect{Key: key, Kind: kind, Hook: hook})
}

// enter goes on to a step, and on over those that take no time.
func (t *turn) enter(at int) {
	s := &t.state
	s.At, s.Elapsed = at, 0
	for step := s.step(); step != nil && (step.Kind == SetWeight || step.Kind == Mirror); step = s.step() {
		t.tell(Advance, "it is at "+s.StepName())
		s.At++
	}
	if s.step() == nil {
		s.At = len(s.Plan.Steps) - 1 // whose weights hold until the promotion is done
		t.promote("every step of the plan is done")
		return
	}
	t.tell(Advance, "it is at "+s.StepName())
}

// promote makes what the promotion takes due.
func (t *turn) promote(why string) {
	s := &t.state
	s.Phase, s.Held, s.Due = Promoting, "", nil
	t.tell(Promote, "it is promoted: "+why)
	for _, name := range []string{Build, Deploy, Ready} {
		if s.Plan.hook(name) != nil {
			t.due(RunHook, name)
		}
	}
	switch {
	case s.Plan.Model != "":
		t.due(MoveAlias, "")
	case s.Plan.swaps():
		t.due(SwapRoles, "")
	}
	t.due(LetGo, "")
}

// rollBack takes the candidate's weight away, at once; what else is to be done follows.
func (t *turn) rollBack(why string) {
	s := &t.state
	s.Phase, s.Held, s.Reason, s.Due = RollingBack, "", why, nil
	t.tell(RollBack, "it goes back to stable: "+why)
	t.due(BumpEpoch, "")
	if s.Plan.hook(Undo) != nil {
		t.due(RunHook, Undo)
	}
	t.due(LetGo, "")
}

// hold lets the release stand still.
func (t *turn) hold(why string) {
	if t.state.Held == why {
		return
	}
	t.state.Held = why
	t.tell(Held, "it is held: "+why)
}

// done takes in that an effect ended.
func (t *turn) done(d Done) {
	s := &t.state
	at := slices.IndexFunc(s.Due, func(e Effect) bool { return e.Key == d.Key })
	if at < 0 {
		return // of a transition before; it is done twice, or is not wanted any more
	}
	effect := s.Due[at]
	if d.Err != "" {
		t.failed(effect, d.Err)
		return
	}
	s.Due = slices.Delete(s.Due, at, at+1)
	if s.Held != "" && s.Phase != Running {
		s.Held = ""
	}
	if len(s.Due) > 0 {
		return
	}
	switch s.Phase {
	case Promoting:
		s.Phase, s.Ended = Promoted, t.now
		t.tell(EndedWell, fmt.Sprintf("%s is promoted", s.Plan.Candidate))
	case RollingBack:
		s.Phase, s.Ended = RolledBack, t.now
		t.tell(EndedBack, "all traffic is with stable: "+s.Reason)
	case Running, Promoted, RolledBack:
	}
}

// failed takes in that an effect could not be done. What belongs to a promotion is taken back; all else is tried again.
func (t *turn) failed(e Effect, why string) {
	s := &t.state
	what := string(e.Kind)
	if e.Hook != "" {
		what = "hook " + e.Hook
	}
	if s.Phase == Promoting && (e.Kind == RunHook || e.Kind == MoveAlias) {
		t.tell(Failed, fmt.Sprintf("%s failed: %s", what, why))
		t.rollBack(fmt.Sprintf("%s of the promotion failed: %s", what, why))
		return
	}
	before, again := s.Held, what+" failed and is tried again: "
	s.Held = again + why
	if !strings.HasPrefix(before, again) { // else people know, though it may have failed in other words
		t.tell(Failed, s.Held)
	}
}

// taken takes the release up after nobody ran it.
func (t *turn) taken() {
	s := &t.state
	s.seen, s.Lasting = t.now, nil // nobody knows what was said meanwhile
	t.tell(Restarted, "whoever ran it was gone; it is taken up at "+s.StepName())
	if s.Phase != Running {
		return // what is due goes on
	}
	switch s.Plan.OnRestart {
	case Rollback:
		t.rollBack("whoever ran it was gone")
	case Hold:
		t.hold("whoever ran it was gone; `resume` goes on, `abort` goes back")
	case Resume:
	}
}

// seen is the hint of where a release stands.
const seen = "`serin release status %s` shows how it stands"

// command does what somebody wants.
func (t *turn) command(c Command) error {
	s := &t.state
	t.by = c.By
	why := c.Why
	if why == "" {
		why = "as " + c.By + " wants"
	}
	not := func() error {
		return fault.Conflictf("release %s is %s already, and cannot be asked to %s", s.ID, s.Phase.words(), c.What).WithHint(seen, s.ID)
	}
	switch c.What {
	case WantAbort:
		if s.Phase == RollingBack {
			return not()
		}
		t.rollBack(why)
	case WantPromotion:
		if s.Phase != Running {
			return not()
		}
		t.promote(why)
	case WantApproval:
		if s.Phase != Running {
			return not()
		}
		if step := s.step(); step == nil || step.Kind != Approval {
			return fault.Conflictf("release %s is at %s, which waits for nobody's approval", s.ID, s.StepName()).WithHint(seen, s.ID)
		}
		t.tell(Approved, fmt.Sprintf("%s approves: %s", c.By, why))
		t.waive()
		t.enter(s.At + 1)
	case WantResume:
		if s.Held == "" || s.Phase != Running {
			return fault.Conflictf("release %s is not held", s.ID).WithHint(seen, s.ID)
		}
		t.waive()
		t.tell(Resumed, fmt.Sprintf("%s lets it go on: %s", c.By, why))
	case WantRetry:
		if s.Held == "" || s.Phase == Running {
			return fault.Conflictf("nothing of release %s failed that could be tried again", s.ID).WithHint(seen, s.ID)
		}
		s.Held = ""
		t.tell(Resumed, fmt.Sprintf("%s lets it try again: %s", c.By, why))
	default:
		return fault.Invalidf("%.40q is nothing that a release can be asked for", c.What)
	}
	return nil
}

// waive lets a release go on though what holds it may last: somebody has looked. Signals that fail, and figures that cannot be compared, hold
// it again only once they have been good in between; an analysis, or a release, whose time is up has it once more.
func (t *turn) waive() {
	s := &t.state
	s.Held, s.Quiet, s.Waived = "", 0, nil
	for i := range s.Verdicts {
		if v := &s.Verdicts[i]; v.Role == Signal && v.Outcome == Fail {
			s.Waived = append(s.Waived, v.Metric)
		}
	}
	s.WaivedUnfit = s.Unfit != ""
	if step := s.step(); step != nil && step.Kind == Analysis && step.Duration > 0 && s.Elapsed >= step.Duration {
		s.Elapsed = 0
	}
	if s.Plan.MaxDuration > 0 && s.Total >= s.Plan.MaxDuration {
		s.Total = 0
	}
}

// Check tells what is wrong with a plan.
func (p *Plan) Check() error {
	if len(p.Steps) == 0 {
		return fault.Invalidf("the plan of release %s has no steps", p.Name)
	}
	if p.Stable == p.Candidate {
		return fault.Invalidf("variant %s cannot be released to itself", p.Candidate)
	}
	return nil
}

// evidence carries what was shown on.
func (t *turn) evidence(metric string) stat.Evidence { return t.state.Kept[metric] }
