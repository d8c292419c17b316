package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// ShadowQuery says which comparisons are meant. Empty texts mean all.
type ShadowQuery struct {
	Service, Shadow string
	From, To        time.Time // whole minutes, To not included
}

// whereShadow is the condition on a table of shadows s.
const whereShadow = " WHERE (? = '' OR s.service = ?) AND (? = '' OR s.shadow = ?)"

func (q ShadowQuery) args() []any { return []any{q.Service, q.Service, q.Shadow, q.Shadow} }

// Shadows returns what was counted of shadows, by whom it is of.
func (r *Reader) Shadows(ctx context.Context, q ShadowQuery) (map[measure.Shadow]*event.Comparison, error) {
	all := map[measure.Shadow]*event.Comparison{}
	const query = "SELECT s.service, s.shadow, s.shadow_version, s.variant, s.version, s.rule, m.body FROM shadow_minutes m JOIN shadows s ON s.id = m.shadow_id" +
		whereShadow + " AND m.minute >= ? AND m.minute < ? ORDER BY m.minute"
	args := append(q.args(), minuteText(measure.Minute(q.From)), minuteText(measure.Minute(q.To)))
	err := r.snapshot(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, query, args, func(scan func(...any) error) error {
			var of measure.Shadow
			var body []byte
			if err := scan(&of.Service, &of.Shadow, &of.ShadowVersion, &of.Primary, &of.PrimaryVersion, &of.Rule, &body); err != nil {
				return err
			}
			c, err := parseComparison(body)
			if err != nil {
				return err
			}
			if all[of] == nil {
				all[of] = new(event.Comparison)
			}
			all[of].Merge(c)
			return nil
		})
	})
	return all, err
}

// snapshot calls do in a transaction that reads.
func (r *Reader) snapshot(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return sqlite.Classify(err, r.db.Path())
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return sqlite.Classify(err, r.db.Path())
	}
	return r.db.Fresh()
}

// Order says which disagreements come first.
type Order string

// The orders.
const (
	Newest  Order = "d.place DESC"
	Largest Order = "abs(d.difference) DESC, d.place DESC"
)

// Disagreements returns at most limit disagreements of a shadow in a time.
func (r *Reader) Disagreements(ctx context.Context, of measure.Shadow, from, to time.Time, order Order, limit int) (list []*event.Disagreement, err error) {
	query := `SELECT d.decision, d.at, d.status, d.shadow_status, d.micros, d.shadow_micros, coalesce(d.label, ''), coalesce(d.shadow_label, ''),
		d.score, d.shadow_score, d.difference, d.overlap, d.parting, coalesce(d.answer, ''), coalesce(d.shadow_answer, '')
		FROM disagreement_rows d WHERE d.shadow_id = (SELECT id FROM shadows WHERE service = ? AND shadow = ? AND shadow_version = ? AND variant = ?
		AND version = ? AND rule = ?) AND d.at >= ? AND d.at < ? ORDER BY ` + string(order) + " LIMIT ?"
	args := []any{of.Service, of.Shadow, of.ShadowVersion, of.Primary, of.PrimaryVersion, of.Rule, timeText(from), timeText(to), limit}
	err = r.snapshot(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, query, args, func(scan func(...any) error) error {
			d := &event.Disagreement{
				Service: of.Service, Shadow: of.Shadow, ShadowVersion: of.ShadowVersion, Primary: of.Primary, PrimaryVersion: of.PrimaryVersion, Rule: of.Rule,
			}
			var decision, at string
			var numbers [4]sql.NullFloat64
			if err := scan(&decision, &at, &d.PrimaryStatus, &d.ShadowStatus, &d.PrimaryMicros, &d.ShadowMicros, &d.PrimaryLabel, &d.ShadowLabel,
				&numbers[0], &numbers[1], &numbers[2], &numbers[3], &d.Where, &d.PrimaryAnswer, &d.ShadowAnswer); err != nil {
				return err
			}
			for i, to := range []*float64{&d.PrimaryScore, &d.ShadowScore, &d.Difference, &d.Overlap} {
				*to = numberOf(numbers[i])
			}
			var err error
			if d.Decision, err = event.ParseID(decision); err != nil {
				return err
			}
			d.At, err = time.Parse(timeForm, at)
			list = append(list, d)
			return err
		})
	})
	return list, err
}

// Judged returns the disagreements of the time asked for that verified feedback in time has judged, by whom they are of, in the order of
// the log. Of several outcomes of a decision the first counts.
func (r *Reader) Judged(ctx context.Context, q ShadowQuery) (map[measure.Shadow][]measure.Judged, error) {
	all := map[measure.Shadow][]measure.Judged{}
	const query = `SELECT d.place, s.service, s.shadow, s.shadow_version, s.variant, s.version, s.rule, d.label, d.shadow_label, o.kind, o.number,
		o.label, coalesce(o.unit, '') FROM disagreement_rows d JOIN shadows s ON s.id = d.shadow_id
		JOIN outcome_rows o ON o.decision_key = d.decision_key AND o.decision = d.decision` + whereShadow + ` AND d.at >= ? AND d.at < ?
		AND d.label IS NOT NULL AND d.shadow_label IS NOT NULL AND o.status = 'counted' AND o.class = 'verified'
		AND o.kind IN ('` + measure.KindLabel + `', '` + measure.KindCorrect + `') ORDER BY d.place, o.place`
	last := int64(-1)
	err := r.snapshot(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, query, append(q.args(), timeText(q.From), timeText(q.To)), func(scan func(...any) error) error {
			var place int64
			var of measure.Shadow
			j := measure.Judged{Outcome: new(event.Outcome)}
			var number sql.NullFloat64
			var label sql.NullString
			if err := scan(&place, &of.Service, &of.Shadow, &of.ShadowVersion, &of.Primary, &of.PrimaryVersion, &of.Rule, &j.Primary, &j.Shadow,
				&j.Outcome.Kind, &number, &label, &j.Unit); err != nil {
				return err
			}
			j.Outcome.Number, j.Outcome.Text, j.Outcome.IsText = numberOf(number), label.String, label.Valid
			if place != last {
				all[of] = append(all[of], j)
			}
			last = place
			return nil
		})
	})
	return all, err
}

// numberOf is a number, NaN for NULL.
func numberOf(v sql.NullFloat64) float64 {
	if !v.Valid {
		return math.NaN()
	}
	return v.Float64
}
