package app

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/traffic"
)

// plan is what a configuration would make of the services that run. Until it is adopted nobody sees anything of it.
type plan struct {
	config   *config.Config
	variants []*followed
	fresh    map[string]*gateway.Service // that take no requests yet
	wanted   []wanted
	told     api.Reloaded

	upstreams []*upstream // of all services
	made      []*made     // anew
}

// drop lets go of what was made, and is not to be adopted.
func (p *plan) drop() {
	for _, m := range p.made {
		m.drop()
	}
}

// wanted is a variant without a version, and the one that it is to have.
type wanted struct {
	*followed
	version registry.Version
}

// plan works out what c would change. A service whose settings are the same stays as it is; another is made anew, and keeps the versions
// that its variants have where they follow what they followed before. It returns every mistake. The caller has the follower's turn.
func (f *follower) plan(ctx context.Context, c *config.Config) (p *plan, mistakes []error) {
	p = &plan{config: c, fresh: map[string]*gateway.Service{}}
	if len(c.Services) == 0 { // before and now: the registry says what there is
		p.variants = f.variants
	}
	for i := range c.Services {
		s := &c.Services[i]
		running, _ := f.named(s.Name) // none, where there is none
		if before := f.configured(s.Name); before != nil && reflect.DeepEqual(*before, *s) && f.make.upstreams.same(s, c.Server.Upstreams) {
			p.variants, p.upstreams = append(p.variants, running...), append(p.upstreams, f.make.upstreams.named(s.Name)...)
			continue
		}
		m, err := f.make.service(s, c.Server.Upstreams)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		p.made, p.upstreams = append(p.made, m), append(p.upstreams, m.upstreams...)
		if len(running) > 0 {
			m.variants[0].service().KeepLimits(running[0].service())
		}
		for _, v := range m.variants {
			mistakes = append(mistakes, p.add(ctx, f, running, v)...)
		}
	}
	p.tell(f)
	return p, mistakes
}

// configured returns the settings of a service, nil if there are none.
func (f *follower) configured(name string) *config.Service {
	for i := range f.config.Services {
		if f.config.Services[i].Name == name {
			return &f.config.Services[i]
		}
	}
	return nil
}

// add takes in a variant of a new service, in whose place the running variants are so far.
func (p *plan) add(ctx context.Context, f *follower, running []*followed, v *followed) (mistakes []error) {
	service := v.service()
	p.variants, p.fresh[service.Name()] = append(p.variants, v), service
	if f.unloaded[service.Name()] {
		v.variant.Unload()
		return nil
	}
	if v.fixed != nil {
		return p.open(ctx, running, v)
	}
	before := slices.IndexFunc(running, func(r *followed) bool {
		return r.fixed == nil && r.variant.Name() == v.variant.Name() && r.ref == v.ref && r.variant.Live() != nil
	})
	if before >= 0 {
		had := running[before]
		v.tried, v.failed = had.tried, had.failed
		v.variant.Swap(had.variant.Live())
		if err := had.variant.Err(); err != nil {
			v.variant.Fail(err)
		}
		if err := service.Fits(had.variant.Live().Model.Signature()); err != nil {
			return []error{v.mistake(err)}
		}
		return nil
	}
	version, err := f.resolve(ctx, v)
	if err != nil {
		return []error{v.mistake(err)}
	}
	p.wanted = append(p.wanted, wanted{v, version})
	return nil
}

// open makes an upstream or a folder live, as the running one is where it is the same. An upstream that cannot say what it takes and gives
// is a mistake: what runs answers, and this would not.
func (p *plan) open(ctx context.Context, running []*followed, v *followed) []error {
	before := slices.IndexFunc(running, func(r *followed) bool {
		return r.variant.Name() == v.variant.Name() && r.fixed != nil && r.fixed.same(v.fixed) && r.variant.Live() != nil
	})
	var live *gateway.Live
	var err error
	if before >= 0 {
		live = running[before].variant.Live()
	} else {
		live, err = v.fixed.open(ctx)
	}
	if err == nil && live.Model != nil {
		err = v.service().Fits(live.Model.Signature())
	}
	if err != nil {
		return []error{v.mistake(err)}
	}
	v.variant.Swap(live)
	return nil
}

// mistake says of an error whose it is.
func (s *followed) mistake(err error) error {
	return ofVariant(s.service().Name(), s.variant.Name(), err)
}

// ofVariant says of an error whose it is.
func ofVariant(service, variant string, err error) error {
	return fault.New(fault.KindOf(err), "service %s, variant %s: %w", service, variant, err)
}

// tell lists what of the services is new, and what is not.
func (p *plan) tell(f *follower) {
	before, now := names(f.variants), names(p.variants)
	for _, name := range now {
		switch {
		case p.fresh[name] == nil:
			p.told.Unchanged = append(p.told.Unchanged, name)
		case slices.Contains(before, name):
			p.told.Changed = append(p.told.Changed, name)
		default:
			p.told.Added = append(p.told.Added, name)
		}
	}
	for _, name := range before {
		if !slices.Contains(now, name) {
			p.told.Removed = append(p.told.Removed, name)
		}
	}
}

// names are those of the services that the variants are of.
func names(variants []*followed) (all []string) {
	for _, v := range variants {
		all = append(all, v.service().Name())
	}
	return slices.Compact(all)
}

// load brings to life every version that is wanted and that no running variant has. It returns every mistake.
func (p *plan) load(ctx context.Context, f *follower) (mistakes []error) {
	have := map[string]*gateway.Live{} // by digest
	for _, v := range f.variants {
		if live := v.variant.Live(); live != nil && v.fixed == nil {
			have[live.Digest] = live
		}
	}
	for _, w := range p.wanted {
		digest := w.version.Digest.String()
		var err error
		if have[digest] == nil {
			if have[digest], err = f.load(ctx, w.version); err == nil {
				p.told.Loaded = append(p.told.Loaded, api.LoadedVersion{
					Service: w.service().Name(), Variant: w.variant.Name(), Model: w.version.Model, Version: w.version.Number,
					Semver: w.version.Semver, Digest: digest,
				})
			}
		}
		if err == nil {
			err = w.service().Fits(have[digest].Model.Signature())
		}
		if err != nil {
			mistakes = append(mistakes, w.mistake(err))
			continue
		}
		w.variant.Swap(liveOf(w.version, have[digest].Model, have[digest].Example))
	}
	return mistakes
}

// weigh gives a service that takes no requests yet the weights that it is to begin with. Others are left to applyTraffic.
func (p *plan) weigh(service string, w traffic.Weights, epoch uint32, policyVersion uint64) error {
	fresh := p.fresh[service]
	if fresh == nil {
		return nil
	}
	policy, err := fresh.Policy().With(w, epoch, policyVersion)
	if err != nil {
		return fault.New(fault.KindOf(err), "service %s: %w", service, err)
	}
	fresh.SetPolicy(policy)
	return nil
}

// adopt lets a plan take the place of what runs. The caller has the follower's turn.
func (f *follower) adopt(p *plan) {
	f.config, f.variants = p.config, p.variants
	for name := range f.unloaded {
		if !slices.Contains(names(f.variants), name) {
			delete(f.unloaded, name)
		}
	}
	f.publish()
	f.make.upstreams.set(p.upstreams) // behind it, so that those that go are not chosen any more
}

// together makes one error of several, of the kind of the first; nil of none.
func together(all []error) error {
	if len(all) < 2 {
		return errors.Join(all...)
	}
	return fault.New(fault.KindOf(all[0]), "%w", errors.Join(all...))
}
