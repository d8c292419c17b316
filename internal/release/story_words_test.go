package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// reread is the state as it comes back from where it is written down, but for the clock of whoever runs it.
func reread(t *testing.T, s State) (back State) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	back.seen = s.seen
	return back
}

// alike are numbers of which no finite one differs: JSON does not tell the others apart.
func alike(a, b Number) bool {
	finite := func(n Number) bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }
	return a == b || !finite(a) && !finite(b)
}

func (s *story) scan(text, format string, to ...any) {
	s.t.Helper()
	if n, err := fmt.Sscanf(text, format, to...); err != nil || n != len(to) {
		s.t.Fatalf("%q is not like %q: %v", text, format, err)
	}
}

// planStep reads: 20%, pause 12h, analysis, analysis 6h, approval, copies of 50%.
func (s *story) planStep(text string) (step PlanStep) {
	s.t.Helper()
	word, rest, _ := strings.Cut(text, " ")
	var err error
	switch word {
	case "pause", "analysis", "approval":
		step.Kind = StepKind(word)
		if rest != "" {
			step.Duration, err = time.ParseDuration(rest)
		}
	case "copies":
		step.Kind = Mirror
		s.scan(rest, "of %g%%", &step.Percent)
	default:
		step.Kind = SetWeight
		s.scan(text, "%g%%", &step.Percent)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return step
}

// metric reads: by errors against stable (guardrail), by the mean latency below 500ms (guardrail), ...
func (s *story) metric(text string) Metric {
	s.t.Helper()
	text, role, _ := strings.Cut(strings.TrimSuffix(text, ")"), " (")
	m := Metric{Name: strings.ReplaceAll(strings.TrimPrefix(text, "by "), " ", "-"), Role: Role(role)}
	switch words := strings.TrimPrefix(text, "by "); {
	case words == "errors against stable":
		m.Measure, m.Versus, m.Margin = Errors, true, 0.01
	case words == "latency against stable":
		m.Measure, m.Versus, m.Margin = Latency, true, 0.02
	case words == "accuracy against stable":
		m.Measure, m.Versus, m.Margin = Accuracy, true, 0.02
	case strings.HasPrefix(words, "the rule "):
		m.Name, m.Measure, m.Expr = "rule", Expression, strings.TrimPrefix(words, "the rule ")
	case strings.HasPrefix(words, "what the monitor says of complaints, at most "):
		m.Name, m.Measure, m.Server, m.Query = "complaints", Query, "monitor", "sum(complaints)"
		s.scan(words, "what the monitor says of complaints, at most %g", &m.Limit)
	case strings.HasPrefix(words, "the mean latency below "):
		d, err := time.ParseDuration(strings.TrimPrefix(words, "the mean latency below "))
		if err != nil {
			s.t.Fatal(err)
		}
		m.Measure, m.Limit = Latency, d.Seconds()
	default:
		s.t.Fatalf("a story cannot judge %q", text)
	}
	return m
}

// setting reads: on restart resume, without data rollback, inconclusive rollback, at most 48h, hooks.
func (s *story) setting(text string) {
	s.t.Helper()
	at := strings.LastIndexByte(text, ' ')
	what, value := text[:max(at, 0)], text[at+1:]
	switch what {
	case "on restart":
		s.plan.OnRestart = Policy(value)
	case "without data":
		s.plan.OnNoData = Policy(value)
	case "inconclusive":
		s.plan.OnInconclusive = Policy(value)
	case "at most":
		d, err := time.ParseDuration(value)
		if err != nil {
			s.t.Fatal(err)
		}
		s.plan.MaxDuration = d
	case "by":
		s.plan.Model, s.plan.Alias = "", ""
		s.plan.Hooks = []Hook{{Name: Build}, {Name: Deploy}, {Name: Ready}, {Name: Undo}}
	default:
		s.t.Fatalf("a story cannot set %q", text)
	}
}

// others judges what the figures do not tell: rules, and what the monitor says.
func (s *story) others() (verdicts []Verdict) {
	s.t.Helper()
	for i := range s.plan.Metrics {
		switch m := &s.plan.Metrics[i]; m.Measure {
		case Expression:
			c, err := NewCondition(m.Expr)
			if err != nil {
				s.t.Fatal(err)
			}
			verdicts = append(verdicts, c.Verdict(m, s.world.segments))
		case Query:
			if s.monitor == "nothing" {
				verdicts = append(verdicts, QueryVerdict(m, 0, errors.New("its server does not answer")))
				continue
			}
			var value float64
			s.scan(s.monitor, "%g", &value)
			verdicts = append(verdicts, QueryVerdict(m, value, nil))
		default:
		}
	}
	return verdicts
}

// behave reads how the candidate is.
func (s *story) behave(text string) {
	s.t.Helper()
	like := behaviour{errors: 1, slower: 1}
	var times, percent float64
	switch rest := strings.TrimPrefix(text, "candidate "); {
	case rest == "is as good as stable":
	case rest == "fails always":
		like.errors = 1e9
	case strings.HasPrefix(rest, "fails"):
		s.scan(rest, "fails %g times as often", &times)
		like.errors = times
	case strings.Contains(rest, "slower"):
		s.scan(rest, "is %g%% slower", &percent)
		like.slower = 1 + percent/100
	case strings.Contains(rest, "right"):
		s.scan(rest, "is right %g%% less", &percent)
		like.right = percent / 100
	default:
		s.t.Fatalf("a candidate cannot be %q", text)
	}
	s.like = like
}
