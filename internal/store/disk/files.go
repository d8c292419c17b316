package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync"
	"syscall"

	"github.com/serin-ml/serin/internal/fault"
)

// files are the calls to the file system, each announced to before.
type files struct {
	root    *os.Root
	before  func(op, name string) error
	durable *folderSet
}

// folderSet holds the folders known to be on the disk, not just in its cache.
type folderSet struct {
	sync.Mutex
	folders map[string]bool
}

// Modes are those SQLite uses, narrowed by the umask, so that an image prepared by one user can be served by another. Blobs never
// change, so that nobody may write to them.
const (
	folderMode = 0o755
	blobMode   = 0o444
)

// mkdirs makes the folder and those above it where they are absent, and makes their names durable. The first time a process comes
// by a folder it flushes the parent even if the folder is there: a process that crashed may have made it and not got that far.
func (fsys files) mkdirs(name string) error {
	if name == "." {
		return nil
	}
	fsys.durable.Lock()
	known := fsys.durable.folders[name]
	fsys.durable.Unlock()
	if known {
		return nil
	}
	if err := fsys.mkdirs(path.Dir(name)); err != nil {
		return err
	}
	if err := fsys.before("mkdir", name); err != nil {
		return err
	}
	if err := fsys.root.Mkdir(name, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := fsys.syncDir(path.Dir(name)); err != nil {
		return err
	}
	fsys.durable.Lock()
	fsys.durable.folders[name] = true
	fsys.durable.Unlock()
	return nil
}

func (fsys files) create(name string) (*file, error) {
	if err := fsys.before("create", name); err != nil {
		return nil, err
	}
	f, err := fsys.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, blobMode)
	if err != nil {
		return nil, err
	}
	return &file{f: f, name: name, before: fsys.before}, nil
}

func (fsys files) open(name string) (*file, error) {
	if err := fsys.before("open", name); err != nil {
		return nil, err
	}
	f, err := fsys.root.Open(name)
	if err != nil {
		return nil, err
	}
	return &file{f: f, name: name, before: fsys.before, reading: true}, nil
}

func (fsys files) rename(from, to string) error {
	if err := fsys.before("rename", to); err != nil {
		return err
	}
	return fsys.root.Rename(from, to)
}

func (fsys files) remove(name string) error {
	if err := fsys.before("remove", name); err != nil {
		return err
	}
	return fsys.root.Remove(name)
}

func (fsys files) stat(name string) (fs.FileInfo, error) {
	if err := fsys.before("stat", name); err != nil {
		return nil, err
	}
	return fsys.root.Lstat(name)
}

// list returns the entries of a folder, none if it is absent.
func (fsys files) list(name string) ([]fs.DirEntry, error) {
	if err := fsys.before("list", name); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(fsys.root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// syncDir makes the names in a folder durable.
func (fsys files) syncDir(name string) error {
	if err := fsys.before("syncdir", name); err != nil {
		return err
	}
	f, err := fsys.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// file announces what it does to before.
type file struct {
	f      *os.File
	name   string
	before func(op, name string) error

	reading bool
}

func (f *file) Read(p []byte) (int, error) {
	if err := f.before("read", f.name); err != nil {
		return 0, err
	}
	return f.f.Read(p)
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, at int64) (int, error) {
	if err := f.before("read", f.name); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, at)
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.before("write", f.name); err != nil {
		return 0, err
	}
	return f.f.Write(p)
}

func (f *file) Stat() (fs.FileInfo, error) { return f.f.Stat() }

// Sync flushes the file to the disk. An error is final: the system may have dropped what it could not write, so that trying
// again would succeed and lie.
func (f *file) Sync() error {
	if err := f.before("sync", f.name); err != nil {
		return err
	}
	return f.f.Sync()
}

// Close closes the file even where before fails, which is not asked about a file that was only read.
func (f *file) Close() error {
	if f.reading {
		return f.f.Close()
	}
	return errors.Join(f.before("close", f.name), f.f.Close())
}

// reserve gives a temporary name that this process does not use, and keeps Sweep from it until release.
func (b *Blobs) reserve() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	name := path.Join(temporary, strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(b.last))
	b.making[name] = true
	return name
}

func (b *Blobs) release(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.making, name)
}

// classify gives an error of the file system its kind and hint; what has a kind keeps it. doing says what failed.
func classify(err error, doing string) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return fault.New(e.Kind, "%s: %w", doing, err)
	}
	cause := trimPath(err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Unavailablef("%s: no room left on the disk: %w", doing, cause).
			WithHint("free some space and try again; nothing that was stored is lost")
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fault.Unavailablef("%s: the data directory cannot be written or read: %w", doing, cause).
			WithHint("give this user the right to write to the data directory, or choose another one")
	case errors.Is(err, fs.ErrNotExist):
		return fault.NotFoundf("%s: %w", doing, cause)
	case errors.Is(err, syscall.EIO):
		return fault.Internalf("%s: the disk failed: %w", doing, cause).
			WithHint("look for disk errors in the system's log")
	}
	return fmt.Errorf("%s: %w", doing, cause)
}
