package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serin-ml/serin/internal/fault"
)

// folder returns the names and contents of the files in dir, but for the shared memory, which holds no data.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), "-shm") {
			content = nil
		}
		files[e.Name()] = string(content)
	}
	return files
}

func openReadOnly(t *testing.T, path string) *DB {
	t.Helper()
	db, err := OpenReadOnly(context.Background(), path, len(items))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestReadingLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	db := open(t, path, items)
	exec(t, db, `INSERT INTO items VALUES (1, 'a', 0)`)
	db.Close()
	before := folder(t, dir)

	ro := openReadOnly(t, path)
	if got := query[string](t, ro, `SELECT name FROM items`); got != "a" {
		t.Errorf("got %q", got)
	}
	if _, err := ro.ExecContext(context.Background(), `DELETE FROM items`); err == nil {
		t.Error("a read-only file was written")
	}
	if err := ro.Fresh(); err != nil {
		t.Error(err)
	}
	ro.Close()
	if diff := cmp.Diff(before, folder(t, dir)); diff != "" {
		t.Errorf("the folder changed: %s", diff)
	}
}

func TestReadingBesideALivingWriterSeesItsCommits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	writer := open(t, path, items)
	ro := openReadOnly(t, path)
	for i := range 3 {
		exec(t, writer, `INSERT INTO items(name) VALUES ('a')`)
		if got := query[int](t, ro, `SELECT count(*) FROM items`); got != i+1 {
			t.Errorf("saw %d rows, want %d", got, i+1)
		}
	}
	if err := ro.Fresh(); err != nil {
		t.Errorf("it reads along, so nothing can be stale: %v", err)
	}
}

func TestReadingAfterACrashSeesWhatWasCommitted(t *testing.T) {
	from := filepath.Join(t.TempDir(), "x.db")
	writer := open(t, from, items)
	exec(t, writer, `INSERT INTO items(name) VALUES ('only in the log')`)
	ro := openReadOnly(t, crashed(t, from, "", "-wal"))
	if got := query[string](t, ro, `SELECT name FROM items`); got != "only in the log" {
		t.Errorf("got %q", got)
	}
}

// crashed copies the files that path and the suffixes name to another folder, as a crash of their writer would leave them, and
// returns the new path.
func crashed(t *testing.T, path string, suffixes ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	for _, suffix := range suffixes {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestWriterThatComesMeanwhileIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open(t, path, items).Close()
	ro := openReadOnly(t, path)
	writer := open(t, path, items)
	exec(t, writer, `INSERT INTO items(name) VALUES ('a')`)
	if err := ro.Fresh(); fault.KindOf(err) != fault.Unavailable || fault.HintOf(err) == "" {
		t.Errorf("with a filled log: %v", err)
	}
	writer.Close()
	if err := ro.Fresh(); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("after the checkpoint: %v", err)
	}
}

func TestReadingRefusesOtherVersions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	if _, err := OpenReadOnly(context.Background(), path, 1); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no file: %v", err)
	}
	if files := folder(t, dir); len(files) > 0 {
		t.Errorf("files were made: %v", files)
	}
	open(t, path, items).Close()
	if _, err := OpenReadOnly(context.Background(), path, 1); fault.KindOf(err) != fault.Conflict {
		t.Errorf("newer: %v", err)
	}
	if _, err := OpenReadOnly(context.Background(), path, 3); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("older: %v", err)
	}
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(context.Background(), empty, 1); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("empty: %v", err)
	}
}
