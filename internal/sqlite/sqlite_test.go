package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

var items = []string{
	`CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT`,
	`ALTER TABLE items ADD COLUMN size INTEGER NOT NULL DEFAULT 7; CREATE INDEX by_size ON items(size)`,
}

func open(t *testing.T, path string, migrations []string) *DB {
	t.Helper()
	db, err := Open(context.Background(), path, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func query[T any](t *testing.T, db *DB, text string) (v T) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), text).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestEveryConnectionIsDurableAndChecksForeignKeys(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a ?#%41.db"), items)
	for range 3 {
		conn, err := db.Conn(context.Background()) // kept, so that each is another one
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": busyMillis} {
			var got string
			if err := conn.QueryRowContext(context.Background(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %q, %v; want %q", pragma, got, err, want)
			}
		}
	}
	if _, err := os.Stat(db.Path()); err != nil {
		t.Errorf("the path's odd characters were not taken literally: %v", err)
	}
}

func TestMigrationsRunOnceEachInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	first := open(t, path, items[:1])
	exec(t, first, `INSERT INTO items VALUES (1, 'kept')`)
	first.Close()
	for range 2 {
		db := open(t, path, items)
		if got := query[int](t, db, `SELECT size FROM items WHERE name = 'kept'`); got != 7 {
			t.Errorf("size = %d, want 7", got)
		}
		if got := query[int](t, db, `PRAGMA user_version`); got != 2 {
			t.Errorf("user_version = %d, want 2", got)
		}
		db.Close()
	}
}

func TestFailedMigrationLeavesTheFileAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open(t, path, items[:1]).Close()
	bad := []string{items[0], `CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1)`}
	if _, err := Open(context.Background(), path, bad); err == nil || !strings.Contains(err.Error(), "migration 2") {
		t.Fatalf("got %v, want an error that names migration 2", err)
	}
	db := open(t, path, items[:1])
	if n := query[int](t, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'half'`); n != 0 {
		t.Error("half of a migration stayed")
	}
}

func TestTwoProgramsMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open(t, path, nil).Close()
	errs := make(chan error)
	for range 4 {
		go func() {
			db, err := Open(context.Background(), path, items)
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	open(t, path, items)
}

func TestUnfitFilesAreRefusedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	open(t, newer, items).Close()
	other := filepath.Join(dir, "other.db")
	db := open(t, other, nil)
	exec(t, db, `CREATE TABLE theirs (a)`)
	db.Close()
	damaged := open(t, filepath.Join(dir, "damaged.db"), items)
	for range 200 {
		exec(t, damaged, `INSERT INTO items(name) VALUES (hex(randomblob(500)))`)
	}
	damaged.Close()
	content, err := os.ReadFile(damaged.Path())
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < 4096; i++ { // the page of the schema
		content[i] = 0xff
	}
	tests := []struct {
		name, path string
		kind       fault.Kind
		text       string
	}{
		{"newer", newer, fault.Conflict, "newer Serin (its format is 2; this one knows up to 1)"},
		{"another program's", other, fault.Invalid, "another program"},
		{"text", write("text.db", bytes.Repeat([]byte("model,version\n"), 100)), fault.Invalid, "no SQLite file"},
		{"damaged", write("damaged.db", content), fault.Internal, "is damaged"},
		{"no folder", filepath.Join(dir, "absent", "x.db"), fault.Unavailable, "cannot be opened"},
		{"a folder", dir, fault.Unavailable, "cannot be opened"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, _ := os.ReadFile(tt.path)
			db, err := Open(context.Background(), tt.path, items[:1])
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || fault.HintOf(err) == "" {
				t.Errorf("got %v %q, hint %q; want %v with %q", fault.KindOf(err), err, fault.HintOf(err), tt.kind, tt.text)
			}
			if after, _ := os.ReadFile(tt.path); !bytes.Equal(before, after) {
				t.Error("the file changed")
			}
		})
	}
}

func TestFullDiskIsUnavailableAndLosesNothing(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"), items)
	db.SetMaxOpenConns(1) // the limit below is of one connection
	exec(t, db, `INSERT INTO items VALUES (1, 'kept', 0)`)
	exec(t, db, `PRAGMA max_page_count = 10`)
	var err error
	for range 200 {
		if _, err = db.ExecContext(context.Background(), `INSERT INTO items(name) VALUES (hex(randomblob(500)))`); err != nil {
			break
		}
	}
	err = Classify(err, db.Path())
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.HintOf(err), "free some space") {
		t.Errorf("got %v %v", fault.KindOf(err), err)
	}
	if got := query[string](t, db, `SELECT name FROM items WHERE id = 1`); got != "kept" {
		t.Errorf("got %q", got)
	}
}

func TestLockedFileIsUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	holder, other := open(t, path, items), open(t, path, items)
	other.SetMaxOpenConns(1)
	exec(t, other, `PRAGMA busy_timeout = 0`)
	tx, err := holder.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, err = other.ExecContext(context.Background(), `INSERT INTO items(name) VALUES ('a')`)
	if err := Classify(err, path); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v", err)
	}
}

func TestClassifyKeepsWhatIsClassified(t *testing.T) {
	if Classify(nil, "x") != nil {
		t.Error("nil became an error")
	}
	conflict := fault.Conflictf("busy")
	for _, err := range []error{context.Canceled, conflict} {
		if got := Classify(err, "x"); !errors.Is(got, err) || got.Error() != err.Error() {
			t.Errorf("got %v, want %v", got, err)
		}
	}
}
