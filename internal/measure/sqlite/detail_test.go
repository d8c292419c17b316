package sqlite

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// indebted has a sink sample as though so much had been kept before.
func indebted(t testing.TB, s *Sink, debt time.Duration) {
	t.Helper()
	ctx := context.Background()
	if _, err := s.conn.ExecContext(ctx, "UPDATE detail SET debt = ?, last = ?", int64(debt), start.UnixNano()); err != nil {
		t.Fatal(err)
	}
	if err := s.load(ctx); err != nil {
		t.Fatal(err)
	}
}

// figures is dump without the decisions one by one, which come first.
func figures(t testing.TB, s *Sink) string {
	t.Helper()
	_, rest, found := strings.Cut(dump(t, s), "outcomes\n")
	if !found {
		t.Fatal("the views are in another order")
	}
	return rest
}

func TestFiguresAreTheSameWhateverShareOfTheDecisionsIsKept(t *testing.T) {
	dir, n, left := t.TempDir(), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		log := drawLog(rt)
		n++
		all := openSink(t, filepath.Join(dir, fmt.Sprintf("%d.all.db", n)), Options{})
		defer all.Close()
		few := openSink(t, filepath.Join(dir, fmt.Sprintf("%d.db", n)), Options{})
		defer few.Close()
		indebted(t, few, measure.DetailBurst+time.Duration(rapid.IntRange(1, 4*60*60).Draw(rt, "debt"))*time.Second)
		apply(t, all, log)
		cut := rapid.IntRange(1, len(log)).Draw(rt, "cut")
		apply(t, few, log[:cut])
		if cut < len(log) {
			apply(t, few, log[cut:])
		}
		if diff := cmp.Diff(figures(t, all), figures(t, few)); diff != "" {
			rt.Fatalf("(-all kept +sampled)\n%s", diff)
		}
		const columns = "SELECT id, unit, assigned, version, reason, status, label FROM decisions ORDER BY id"
		kept := strings.Split(table(t, few.db.DB, columns), "\n")
		there := table(t, all.db.DB, columns)
		for _, row := range kept {
			if !strings.Contains(there, row) {
				rt.Fatalf("%s is not among\n%s", row, there)
			}
		}
		left += strings.Count(there, "\n") + 1 - len(kept)
		for _, item := range log {
			if made := item.Record.Decision; made != nil {
				want, err := all.DecisionPlace(context.Background(), made.ID)
				if got, err2 := few.DecisionPlace(context.Background(), made.ID); err != nil || err2 != nil || got != want {
					rt.Fatalf("%v is at %d, not %d: %v, %v", made.ID, want, got, err, err2)
				}
			}
		}
	})
	if left == 0 {
		t.Error("nothing was left out: nothing was tested")
	}
}

// hurry is a log of a service that answers 20,000 requests a second for a while: one in ten has an outcome, by its token, by its id, or
// before the decision is written. With it comes what is to be counted by class and version.
func hurry(decisions int) (list []measure.Item, byClass string) {
	var records []event.Record
	counts := map[string]int{}
	for i := range decisions {
		at := start.Add(time.Duration(i) * time.Second / 20_000)
		made := decision(i, at, fmt.Sprint(i%2))
		made.Alone, made.Version = i%3 > 0, fmt.Sprint("sha256:", i/(decisions/2)) // another version takes over
		if i%100 == 0 {
			made.Reason = event.ByHand
		}
		out := outcomeOf(made, fmt.Sprint("o", i), "label", "1", time.Second)
		out.Version = "" // a token does not say it
		if i%30 == 20 {
			out = byIDAlone(out)
		}
		if i%30 == 10 { // the outcome was quicker
			records = append(records, o(out))
		}
		records = append(records, d(made))
		if i%30 == 0 || i%30 == 20 {
			records = append(records, o(out))
		}
		switch {
		case i%10 > 0:
		case made.Reason == event.ByHand:
			counts["byHand "+made.Version]++
		case i%30 == 20:
			counts["unverified "+made.Version]++
		default:
			counts["verified "+made.Version]++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		byClass += fmt.Sprintf("%s|%d\n", key, counts[key])
	}
	return items(records...), byClass
}

func TestAHurrySettlesEveryOutcomeAndKeepsAFewDecisions(t *testing.T) {
	const decisions = 60_000
	log, want := hurry(decisions)
	dumps := map[int]string{}
	var s *Sink
	path := filepath.Join(t.TempDir(), "telemetry.db")
	for _, batch := range []int{len(log), 7001} {
		p := fmt.Sprintf("%s.%d", path, batch)
		s = openSink(t, p, Options{})
		for rest := log; len(rest) > 0; rest = rest[min(batch, len(rest)):] {
			apply(t, s, rest[:min(batch, len(rest))])
			if batch < len(log) { // killed after each transaction
				s.Close()
				s = openSink(t, p, Options{})
			}
		}
		dumps[batch] = dump(t, s)
	}
	if dumps[len(log)] != dumps[7001] {
		t.Error("what is kept depends on how the log was cut into batches")
	}
	if err := s.Rebuild(context.Background(), 2, &memoryLog{items: log}); err != nil || dump(t, s) != dumps[7001] {
		t.Errorf("made anew it says something else, %v", err)
	}
	if got := table(t, s.db.DB, "SELECT status, count(*) FROM outcomes GROUP BY 1"); got != fmt.Sprintf("counted|%d\n", decisions/10) {
		t.Errorf("outcomes: %s", got)
	}
	const byClass = "SELECT class || ' ' || version, sum(n) FROM variant_outcomes GROUP BY 1 ORDER BY 1"
	if diff := cmp.Diff(want, table(t, s.db.DB, byClass)); diff != "" {
		t.Errorf("outcomes by class and version (-want +got): %s", diff)
	}
	var kept, special int
	var stand float64
	row := s.db.QueryRowContext(context.Background(), "SELECT count(*), sum(1 / share), sum(reason = 'byHand') FROM decisions")
	if err := row.Scan(&kept, &stand, &special); err != nil {
		t.Fatal(err)
	}
	if special != decisions/100 || kept > 10_000 || stand < decisions*0.8 || stand > decisions*1.2 {
		t.Errorf("%d are kept, %d of them by hand, and stand for %.0f of %d", kept, special, stand, decisions)
	}
	if got := table(t, s.db.DB, "SELECT sum(units) FROM traffic_changes"); got != fmt.Sprintln(decisions-decisions/100) {
		t.Errorf("%s units", got)
	}
	if got := table(t, s.db.DB, "SELECT count(*) FROM decisions d JOIN outcomes o ON o.decision = d.id WHERE d.share = 1 AND CAST(substr(o.id, 2) AS INTEGER) % 30 = 10"); got != fmt.Sprintln(decisions/30) {
		t.Errorf("%s decisions of those that were awaited are kept", got)
	}
}

// A file from before decisions were sampled has all of them.
func TestDecisionsOfAnOlderFileWereAllKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	old, err := sqlite.Open(context.Background(), path, migrations[:2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.ExecContext(context.Background(), `INSERT INTO variants VALUES (1, 'reviews', 3, 'stable', 'sha256:aa');
		INSERT INTO decision_rows VALUES ('019ca945-0a00-7000-aaf8-94fe72f36e3d', '2026-03-01 12:00:00.000', 'variant', 1, 7, 'u1', NULL, 'stable',
			'weights', 0.75, 200, 1500, 0, '1', 0.5, NULL, NULL)`); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := openSink(t, path, Options{})
	apply(t, s, items(d(decision(1, start, "1"))))
	if got := table(t, s.db.DB, "SELECT share, label FROM decisions"); got != "1|1\n1|1\n" {
		t.Errorf("got\n%s", got)
	}
}
