package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// start is the time at which the tests' logs begin: 2026-03-01 12:00:00 UTC.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openSink(t testing.TB, path string, options Options) *Sink {
	t.Helper()
	s, err := Open(context.Background(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newSink(t testing.TB) *Sink {
	t.Helper()
	return openSink(t, filepath.Join(t.TempDir(), "telemetry.db"), Options{})
}

// idAt makes the id of the n-th decision, made at t.
func idAt(t time.Time, n int) (id event.ID) {
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	mixed := uint64(n+1) * 0x9E3779B97F4A7C15
	for i := range 8 {
		id[8+i] = byte(mixed >> (8 * i))
	}
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

// items gives records places: 0, 10, 20, ...
func items(records ...event.Record) []measure.Item {
	list := make([]measure.Item, len(records))
	for i, r := range records {
		list[i] = measure.Item{At: event.Offset(10 * i), Record: r}
	}
	return list
}

// end is the place behind the last item.
func end(list []measure.Item) event.Offset { return list[len(list)-1].At + 10 }

func apply(t testing.TB, s *Sink, list []measure.Item) {
	t.Helper()
	_, at, err := s.Place(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(context.Background(), 1, at, end(list), list); err != nil {
		t.Fatal(err)
	}
}

func decision(n int, at time.Time, label string) *event.Decision {
	return &event.Decision{
		ID: idAt(at, n), At: at, Service: "reviews", Epoch: 3, PolicyVersion: 7, Unit: fmt.Sprintf("u%d", n), Assigned: "stable",
		Answered: "stable", Version: "sha256:aa", Propensity: 0.75, Status: 200, Micros: 1500, Label: label, Score: 0.5,
	}
}

func outcomeOf(d *event.Decision, id, kind string, value any, after time.Duration) *event.Outcome {
	o := &event.Outcome{
		ID: id, Decision: d.ID, Kind: kind, ReceivedAt: d.At.Add(after), Verified: true, DecidedAt: d.At, Service: d.Service,
		Epoch: d.Epoch, Variant: d.Assigned, Version: d.Version, PolicyVersion: d.PolicyVersion, Propensity: d.Propensity, Unit: d.Unit,
	}
	switch v := value.(type) {
	case string:
		o.Text, o.IsText = v, true
	case float64:
		o.Number = v
	case int:
		o.Number = float64(v)
	}
	return o
}

// byIDAlone takes from an outcome all that its token said.
func byIDAlone(o *event.Outcome) *event.Outcome {
	return &event.Outcome{
		ID: o.ID, Decision: o.Decision, Slot: o.Slot, Kind: o.Kind, Number: o.Number, Text: o.Text, IsText: o.IsText, At: o.At,
		ReceivedAt: o.ReceivedAt,
	}
}

func tally(at time.Time, requests int, micros float64) *event.Tally {
	tl := &event.Tally{
		From: at, To: at.Add(time.Second), Service: "reviews", Epoch: 3, Variant: "stable", Version: "sha256:aa",
		Requests: uint64(requests), Micros: uint64(requests) * uint64(micros),
	}
	tl.Latency.AddN(micros, uint64(requests))
	return tl
}

func d(x *event.Decision) event.Record { return event.Record{Decision: x} }
func o(x *event.Outcome) event.Record  { return event.Record{Outcome: x} }
func ta(x *event.Tally) event.Record   { return event.Record{Tally: x} }

var viewNames = []string{
	"decisions", "outcomes", "variant_minutes", "variant_labels", "variant_outcomes", "variant_confusions", "outcome_counts",
	"traffic_changes", "log_gaps", "shadow", "disagreements",
}

// dump is all that the views say, and the state that later records depend on.
func dump(t testing.TB, s *Sink) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprint(&out, "detail\n", table(t, s.db.DB, "SELECT debt, last FROM detail"))
	for _, view := range viewNames {
		fmt.Fprintf(&out, "%s\n%s", view, table(t, s.db.DB, "SELECT * FROM "+view+" ORDER BY "+order[view]))
	}
	fmt.Fprint(&out, "state\n", table(t, s.db.DB, "SELECT place, age, last, foreign_records FROM progress"))
	fmt.Fprint(&out, table(t, s.db.DB, "SELECT minute, hex(body) FROM minute_sketches ORDER BY 1, 2"))
	fmt.Fprint(&out, table(t, s.db.DB, fromTotals))
	fmt.Fprint(&out, table(t, s.db.DB, "SELECT minute, hex(body) FROM shadow_minutes m JOIN shadows s ON s.id = m.shadow_id ORDER BY 1, service, shadow, shadow_version, variant, version, rule"))
	fmt.Fprint(&out, table(t, s.db.DB, "SELECT slot, hex(body) FROM slots ORDER BY 1"))
	fmt.Fprint(&out, segmentsOf(t, s))
	fmt.Fprint(&out, table(t, s.db.DB, "SELECT service, epoch, unit FROM units JOIN scopes ON scope = id ORDER BY 1, 2, 3"))
	return out.String()
}

func table(t testing.TB, db *sql.DB, query string, args ...any) string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	values := make([]any, len(names))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if i > 0 {
				out.WriteByte('|')
			}
			if v := *v.(*any); v != nil {
				fmt.Fprint(&out, v)
			}
		}
		out.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// memoryLog is an event.Log without a disk.
type memoryLog struct {
	mu     sync.Mutex
	items  []measure.Item
	oldest event.Offset
	broken error // of reads at the end
}

func (l *memoryLog) Append(_ context.Context, records ...event.Record) (event.Offset, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		l.items = append(l.items, measure.Item{At: l.end(), Record: r})
	}
	return l.end(), nil
}

func (l *memoryLog) end() event.Offset { return event.Offset(10 * len(l.items)) }

func (l *memoryLog) End() event.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

func (l *memoryLog) Read(_ context.Context, from event.Offset, most int, use func(event.Offset, event.Record) error) (event.Offset, error) {
	l.mu.Lock()
	oldest, broken := l.oldest, l.broken
	if from < oldest {
		l.mu.Unlock()
		return from, &event.GoneError{From: from, Oldest: oldest}
	}
	part := l.items[from/10:]
	part = part[:min(most, len(part))]
	l.mu.Unlock()
	for _, item := range part {
		if err := use(item.At, item.Record); err != nil {
			return from, err
		}
		from = item.At + 10
	}
	if len(part) == 0 {
		return from, broken
	}
	return from, nil
}

// order makes the rows of each view come in one order.
var order = map[string]string{
	"decisions": "id", "outcomes": "id", "variant_minutes": "1, 2, 3, 4, 5", "variant_labels": "1, 2, 3, 4, 5, 6",
	"variant_outcomes": "1, 2, 3, 4, 5, 6, 7, 8", "variant_confusions": "1, 2, 3, 4, 5, 6, 7, 8", "outcome_counts": "1, 2",
	"traffic_changes": "2, 3, 4, 5", "log_gaps": "1", "shadow": "1, 2, 3, 4, 5, 6, 7", "disagreements": "1, 2, 3, 4",
}
