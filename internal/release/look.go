package release

import (
	"fmt"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/stat"
)

// look judges, and goes on, back, or stands still.
func (t *turn) look(l *Look) error {
	s := &t.state
	passed := t.pass()
	if s.Phase != Running && s.Phase != Promoting {
		return nil
	}
	if err := t.judge(l, passed); err != nil {
		return err
	}
	t.unwaive(l)
	if bad := t.failing(Guardrail); bad != nil {
		t.rollBack(bad.Sentence)
		return nil
	}
	if s.Held != "" || s.Phase == Promoting {
		return nil // a guardrail is all that moves it: what a promotion takes may take long
	}
	if l.Unfit != "" && !s.WaivedUnfit {
		t.hold(l.Unfit)
		return nil
	}
	if bad := t.failing(Signal, s.Waived...); bad != nil {
		t.hold(bad.Sentence)
		return nil
	}
	s.Elapsed += passed
	s.Total += passed
	if t.quiet(l, passed) {
		return nil
	}
	t.advance()
	return nil
}

// pass returns how much time has passed since the last look: none where nobody looked, and no more than the lease, as nobody was in charge
// for longer.
func (t *turn) pass() time.Duration {
	s := &t.state
	passed := t.now.Sub(s.seen)
	if s.seen.IsZero() || passed < 0 {
		passed = 0
	}
	s.seen = t.now
	return min(passed, s.Plan.Lease)
}

// judge makes the verdicts of this look.
func (t *turn) judge(l *Look, passed time.Duration) error {
	s := &t.state
	levels := LevelsOf(s.Plan.FalseRollback, s.Plan.FalsePromotion, s.Plan.Metrics)
	verdicts, others := make([]Verdict, 0, len(s.Plan.Metrics)), slices.Clone(l.Others)
	for i := range s.Plan.Metrics {
		m := &s.Plan.Metrics[i]
		if m.elsewhere() {
			said := Verdict{Metric: m.Name, Outcome: Inconclusive, Sentence: "nobody has asked yet"}
			if at := slices.IndexFunc(others, func(v Verdict) bool { return v.Metric == m.Name }); at >= 0 {
				said = others[at]
				others = slices.Delete(others, at, at+1)
			}
			said.Role = m.Role
			verdicts = append(verdicts, t.lasting(m, said, passed))
			continue
		}
		if at := slices.IndexFunc(s.Verdicts, func(v Verdict) bool { return v.Metric == m.Name }); l.Same && at >= 0 {
			verdicts = append(verdicts, s.Verdicts[at])
			continue
		}
		kept := t.evidence(m.Name)
		v, err := Judge(*m, l.Segments, levels, &kept)
		if err != nil {
			return err
		}
		if kept != (stat.Evidence{}) {
			if s.Kept == nil {
				s.Kept = map[string]stat.Evidence{}
			}
			s.Kept[m.Name] = kept
		}
		verdicts = append(verdicts, v)
	}
	s.Verdicts = slices.Concat(verdicts, others)
	return nil
}

// lasting lets a verdict count that knows nothing of chance once it has been the same, at every look, for as long as the metric wants. Until
// then it is inconclusive, a pass as much as a fail.
func (t *turn) lasting(m *Metric, v Verdict, passed time.Duration) Verdict {
	s := &t.state
	since := Lasting{Outcome: v.Outcome}
	if before := s.Lasting[m.Name]; before.Outcome == v.Outcome {
		since.For = before.For + passed
	}
	if s.Lasting == nil {
		s.Lasting = map[string]Lasting{}
	}
	s.Lasting[m.Name] = since
	if v.Outcome != Inconclusive && since.For < m.lasting() {
		v.Sentence += fmt.Sprintf(", for %v now, which counts from %v on", since.For.Round(time.Second), m.lasting())
		v.Outcome = Inconclusive
	}
	return v
}

// unwaive lets signals hold the release again that do not fail any more, and figures that can be compared again.
func (t *turn) unwaive(l *Look) {
	s := &t.state
	s.Unfit = l.Unfit
	s.WaivedUnfit = s.WaivedUnfit && l.Unfit != ""
	s.Waived = slices.DeleteFunc(s.Waived, func(metric string) bool {
		return !slices.ContainsFunc(s.Verdicts, func(v Verdict) bool { return v.Metric == metric && v.Role == Signal && v.Outcome == Fail })
	})
}

// failing returns the first verdict of a role that is a fail, nil if there is none. Those of some metrics may be left out.
func (t *turn) failing(r Role, but ...string) *Verdict {
	for i := range t.state.Verdicts {
		if v := &t.state.Verdicts[i]; v.Role == r && v.Outcome == Fail && !slices.Contains(but, v.Metric) {
			return v
		}
	}
	return nil
}

// quiet sees to it that a candidate that nobody asks does not go on.
func (t *turn) quiet(l *Look, passed time.Duration) bool {
	s := &t.state
	if l.Asked > s.Asked || s.Percent() == 0 && s.Mirrored() == 0 {
		s.Asked, s.Quiet = l.Asked, 0
		return false
	}
	s.Asked = l.Asked // less, where figures were lost or are being made anew: what is asked from then on counts
	s.Quiet += passed
	if s.Plan.NoData <= 0 || s.Quiet < s.Plan.NoData {
		return false
	}
	why := fmt.Sprintf("nobody has asked the candidate for %v", s.Quiet.Round(time.Second))
	if s.Plan.OnNoData == Rollback {
		t.rollBack(why)
	} else {
		t.hold("nobody asks the candidate")
	}
	return true
}

// advance goes on to the next step if this one is done.
func (t *turn) advance() {
	s := &t.state
	step := s.step()
	switch step.Kind {
	case Pause:
		if s.Elapsed >= step.Duration {
			t.enter(s.At + 1)
			return
		}
	case Analysis:
		if bad := t.failing(Goal); bad != nil {
			t.rollBack(bad.Sentence)
			return
		}
		if t.decided() {
			t.enter(s.At + 1)
			return
		}
		if step.Duration > 0 && s.Elapsed >= step.Duration {
			t.inconclusive(fmt.Sprintf("the analysis has taken %v", step.Duration))
			return
		}
	case Approval, SetWeight, Mirror:
	}
	if s.Phase == Running && s.Plan.MaxDuration > 0 && s.Total >= s.Plan.MaxDuration {
		t.inconclusive(fmt.Sprintf("the release has taken %v", s.Plan.MaxDuration))
	}
}

// decided tells whether every guardrail and goal has passed.
func (t *turn) decided() bool {
	for i := range t.state.Verdicts {
		if v := &t.state.Verdicts[i]; (v.Role == Guardrail || v.Role == Goal) && v.Outcome != Pass {
			return false
		}
	}
	return true
}

// inconclusive ends an analysis whose time is up. A goal that is shown to be missed needs no more time.
func (t *turn) inconclusive(why string) {
	if bad := t.failing(Goal); bad != nil {
		t.rollBack(bad.Sentence)
		return
	}
	for i := range t.state.Verdicts {
		if v := &t.state.Verdicts[i]; (v.Role == Guardrail || v.Role == Goal) && v.Outcome == Inconclusive {
			why += ", and " + v.Sentence
			break
		}
	}
	if t.state.Plan.OnInconclusive == Rollback {
		t.rollBack(why)
		return
	}
	t.hold(why)
}
