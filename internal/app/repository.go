package app

import (
	"context"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Load implements gateway.Repository: it brings to life what a service's references name now, whether the service was unloaded or not.
// What is live already is left alone. The follower goes on trying what could not be loaded.
func (f *follower) Load(ctx context.Context, service string) error {
	if err := f.take(ctx); err != nil {
		return err
	}
	defer f.give()
	f.discover(ctx)
	variants, err := f.named(service)
	if err != nil {
		return err
	}
	delete(f.unloaded, service)
	var all []error
	for _, s := range variants {
		s.failed = time.Time{}
		if err := f.follow(ctx, s); err != nil {
			all = append(all, err)
		}
	}
	return together(all)
}

// Unload implements gateway.Repository: the service answers nothing until Load, a reload of the configuration that brings it anew, or the
// server's next start.
func (f *follower) Unload(ctx context.Context, service string) error {
	if err := f.take(ctx); err != nil {
		return err
	}
	defer f.give()
	variants, err := f.named(service)
	if err != nil {
		return err
	}
	f.unloaded[service] = true
	for _, s := range variants {
		s.variant.Unload()
	}
	f.log.Info("a service is unloaded", "service", service)
	return nil
}

// named returns a service's variants.
func (f *follower) named(service string) ([]*followed, error) {
	var variants []*followed
	for _, s := range f.variants {
		if s.service().Name() == service {
			variants = append(variants, s)
		}
	}
	if variants == nil {
		return nil, fault.NotFoundf("no service named %.80q", service)
	}
	return variants, nil
}
