package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// shadowTables are what is kept of comparisons. A minute's body is its counts as a record of the log, without names: buckets and sketches
// add up, which columns do not.
const shadowTables = `
	CREATE TABLE shadows (
		id              INTEGER PRIMARY KEY,
		service         TEXT NOT NULL,
		shadow          TEXT NOT NULL,
		shadow_version  TEXT NOT NULL,
		variant         TEXT NOT NULL,
		version         TEXT NOT NULL,
		rule            TEXT NOT NULL,
		UNIQUE (service, shadow, shadow_version, variant, version, rule)
	) STRICT;

	CREATE TABLE shadow_minutes (
		minute              TEXT NOT NULL,
		shadow_id           INTEGER NOT NULL,
		pairs               INTEGER NOT NULL,
		agreed              INTEGER NOT NULL,
		primary_failed      INTEGER NOT NULL,
		shadow_failed       INTEGER NOT NULL,
		both_failed         INTEGER NOT NULL,
		timeouts            INTEGER NOT NULL,
		incomparable        INTEGER NOT NULL,
		dropped_queue       INTEGER NOT NULL,
		dropped_bytes       INTEGER NOT NULL,
		dropped_too_large   INTEGER NOT NULL,
		dropped_streaming   INTEGER NOT NULL,
		dropped_draining    INTEGER NOT NULL,
		dropped_unavailable INTEGER NOT NULL,
		dropped_method      INTEGER NOT NULL,
		micros              INTEGER NOT NULL,
		p50                 REAL,
		p99                 REAL,
		shadow_p50          REAL,
		shadow_p99          REAL,
		overlap             REAL NOT NULL,
		scored              INTEGER NOT NULL,
		score               REAL NOT NULL,
		body                BLOB NOT NULL,
		PRIMARY KEY (minute, shadow_id)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE disagreement_rows (
		place         INTEGER PRIMARY KEY,
		decision      TEXT NOT NULL,
		at            TEXT NOT NULL,
		shadow_id     INTEGER NOT NULL,
		status        INTEGER NOT NULL,
		shadow_status INTEGER NOT NULL,
		micros        INTEGER NOT NULL,
		shadow_micros INTEGER NOT NULL,
		label         TEXT,
		shadow_label  TEXT,
		score         REAL,
		shadow_score  REAL,
		difference    REAL,
		overlap       REAL,
		parting       TEXT NOT NULL,
		answer        TEXT,
		shadow_answer TEXT,
		decision_key  INTEGER NOT NULL
	) STRICT;
	CREATE INDEX disagreement_shadows ON disagreement_rows (shadow_id, place);

	CREATE VIEW shadow AS
	SELECT m.minute, s.service, s.shadow, s.shadow_version, s.variant, s.version, s.rule, m.pairs, m.agreed, m.primary_failed, m.shadow_failed,
		m.both_failed, m.timeouts, m.incomparable, m.dropped_queue, m.dropped_bytes, m.dropped_too_large, m.dropped_streaming,
		m.dropped_draining, m.dropped_unavailable, m.dropped_method, m.micros AS slower_micros, m.p50 AS p50_micros, m.p99 AS p99_micros,
		m.shadow_p50 AS shadow_p50_micros, m.shadow_p99 AS shadow_p99_micros, m.overlap AS overlap_sum, m.scored, m.score AS score_sum
	FROM shadow_minutes m JOIN shadows s ON s.id = m.shadow_id;

	CREATE VIEW disagreements AS
	SELECT d.decision, d.at, s.service, s.shadow, s.shadow_version, s.variant, s.version, s.rule, d.status, d.shadow_status, d.micros,
		d.shadow_micros, d.label, d.shadow_label, d.score, d.shadow_score, d.difference, d.overlap, d.parting, d.answer, d.shadow_answer
	FROM disagreement_rows d JOIN shadows s ON s.id = d.shadow_id;
`

// placedDisagreement is a disagreement and its place in the log.
type placedDisagreement struct {
	at event.Offset
	*event.Disagreement
}

// shadowID returns the row of a shadow, and makes it.
func (s *Sink) shadowID(ctx context.Context, of measure.Shadow) (int64, error) {
	if id, ok := s.memory.shadows[of]; ok {
		return id, nil
	}
	id := int64(len(s.memory.shadows) + 1)
	_, err := s.sql.shadow.ExecContext(ctx, id, of.Service, of.Shadow, of.ShadowVersion, of.Primary, of.PrimaryVersion, of.Rule)
	s.memory.shadows[of] = id
	return id, err
}

func (s *Sink) loadShadows(ctx context.Context, m *memory) error {
	return s.rows(ctx, "SELECT id, service, shadow, shadow_version, variant, version, rule FROM shadows", func(scan func(...any) error) error {
		var id int64
		var of measure.Shadow
		err := scan(&id, &of.Service, &of.Shadow, &of.ShadowVersion, &of.Primary, &of.PrimaryVersion, &of.Rule)
		m.shadows[of] = id
		return err
	})
}

// writeShadows merges comparisons with what their minutes hold, in the order of the log.
func (s *Sink) writeShadows(ctx context.Context, b *batch) error {
	type minute struct {
		text string
		id   int64
		list []*event.Comparison
	}
	all := make([]minute, 0, len(b.deltas.Shadows))
	for key, list := range b.deltas.Shadows {
		id, err := s.shadowID(ctx, key.Shadow)
		if err != nil {
			return err
		}
		all = append(all, minute{minuteText(key.Minute), id, list})
	}
	slices.SortFunc(all, func(a, b minute) int { return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.id, b.id)) })
	for _, m := range all {
		var body []byte
		err := s.sql.shadowOf.QueryRowContext(ctx, m.text, m.id).Scan(&body)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		whole := new(event.Comparison)
		if err == nil {
			if whole, err = parseComparison(body); err != nil {
				return err
			}
		}
		for _, c := range m.list {
			whole.Merge(c)
		}
		if _, err := s.sql.shadowMinute.ExecContext(ctx, shadowValues(m.text, m.id, whole)...); err != nil {
			return err
		}
	}
	for _, d := range b.disagreements {
		id, err := s.shadowID(ctx, measure.ShadowOfDisagreement(d.Disagreement))
		if err != nil {
			return err
		}
		if _, err := s.sql.disagreement.ExecContext(ctx, int64(d.at), d.Decision.String(), timeText(d.At), id, int64(d.PrimaryStatus), int64(d.ShadowStatus),
			int64(d.PrimaryMicros), int64(d.ShadowMicros), textOrNull(d.PrimaryLabel), textOrNull(d.ShadowLabel), finite(d.PrimaryScore),
			finite(d.ShadowScore), finite(d.Difference), finite(d.Overlap), d.Where, textOrNull(d.PrimaryAnswer), textOrNull(d.ShadowAnswer),
			keyOfDecision(d.Decision)); err != nil {
			return err
		}
	}
	return nil
}

// parseComparison reads the body of a minute.
func parseComparison(body []byte) (*event.Comparison, error) {
	r, err := event.ParseRecord(body)
	if err == nil && r.Comparison == nil {
		err = slotDamaged("a minute of a shadow holds none")
	}
	return r.Comparison, err
}

// shadowValues are the columns of shadow_minutes.
func shadowValues(minute string, id int64, c *event.Comparison) []any {
	pairs, agreed := c.Totals()
	var micros int64
	var scored uint64
	var overlap, score float64
	for i := range c.Buckets {
		b := &c.Buckets[i]
		micros += b.Micros
		scored += b.Scored
		overlap += b.Overlap
		score += b.Score
	}
	values := []any{minute, id, int64(pairs), int64(agreed)}
	for _, n := range c.Unpaired {
		values = append(values, int64(n))
	}
	for _, n := range c.Drops {
		values = append(values, int64(n))
	}
	return append(values, micros, finite(c.PrimaryLatency.Quantile(0.5)), finite(c.PrimaryLatency.Quantile(0.99)), finite(c.ShadowLatency.Quantile(0.5)),
		finite(c.ShadowLatency.Quantile(0.99)), overlap, int64(scored), score, event.AppendRecord(nil, event.Record{Comparison: c}))
}
