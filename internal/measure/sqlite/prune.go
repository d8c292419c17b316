package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// Retention says how long what is kept. Zero values are the defaults.
type Retention struct {
	Decisions    time.Duration // rows of the view decisions; default 7 days
	DecisionRows int           // and at most that many, of some 250 bytes; default 500,000
	Outcomes     time.Duration // rows of the view outcomes, by when they came, and with them the ids that tell repeats; default 30 days
	Known        time.Duration // what is remembered of decisions for their outcomes, and their places in the log; default 30 days
	Minutes      time.Duration // figures by minute; default 400 days
	Shadows      time.Duration // figures of shadows by minute, of some kilobytes each; default 60 days
	Segments     time.Duration // of segments, what came back for the decisions of a minute; default 30 days. Of epochs two are kept

	DisagreementRows int // rows of the view disagreements; default 20,000. By age they go as Known does
}

func (r Retention) withDefaults() Retention {
	const day = 24 * time.Hour
	for _, p := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&r.Decisions, 7 * day}, {&r.Outcomes, 30 * day}, {&r.Known, 30 * day}, {&r.Minutes, 400 * day}, {&r.Shadows, 60 * day}, {&r.Segments, 30 * day}} {
		if *p.value <= 0 {
			*p.value = p.standard
		}
	}
	if r.DecisionRows <= 0 {
		r.DecisionRows = 500_000
	}
	if r.DisagreementRows <= 0 {
		r.DisagreementRows = 20_000
	}
	return r
}

// atOnce is how much time's worth of rows one call of Prune removes by age.
const atOnce = time.Hour

// aged is what is removed by age.
type aged struct {
	keep   time.Duration
	oldest string // a query for the first key
	remove []string
	time   func(key string) (time.Time, error)
	key    func(time.Time) any
}

// Prune removes what is older than it should be. One call removes no more than an hour's worth of each kind by age, so that a clock
// that steps a day ahead and back costs an hour of old rows and not a day of them. Call it once a minute or so.
func (s *Sink) Prune(ctx context.Context, now time.Time, keep Retention) error {
	keep = keep.withDefaults()
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	for _, a := range []aged{
		{keep.Decisions, "SELECT min(id) FROM decision_rows", []string{"DELETE FROM decision_rows WHERE id < ?"}, timeOfID, firstID},
		{keep.Outcomes, "SELECT max(received_at) FROM (SELECT received_at FROM outcome_rows ORDER BY place LIMIT 1)", []string{
			"DELETE FROM outcome_rows WHERE place < coalesce((SELECT place FROM outcome_rows WHERE received_at >= ? ORDER BY place LIMIT 1), 1 << 62)",
		}, parser(timeForm), timeText},
		{keep.Known, "SELECT min(slot) FROM slots", []string{"DELETE FROM slots WHERE slot < CAST(? AS INTEGER)"}, timeOfSlot, firstSlot},
		{keep.Minutes, "SELECT min(minute) FROM minutes", []string{
			"DELETE FROM minutes WHERE minute < ?", "DELETE FROM minute_sketches WHERE minute < ?", "DELETE FROM minute_labels WHERE minute < ?",
			"DELETE FROM minute_outcomes WHERE minute < ?", "DELETE FROM minute_confusions WHERE minute < ?",
		}, parser(minuteForm), minuteOf},
		{keep.Shadows, "SELECT min(minute) FROM shadow_minutes", []string{"DELETE FROM shadow_minutes WHERE minute < ?"}, parser(minuteForm), minuteOf},
		{keep.Known, "SELECT max(at) FROM (SELECT at FROM disagreement_rows ORDER BY place LIMIT 1)", []string{
			"DELETE FROM disagreement_rows WHERE place < coalesce((SELECT place FROM disagreement_rows WHERE at >= ? ORDER BY place LIMIT 1), 1 << 62)",
		}, parser(timeForm), timeText},
	} {
		if err := s.removeAged(ctx, now, a); err != nil {
			return s.classify(err)
		}
	}
	if err := s.removeBeyond(ctx, keep.DecisionRows); err != nil {
		return s.classify(err)
	}
	if _, err := s.conn.ExecContext(ctx, `DELETE FROM disagreement_rows
		WHERE place <= (SELECT place FROM disagreement_rows ORDER BY place DESC LIMIT 1 OFFSET ?)`, keep.DisagreementRows); err != nil {
		return s.classify(err)
	}
	if err := s.pruneSegments(ctx, now, keep.Segments); err != nil {
		return s.classify(err)
	}
	return s.classify(s.closeScopes(ctx))
}

func (s *Sink) removeAged(ctx context.Context, now time.Time, a aged) error {
	var first sql.NullString
	if err := s.conn.QueryRowContext(ctx, a.oldest).Scan(&first); err != nil {
		return err
	}
	if !first.Valid {
		return nil
	}
	oldest, err := a.time(first.String)
	if err != nil {
		return err
	}
	cut := now.Add(-a.keep)
	if !oldest.Before(cut) {
		return nil
	}
	if most := oldest.Add(atOnce); most.Before(cut) {
		cut = most
	}
	for _, remove := range a.remove {
		if _, err := s.conn.ExecContext(ctx, remove, a.key(cut)); err != nil {
			return err
		}
	}
	return nil
}

// removeBeyond leaves the newest rows of decisions.
func (s *Sink) removeBeyond(ctx context.Context, most int) error {
	var first string
	err := s.conn.QueryRowContext(ctx, "SELECT id FROM decision_rows ORDER BY id DESC LIMIT 1 OFFSET ?", most-1).Scan(&first)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = s.conn.ExecContext(ctx, "DELETE FROM decision_rows WHERE id < ?", first)
	}
	return err
}

// closeScopes forgets the units of all but the two newest epochs of each service. Their counts stay, and no more are added.
func (s *Sink) closeScopes(ctx context.Context) error {
	newest := map[string][2]int64{}
	for key, c := range s.memory.scopes {
		two := newest[key.service]
		if c.id > two[0] {
			two = [2]int64{c.id, two[0]}
		} else if c.id > two[1] {
			two[1] = c.id
		}
		newest[key.service] = two
	}
	for key, c := range s.memory.scopes {
		if two := newest[key.service]; c.id >= two[1] || c.units >= int64(s.options.MaxUnits) {
			continue
		}
		if _, err := s.conn.ExecContext(ctx, "DELETE FROM units WHERE scope = ?", c.id); err != nil {
			return err
		}
		if _, err := s.conn.ExecContext(ctx, "UPDATE scopes SET units = ? WHERE id = ?", s.options.MaxUnits, c.id); err != nil {
			return err
		}
		c.units, c.recent = int64(s.options.MaxUnits), nil
	}
	return nil
}

func minuteOf(t time.Time) any { return t.UTC().Format(minuteForm) }

func parser(form string) func(string) (time.Time, error) {
	return func(text string) (time.Time, error) { return time.Parse(form, text) }
}

func timeOfID(text string) (time.Time, error) {
	id, err := event.ParseID(text)
	return id.Time(), err
}

// earliestID is the smallest id of a time.
func earliestID(t time.Time) (id event.ID) {
	ms := uint64(max(t.UnixMilli(), 0))
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

func firstID(t time.Time) any { return earliestID(t).String() }

func timeOfSlot(text string) (time.Time, error) {
	var ms int64
	for _, c := range text {
		ms = ms*10 + int64(c-'0')
	}
	return time.UnixMilli(ms << 8).UTC(), nil
}

func firstSlot(t time.Time) any { return slotOf(earliestID(t)) }
