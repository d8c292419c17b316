package app

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/traffic"
)

// applyTraffic makes weights hold. For one service it is called in the order of policy versions.
type applyTraffic func(service string, w traffic.Weights, epoch uint32, policyVersion uint64)

// declared is a service as the file says it.
type declared struct {
	service  string
	variants []string
	weights  traffic.Weights // traffic.Spec.FileWeights
}

// trafficState keeps the layers of weights of each service in the state, with all their changes. In a server it applies them, and ends
// overrides on time (see Run). It is safe for concurrent use.
type trafficState struct {
	state store.State
	now   func() time.Time

	mu        sync.Mutex          // held from a change of the state until it is applied
	deadlines map[string]deadline // by service: when its override ends, as a server counts it
	changed   chan struct{}       // holds one: a deadline is new
	leases    *leases             // what is applied, of releases while somebody runs them; nil where no server runs
}

// deadline is the end of an override. As it was never stored, it has a monotonic reading, and steps of the clock do not move it.
type deadline struct {
	policyVersion uint64
	at            time.Time
}

func newTrafficState(state store.State, now func() time.Time, apply applyTraffic) *trafficState {
	t := &trafficState{state: state, now: now, deadlines: map[string]deadline{}, changed: make(chan struct{}, 1)}
	if apply != nil {
		t.leases = newLeases(now, apply)
	}
	return t
}

// Declare tells what services there are by the file that a server starts with or reads anew, writes down what is new, and applies the
// weights of each. Overrides stay, but for those that have ended meanwhile.
func (t *trafficState) Declare(ctx context.Context, services []declared) error {
	return t.Redeclare(ctx, services, func(string, traffic.Weights, uint32, uint64) error { return nil }, func() {})
}

// Redeclare is Declare where services are about to take the place of others: weigh is told the weights of each, and may refuse, which
// changes nothing; then swap puts them in their place.
func (t *trafficState) Redeclare(ctx context.Context, services []declared, weigh func(service string, w traffic.Weights, epoch uint32, policyVersion uint64) error, swap func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var docs []trafficDoc
	err := t.state.Update(ctx, func(tx store.Tx) error {
		docs = nil
		known, err := allTraffic(tx)
		if err != nil {
			return err
		}
		for _, k := range known {
			stays := slices.ContainsFunc(services, func(d declared) bool { return d.service == k.Service })
			if stays || k.File == nil {
				continue
			}
			k.File = nil
			if err := k.change(tx, trafficChange{What: changeGone, At: now, By: byServer}); err != nil {
				return err
			}
		}
		for _, d := range services {
			doc, err := declare(tx, d, t.live, now)
			if err != nil {
				return err
			}
			weights, _ := t.layers(&doc, now).Effective(now)
			if err := weigh(d.service, weights, doc.Epoch, doc.PolicyVersion); err != nil {
				return err
			}
			docs = append(docs, doc)
		}
		return nil
	})
	if err != nil {
		return err
	}
	swap()
	clear(t.deadlines)
	for _, doc := range docs {
		t.hold(doc, now)
	}
	return nil
}

// declare brings a service's document up to date with the file and the time.
func declare(tx store.Tx, d declared, live func(trafficDoc) *traffic.Override, now time.Time) (trafficDoc, error) {
	doc, err := getTraffic(tx, d.service)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		doc = trafficDoc{Format: trafficFormat, Service: d.service, Epoch: 1}
	case err != nil:
		return doc, err
	}
	doc.Override = live(doc)
	file := &fileLayer{Variants: d.variants, Weights: d.weights}
	if !file.equal(doc.File) {
		if doc.Roles != nil && !sameShares(doc.File.weights(), file.Weights) {
			doc.Roles = nil // who edits the weights says anew who has which
		}
		doc.File = file
		if err := doc.change(tx, trafficChange{What: changeFile, Weights: d.weights, At: now, By: byServer}); err != nil {
			return doc, err
		}
	}
	if o := doc.Override; o != nil && o.Expired(now) {
		return doc, doc.expire(tx, now)
	}
	return doc, nil
}

// live returns a document's override, ending when this server counts that it does. t.mu is held.
func (t *trafficState) live(doc trafficDoc) *traffic.Override {
	d, counted := t.deadlines[doc.Service]
	if doc.Override == nil || !counted || d.policyVersion != doc.OverrideVersion {
		return doc.Override
	}
	o := *doc.Override
	o.Expires = d.at
	return &o
}

// hold applies a document's weights and watches over its override. t.mu is held.
func (t *trafficState) hold(doc trafficDoc, now time.Time) {
	if o := doc.Override; o != nil && !o.Expires.IsZero() {
		// From here on the override ends by the monotonic clock.
		t.deadlines[doc.Service] = deadline{doc.OverrideVersion, now.Add(o.Expires.Sub(now))}
	} else {
		delete(t.deadlines, doc.Service)
	}
	if t.leases != nil {
		t.leases.hold(&doc, t.layers(&doc, now), now)
	}
	select {
	case t.changed <- struct{}{}:
	default: // Run will look anyway
	}
}

// layers are a document's, its release led for as long as this server counts that it is. A server that has not heard from who runs the
// release since it was started gives the candidate nothing. t.mu is held.
func (t *trafficState) layers(doc *trafficDoc, now time.Time) traffic.Layers {
	l := doc.layers()
	if l.Release == nil || t.leases == nil {
		return l
	}
	led := *l.Release
	if until, counted := t.leases.until(doc.Service); counted {
		led.Lease = until
	} else if led.Lease.IsZero() || now.Before(led.Lease) {
		led.Lease = now
	}
	l.Release = &led
	return l
}

// Load implements api.Traffic.
func (t *trafficState) Load(ctx context.Context, changes int, services ...string) (all []api.ServiceTraffic, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	err = t.state.View(ctx, func(r store.Reader) error {
		all = nil
		docs, err := allTraffic(r)
		if err != nil {
			return err
		}
		if len(services) > 0 {
			if docs, err = pickTraffic(docs, services); err != nil {
				return err
			}
		}
		for _, doc := range docs {
			doc.Override = t.live(doc)
			s := doc.show(t.layers(&doc, now), now)
			if s.Changes, err = doc.last(r, changes); err != nil {
				return err
			}
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

// pickTraffic returns the documents of the named services.
func pickTraffic(docs []trafficDoc, services []string) (picked []trafficDoc, err error) {
	for _, name := range services {
		i := slices.IndexFunc(docs, func(d trafficDoc) bool { return d.Service == name })
		if i < 0 {
			return nil, noService(docs, name)
		}
		picked = append(picked, docs[i])
	}
	return picked, nil
}

// Set implements api.Traffic.
func (t *trafficState) Set(ctx context.Context, service string, o api.TrafficOverride) error {
	length, err := o.Duration()
	if err != nil {
		return err
	}
	return t.update(ctx, service, o.Expect, func(tx store.Tx, doc *trafficDoc, now time.Time) error {
		wish := &traffic.Override{Weights: maps.Clone(traffic.Weights(o.Weights)), Author: o.By, Reason: o.Why, At: now}
		if length > 0 {
			wish.Expires = now.Add(length)
		}
		if doc.File == nil {
			return fault.Conflictf("the service %s is not in the file that the server last ran with", service).
				WithHint("put it back into serin.yaml, and let the server reload it (`serin reload`)")
		}
		if err := wish.Check(doc.File.Variants); err != nil {
			return err
		}
		doc.Override, doc.OverrideVersion = wish, doc.PolicyVersion+1
		return doc.change(tx, trafficChange{What: changeSet, Weights: wish.Weights, Expires: wish.Expires, At: now, By: o.By, Why: o.Why})
	})
}

// Clear implements api.Traffic.
func (t *trafficState) Clear(ctx context.Context, service string, c api.TrafficClear) error {
	return t.update(ctx, service, c.Expect, func(tx store.Tx, doc *trafficDoc, now time.Time) error {
		if doc.Override == nil {
			return fault.NotFoundf("the service %s has no override", service).WithHint("`serin traffic show %s` shows whose weights hold", service)
		}
		doc.Override, doc.OverrideVersion = nil, 0
		return doc.change(tx, trafficChange{What: changeClear, At: now, By: c.By, Why: c.Why})
	})
}

// update changes the document of a service, if its policy version is the expected one, and applies what it says then.
func (t *trafficState) update(ctx context.Context, service string, expect *uint64, edit func(store.Tx, *trafficDoc, time.Time) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var doc trafficDoc
	err := t.state.Update(ctx, func(tx store.Tx) (err error) {
		if doc, err = findTraffic(tx, service); err != nil {
			return err
		}
		if expect != nil && *expect != doc.PolicyVersion {
			return fault.Conflictf("the traffic of %s is at policy version %d, not %d", service, doc.PolicyVersion, *expect).
				WithHint("somebody changed it meanwhile: look at `serin traffic show %s`, and decide anew", service)
		}
		doc.Override = t.live(doc)
		if o := doc.Override; o != nil && o.Expired(now) {
			if err := doc.expire(tx, now); err != nil {
				return err
			}
		}
		return edit(tx, &doc, now)
	})
	if err == nil {
		t.hold(doc, now)
	}
	return err
}

// Lead runs write, which may change the documents of the services, as one transaction of those who run releases, and then applies what the
// documents say. A release that a document names then leads its service until the end of the lease that it was given there.
func (t *trafficState) Lead(ctx context.Context, services []string, write func(tx store.Tx, docs []*trafficDoc) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	docs := make([]*trafficDoc, len(services))
	err := t.state.Update(ctx, func(tx store.Tx) error {
		for i, service := range services {
			doc, err := getTraffic(tx, service)
			if err != nil {
				return err
			}
			doc.Override = t.live(doc)
			docs[i] = &doc
		}
		return write(tx, docs)
	})
	if err != nil {
		return err
	}
	for _, doc := range docs {
		if t.leases != nil && doc.Release != nil {
			t.leases.renew(doc.Service, doc.Release.Lease)
		}
		t.hold(*doc, now)
	}
	return nil
}

// Refresh applies what the documents of services say since somebody else has written them. A release leads its service for what is left of
// the lease that it was given there.
func (t *trafficState) Refresh(ctx context.Context, services []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var docs []trafficDoc
	err := t.state.View(ctx, func(r store.Reader) error {
		docs = nil
		for _, service := range services {
			doc, err := getTraffic(r, service)
			if err != nil {
				return err
			}
			doc.Override = t.live(doc)
			docs = append(docs, doc)
		}
		return nil
	})
	for _, doc := range docs {
		if t.leases != nil && doc.Release != nil {
			t.leases.renew(doc.Service, leaseFrom(doc.Release.Lease, doc.Release.Length, now))
		}
		t.hold(doc, now)
	}
	return err
}
