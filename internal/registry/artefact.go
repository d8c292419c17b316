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
	if err != nil {
		return nil, fileError(path, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.read[path] = true
	return content, nil
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
			return known, nil
		}
	}
	if name != "" {
		return NamedRuntime{}, fault.Invalidf("there is no runtime %.80q", name).
			WithHint("the runtimes of this Serin are: %s", strings.Join(names, ", "))
	}
	return NamedRuntime{}, fault.Invalidf("no runtime knows the format of the files (%.200s)", strings.Join(a.Files(), ", ")).
		WithHint("the runtimes of this Serin are: %s; see the documentation of each for the formats it reads", strings.Join(names, ", "))
}
