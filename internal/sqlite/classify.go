package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/serin-ml/serin/internal/fault"
)

// Classify gives an error of SQLite, or of the file system, on the file at path its kind, and says what to do: a full disk, a file
// that cannot be written, and one that another process keeps locked are Unavailable; a damaged file and a failing disk are
// Internal; what is no SQLite file is Invalid. Errors that have a kind, and a context's, stay as they are. nil stays nil.
func Classify(err error, path string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return classifyCode(e, path)
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return full(err, path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return readOnly(err, path)
	}
	return fault.Internalf("%s: %w", path, err)
}

func classifyCode(e *sqlite.Error, path string) error {
	if e.Code() == codes.SQLITE_IOERR_SHMSIZE { // the shared memory file could not grow
		return full(e, path)
	}
	switch e.Code() & 0xff { // the rest is detail
	case codes.SQLITE_FULL:
		return full(e, path)
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_PERM:
		return readOnly(e, path)
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return fault.Unavailablef("%s is locked by another process: %w", path, e).
			WithHint("wait for the other process to finish, or stop it")
	case codes.SQLITE_CORRUPT:
		return fault.Internalf("%s is damaged: %w", path, e).
			WithHint("restore it from a backup; keep the damaged file, and the -wal file beside it, for a rescue")
	case codes.SQLITE_NOTADB:
		return fault.Invalidf("%s is no SQLite file: %w", path, e).
			WithHint("choose another path, or move that file away")
	case codes.SQLITE_IOERR:
		return fault.Internalf("%s: the disk failed: %w", path, e).
			WithHint("look for disk errors in the system's log; a network file system is not supported")
	}
	return fault.Internalf("%s: %w", path, e)
}

// IsDamaged tells whether err says that the file's content is damaged, or never was SQLite's. A file that can be made anew is then best
// moved away.
func IsDamaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	primary := e.Code() & 0xff
	return primary == codes.SQLITE_CORRUPT || primary == codes.SQLITE_NOTADB
}

func full(err error, path string) error {
	return fault.Unavailablef("no room left on the disk for %s: %w", path, err).
		WithHint("free some space and try again; nothing that was stored is lost")
}

func readOnly(err error, path string) error {
	return fault.Unavailablef("%s cannot be opened or written: %w", path, err).
		WithHint("check that the folder exists, and that this user may write to it and to the file")
}

// cannotShare tells whether err says that SQLite could not make or use the files it shares with a writer.
func cannotShare(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	primary := e.Code() & 0xff
	return primary == codes.SQLITE_CANTOPEN || primary == codes.SQLITE_READONLY
}
