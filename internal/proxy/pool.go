package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// pool keeps an instance's connections. The one used last is taken first, so that few stay warm and the others go.
type pool struct {
	maxOpen, maxIdle, maxPending int
	timeout                      time.Duration        // after which an idle connection goes
	now                          func() time.Duration // since some time

	mu      sync.Mutex
	idle    []*conn // by when they were given back
	count   int     // connections that are open or being made
	waiting []chan *conn
	closed  bool
	timer   *time.Timer // runs while there are idle connections
	running bool
}

func (p *pool) open(o transportOptions) {
	p.maxOpen, p.maxIdle, p.maxPending, p.timeout = o.MaxConnections, o.MaxIdle, o.MaxPending, o.IdleTimeout
	start := time.Now()
	p.now = func() time.Duration { return time.Since(start) }
}

var errFull = errors.New("all connections are in use, and as many requests as may wait for one")

// get returns an idle connection. If it returns nil and no failure, the caller may make one, and gives it back by put or drop, or says that
// it could not by drop(nil).
func (p *pool) get(ctx context.Context, deadline time.Time, fresh bool) (*conn, *Failure) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 && !fresh {
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	if p.maxOpen == 0 || p.count < p.maxOpen {
		p.count++
		p.mu.Unlock()
		return nil, nil
	}
	if n := len(p.idle); n > 0 { // a fresh one is wanted: an idle one makes room
		c := p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
		p.mu.Unlock()
		c.Close()
		return nil, nil
	}
	if len(p.waiting) >= p.maxPending {
		p.mu.Unlock()
		return nil, &Failure{Why: Full, Err: errFull}
	}
	place := make(chan *conn, 1)
	p.waiting = append(p.waiting, place)
	p.mu.Unlock()
	return p.wait(ctx, deadline, place)
}

// wait waits until a connection, or room for one, comes to place.
func (p *pool) wait(ctx context.Context, deadline time.Time, place chan *conn) (*conn, *Failure) {
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	f := &Failure{Why: Late, Err: errors.New("no connection became free")}
	select {
	case c := <-place:
		return c, nil
	case <-late:
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			f = &Failure{Why: Gone, Err: context.Cause(ctx)}
		}
	}
	p.mu.Lock()
	if i := slices.Index(p.waiting, place); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.mu.Unlock()
		return nil, f
	}
	p.mu.Unlock()
	if c := <-place; c != nil { // it came after all, for the next
		p.put(c)
	} else {
		p.drop(nil)
	}
	return nil, f
}

// put keeps a connection that can be used again.
func (p *pool) put(c *conn) {
	c.since = p.now()
	p.mu.Lock()
	switch {
	case p.closed:
	case len(p.waiting) > 0:
		p.next() <- c
		p.mu.Unlock()
		return
	case len(p.idle) < p.maxIdle:
		p.idle = append(p.idle, c)
		if !p.running {
			p.run()
		}
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.drop(c)
}

// next returns the place of the one that has waited longest. The lock is held.
func (p *pool) next() chan *conn {
	place := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return place
}

// drop closes a connection and makes room for another.
func (p *pool) drop(c *conn) {
	if c != nil {
		c.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.next() <- nil
		return
	}
	p.count--
}

// run starts the timer of sweeps. The lock is held.
func (p *pool) run() {
	p.running = true
	if p.timer == nil {
		p.timer = time.AfterFunc(p.timeout/4, p.sweep)
		return
	}
	p.timer.Reset(p.timeout / 4)
}

// sweep closes connections that have been idle for long, and those that the instance has closed.
func (p *pool) sweep() {
	now := p.now()
	p.mu.Lock()
	kept, gone := p.idle[:0], []*conn(nil)
	for _, c := range p.idle {
		if idle := now - c.since; idle >= p.timeout || idle >= p.timeout/4 && !c.quiet() {
			gone = append(gone, c)
			continue
		}
		kept = append(kept, c)
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	if p.running = len(kept) > 0 && !p.closed; p.running {
		p.run()
	}
	p.mu.Unlock()
	p.leave(gone)
}

// leave closes connections that are idle. TLS says so to the instance; it waits for nobody, as nothing is under way.
func (p *pool) leave(idle []*conn) {
	for _, c := range idle {
		c.Conn.Close()
		p.drop(nil)
	}
}

// close closes idle connections, and has the others closed when they come back.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.leave(idle)
}

func (p *pool) stats() (open, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, len(p.idle)
}
