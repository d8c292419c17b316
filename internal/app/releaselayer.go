package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/release"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/traffic"
)

// releaseLayer is what an active release has in the traffic of its service.
type releaseLayer struct {
	traffic.Release
	Length time.Duration `json:"leaseLength"` // of a lease that is not renewed
	// Shares are the candidate's of what it and stable get, by policy version, since the release began.
	Shares map[uint64]float64 `json:"shares"`
}

// share writes down which share the candidate has in a policy version while the lease holds; what decides without one is not of that version.
func (r *releaseLayer) share(version uint64, l traffic.Layers, now time.Time) {
	led := r.Release
	led.Lease, l.Release = time.Time{}, &led
	w, _ := l.Effective(now)
	both := traffic.Weights{r.Stable: w[r.Stable], r.Candidate: w[r.Candidate]}
	shares := maps.Clone(r.Shares) // whoever reads the one before goes on reading it
	if shares == nil {
		shares = map[uint64]float64{}
	}
	shares[version] = both.Share(r.Candidate)
	r.Shares = shares
}

// follow gives a release the layer that its state prescribes, with a lease from now on, or takes it away where the release has ended. The
// policy version is a new one if other weights or another epoch hold than before.
func (d *trafficDoc) follow(tx store.Tx, s *release.State, before *trafficDoc, why string, now time.Time) error {
	d.Release = nil
	if !s.Over() {
		d.Release = &releaseLayer{Release: layerOf(s), Length: s.Plan.Lease}
		d.Release.Lease = now.Add(s.Plan.Lease)
		if had := before.Release; had != nil && had.Name == s.ID {
			d.Release.Shares = had.Shares
		}
	}
	same := (d.Release == nil) == (before.Release == nil) && d.Epoch == before.Epoch && d.Roles == before.Roles
	if same && d.Release != nil {
		same = d.Release.Name == before.Release.Name && sameWeights(d.Release.Weights, before.Release.Weights)
	}
	if same {
		return d.save(tx)
	}
	l := d.layers()
	weights, _ := l.Effective(now)
	return d.change(tx, trafficChange{What: changeStep, Weights: weights, At: now, By: "release " + s.ID, Why: why})
}

// layerOf is what a state says of the weights. They are those of a step of its plan, or all are stable's.
func layerOf(s *release.State) traffic.Release {
	percent := s.Percent()
	return traffic.Release{
		Name: s.ID, Step: min(s.At+1, len(s.Plan.Steps)), Stable: s.Plan.Stable, Candidate: s.Plan.Candidate,
		Weights: traffic.Weights{s.Plan.Stable: traffic.PercentWeight(100 - percent), s.Plan.Candidate: traffic.PercentWeight(percent)},
	}
}

// withhold takes from an operator's override what it gives a variant: it was wanted before a release found that the variant is no good, or that
// another one is to be in its place, and would hold as soon as the release lets go. Where nothing is left, the override goes.
func (d *trafficDoc) withhold(variant string) {
	if d.Override == nil || d.Override.Weights[variant].Float() == 0 {
		return
	}
	kept := *d.Override
	kept.Weights = maps.Clone(kept.Weights)
	delete(kept.Weights, variant)
	for name, weight := range kept.Weights {
		if weight.Float() > 0 && (d.File == nil || slices.Contains(d.File.Variants, name)) {
			d.Override = &kept
			return
		}
	}
	d.Override, d.OverrideVersion = nil, 0
}

// roles say which variants have each other's weights, since promoted releases of upstreams.
type roles struct {
	Has     map[string]string `json:"has"` // by a variant's name in the file: the variant that has its weight
	Release string            `json:"release"`
	At      time.Time         `json:"at"`
}

// of returns the variant that has the role of the one that the file names.
func (r *roles) of(name string) string {
	if r != nil && r.Has[name] != "" {
		return r.Has[name]
	}
	return name
}

// exchange lets two variants take each other's roles. Without any that differ from the file it returns nil.
func (r *roles) exchange(a, b, release string, now time.Time) *roles {
	has := map[string]string{}
	if r != nil {
		maps.Copy(has, r.Has)
	}
	nameOf := func(variant string) string {
		for name, is := range has {
			if is == variant {
				return name
			}
		}
		return variant
	}
	x, y := nameOf(a), nameOf(b)
	has[x], has[y] = b, a
	maps.DeleteFunc(has, func(name, is string) bool { return name == is })
	if len(has) == 0 {
		return nil
	}
	return &roles{Has: has, Release: release, At: now.UTC()}
}

// swap gives each variant the weight of its role.
func (r *roles) swap(w traffic.Weights) traffic.Weights {
	if r == nil {
		return w
	}
	swapped := make(traffic.Weights, len(w))
	for name, weight := range w {
		swapped[r.of(name)] = weight
	}
	return swapped
}

// drift tells people how the roles differ from the file.
func (r *roles) drift() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.Has)) {
		all = append(all, fmt.Sprintf("%s has the weight of %s", r.Has[name], name))
	}
	return fmt.Sprintf("since release %s, %s; edit the weights in serin.yaml to say so", r.Release, strings.Join(all, ", and "))
}

// sameShares tells whether two give every variant the same share: 1 to one alone is the same as 100.
func sameShares(a, b traffic.Weights) bool {
	for _, w := range [2]traffic.Weights{a, b} {
		for name := range w {
			if a.Share(name) != b.Share(name) {
				return false
			}
		}
	}
	return true
}

// sameWeights tells whether two give every variant the same.
func sameWeights(a, b traffic.Weights) bool {
	for _, w := range [2][2]traffic.Weights{{a, b}, {b, a}} {
		for name, weight := range w[0] {
			if other := w[1][name]; weight.Float() != other.Float() {
				return false
			}
		}
	}
	return true
}

// weights are those of a file that may not be there.
func (f *fileLayer) weights() traffic.Weights {
	if f == nil {
		return nil
	}
	return f.Weights
}
