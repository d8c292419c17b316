package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// Export writes the files of a version and its model.yaml into the folder dest, which must be absent or empty; the folder above it
// must exist. Importing the folder into a registry gives the same digest. A folder beside it is filled and renamed at the end, so
// that dest is complete or as it was.
func (r *Registry) Export(ctx context.Context, ref Ref, dest string) (v Version, err error) {
	if v, err = r.Resolve(ctx, ref); err != nil {
		return v, err
	}
	m, err := r.Manifest(ctx, v)
	if err != nil {
		return v, err
	}
	dest, err = filepath.Abs(dest)
	if err != nil {
		return v, fault.Invalidf("%s: %w", dest, err)
	}
	if err := checkEmpty(dest); err != nil {
		return v, err
	}
	parent, err := os.OpenRoot(filepath.Dir(dest))
	if err != nil {
		return v, exportError(dest, err)
	}
	defer parent.Close()
	name := filepath.Base(dest)
	partial, err := makePartial(parent, name)
	if err != nil {
		return v, exportError(dest, err)
	}
	if err := r.fill(ctx, parent, partial, m, v); err != nil {
		_ = parent.RemoveAll(partial)
		return v, exportError(dest, err)
	}
	if err := parent.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = parent.RemoveAll(partial)
		return v, exportError(dest, err)
	}
	if err := parent.Rename(partial, name); err != nil {
		_ = parent.RemoveAll(partial)
		return v, exportError(dest, err)
	}
	return v, nil
}

// checkEmpty refuses a destination that holds something, so that nothing of the user's is mixed in or lost.
func checkEmpty(dest string) error {
	entries, err := os.ReadDir(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return exportError(dest, err)
	case len(entries) > 0:
		return fault.Conflictf("the folder %s is not empty", dest).WithHint("give a new folder")
	}
	return nil
}

// makePartial makes the folder that is filled.
func makePartial(parent *os.Root, name string) (string, error) {
	for i := 1; ; i++ {
		partial := fmt.Sprintf("%s.partial-%d", name, i)
		err := parent.Mkdir(partial, 0o755)
		if !errors.Is(err, fs.ErrExist) || i == 100 {
			return partial, err
		}
	}
}

func (r *Registry) fill(ctx context.Context, parent *os.Root, name string, m Manifest, v Version) error {
	root, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range m.Files {
		if err := checkPath(f.Path); err != nil { // checked where it is used, whatever the import did
			return err
		}
		if err := root.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
			return err
		}
		if err := r.writeFile(ctx, root, f); err != nil {
			return err
		}
	}
	text, err := renderManifest(m, v.Semver)
	if err != nil {
		return err
	}
	return root.WriteFile(ManifestFile, text, 0o644)
}

func (r *Registry) writeFile(ctx context.Context, root *os.Root, f File) error {
	out, err := root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = store.CopyVerified(ctx, out, r.blobs, f.Digest)
	if closed := out.Close(); err == nil && closed != nil {
		return closed
	}
	if err != nil {
		return fileError(f.Path, err)
	}
	return nil
}

// exportError gives what the file system said of the user's folder a kind.
func exportError(dest string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Unavailablef("export to %s: %w", dest, err).
		WithHint("check that the folder above it exists, can be written, and has room")
}
