package sqlite

import (
	"context"
	"database/sql"
	"strings"
)

// manyRows is how many rows go with one statement: beyond that a row gets no cheaper.
const manyRows = 32

// bulk runs a statement with VALUES for many rows at a time, as a statement costs more than a row.
type bulk struct {
	one, many *sql.Stmt
	width     int
	args      []any
}

// prepareBulk makes a bulk of head + rows of width placeholders + tail.
func (s *statements) prepareBulk(ctx context.Context, conn *sql.Conn, head string, width int, tail string) (*bulk, error) {
	row := "(?" + strings.Repeat(",?", width-1) + ")"
	b := &bulk{width: width, args: make([]any, 0, width*manyRows)}
	var err error
	if b.one, err = s.stmt(ctx, conn, head+row+tail); err != nil {
		return nil, err
	}
	b.many, err = s.stmt(ctx, conn, head+row+strings.Repeat(","+row, manyRows-1)+tail)
	return b, err
}

// add takes a row, and writes when there are enough.
func (b *bulk) add(ctx context.Context, values ...any) error {
	b.args = append(b.args, values...)
	if len(b.args) < b.width*manyRows {
		return nil
	}
	_, err := b.many.ExecContext(ctx, b.args...)
	b.clear()
	return err
}

// flush writes the rows that are left.
func (b *bulk) flush(ctx context.Context) error {
	for at := 0; at < len(b.args); at += b.width {
		if _, err := b.one.ExecContext(ctx, b.args[at:at+b.width]...); err != nil {
			b.clear()
			return err
		}
	}
	b.clear()
	return nil
}

func (b *bulk) clear() {
	clear(b.args)
	b.args = b.args[:0]
}

// lookup runs a query for many keys at a time.
type lookup struct {
	stmt  *sql.Stmt
	width int
}

// prepareLookup makes a lookup of head + keys + tail, where each key is a placeholder or, if it has several parts, a row of them.
func (s *statements) prepareLookup(ctx context.Context, conn *sql.Conn, head string, width int, tail string) (*lookup, error) {
	key := "?"
	if width > 1 {
		key = "(?" + strings.Repeat(",?", width-1) + ")"
	}
	stmt, err := s.stmt(ctx, conn, head+key+strings.Repeat(","+key, manyRows-1)+tail)
	return &lookup{stmt: stmt, width: width}, err
}

// each calls row for each row found for the keys, whose parts stand one after the other.
func (l *lookup) each(ctx context.Context, keys []any, row func(scan func(...any) error) error) error {
	for len(keys) > 0 {
		n := min(len(keys), manyRows*l.width)
		chunk := keys[:n:n]
		for len(chunk) < manyRows*l.width { // the last key again, which finds nothing new
			chunk = append(chunk, keys[n-l.width:n]...)
		}
		if err := l.once(ctx, chunk, row); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (l *lookup) once(ctx context.Context, keys []any, row func(scan func(...any) error) error) error {
	rows, err := l.stmt.QueryContext(ctx, keys...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
