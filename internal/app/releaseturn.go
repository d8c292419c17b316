package app

import (
	"context"
	"fmt"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// turn is what is to be written of a release. Whoever has it has the release's lock.
type turn struct {
	one   *life
	after releaseDoc
	told  []release.Transition
	now   time.Time

	revision, active int64             // of what was written
	moved            bool              // an alias was
	hook             *hookTurn         // that has ended; nil: none
	segments         []release.Segment // that were judged; nil: none were
}

// happened is what a release is taken on by.
type happened struct {
	release.Input
	next *successor // what is to begin in its place; nil: nothing
	hook *hookTurn  // that has ended; nil: none
}

// look takes one release on by what is to be seen now. What it returns is a lease that is only to be renewed; all else is written.
func (r *releases) look(ctx context.Context, one *life, now time.Time) (due *turn) {
	one.mu.Lock()
	defer func() {
		if due == nil {
			one.mu.Unlock()
		}
	}()
	if one.doc.State.Over() {
		r.succeed(ctx, one, now)
		return nil
	}
	what, err := r.input(ctx, one, now)
	if err != nil {
		if ctx.Err() == nil {
			r.trouble(one, "a release cannot be looked at; its candidate gets nothing once its lease has ended", err)
		}
		return nil
	}
	t, err := one.step(what.Input, now)
	if err != nil {
		r.trouble(one, "a release cannot be taken on; its candidate gets nothing once its lease has ended", err)
		return nil
	}
	if what.next != nil {
		t.after.Next = what.next
	}
	if what.Look != nil {
		t.segments = what.Look.Segments
	}
	if t.hook = what.hook; t.hook != nil {
		t.after.said(t.hook.HookRun)
	}
	r.Plane.Mirror(t.after.State.Plan.Service, t.after.State.Plan.Candidate, mirrorOf(&t.after.State))
	switch {
	case t.quiet() && !r.settles(&t.after.State):
		if since(one.written, now) < one.renewal() && !one.written.IsZero() {
			one.doc, one.segments = t.after, t.segments
			r.show(one)
			return nil
		}
		return t
	default:
		_ = r.write(ctx, t) // it is in the log, and tried again
		return nil
	}
}

// step is what a release comes to.
func (one *life) step(in release.Input, now time.Time) (*turn, error) {
	t := &turn{one: one, after: one.doc, now: now}
	var err error
	t.after.State, t.told, err = release.Step(one.doc.State, in, now)
	return t, err
}

// quiet tells whether there is nothing to write but the lease.
func (t *turn) quiet() bool {
	a, b := &t.one.doc.State, &t.after.State
	return len(t.told) == 0 && a.Phase == b.Phase && a.Held == b.Held && len(a.Due) == len(b.Due) && len(t.one.doc.Hooks) == len(t.after.Hooks)
}

// input finds out what has happened to a release.
func (r *releases) input(ctx context.Context, one *life, now time.Time) (what happened, err error) {
	s := &one.doc.State
	if !now.Before(one.until) {
		if s.Phase == release.Running { // it is taken up by somebody who can see
			if _, err := r.evidence(ctx, one, now); err != nil {
				return what, err
			}
		}
		what.Taken = true
		return what, nil
	}
	if s.Phase != release.Running {
		what = r.work(ctx, one, now)
		if s.Phase == release.Promoting && what.Done == nil { // which may take long, and the candidate has its share meanwhile
			look, err := r.evidence(ctx, one, now)
			if err != nil && ctx.Err() == nil {
				r.trouble(one, "the guardrails of a release that is being promoted cannot be looked at; it goes on", err)
			}
			if err == nil {
				what.Look = &look
			}
		}
		return what, nil
	}
	if what.Lost = r.lost(one, now); what.Lost != "" {
		return what, nil
	}
	if why := r.changedStable(one); why != "" {
		what.Command = &release.Command{What: release.WantAbort, By: bySerin, Why: why}
		return what, nil
	}
	if one.nudged.Swap(false) || since(one.aliasesAt, now) >= one.renewal() || one.aliasesAt.IsZero() {
		why, err := r.moved(ctx, one)
		if err != nil {
			one.nudged.Store(true)
			return what, err
		}
		one.aliasesAt = now
		if why != "" {
			what.Command, what.next = &release.Command{What: release.WantAbort, By: bySerin, Why: why}, &successor{s.Plan.Name, bySerin, why}
			return what, nil
		}
	}
	look, err := r.evidence(ctx, one, now)
	what.Look = &look
	return what, err
}

// bySerin is who does what nobody asked for.
const bySerin = "serin"

// evidence looks at the figures.
func (r *releases) evidence(ctx context.Context, one *life, now time.Time) (release.Look, error) {
	s := &one.doc.State
	epoch, shares := r.Traffic.leases.led(s.Plan.Service)
	look, err := r.Evidence.Look(ctx, &evidenceOf{
		Service: s.Plan.Service, Epoch: epoch, Stable: s.Plan.Stable, Candidate: s.Plan.Candidate, StableVersion: s.Stable.Version,
		CandidateVersion: s.Bound.Version, Shares: shares, Metrics: s.Plan.Metrics, Strategy: s.Plan.Strategy, Since: s.Started,
	}, now)
	if err != nil {
		return look, err
	}
	look.Same = len(look.Segments) > 0 && len(look.Segments) == len(one.segments) && &look.Segments[0] == &one.segments[0]
	if r.Queries != nil {
		look.Others = r.Queries.Verdicts(ctx, &s.Plan, &look)
	}
	return look, nil
}

// lost tells why the candidate cannot be released any more, "" if it can.
func (r *releases) lost(one *life, now time.Time) string {
	s := &one.doc.State
	c := r.Plane.Standing(s.Plan.Service, s.Plan.Candidate)
	switch {
	case !c.There:
		return fmt.Sprintf("service %s has no variant %s any more", s.Plan.Service, s.Plan.Candidate)
	case c.Bound.Version != "" && c.Bound.Version != s.Bound.Version:
		return fmt.Sprintf("variant %s is %s now, and the release is of %s", s.Plan.Candidate, nameOf(c.Bound), nameOf(s.Bound))
	case c.Trouble == "":
		one.troubled = time.Time{}
		return ""
	case one.troubled.IsZero():
		one.troubled = now
	}
	if now.Sub(one.troubled) < lostAfter {
		return ""
	}
	return fmt.Sprintf("it could not answer for %v: %s", lostAfter, c.Trouble)
}

// changedStable tells why there is nothing left to compare with, "" if there is.
func (r *releases) changedStable(one *life) string {
	s := &one.doc.State
	is := r.Plane.Standing(s.Plan.Service, s.Plan.Stable)
	switch {
	case !is.There:
		return fmt.Sprintf("service %s has no variant %s any more", s.Plan.Service, s.Plan.Stable)
	case is.Bound.Version != "" && is.Bound.Version != s.Stable.Version:
		return fmt.Sprintf("variant %s is %s now, and the release began with %s", s.Plan.Stable, nameOf(is.Bound), nameOf(s.Stable))
	}
	return ""
}

// nameOf names a version for people.
func nameOf(b release.Bound) string {
	if b.Number > 0 {
		return fmt.Sprintf("version %d (%s)", b.Number, b.Semver)
	}
	return fmt.Sprintf("%.80q", b.Version)
}

// moved tells that an alias was moved, by somebody who was told that the release is bound to it; "" if none was.
func (r *releases) moved(ctx context.Context, one *life) (string, error) {
	s := &one.doc.State
	for i, bound := range []release.Bound{s.Stable, s.Bound} {
		ref := refOf(one.doc.Refs[i])
		if ref.Model == "" {
			continue
		}
		v, err := r.Registry.Resolve(ctx, ref)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			return fmt.Sprintf("%s names nothing any more", ref), nil
		case err != nil:
			return "", err
		case v.Number != bound.Number:
			return fmt.Sprintf("%s is version %d (%s) now, and the release is of version %d", ref, v.Number, v.Semver, bound.Number), nil
		}
	}
	return "", nil
}

// mirrorOf is the share of the traffic that is copied to the candidate, from 0 to 1; below 0 as many as the file says.
func mirrorOf(s *release.State) float64 {
	if s.Over() || !mirrors(&s.Plan) {
		return -1
	}
	return s.Mirrored() / 100
}

func mirrors(p *release.Plan) bool {
	for i := range p.Steps {
		if p.Steps[i].Kind == release.Mirror {
			return true
		}
	}
	return false
}
