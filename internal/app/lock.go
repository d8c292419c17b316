package app

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serin-ml/serin/internal/fault"
)

// dirLock is the right to write to a data directory: one process has it at a time. The kernel drops it when the process dies.
type dirLock struct{ file *os.File }

// lockDir makes dir if it is not there and takes its lock. Where another process has it, the error is a Conflict that says which.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError("data directory", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, diskError("data directory", err)
	}
	for begin := time.Now(); ; time.Sleep(lockAgain) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		text, _ := io.ReadAll(io.NewSectionReader(file, 0, 20))
		pid := strings.TrimSpace(string(text))
		if errors.Is(err, unix.EWOULDBLOCK) && died(pid) && time.Since(begin) < lockPatience {
			continue
		}
		file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.Internalf("lock of the data directory %s: %w", dir, err)
		}
		return nil, fault.Conflictf("data directory %s is in use by process %s", dir, pid).
			WithHint("stop that process, or give this one a directory of its own with --data-dir")
	}
	// The number is for the error above only; the lock itself is the kernel's.
	if err := errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid()))); err != nil {
		file.Close()
		return nil, diskError("data directory", err)
	}
	return &dirLock{file}, nil
}

// A process that is killed while it starts a program, such as a hook of a release, leaves the lock to that one until it runs: a moment, on a
// busy machine a long one. lockPatience is how long that is waited for, lockAgain how often it is tried.
const (
	lockPatience = 5 * time.Second
	lockAgain    = 10 * time.Millisecond
)

// died tells whether a process that was running is no more.
func died(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && n > 0 && errors.Is(unix.Kill(n, 0), unix.ESRCH)
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Close gives the lock back.
func (l *dirLock) Close() error { return l.file.Close() }

// diskError gives an error of the file system a kind and, where there is something to do, a hint.
func diskError(what string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Unavailablef("%s: the disk is full: %w", what, err).WithHint("free some space and try again; nothing was changed")
	case errors.Is(err, unix.EROFS), errors.Is(err, os.ErrPermission):
		return fault.Unavailablef("%s is not writable: %w", what, err).WithHint("give this user the right to write there, or choose another with --data-dir")
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, os.ErrExist):
		return fault.Invalidf("%s: %w", what, err).WithHint("--data-dir names a folder")
	}
	return fault.Internalf("%s: %w", what, err)
}
