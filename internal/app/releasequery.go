package app

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/release"
)

const (
	queryEvery = 10 * time.Second // at most so often one query is asked
	queryStale = 3 * queryEvery   // an answer that is older is none
	queriesAt  = 8                // that are asked at once
	forgotten  = 10 * time.Minute // an expression or a query that nobody wants is forgotten
)

// asker answers a query with one number.
type asker interface {
	Ask(ctx context.Context, query string) (float64, error)
}

// queries judges what releases are judged by besides Serin's own figures: expressions at once, and queries by the last answer of their server,
// which Run fetches, so that a server that is slow or down holds nobody up.
type queries struct {
	now  func() time.Time // monotonic
	wake chan struct{}

	mu         sync.Mutex
	servers    map[string]asker
	asked      map[promQuery]*reply
	conditions map[string]*condition
	swept      time.Time
}

// promQuery is a query of a server.
type promQuery struct{ server, query string }

// reply is what is known of a question.
type reply struct {
	seen, asked, answered time.Time // when somebody wanted it, it was asked, and it was answered, for the last time
	due, asking           bool
	value                 float64
	err                   error
}

// condition is an expression that was read, or why it cannot be.
type condition struct {
	*release.Condition
	err  error
	seen time.Time
}

// newQueries takes the servers by the names that metrics use.
func newQueries(servers map[string]asker, now func() time.Time) *queries {
	return &queries{now: now, wake: make(chan struct{}, 1), servers: servers, asked: map[promQuery]*reply{}, conditions: map[string]*condition{}}
}

// setServers takes the servers of a new configuration. What the old ones answered is forgotten.
func (q *queries) setServers(servers map[string]asker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.servers, q.asked = servers, map[promQuery]*reply{}
}

// Run asks what is wanted until the context ends.
func (q *queries) Run(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(queriesAt)
	for {
		select {
		case <-ctx.Done():
			return group.Wait()
		case <-q.wake:
		}
		for _, ask := range q.due() {
			group.Go(func() error { ask(ctx); return nil })
		}
	}
}

// due takes the questions that are to be asked.
func (q *queries) due() (asks []func(context.Context)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for of, r := range q.asked {
		if !r.due {
			continue
		}
		r.due, r.asking, r.asked = false, true, q.now()
		server := q.servers[of.server]
		asks = append(asks, func(ctx context.Context) {
			value, err := server.Ask(ctx, of.query)
			q.mu.Lock()
			defer q.mu.Unlock()
			r.value, r.err, r.answered, r.asking = value, err, q.now(), false
		})
	}
	return asks
}

// Verdicts judges the expressions and queries of a plan, as of now, in their order. It waits for nobody: a query is judged by an answer of the
// last half minute, and is inconclusive without one.
func (q *queries) Verdicts(_ context.Context, plan *release.Plan, look *release.Look) (verdicts []release.Verdict) {
	for i := range plan.Metrics {
		switch m := &plan.Metrics[i]; m.Measure {
		case release.Expression:
			c := q.condition(m.Expr)
			if c.err != nil {
				verdicts = append(verdicts, release.Verdict{Metric: m.Name, Role: m.Role, Outcome: release.Inconclusive, Sentence: c.err.Error()})
				continue
			}
			verdicts = append(verdicts, c.Verdict(m, look.Segments))
		case release.Query:
			value, err := q.answer(promQuery{m.Server, m.Query})
			verdicts = append(verdicts, release.QueryVerdict(m, value, err))
		case release.Latency, release.Errors, release.Fallbacks, release.Accuracy, release.Value, release.Agreement:
		}
	}
	return verdicts
}

// condition returns an expression, which is read once.
func (q *queries) condition(expr string) *condition {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweep()
	c := q.conditions[expr]
	if c == nil {
		c = &condition{}
		c.Condition, c.err = release.NewCondition(expr)
		q.conditions[expr] = c
	}
	c.seen = q.now()
	return c
}

// answer returns the last answer to a question, and sees to it that there will be a newer one.
func (q *queries) answer(of promQuery) (float64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweep()
	if q.servers[of.server] == nil {
		return 0, fault.NotFoundf("no Prometheus server %q is configured", of.server)
	}
	now := q.now()
	r := q.asked[of]
	if r == nil {
		r = &reply{}
		q.asked[of] = r
	}
	r.seen = now
	if !r.asking && !r.due && (r.asked.IsZero() || now.Sub(r.asked) >= queryEvery) {
		r.due = true
		select {
		case q.wake <- struct{}{}:
		default: // Run is about to look
		}
	}
	switch {
	case r.answered.IsZero():
		return 0, fault.Unavailablef("its server %s has not answered yet", of.server)
	case now.Sub(r.answered) > queryStale:
		return 0, fault.Unavailablef("its server %s has not answered for %v", of.server, now.Sub(r.answered).Round(time.Second))
	}
	return r.value, r.err
}

// sweep forgets what nobody has wanted for long.
func (q *queries) sweep() {
	now := q.now()
	if now.Sub(q.swept) < forgotten {
		return
	}
	q.swept = now
	for of, r := range q.asked {
		if now.Sub(r.seen) > forgotten && !r.asking {
			delete(q.asked, of)
		}
	}
	for expr, c := range q.conditions {
		if now.Sub(c.seen) > forgotten {
			delete(q.conditions, expr)
		}
	}
}
