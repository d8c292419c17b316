package registry

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/store"
)

// artefact gives a runtime the files of a version, checked as they are read.
type artefact struct {
	ctx   context.Context
	blobs store.Blobs
	files []File // sorted by path

	mu   sync.Mutex
	read map[string]bool // paths that were read whole, and so were found sound
	err  error           // the first file that could not be read
}

var _ predict.Artefact = (*artefact)(nil)

func (r *Registry) artefact(ctx context.Context, files []File) *artefact {
	return &artefact{ctx: ctx, blobs: r.blobs, files: files, read: map[string]bool{}}
}

// Files implements predict.Artefact.
func (a *artefact) Files() []string {
	paths := make([]string, len(a.files))
	for i, f := range a.files {
		paths[i] = f.Path
	}
	return paths
}

// ReadFile implements predict.Artefact.
func (a *artefact) ReadFile(path string) ([]byte, error) {
	at, ok := slices.BinarySearchFunc(a.files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return nil, fault.NotFoundf("the model has no file %.80q", path)
	}
	content, err := store.ReadVerified(a.ctx, a.blobs, a.files[at].Digest)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		err = fileError(path, err)
		if a.err == nil {
			a.err = err
		}
		return nil, err
	}
	a.read[path] = true
	return content, nil
}

// failed returns the first error of ReadFile. A runtime that looks at formats passes over what it cannot read; nothing may be
// concluded from that.
func (a *artefact) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// verifyRest checks the files that nobody read: all of a version is sound, or it is not loaded.
func (a *artefact) verifyRest() error {
	for _, f := range a.files {
		if a.read[f.Path] {
			continue
		}
		if _, err := store.VerifyBlob(a.ctx, a.blobs, f.Digest); err != nil {
			return fileError(f.Path, err)
		}
	}
	return nil
}

// fileError says which file it is. One that the registry names and the store lacks is lost, not unknown.
func fileError(path string, err error) error {
	kind := fault.KindOf(err)
	if kind == fault.NotFound {
		kind = fault.Internal
	}
	return fault.New(kind, "file %q: %w", path, err)
}

// runtime returns the runtime of that name, or the first that knows the files' format where no name is given.
func (r *Registry) runtime(name string, a *artefact) (NamedRuntime, error) {
	names := make([]string, len(r.runtimes))
	for i, known := range r.runtimes {
		names[i] = known.Name
		if name == known.Name || name == "" && known.Runtime.Detect(a) {
			return known, a.failed()
		}
		if err := a.failed(); err != nil {
			return NamedRuntime{}, err
		}
	}
	if name != "" {
		return NamedRuntime{}, fault.Invalidf("there is no runtime %.80q", name).
			WithHint("the runtimes of this Serin are: %s", strings.Join(names, ", "))
	}
	for _, known := range r.runtimes {
		if d, ok := known.Runtime.(predict.Decliner); ok {
			if err := d.Decline(a); err != nil {
				return NamedRuntime{}, err
			}
		}
	}
	return NamedRuntime{}, fault.Invalidf("no runtime knows the format of the files (%.200s)", strings.Join(a.Files(), ", ")).
		WithHint("%s", r.formats())
}

// formats says what each runtime opens.
func (r *Registry) formats() string {
	var all []string
	for _, known := range r.runtimes {
		text := "the runtime " + known.Name
		if d, ok := known.Runtime.(predict.Describer); ok {
			text += " opens " + d.Formats()
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
