package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/traffic"
)

// expiryRetry is how long Run waits after the end of an override could not be written down.
const expiryRetry = 5 * time.Second

// Run ends overrides on time until ctx ends. What the disk refuses to keep is tried again: the override holds until then, as another
// policy version that nothing keeps would be given out twice.
func (t *trafficState) Run(ctx context.Context, log *slog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if next, any := t.next(); any {
			timer.Reset(max(0, next.Sub(t.now())))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.changed:
			continue
		case <-timer.C:
		}
		if err := t.expire(ctx, log); err != nil && ctx.Err() == nil {
			log.Error("an override's end could not be written down; it holds until it can", "error", err)
			timer.Reset(expiryRetry)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		}
	}
}

// next returns when the first override ends, if any does.
func (t *trafficState) next() (first time.Time, any bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.deadlines {
		if !any || d.at.Before(first) {
			first, any = d.at, true
		}
	}
	return first, any
}

// expire takes away the overrides that have ended, and applies what holds then.
func (t *trafficState) expire(ctx context.Context, log *slog.Logger) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for service, d := range t.deadlines {
		if now.Before(d.at) {
			continue
		}
		var doc trafficDoc
		err := t.state.Update(ctx, func(tx store.Tx) (err error) {
			if doc, err = getTraffic(tx, service); err != nil {
				return err
			}
			return doc.expire(tx, now) // which is this deadline's, as nobody else writes while a server runs
		})
		if err != nil {
			return err
		}
		log.Info("an override has ended", "service", service, "policyVersion", doc.PolicyVersion)
		t.hold(doc, now)
	}
	return nil
}

// declaredBy returns the services that the configuration names.
func declaredBy(c *config.Config) []declared {
	list := make([]declared, len(c.Services))
	for i := range c.Services {
		s := &c.Services[i]
		list[i] = declared{s.Name, s.VariantNames(), s.Traffic.FileWeights(s.VariantNames())}
	}
	return list
}

// applyTraffic lets weights decide for a service from now on.
func (s *server) applyTraffic(service string, w traffic.Weights, epoch uint32, policyVersion uint64) {
	running := s.gateway.Service(service)
	if running == nil {
		return // it is not served in this process
	}
	policy, err := running.Policy().With(w, epoch, policyVersion)
	if err != nil { // they were checked when they were set
		s.options.Log.Error("weights cannot be applied; those before hold", "service", service, "error", err)
		return
	}
	running.SetPolicy(policy)
}
