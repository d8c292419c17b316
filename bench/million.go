package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/traffic"
)

const (
	day       = 24 * time.Hour
	manyChunk = 250_000   // decisions that are appended while the follower takes those before
	manyUsers = 1_000_000 // who ask
)

// many is a folder with the log and the telemetry.db of a service that was asked evenly over a day.
type many struct {
	dir       string
	decisions int
}

// newMany makes it, or finds it as an earlier run has left it.
func newMany(ctx context.Context, decisions int) (many, error) {
	found := many{filepath.Join(out, fmt.Sprintf("log-%d", decisions)), decisions}
	if _, err := os.Stat(found.dir); err == nil {
		return found, nil
	}
	m := many{found.dir + ".new", decisions}
	if err := errors.Join(os.RemoveAll(m.dir), os.MkdirAll(m.dir, 0o750)); err != nil {
		return m, err
	}
	begin := time.Now()
	if err := m.fill(ctx); err != nil {
		return m, fmt.Errorf("make %d decisions: %w", decisions, err)
	}
	fmt.Fprintf(os.Stderr, "\rbench: %d decisions were made in %.0f s; they are kept in %s\n", decisions, time.Since(begin).Seconds(), found.dir)
	return found, os.Rename(m.dir, found.dir)
}

func (m many) log() string       { return filepath.Join(m.dir, "log") }
func (m many) telemetry() string { return filepath.Join(m.dir, "telemetry.db") }

// manyBegin is when the day begins.
func manyBegin() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

// id returns the id and the time of a decision by its number, always the same.
func (m many) id(n int) (event.ID, time.Time) {
	at := manyBegin().Add(time.Duration(n) * (day / time.Duration(m.decisions)))
	return idAt(at, mix(uint64(n)), mix(uint64(n)+1<<40)), at
}

// mix makes of a number another that looks random (SplitMix64, Steele, Lea and Flood 2014).
func mix(n uint64) uint64 {
	n = (n + 1) * 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// fill writes decisions and tallies as a gateway does, and has a follower roll them up meanwhile.
func (m many) fill(ctx context.Context) (err error) {
	log, err := openLog(m.log())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	sink, err := sqlite.Open(ctx, m.telemetry(), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	follower := measure.NewFollower(log, sink, measure.FollowerOptions{})
	p := past{many: m, log: log, cells: map[cell]*event.Tally{}}
	for i := range p.digests {
		p.digests[i] = digest(i)
	}
	for p.made < m.decisions {
		g, both := errgroup.WithContext(ctx)
		g.Go(func() error { return follower.CatchUp(both) })
		g.Go(func() error { return p.write(both, min(manyChunk, m.decisions-p.made)) })
		if err := g.Wait(); err != nil {
			return err
		}
		if err := sink.Prune(ctx, p.second, sqlite.Retention{}); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\rbench: %d of %d decisions", p.made, m.decisions)
	}
	if err := follower.CatchUp(ctx); err != nil {
		return err
	}
	return sink.Prune(ctx, p.second, sqlite.Retention{})
}

// past makes what a gateway would have written.
type past struct {
	many
	log    event.Log
	made   int
	second time.Time
	cells  map[cell]*event.Tally // of the second

	digests [len(shares)]string
}

// cell names a tally of a second.
type cell struct {
	variant int
	bucket  uint8
}

// write appends n decisions, and the tallies of each second that is over. A gateway appends them each second; this has to be fast.
func (p *past) write(ctx context.Context, n int) error {
	const most = 4096
	decisions, records := make([]event.Decision, most), make([]event.Record, 0, 3*most)
	for n > 0 {
		records = records[:0]
		count := min(n, most)
		for i := range count {
			at := p.decide(&decisions[i])
			if second := at.Truncate(time.Second); !second.Equal(p.second) {
				records = p.tallies(records)
				p.second = second
			}
			p.count(&decisions[i])
			records = append(records, event.Record{Decision: &decisions[i]})
		}
		if p.made == p.decisions {
			records = p.tallies(records)
		}
		if _, err := p.log.Append(ctx, records...); err != nil {
			return err
		}
		n -= count
	}
	return nil
}

// decide makes the next decision.
func (p *past) decide(d *event.Decision) time.Time {
	id, at := p.id(p.made)
	random := mix(uint64(p.made) + 2<<40)
	p.made++
	user := random % manyUsers
	v := variantOf(int(user % 100))
	unit := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, mix(user+3<<40)), mix(user+4<<40))
	score := float64(mix(random)>>11) / (1 << 53)
	*d = event.Decision{
		ID: id, At: at, Service: "reviews", Epoch: 3, PolicyVersion: 7, Unit: hex.EncodeToString(unit), Assigned: variantNames[v],
		Answered: variantNames[v], Version: p.digests[v], Propensity: float64(shares[v]) / 100, Status: 200,
		Micros: uint32(400 - 600*math.Log(1-score)), Label: [...]string{"bad", "good"}[int(score*2)], Score: score,
	}
	return at
}

// count adds a decision to its tally.
func (p *past) count(d *event.Decision) {
	key := cell{slices.Index(variantNames, d.Assigned), traffic.Bucket(d.Unit)}
	t := p.cells[key]
	if t == nil {
		t = &event.Tally{
			From: p.second, To: p.second.Add(time.Second), Service: d.Service, Epoch: d.Epoch, Variant: d.Assigned, Version: d.Version,
			Bucket: key.bucket, Labels: map[string]uint64{},
		}
		p.cells[key] = t
	}
	t.Requests++
	t.Micros += uint64(d.Micros)
	t.Latency.Add(float64(d.Micros))
	t.Labels[d.Label]++
}

// tallies appends those of the second to records.
func (p *past) tallies(records []event.Record) []event.Record {
	for _, t := range p.cells {
		records = append(records, event.Record{Tally: t})
	}
	clear(p.cells)
	return records
}
