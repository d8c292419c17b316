package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

// booted is one who runs the releases of a new world, for good.
func booted(t *testing.T, plan release.Plan) (*world, *releaseServer) {
	t.Helper()
	w := newWorld(t, plan)
	s, err := w.boot(w.state)
	must(t, err)
	return w, s
}

func (w *world) wantShare(what string, want float64) {
	w.t.Helper()
	if got := w.share(); got != want {
		w.t.Errorf("%s: the candidate has %v of the traffic, want %v", what, got, want)
	}
}

func (s *releaseServer) wantPhase(what string, phase release.Phase) api.Release {
	s.w.t.Helper()
	r := s.newest()
	if r.Phase != phase {
		s.w.t.Fatalf("%s: %s is %s, want %s:\n%s", what, r.ID, r.Phase, phase, story(r))
	}
	return r
}

func TestAReleaseMovesTrafficStepByStepAndSwapsRoles(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Minute), toWeight(50), pauseFor(time.Minute)))
	w.allow[1] = true // it ends with all of the traffic
	s.start()
	w.wantShare("begun", 0.2)
	s.pass(59 * time.Second)
	w.wantShare("in the first pause", 0.2)
	s.pass(3 * time.Second)
	w.wantShare("in the second pause", 0.5)
	s.pass(time.Minute)
	r := s.wantPhase("at the end", release.Promoted)
	w.wantShare("promoted", 1)
	if !strings.Contains(r.Drift, "canary has the weight of stable") {
		t.Errorf("the drift is %q", r.Drift)
	}
	w.check("promoted")

	traffic, err := s.traffic.Load(t.Context(), 20, "movies")
	must(t, err)
	if got := traffic[0]; got.Source != "file" || got.Weights.Share("canary") != 1 || got.Epoch != 2 {
		t.Errorf("the traffic is %+v", got)
	}
	// The next one goes the other way.
	w.plan.Steps = []release.PlanStep{toWeight(50), pauseFor(time.Minute)}
	s.start()
	if r := s.newest(); r.ID != "movies-2" || r.Plan.Stable != "canary" || r.Plan.Candidate != "stable" {
		t.Errorf("release %s moves from %s to %s", r.ID, r.Plan.Stable, r.Plan.Candidate)
	}
	s.pass(2 * time.Minute)
	r = s.wantPhase("back again", release.Promoted)
	w.wantShare("back again", 0)
	if r.Drift != "" {
		t.Errorf("the roles are the file's, and the drift %q", r.Drift)
	}
	w.check("back again")
}

func TestTheFirstHarmTakesTheTrafficAwayAtOnce(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	s.start()
	s.pass(10 * time.Second)
	w.sees(w.bad)
	s.turn()
	w.wantShare("after harm", 0)
	r := s.wantPhase("after harm", release.RolledBack)
	if want := "it fails too often"; r.Reason != want {
		t.Errorf("the reason is %q", r.Reason)
	}
	traffic, err := s.traffic.Load(t.Context(), 1, "movies")
	must(t, err)
	if traffic[0].Epoch != 3 {
		t.Errorf("the epoch is %d: it goes up as a release begins, and as it goes back", traffic[0].Epoch)
	}
	w.check("after harm")
	s.start() // and another one
	w.wantShare("begun anew", 0.2)
}

func TestPeopleAbortPromoteApproveAndResume(t *testing.T) {
	approval := release.PlanStep{Kind: release.Approval}
	w, s := booted(t, moviesPlan(toWeight(10), approval, toWeight(20), pauseFor(time.Hour)))
	w.allow[1] = true
	command := func(c release.Wish) error {
		_, err := s.CommandRelease(t.Context(), "movies", release.Command{What: c, By: "bob", Why: "says so"})
		return err
	}
	if err := command(release.WantAbort); fault.KindOf(err) != fault.NotFound {
		t.Errorf("before there is one: %v", err)
	}
	s.start()
	if _, err := s.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "cat"}); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.HintOf(err), "--supersede") {
		t.Errorf("a second one begins beside the first: %v", err)
	}
	if err := command(release.WantResume); fault.KindOf(err) != fault.Conflict {
		t.Errorf("what is not held is let go on: %v", err)
	}
	must(t, command(release.WantApproval))
	w.wantShare("approved", 0.2)
	must(t, command(release.WantPromotion))
	s.turn()
	s.wantPhase("promoted by hand", release.Promoted)
	if err := command(release.WantAbort); fault.KindOf(err) != fault.Conflict {
		t.Errorf("what has ended is aborted: %v", err)
	}
	w.allow[0.9] = true // the roles are swapped now
	s.start()
	must(t, command(release.WantAbort))
	s.turn()
	w.wantShare("aborted", 1) // stable is what the file calls canary by now, and so has all
	r := s.wantPhase("aborted", release.RolledBack)
	if last := r.Journal[len(r.Journal)-2]; last.By != "bob" || !strings.Contains(last.Sentence, "says so") {
		t.Errorf("the journal does not say who did it, and why: %+v", last)
	}
	w.check("by people")
}

func TestAReleaseThatSupersedesAnotherBeginsAnew(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(10), pauseFor(time.Hour)))
	s.start()
	done := make(chan error, 1)
	var second api.Release
	go func() {
		var err error
		second, err = s.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "cat", Why: "a better one", Supersede: true})
		done <- err
	}()
	for waiting := true; waiting; {
		select {
		case err := <-done:
			must(t, err)
			waiting = false
		case <-s.nudge:
			s.turn()
		}
	}
	if second.ID != "movies-2" || second.Phase != release.Running {
		t.Errorf("%s is %s", second.ID, second.Phase)
	}
	first, err := s.Release(t.Context(), "movies-1")
	must(t, err)
	if first.Phase != release.RolledBack || first.Reason != "a better one" {
		t.Errorf("the first one is %s: %s", first.Phase, first.Reason)
	}
	s.turn()
	w.check("superseded")
}

func TestACandidateThatIsLostGoesBack(t *testing.T) {
	for name, lose := range map[string]func(*world, *releaseServer){
		"it is not in the file any more": func(w *world, _ *releaseServer) { w.data.is("canary", func(s *standing) { s.There = false }) },
		"it is another version":          func(w *world, _ *releaseServer) { w.data.is("canary", func(s *standing) { s.Bound.Version = "three" }) },
		"it cannot answer": func(w *world, _ *releaseServer) {
			w.data.is("canary", func(s *standing) { s.Trouble = "connection refused" })
		},
		"stable is another version": func(w *world, _ *releaseServer) { w.data.is("stable", func(s *standing) { s.Bound.Version = "three" }) },
	} {
		t.Run(name, func(t *testing.T) {
			w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
			s.start()
			lose(w, s)
			s.pass(lostAfter + 2*time.Second)
			w.wantShare("lost", 0)
			s.wantPhase("lost", release.RolledBack)
			w.check("lost")
		})
	}
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	w.data.is("canary", func(s *standing) { s.Bound, s.Trouble = release.Bound{}, "it does not load" })
	if _, err := s.StartRelease(t.Context(), "movies", api.ReleaseStart{By: "ann"}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a candidate that does not load is released: %v", err)
	}
}

func TestWhoCannotLookGivesTheCandidateNothingOnceTheLeaseHasEnded(t *testing.T) {
	plan := moviesPlan(toWeight(20), pauseFor(time.Hour))
	plan.OnRestart = release.Hold
	w, s := booted(t, plan)
	s.start()
	s.pass(time.Minute)
	w.sees(func(time.Time, *evidenceOf) (release.Look, error) {
		return release.Look{}, errors.New("telemetry.db is gone")
	})
	s.pass(20 * time.Second)
	w.wantShare("before the lease ends", 0.2)
	s.pass(15 * time.Second)
	s.traffic.leases.check(s.Log)
	w.wantShare("after the lease has ended", 0)
	must(t, s.traffic.Set(t.Context(), "movies", overrideBy(t, "1", "0", "1h")))
	if w.policy != unwritten {
		t.Errorf("what decides without a lease is told as policy version %d, whose figures count", w.policy)
	}
	must(t, s.traffic.Clear(t.Context(), "movies", api.TrafficClear{By: "ada", Why: "it hides nothing"}))
	s.pass(time.Minute)
	s.wantPhase("blind", release.Running)
	w.sees(w.good)
	s.turn()
	w.wantShare("it can see again, and is held", 0.2)
	if r := s.newest(); r.Held == "" {
		t.Error("it goes on as if nothing had been")
	}
	w.check("blind")
}

func TestARestartGoesOnWithinTheLeaseAndIsToldOfBehindIt(t *testing.T) {
	for _, tt := range []struct {
		away  time.Duration
		taken bool
	}{{10 * time.Second, false}, {time.Hour, true}, {-48 * time.Hour, true}} {
		plan := moviesPlan(toWeight(20), pauseFor(10*time.Minute))
		plan.OnRestart = release.Hold
		w, s := booted(t, plan)
		s.start()
		s.pass(5 * time.Minute)
		w.pass(tt.away)
		s, err := w.boot(w.state)
		must(t, err)
		w.wantShare("before anybody has looked", 0)
		if w.policy != unwritten {
			t.Errorf("policy version %d has two shares", w.policy)
		}
		s.turn()
		w.wantShare("taken up", 0.2)
		if r := s.newest(); (r.Held != "") != tt.taken {
			t.Errorf("away for %v: held %q", tt.away, r.Held)
		}
		if !tt.taken {
			s.pass(4 * time.Minute)
			s.wantPhase("the pause goes on, and does not begin anew", release.Running)
			w.allow[1] = true
			s.pass(2 * time.Minute)
			s.wantPhase("at the end", release.Promoted)
		}
		w.check("restarted")
	}
}

// What an operator wanted before a release found the candidate to be no good does not bring it back.
func TestAnOverrideDoesNotBringBackWhatWasRolledBack(t *testing.T) {
	for _, c := range []struct{ override, left string }{{"1 1", "1 0"}, {"0 1", ""}} {
		w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
		s.start()
		stable, canary, _ := strings.Cut(c.override, " ")
		must(t, s.traffic.Set(t.Context(), "movies", api.TrafficOverride{Weights: api.SentWeights(trafficWeights(t, stable, canary)), By: "ann", Why: "a try"}))
		w.sees(w.bad)
		s.turn()
		w.wantShare("after harm, with "+c.override, 0)
		is, err := s.traffic.Load(t.Context(), 1, "movies")
		must(t, err)
		if got := is[0].Override; (got != nil) != (c.left != "") || got != nil && (got.Weights["stable"].Float() != 1 || got.Weights["canary"].Float() != 0) {
			t.Errorf("%s: %+v is left", c.override, got)
		}
		if why := is[0].Changes[0].Why; !strings.Contains(why, "the override of ann") {
			t.Errorf("the history says %q", why)
		}
	}
}

// Whoever asks how a release stands is not told of a share that nobody gives the candidate.
func TestAReleaseThatNobodyLeadsSaysSo(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	s.start()
	s.pass(time.Minute)
	says := func(what string, r api.Release, percent float64) {
		t.Helper()
		if r.Percent != percent || (r.Unled != "") != (percent == 0) {
			t.Errorf("%s: %v%%, %q", what, r.Percent, r.Unled)
		}
	}
	written := func() api.Release {
		t.Helper()
		r, err := releaseBook{w.state, w.now}.Release(t.Context(), "movies")
		must(t, err)
		return r
	}
	led, err := s.Release(t.Context(), "movies")
	must(t, err)
	says("led", led, 20)
	says("led, as written", written(), 20)
	w.sees(func(time.Time, *evidenceOf) (release.Look, error) {
		return release.Look{}, errors.New("telemetry.db is gone")
	})
	s.pass(time.Minute)
	s.traffic.leases.check(s.Log)
	led, err = s.Release(t.Context(), "movies")
	must(t, err)
	says("not led", led, 0)
	says("not led, as written", written(), 0)
	w.sees(w.good)
	s.turn()
	led, err = s.Release(t.Context(), "movies")
	must(t, err)
	says("led again", led, 20)
}

// What is planned is what would begin: the roles are those of now, not those of the file.
func TestATemplateHasTheRolesThatThereAreNow(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Second)))
	w.allow[1] = true
	s.start()
	s.pass(3 * time.Second)
	s.wantPhase("swapped", release.Promoted)
	plan, _, err := s.template(t.Context(), "movies")
	must(t, err)
	if plan.Stable != "canary" || plan.Candidate != "stable" {
		t.Errorf("%s would take the place of %s", plan.Candidate, plan.Stable)
	}
	must(t, s.traffic.Declare(t.Context(), []declared{{"movies", []string{"stable", "canary"}, trafficWeights(t, "100", "0")}}))
	w.wantShare("the file says the same in other numbers", 1)
	must(t, s.traffic.Declare(t.Context(), []declared{{"movies", []string{"stable", "canary"}, trafficWeights(t, "0", "1")}}))
	w.wantShare("the file says so itself", 1)
	plan, _, err = s.template(t.Context(), "movies")
	must(t, err)
	if plan.Stable != "stable" {
		t.Errorf("the roles are still %s's", plan.Stable)
	}
}

func TestAnOverrideOfBeforeDoesNotSendUsersBackFromWhatIsPromoted(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Second)))
	w.allow[1] = true
	must(t, s.traffic.Set(t.Context(), "movies", overrideBy(t, "1", "0", "24h")))
	s.start()
	s.pass(5 * time.Second)
	s.wantPhase("at the end", release.Promoted)
	w.wantShare("promoted", 1)
	is, err := s.traffic.Load(t.Context(), 1, "movies")
	must(t, err)
	if is[0].Override != nil || !strings.Contains(is[0].Changes[0].Why, "the override of ada gives stable nothing any more") {
		t.Errorf("the override is %+v: %q", is[0].Override, is[0].Changes[0].Why)
	}
}

// Whoever moves an alias while its release is being looked at is not overlooked until the next time comes.
func TestANudgeIsNotLostOnAReleaseThatIsLookedAt(t *testing.T) {
	w, s := booted(t, moviesPlan(toWeight(20), pauseFor(time.Hour)))
	s.start()
	s.turn()
	w.pass(time.Second)
	one := s.all()[0]
	before := one.aliasesAt
	one.mu.Lock()
	s.Nudge()
	one.mu.Unlock()
	s.turn()
	if !one.aliasesAt.After(before) {
		t.Error("its aliases are not looked at")
	}
}
