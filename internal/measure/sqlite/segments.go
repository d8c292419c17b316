package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// segmentTables are what releases are judged by. The tallies of a segment are the sum of its parts: each batch adds one, which is small,
// and many are put together to one now and then, as to write all buckets with their sketches every second would be most of what is written.
// Minutes are of decisions, in minutes since 1970.
const segmentTables = `
	CREATE TABLE segments (
		id             INTEGER PRIMARY KEY,
		service        TEXT NOT NULL,
		epoch          INTEGER NOT NULL,
		variant        TEXT NOT NULL,
		version        TEXT NOT NULL,
		policy_version INTEGER NOT NULL,
		UNIQUE (service, epoch, variant, version, policy_version)
	) STRICT;

	CREATE TABLE segment_parts (
		segment_id INTEGER NOT NULL,
		place      INTEGER NOT NULL,
		body       BLOB NOT NULL,
		PRIMARY KEY (segment_id, place)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE segment_minutes (
		segment_id INTEGER NOT NULL,
		minute     INTEGER NOT NULL,
		body       BLOB NOT NULL,
		PRIMARY KEY (segment_id, minute)
	) STRICT, WITHOUT ROWID;
`

// segment is a row of segments.
type segment struct {
	id    int64
	parts int // rows of segment_parts
}

// mostParts is how many parts a segment has until they are put together; the segments of a service that began together do not do it together.
const mostParts = 16

func (s *segment) many() bool { return s.parts >= mostParts+int(s.id%mostParts) }

func (s *Sink) loadSegments(ctx context.Context, m *memory) error {
	const query = `SELECT id, service, epoch, variant, version, policy_version, (SELECT count(*) FROM segment_parts WHERE segment_id = id)
		FROM segments`
	return s.rows(ctx, query, func(scan func(...any) error) error {
		var of measure.Segment
		var policy int64
		row := new(segment)
		err := scan(&row.id, &of.Service, &of.Epoch, &of.Variant.Variant, &of.Version, &policy, &row.parts)
		of.PolicyVersion = uint64(policy)
		m.segments[of] = row
		m.lastSegment = max(m.lastSegment, row.id)
		return err
	})
}

// segment returns the row of a segment, and makes it.
func (s *Sink) segment(ctx context.Context, of measure.Segment) (*segment, error) {
	if row := s.memory.segments[of]; row != nil {
		return row, nil
	}
	s.memory.lastSegment++
	row := &segment{id: s.memory.lastSegment}
	_, err := s.sql.segment.ExecContext(ctx, row.id, of.Service, int64(of.Epoch), of.Variant.Variant, of.Version, int64(of.PolicyVersion))
	s.memory.segments[of] = row
	return row, err
}

// writeSegments adds the batch to segments.
func (s *Sink) writeSegments(ctx context.Context, b *batch) error {
	for _, of := range slices.SortedFunc(maps.Keys(b.deltas.Segments), compareSegments) {
		row, err := s.segment(ctx, of)
		if err != nil {
			return err
		}
		added := b.deltas.Segments[of]
		if err := s.writePart(ctx, row, b.last, added.Counts); err != nil {
			return err
		}
		for _, minute := range slices.Sorted(maps.Keys(added.Minutes)) {
			if err := s.writeSegmentMinute(ctx, row.id, minute, added.Minutes[minute]); err != nil {
				return err
			}
		}
	}
	return nil
}

func compareSegments(a, b measure.Segment) int {
	return cmp.Or(
		cmp.Compare(a.Service, b.Service), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.PolicyVersion, b.PolicyVersion),
		cmp.Compare(a.Variant.Variant, b.Variant.Variant), cmp.Compare(a.Version, b.Version),
	)
}

func (s *Sink) writePart(ctx context.Context, row *segment, place event.Offset, added *measure.SegmentCounts) error {
	if added == nil {
		return nil
	}
	if row.many() {
		whole := new(measure.SegmentCounts)
		if err := s.eachBody(ctx, s.sql.partsOf, row.id, whole.MergeBinary); err != nil {
			return err
		}
		whole.Merge(added)
		if _, err := s.sql.noParts.ExecContext(ctx, row.id); err != nil {
			return err
		}
		added, row.parts = whole, 0
	}
	body, err := added.AppendBinary(nil)
	if err != nil {
		return err
	}
	row.parts++
	_, err = s.sql.part.ExecContext(ctx, row.id, int64(place), body)
	return err
}

// eachBody calls use for the bodies that a statement finds.
func (s *Sink) eachBody(ctx context.Context, stmt *sql.Stmt, id int64, use func([]byte) error) error {
	rows, err := stmt.QueryContext(ctx, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	var body sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&body); err != nil {
			return err
		}
		if err := use(body); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Sink) writeSegmentMinute(ctx context.Context, id, minute int64, added *measure.SegmentMinute) error {
	var body []byte
	err := s.sql.segmentMinuteOf.QueryRowContext(ctx, id, minute).Scan(&body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	whole := new(measure.SegmentMinute)
	if err == nil {
		if err := whole.MergeBinary(body); err != nil {
			return err
		}
	}
	whole.Merge(added)
	added.Kinds = slices.DeleteFunc(added.Kinds, func(k measure.KindSums) bool { // watchers hear of what is kept
		return !slices.ContainsFunc(whole.Kinds, func(o measure.KindSums) bool { return o.Kind == k.Kind })
	})
	_, err = s.sql.segmentMinute.ExecContext(ctx, id, minute, whole.AppendBinary(nil))
	return err
}

// mostSegments is how many segments of a service are kept, of the two newest epochs.
const mostSegments = 256

// pruneSegments forgets segments of old epochs, the oldest where one has too many, and minutes that are too old.
func (s *Sink) pruneSegments(ctx context.Context, now time.Time, keep time.Duration) error {
	byService := map[string][]measure.Segment{}
	for of := range s.memory.segments {
		byService[of.Service] = append(byService[of.Service], of)
	}
	for _, list := range byService {
		// The newest first: by epoch, and by when they were first seen.
		slices.SortFunc(list, func(a, b measure.Segment) int {
			return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(s.memory.segments[b].id, s.memory.segments[a].id))
		})
		epochs := 0
		for i, of := range list {
			if i == 0 || of.Epoch != list[i-1].Epoch {
				epochs++
			}
			var err error
			if epochs > 2 || i >= mostSegments {
				err = s.forgetSegment(ctx, of)
			} else {
				err = s.pruneSegmentMinutes(ctx, s.memory.segments[of].id, now.Add(-keep))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sink) forgetSegment(ctx context.Context, of measure.Segment) error {
	id := s.memory.segments[of].id
	for _, remove := range []string{
		"DELETE FROM segment_parts WHERE segment_id = ?", "DELETE FROM segment_minutes WHERE segment_id = ?", "DELETE FROM segments WHERE id = ?",
	} {
		if _, err := s.conn.ExecContext(ctx, remove, id); err != nil {
			return err
		}
	}
	delete(s.memory.segments, of)
	return nil
}

// pruneSegmentMinutes removes at most an hour's worth, as Prune does.
func (s *Sink) pruneSegmentMinutes(ctx context.Context, id int64, cut time.Time) error {
	var oldest sql.NullInt64
	if err := s.sql.oldestSegmentMinute.QueryRowContext(ctx, id).Scan(&oldest); err != nil {
		return err
	}
	before := measure.Minute(cut)
	if !oldest.Valid || oldest.Int64 >= before {
		return nil
	}
	_, err := s.sql.noSegmentMinutes.ExecContext(ctx, id, min(before, oldest.Int64+int64(atOnce/time.Minute)))
	return err
}
