package registry

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/strictyaml"
)

// Draft is an import in progress: files are added, then Commit makes a version of them. It is for one goroutine. Close it after
// use, whatever happened; what was not committed is dropped then.
type Draft struct {
	r        *Registry
	model    string
	files    []File
	paths    pathSet
	manifest []byte // model.yaml, where one was added
	pinned   []store.Digest
	done     bool
}

// Begin starts an import into the model, which need not exist yet. Names are 1 to 63 of a-z, 0-9, dot, dash and underscore, and
// begin with a letter or a digit.
func (r *Registry) Begin(model string) (*Draft, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	return &Draft{r: r, model: model}, nil
}

// Add takes in one file. It streams content into the blobs and then looks at it: a file that may carry code is Invalid, and the
// hint says how to convert it. A file called model.yaml is the user's manifest, and no file of the model.
func (d *Draft) Add(ctx context.Context, path string, content io.Reader) error {
	if d.done {
		return fault.Conflictf("the import has ended already")
	}
	if err := checkPath(path); err != nil {
		return err
	}
	if err := d.paths.add(path); err != nil {
		return err
	}
	if path == ManifestFile {
		return d.addManifest(ctx, content)
	}
	if strings.EqualFold(path, ManifestFile) {
		return fault.Invalidf("%q differs from %s in case alone", path, ManifestFile).WithHint("rename it")
	}
	if len(d.files) == maxFiles {
		return fault.Invalidf("a model of more than %d files", maxFiles).WithHint("leave out what serving does not need")
	}
	f, err := d.store(ctx, path, content)
	if err != nil {
		return err
	}
	if err := d.r.refuseCode(ctx, f); err != nil {
		return err
	}
	d.files = append(d.files, f)
	return nil
}

func (d *Draft) addManifest(ctx context.Context, content io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(store.WithContext(ctx, content), strictyaml.MaxBytes+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", ManifestFile, err)
	}
	d.manifest = bytes.Clone(b) // strictyaml says so when it is too long
	return nil
}

// store puts content into the blobs and pins it there until the draft ends.
func (d *Draft) store(ctx context.Context, path string, content io.Reader) (File, error) {
	d.r.mu.Lock()
	d.r.adding++
	d.r.mu.Unlock()
	digest, size, err := d.r.blobs.Put(ctx, content)
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.r.adding--
	if err != nil {
		return File{}, fault.New(fault.KindOf(err), "%s: %w", path, err)
	}
	d.r.pins[digest]++
	d.pinned = append(d.pinned, digest)
	return File{Path: path, Size: size, Digest: digest}, nil
}

// AddFolder takes in every file of fsys, such as an os.Root's FS. Anything but plain files and folders (links, devices) is
// Invalid.
func (d *Draft) AddFolder(ctx context.Context, fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fault.Invalidf("read the folder: %w", err)
		}
		if e.IsDir() {
			return nil
		}
		return d.addFile(ctx, fsys, path, e)
	})
}

func (d *Draft) addFile(ctx context.Context, fsys fs.FS, path string, e fs.DirEntry) error {
	if !e.Type().IsRegular() {
		return fault.Invalidf("%q is not a plain file (%s)", path, e.Type()).WithHint("put the file itself in its place, or remove it")
	}
	f, err := fsys.Open(path)
	if err != nil {
		return fault.Invalidf("%q: %w", path, err)
	}
	defer f.Close()
	// What was opened counts, not what was listed: it may have been replaced in between.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fault.Invalidf("%q is not a plain file", path)
	}
	return d.Add(ctx, path, f)
}

// Close ends the draft and removes what it stored and no version uses.
func (d *Draft) Close(ctx context.Context) error {
	d.done = true
	pinned := d.pinned
	d.pinned = nil
	return d.r.unpin(ctx, pinned)
}

func (d *Draft) sortedFiles() []File {
	return slices.SortedFunc(slices.Values(d.files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
}
