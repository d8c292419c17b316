package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
	"github.com/serin-ml/serin/internal/stat"
)

// Summary compares the variants of a service in the minutes from one time up to another, which is not included.
func (r *Reader) Summary(ctx context.Context, service string, from, to time.Time) (measure.Summary, error) {
	s := measure.Summary{Service: service, From: from.UTC().Truncate(time.Minute), To: to.UTC().Truncate(time.Minute)}
	totals, err := r.Totals(ctx, service, from, to)
	if err != nil {
		return s, err
	}
	if s.Variants, err = measure.Summarise(totals); err != nil {
		return s, err
	}
	s.Ratios, err = r.Ratios(ctx, service)
	return s, err
}

// Quantiles returns quantiles of the latencies, in microseconds, of a variant's successful requests in the minutes from one time up to
// another, over all its epochs and versions, and how many there were; NaN for none.
func (r *Reader) Quantiles(ctx context.Context, service, variant string, from, to time.Time, q ...float64) ([]float64, uint64, error) {
	totals, err := r.Totals(ctx, service, from, to)
	if err != nil {
		return nil, 0, err
	}
	var whole stat.Sketch
	for i := range totals {
		if totals[i].Variant.Variant == variant {
			whole.Merge(&totals[i].Latency)
		}
	}
	values := make([]float64, len(q))
	for i := range q {
		values[i] = whole.Quantile(q[i])
	}
	return values, whole.Count(), nil
}

// totalsOf gathers totals by the row of their variant.
type totalsOf map[int64]*measure.Totals

// Totals returns the counts of each epoch, variant and version of a service in the minutes from one time up to another.
func (r *Reader) Totals(ctx context.Context, service string, from, to time.Time) ([]measure.Totals, error) {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one snapshot for all queries
	if err != nil {
		return nil, sqlite.Classify(err, r.db.Path())
	}
	defer func() { _ = tx.Rollback() }()
	all := totalsOf{}
	span := []any{service, minuteText(measure.Minute(from)), minuteText(measure.Minute(to))}
	for _, read := range []func(context.Context, *sql.Tx, []any) error{all.counts, all.sketches, all.labels, all.outcomes, all.confusions} {
		if err := read(ctx, tx, span); err != nil {
			return nil, sqlite.Classify(err, r.db.Path())
		}
	}
	if err := r.db.Fresh(); err != nil {
		return nil, err
	}
	list := make([]measure.Totals, 0, len(all))
	for _, t := range all {
		list = append(list, *t)
	}
	return list, nil
}

// ofSpan is how the queries below choose rows of a table m.
const ofSpan = " m JOIN variants v ON v.id = m.variant_id WHERE v.service = ? AND m.minute >= ? AND m.minute < ?"

func each(ctx context.Context, tx *sql.Tx, query string, args []any, row func(scan func(...any) error) error) error {
	rows, err := tx.QueryContext(ctx, query, args...)
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

func (all totalsOf) counts(ctx context.Context, tx *sql.Tx, span []any) error {
	const query = `SELECT v.id, v.service, v.epoch, v.variant, v.version, sum(requests), sum(fallbacks), sum(limited), sum(shed),
		sum(first_errors), sum(client_errors), sum(server_errors), sum(timeouts), sum(hang_ups), sum(ok_micros),
		sum(true_positives), sum(false_positives), sum(true_negatives), sum(false_negatives) FROM minutes` + ofSpan +
		" GROUP BY v.id"
	return each(ctx, tx, query, span, func(scan func(...any) error) error {
		var id int64
		t := &measure.Totals{Labels: map[string]uint64{}, Outcomes: map[measure.OutcomeKey]measure.Sums{}, Confusions: map[measure.ConfusionKey]uint64{}}
		err := scan(&id, &t.Service, &t.Epoch, &t.Variant.Variant, &t.Version, &t.Requests, &t.Fallbacks, &t.Limited, &t.Shed, &t.FirstErrors,
			&t.Errors[event.Client], &t.Errors[event.Server], &t.Errors[event.Timeout], &t.Errors[event.Gone], &t.Micros,
			&t.Cells[measure.TruePositive], &t.Cells[measure.FalsePositive], &t.Cells[measure.TrueNegative], &t.Cells[measure.FalseNegative])
		all[id] = t
		return err
	})
}

// of returns the totals of a row; each minute of any table is in minutes too.
func (all totalsOf) of(id int64) (*measure.Totals, error) {
	if t := all[id]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("telemetry.db has figures of variant %d in a minute that is not in the table minutes", id)
}

func (all totalsOf) sketches(ctx context.Context, tx *sql.Tx, span []any) error {
	return each(ctx, tx, "SELECT v.id, m.body FROM minute_sketches"+ofSpan, span, func(scan func(...any) error) error {
		var id int64
		var body sql.RawBytes
		if err := scan(&id, &body); err != nil {
			return err
		}
		var s stat.Sketch
		if err := s.UnmarshalBinary(body); err != nil {
			return err
		}
		t, err := all.of(id)
		if err == nil {
			t.Latency.Merge(&s)
		}
		return err
	})
}

func (all totalsOf) labels(ctx context.Context, tx *sql.Tx, span []any) error {
	const query = "SELECT v.id, m.label, sum(m.n) FROM minute_labels" + ofSpan + " GROUP BY v.id, m.label"
	return each(ctx, tx, query, span, func(scan func(...any) error) error {
		var id int64
		var label string
		var n uint64
		if err := scan(&id, &label, &n); err != nil {
			return err
		}
		t, err := all.of(id)
		if err == nil {
			t.Labels[label] = n
		}
		return err
	})
}

func (all totalsOf) outcomes(ctx context.Context, tx *sql.Tx, span []any) error {
	const query = `SELECT v.id, m.class, m.late, m.kind, sum(m.n), sum(m.labelled), sum(m.correct), sum(m.sum), sum(m.squares)
		FROM minute_outcomes` + ofSpan + " GROUP BY v.id, m.class, m.late, m.kind"
	return each(ctx, tx, query, span, func(scan func(...any) error) error {
		var id int64
		var class string
		var key measure.OutcomeKey
		var s measure.Sums
		if err := scan(&id, &class, &key.Late, &key.Kind, &s.N, &s.Labelled, &s.Correct, &s.Sum, &s.Squares); err != nil {
			return err
		}
		var err error
		if key.Class, err = measure.ParseClass(class); err != nil {
			return err
		}
		t, err := all.of(id)
		if err == nil {
			t.Outcomes[key] = s
		}
		return err
	})
}

func (all totalsOf) confusions(ctx context.Context, tx *sql.Tx, span []any) error {
	const query = "SELECT v.id, m.class, m.truth, m.predicted, sum(m.n) FROM minute_confusions" + ofSpan + " GROUP BY v.id, m.class, m.truth, m.predicted"
	return each(ctx, tx, query, span, func(scan func(...any) error) error {
		var id int64
		var class string
		var key measure.ConfusionKey
		var n uint64
		if err := scan(&id, &class, &key.Truth, &key.Predicted, &n); err != nil {
			return err
		}
		var err error
		if key.Class, err = measure.ParseClass(class); err != nil {
			return err
		}
		t, err := all.of(id)
		if err == nil {
			t.Confusions[key] = n
		}
		return err
	})
}

// Ratios tests each epoch of a service for a sample-ratio mismatch, the newest epoch first.
func (r *Reader) Ratios(ctx context.Context, service string) ([]measure.Ratio, error) {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, sqlite.Classify(err, r.db.Path())
	}
	defer func() { _ = tx.Rollback() }()
	var ratios []measure.Ratio
	var splits []measure.Split
	var epoch uint32
	test := func() error {
		if len(splits) == 0 {
			return nil
		}
		ratio, err := measure.RatioOf(epoch, splits)
		ratios, splits = append(ratios, ratio), nil
		return err
	}
	const query = `SELECT c.epoch, s.policy_version, s.variant, s.share, s.units, s.mixed FROM shares s JOIN scopes c ON c.id = s.scope
		WHERE c.service = ? ORDER BY c.epoch DESC, s.policy_version, s.variant`
	err = each(ctx, tx, query, []any{service}, func(scan func(...any) error) error {
		var e uint32
		var policy int64
		var variant string
		var share float64
		var units uint64
		var mixed bool
		if err := scan(&e, &policy, &variant, &share, &units, &mixed); err != nil {
			return err
		}
		if e != epoch {
			if err := test(); err != nil {
				return err
			}
			epoch = e
		}
		if len(splits) == 0 || splits[len(splits)-1].PolicyVersion != uint64(policy) {
			splits = append(splits, measure.Split{PolicyVersion: uint64(policy), Shares: map[string]float64{}, Units: map[string]uint64{}})
		}
		last := &splits[len(splits)-1]
		last.Shares[variant], last.Units[variant], last.Mixed = share, units, last.Mixed || mixed
		return nil
	})
	if err == nil {
		err = test()
	}
	if err == nil {
		err = r.db.Fresh()
	}
	return ratios, sqlite.Classify(err, r.db.Path())
}
