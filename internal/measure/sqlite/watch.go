package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// Watcher hears of what is measured of a service. Its methods are called one after the other, and must be quick: the log is not read
// meanwhile. What they are given is not theirs to change.
type Watcher interface {
	Segment(of measure.Segment, added *measure.SegmentDelta)
	Shadow(of measure.ShadowMinute, added *event.Comparison)
	Reset() // forgets all: it will be told anew
}

// Watched says what a Watcher wants to hear of: segments of one epoch, and shadows, from the minute of a time on.
type Watched struct {
	Service string
	Epoch   uint32
	Since   time.Time
}

// watch is a Watcher at work.
type watch struct {
	Watched
	Watcher
}

// Watch tells w all that is kept of what it wants to hear of, and from then on what each transaction adds, once that is in the file. It ends
// when stop is called; w may hear of a transaction under way after that.
func (s *Sink) Watch(ctx context.Context, what Watched, w Watcher) (stop func(), err error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	one := &watch{what, w}
	if err := s.retell(ctx, one); err != nil {
		return nil, s.classify(err)
	}
	s.watching.Lock()
	defer s.watching.Unlock()
	s.watches = append(s.watches, one)
	return func() {
		s.watching.Lock()
		defer s.watching.Unlock()
		s.watches = slices.DeleteFunc(slices.Clone(s.watches), func(w *watch) bool { return w == one })
	}, nil
}

// watchers are those at work. The slice is never changed, only replaced or added to.
func (s *Sink) watchers() []*watch {
	s.watching.Lock()
	defer s.watching.Unlock()
	return s.watches
}

// tell tells the watchers what a transaction has added. The caller has the writer's turn.
func (s *Sink) tell(added *measure.Deltas) {
	if added == nil || s.memory.rebuilding {
		return
	}
	byService := map[string][]*watch{}
	for _, w := range s.watchers() {
		byService[w.Service] = append(byService[w.Service], w)
	}
	if len(byService) == 0 {
		return
	}
	for of, d := range added.Segments {
		for _, w := range byService[of.Service] {
			if w.Epoch == of.Epoch {
				w.Segment(of, w.since(d))
			}
		}
	}
	for of, list := range added.Shadows {
		for _, w := range byService[of.Service] {
			for _, c := range list {
				if of.Minute >= measure.Minute(w.Since) {
					w.Shadow(of, c)
				}
			}
		}
	}
}

// since leaves out minutes before those that w wants.
func (w *watch) since(d *measure.SegmentDelta) *measure.SegmentDelta {
	first, all := measure.Minute(w.Since), true
	for minute := range d.Minutes {
		all = all && minute >= first
	}
	if all {
		return d
	}
	kept := &measure.SegmentDelta{Counts: d.Counts, Minutes: make(map[int64]*measure.SegmentMinute, len(d.Minutes))}
	for minute, m := range d.Minutes {
		if minute >= first {
			kept.Minutes[minute] = m
		}
	}
	return kept
}

// retell tells a watcher all that the file holds. The caller has the writer's turn.
func (s *Sink) retell(ctx context.Context, w *watch) error {
	w.Reset()
	if s.memory.rebuilding {
		return nil // at its end
	}
	for of, row := range s.memory.segments {
		if of.Service != w.Service || of.Epoch != w.Epoch {
			continue
		}
		d := &measure.SegmentDelta{Counts: new(measure.SegmentCounts), Minutes: map[int64]*measure.SegmentMinute{}}
		if err := s.eachBody(ctx, s.sql.partsOf, row.id, d.Counts.MergeBinary); err != nil {
			return err
		}
		if err := s.segmentMinutes(ctx, row.id, measure.Minute(w.Since), d.Minutes); err != nil {
			return err
		}
		w.Segment(of, d)
	}
	return s.retellShadows(ctx, w)
}

func (s *Sink) segmentMinutes(ctx context.Context, id, from int64, into map[int64]*measure.SegmentMinute) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT minute, body FROM segment_minutes WHERE segment_id = ? AND minute >= ?", id, from)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var minute int64
		var body []byte
		if err := rows.Scan(&minute, &body); err != nil {
			return err
		}
		m := new(measure.SegmentMinute)
		if err := m.MergeBinary(body); err != nil {
			return err
		}
		into[minute] = m
	}
	return rows.Err()
}

func (s *Sink) retellShadows(ctx context.Context, w *watch) error {
	const query = "SELECT m.body FROM shadow_minutes m WHERE m.shadow_id = ? AND m.minute >= ?"
	for of, id := range s.memory.shadows {
		if of.Service != w.Service {
			continue
		}
		if err := s.bodies(ctx, func(body []byte) error {
			c, err := parseComparison(body)
			if err == nil {
				w.Shadow(measure.ShadowMinute{Minute: measure.Minute(c.From), Shadow: of}, c)
			}
			return err
		}, query, id, minuteText(measure.Minute(w.Since))); err != nil {
			return err
		}
	}
	return nil
}

// bodies calls use for each body that a query finds.
func (s *Sink) bodies(ctx context.Context, use func([]byte) error, query string, args ...any) error {
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		if err := use(body); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Judged returns the disagreements that verified feedback has judged: see Reader.Judged.
func (s *Sink) Judged(ctx context.Context, q ShadowQuery) (map[measure.Shadow][]measure.Judged, error) {
	return (&Reader{db: s.db, limit: QueryTime}).Judged(ctx, q)
}
