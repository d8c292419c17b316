package release

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/stat"
)

// drawPlan makes any plan that passes Check.
func drawPlan(t *rapid.T) Plan {
	p := Plan{
		Name: "m", Service: "s", Stable: "a", Candidate: "b", Strategy: Canary, FalseRollback: 0.05, FalsePromotion: 0.05, Lease: time.Minute,
		OnRestart:      rapid.SampledFrom([]Policy{Hold, Resume, Rollback}).Draw(t, "onRestart"),
		OnNoData:       rapid.SampledFrom([]Policy{Hold, Rollback}).Draw(t, "onNoData"),
		OnInconclusive: rapid.SampledFrom([]Policy{Hold, Rollback}).Draw(t, "onInconclusive"),
		NoData:         time.Duration(rapid.IntRange(0, 3).Draw(t, "noData")) * time.Minute,
		MaxDuration:    time.Duration(rapid.IntRange(0, 20).Draw(t, "max")) * time.Minute,
		Metrics:        []Metric{{Name: "errors", Role: Guardrail, Measure: Errors, Versus: true, Margin: 0.01}},
	}
	if rapid.Bool().Draw(t, "model") {
		p.Model, p.Alias = "m", "champion"
	} else if rapid.Bool().Draw(t, "hooks") {
		p.Hooks = []Hook{{Name: Build}, {Name: Ready}, {Name: Undo}}
	}
	for range rapid.IntRange(1, 6).Draw(t, "steps") {
		kind := rapid.SampledFrom([]StepKind{SetWeight, Mirror, Pause, Analysis, Approval}).Draw(t, "kind")
		s := PlanStep{Kind: kind}
		if kind == SetWeight || kind == Mirror {
			s.Percent = float64(rapid.IntRange(0, 100).Draw(t, "percent"))
		} else {
			s.Duration = time.Duration(rapid.IntRange(0, 5).Draw(t, "duration")) * time.Minute
		}
		p.Steps = append(p.Steps, s)
	}
	return p
}

// drawInput makes anything that can happen to a state.
func drawInput(t *rapid.T, s *State) Input {
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		return Input{Command: &Command{What: rapid.SampledFrom([]Wish{WantPromotion, WantAbort, WantApproval, WantResume, WantRetry, "sing"}).Draw(t, "wish"), By: "ann"}}
	case 1, 2:
		d := &Done{Key: "m-1/0/nothing"}
		if len(s.Due) > 0 {
			d.Key = rapid.SampledFrom(s.Due).Draw(t, "due").Key
		}
		d.Err = rapid.SampledFrom([]string{"", "", "no"}).Draw(t, "err")
		return Input{Done: d}
	case 3:
		return Input{Taken: true}
	case 4:
		if rapid.IntRange(0, 5).Draw(t, "lost") == 0 {
			return Input{Lost: "its file is damaged"}
		}
	}
	l := &Look{Asked: s.Asked + uint64(rapid.IntRange(0, 3).Draw(t, "asked"))}
	if rapid.IntRange(0, 10).Draw(t, "harm") == 0 {
		l.Others = []Verdict{{Metric: "x", Role: rapid.SampledFrom([]Role{Guardrail, Goal, Signal, Info}).Draw(t, "role"), Outcome: Fail, Sentence: "bad"}}
	}
	if rapid.Bool().Draw(t, "good") {
		l.Segments = []Segment{wellSegment()}
	}
	return Input{Look: l}
}

// A telemetry.db that was lost is made anew from the log, and what the log has lost is not asked again. The candidate is asked all the same.
func TestFiguresThatBeginAnewAreNoSilence(t *testing.T) {
	now := time.Unix(1e9, 0)
	s, _, err := Begin("m-1", Plan{
		Name: "m", Service: "s", Stable: "a", Candidate: "b", Strategy: Canary, FalseRollback: 0.05, FalsePromotion: 0.05, Lease: time.Minute,
		NoData: 10 * time.Minute, OnNoData: Rollback, Steps: []PlanStep{{Kind: SetWeight, Percent: 10}, {Kind: Pause, Duration: 24 * time.Hour}},
	}, Bound{Version: "1"}, Bound{Version: "2"}, "ann", now)
	if err != nil {
		t.Fatal(err)
	}
	look := func(minutes int, asked func(minute int) uint64) {
		t.Helper()
		for minute := range minutes {
			now = now.Add(time.Minute)
			if s, _, err = Step(s, Input{Look: &Look{Asked: asked(minute)}}, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	look(30, func(minute int) uint64 { return 1_000_000 + uint64(minute) })
	look(30, func(minute int) uint64 { return uint64(minute) })
	if s.Phase != Running || s.Held != "" {
		t.Fatalf("%s, held %q, for %q: it was asked each minute", s.Phase, s.Held, s.Reason)
	}
	if look(12, func(int) uint64 { return 29 }); s.Phase != RollingBack {
		t.Errorf("%s: nobody asks it any more", s.Phase)
	}
}

// wellSegment is enough data for errors to pass.
func wellSegment() Segment {
	s := Segment{Share: 0.5}
	for b := range Buckets {
		s.Stable.Failed[b] = stat.Pair{Y: 1, Z: 1000}
		s.Candidate.Failed[b] = stat.Pair{Y: 1, Z: 1000}
	}
	s.Stable.Erred, s.Candidate.Erred = Buckets, Buckets
	return s
}

// Whatever happens in whatever order: weights are those of a step of the plan, or 0; no transition is lost or has another's number; who goes
// back never gives the candidate anybody again; and a state that was written down goes on as the one that was not.
func TestWhateverHappensAReleaseKeepsToItsPlan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := drawPlan(rt)
		now := time.Unix(1e9, 0)
		s, told, err := Begin("m-1", plan, Bound{Version: "1"}, Bound{Version: "2"}, "ann", now)
		if err != nil {
			rt.Fatal(err)
		}
		allowed := []float64{0}
		for _, step := range plan.Steps {
			if step.Kind == SetWeight {
				allowed = append(allowed, step.Percent)
			}
		}
		seq, back := 0, false
		check := func(told []Transition, s *State) {
			for _, x := range told {
				if seq++; x.Seq != seq {
					rt.Fatalf("transition %d comes after %d", x.Seq, seq-1)
				}
				if x.Sentence == "" || !slices.Contains(allowed, x.Percent) && (x.Phase != Promoted || x.Percent != 100) {
					rt.Fatalf("transition %+v", x)
				}
			}
			keys := map[string]bool{}
			for _, e := range s.Due {
				if keys[e.Key] {
					rt.Fatalf("%s is due twice", e.Key)
				}
				keys[e.Key] = true
			}
			back = back || s.Phase == RollingBack
			switch {
			case s.Phase == Promoted && s.Percent() != map[bool]float64{true: 100}[plan.Model == "" && plan.Hooks == nil]:
				rt.Fatalf("it is promoted, and the candidate has %v%%", s.Percent())
			case s.Seq != seq, s.Phase != Promoted && !slices.Contains(allowed, s.Percent()), back && s.Percent() != 0:
				rt.Fatalf("after %d transitions, back %v: %d, %v%%", seq, back, s.Seq, s.Percent())
			case s.Over() == s.Ended.IsZero(), s.Over() && len(s.Due) > 0, back && s.Phase == Promoted:
				rt.Fatalf("%+v", s)
			case !s.Over() && s.Phase != Running && len(s.Due) == 0:
				rt.Fatalf("it is %s, and nothing is due: it would never end", s.Phase)
			}
		}
		check(told, &s)
		for range rapid.IntRange(0, 60).Draw(rt, "inputs") {
			now = now.Add(time.Duration(rapid.IntRange(-3, 10).Draw(rt, "time")) * 20 * time.Second)
			in := drawInput(rt, &s)
			before := s.Phase
			next, told, err := Step(s, in, now)
			again, toldAgain, errAgain := Step(reread(t, s), in, now)
			if (err == nil) != (errAgain == nil) || len(told) != len(toldAgain) || next.Phase != again.Phase || next.At != again.At || next.Elapsed != again.Elapsed {
				rt.Fatalf("what was written down goes another way: %v %v, %v %v", next.Phase, again.Phase, err, errAgain)
			}
			if err != nil && (in.Command == nil || next.Seq != s.Seq) {
				rt.Fatalf("%+v: %v", in, err)
			}
			if in.Look != nil && before == Running && len(in.Look.Others) > 0 && in.Look.Others[0].Role == Guardrail && next.Phase != RollingBack {
				rt.Fatalf("a guardrail failed, and it is %s", next.Phase)
			}
			s = next
			check(told, &s)
		}
	})
}

// A release whose effects get done and whose people decide ends, whatever came before.
func TestEveryReleaseCanBeEnded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Unix(1e9, 0)
		s, _, err := Begin("m-1", drawPlan(rt), Bound{Version: "1"}, Bound{Version: "2"}, "ann", now)
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 30).Draw(rt, "inputs") {
			now = now.Add(time.Minute)
			if next, _, err := Step(s, drawInput(rt, &s), now); err == nil {
				s = next
			}
		}
		if s.Phase == Running || s.Phase == Promoting {
			if s, _, err = Step(s, Input{Command: &Command{What: WantAbort, By: "ann"}}, now); err != nil {
				rt.Fatal(err)
			}
		}
		for n := 0; !s.Over(); n++ {
			if n > 20 {
				rt.Fatalf("it does not end: %s, %+v", s.Phase, s.Due)
			}
			if s, _, err = Step(s, Input{Done: &Done{Key: s.Due[0].Key}}, now); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func TestPlansThatCannotBe(t *testing.T) {
	good := Plan{Name: "m", Stable: "a", Candidate: "b", Steps: []PlanStep{{Kind: Pause}}}
	for name, c := range map[string]struct {
		plan              Plan
		stable, candidate string
	}{
		"no steps":    {Plan{Name: "m", Stable: "a", Candidate: "b"}, "1", "2"},
		"the same":    {good, "1", "1"},
		"one variant": {Plan{Name: "m", Stable: "a", Candidate: "a", Steps: good.Steps}, "1", "2"},
	} {
		if _, _, err := Begin("m-1", c.plan, Bound{Version: c.stable}, Bound{Version: c.candidate}, "ann", time.Now()); err == nil || !strings.Contains(err.Error(), " ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An analysis whose time is up is held once; whoever lets it go on gives it the time again.
func TestWhoeverResumesAnAnalysisGivesItItsTimeAgain(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := Plan{
		Name: "a", Service: "a", Stable: "s", Candidate: "c", OnInconclusive: Hold, MaxDuration: 2 * time.Hour, Lease: time.Hour,
		FalseRollback: 0.05, FalsePromotion: 0.05, Steps: []PlanStep{{Kind: SetWeight, Percent: 10}, {Kind: Analysis, Duration: time.Hour}},
		Metrics: []Metric{{Name: "errors", Role: Goal, Measure: Errors, Versus: true, Margin: 0.01}},
	}
	s, _, err := Begin("a-1", p, Bound{Version: "1"}, Bound{Version: "2"}, "ann", now)
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	step := func(in Input) {
		t.Helper()
		next, told, err := Step(s, in, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range told {
			if x.What == Held {
				held++
			}
		}
		s = next
	}
	for want := 1; want <= 4; want++ { // the third time it is the release's time that is up besides
		for range 6 {
			now = now.Add(10 * time.Minute)
			step(Input{Look: &Look{}})
		}
		if held != want || s.Held == "" {
			t.Fatalf("after %d hours it was held %d times: %q", want, held, s.Held)
		}
		step(Input{Command: &Command{What: WantResume, By: "ann"}})
		now = now.Add(time.Second)
		if step(Input{Look: &Look{}}); s.Held != "" {
			t.Fatalf("it is held again at once: %s", s.Held)
		}
	}
}
