package app

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// ErrTerminated is the cause of a Serve's context that ends because a process manager wants it so. Whoever sends traffic has to learn of
// it first, so that the server goes on for server.drainDelay. Any other end of the context is acted on at once.
var ErrTerminated = errors.New("told to terminate")

// stopping waits for the end of ctx, or of parts, which is one of them failing, and then until the parts are to end:
//
//	told ──────────── drainDelay ────────────► listeners close ── drain ──► cut off
//	/readyz: 503      second half: answers
//	at once           close their connections
func (s *server) stopping(ctx, parts context.Context) {
	select {
	case <-ctx.Done():
	case <-parts.Done():
	}
	s.gateway.Drain()
	c := s.settings.Load().Server
	if delay := c.DrainDelay; errors.Is(context.Cause(ctx), ErrTerminated) && delay > 0 {
		s.options.Log.Info("stopping; /readyz says so, and requests are taken for a while yet", "drainDelay", delay)
		pause(parts, delay/2)
		s.parting.now.Store(true)
		pause(parts, delay-delay/2)
	}
	s.options.Log.Info("stopping; requests in flight are answered", "drain", c.Drain)
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// parting is a handler that, once the time has come, closes each connection behind its next answer: a client that keeps connections and
// never looks at /readyz moves on without a failed request. Over h2 the same header makes net/http send GOAWAY.
type parting struct {
	http.Handler
	now atomic.Bool
}

// ServeHTTP implements http.Handler.
func (p *parting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.now.Load() {
		w.Header()["Connection"] = []string{"close"}
	}
	p.Handler.ServeHTTP(w, r)
}
