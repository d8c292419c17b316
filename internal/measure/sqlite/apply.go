package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// batch is the work of one transaction.
type batch struct {
	deltas  *measure.Deltas
	slots   map[int64][]slotEntry     // what this batch adds to them
	known   map[event.ID]remembered   // of decisions in this batch, and of those before that its outcomes name
	earlier map[string]*event.Outcome // by id: those stored before that this batch repeats, and its own
	rows    []*outcomeRow             // new ones, in the order of the log
	settled []*outcomeRow             // of earlier batches
	units   []unitSeen

	disagreements []placedDisagreement

	last event.Offset // of its records

	repeated map[event.Offset]bool // the decisions in this batch whose ids were there before
}

func (s *Sink) apply(ctx context.Context, items []measure.Item) error {
	s.sql.clear()
	b := &batch{
		deltas:  measure.NewDeltas(),
		slots:   map[int64][]slotEntry{},
		known:   map[event.ID]remembered{},
		earlier: map[string]*event.Outcome{},

		repeated: map[event.Offset]bool{},
	}
	s.memory.batch = b
	defer func() { s.memory.batch = nil }()
	if err := s.recall(ctx, b, items); err != nil {
		return err
	}
	for _, item := range items {
		b.last = item.At
		var err error
		switch r := item.Record; {
		case r.Decision != nil:
			err = s.addDecision(ctx, b, item.At, r.Decision)
		case r.Outcome != nil:
			s.addOutcome(b, item.At, r.Outcome)
		case r.Tally != nil:
			b.deltas.AddTally(r.Tally)
			s.memory.joiner.Tick(r.Tally.To)
		case r.Comparison != nil:
			b.deltas.AddComparison(r.Comparison)
		case r.Disagreement != nil:
			b.disagreements = append(b.disagreements, placedDisagreement{item.At, r.Disagreement})
		default:
			b.deltas.Foreign++
		}
		if err != nil {
			return err
		}
	}
	err := s.write(ctx, b)
	if err == nil {
		s.memory.added = b.deltas
	}
	return err
}

// recall asks the file once for all that the batch's outcomes will want to know.
func (s *Sink) recall(ctx context.Context, b *batch, items []measure.Item) error {
	var ids, slots []any
	var decisions []event.ID
	for _, item := range items {
		if o := item.Record.Outcome; o != nil {
			ids = append(ids, keyOfOutcome(measure.IDOf(o)))
			if !o.Decision.IsZero() {
				decisions = append(decisions, o.Decision)
			}
		}
	}
	if err := s.sql.outcomesOf.each(ctx, ids, func(scan func(...any) error) error {
		id, o, err := scanValue(scan)
		b.earlier[id] = o
		return err
	}); err != nil {
		return err
	}
	slices.SortFunc(decisions, func(a, b event.ID) int { return bytes.Compare(a[:], b[:]) })
	for i, id := range decisions {
		if slot := slotOf(id); i == 0 || slot != slotOf(decisions[i-1]) {
			slots = append(slots, slot)
		}
	}
	return s.sql.slotsOf.each(ctx, slots, func(scan func(...any) error) error {
		var slot int64
		var body sql.RawBytes
		if err := scan(&slot, &body); err != nil {
			return err
		}
		first, _ := slices.BinarySearchFunc(decisions, slot, func(id event.ID, slot int64) int { return cmp.Compare(slotOf(id), slot) })
		for _, id := range decisions[first:] {
			if slotOf(id) != slot {
				break
			}
			r, found, err := findInSlot(body, id)
			if err != nil {
				return err
			}
			if found {
				b.known[id] = r
			}
		}
		return nil
	})
}

// addDecision remembers what outcomes will ask of a decision, which is little, and a row of all that it says for those that are sampled.
func (s *Sink) addDecision(ctx context.Context, b *batch, at event.Offset, d *event.Decision) error {
	of := measure.KnownOf(d)
	known, err := s.knownID(ctx, of)
	if err != nil {
		return err
	}
	share, keep := s.memory.sampler.Share(d, s.memory.joiner.Awaits(d.ID))
	slot := slotOf(d.ID)
	r := remembered{known, of.Bucket, at}
	b.slots[slot] = append(b.slots[slot], entryOf(d.ID, r))
	if _, repeated := b.known[d.ID]; !repeated {
		b.known[d.ID] = r
	}
	s.memory.joiner.Decision(d.ID, s.memory.knownOf(r))
	if u, ok := unitOf(at, d); ok {
		b.units = append(b.units, u)
	}
	if !keep {
		return nil
	}
	variant, err := s.variantID(ctx, of.Variant)
	if err != nil {
		return err
	}
	return s.sql.decisions.add(ctx, decisionRow(d, variant, share)...)
}

func (s *Sink) write(ctx context.Context, b *batch) error {
	for _, step := range []func(context.Context, *batch) error{s.writeSlots, s.writeOutcomes, s.writeMinutes, s.writeTotals, s.writeRunning, s.writeUnits, s.writeShadows, s.writeSegments} {
		if err := step(ctx, b); err != nil {
			return err
		}
	}
	for _, bulk := range []*bulk{s.sql.decisions, s.sql.outcomes, s.sql.minutes, s.sql.labels, s.sql.sums, s.sql.confusions, s.sql.units} {
		if err := bulk.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) writeSlots(ctx context.Context, b *batch) error {
	keys := make([]any, 0, len(b.slots))
	order := slices.Sorted(maps.Keys(b.slots))
	for _, slot := range order {
		keys = append(keys, slot)
	}
	merged := make(map[int64][]slotEntry)
	err := s.sql.slotsOf.each(ctx, keys, func(scan func(...any) error) error {
		var slot int64
		var body []byte
		if err := scan(&slot, &body); err != nil {
			return err
		}
		old, err := parseSlot(body)
		merged[slot] = old
		return err
	})
	if err != nil {
		return err
	}
	var body []byte
	for _, slot := range order {
		body = appendSlot(body[:0], mergeSlot(merged[slot], b.slots[slot], b.repeated))
		if _, err := s.sql.slot.ExecContext(ctx, slot, body); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) writeTotals(ctx context.Context, b *batch) error {
	for key, n := range b.deltas.Totals {
		if _, err := s.sql.total.ExecContext(ctx, key.Service, key.Status.String(), int64(n)); err != nil {
			return err
		}
	}
	if b.deltas.Foreign == 0 {
		return nil
	}
	_, err := s.sql.foreign.ExecContext(ctx, int64(b.deltas.Foreign))
	return err
}
