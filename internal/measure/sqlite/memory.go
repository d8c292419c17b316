package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// memory is what the writer holds of the file, to ask it less often. It is loaded anew after a transaction that failed.
type memory struct {
	broken   bool // it could not be loaded
	variants map[measure.Variant]int64
	known    map[measure.Known]uint64
	byID     []measure.Known // by id of the table known, which are 1, 2, ...; the first is unused
	labels   map[measure.Variant]int
	scopes   map[scopeKey]*scope
	running  map[int64]*measure.Running // by row of variants
	shadows  map[measure.Shadow]int64
	segments map[measure.Segment]*segment
	joiner   *measure.Joiner
	sampler  measure.Sampler
	batch    *batch // of the transaction under way: where the joiner's outcomes go

	added *measure.Deltas // by the last transaction, until the watchers are told

	lastSegment int64 // the largest id

	rebuilding  bool            // what is shown stays
	totalsMoved bool            // since they were shown
	movedSplits map[string]bool // the services whose units were counted since they were shown
}

func (s *Sink) load(ctx context.Context) error {
	m := memory{
		variants: map[measure.Variant]int64{},
		known:    map[measure.Known]uint64{},
		byID:     make([]measure.Known, 1),
		labels:   map[measure.Variant]int{},
		scopes:   map[scopeKey]*scope{},
		running:  map[int64]*measure.Running{},
		shadows:  map[measure.Shadow]int64{},
		segments: map[measure.Segment]*segment{},

		rebuilding: s.memory.rebuilding, totalsMoved: true, movedSplits: map[string]bool{},
	}
	m.joiner = measure.NewJoiner(s.options.Window, func(p *measure.Pending, settled measure.Settled) { s.memory.batch.settle(p, settled) })
	for _, read := range []func(context.Context, *memory) error{s.loadVariants, s.loadRunning, s.loadShadows, s.loadSegments, s.loadKnown, s.loadScopes, s.loadClock, s.loadWaiting} {
		if err := read(ctx, &m); err != nil {
			return err
		}
	}
	s.memory = m
	return nil
}

// rows calls row for each row of a query.
func (s *Sink) rows(ctx context.Context, query string, row func(scan func(...any) error) error) error {
	rows, err := s.conn.QueryContext(ctx, query)
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

func (s *Sink) loadVariants(ctx context.Context, m *memory) error {
	return s.rows(ctx, "SELECT id, service, epoch, variant, version FROM variants", func(scan func(...any) error) error {
		var id int64
		var v measure.Variant
		err := scan(&id, &v.Service, &v.Epoch, &v.Variant, &v.Version)
		m.variants[v] = id
		return err
	})
}

func (s *Sink) loadKnown(ctx context.Context, m *memory) error {
	const query = `SELECT k.id, v.service, v.epoch, v.variant, v.version, k.label, k.by_hand FROM known k JOIN variants v ON v.id = k.variant_id
		ORDER BY k.id`
	return s.rows(ctx, query, func(scan func(...any) error) error {
		var id uint64
		var k measure.Known
		if err := scan(&id, &k.Service, &k.Epoch, &k.Variant.Variant, &k.Version, &k.Label, &k.ByHand); err != nil {
			return err
		}
		if id != uint64(len(m.byID)) {
			return fmt.Errorf("the table known has no row %d", len(m.byID))
		}
		m.byID = append(m.byID, k)
		m.known[k] = id
		m.labels[k.Variant]++
		return nil
	})
}

func (s *Sink) loadClock(ctx context.Context, m *memory) error {
	var age, last int64 // the debt is an age too: both are nanoseconds
	var place uint64
	if err := s.conn.QueryRowContext(ctx, "SELECT age, last, place FROM progress").Scan(&age, &last, &place); err != nil {
		return err
	}
	s.applied.Store(place)
	m.joiner.Clock = measure.Clock{Age: time.Duration(age), Last: timeOfNano(last)}
	if err := s.conn.QueryRowContext(ctx, "SELECT debt, last FROM detail").Scan(&age, &last); err != nil {
		return err
	}
	m.sampler = measure.Sampler{Debt: time.Duration(age), Last: timeOfNano(last)}
	return nil
}

// nanoOf is a time as the file keeps it: 0 for the zero time.
func nanoOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOfNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (s *Sink) loadWaiting(ctx context.Context, m *memory) error {
	const query = "SELECT place, due, record FROM outcome_rows WHERE status = 'waiting' ORDER BY place"
	return s.rows(ctx, query, func(scan func(...any) error) error {
		var at, due int64
		var body []byte
		if err := scan(&at, &due, &body); err != nil {
			return err
		}
		r, err := event.ParseRecord(body)
		if err != nil {
			return err
		}
		if r.Outcome == nil {
			return fmt.Errorf("the outcome at offset %d waits, but its record is none", at)
		}
		m.joiner.Restore(&measure.Pending{At: event.Offset(at), Due: time.Duration(due), Outcome: r.Outcome})
		return nil
	})
}

// variantID returns the row of a variant, and makes it.
func (s *Sink) variantID(ctx context.Context, v measure.Variant) (int64, error) {
	if id, ok := s.memory.variants[v]; ok {
		return id, nil
	}
	id := int64(len(s.memory.variants) + 1)
	_, err := s.sql.variant.ExecContext(ctx, id, v.Service, int64(v.Epoch), v.Variant, v.Version)
	s.memory.variants[v] = id
	return id, err
}

// knownOf is what is known of a decision.
func (m *memory) knownOf(r remembered) measure.Known {
	k := m.byID[r.known]
	k.Bucket = r.bucket
	return k
}

// knownID returns the row of what is known of a decision, and makes it: of all but the bucket, which slots hold. Labels beyond
// measure.MaxLabels are forgotten.
func (s *Sink) knownID(ctx context.Context, k measure.Known) (uint64, error) {
	k.Bucket = 0
	if id, ok := s.memory.known[k]; ok {
		return id, nil
	}
	if s.memory.labels[k.Variant] >= measure.MaxLabels && k.Label != "" {
		k.Label = ""
		return s.knownID(ctx, k)
	}
	variant, err := s.variantID(ctx, k.Variant)
	if err != nil {
		return 0, err
	}
	id := uint64(len(s.memory.byID))
	if _, err := s.sql.known.ExecContext(ctx, int64(id), variant, k.Label, k.ByHand); err != nil {
		return 0, err
	}
	s.memory.byID = append(s.memory.byID, k)
	s.memory.known[k] = id
	s.memory.labels[k.Variant]++
	return id, nil
}
