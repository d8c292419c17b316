package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// fromViews are the running totals as the minutes tell them, where none was removed: the sums that the views' users make.
const fromViews = `SELECT v.service, v.epoch, v.variant, v.version,
	coalesce((SELECT sum(n) FROM variant_labels l WHERE (l.service, l.epoch, l.variant, l.version) = (v.service, v.epoch, v.variant, v.version)), 0),
	sum(v.true_positives), sum(v.false_positives), sum(v.true_negatives), sum(v.false_negatives), sum(v.labelled), sum(v.unverified_labelled),
	coalesce((SELECT sum(labelled) FROM variant_outcomes o WHERE (o.service, o.epoch, o.variant, o.version) = (v.service, v.epoch, v.variant, v.version)
		AND class = 'attributed' AND NOT late), 0),
	coalesce((SELECT sum(labelled) FROM variant_outcomes o WHERE (o.service, o.epoch, o.variant, o.version) = (v.service, v.epoch, v.variant, v.version)
		AND class = 'byHand' AND NOT late), 0), sum(v.correct)
	FROM variant_minutes v GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`

const fromTotals = `SELECT service, epoch, variant, version, predictions, true_positives, false_positives, true_negatives,
	false_negatives, labelled, unverified_labelled, attributed_labelled, by_hand_labelled, correct FROM variant_totals JOIN variants ON id = variant_id ORDER BY 1, 2, 3, 4`

func TestRunningTotalsAreTheSumsOfAllMinutesAndNeverFall(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := &memoryLog{items: drawLog(rt)}
		for i, item := range log.items {
			if tl := item.Record.Tally; tl != nil {
				tl.Labels = map[string]uint64{"1": uint64(i % 3), "no": uint64(i % 4), "cat": uint64(i % 2)}
			}
		}
		path := filepath.Join(t.TempDir(), "telemetry.db")
		s := openSink(t, path, Options{})
		defer func() { s.Close() }()
		last := s.Running()
		for rest := log.items; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			apply(t, s, rest[:n])
			rest = rest[n:]
			now := s.Running()
			notBelow(rt, last, now)
			last = now
		}
		if diff := cmp.Diff(table(t, s.db.DB, fromViews), table(t, s.db.DB, fromTotals)); diff != "" {
			rt.Fatalf("the views (-) and the totals (+) differ:\n%s", diff)
		}
		// Whatever becomes of the minutes, of the process and of the file, they stay.
		for range 3 { // an hour each
			if err := s.Prune(context.Background(), start.Add(10*24*time.Hour), Retention{Minutes: time.Minute}); err != nil {
				rt.Fatal(err)
			}
		}
		s.Close()
		s = openSink(t, path, Options{})
		if diff := cmp.Diff(last, s.Running()); diff != "" {
			rt.Fatalf("after a restart (-before +after):\n%s", diff)
		}
		if err := s.Rebuild(context.Background(), 2, log); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(byVariant(last), byVariant(s.Running())); diff != "" {
			rt.Fatalf("made anew (-before +after):\n%s", diff)
		}
	})
}

func byVariant(all []measure.Running) map[measure.Variant]measure.Running {
	m := map[measure.Variant]measure.Running{}
	for _, r := range all {
		m[r.Variant] = r
	}
	return m
}

// notBelow fails if any total has fallen.
func notBelow(t *rapid.T, before, after []measure.Running) {
	now := byVariant(after)
	for _, b := range before {
		a := now[b.Variant]
		for i, n := range numbers(&b) {
			if numbers(&a)[i] < n {
				t.Fatalf("%+v became %+v", b, a)
			}
		}
	}
}

func numbers(r *measure.Running) []uint64 {
	return append(r.Labelled[:], r.Predictions, r.Positives, r.Negatives, r.TruePositives, r.FalsePositives, r.TrueNegatives, r.FalseNegatives, r.Correct)
}

func TestTheServicesClassesSayWhatIsPositive(t *testing.T) {
	classes := []string{"ham", "spam"}
	s := openSink(t, filepath.Join(t.TempDir(), "telemetry.db"), Options{Classes: func(service, version string) []string {
		if service != "reviews" || version != "sha256:aa" {
			t.Errorf("asked for %s, %s", service, version)
		}
		return classes
	}})
	spam, ham := decision(1, start, "spam"), decision(2, start, "ham")
	counted := tally(start, 3, 1000)
	counted.Labels = map[string]uint64{"spam": 2, "ham": 1, "eggs": 1}
	apply(t, s, items(d(spam), d(ham), ta(counted), o(outcomeOf(spam, "a", "correct", 0, time.Second)), o(outcomeOf(ham, "b", "label", "ham", time.Second)),
		o(byIDAlone(outcomeOf(ham, "c", "label", "spam", time.Second))), o(outcomeOf(spam, "d", "label", "spam", measure.Window+time.Second))))
	want := measure.Running{
		Variant: measure.KnownOf(spam).Variant, Predictions: 4, Positives: 2, Negatives: 1, FalsePositives: 1, TrueNegatives: 1,
		Labelled: [4]uint64{measure.Verified: 2, measure.Unverified: 1}, Correct: 1,
	}
	if diff := cmp.Diff([]measure.Running{want}, s.Running()); diff != "" {
		t.Error(diff)
	}
	if got := table(t, s.db.DB, "SELECT true_positives, false_positives, true_negatives, false_negatives FROM variant_minutes"); got != "0|1|1|0\n" {
		t.Errorf("the minutes have %s", got)
	}
	// Other names hold from then on, and take nothing back.
	classes = []string{"spam", "ham"}
	more := items(ta(counted))
	more[0].At = 70
	apply(t, s, more)
	if r := s.Running()[0]; r.Positives != 3 || r.Negatives != 3 || r.Predictions != 8 {
		t.Errorf("%+v", r)
	}
}

func TestATransactionThatFailsIsNotShown(t *testing.T) {
	s := newSink(t)
	apply(t, s, items(ta(tally(start, 1, 1000))))
	before := s.Running()
	if _, err := s.conn.ExecContext(context.Background(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	counted := tally(start, 5, 1000)
	counted.Labels = map[string]uint64{"1": 5}
	more := items(ta(counted), d(decision(1, start, "1")))
	more[0].At, more[1].At = 10, 20
	if err := s.Apply(context.Background(), 1, 10, 30, more); err == nil {
		t.Fatal("it was written")
	}
	if diff := cmp.Diff(before, s.Running()); diff != "" {
		t.Error(diff)
	}
	if _, ok := s.Ratio("reviews"); ok {
		t.Error("a unit is shown that is not in the file")
	}
	if _, err := s.conn.ExecContext(context.Background(), "PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	apply(t, s, more)
	if r := s.Running(); r[0].Positives != 5 {
		t.Errorf("%+v", r)
	}
}

func TestTheRatioOfTheNewestEpochIsShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	s := openSink(t, path, Options{})
	next := 0
	add := func(epoch uint32, units int, variant string, share float64) {
		list := make([]measure.Item, units)
		for i := range list {
			made := decision(next, start, "1")
			made.Epoch, made.Assigned, made.Propensity = epoch, variant, share
			list[i] = measure.Item{At: event.Offset(10 * next), Record: d(made)}
			next++
		}
		apply(t, s, list)
	}
	agree := func(alarm bool) {
		t.Helper()
		got, ok := s.Ratio("reviews")
		r, err := OpenReader(context.Background(), path, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		all, err := r.Ratios(context.Background(), "reviews")
		if err != nil || !ok || got.Alarm != alarm || !cmp.Equal(got, all[0]) {
			t.Errorf("%+v, %v; the file says %+v, %v", got, ok, all, err)
		}
	}
	add(1, 400, "stable", 0.5)
	add(1, 200, "candidate", 0.5)
	agree(true)
	s.Close()
	s = openSink(t, path, Options{})
	agree(true)
	add(2, 60, "stable", 0.5)
	add(2, 50, "candidate", 0.5)
	agree(false)
	if r, ok := s.Ratio("nobody"); ok {
		t.Errorf("%+v", r)
	}
}

// A file of format 1 has no running totals: they begin with what its minutes hold.
func TestAFileOfFormat1BeginsWithTheTotalsOfItsMinutes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	old, err := sqlite.Open(context.Background(), path, migrations[:1])
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "format1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	const more = `;
		INSERT INTO minutes VALUES ('2026-03-01 12:01:00', 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9000, 1000.0, 1000.0, 1000.0, 5, 3, 0, 2, 1, 1, 1, 2, 1, 7);
		INSERT INTO minute_labels VALUES ('2026-03-01 12:00:00', 1, 'cat', 1), ('2026-03-01 12:00:00', 1, 'Yes', 4), ('2026-03-01 12:01:00', 1, '1', 2),
			('2026-03-01 12:01:00', 1, '0', 3);
		INSERT INTO minute_outcomes VALUES ('2026-03-01 12:01:00', 1, 'verified', 0, 'label', 5, 3.0, 3.0, 5, 3),
			('2026-03-01 12:01:00', 1, 'verified', 1, 'label', 7, 3.0, 3.0, 7, 3), ('2026-03-01 12:01:00', 1, 'unverified', 0, 'correct', 2, 1.0, 1.0, 2, 1);`
	if _, err := old.ExecContext(context.Background(), "DELETE FROM progress;"+string(script)+more); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := openSink(t, path, Options{})
	want := []measure.Running{{
		Variant: measure.Variant{Service: "reviews", Epoch: 3, Variant: "stable", Version: "sha256:aa"}, Predictions: 10, Positives: 6, Negatives: 3,
		TruePositives: 2, FalsePositives: 1, TrueNegatives: 1, FalseNegatives: 1,
		Labelled: [4]uint64{measure.Verified: 5, measure.Unverified: 2}, Correct: 3,
	}}
	if diff := cmp.Diff(want, s.Running()); diff != "" {
		t.Error(diff)
	}
}

// watchedLog calls look before each read.
type watchedLog struct {
	*memoryLog
	look func()
}

func (l watchedLog) Read(ctx context.Context, from event.Offset, most int, use func(event.Offset, event.Record) error) (event.Offset, error) {
	l.look()
	return l.memoryLog.Read(ctx, from, min(most, 1), use)
}

func TestWhileAFileIsMadeAnewWhatItSaidIsShown(t *testing.T) {
	s := newSink(t)
	log := &memoryLog{items: items(ta(tally(start, 1, 1)), d(decision(1, start, "1")), d(decision(2, start, "1")))}
	log.items[0].Record.Tally.Labels = map[string]uint64{"1": 7}
	apply(t, s, log.items)
	before, ratio := s.Running(), s.shown.Load().ratios
	looks := 0
	watched := watchedLog{log, func() {
		looks++
		if !cmp.Equal(before, s.Running()) || !cmp.Equal(ratio, s.shown.Load().ratios) {
			t.Errorf("before read %d: %+v", looks, s.Running())
		}
	}}
	if err := s.Rebuild(context.Background(), 2, watched); err != nil || looks < 4 {
		t.Fatal(looks, err)
	}
	// Then it goes on.
	more := items(ta(log.items[0].Record.Tally))
	more[0].At = 30
	if err := s.Apply(context.Background(), 2, 30, 40, more); err != nil {
		t.Fatal(err)
	}
	if r := s.Running(); r[0].Positives != 14 {
		t.Errorf("%+v", r)
	}
}
