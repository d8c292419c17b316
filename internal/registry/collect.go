package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// Why no blob is collected that is still needed: a version names its blobs from its commit on; before, the draft's pins hold them,
// from the end of Put to the end of the draft. Only between the start of Put and its end does nothing hold a blob. collect does
// nothing meanwhile; Sweep goes by the age, which Put renews, and Collector.Delete compares in one step with it.

// unpin lets go of a draft's blobs and collects those that nothing names.
func (r *Registry) unpin(ctx context.Context, pinned []store.Digest) error {
	if len(pinned) == 0 {
		return nil
	}
	r.mu.Lock()
	for _, d := range pinned {
		if r.pins[d]--; r.pins[d] == 0 {
			delete(r.pins, d)
		}
	}
	r.mu.Unlock()
	return r.collect(ctx, pinned)
}

// collect deletes those of the blobs that nothing needs. What it leaves, Sweep takes later.
func (r *Registry) collect(ctx context.Context, blobs []store.Digest) error {
	collector, ok := r.blobs.(store.Collector)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.adding > 0 {
		return nil
	}
	needed, err := r.needed(ctx)
	if err != nil {
		return err
	}
	// Any age will do, so the time lies beyond what a clock that was wrong may have written.
	anyAge := r.now().AddDate(100, 0, 0)
	for _, d := range blobs {
		if needed[d] || r.pins[d] > 0 {
			continue
		}
		if _, err := collector.Delete(ctx, d, anyAge); err != nil {
			return err
		}
	}
	return nil
}

// needed returns all blobs that living versions name.
func (r *Registry) needed(ctx context.Context) (map[store.Digest]bool, error) {
	needed := map[store.Digest]bool{}
	err := r.state.View(ctx, func(s store.Reader) error {
		versions, err := all[versionDoc](s, allVersions)
		for _, v := range versions {
			if v.Removed == nil {
				for _, d := range v.blobs() {
					needed[d] = true
				}
			}
		}
		return err
	})
	return needed, err
}

// Removal says which version to remove.
type Removal struct {
	Ref     Ref
	By, Why string
}

// Remove removes a version for good. Its number and its semantic version are not given out again; who, when and why are kept. One
// that an alias points at is Conflict. Blobs that no other version uses are deleted.
func (r *Registry) Remove(ctx context.Context, m Removal) (Version, error) {
	if err := checkAuthor(m.By, m.Why); err != nil {
		return Version{}, err
	}
	removed := Removed{At: r.clock(), By: m.By, Why: m.Why}
	var v versionDoc
	err := r.state.Update(ctx, func(tx store.Tx) (err error) {
		if v, err = resolve(tx, m.Ref); err != nil {
			return err
		}
		aliases, err := aliasesOf(tx, v.Model)
		if err != nil {
			return err
		}
		for _, alias := range slices.Sorted(maps.Keys(aliases)) {
			if aliases[alias] == v.Number {
				return fault.Conflictf("alias %q points at version %s", alias, v.Ref()).
					WithHint("point it at another version first, or remove the alias")
			}
		}
		v.Removed = &removed
		return put(tx, versionKey(v.Model, v.Number), v, store.Any)
	})
	if err != nil {
		return Version{}, err
	}
	// The version is gone from here on. Blobs that stay because of an error are no reason to say otherwise; Sweep takes them.
	_ = r.collect(ctx, v.blobs())
	return v.Version, nil
}

// Swept says what Sweep removed.
type Swept struct {
	Blobs     int   `json:"blobs"`
	Bytes     int64 `json:"bytes"`
	Temporary int   `json:"temporary"` // half-written files of interrupted imports
}

// SweepAge is how old what nothing names should be before it is swept: longer than any import takes.
const SweepAge = 24 * time.Hour

// Sweep deletes what crashed imports and removals left: blobs that no version names and that were last put before the given time,
// and half-written files of before then. Imports in progress are safe, also those of another process, as long as they began
// after that time. Call it with the present time less SweepAge.
func (r *Registry) Sweep(ctx context.Context, before time.Time) (swept Swept, err error) {
	collector, ok := r.blobs.(store.Collector)
	if !ok {
		return swept, nil
	}
	if swept.Temporary, err = collector.Sweep(ctx, before); err != nil {
		return swept, err
	}
	var old []store.Blob
	err = collector.List(ctx, func(b store.Blob) error {
		if b.PutAt.Before(before) {
			old = append(old, b)
		}
		return nil
	})
	if err != nil {
		return swept, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	needed, err := r.needed(ctx)
	if err != nil {
		return swept, err
	}
	for _, b := range old {
		if needed[b.Digest] || r.pins[b.Digest] > 0 {
			continue
		}
		gone, err := collector.Delete(ctx, b.Digest, before)
		if err != nil {
			return swept, err
		}
		if gone {
			swept.Blobs++
			swept.Bytes += b.Size
		}
	}
	return swept, nil
}
