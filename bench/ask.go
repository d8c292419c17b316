package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/measure/sqlite"
)

const (
	manyDecisions = 1_000_000
	tenMillion    = 10_000_000
	askRounds     = 51
	idsAtOnce     = 20 // looked up in one turn
)

// asking measures questions about a day of a million decisions.
func asking(ctx context.Context) error { return ask(ctx, manyDecisions) }

// askingTenMillion measures them about ten million, which take minutes to make, and the room that those take.
func askingTenMillion(ctx context.Context) error { return ask(ctx, tenMillion) }

func ask(ctx context.Context, decisions int) error {
	m, err := newMany(ctx, decisions)
	if err != nil {
		return err
	}
	log, err := openLog(m.log())
	if err != nil {
		return err
	}
	defer log.Close()
	reader, err := sqlite.OpenReader(ctx, m.telemetry(), 0)
	if err != nil {
		return err
	}
	defer reader.Close()
	turn := 0
	took, err := contest("questions", askRounds,
		func() (effort, error) { return spend(func() error { return m.minutes(ctx, reader) }) },
		func() (effort, error) { return spend(func() error { return m.opened(ctx, m.minutes) }) },
		func() (effort, error) {
			e, err := spend(func() error {
				for range idsAtOnce {
					turn++
					if err := m.find(ctx, reader, log, int(mix(uint64(turn))%uint64(m.decisions))); err != nil {
						return err
					}
				}
				return nil
			})
			return e.per(idsAtOnce), err
		})
	if err != nil {
		return err
	}
	var sizes [event.KindOutcome + 1]int
	scan, err := spend(func() error { return m.scan(ctx, log, &sizes) })
	if err != nil {
		return err
	}
	fmt.Printf("\n### Questions about a day of %d decisions\n\n| what | CPU | time | bare | ratio | to reach |\n|---|---|---|---|---|---|\n", m.decisions)
	for i, what := range [...]string{"`variant_minutes` of the day", "the same, with `telemetry.db` opened for it", "one decision by its id, whole from the log"} {
		e := typical(took[i])
		fmt.Printf("| %s | %s | %s | %s, the log read through | %.1g | ≤ 100 ms |\n", what, duration(e.cpu), duration(e.elapsed),
			duration(scan.elapsed), e.elapsed/scan.elapsed)
	}
	if decisions < tenMillion {
		return nil // so few take more room each: rows of the newest half million, and more tallies than requests in them
	}
	return m.room(sizes)
}

// minutes asks for all figures of the day, and sees that no request is missing.
func (m many) minutes(ctx context.Context, reader *sqlite.Reader) error {
	const form = "2006-01-02 15:04:05"
	rows, err := reader.Query(ctx, "SELECT * FROM variant_minutes WHERE minute >= ? AND minute < ?", manyBegin().Format(form),
		manyBegin().Add(day).Format(form))
	if err != nil {
		return err
	}
	defer rows.Close()
	requests := int64(0)
	for values, err := range rows.All() {
		if err != nil {
			return err
		}
		n, _ := values[5].(int64)
		requests += n
	}
	if requests != int64(m.decisions) || rows.Columns[5] != "requests" {
		return fmt.Errorf("variant_minutes has %d %s, not %d requests", requests, rows.Columns[5], m.decisions)
	}
	return nil
}

// opened asks as a command does, which has nothing open.
func (m many) opened(ctx context.Context, ask func(context.Context, *sqlite.Reader) error) error {
	reader, err := sqlite.OpenReader(ctx, m.telemetry(), 0)
	if err != nil {
		return err
	}
	defer reader.Close()
	return ask(ctx, reader)
}

// find looks a decision up by its id.
func (m many) find(ctx context.Context, reader *sqlite.Reader, log event.Log, n int) error {
	id, at := m.id(n)
	place, err := reader.DecisionPlace(ctx, id)
	if err != nil {
		return err
	}
	found := false
	_, err = log.Read(ctx, place, 1, func(_ event.Offset, r event.Record) error {
		found = r.Decision != nil && r.Decision.ID == id && r.Decision.At.Sub(at).Abs() < time.Millisecond
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("another record than decision %d, %s, is at offset %d", n, id, place)
	}
	return err
}

// scan reads the log through and adds the tallies up, which is what asking it without telemetry.db takes. It adds up the sizes of the
// records of each kind, too.
func (m many) scan(ctx context.Context, log event.Log, sizes *[event.KindOutcome + 1]int) error {
	deltas, before, kind := measure.NewDeltas(), event.Offset(0), event.Kind(0)
	err := readAll(ctx, log, func(at event.Offset, r event.Record) error {
		sizes[kind] += int(at - before)
		before, kind = at, r.Kind()
		if r.Tally != nil {
			deltas.AddTally(r.Tally)
		}
		return nil
	})
	sizes[kind] += int(log.End() - before)
	requests := uint64(0)
	for _, c := range deltas.Minutes {
		requests += c.Requests
	}
	if err == nil && requests != uint64(m.decisions) {
		err = fmt.Errorf("the log has tallies of %d requests, not %d", requests, m.decisions)
	}
	return err
}

// room prints the bytes that a decision takes.
func (m many) room(sizes [event.KindOutcome + 1]int) error {
	log, err := sizeOf(m.log())
	if err != nil {
		return err
	}
	database, err := sizeOf(m.telemetry())
	if err != nil {
		return err
	}
	per := func(n int) float64 { return float64(n) / float64(m.decisions) }
	fmt.Printf("\n| bytes on disk | a decision | to reach |\n|---|---|---|\n")
	fmt.Printf("| decisions in the log | %.1f | |\n| tallies in the log | %.1f | |\n", per(sizes[event.KindDecision]), per(sizes[event.KindTally]))
	fmt.Printf("| `telemetry.db` | %.1f | |\n| **all of it** | %.1f | ≤ 150 |\n", per(database), per(log+database))
	return nil
}

// sizeOf returns the size of a file, or of the files in a folder.
func sizeOf(path string) (bytes int, err error) {
	err = filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += int(info.Size())
		}
		return err
	})
	return bytes, err
}
