package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Layers are the weights that three parties want for a service. Those of an active release hold, else an operator's override, else
// the file's. A layer that is set stays when one above it goes, or the file is read again; but a release that goes back takes away what an
// override gives its candidate.
type Layers struct {
	Variants []string // the service's; weights of others are left out
	File     Weights
	Drift    string    // why File is not what the file says, for people; "" if it is
	Override *Override // nil: none
	Release  *Release  // nil: none is active
}

// Override is an operator's wish, until it expires.
type Override struct {
	Weights Weights   `json:"weights"`
	Author  string    `json:"author"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires,omitzero"` // zero: never; until it is stored its monotonic reading is kept, and a step of the clock does nothing
}

// Release is what the step of a release prescribes.
type Release struct {
	Name      string  `json:"name"`
	Step      int     `json:"step"` // counted from 1, for people
	Stable    string  `json:"stable"`
	Candidate string  `json:"candidate"`
	Weights   Weights `json:"weights"`
	// Lease is until when the release's controller is known to live; zero: no lease. After it the candidate has weight 0.
	Lease time.Time `json:"lease"`
}

// Lapsed tells whether the lease has ended at now.
func (r *Release) Lapsed(now time.Time) bool { return !r.Lease.IsZero() && !now.Before(r.Lease) }

// Source is a layer.
type Source string

// The layers, uppermost first.
const (
	FromRelease  Source = "release"
	FromOverride Source = "override"
	FromFile     Source = "file"
)

// Layer is one layer as it stands, for people.
type Layer struct {
	Source    Source             `json:"source"`
	Effective bool               `json:"effective"` // exactly one layer is
	Weights   Weights            `json:"weights"`   // what it gives the variants that there are; nil: the layer is not set, or void
	Shares    map[string]float64 `json:"shares"`    // of each variant, by these weights
	Notes     []string           `json:"notes"`     // who, why, until when, and what is not as it was asked for
}

// Effective returns the weights that hold at now, and whose they are.
func (l Layers) Effective(now time.Time) (Weights, Source) {
	for _, layer := range l.Explain(now) {
		if layer.Effective {
			return layer.Weights, layer.Source
		}
	}
	return nil, FromFile
}

// Explain returns all three layers, uppermost first.
func (l Layers) Explain(now time.Time) []Layer {
	layers := []Layer{l.release(now), l.override(now), l.file()}
	above := Source("")
	for i := range layers {
		layer := &layers[i]
		switch {
		case layer.Weights == nil:
		case above == "":
			layer.Effective, above = true, layer.Source
		default:
			layer.Notes = append(layer.Notes, fmt.Sprintf("hidden by the %s", above))
		}
		layer.Shares = make(map[string]float64, len(layer.Weights))
		for name := range layer.Weights {
			layer.Shares[name] = layer.Weights.Share(name)
		}
	}
	return layers
}

func (l Layers) release(now time.Time) Layer {
	out := Layer{Source: FromRelease}
	r := l.Release
	if r == nil {
		out.Notes = []string{"no release is active"}
		return out
	}
	out.Notes = []string{fmt.Sprintf("release %s, step %d: candidate %s, stable %s", r.Name, r.Step, r.Candidate, r.Stable)}
	if !slices.Contains(l.Variants, r.Stable) { // what is left of its weights would be the candidate's alone
		out.Notes = append(out.Notes, fmt.Sprintf("void: there is no variant %s any more", r.Stable))
		return out
	}
	wanted := r.Weights
	if r.Lapsed(now) {
		wanted = maps.Clone(wanted)
		delete(wanted, r.Candidate)
		out.Notes = append(out.Notes, fmt.Sprintf("the lease of its controller ended at %s: the candidate gets nobody",
			stamp(r.Lease)))
		if l.total(wanted) == 0 {
			wanted = Weights{r.Stable: {billionths: 1e9}}
		}
	}
	return l.fill(out, wanted)
}

func (l Layers) override(now time.Time) Layer {
	out := Layer{Source: FromOverride}
	o := l.Override
	if o == nil {
		out.Notes = []string{"no override is set"}
		return out
	}
	until := "for good"
	if !o.Expires.IsZero() {
		until = "until " + stamp(o.Expires)
	}
	out.Notes = []string{fmt.Sprintf("set by %s at %s %s: %s", o.Author, stamp(o.At), until, o.Reason)}
	if o.Expired(now) {
		out.Notes = append(out.Notes, "expired")
		return out
	}
	return l.fill(out, o.Weights)
}

// Expired tells whether the override has ended at now.
func (o *Override) Expired(now time.Time) bool { return !o.Expires.IsZero() && !now.Before(o.Expires) }

func (l Layers) file() Layer {
	out := Layer{Source: FromFile}
	if l.Drift != "" {
		out.Notes = []string{l.Drift}
	}
	return l.fill(out, l.File)
}

// fill gives out the weights of w that name variants, or a note when they would leave everyone without an answer.
func (l Layers) fill(out Layer, w Weights) Layer {
	var gone []string
	for _, name := range slices.Sorted(maps.Keys(w)) {
		if !slices.Contains(l.Variants, name) {
			gone = append(gone, name)
		}
	}
	if gone != nil {
		out.Notes = append(out.Notes, fmt.Sprintf("there is no variant %s any more", strings.Join(gone, ", ")))
	}
	if l.total(w) == 0 {
		out.Notes = append(out.Notes, "void: no variant that there is has a weight above 0")
		return out
	}
	out.Weights = make(Weights, len(l.Variants))
	for _, name := range l.Variants {
		out.Weights[name] = w[name]
	}
	return out
}

// total is the sum of w over the variants that there are.
func (l Layers) total(w Weights) (sum uint64) {
	for _, name := range l.Variants {
		sum += w[name].billionths
	}
	return sum
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Bounds of an override.
const (
	maxOverride = 365 * 24 * time.Hour
	maxText     = 500 // bytes of its author and its reason
)

// Check tells every mistake in an override for a service with the given variants, as Problems with the fields weights, author, reason
// and expires.
func (o *Override) Check(variants []string) error {
	var all Problems
	all.weights("weights", o.Weights, variants)
	for _, text := range []struct{ field, value, hint string }{
		{"author", o.Author, "say who wants it"}, {"reason", o.Reason, "say why: others will ask"},
	} {
		all.check(strings.TrimSpace(text.value) == "", text.field, "it is empty", text.hint)
		all.check(len(text.value) > maxText, text.field, fmt.Sprintf("it has %d bytes", len(text.value)), fmt.Sprintf("keep to %d", maxText))
	}
	if !o.Expires.IsZero() {
		all.check(!o.Expires.After(o.At), "expires", "it ends before it begins", "give a time to come, or none; what is to stay belongs in the file")
		all.check(o.Expires.Sub(o.At) > maxOverride, "expires", "it is more than a year away", "give a nearer time, or none; what is to stay belongs in the file")
	}
	return all.err()
}
