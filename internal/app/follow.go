package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/tensor"
)

const (
	// lookEvery is how often the follower looks where aliases point, unless it is nudged.
	lookEvery = time.Second
	// retryAfter is how long a version that could not be loaded is left alone; a moved alias is tried at once.
	retryAfter = 30 * time.Second
	// reopenAfter is the same of an upstream that could not be asked what it takes and gives.
	reopenAfter = 5 * time.Second
	// openTimeout is how long an upstream may take to say that.
	openTimeout = 2 * time.Second
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
	make     makers
	// pinned is the number of the version that a variant answers with though its reference names another one meanwhile, 0 for none; nil: none
	// ever is.
	pinned func(service, variant, ref string) int

	turn     chan struct{}  // holds one, which who reads or changes what follows has taken out
	config   *config.Config // whose services these are; without any, every model that has a champion is one
	variants []*followed    // of all services, those of one beside each other
	unloaded map[string]bool
}

// followed is a variant of a service and, of a model, what was last tried for it.
type followed struct {
	variant  *gateway.Variant
	fixed    *fixed    // of an upstream or a folder, which follow nothing; nil: a model
	upstream *upstream // nil: none
	ref      registry.Ref
	tried    store.Digest
	failed   time.Time // when tried last failed; zero if it did not
}

func (s *followed) service() *gateway.Service { return s.variant.Service() }

// newFollower takes the services from the configuration, or, where it has none, from the registry.
func newFollower(c *config.Config, f follower) (*follower, error) {
	f.nudge, f.turn = make(chan struct{}, 1), make(chan struct{}, 1)
	f.config, f.unloaded = c, map[string]bool{}
	var upstreams []*upstream
	for i := range c.Services {
		m, err := f.make.service(&c.Services[i], c.Server.Upstreams)
		if err != nil {
			return nil, err
		}
		f.variants, upstreams = append(f.variants, m.variants...), append(upstreams, m.upstreams...)
	}
	f.make.upstreams.set(upstreams)
	f.turn <- struct{}{}
	return &f, nil
}

// serve hands the services to the gateway that is to answer for them. It is called once, before all else.
func (f *follower) serve(g *gateway.Gateway) {
	f.gateway = g
	f.publish()
}

// take waits for the follower's turn; give it back. The error is that of ctx.
func (f *follower) take(ctx context.Context) error {
	select {
	case <-f.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *follower) give() { f.turn <- struct{}{} }

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
	for anew := false; ; {
		f.look(ctx, anew)
		if f.ready != nil && f.gateway.Ready() {
			f.ready()
			f.ready = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.nudge:
			anew = true // something changed: what failed may do now
		case <-ticker.C:
			anew = false
		}
	}
}

// look brings every service up to date. One that cannot be does not keep the others from it. Anew, what failed is tried again.
func (f *follower) look(ctx context.Context, anew bool) {
	if f.take(ctx) != nil {
		return
	}
	defer f.give()
	f.discover(ctx)
	var upstreams sync.WaitGroup // at once: one that hangs is not to keep the others waiting
	defer upstreams.Wait()
	for _, s := range f.variants {
		if anew {
			s.failed = time.Time{}
		}
		switch {
		case ctx.Err() != nil || f.unloaded[s.service().Name()]:
		case s.fixed != nil:
			upstreams.Go(func() { _ = f.follow(ctx, s) }) // it is in the log, and the variant's
		default:
			_ = f.follow(ctx, s)
		}
	}
}

// discover makes a service of every model with a champion where no service is configured, and drops those of models that have none any
// more.
func (f *follower) discover(ctx context.Context) {
	if len(f.config.Services) > 0 {
		return
	}
	variants, err := f.find(ctx)
	if err != nil {
		f.log.Error("the registry cannot be read; services stay as they are", "error", err)
		return
	}
	if !slices.Equal(variants, f.variants) {
		f.variants = variants
		f.publish()
	}
}

// find returns the variants of the services that the models in the registry make: those that there are, and new ones.
func (f *follower) find(ctx context.Context) (variants []*followed, err error) {
	models, err := f.registry.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range models {
		if m.Aliases[registry.Champion] == 0 {
			continue
		}
		i := slices.IndexFunc(f.variants, func(s *followed) bool { return s.ref.Model == m.Name })
		if i >= 0 {
			variants = append(variants, f.variants[i])
			continue
		}
		made, err := f.make.found(m.Name)
		if err != nil {
			f.log.Error("a service cannot be made", "service", m.Name, "error", err)
			continue
		}
		variants = append(variants, made)
	}
	return variants, nil
}

// publish hands the list of services to the gateway. A new one is loading until follow has swapped its version in.
func (f *follower) publish() {
	var list []*gateway.Service
	for _, v := range f.variants {
		if s := v.service(); len(list) == 0 || list[len(list)-1] != s {
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

// resolve finds the version that a variant is to answer with.
func (f *follower) resolve(ctx context.Context, s *followed) (registry.Version, error) {
	ref := s.ref
	if f.pinned != nil {
		if number := f.pinned(s.service().Name(), s.variant.Name(), ref.String()); number > 0 {
			ref = registry.Ref{Model: ref.Model, Number: number}
		}
	}
	return f.registry.Resolve(ctx, ref)
}

// follow loads what a variant's reference names now, if that is not what it has, and swaps it in. What cannot be loaded is logged, told
// by the variant, and tried again later; the version before goes on answering.
func (f *follower) follow(ctx context.Context, s *followed) error {
	if s.fixed != nil {
		return f.open(ctx, s)
	}
	version, err := f.resolve(ctx, s)
	now := f.now()
	if err == nil && s.isLive(version) {
		return nil
	}
	if version.Digest == s.tried && now.Sub(s.failed) < retryAfter {
		return s.variant.Err() // it has failed a short while ago
	}
	s.tried, s.failed = version.Digest, time.Time{}
	var live *gateway.Live
	if err == nil {
		live, err = f.load(ctx, version)
	}
	if err == nil {
		err = s.service().Fits(live.Model.Signature())
	}
	if err != nil {
		if ctx.Err() == nil {
			s.failed = now
			s.variant.Fail(err)
			f.log.Error("a model could not be loaded", "service", s.service().Name(), "variant", s.variant.Name(), "ref", s.ref.String(), "state", s.variant.State(), "error", err)
		}
		return err
	}
	s.variant.Swap(live)
	f.log.Info("a model is live", "service", s.service().Name(), "variant", s.variant.Name(), "model", version.Model, "version", version.Number,
		"semver", version.Semver, "digest", version.Digest.Short())
	return nil
}

// open makes an upstream or a folder live. An upstream that is asked in a dialect may have to say first what it takes and gives; until it has
// said it, it is asked again and again.
func (f *follower) open(ctx context.Context, s *followed) error {
	now := f.now()
	switch {
	case s.variant.Live() != nil:
		return nil
	case now.Sub(s.failed) < reopenAfter:
		return s.variant.Err()
	}
	live, err := s.fixed.open(ctx)
	if err == nil && live.Model != nil {
		err = s.service().Fits(live.Model.Signature())
	}
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		if before := s.variant.Err(); before == nil || before.Error() != err.Error() {
			f.log.Error("an upstream cannot be asked yet", "service", s.service().Name(), "variant", s.variant.Name(), problem(err))
		}
		s.failed = now
		s.variant.Fail(err)
		return err
	}
	s.variant.Swap(live)
	f.log.Info("a variant is live", "service", s.service().Name(), "variant", s.variant.Name(), "answers", live.Runtime, "version", live.Digest)
	return nil
}

// load brings a version to life.
func (f *follower) load(ctx context.Context, v registry.Version) (*gateway.Live, error) {
	loaded, err := f.registry.LoadVersion(ctx, v)
	if err != nil {
		return nil, err
	}
	return liveOf(v, loaded.Model, loaded.Example()), nil
}

func liveOf(v registry.Version, model predict.Model, example []tensor.Tensor) *gateway.Live {
	return &gateway.Live{
		Model: model, Name: v.Model, Number: v.Number, Semver: v.Semver, Digest: v.Digest.String(), Runtime: v.Runtime, Example: example,
	}
}
