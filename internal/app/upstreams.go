package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/proxy"
)

// upstreams runs the upstreams of the services: their health checks, and looking up their names. One that no service has any more is closed;
// requests that are with it, or on their way to it, are answered all the same.
type upstreams struct {
	log     *slog.Logger
	now     func() time.Time
	told    proxy.Collector
	list    atomic.Pointer[[]*upstream]
	changed chan struct{} // holds one: look at the list
}

func newUpstreams(now func() time.Time, log *slog.Logger) *upstreams {
	u := &upstreams{log: log, now: now, changed: make(chan struct{}, 1)}
	u.list.Store(new([]*upstream))
	return u
}

// all returns those that run.
func (u *upstreams) all() []*upstream { return *u.list.Load() }

// set makes list the upstreams that run. Those that are not in it any more are closed by Run.
func (u *upstreams) set(list []*upstream) {
	for _, one := range u.all() {
		if !slices.Contains(list, one) {
			u.told.Set(one.service, one.label(), nil)
		}
	}
	for _, one := range list {
		u.told.Set(one.service, one.label(), one.hop)
	}
	u.list.Store(&list)
	select {
	case u.changed <- struct{}{}:
	default: // Run will look anyway
	}
}

// of returns the upstream of a variant for these settings: the one that runs, else a new one, which fresh tells. A new one holds nothing
// before it is asked, and takes part in the list only by set.
func (u *upstreams) of(s *config.Service, v *config.Variant, shadow bool, to config.Upstreams) (got *upstream, fresh bool, err error) {
	settings, err := upstreamSettingsOf(s, v, to)
	if err != nil {
		return nil, false, err
	}
	for _, one := range u.all() {
		if one.service == s.Name && one.variant == v.Name && one.shadow == shadow && one.settings.equal(&settings) {
			return one, false, nil
		}
	}
	hop, err := proxy.New(settings.options(u.now, u.log.With("service", s.Name, "variant", v.Name)))
	if err != nil {
		return nil, false, ofVariant(s.Name, v.Name, err)
	}
	return &upstream{s.Name, v.Name, shadow, settings, hop}, true, nil
}

// same tells whether the upstreams of a service run with the settings that it has.
func (u *upstreams) same(s *config.Service, to config.Upstreams) bool {
	for _, one := range u.named(s.Name) {
		at := slices.Index(s.VariantNames(), one.variant)
		if at < 0 {
			return false
		}
		settings, err := upstreamSettingsOf(s, &s.Variants[at], to)
		if err != nil || !one.settings.equal(&settings) {
			return false
		}
	}
	return true
}

// named returns those of a service.
func (u *upstreams) named(service string) (list []*upstream) {
	for _, one := range u.all() {
		if one.service == service {
			list = append(list, one)
		}
	}
	return list
}

// running returns the one that answers for a variant, or that the variant's copies of requests go to as a shadow; nil if there is none.
func (u *upstreams) running(service, variant string, shadow bool) *upstream {
	for _, one := range u.all() {
		if one.service == service && one.variant == variant && one.shadow == shadow {
			return one
		}
	}
	return nil
}

// Run runs the upstreams until ctx ends, and closes them.
func (u *upstreams) Run(ctx context.Context) error {
	var all sync.WaitGroup
	running := map[*upstream]context.CancelFunc{}
	defer all.Wait()
	defer func() {
		for _, end := range running {
			end()
		}
	}()
	for {
		list := u.all()
		for _, one := range list {
			if running[one] != nil {
				continue
			}
			own, end := context.WithCancel(ctx)
			running[one] = end
			all.Go(func() {
				defer one.hop.Close()
				if err := one.hop.Run(own); err != nil && own.Err() == nil {
					u.log.Error("an upstream is not looked after any more", "service", one.service, "variant", one.variant, "error", err)
				}
			})
		}
		for one, end := range running {
			if !slices.Contains(list, one) {
				end()
				delete(running, one)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-u.changed:
		}
	}
}
