// Package disk keeps store.Blobs as files in a folder, one file a blob, named by its digest. Every path is resolved under an
// os.Root, so that no link leads out of it. One process writes at a time (the data directory's lock sees to that); any number read.
//
// A blob is written under a temporary name, flushed to the disk, and renamed into place, and the folder is flushed too: a crash
// leaves it whole or absent, and at most a temporary file, which Sweep removes.
package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// Options are what tests and app may set. The zero value is ready to use.
type Options struct {
	// Before is called before each call to the file system, with what it does (open, create, read, write, sync, close, rename,
	// mkdir, stat, list, remove, syncdir) and to which path below the folder. Its error takes the place of the call.
	Before func(op, name string) error
}

// Blobs is a store.Blobs and a store.Collector on a folder.
type Blobs struct {
	files  files
	mu     sync.Mutex      // held while a blob appears or goes, and for what follows
	making map[string]bool // temporary names in use
	last   int             // the last number given to a temporary name
}

var _ interface {
	store.Blobs
	store.Collector
} = (*Blobs)(nil)

// Where things are, below the folder: blobs/sha256/<2 digits>/<62 digits> and blobs/tmp/<process>-<number>.
const (
	final     = "blobs/sha256"
	temporary = "blobs/tmp"
)

// Open returns the blobs kept under the folder dir, which must exist. Nothing is written before the first Put. Close it after use.
func Open(dir string, o Options) (*Blobs, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, classify(err, dir)
	}
	if o.Before == nil {
		o.Before = func(string, string) error { return nil }
	}
	known := &folderSet{folders: map[string]bool{}}
	return &Blobs{files: files{root, o.Before, known}, making: map[string]bool{}}, nil
}

// Close lets go of the folder.
func (b *Blobs) Close() error { return b.files.root.Close() }

// nameOf returns where d is kept.
func nameOf(d store.Digest) string {
	digits := hex.EncodeToString(d[:])
	return path.Join(final, digits[:2], digits[2:])
}

// Put implements store.Blobs. A blob that is there already is replaced by the same bytes, which mends it if it was damaged.
func (b *Blobs) Put(ctx context.Context, r io.Reader) (store.Digest, int64, error) {
	content := &source{r: store.WithContext(ctx, r)}
	d, size, err := b.put(content)
	switch {
	case content.err != nil:
		return store.Digest{}, 0, fault.New(fault.KindOf(content.err), "read what is to be stored: %w", content.err)
	case err != nil:
		return store.Digest{}, 0, classify(err, "store a file")
	}
	return d, size, nil
}

func (b *Blobs) put(r io.Reader) (d store.Digest, size int64, err error) {
	if err := b.files.mkdirs(temporary); err != nil {
		return d, 0, err
	}
	f, name, err := b.create()
	if err != nil {
		return d, 0, err
	}
	defer func() {
		if err != nil {
			_ = b.files.remove(name) // the first error is the one to tell; Sweep takes what stays
		}
		b.release(name)
	}()
	h := sha256.New()
	size, err = io.CopyBuffer(io.MultiWriter(f, h), r, make([]byte, 256<<10))
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return d, 0, err
	}
	d = store.HashDigest(h)
	return d, size, b.place(name, nameOf(d))
}

// place renames the finished file to its lasting name, for good.
func (b *Blobs) place(from, to string) error {
	if err := b.files.mkdirs(path.Dir(to)); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.files.rename(from, to); err != nil {
		return err
	}
	return b.files.syncDir(path.Dir(to))
}

// create makes a new temporary file. A name may be taken by what a crashed process with our id left.
func (b *Blobs) create() (*file, string, error) {
	for {
		name := b.reserve()
		f, err := b.files.create(name)
		if err == nil {
			return f, name, nil
		}
		b.release(name)
		if !errors.Is(err, fs.ErrExist) {
			return nil, "", err
		}
	}
}

// Open implements store.Blobs. What it returns is also an io.ReaderAt, and has an os.File's Stat.
func (b *Blobs) Open(_ context.Context, d store.Digest) (io.ReadCloser, error) {
	f, err := b.files.open(nameOf(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFoundf("blob %s is not in the store", d).
			WithHint("import the file again, or restore the blobs folder from a backup")
	}
	if err != nil {
		return nil, classify(err, "open blob "+d.String())
	}
	return f, nil
}

// List implements store.Collector. Files that are no blobs are passed over.
func (b *Blobs) List(ctx context.Context, found func(store.Blob) error) error {
	folders, err := b.files.list(final)
	if err != nil {
		return classify(err, "list the blobs")
	}
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !folder.IsDir() {
			continue
		}
		entries, err := b.files.list(path.Join(final, folder.Name()))
		if err != nil {
			return classify(err, "list the blobs")
		}
		for _, e := range entries {
			d, err := store.ParseDigest("sha256:" + folder.Name() + e.Name())
			info, gone := e.Info()
			if err != nil || gone != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := found(store.Blob{Digest: d, Size: info.Size(), PutAt: info.ModTime()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete implements store.Collector.
func (b *Blobs) Delete(_ context.Context, d store.Digest, before time.Time) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone, err := b.removeOld(nameOf(d), before)
	if err == nil && gone {
		err = b.files.syncDir(path.Dir(nameOf(d)))
	}
	if err != nil {
		return false, classify(err, "delete blob "+d.String())
	}
	return gone, nil
}

// Sweep implements store.Collector. It spares the files that this process is writing, and by the age what another one may be.
func (b *Blobs) Sweep(_ context.Context, before time.Time) (int, error) {
	entries, err := b.files.list(temporary)
	if err != nil {
		return 0, classify(err, "list temporary files")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	removed := 0
	for _, e := range entries {
		name := path.Join(temporary, e.Name())
		if b.making[name] || e.IsDir() {
			continue
		}
		gone, err := b.removeOld(name, before)
		if err != nil {
			return removed, classify(err, "remove a temporary file")
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// removeOld removes the file if it was last changed before the given time, and tells whether it did.
func (b *Blobs) removeOld(name string, before time.Time) (bool, error) {
	info, err := b.files.stat(name)
	if err == nil && info.ModTime().Before(before) {
		err = b.files.remove(name)
		if err == nil {
			return true, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, err
}

// trimPath takes the file's path out of an error: it says nothing to those who ask over the network, and too much of the machine.
func trimPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// source remembers the error of what is to be stored, so that it is not blamed on the store's disk.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
