package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

// asStranger runs f without the right to write to dir or the files in it; root gives up its powers on this thread meanwhile.
func asStranger(t *testing.T, dir string, f func()) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(dir, e.Name()), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{dir: 0o555, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(dir, 0o755)
	if os.Getuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const nobody = 65534
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setfsuid(0)
	}
	if err := os.WriteFile(filepath.Join(dir, "probe"), nil, 0o600); err == nil {
		t.Fatal("the folder can be written; the test would show nothing")
	}
	f()
}

func TestReadOnlyFolder(t *testing.T) {
	tests := map[string]func(t *testing.T, path string){
		"after a clean end":            func(*testing.T, string) {},
		"with an empty log left over":  func(t *testing.T, path string) { touch(t, path+"-wal", path+"-shm") },
		"with an empty log and no shm": func(t *testing.T, path string) { touch(t, path+"-wal") },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.db")
			db := open(t, path, items)
			exec(t, db, `INSERT INTO items VALUES (1, 'a', 0)`)
			db.Close()
			prepare(t, path)
			asStranger(t, dir, func() {
				ro := openReadOnly(t, path)
				if got := query[string](t, ro, `SELECT name FROM items`); got != "a" {
					t.Errorf("got %q", got)
				}
				ro.Close()
				_, err := Open(context.Background(), path, append(items[:2:2], `CREATE TABLE more (a)`))
				if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.HintOf(err), "may write") {
					t.Errorf("opening it for writing: %v, hint %q", err, fault.HintOf(err))
				}
			})
		})
	}
}

// A log with content must never be left out, so that a crashed server's last commits are not denied.
func TestReadOnlyFolderWithAFilledLogIsReadWholeOrRefused(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x.db")
	db := open(t, from, items)
	exec(t, db, `INSERT INTO items VALUES (1, 'only in the log', 0)`)

	whole := crashed(t, from, "", "-wal", "-shm")
	asStranger(t, filepath.Dir(whole), func() {
		ro := openReadOnly(t, whole)
		if got := query[string](t, ro, `SELECT name FROM items`); got != "only in the log" {
			t.Errorf("got %q", got)
		}
		ro.Close()
	})

	half := crashed(t, from, "", "-wal")
	asStranger(t, filepath.Dir(half), func() {
		if _, err := OpenReadOnly(context.Background(), half, len(items)); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v, want Unavailable", err)
		}
	})
}

func touch(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
