package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// FS is the folder that a log is kept in, so that tests can have one that fails or forgets. Names are of files directly in it.
type FS interface {
	// Open opens a file, with the flags of os.OpenFile.
	Open(name string, flag int) (File, error)
	// Rename gives a file a name, which another may have had.
	Rename(from, to string) error
	Remove(name string) error
	List() ([]string, error)
	// Sync makes names durable: what was created, renamed or removed.
	Sync() error
	Close() error
}

// File is one file of an FS. It is read and written at places, by several at once.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes content and size durable. After an error nothing is known of what was written since the last success: the system may
	// have dropped it, and a second call may succeed and lie.
	Sync() error
}

// Modes are those the rest of the data directory has, narrowed by the umask.
const (
	folderMode = 0o755
	fileMode   = 0o644
)

// folder is an FS on a folder of the operating system.
type folder struct{ root *os.Root }

// openFolder opens dir, which it makes if mayMake. The folder above must be there.
func openFolder(dir string, mayMake bool) (FS, error) {
	if mayMake {
		switch err := os.Mkdir(dir, folderMode); {
		case err == nil:
			if err := syncFolder(filepath.Dir(dir)); err != nil {
				return nil, err
			}
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d folder) Open(name string, flag int) (File, error) {
	f, err := d.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d folder) Rename(from, to string) error { return d.root.Rename(from, to) }
func (d folder) Remove(name string) error     { return d.root.Remove(name) }
func (d folder) Close() error                 { return d.root.Close() }

func (d folder) List() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d folder) Sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// classify gives an error of the file system its kind and hint. doing says what failed.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok { // doing names the file; the path of the machine is nobody's business
		err = fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	switch {
	case isFull(err):
		return fault.Unavailablef("%s: %w", doing, event.ErrFull).
			WithHint("free some space, or keep less of the log; writing goes on by itself once there is room, and nothing acknowledged is lost")
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fault.Unavailablef("%s: the log's folder cannot be written or read: %w", doing, err).
			WithHint("give this user the right to write to the data directory, or choose another one")
	case errors.Is(err, fs.ErrNotExist):
		return fault.NotFoundf("%s: %w", doing, err)
	case errors.Is(err, syscall.EIO):
		return fault.Internalf("%s: the disk failed: %w", doing, err).WithHint("look for disk errors in the system's log")
	}
	return fault.Internalf("%s: %w", doing, err)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
