package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// outcomeRow is an outcome on its way to the file.
type outcomeRow struct {
	id      string
	pending *measure.Pending
	settled measure.Settled // Status is Waiting while it waits
}

// addOutcome takes an outcome unless its id was seen before: the first one wins.
func (s *Sink) addOutcome(b *batch, at event.Offset, o *event.Outcome) {
	id := measure.IDOf(o)
	if earlier, seen := b.earlier[id]; seen {
		status := measure.Conflict
		if measure.SameOutcome(o, earlier) {
			status = measure.Duplicate
		}
		b.deltas.Totals[measure.TotalKey{Service: o.Service, Status: status}]++
		s.memory.joiner.Tick(o.ReceivedAt)
		return
	}
	b.earlier[id] = o
	row := &outcomeRow{id: id, pending: &measure.Pending{At: at, Outcome: o}}
	b.rows = append(b.rows, row)
	var known *measure.Known
	if r, found := b.known[o.Decision]; found {
		of := s.memory.knownOf(r)
		known = &of
	}
	s.memory.joiner.Outcome(row.pending, known)
}

// settle hears from the joiner.
func (b *batch) settle(p *measure.Pending, settled measure.Settled) {
	b.deltas.AddOutcome(settled)
	i, mine := slices.BinarySearchFunc(b.rows, p.At, func(row *outcomeRow, at event.Offset) int { return cmp.Compare(row.pending.At, at) })
	if mine {
		b.rows[i].settled = settled
		return
	}
	b.settled = append(b.settled, &outcomeRow{pending: p, settled: settled})
}

func (s *Sink) writeOutcomes(ctx context.Context, b *batch) error {
	for _, row := range b.rows {
		variant, err := s.variantOf(ctx, row.settled)
		if err != nil {
			return err
		}
		if err := s.sql.outcomes.add(ctx, row.values(variant)...); err != nil {
			return err
		}
	}
	for _, row := range b.settled {
		variant, err := s.variantOf(ctx, row.settled)
		if err != nil {
			return err
		}
		r := row.settled
		if _, err := s.sql.settle.ExecContext(ctx, r.Status.String(), r.Class.String(), decidedText(r), variant, verdict(r), int64(row.pending.At)); err != nil {
			return err
		}
	}
	return nil
}

// variantOf returns the row of the variant that an outcome is of; nil if that is not known.
func (s *Sink) variantOf(ctx context.Context, settled measure.Settled) (any, error) {
	if settled.Status == measure.Waiting || settled.Status == measure.Unknown {
		return nil, nil
	}
	return s.variantID(ctx, settled.Variant)
}

// values are the columns of outcome_rows.
func (r *outcomeRow) values(variant any) []any {
	o := r.pending.Outcome
	var number, label, decision, decisionKey, due, record any
	if o.IsText {
		label = o.Text
	} else {
		number = o.Number // NaN becomes NULL
	}
	if !o.Decision.IsZero() {
		decision, decisionKey = o.Decision.String(), keyOfDecision(o.Decision)
	}
	class := r.settled.Class
	if r.settled.Status == measure.Waiting {
		class = measure.Settle(o, nil, 0).Class
		due, record = int64(r.pending.Due), event.AppendRecord(nil, event.Record{Outcome: o})
	}
	return []any{
		int64(r.pending.At), r.id, decision, int64(o.Slot), o.Kind, number, label, timeText(o.At), timeText(o.ReceivedAt), decidedText(r.settled),
		r.settled.Status.String(), class.String(), variant, int64(o.PolicyVersion), finite(o.Propensity), textOrNull(o.Unit), verdict(r.settled),
		due, record, keyOfOutcome(r.id), decisionKey,
	}
}

func keyOfOutcome(id string) int64 { return int64(event.Hash(id)) }

// keyOfDecision begins with the time, so that outcomes of one hour are neighbours in the index.
func keyOfDecision(id event.ID) int64 { return int64(binary.BigEndian.Uint64(id[:])) }

// scanValue reads what tells a repeat from a conflict.
func scanValue(scan func(...any) error) (id string, o *event.Outcome, err error) {
	o = new(event.Outcome)
	var decision, label sql.NullString
	var number sql.NullFloat64
	if err := scan(&id, &decision, &o.Slot, &o.Kind, &number, &label); err != nil {
		return "", nil, err
	}
	if decision.Valid {
		if o.Decision, err = event.ParseID(decision.String); err != nil {
			return "", nil, err
		}
	}
	o.IsText, o.Text, o.Number = label.Valid, label.String, number.Float64
	if !label.Valid && !number.Valid {
		o.Number = math.NaN()
	}
	return id, o, nil
}

func decidedText(s measure.Settled) any {
	if s.Status == measure.Waiting || s.Status == measure.Unknown {
		return nil
	}
	return timeText(s.Decided)
}

// verdict is whether the prediction was right; nil if that was not said.
func verdict(s measure.Settled) any {
	if !s.Labelled {
		return nil
	}
	return s.Correct
}

const (
	timeForm   = "2006-01-02 15:04:05.000"
	minuteForm = "2006-01-02 15:04:00"
)

// timeText is a time as SQLite's strftime('%Y-%m-%d %H:%M:%f') writes it; NULL for the zero time.
func timeText(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeForm)
}

func minuteText(minute int64) string { return time.Unix(minute*60, 0).UTC().Format(minuteForm) }

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// finite is a number, or NULL for NaN, which SQLite has none of, and for infinity.
func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

// Outcomes returns what was applied of the outcomes with these ids: decision, slot, kind and value, which tell a repeat from a conflict.
func (s *Sink) Outcomes(ctx context.Context, ids []string) (map[string]*event.Outcome, error) {
	select {
	case s.finding <- struct{}{}:
		defer func() { <-s.finding }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found := map[string]*event.Outcome{}
	for _, id := range ids {
		row := s.find.QueryRowContext(ctx, keyOfOutcome(id), id)
		_, o, err := scanValue(row.Scan)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, s.classify(err)
		}
		found[id] = o
	}
	return found, nil
}

// Applied returns the stored offset: before it Outcomes knows everything.
func (s *Sink) Applied() event.Offset { return event.Offset(s.applied.Load()) }
