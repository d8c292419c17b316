// Package sqlite keeps store.State in one SQLite file.
package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/sqlite"
	"github.com/serin-ml/serin/internal/store"
)

// migrations make the file. Keys are ASCII, so that BINARY, SQLite's default, orders them by their bytes. The revision of the whole
// State has a row of its own: if it were the greatest of the documents', deleting the newest one would give it out again.
var migrations = []string{`
	CREATE TABLE documents (
		key      TEXT PRIMARY KEY,
		revision INTEGER NOT NULL,
		value    BLOB NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE TABLE revision (last INTEGER NOT NULL) STRICT;
	INSERT INTO revision VALUES (0);
`}

// State is a store.State in an SQLite file.
type State struct {
	db       *sqlite.DB
	writing  chan struct{} // holds one token: writers of this process queue here, not in SQLite's polling
	readOnly bool
}

var _ store.State = (*State)(nil)

// Open opens the file at path for reading and writing and makes it where it is absent. Close it after use.
func Open(ctx context.Context, path string) (*State, error) {
	db, err := sqlite.Open(ctx, path, migrations)
	if err != nil {
		return nil, err
	}
	return &State{db: db, writing: make(chan struct{}, 1)}, nil
}

// OpenReadOnly opens the file at path for reading, also beside a writer, and in a folder that cannot be written. It makes no file;
// where there is none, it is NotFound. Close it after use.
func OpenReadOnly(ctx context.Context, path string) (*State, error) {
	db, err := sqlite.OpenReadOnly(ctx, path, len(migrations))
	if err != nil {
		return nil, err
	}
	return &State{db: db, readOnly: true}, nil
}

// Close closes the file.
func (s *State) Close() error { return sqlite.Classify(s.db.Close(), s.db.Path()) }

// View implements store.State.
func (s *State) View(ctx context.Context, read func(store.Reader) error) error {
	t, err := s.begin(ctx, true)
	if err != nil {
		return err
	}
	defer func() { _ = t.tx.Rollback() }()
	failed := read(t)
	if err := s.db.Fresh(); err != nil {
		return err // read may have failed for that very reason
	}
	return failed
}

// Update implements store.State.
func (s *State) Update(ctx context.Context, write func(store.Tx) error) error {
	if s.readOnly {
		return fault.Unavailablef("%s was opened for reading only", s.db.Path()).
			WithHint("run the command where the data directory can be written")
	}
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	t, err := s.begin(ctx, false)
	if err != nil {
		return err
	}
	defer func() { _ = t.tx.Rollback() }() // does nothing after Commit
	if err := write(t); err != nil {
		return err
	}
	return s.classify(t.tx.Commit())
}

func (s *State) begin(ctx context.Context, readOnly bool) (*transaction, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return nil, s.classify(err)
	}
	return &transaction{ctx: ctx, tx: tx, state: s}, nil
}

func (s *State) classify(err error) error { return sqlite.Classify(err, s.db.Path()) }

// transaction is a store.Tx, and good as a store.Reader.
type transaction struct {
	ctx      context.Context
	tx       *sql.Tx
	state    *State
	revision int64 // of what this transaction writes; 0 before its first write
}

// Get implements store.Reader.
func (t *transaction) Get(key string) (store.Doc, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Doc{}, err
	}
	d := store.Doc{Key: key}
	err := t.tx.QueryRowContext(t.ctx, `SELECT revision, value FROM documents WHERE key = ?`, key).Scan(&d.Revision, &d.Value)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Doc{}, fault.NotFoundf("there is no document %s", key)
	}
	return d, t.state.classify(err)
}

// page is how many documents Scan holds at once.
const page = 256

// Scan implements store.Reader. It reads page by page, so that found may use the transaction.
func (t *transaction) Scan(prefix string, found func(store.Doc) error) error {
	if err := store.CheckPrefix(prefix); err != nil {
		return err
	}
	for after := ""; ; {
		docs, err := t.next(prefix, after)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := found(d); err != nil {
				return err
			}
		}
		if len(docs) < page {
			return nil
		}
		after = docs[len(docs)-1].Key
	}
}

// next returns the first documents with the prefix whose keys come after the given one.
func (t *transaction) next(prefix, after string) (docs []store.Doc, err error) {
	const beyond = "\x7f" // no byte of a key is as great
	rows, err := t.tx.QueryContext(t.ctx,
		`SELECT key, revision, value FROM documents WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?`,
		prefix, prefix+beyond, after, page)
	if err != nil {
		return nil, t.state.classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var d store.Doc
		if err := rows.Scan(&d.Key, &d.Revision, &d.Value); err != nil {
			return nil, t.state.classify(err)
		}
		docs = append(docs, d)
	}
	return docs, t.state.classify(rows.Err())
}

// Put implements store.Tx.
func (t *transaction) Put(key string, value []byte, was int64) (int64, error) {
	if err := errors.Join(store.CheckKey(key), store.CheckValue(key, value)); err != nil {
		return 0, err
	}
	if _, err := t.expect(key, was); err != nil {
		return 0, err
	}
	if err := t.advance(); err != nil {
		return 0, err
	}
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	_, err := t.tx.ExecContext(t.ctx, `INSERT INTO documents VALUES (?1, ?2, ?3)
		ON CONFLICT (key) DO UPDATE SET revision = ?2, value = ?3`, key, t.revision, value)
	return t.revision, t.state.classify(err)
}

// Delete implements store.Tx.
func (t *transaction) Delete(key string, was int64) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	is, err := t.expect(key, was)
	if err != nil || is == store.Absent {
		return err
	}
	if err := t.advance(); err != nil {
		return err
	}
	_, err = t.tx.ExecContext(t.ctx, `DELETE FROM documents WHERE key = ?`, key)
	return t.state.classify(err)
}

// expect returns the revision at key, store.Absent for none, once it is what the caller wants.
func (t *transaction) expect(key string, was int64) (is int64, err error) {
	err = t.tx.QueryRowContext(t.ctx, `SELECT revision FROM documents WHERE key = ?`, key).Scan(&is)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, t.state.classify(err)
	}
	return is, store.CheckRevision(key, was, is)
}

// advance gives this write a revision of its own.
func (t *transaction) advance() error {
	err := t.tx.QueryRowContext(t.ctx, `UPDATE revision SET last = last + 1 RETURNING last`).Scan(&t.revision)
	return t.state.classify(err)
}
