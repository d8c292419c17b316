package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// files are the calls to the file system, each announced to before.
type files struct {
	root   *os.Root
	before func(op, name string, size int) (int, error)
	flush  func(*os.File) error
}

// The log is its owner's alone: it holds what was asked and answered.
const fileMode = 0o600

func (fsys files) open(name string, flag int) (*file, error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if _, err := fsys.before(op, name, 0); err != nil {
		return nil, err
	}
	f, err := fsys.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return &file{f: f, name: name, files: fsys}, nil
}

func (fsys files) rename(from, to string) error {
	if _, err := fsys.before("rename", to, 0); err != nil {
		return err
	}
	return fsys.root.Rename(from, to)
}

func (fsys files) remove(name string) error {
	if _, err := fsys.before("remove", name, 0); err != nil {
		return err
	}
	return fsys.root.Remove(name)
}

func (fsys files) list() ([]fs.DirEntry, error) {
	if _, err := fsys.before("list", ".", 0); err != nil {
		return nil, err
	}
	return fs.ReadDir(fsys.root.FS(), ".")
}

// syncDir makes the names in the folder durable.
func (fsys files) syncDir() error {
	if _, err := fsys.before("syncdir", ".", 0); err != nil {
		return err
	}
	d, err := fsys.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return fsys.flush(d)
}

// file announces what it does to before.
type file struct {
	f    *os.File
	name string
	files
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	if _, err := f.before("read", f.name, len(p)); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, at)
}

// WriteAt writes as many bytes as before allows when that gives an error, as a disk that fills up does.
func (f *file) WriteAt(p []byte, at int64) (int, error) {
	allowed, err := f.before("write", f.name, len(p))
	if err == nil {
		return f.f.WriteAt(p, at)
	}
	n, failed := f.f.WriteAt(p[:min(max(allowed, 0), len(p))], at)
	return n, errors.Join(err, failed)
}

func (f *file) Truncate(size int64) error {
	if _, err := f.before("truncate", f.name, 0); err != nil {
		return err
	}
	return f.f.Truncate(size)
}

// Sync flushes the file to the disk. An error is final: the system may have dropped what it could not write, so that trying again
// would succeed and lie.
func (f *file) Sync() error {
	if _, err := f.before("sync", f.name, 0); err != nil {
		return err
	}
	return f.flush(f.f)
}

func (f *file) size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *file) Close() error { return f.f.Close() }

// classify gives an error of the file system its kind and hint; what has a kind keeps it. doing says what failed. The paths of this
// machine are left out: they say nothing to those who ask over the network.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return fault.New(e.Kind, "%s: %w", doing, err)
	}
	cause := err
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		cause = e.Err
	} else if e, ok := errors.AsType[*os.LinkError](err); ok {
		cause = e.Err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Unavailablef("%s: %w", doing, fmt.Errorf("%w: %w", event.ErrFull, cause)).
			WithHint("free some space; the log goes on by itself, and nothing that was acknowledged is lost")
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fault.Unavailablef("%s: the log's folder cannot be written or read: %w", doing, cause).
			WithHint("give this user the right to write to the data directory, or choose another one")
	case errors.Is(err, fs.ErrNotExist):
		return fault.NotFoundf("%s: %w", doing, cause)
	case errors.Is(err, syscall.EIO):
		return fault.Internalf("%s: the disk failed: %w", doing, cause).
			WithHint("look for disk errors in the system's log")
	}
	return fmt.Errorf("%s: %w", doing, cause)
}
