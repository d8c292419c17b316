package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/stat"
)

// minuteCounts is a minute of a variant, to be written.
type minuteCounts struct {
	minute  string
	variant int64
	classes measure.Classes // of the variant's predictions
	*measure.Counts
}

func (s *Sink) writeMinutes(ctx context.Context, b *batch) error {
	all := make([]minuteCounts, 0, len(b.deltas.Minutes))
	for key, counts := range b.deltas.Minutes {
		variant, err := s.variantID(ctx, key.Variant)
		if err != nil {
			return err
		}
		all = append(all, minuteCounts{minuteText(key.Minute), variant, s.classes(key.Variant), counts})
	}
	// Neighbours in the file are written one after the other.
	slices.SortFunc(all, func(a, b minuteCounts) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), cmp.Compare(a.variant, b.variant))
	})
	for _, m := range all {
		quantiles, err := s.mergeSketch(ctx, m)
		if err != nil {
			return err
		}
		if err := s.sql.minutes.add(ctx, m.values(quantiles)...); err != nil {
			return err
		}
		for label, n := range m.Labels {
			if err := s.sql.labels.add(ctx, m.minute, m.variant, label, int64(n)); err != nil {
				return err
			}
		}
		for key, n := range m.Confusions {
			if err := s.sql.confusions.add(ctx, m.minute, m.variant, key.Class.String(), key.Truth, key.Predicted, int64(n)); err != nil {
				return err
			}
		}
	}
	return s.writeSums(ctx, all)
}

// values are the columns of minutes.
func (m minuteCounts) values(quantiles [3]any) []any {
	var labelled, correct, unmatched, unverifiedLabelled, unverifiedCorrect, late uint64
	for key, sums := range m.Outcomes {
		switch {
		case key.Late:
			late += uint64(len(sums.Values))
		case key.Class == measure.Verified:
			labelled, correct, unmatched = labelled+sums.Labelled, correct+sums.Correct, unmatched+sums.Unmatched
		case key.Class == measure.Unverified:
			unverifiedLabelled, unverifiedCorrect = unverifiedLabelled+sums.Labelled, unverifiedCorrect+sums.Correct
		}
	}
	var cells [measure.FalseNegative + 1]uint64
	for key, n := range m.Confusions {
		if key.Class == measure.Verified {
			cells[m.classes.Confusion(key.Truth, key.Predicted)] += n
		}
	}
	return []any{
		m.minute, m.variant, int64(m.Requests), int64(m.Errors[event.Client]), int64(m.Errors[event.Server]), int64(m.Errors[event.Timeout]),
		int64(m.Errors[event.Gone]), int64(m.Fallbacks), int64(m.Limited), int64(m.Shed), int64(m.FirstErrors), int64(m.Latency.Count()),
		int64(m.Micros), quantiles[0], quantiles[1], quantiles[2], int64(labelled), int64(correct), int64(unmatched),
		int64(cells[measure.TruePositive]), int64(cells[measure.FalsePositive]), int64(cells[measure.TrueNegative]),
		int64(cells[measure.FalseNegative]), int64(unverifiedLabelled), int64(unverifiedCorrect), int64(late),
	}
}

// mergeSketch adds the latencies to the minute's, and returns the quantiles of all: NULL if nothing was added.
func (s *Sink) mergeSketch(ctx context.Context, m minuteCounts) (quantiles [3]any, err error) {
	if m.Latency.Count() == 0 {
		return quantiles, nil
	}
	var body []byte
	var whole stat.Sketch
	err = s.sql.sketchOf.QueryRowContext(ctx, m.minute, m.variant).Scan(&body)
	if err == nil {
		err = whole.UnmarshalBinary(body)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return quantiles, err
	}
	whole.Merge(&m.Latency)
	if body, err = whole.AppendBinary(body[:0]); err != nil {
		return quantiles, err
	}
	if _, err := s.sql.sketch.ExecContext(ctx, m.minute, m.variant, body); err != nil {
		return quantiles, err
	}
	return [3]any{whole.Quantile(0.5), whole.Quantile(0.95), whole.Quantile(0.99)}, nil
}

// sumsKey is a row of minute_outcomes.
type sumsKey struct {
	minute  string
	variant int64
	class   string
	late    bool
	kind    string
}

// writeSums reads the sums and adds each value to them in turn, so that floats come out the same however batches are cut.
func (s *Sink) writeSums(ctx context.Context, all []minuteCounts) error {
	var keys []any
	sums := map[sumsKey]*measure.OutcomeSums{}
	var order []sumsKey
	for _, m := range all {
		for key, added := range m.Outcomes {
			k := sumsKey{m.minute, m.variant, key.Class.String(), key.Late, key.Kind}
			sums[k] = added
			order = append(order, k)
			keys = append(keys, k.minute, k.variant, k.class, k.late, k.kind)
		}
	}
	type floats struct{ sum, squares float64 }
	before := map[sumsKey]floats{}
	if err := s.sql.sumsOf.each(ctx, keys, func(scan func(...any) error) error {
		var k sumsKey
		var f floats
		err := scan(&k.minute, &k.variant, &k.class, &k.late, &k.kind, &f.sum, &f.squares)
		before[k] = f
		return err
	}); err != nil {
		return err
	}
	for _, k := range order {
		added := sums[k]
		sum, squares := added.AddTo(before[k].sum, before[k].squares)
		if err := s.sql.sums.add(ctx, k.minute, k.variant, k.class, k.late, k.kind, int64(len(added.Values)), sum, squares,
			int64(added.Labelled), int64(added.Correct)); err != nil {
			return err
		}
	}
	return nil
}
