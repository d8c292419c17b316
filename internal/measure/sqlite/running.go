package sqlite

import (
	"context"
	"maps"
	"slices"

	"github.com/serin-ml/serin/internal/measure"
)

// shown is what Running and Ratio tell: what was committed last. It is never changed, only replaced.
type shown struct {
	running []measure.Running
	ratios  map[string]measure.Ratio
}

// Running returns the totals of every epoch, variant and version since the log began, in the order in which they were first seen. It
// reads no file. The caller must not change them.
func (s *Sink) Running() []measure.Running { return s.shown.Load().running }

// Ratio returns the test for a sample-ratio mismatch in the newest epoch of a service; ok is false where no units were seen, or where
// they cannot be tested. It reads no file.
func (s *Sink) Ratio(service string) (r measure.Ratio, ok bool) {
	r, ok = s.shown.Load().ratios[service]
	return r, ok
}

// show replaces what is shown by what the memory holds. The caller has the writer's turn, and memory and file agree.
func (s *Sink) show() {
	m, before := &s.memory, s.shown.Load()
	if m.rebuilding {
		return
	}
	now := new(shown)
	if before != nil {
		*now = *before
	}
	if m.totalsMoved {
		now.running = make([]measure.Running, 0, len(m.running))
		for _, id := range slices.Sorted(maps.Keys(m.running)) {
			now.running = append(now.running, *m.running[id])
		}
	}
	if len(m.movedSplits) > 0 {
		now.ratios = maps.Clone(now.ratios)
		if now.ratios == nil {
			now.ratios = map[string]measure.Ratio{}
		}
		for service := range m.movedSplits {
			if ratio, err := m.ratio(service); err == nil {
				now.ratios[service] = ratio
			} else {
				delete(now.ratios, service) // Reader.Ratios says why
			}
		}
	}
	m.totalsMoved = false
	clear(m.movedSplits)
	s.shown.Store(now)
}

// ratio tests the newest epoch of a service.
func (m *memory) ratio(service string) (measure.Ratio, error) {
	var epoch uint32
	var newest *scope
	for key, c := range m.scopes {
		if key.service == service && (newest == nil || key.epoch > epoch) {
			epoch, newest = key.epoch, c
		}
	}
	byPolicy := map[uint64]*measure.Split{}
	for key, row := range newest.shares {
		split := byPolicy[key.policyVersion]
		if split == nil {
			split = &measure.Split{PolicyVersion: key.policyVersion, Shares: map[string]float64{}, Units: map[string]uint64{}}
			byPolicy[key.policyVersion] = split
		}
		split.Shares[key.variant], split.Units[key.variant], split.Mixed = row.share, uint64(row.units), split.Mixed || row.mixed
	}
	splits := make([]measure.Split, 0, len(byPolicy))
	for _, version := range slices.Sorted(maps.Keys(byPolicy)) { // floats add up in one order
		splits = append(splits, *byPolicy[version])
	}
	return measure.RatioOf(epoch, splits)
}

// writeRunning adds the batch to the running totals.
func (s *Sink) writeRunning(ctx context.Context, b *batch) error {
	moved := map[int64]*measure.Running{}
	err := b.deltas.Running(s.classes, func(v measure.Variant) (*measure.Running, error) {
		id, err := s.variantID(ctx, v)
		if err != nil {
			return nil, err
		}
		r := s.memory.running[id]
		if r == nil {
			r = &measure.Running{Variant: v}
			s.memory.running[id] = r
		}
		moved[id] = r
		return r, nil
	})
	if err != nil {
		return err
	}
	for id, r := range moved {
		if _, err := s.sql.running.ExecContext(ctx, id, int64(r.Predictions), int64(r.Positives), int64(r.Negatives), int64(r.TruePositives),
			int64(r.FalsePositives), int64(r.TrueNegatives), int64(r.FalseNegatives), int64(r.Labelled[measure.Verified]),
			int64(r.Labelled[measure.Unverified]), int64(r.Labelled[measure.Attributed]), int64(r.Labelled[measure.ByHand]), int64(r.Correct)); err != nil {
			return err
		}
		s.memory.totalsMoved = true
	}
	return nil
}

func (s *Sink) classes(v measure.Variant) measure.Classes {
	if s.options.Classes == nil {
		return nil
	}
	return measure.NewClasses(s.options.Classes(v.Service, v.Version))
}

func (s *Sink) loadRunning(ctx context.Context, m *memory) error {
	const query = `SELECT v.id, v.service, v.epoch, v.variant, v.version, predictions, positives, negatives, true_positives, false_positives,
		true_negatives, false_negatives, labelled, unverified_labelled, attributed_labelled, by_hand_labelled, correct
		FROM variant_totals t JOIN variants v ON v.id = t.variant_id`
	return s.rows(ctx, query, func(scan func(...any) error) error {
		var id int64
		r := new(measure.Running)
		err := scan(&id, &r.Service, &r.Epoch, &r.Variant.Variant, &r.Version, &r.Predictions, &r.Positives, &r.Negatives, &r.TruePositives,
			&r.FalsePositives, &r.TrueNegatives, &r.FalseNegatives, &r.Labelled[measure.Verified], &r.Labelled[measure.Unverified],
			&r.Labelled[measure.Attributed], &r.Labelled[measure.ByHand], &r.Correct)
		m.running[id] = r
		return err
	})
}
