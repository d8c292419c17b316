package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"iter"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/sqlite"
)

// QueryTime is how long a query may take by default.
const QueryTime = 30 * time.Second

// What a query may need. SQLite's own limits suit programs that trust their SQL.
const (
	maxQuery   = 1 << 20  // bytes of SQL
	maxValue   = 16 << 20 // bytes of a value or a row
	maxPattern = 256      // bytes of a LIKE or GLOB pattern, which cannot be interrupted
)

// Reader asks telemetry.db. It writes nothing, also beside a server that does. Its methods may be called at the same time.
type Reader struct {
	db    *sqlite.DB
	limit time.Duration
}

// OpenReader opens the file at path for reading; no file is NotFound. A query may take as long as limit, 0 is QueryTime. Close it after
// use.
func OpenReader(ctx context.Context, path string, limit time.Duration) (*Reader, error) {
	if limit <= 0 {
		limit = QueryTime
	}
	db, err := sqlite.OpenReadOnly(ctx, path, len(migrations))
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, limit: limit}, nil
}

// Close closes the file.
func (r *Reader) Close() error { return sqlite.Classify(r.db.Close(), r.db.Path()) }

// Rows are the answer to a query. Close them after use.
type Rows struct {
	Columns []string

	reader *Reader
	ctx    context.Context // with the time limit
	cancel context.CancelFunc
	conn   *sql.Conn
	rows   *sql.Rows
}

// Close ends the query.
func (r *Rows) Close() {
	if r.rows != nil {
		_ = r.rows.Close()
	}
	_ = r.conn.Raw(func(c any) error { return allow(c, nil) }) // our own queries need transactions
	_ = r.conn.Close()
	r.cancel()
}

// All gives each row once: a value per column, which is nil, int64, float64, string or []byte, and is the caller's. An error is the
// last.
func (r *Rows) All() iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for r.rows.Next() {
			values := make([]any, len(r.Columns))
			into := make([]any, len(r.Columns))
			for i := range into {
				into[i] = &values[i]
			}
			if err := r.rows.Scan(into...); err != nil {
				yield(nil, r.reader.explain(r.ctx, err))
				return
			}
			if !yield(values, nil) {
				return
			}
		}
		err := r.rows.Err()
		if err == nil {
			err = r.reader.db.Fresh()
		}
		if err != nil {
			yield(nil, r.reader.explain(r.ctx, err))
		}
	}
}

// Query runs one SELECT, WITH ... SELECT, VALUES or EXPLAIN. Whatever else the text says, it is refused: it cannot write, attach
// another file, change a setting or load code. What is wrong with it is Invalid; taking longer than the limit is Unavailable.
func (r *Reader) Query(ctx context.Context, text string, args ...any) (*Rows, error) {
	if err := oneStatement(text); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	conn, err := r.db.Conn(ctx)
	if err != nil {
		cancel()
		return nil, r.explain(ctx, err)
	}
	rows := &Rows{reader: r, ctx: ctx, cancel: cancel, conn: conn}
	if err := restrict(conn); err != nil {
		rows.Close()
		return nil, r.explain(ctx, err)
	}
	if rows.rows, err = conn.QueryContext(ctx, text, args...); err == nil { //nolint:rowserrcheck // All looks at it
		rows.Columns, err = rows.rows.Columns()
	}
	if err != nil {
		_, coded := errors.AsType[*driver.Error](err)
		if coded || ctx.Err() != nil {
			err = r.explain(ctx, err)
		} else {
			err = wrong(err) // the driver's own words, such as of a parameter without a value
		}
		rows.Close()
		return nil, err
	}
	return rows, nil
}

func wrong(err error) error {
	return fault.Invalidf("the query is wrong: %w", err).WithHint("the views are %s; SELECT * FROM pragma_table_info('VIEW') shows columns", viewList())
}

// restrict takes from a connection all that a question does not need.
func restrict(conn *sql.Conn) error {
	for id, value := range map[int]int{
		codes.SQLITE_LIMIT_ATTACHED:            0,
		codes.SQLITE_LIMIT_SQL_LENGTH:          maxQuery,
		codes.SQLITE_LIMIT_LENGTH:              maxValue,
		codes.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: maxPattern,
	} {
		if _, err := driver.Limit(conn, id, value); err != nil {
			return err
		}
	}
	return conn.Raw(func(c any) error { return allow(c, authorize) })
}

// allow sets what SQLite may compile on a connection, nil for anything. A connection that refuses is not used again.
func allow(c any, what driver.AuthorizerFn) error {
	registerer, ok := c.(driver.AuthorizerRegisterer)
	if !ok || registerer.RegisterAuthorizer(what) != nil {
		return sqldriver.ErrBadConn
	}
	return nil
}

// authorize lets SQLite compile what reads. PRAGMAs that show a table's columns are among it.
func authorize(action driver.AuthorizerActionCode, arg1, arg2, _, _ string) driver.AuthorizerReturnCode {
	switch action {
	case driver.AuthSelect, driver.AuthRead, driver.AuthRecursive:
		return driver.AuthorizerOK
	case driver.AuthFunction:
		if arg2 != "load_extension" {
			return driver.AuthorizerOK
		}
	case driver.AuthPragma:
		if arg1 == "table_info" || arg1 == "table_xinfo" || arg1 == "table_list" {
			return driver.AuthorizerOK
		}
	}
	return driver.AuthorizerDeny
}

// explain turns an error of a query into one for whoever wrote it.
func (r *Reader) explain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.Unavailablef("the query took longer than %v", r.limit).
			WithHint("ask for a shorter time, by minute in variant_minutes or by id in decisions, or for fewer rows")
	}
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return sqlite.Classify(err, r.db.Path())
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_AUTH, codes.SQLITE_READONLY:
		return fault.Invalidf("a query may only read: %w", err).WithHint("use SELECT on the views %s", viewList())
	case codes.SQLITE_ERROR, codes.SQLITE_TOOBIG, codes.SQLITE_RANGE, codes.SQLITE_MISMATCH:
		return wrong(err)
	}
	return sqlite.Classify(err, r.db.Path())
}

// DecisionPlace returns where in the log a decision is: see Sink.DecisionPlace.
func (r *Reader) DecisionPlace(ctx context.Context, id event.ID) (event.Offset, error) {
	place, err := decisionPlace(ctx, r.db, id)
	if err == nil {
		err = r.db.Fresh()
	}
	return place, sqlite.Classify(err, r.db.Path())
}

// OutcomesOf returns the rows of the view outcomes for a decision, in the order in which they came.
func (r *Reader) OutcomesOf(ctx context.Context, id event.ID) (*Rows, error) {
	return r.Query(ctx, outcomesView+" WHERE o.decision_key = ? AND o.decision = ? ORDER BY o.place", keyOfDecision(id), id.String())
}
