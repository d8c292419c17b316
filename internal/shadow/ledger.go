package shadow

import (
	"math"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// ledger counts what comes of copies until it is written down.
type ledger struct {
	mu      sync.Mutex
	from    time.Time // when the counting of this interval began
	cells   map[cellKey]*event.Comparison
	details []*event.Disagreement
}

// mostDetails is how many disagreements may wait to be written.
const mostDetails = 1024

// cellKey names a comparison by what its figures are kept by. A service that a reload makes anew has lanes of its own.
type cellKey struct {
	lane                           *Lane
	primary, version, shadowedWith string
}

func keyOf(l *Lane, c *Copy) cellKey {
	return cellKey{l, c.Primary, c.PrimaryVersion, c.ShadowVersion}
}

// cell returns the comparison of a key; the caller holds the lock.
func (g *ledger) cell(key cellKey) *event.Comparison {
	c := g.cells[key]
	if c == nil {
		o := &key.lane.options
		c = &event.Comparison{
			Service: o.Service, Shadow: o.Variant, ShadowVersion: key.shadowedWith, Primary: key.primary, PrimaryVersion: key.version,
			Rule: o.Comparer.Text(),
		}
		if g.cells == nil {
			g.cells = map[cellKey]*event.Comparison{}
		}
		g.cells[key] = c
	}
	return c
}

func (g *ledger) drop(key cellKey, why event.Drop) {
	g.mu.Lock()
	g.cell(key).Drops[why]++
	g.mu.Unlock()
}

func (g *ledger) unpaired(key cellKey, why event.Unpaired) {
	g.mu.Lock()
	g.cell(key).Unpaired[why]++
	g.mu.Unlock()
}

// pair counts two answers that were compared.
func (g *ledger) pair(key cellKey, copied *Copy, took time.Duration, r *Result) {
	primary, shadow := copied.Took.Microseconds(), took.Microseconds()
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.cell(key)
	b := c.Bucket(copied.Bucket)
	b.Pairs++
	if r.Verdict == Agree {
		b.Agreed++
	}
	b.Lean += int64(copied.Lean)
	b.Micros += shadow - primary
	c.PrimaryLatency.Add(float64(primary))
	c.ShadowLatency.Add(float64(shadow))
	if !math.IsNaN(r.Overlap) {
		b.Overlap += r.Overlap
	}
	if d := r.Difference; !math.IsNaN(d) {
		b.Scored++
		b.Score += d
		switch {
		case d > 0:
			c.ScoreAbove.Add(d)
		case d < 0:
			c.ScoreBelow.Add(-d)
		default:
			c.ScoreSame++
		}
	}
}

// tell keeps a disagreement, if there is room.
func (g *ledger) tell(d *event.Disagreement) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.details) >= mostDetails {
		return false
	}
	g.details = append(g.details, d)
	return true
}

// Counted is what was counted in an interval. What cannot be written is given back.
type Counted struct {
	keys    []cellKey
	Records []event.Record
}

// Take ends the interval at now, and returns what was counted in it. Of a nil Mirror there is nothing.
func (m *Mirror) Take(now time.Time) Counted {
	if m == nil {
		return Counted{}
	}
	g := &m.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	var taken Counted
	for key, c := range g.cells {
		if c.From.IsZero() {
			c.From = g.from
		}
		c.To = now
		taken.keys = append(taken.keys, key)
		taken.Records = append(taken.Records, event.Record{Comparison: c})
	}
	g.cells, g.from = nil, now
	return taken
}

// GiveBack merges what could not be written with what was counted since.
func (m *Mirror) GiveBack(taken Counted) {
	if m == nil {
		return
	}
	g := &m.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, key := range taken.keys {
		c := taken.Records[i].Comparison
		if since := g.cells[key]; since != nil {
			c.Merge(since) // which keeps the earlier beginning
		}
		if g.cells == nil {
			g.cells = map[cellKey]*event.Comparison{}
		}
		g.cells[key] = c
	}
}

// Details returns the disagreements that wait to be written. What cannot be written is to be told to Lost.
func (m *Mirror) Details() (records []event.Record) {
	if m == nil {
		return nil
	}
	g := &m.ledger
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range g.details {
		records = append(records, event.Record{Disagreement: d})
	}
	g.details = nil
	return records
}

// Lost counts disagreements that were not written.
func (m *Mirror) Lost(n int) { m.metrics.undetailed.WithLabelValues("log").Add(float64(n)) }
