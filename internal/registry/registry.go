// Package registry keeps models, their versions and aliases, and brings a version to life.
//
// A version is immutable: files by digest and a manifest that names them (runtime, signature, golden rows, lineage). It has a number
// in its model's own sequence, never given out twice, and a semantic version computed from what changed (see bump). An alias such
// as champion points at a version; each of its moves is kept. The files and the manifest are blobs; all else is documents in a
// store.State, changed in one transaction at a time. Blobs are written first, so that a crash leaves the registry as it was or as
// it should be, and at most blobs that nothing names, which Sweep removes.
//
// Models hold no code: a file that may carry some is refused by its content (see refuseCode).
package registry

import (
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
)

// NamedRuntime is a runtime and the name that manifests know it by.
type NamedRuntime struct {
	Name    string
	Runtime predict.Runtime
}

// Options are what a Registry is made of.
type Options struct {
	Blobs    store.Blobs // with store.Collector too, Remove and Sweep free room
	State    store.State // one that is read-only serves all methods that do not write
	Runtimes []NamedRuntime
	Now      func() time.Time
	// Guard tells why an alias must not move now; nil: it may. It is asked in the transaction that would move it. May be nil.
	Guard func(r store.Reader, model, alias string) error
}

// Registry is the store of models. It is safe for concurrent use. One process writes at a time; any number read.
type Registry struct {
	blobs    store.Blobs
	state    store.State
	runtimes []NamedRuntime
	now      func() time.Time
	guard    func(r store.Reader, model, alias string) error

	mu     sync.Mutex           // held while blobs are collected, and for what follows
	adding int                  // how many files are on their way into blobs
	pins   map[store.Digest]int // blobs of imports in progress: kept, although nothing names them yet
}

// New makes a Registry. All options are needed, but Runtimes may be empty where nothing is imported or loaded.
func New(o Options) (*Registry, error) {
	var problems fault.List
	problems.If(o.Blobs == nil, "registry: no Blobs")
	problems.If(o.State == nil, "registry: no State")
	problems.If(o.Now == nil, "registry: no clock")
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return &Registry{blobs: o.Blobs, state: o.State, runtimes: o.Runtimes, now: o.Now, guard: o.Guard, pins: map[store.Digest]int{}}, nil
}

// clock returns the present time as it will read when it comes back from the State.
func (r *Registry) clock() time.Time { return r.now().UTC().Round(0) }
