package app

import (
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/release"
)

// plane is a gateway as releases see it.
type plane struct{ gateway *gateway.Gateway }

// Standing implements releasePlane.
func (p plane) Standing(service, variant string) (is standing) {
	v := p.variant(service, variant)
	if v == nil {
		return is
	}
	is.There, is.Ref = true, v.Ref()
	if live := v.Live(); live != nil {
		is.Bound = release.Bound{Version: live.Digest, Number: live.Number, Semver: live.Semver}
	}
	switch state := v.State(); {
	case state == gateway.Ready || state == gateway.Loading:
	case v.Err() != nil:
		is.Trouble = v.Err().Error()
	default:
		is.Trouble = "it is " + state
	}
	return is
}

// Mirror implements releasePlane.
func (p plane) Mirror(service, variant string, share float64) {
	if s := p.gateway.Service(service); s != nil {
		s.Mirror(variant, share) // of a variant that is no shadow nothing is copied, whatever the share
	}
}

func (p plane) variant(service, name string) *gateway.Variant {
	s := p.gateway.Service(service)
	if s == nil {
		return nil
	}
	for _, v := range s.Variants() {
		if v.Name() == name {
			return v
		}
	}
	return nil
}

// pinned is the version that a variant stays with while a release is under way, by its number; 0: it follows its reference.
func (r *releases) pinned(service, variant, ref string) int {
	for _, one := range r.all() {
		if d := one.shown.Load(); d != nil && d.State.Plan.Service == service {
			if n := d.pinned(variant, ref); n > 0 {
				return n
			}
		}
	}
	return 0
}

// pinned is the version that a variant of the release stays with while it runs. Stable has the candidate's once the promotion has moved the
// alias.
func (d *releaseDoc) pinned(variant, ref string) int {
	s := &d.State
	switch {
	case s.Over():
		return 0
	case variant == s.Plan.Candidate && ref == d.Refs[1]:
		return s.Bound.Number
	case variant != s.Plan.Stable || ref != d.Refs[0]:
		return 0
	}
	if s.Phase == release.Promoting {
		for _, due := range s.Due {
			if due.Kind == release.MoveAlias {
				return s.Stable.Number
			}
		}
		if s.Plan.Model != "" {
			return s.Bound.Number
		}
	}
	return s.Stable.Number
}
