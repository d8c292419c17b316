// Package sqlite keeps the figures of package measure in one SQLite file, telemetry.db, which is what serin sql reads. All of it is
// made from the log, and can be made again: lose the file, and the next start reads the log from its beginning.
//
// The sink owns its place in the log: one transaction moves the place and adds what the records between say. So each record counts
// once, whatever crashes.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// Options of a Sink. Zero values are the defaults.
type Options struct {
	// Window is how long after a decision of the service an outcome counts; nil is measure.Window for all. A change of it holds for
	// outcomes from then on; Rebuild applies it to all.
	Window func(service string) time.Duration
	// Classes gives the names of the classes that a version of a service predicts, by class number; nil, or a nil answer: they are not
	// known. It decides which predictions are positive in the running totals, and a change of it holds as one of Window does.
	Classes func(service, version string) []string
	// MaxUnits is how many units of a service and epoch are told apart for the sample ratio; then it is settled. Default 1,000,000.
	MaxUnits int
}

// Sink writes telemetry.db. Its methods may be called at the same time; writers take turns.
type Sink struct {
	db      *sqlite.DB
	options Options
	writing chan struct{} // holds one token
	conn    *sql.Conn     // of the writer
	sql     statements
	find    *sql.Stmt     // an outcome by its id
	finding chan struct{} // holds a token for each who asks: no more than connections that stay open, as a new one costs more than the answer
	memory  memory
	applied atomic.Uint64 // the stored offset
	shown   atomic.Pointer[shown]

	watching sync.Mutex
	watches  []*watch
}

// Open opens the file at path, or makes it. Close it after use. There must be one Sink of a file at a time: whoever holds the data
// directory sees to it.
func Open(ctx context.Context, path string, options Options) (*Sink, error) {
	if options.MaxUnits == 0 {
		options.MaxUnits = 1_000_000
	}
	db, err := sqlite.Open(ctx, path, migrations)
	if err != nil {
		return nil, err
	}
	s := &Sink{db: db, options: options, writing: make(chan struct{}, 1), finding: make(chan struct{}, 3)}
	if err := s.prepare(ctx); err != nil {
		_ = s.Close()
		return nil, s.classify(err)
	}
	return s, nil
}

func (s *Sink) prepare(ctx context.Context) (err error) {
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	// What a power cut undoes is read from the log again, so a commit need not wait for the disk. Order is kept all the same.
	// The indices of outcomes are written in no order: they want a cache, and pages that stay in the -wal for a while (32 MB).
	const settings = "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 8000"
	if _, err := s.conn.ExecContext(ctx, settings); err != nil {
		return err
	}
	if err := s.sql.prepare(ctx, s.conn); err != nil {
		return err
	}
	if s.find, err = s.db.PrepareContext(ctx, "SELECT id, decision, slot, kind, number, label FROM outcome_rows WHERE id_key = ? AND id = ?"); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	s.show()
	return nil
}

// Close closes the file.
func (s *Sink) Close() error {
	s.sql.close()
	if s.find != nil {
		_ = s.find.Close()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	return s.classify(s.db.Close())
}

func (s *Sink) classify(err error) error { return sqlite.Classify(err, s.db.Path()) }

// lock waits for the writer's turn.
func (s *Sink) lock(ctx context.Context) error {
	select {
	case s.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Sink) unlock() { <-s.writing }

// Place returns the generation that wrote last, and the offset to go on from.
func (s *Sink) Place(ctx context.Context) (generation uint64, at event.Offset, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT generation, place FROM progress").Scan(&generation, &at)
	return generation, at, s.classify(err)
}

// Apply adds the records of the log between two offsets, each with its own, in one transaction. What lies before the stored offset
// was applied already and is left out, so that to apply anything twice changes nothing. A generation older than the stored one is a
// Conflict, and so is a from behind the stored offset, which would leave records out; neither changes anything.
func (s *Sink) Apply(ctx context.Context, generation uint64, from, to event.Offset, batch []measure.Item) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.change(ctx, generation, func(ctx context.Context, place event.Offset) (event.Offset, error) {
		switch {
		case to <= place:
			return place, errUnchanged
		case from > place:
			return 0, fault.Conflictf("records of the log from offset %d to %d would be left out of %s", place, from, s.db.Path()).
				WithHint("read the log from the stored offset")
		}
		for len(batch) > 0 && batch[0].At < place {
			batch = batch[1:]
		}
		return to, s.apply(ctx, batch)
	})
}

// Skip goes on behind records that cannot be read, and writes the gap and its reason down; log_gaps shows them.
func (s *Sink) Skip(ctx context.Context, generation uint64, to event.Offset, why string) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	return s.change(ctx, generation, func(ctx context.Context, place event.Offset) (event.Offset, error) {
		if to <= place {
			return place, errUnchanged
		}
		_, err := s.conn.ExecContext(ctx, "INSERT INTO gaps VALUES (?, ?, ?)", int64(place), int64(to), why)
		return to, err
	})
}

var errUnchanged = errors.New("nothing changed")

// change runs one transaction that moves the place. On any error nothing changes, in the file or in memory.
func (s *Sink) change(ctx context.Context, generation uint64, work func(context.Context, event.Offset) (event.Offset, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A transaction is short. Watching for the context's end would cost a goroutine a statement.
	ctx = context.WithoutCancel(ctx)
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return s.classify(err)
	}
	s.memory.added = nil
	to, err := s.transaction(ctx, generation, work)
	if err == nil {
		_, err = s.conn.ExecContext(ctx, "COMMIT")
	}
	if err == nil {
		s.applied.Store(uint64(to))
		s.show()
		added := s.memory.added
		s.memory.added = nil
		s.tell(added)
		return nil
	}
	_, _ = s.conn.ExecContext(ctx, "ROLLBACK") // fails if SQLite rolled back by itself
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if again := s.load(ctx); again != nil {
		s.memory.broken = true
	}
	return s.classify(err)
}

func (s *Sink) transaction(ctx context.Context, generation uint64, work func(context.Context, event.Offset) (event.Offset, error)) (event.Offset, error) {
	if s.memory.broken {
		if err := s.load(ctx); err != nil {
			return 0, err
		}
	}
	var stored uint64
	var place event.Offset
	if err := s.conn.QueryRowContext(ctx, "SELECT generation, place FROM progress").Scan(&stored, &place); err != nil {
		return 0, err
	}
	if generation < stored {
		return 0, fault.Conflictf("generation %d of the log's reader is over: generation %d writes %s now", generation, stored, s.db.Path())
	}
	to, err := work(ctx, place)
	if err != nil {
		return 0, err
	}
	clock, sampler := s.memory.joiner.Clock, s.memory.sampler
	if _, err := s.sql.sampler.ExecContext(ctx, int64(sampler.Debt), nanoOf(sampler.Last)); err != nil {
		return 0, err
	}
	_, err = s.conn.ExecContext(ctx, "UPDATE progress SET generation = ?, place = ?, age = ?, last = ?", int64(generation), int64(to),
		int64(clock.Age), nanoOf(clock.Last))
	return to, err
}

// Rebuild empties the file and makes it anew from the log. It changes what the log no longer holds to nothing, and says in log_gaps
// where the log began. Until it ends, Running and Ratio say what they said before.
func (s *Sink) Rebuild(ctx context.Context, generation uint64, log event.Log) error {
	if err := s.empty(ctx); err != nil {
		return err
	}
	f := measure.NewFollower(log, s, measure.FollowerOptions{Generation: generation})
	err := f.CatchUp(ctx)
	if err := s.lock(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	defer s.unlock()
	s.memory.rebuilding = false
	s.show()
	for _, w := range s.watchers() {
		err = errors.Join(err, s.retell(context.WithoutCancel(ctx), w))
	}
	return err
}

func (s *Sink) empty(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	script := "BEGIN IMMEDIATE;"
	for _, table := range tables {
		script += "DELETE FROM " + table + ";"
	}
	script += "UPDATE progress SET generation = 0, place = 0, age = 0, last = 0, foreign_records = 0; UPDATE detail SET debt = 0, last = 0; COMMIT"
	ctx = context.WithoutCancel(ctx)
	if _, err := s.conn.ExecContext(ctx, script); err != nil {
		_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
		return s.classify(err)
	}
	err := s.load(ctx)
	s.memory.rebuilding = true
	return s.classify(err)
}

// tables hold what comes from the log.
var tables = []string{
	"gaps", "variants", "known", "slots", "decision_rows", "outcome_rows", "minutes", "minute_sketches", "minute_labels", "minute_outcomes",
	"minute_confusions", "outcome_totals", "scopes", "shares", "units", "variant_totals", "shadows", "shadow_minutes", "disagreement_rows",
	"segments", "segment_parts", "segment_minutes",
}
