package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// plainRows is what one writes first: a table for outcomes, and one for counts.
type plainRows struct{ db *sqlite.DB }

func newRows(ctx context.Context, path string) (*plainRows, error) {
	db, err := sqlite.Open(ctx, path, []string{`
		CREATE TABLE outcomes (id TEXT PRIMARY KEY, decision TEXT, kind TEXT, label TEXT, received_at TEXT, service TEXT, variant TEXT) STRICT;
		CREATE TABLE counts (minute INTEGER, variant TEXT, requests INTEGER, micros INTEGER, PRIMARY KEY (minute, variant)) STRICT;
	`})
	return &plainRows{db}, err
}

func (p *plainRows) insert(ctx context.Context, base time.Time) (effort, error) {
	_, outcomes := heard(base, false)
	e, err := p.each(ctx, "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)", outcomes, func(r event.Record) []any {
		o := r.Outcome
		return []any{o.ID, o.Decision.String(), o.Kind, o.Text, o.ReceivedAt.UTC().Format(time.RFC3339Nano), o.Service, o.Variant}
	})
	return e.per(len(outcomes)), err
}

func (p *plainRows) upsert(ctx context.Context, tallies []event.Record) (effort, error) {
	const query = `INSERT INTO counts VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, micros = micros + excluded.micros`
	e, err := p.each(ctx, query, tallies, func(r event.Record) []any {
		t := r.Tally
		return []any{measure.Minute(t.From), t.Variant, int64(t.Requests), int64(t.Micros)}
	})
	return e.per(len(tallies)), err
}

// each runs a statement for each record, as many in a transaction as the sink takes.
func (p *plainRows) each(ctx context.Context, query string, records []event.Record, values func(event.Record) []any) (effort, error) {
	return spend(func() error {
		for len(records) > 0 {
			n := min(rollupBatch, len(records))
			if err := p.transaction(ctx, query, records[:n], values); err != nil {
				return err
			}
			records = records[n:]
		}
		return nil
	})
}

func (p *plainRows) transaction(ctx context.Context, query string, records []event.Record, values func(event.Record) []any) (err error) {
	tx, err := p.db.BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback()
		}
	}()
	statement, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, r := range records {
		if _, err := statement.ExecContext(ctx, values(r)...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
