package app

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serin-ml/serin/internal/release"
)

// scripted is a Prometheus server that says what it is told to, after a while.
type scripted struct {
	mu    sync.Mutex
	asked int
	takes time.Duration
	value float64
	err   error
}

func (s *scripted) Ask(ctx context.Context, _ string) (float64, error) {
	s.mu.Lock()
	s.asked++
	takes, value, err := s.takes, s.value, s.err
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(takes):
		return value, err
	}
}

func (s *scripted) says(value float64, err error, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value, s.err, s.takes = value, err, takes
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

var askedPlan = release.Plan{Metrics: []release.Metric{
	{Name: "own", Role: release.Guardrail, Measure: release.Errors},
	{Name: "latency", Role: release.Guardrail, Measure: release.Query, Server: "main", Query: "q", Limit: 0.5},
	{Name: "rule", Role: release.Goal, Measure: release.Expression, Expr: "candidate.errors < 0.1"},
	{Name: "hits", Role: release.Info, Measure: release.Query, Server: "main", Query: "hits", Limit: 0.1, Higher: true},
	{Name: "gone", Role: release.Goal, Measure: release.Query, Server: "other", Query: "q"},
	{Name: "wrong", Role: release.Goal, Measure: release.Expression, Expr: "candidate.errors <"},
}}

// outcomes are the verdicts' first letters, in their order.
func outcomes(verdicts []release.Verdict) string {
	var all []string
	for _, v := range verdicts {
		all = append(all, v.Metric+" "+string(v.Outcome))
	}
	return strings.Join(all, ", ")
}

func TestQueriesAreJudgedByTheLastAnswerAndWaitForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &scripted{value: 0.3, takes: time.Second}
		q := newQueries(map[string]asker{"main": server}, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error, 1)
		go func() { running <- q.Run(ctx) }()
		expect := func(what, latency, hits string) {
			t.Helper()
			at := time.Now()
			got := outcomes(q.Verdicts(ctx, &askedPlan, &release.Look{}))
			want := "latency " + latency + ", rule inconclusive, hits " + hits + ", gone inconclusive, wrong inconclusive"
			if got != want || time.Since(at) > 0 {
				t.Errorf("%s: %s, want %s, after %v", what, got, want, time.Since(at))
			}
		}
		ticks := func(n int) {
			for range n {
				time.Sleep(500 * time.Millisecond)
				q.Verdicts(ctx, &askedPlan, &release.Look{})
			}
		}
		expect("before an answer", "inconclusive", "inconclusive")
		ticks(3)
		expect("after it", "pass", "pass")
		ticks(60)
		if n := server.count(); n < 6 || n > 8 {
			t.Errorf("two queries were asked %d times in half a minute", n)
		}
		server.says(0.6, nil, 0)
		ticks(22)
		expect("above the limit", "fail", "pass")
		server.says(0.05, nil, 0)
		ticks(22)
		expect("few hits", "pass", "fail")
		server.says(0, errors.New("NaN, as of a division"), 0)
		ticks(22)
		expect("no number", "inconclusive", "inconclusive")
		server.says(0.3, nil, 0)
		ticks(22)
		expect("a number again", "pass", "pass")
		server.says(0.3, nil, time.Hour) // it hangs
		ticks(100)
		expect("an answer that is too old", "inconclusive", "inconclusive")
		v := q.Verdicts(ctx, &askedPlan, &release.Look{})
		if !strings.Contains(v[0].Sentence, "has not answered for") || !strings.Contains(v[3].Sentence, `"other"`) || !strings.Contains(v[4].Sentence, "candidate.errors <") {
			t.Errorf("%+v", v)
		}
		cancel()
		if err := <-running; err != nil {
			t.Error(err)
		}
	})
}

func TestAReloadForgetsWhatOldServersSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueries(map[string]asker{"main": &scripted{value: 0.3}}, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error, 1)
		go func() { running <- q.Run(ctx) }()
		q.Verdicts(ctx, &askedPlan, &release.Look{})
		synctest.Wait()
		q.setServers(map[string]asker{"main": &scripted{value: 0.9}})
		if v := q.Verdicts(ctx, &askedPlan, &release.Look{}); v[0].Outcome != release.Inconclusive {
			t.Errorf("%+v", v[0])
		}
		synctest.Wait()
		if v := q.Verdicts(ctx, &askedPlan, &release.Look{}); v[0].Outcome != release.Fail {
			t.Errorf("%+v", v[0])
		}
		cancel()
		if err := <-running; err != nil {
			t.Error(err)
		}
	})
}

func TestQueriesThatNobodyWantsAreForgotten(t *testing.T) {
	now := time.Unix(1e9, 0)
	q := newQueries(map[string]asker{"main": &scripted{}}, func() time.Time { return now })
	q.Verdicts(t.Context(), &askedPlan, &release.Look{})
	if len(q.asked) != 2 || len(q.conditions) != 2 {
		t.Fatalf("%d queries, %d expressions", len(q.asked), len(q.conditions))
	}
	now = now.Add(3 * forgotten)
	q.Verdicts(t.Context(), &release.Plan{Metrics: []release.Metric{{Measure: release.Query, Server: "main", Query: "another"}}}, &release.Look{})
	if len(q.asked) != 1 || len(q.conditions) != 0 {
		t.Errorf("%d queries, %d expressions", len(q.asked), len(q.conditions))
	}
}
