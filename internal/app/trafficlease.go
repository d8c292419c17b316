package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/traffic"
)

// leases make weights hold, those of a release no longer than somebody runs it: where a lease ends, the candidate has 0. They wait for
// neither a disk nor whoever runs a release, so that this happens on time whatever becomes of both. They are safe for concurrent use.
type leases struct {
	now   func() time.Time
	apply applyTraffic

	mu      sync.Mutex // held while weights are applied, so that the last word is the newest
	held    map[string]led
	changed chan struct{} // holds one: a lease ends earlier than before
}

// led is a service whose traffic a release leads.
type led struct {
	until   time.Time // by a clock that does not step
	without traffic.Weights
	epoch   uint32
	shares  map[uint64]float64
	ended   bool
}

// unwritten is the policy version of weights that nobody has written down. Nothing is concluded from what they decided.
const unwritten = 0

func newLeases(now func() time.Time, apply applyTraffic) *leases {
	return &leases{now: now, apply: apply, held: map[string]led{}, changed: make(chan struct{}, 1)}
}

// until returns when the lease of a service's release ends, if this process has been given one.
func (l *leases) until(service string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.held[service]
	return h.until, ok
}

// lapsed tells whether the lease of a service's release has ended.
func (l *leases) lapsed(service string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.held[service]
	return ok && h.ended
}

// led returns the epoch in which a service is led and the candidate's shares by policy version; the map is not to be changed.
func (l *leases) led(service string) (epoch uint32, shares map[uint64]float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[service]
	return h.epoch, h.shares
}

// renew lets the release of a service lead it until then.
func (l *leases) renew(service string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[service]
	h.until = until
	l.held[service] = h
}

// end ends the lease of a service's release at once.
func (l *leases) end(service string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.held[service]; ok {
		l.lapse(service, h)
	}
}

// hold makes the weights of a document hold, by its layers.
func (l *leases) hold(d *trafficDoc, layers traffic.Layers, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	version := d.PolicyVersion
	if r := layers.Release; r == nil {
		delete(l.held, d.Service)
	} else {
		without, _ := layers.Effective(r.Lease)
		l.held[d.Service] = led{until: r.Lease, without: without, epoch: d.Epoch, shares: d.Release.Shares, ended: r.Lapsed(now)}
		if r.Lapsed(now) {
			version = unwritten
		}
		select {
		case l.changed <- struct{}{}:
		default: // Run will look anyway
		}
	}
	if d.File == nil {
		return
	}
	weights, _ := layers.Effective(now)
	l.apply(d.Service, weights, d.Epoch, version)
}

// lapse takes the candidate's weight away. l.mu is held.
func (l *leases) lapse(service string, h led) {
	h.ended = true
	if now := l.now(); now.Before(h.until) {
		h.until = now
	}
	l.held[service] = h
	if h.without != nil {
		l.apply(service, h.without, h.epoch, unwritten)
	}
}

// Run ends leases on time until ctx ends.
func (l *leases) Run(ctx context.Context, log *slog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if next, any := l.check(log); any {
			timer.Reset(max(0, next.Sub(l.now())))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
		case <-timer.C:
		}
	}
}

// check ends the leases whose time is over, and returns when the next one's is.
func (l *leases) check(log *slog.Logger) (next time.Time, any bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for service, h := range l.held {
		switch {
		case h.ended:
		case !now.Before(h.until):
			l.lapse(service, h)
			log.Error("nobody runs the release of a service any more: its candidate gets nothing until somebody does", "service", service)
		case !any || h.until.Before(next):
			next, any = h.until, true
		}
	}
	return next, any
}
