package app

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/traffic"
)

const (
	// lookEvery is how often the follower looks where aliases point, unless it is nudged.
	lookEvery = time.Second
	// retryAfter is how long a version that could not be loaded is left alone; a moved alias is tried at once.
	retryAfter = 30 * time.Second
)

// follower keeps the gateway's services on the versions that the registry says: it resolves each service's reference, and loads, checks
// and swaps in what changed. It is the only one that sets what a service answers with.
type follower struct {
	registry *registry.Registry
	gateway  *gateway.Gateway
	log      *slog.Logger
	now      func() time.Time
	nudge    chan struct{} // holds one: look now
	ready    func()        // called once, when every service has been ready for the first time
	variants []*followed
	policy   func(service string, spec traffic.Spec, variants []string) (*traffic.Policy, error)
	auto     bool // serve every model that has a champion, rather than a configured list
}

// followed is a variant of a service and what was last tried for it.
type followed struct {
	variant *gateway.Variant
	ref     registry.Ref
	tried   store.Digest
	failed  time.Time // when tried last failed; zero if it did not
}

// newFollower takes the services from the configuration, or, where it has none, from the registry.
func newFollower(c *config.Config, f follower) (*follower, error) {
	f.nudge = make(chan struct{}, 1)
	f.auto = len(c.Services) == 0
	for i := range c.Services {
		s := &c.Services[i]
		refs := make([]registry.Ref, len(s.Variants))
		variants := make([]gateway.VariantOptions, len(s.Variants))
		for i, v := range s.Variants {
			ref, err := registry.ParseRef(v.Model)
			if err != nil {
				return nil, err
			}
			refs[i], variants[i] = ref, gateway.VariantOptions{Name: v.Name, Ref: ref.String()}
		}
		policy, err := f.policy(s.Name, s.Traffic, s.VariantNames())
		if err != nil {
			return nil, err
		}
		routes, err := routesOf(s)
		if err != nil {
			return nil, err
		}
		capture, err := captureOf(s.Capture)
		if err != nil {
			return nil, err
		}
		service := gateway.NewService(gateway.ServiceOptions{
			Name: s.Name, Default: s.Default, Variants: variants, Policy: policy, Pinned: s.Pinned, Labels: s.Labels.Classes, Threshold: s.Labels.Threshold,
			Timeout: s.Timeout, Body: int64(s.Limits.BodyBytes), Rows: s.Limits.Rows, Routes: routes, Capture: capture,
		})
		f.add(service, refs...)
	}
	f.publish()
	return &f, nil
}

// add follows a service, each of whose variants has a reference.
func (f *follower) add(s *gateway.Service, refs ...registry.Ref) {
	for i, v := range s.Variants() {
		f.variants = append(f.variants, &followed{variant: v, ref: refs[i]})
	}
}

// Nudge makes the follower look at once.
func (f *follower) Nudge() {
	select {
	case f.nudge <- struct{}{}:
	default: // it will look anyway
	}
}

// Run follows until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		f.look(ctx)
		if f.ready != nil && f.gateway.Ready() {
			f.ready()
			f.ready = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.nudge:
			for _, s := range f.variants {
				s.failed = time.Time{} // something changed: what failed may do now
			}
		case <-ticker.C:
		}
	}
}

// look brings every service up to date. One that cannot be does not keep the others from it.
func (f *follower) look(ctx context.Context) {
	if f.auto {
		f.discover(ctx)
	}
	for _, s := range f.variants {
		if ctx.Err() == nil {
			f.follow(ctx, s)
		}
	}
}

// discover makes a service of every model with a champion, and drops those of models that have none any more.
func (f *follower) discover(ctx context.Context) {
	models, err := f.registry.List(ctx)
	if err != nil {
		f.log.Error("the registry cannot be read; services stay as they are", "error", err)
		return
	}
	models = slices.DeleteFunc(models, func(m registry.Summary) bool { return m.Aliases[registry.Champion] == 0 })
	same := slices.EqualFunc(f.variants, models, func(s *followed, m registry.Summary) bool { return s.ref.Model == m.Name })
	if same {
		return
	}
	var variants []*followed
	for _, m := range models {
		i := slices.IndexFunc(f.variants, func(s *followed) bool { return s.ref.Model == m.Name })
		if i >= 0 {
			variants = append(variants, f.variants[i])
			continue
		}
		ref := registry.Ref{Model: m.Name, Alias: registry.Champion}
		policy, err := f.policy(m.Name, traffic.Spec{}, []string{onlyVariant})
		if err != nil {
			f.log.Error("a service cannot be made", "service", m.Name, "error", err)
			continue
		}
		service := gateway.NewService(gateway.ServiceOptions{
			Name: m.Name, Variants: []gateway.VariantOptions{{Name: onlyVariant, Ref: ref.String()}}, Policy: policy, Found: true,
		})
		variants = append(variants, &followed{variant: service.Variants()[0], ref: ref})
	}
	f.variants = variants
	f.publish()
}

// onlyVariant is the name of the variant of a service that nobody configured.
const onlyVariant = "stable"

// publish hands the list of services to the gateway. A new one is loading until follow has swapped its version in.
func (f *follower) publish() {
	var list []*gateway.Service
	for _, v := range f.variants {
		if s := v.variant.Service(); len(list) == 0 || list[len(list)-1] != s {
			list = append(list, s)
		}
	}
	f.gateway.SetServices(list)
}

// isLive tells whether the variant answers with v already, and lets it forget what failed since.
func (s *followed) isLive(v registry.Version) bool {
	live := s.variant.Live()
	if live == nil || live.Digest != v.Digest.String() {
		return false
	}
	if s.variant.Err() != nil {
		s.variant.Swap(live)
	}
	return true
}

// follow loads what a variant's reference names now, if that is not what it has, and swaps it in. What cannot be loaded is logged, told
// by the variant, and tried again later; the version before goes on answering.
func (f *follower) follow(ctx context.Context, s *followed) {
	version, err := f.registry.Resolve(ctx, s.ref)
	now := f.now()
	if err == nil && s.isLive(version) {
		return
	}
	if version.Digest == s.tried && now.Sub(s.failed) < retryAfter {
		return // it has failed a short while ago
	}
	s.tried, s.failed = version.Digest, time.Time{}
	var live registry.Live
	if err == nil {
		live, err = f.registry.LoadVersion(ctx, version)
	}
	if err == nil {
		err = s.variant.Service().Fits(live.Model.Signature())
	}
	if err != nil {
		if ctx.Err() == nil {
			s.failed = now
			s.variant.Fail(err)
			f.log.Error("a model could not be loaded", "service", s.variant.Service().Name(), "variant", s.variant.Name(), "ref", s.ref.String(), "state", s.variant.State(), "error", err)
		}
		return
	}
	s.variant.Swap(&gateway.Live{
		Model: live.Model, Name: version.Model, Number: version.Number, Semver: version.Semver,
		Digest: version.Digest.String(), Runtime: version.Runtime, Example: live.Example(),
	})
	f.log.Info("a model is live", "service", s.variant.Service().Name(), "variant", s.variant.Name(), "model", version.Model, "version", version.Number,
		"semver", version.Semver, "digest", version.Digest.Short())
}
