package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serin-ml/serin/internal/fault"
)

// holdLock takes the lock of a directory as a process with that number would have, until what is returned is called.
func holdLock(t *testing.T, dir string, pid int) (release func()) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if err := writeAt(file, strconv.Itoa(pid)); err != nil {
		t.Fatal(err)
	}
	return func() { file.Close() }
}

// A program that a killed server was about to start has the server's lock until it runs.
func TestALockThatADeadProcessLeftIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	dead := exec.Command(os.Args[0], "-test.run", "^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	release := holdLock(t, dir, dead.Process.Pid)
	later := time.AfterFunc(100*time.Millisecond, release)
	defer later.Stop()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func TestALockOfAProcessThatRunsIsAConflict(t *testing.T) {
	dir := t.TempDir()
	defer holdLock(t, dir, os.Getpid())()
	if _, err := lockDir(dir); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}
