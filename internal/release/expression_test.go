package release

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/stat"
)

// twoArms are figures of a thousand requests to either arm: 1% errors of stable's, 3% of the candidate's, answers after 100 and 200 ms, and
// ratings of 4 for the candidate alone. There are no labels.
func twoArms() []Segment {
	s := Segment{Share: 0.5}
	for i, a := range []*Arm{&s.Stable, &s.Candidate} {
		a.Failed[0] = stat.Pair{Y: 10 + 20*float64(i), Z: 1000}
		a.Took[0] = stat.Pair{Y: 0.1 * float64(i+1) * 900, Z: 900}
		a.Latencies[0] = new(stat.Sketch)
		a.Latencies[0].AddN(100_000*float64(i+1), 900)
	}
	s.Candidate.Values = map[string]*Pairs{"rating": {5: {Y: 1600, Z: 400}}}
	alone := s // the candidate has everything: nothing is compared
	alone.Share = 1
	return []Segment{s, alone}
}

func TestExpressionsAreJudgedByWhatIsKnown(t *testing.T) {
	for expr, want := range map[string]Outcome{
		"candidate.errors < 4*stable.errors":                                             Pass,
		"candidate.errors < 2*stable.errors && candidate.latency.p99 < 0.5":              Fail,
		"candidate.errors < 4 * stable.errors && candidate.latency.p99 < 0.5":            Pass,
		"candidate.latency.mean == 0.2 && stable.latency.mean == 0.1":                    Pass,
		"candidate.latency.p999 / stable.latency.p50 > 1.9":                              Pass,
		"candidate.requests == 1000 && candidate.labels == 0":                            Pass,
		"candidate.value.rating >= 4":                                                    Pass,
		"candidate.value['rating'] > 4":                                                  Fail,
		"candidate.value.reward > 0":                                                     Inconclusive, // nobody sent any
		"candidate.accuracy > 0.9":                                                       Inconclusive, // no labels
		"candidate.accuracy > 0.9 || candidate.errors < 0.1":                             Pass,         // whatever the accuracy is
		"candidate.accuracy > 0.9 && candidate.errors < 0.01":                            Fail,
		"candidate.agreement > 0.9":                                                      Inconclusive,
		"candidate.errors / stable.fallbacks < 1":                                        Inconclusive,
		"candidate.errors / (stable.errors - stable.errors) > 1":                         Inconclusive, // +Inf is no number
		"(stable.errors - stable.errors) / (stable.errors - stable.errors) < 1":          Inconclusive,
		"[candidate.errors, stable.errors].all(e, e < 0.05)":                             Pass,
		"candidate.errors < (stable.errors > 0.5 ? 0.9 : 0.04)":                          Pass,
		"candidate.value.rating / 2 == 2 && 7 / 2 > 3.4":                                 Pass,
		"candidate.latency.p50 > 0.198 && candidate.latency.p50 < 0.202 && !(2 > 3 - 0)": Pass,
	} {
		c, err := NewCondition(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		m := Metric{Name: "m", Role: Guardrail, Measure: Expression, Expr: expr}
		v := c.Verdict(&m, twoArms())
		if v.Outcome != want || v.Metric != "m" || v.Role != Guardrail || !strings.Contains(v.Sentence, expr) {
			t.Errorf("%s: %s, want %s: %s", expr, v.Outcome, want, v.Sentence)
		}
	}
}

func TestExpressionsWaitForRequests(t *testing.T) {
	segments := twoArms()
	segments[0].Candidate.Failed[0] = stat.Pair{Y: 100, Z: 299}
	for expr, want := range map[string]Outcome{"candidate.errors < 0.1": Inconclusive, "stable.errors < 0.1": Pass} {
		c, err := NewCondition(expr)
		if err != nil {
			t.Fatal(err)
		}
		if v := c.Verdict(&Metric{Measure: Expression}, segments); v.Outcome != want {
			t.Errorf("%s: %+v", expr, v)
		}
		if v := c.Verdict(&Metric{Measure: Expression, MinSample: 299}, segments); v.Outcome == Inconclusive {
			t.Errorf("%s: %+v", expr, v)
		}
		if v := c.Verdict(&Metric{Measure: Expression}, nil); v.Outcome != Inconclusive {
			t.Errorf("%s of nothing: %+v", expr, v)
		}
	}
}

func TestExpressionsThatCannotBe(t *testing.T) {
	for expr, says := range map[string]string{
		"":                                   "expression",
		"candidate.errors <":                 "expression",
		"candidate.errors":                   "no condition",
		"1 < 2":                              "says nothing",
		"candidate.error < 1":                "candidate.error",
		"canary.errors < 1":                  "canary",
		"candidate.latency.p98 < 1":          "p98",
		"candidate.errors < '1'":             "expression",
		"candidate.errors < 1; 2 < 1":        "expression",
		strings.Repeat("(", 300) + "1":       "expression",
		"1 < 2 " + strings.Repeat(" ", 4096): "longer",
	} {
		err := CheckExpr(expr)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v", expr, err)
		}
	}
}

// Of a shadow there are only comparisons.
func TestExpressionsOfAShadow(t *testing.T) {
	s := Segment{Share: 0.5}
	s.Candidate.Agreed[0] = stat.Pair{Y: 990, Z: 1000}
	for expr, want := range map[string]Outcome{"candidate.agreement > 0.98": Pass, "candidate.agreement > 0.995": Fail, "candidate.errors < 0.1": Inconclusive} {
		c, err := NewCondition(expr)
		if err != nil {
			t.Fatal(err)
		}
		if v := c.Verdict(&Metric{Measure: Expression}, []Segment{s}); v.Outcome != want || v.N != 1000 {
			t.Errorf("%s: %+v", expr, v)
		}
	}
}

// An evaluation that would not end in reasonable time is broken off.
func TestExpressionsAreBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", 60) + "1]"
	expr := list + ".all(a, " + list + ".all(b, " + list + ".all(c, " + list + ".all(d, a + b + c + d > candidate.errors))))"
	c, err := NewCondition(expr)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Verdict(&Metric{Measure: Expression}, twoArms()); v.Outcome != Inconclusive || !strings.Contains(v.Sentence, "cost") {
		t.Errorf("%+v", v)
	}
}

// A figure that is not known yet never makes an expression hold that another value of it would break.
func FuzzExpressions(f *testing.F) {
	f.Add("candidate.errors < 2*stable.errors && candidate.latency.p99 < 0.5")
	f.Add("candidate.value.rating / stable.value['rating'] > 1 || candidate.accuracy > 0.9")
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := NewCondition(expr)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%q: %v", expr, err)
			}
			return
		}
		m := Metric{Measure: Expression}
		v := c.Verdict(&m, twoArms())
		if v.Sentence == "" || !math.IsNaN(float64(v.Value)) {
			t.Fatalf("%q: %+v", expr, v)
		}
		labelled := twoArms()
		for right := range 2 {
			for _, a := range []*Arm{&labelled[0].Stable, &labelled[0].Candidate} {
				a.Right[0] = stat.Pair{Y: float64(right) * 100, Z: 100}
				a.Agreed[0] = stat.Pair{Y: float64(right) * 100, Z: 100}
			}
			other := c.Verdict(&m, labelled)
			if v.Outcome != Inconclusive && other.Outcome != v.Outcome && !strings.Contains(expr, "labels") {
				t.Fatalf("%q: %s, and with labels %s", expr, v.Sentence, other.Sentence)
			}
		}
	})
}

// What an expression or a query says counts once it has said so for as long as the metric wants, the good as much as the bad.
func TestWhatIsSaidElsewhereHasToLast(t *testing.T) {
	plan := Plan{
		Name: "m", Service: "s", Stable: "a", Candidate: "b", Strategy: Canary, Lease: time.Minute, OnRestart: Resume,
		Steps:   []PlanStep{{Kind: SetWeight, Percent: 20}, {Kind: Analysis}},
		Metrics: []Metric{{Name: "q", Role: Guardrail, Measure: Query, For: 30 * time.Second}},
	}
	for _, c := range []struct {
		name  string
		said  string // at each look, 10 s apart: p(ass), f(ail), i(nconclusive), - for nothing, t for a restart
		phase Phase
	}{
		{"a pass that lasts", "pppp", Promoting},
		{"a pass that does not yet", "ppp", Running},
		{"a fail that lasts", "ffff", RollingBack},
		{"a fail that does not yet", "fff", Running},
		{"a short fail among passes", "ppffppp", Running},
		{"passes that are broken by not knowing", "pppippp", Running},
		{"passes that are broken by silence", "ppp-ppp", Running},
		{"nothing is no pass", "----------", Running},
		{"not known is no pass", "iiiiiiiiii", Running},
		{"a restart begins anew", "ffftfff", Running},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			s, _, err := Begin("m-1", plan, Bound{Version: "1"}, Bound{Version: "2"}, "ann", now)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.said {
				now = now.Add(10 * time.Second)
				in := Input{Look: &Look{Asked: uint64(i)}}
				switch c.said[i] {
				case 'p', 'f', 'i':
					in.Look.Others = []Verdict{{Metric: "q", Sentence: "it says so", Outcome: map[byte]Outcome{'p': Pass, 'f': Fail, 'i': Inconclusive}[c.said[i]]}}
				case 't':
					in = Input{Taken: true}
				}
				seen := s.seen
				s = reread(t, s)
				s.seen = seen
				if s, _, err = Step(s, in, now); err != nil {
					t.Fatal(err)
				}
			}
			if s.Phase != c.phase {
				t.Errorf("it is %s: %+v", s.Phase, s.Verdicts)
			}
			if len(s.Verdicts) > 1 || len(s.Verdicts) == 1 && (s.Verdicts[0].Role != Guardrail || s.Verdicts[0].Sentence == "") {
				t.Errorf("%+v", s.Verdicts)
			}
		})
	}
}

func TestExpressionsAndQueriesTakeNoPartOfTheFalseRollbacks(t *testing.T) {
	metrics := []Metric{
		{Role: Guardrail, Measure: Errors}, {Role: Goal, Measure: Accuracy}, {Role: Guardrail, Measure: Query}, {Role: Goal, Measure: Expression},
		{Role: Info, Measure: Latency}, {Role: Signal, Measure: Latency},
	}
	if l := LevelsOf(0.05, 0.1, metrics); l != (Levels{Fail: 0.025, Pass: 0.1}) {
		t.Errorf("%+v", l)
	}
}

// A thousand requests say nothing of what hardly any of them brought back.
func TestExpressionsWaitForWhatEachFigureIsOf(t *testing.T) {
	segments := twoArms()
	segments[0].Candidate.Right[0] = stat.Pair{Y: 1, Z: 1}
	segments[0].Candidate.Agreed[0] = stat.Pair{Y: 20, Z: 20}
	segments[0].Candidate.Values["click"] = &Pairs{0: {Y: 2, Z: 2}}
	segments[0].Candidate.Latencies[0] = new(stat.Sketch)
	segments[0].Candidate.Latencies[0].AddN(1000, 20)
	for _, expr := range []string{
		"candidate.accuracy > 0.9", "candidate.agreement > 0.9", "candidate.value.click >= 1", "candidate.latency.p99 < 0.5",
	} {
		c, err := NewCondition(expr)
		if err != nil {
			t.Fatal(err)
		}
		if v := c.Verdict(&Metric{Measure: Expression}, segments); v.Outcome != Inconclusive {
			t.Errorf("%s: %+v", expr, v)
		}
		if v := c.Verdict(&Metric{Measure: Expression, MinSample: 1}, segments); v.Outcome != Pass {
			t.Errorf("%s, of as many as there are: %+v", expr, v)
		}
	}
}

// A shadow answers copies, of which there are no errors; they are its requests all the same.
func TestExpressionsJudgeShadows(t *testing.T) {
	var copies Pairs
	copies[0] = stat.Pair{Z: 1000}
	s := Segment{Share: 0.5, Stable: Arm{Paired: &copies}, Candidate: Arm{Paired: &copies}}
	s.Candidate.Agreed[0] = stat.Pair{Y: 980, Z: 1000}
	for expr, want := range map[string]Outcome{
		"candidate.agreement > 0.95": Pass, "candidate.agreement > 0.99": Fail, "candidate.agreement > 0.95 && stable.requests == 1000": Pass,
		"candidate.errors < 0.1": Inconclusive,
	} {
		c, err := NewCondition(expr)
		if err != nil {
			t.Fatal(err)
		}
		if v := c.Verdict(&Metric{Measure: Expression}, []Segment{s}); v.Outcome != want {
			t.Errorf("%s: %s, want %s: %s", expr, v.Outcome, want, v.Sentence)
		}
		if v := c.Verdict(&Metric{Measure: Expression, MinSample: 1001}, []Segment{s}); v.Outcome != Inconclusive {
			t.Errorf("%s, of too few: %+v", expr, v)
		}
	}
}
