// Package sqlite opens and migrates SQLite files, and nothing else. It uses the pure Go port of SQLite, so that the binary stays
// static. What is committed is on disk: write-ahead log, synchronous=FULL.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/serin-ml/serin/internal/fault"
)

// DB is an open SQLite file. Writing transactions begin with BEGIN IMMEDIATE, so that they never fail halfway because another
// one came first; those with sql.TxOptions.ReadOnly see one snapshot and block nobody.
type DB struct {
	*sql.DB
	path string
	was  *fileState // set where the file is read without locks
}

// Path returns the file's path.
func (db *DB) Path() string { return db.path }

// busyMillis is how long a connection waits for another process's transaction. Ours take a millisecond.
const busyMillis = "5000"

// Open opens the file at path for reading and writing, makes it where it is absent (its folder must exist), and brings its tables
// up to date: migrations holds one script of SQL for each version, oldest first; each runs once, in a transaction of its own,
// and the file's user_version counts them. Never change a script that was released: add one.
//
// Errors are those of Classify. A file that a newer program has migrated further, or that holds another program's tables, is
// Conflict or Invalid and stays as it is.
func Open(ctx context.Context, path string, migrations []string) (*DB, error) {
	_, err := os.Stat(path)
	made := errors.Is(err, fs.ErrNotExist)
	db, err := connect(path, url.Values{
		"_pragma": {"busy_timeout(" + busyMillis + ")", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	})
	if err != nil {
		return nil, err
	}
	if err := db.migrate(ctx, migrations); err != nil {
		_ = db.Close()
		return nil, err
	}
	if made {
		// SQLite makes the content durable, but not the new file's name in its folder.
		if err := syncFolder(filepath.Dir(path)); err != nil {
			_ = db.Close()
			return nil, Classify(err, path)
		}
	}
	return db, nil
}

// connect makes the handle; no file is touched yet. Parameters go in a URI, where a path with ? or # needs escaping.
func connect(path string, parameters url.Values) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Internalf("%s: %w", path, err)
	}
	uri := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: parameters.Encode()}
	handle, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return nil, Classify(err, path)
	}
	// An idle connection is kept, so that a request pays for the pragmas only at the first time.
	handle.SetMaxIdleConns(4)
	return &DB{DB: handle, path: path}, nil
}

func (db *DB) migrate(ctx context.Context, migrations []string) error {
	have, err := db.version(ctx)
	if err != nil {
		return err
	}
	if err := db.known(have, len(migrations)); err != nil {
		return err
	}
	if have == 0 && len(migrations) > 0 {
		if err := db.foreign(ctx); err != nil {
			return err
		}
	}
	for v := have; v < len(migrations); v++ {
		if err := db.step(ctx, v, migrations[v]); err != nil {
			return err
		}
	}
	return nil
}

// step brings the file from version v to v+1, unless another process did meanwhile.
func (db *DB) step(ctx context.Context, v int, script string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return Classify(err, db.path)
	}
	defer func() { _ = tx.Rollback() }()
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return Classify(err, db.path)
	}
	if have > v {
		return nil
	}
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return fault.New(fault.KindOf(Classify(err, db.path)), "migration %d: %w", v+1, Classify(err, db.path))
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(v+1)); err != nil {
		return Classify(err, db.path)
	}
	return Classify(tx.Commit(), db.path)
}

func (db *DB) version(ctx context.Context) (v int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
	return v, Classify(err, db.path)
}

// known refuses a file from the future: its tables may mean something else by now.
func (db *DB) known(have, newest int) error {
	if have <= newest {
		return nil
	}
	return fault.Conflictf("%s was written by a newer Serin (its format is %d; this one knows up to %d)", db.path, have, newest).
		WithHint("use the newer Serin, or restore the copy made before the upgrade; the file was left as it is")
}

// foreign refuses a file that has tables already, though no migration of ours ran.
func (db *DB) foreign(ctx context.Context) error {
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return Classify(err, db.path)
	}
	if tables > 0 {
		return fault.Invalidf("%s is an SQLite file of another program", db.path).
			WithHint("choose another path, or move that file away")
	}
	return nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
