package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// gate lets in as many requests as an upstream is to be asked at once. It is Envoy's circuit breakers: over HTTP/1.1, where a request has a
// connection to itself, requests beyond MaxConnections wait in line, unless MaxRequests is less; over h2 those beyond MaxRequests are
// refused. Who cannot wait is refused at once: a refusal costs nobody anything, a line that grows costs everyone their deadline. For
// the same reason nobody waits for longer than a quarter of the time that there is.
type gate struct {
	room    int64 // in at once
	places  int   // in the line
	in      atomic.Int64
	waiting atomic.Int64 // in the line; those who come see from it that there is one
	refused atomic.Int64
	full    *Failure

	mu   sync.Mutex
	line []chan struct{} // who waits, longest first; closed to let in
}

// open prepares g. multiplexed says that connections carry many requests.
func (g *gate) open(b Breaker, multiplexed bool) {
	g.room, g.places = int64(b.MaxRequests), 0
	if !multiplexed && b.MaxConnections <= b.MaxRequests {
		g.room, g.places = int64(b.MaxConnections), b.MaxPendingRequests
	}
	g.full = &Failure{Why: Full, Err: fmt.Errorf("%d requests are with the upstream, and %d wait for it", g.room, g.places)}
}

// tryEnter lets one in if there is room and nobody waits.
func (g *gate) tryEnter() bool {
	if g.waiting.Load() > 0 {
		return false
	}
	return g.take()
}

func (g *gate) take() bool {
	if g.in.Add(1) <= g.room {
		return true
	}
	g.leave()
	return false
}

// leave lets one out, and the one that has waited longest in.
//
// Who waits looks for room after it counted itself as waiting, and who leaves looks for who waits after it made room. One of them sees the
// other: no place stays empty while someone waits for it.
func (g *gate) leave() {
	g.in.Add(-1)
	if g.waiting.Load() > 0 {
		g.mu.Lock()
		g.admit()
		g.mu.Unlock()
	}
}

// admit lets in those who wait as far as there is room. The lock is held.
func (g *gate) admit() {
	for len(g.line) > 0 && g.in.Load() < g.room {
		if g.in.Add(1) > g.room {
			g.in.Add(-1)
			continue
		}
		close(g.line[0])
		g.line = slices.Delete(g.line, 0, 1)
		g.waiting.Add(-1)
	}
}

// wait waits for room until the deadline, which is that far off; 0: there is none.
func (g *gate) wait(ctx context.Context, left time.Duration) *Failure {
	g.mu.Lock()
	if len(g.line) >= g.places {
		g.mu.Unlock()
		g.refused.Add(1)
		return g.full
	}
	place := make(chan struct{})
	g.line = append(g.line, place)
	g.waiting.Add(1)
	g.admit()
	g.mu.Unlock()

	var late <-chan time.Time
	if left > 0 {
		timer := time.NewTimer(left / 4)
		defer timer.Stop()
		late = timer.C
	}
	f := &Failure{Why: Full, Err: errors.New("no connection to the upstream became free in a quarter of the time")}
	select {
	case <-place:
		return nil
	case <-late:
	case <-ctx.Done():
		f = gone(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.line, place); i >= 0 {
		if f.Why == Full {
			g.refused.Add(1)
		}
		g.line = slices.Delete(g.line, i, i+1)
		g.waiting.Add(-1)
		return f
	}
	g.in.Add(-1) // it was let in after all
	g.admit()
	return f
}

// gone says why a request ended whose context is done.
func gone(ctx context.Context) *Failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Failure{Why: Late, Err: ctx.Err()}
	}
	return &Failure{Why: Gone, Err: context.Cause(ctx)}
}
