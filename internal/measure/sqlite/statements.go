package sqlite

import (
	"context"
	"database/sql"
	"strings"
)

// statements are the writer's, prepared once.
type statements struct {
	variant, known, slot, scope, share, shareUnits, scopeUnits, sketchOf, sketch, total, running, foreign, settle, sampler *sql.Stmt

	shadow, shadowOf, shadowMinute, disagreement *sql.Stmt

	segment, part, partsOf, noParts, segmentMinuteOf, segmentMinute, oldestSegmentMinute, noSegmentMinutes *sql.Stmt

	decisions, outcomes, minutes, labels, sums, confusions, units *bulk

	slotsOf, outcomesOf, sumsOf, unitsOf *lookup

	all []*sql.Stmt // to be closed
}

// stmt prepares one statement.
func (s *statements) stmt(ctx context.Context, conn *sql.Conn, text string) (*sql.Stmt, error) {
	stmt, err := conn.PrepareContext(ctx, text)
	if err == nil {
		s.all = append(s.all, stmt)
	}
	return stmt, err
}

func (s *statements) close() {
	for _, stmt := range s.all {
		_ = stmt.Close()
	}
}

func (s *statements) prepare(ctx context.Context, conn *sql.Conn) error {
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.variant, "INSERT INTO variants VALUES (?, ?, ?, ?, ?)"},
		{&s.known, "INSERT INTO known VALUES (?, ?, ?, ?)"},
		{&s.slot, "INSERT INTO slots VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = ?2"},
		{&s.scope, "INSERT INTO scopes VALUES (?, ?, ?, 0)"},
		{&s.share, "INSERT INTO shares VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6) ON CONFLICT DO UPDATE SET share = iif(?6, share, ?4), mixed = ?6"},
		{&s.shareUnits, "UPDATE shares SET units = ? WHERE scope = ? AND policy_version = ? AND variant = ?"},
		{&s.scopeUnits, "UPDATE scopes SET units = ? WHERE id = ?"},
		{&s.sketchOf, "SELECT body FROM minute_sketches WHERE minute = ? AND variant_id = ?"},
		{&s.sketch, "INSERT INTO minute_sketches VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?3"},
		{&s.total, "INSERT INTO outcome_totals VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET n = n + ?3"},
		{&s.running, "INSERT OR REPLACE INTO variant_totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&s.sampler, "UPDATE detail SET debt = ?, last = ?"},
		{&s.foreign, "UPDATE progress SET foreign_records = foreign_records + ?"},
		{&s.shadow, "INSERT INTO shadows VALUES (?, ?, ?, ?, ?, ?, ?)"},
		{&s.shadowOf, "SELECT body FROM shadow_minutes WHERE minute = ? AND shadow_id = ?"},
		{&s.shadowMinute, "INSERT OR REPLACE INTO shadow_minutes VALUES (?" + strings.Repeat(", ?", 24) + ")"},
		{&s.disagreement, "INSERT OR REPLACE INTO disagreement_rows VALUES (?" + strings.Repeat(", ?", 17) + ")"},
		{&s.segment, "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)"},
		{&s.part, "INSERT INTO segment_parts VALUES (?, ?, ?)"},
		{&s.partsOf, "SELECT body FROM segment_parts WHERE segment_id = ?"},
		{&s.noParts, "DELETE FROM segment_parts WHERE segment_id = ?"},
		{&s.segmentMinuteOf, "SELECT body FROM segment_minutes WHERE segment_id = ? AND minute = ?"},
		{&s.segmentMinute, "INSERT OR REPLACE INTO segment_minutes VALUES (?, ?, ?)"},
		{&s.oldestSegmentMinute, "SELECT min(minute) FROM segment_minutes WHERE segment_id = ?"},
		{&s.noSegmentMinutes, "DELETE FROM segment_minutes WHERE segment_id = ? AND minute < ?"},
		{&s.settle, `UPDATE outcome_rows SET status = ?, class = ?, decided_at = ?, variant_id = ?, correct = ?, due = NULL, record = NULL
			WHERE place = ?`},
	} {
		stmt, err := s.stmt(ctx, conn, p.text) //nolint:sqlclosecheck // close does
		if err != nil {
			return err
		}
		*p.stmt = stmt
	}
	for _, p := range []struct {
		bulk       **bulk
		head, tail string
		width      int
	}{
		{&s.decisions, "INSERT OR IGNORE INTO decision_rows VALUES ", "", 18},
		{&s.outcomes, "INSERT OR FAIL INTO outcome_rows VALUES ", "", 21},
		{&s.minutes, "INSERT OR FAIL INTO minutes VALUES ", addMinutes, 26},
		{&s.labels, "INSERT OR FAIL INTO minute_labels VALUES ", " ON CONFLICT DO UPDATE SET n = n + excluded.n", 4},
		{&s.sums, "INSERT OR FAIL INTO minute_outcomes VALUES ", ` ON CONFLICT DO UPDATE SET n = n + excluded.n, sum = excluded.sum,
			squares = excluded.squares, labelled = labelled + excluded.labelled, correct = correct + excluded.correct`, 10},
		{&s.confusions, "INSERT OR FAIL INTO minute_confusions VALUES ", " ON CONFLICT DO UPDATE SET n = n + excluded.n", 6},
		{&s.units, "INSERT OR FAIL INTO units VALUES ", "", 2},
	} {
		b, err := s.prepareBulk(ctx, conn, p.head, p.width, p.tail)
		if err != nil {
			return err
		}
		*p.bulk = b
	}
	for _, p := range []struct {
		lookup     **lookup
		head, tail string
		width      int
	}{
		{&s.slotsOf, "SELECT slot, body FROM slots WHERE slot IN (", ")", 1},
		{&s.outcomesOf, "SELECT id, decision, slot, kind, number, label FROM outcome_rows WHERE id_key IN (", ")", 1},
		{&s.sumsOf, `SELECT s.minute, s.variant_id, s.class, s.late, s.kind, s.sum, s.squares FROM (VALUES `, `) AS k CROSS JOIN minute_outcomes s
			ON s.minute = k.column1 AND s.variant_id = k.column2 AND s.class = k.column3 AND s.late = k.column4 AND s.kind = k.column5`, 5},
		{&s.unitsOf, "SELECT u.scope, u.unit FROM (VALUES ", ") AS k CROSS JOIN units u ON u.scope = k.column1 AND u.unit = k.column2", 2},
	} {
		l, err := s.prepareLookup(ctx, conn, p.head, p.width, p.tail)
		if err != nil {
			return err
		}
		*p.lookup = l
	}
	return nil
}

// clear forgets rows of a transaction that failed.
func (s *statements) clear() {
	for _, b := range []*bulk{s.decisions, s.outcomes, s.minutes, s.labels, s.sums, s.confusions, s.units} {
		b.clear()
	}
}

// addMinutes adds to the counts of a minute. Quantiles are those of the merged sketch, where a tally gave one.
const addMinutes = ` ON CONFLICT DO UPDATE SET
	requests = requests + excluded.requests,
	client_errors = client_errors + excluded.client_errors,
	server_errors = server_errors + excluded.server_errors,
	timeouts = timeouts + excluded.timeouts,
	hang_ups = hang_ups + excluded.hang_ups,
	fallbacks = fallbacks + excluded.fallbacks,
	limited = limited + excluded.limited,
	shed = shed + excluded.shed,
	first_errors = first_errors + excluded.first_errors,
	ok = ok + excluded.ok,
	ok_micros = ok_micros + excluded.ok_micros,
	p50 = coalesce(excluded.p50, p50),
	p95 = coalesce(excluded.p95, p95),
	p99 = coalesce(excluded.p99, p99),
	labelled = labelled + excluded.labelled,
	correct = correct + excluded.correct,
	unmatched = unmatched + excluded.unmatched,
	true_positives = true_positives + excluded.true_positives,
	false_positives = false_positives + excluded.false_positives,
	true_negatives = true_negatives + excluded.true_negatives,
	false_negatives = false_negatives + excluded.false_negatives,
	unverified_labelled = unverified_labelled + excluded.unverified_labelled,
	unverified_correct = unverified_correct + excluded.unverified_correct,
	late = late + excluded.late`
