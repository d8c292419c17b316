package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
)

// ticks are the tallies of an idle service, one a second.
func ticks(from time.Time, n int) (records []event.Record) {
	for i := range n {
		records = append(records, ta(tally(from.Add(time.Duration(i)*time.Second), 0, 0)))
	}
	return records
}

func TestWhatWaitsSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	made := decision(1, start, "1")
	log := items(append(append([]event.Record{
		o(byIDAlone(outcomeOf(made, "found", "label", "1", time.Second))),
		o(byIDAlone(outcomeOf(decision(2, start, ""), "lost", "label", "1", time.Second))),
	}, ticks(start, 30)...), append([]event.Record{d(made)}, ticks(start.Add(30*time.Second), 60)...)...)...)
	for _, part := range [][]measure.Item{log[:2], log[2:32], log[32:33], log[33:]} {
		s := openSink(t, path, Options{})
		apply(t, s, part)
		s.Close()
	}
	s := openSink(t, path, Options{})
	want := "found|counted|unverified|1\nlost|unknown|unverified|\n"
	if got := table(t, s.db.DB, "SELECT id, status, class, correct FROM outcomes ORDER BY id"); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := table(t, s.db.DB, "SELECT count(*) FROM outcome_rows WHERE record IS NOT NULL OR due IS NOT NULL"); got != "0\n" {
		t.Errorf("%s rows still wait", got)
	}
}

func TestUnitsCountOnceInTheEpochWhereTheyWereFirstSeen(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for i := range 1500 {
		made := decision(i, start.Add(time.Duration(i)*time.Second), "")
		made.Unit = fmt.Sprintf("u%d", i%500) // three requests each
		made.PolicyVersion = uint64(1 + i/1000)
		made.Assigned, made.Propensity = "stable", 0.5
		if i%10 == 0 {
			made.Assigned = "canary"
		}
		records = append(records, d(made))
	}
	left := decision(1000, start, "")
	left.Reason = event.ByHand
	records = append(records, d(left))
	apply(t, s, items(records...))
	if got, want := table(t, s.db.DB, "SELECT policy_version, variant, share, units FROM traffic_changes ORDER BY 1, 2"),
		"1|canary|0.5|50\n1|stable|0.5|450\n2|canary|0.5|0\n2|stable|0.5|0\n"; got != want {
		t.Errorf("got\n%s", got)
	}
	ratios, err := openReader(t, s, 0).Ratios(context.Background(), "reviews")
	if err != nil || len(ratios) != 1 || !ratios[0].Alarm || ratios[0].Tested != 500 {
		t.Errorf("%+v, %v", ratios, err)
	}
}

// More units than are held in memory are found in the file.
func TestUnitsThatComeBackLateAreNotNew(t *testing.T) {
	s := newSink(t)
	const units = mostRecent + 1000
	log := make([]measure.Item, 2*units)
	for i := range log {
		made := decision(i, start.Add(time.Duration(i)*time.Microsecond), "")
		made.Unit = fmt.Sprint("u", i%units)
		log[i] = measure.Item{At: event.Offset(10 * i), Record: d(made)}
	}
	for rest := log; len(rest) > 0; rest = rest[min(30_000, len(rest)):] {
		apply(t, s, rest[:min(30_000, len(rest))])
	}
	if got := table(t, s.db.DB, "SELECT sum(units), (SELECT count(*) FROM units) FROM traffic_changes"); got != fmt.Sprintf("%d|%d\n", units, units) {
		t.Errorf("got %s", got)
	}
}

// Units of one request alone are told by their decisions, and count as those do that have a row each.
func TestUnitsThatNeverComeBackCountAsThoughTheyWereRemembered(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		log := drawLog(rt)
		n++
		options := Options{MaxUnits: rapid.SampledFrom([]int{4, 1000}).Draw(rt, "units")}
		told := openSink(t, filepath.Join(dir, fmt.Sprintf("%d.db", n)), options)
		defer told.Close()
		cut := rapid.IntRange(1, len(log)).Draw(rt, "cut")
		apply(t, told, log[:cut])
		if cut < len(log) {
			apply(t, told, log[cut:])
		}
		if got := table(t, told.db.DB, "SELECT count(*) FROM units, scopes WHERE scope = id AND unit IN ("+hashes(log)+")"); got != "0\n" {
			rt.Fatalf("%s rows of units that never come back", got)
		}
		remembered := openSink(t, filepath.Join(dir, fmt.Sprintf("%d.all.db", n)), options)
		defer remembered.Close()
		for i, item := range log {
			if made := item.Record.Decision; made != nil {
				known := *made
				known.Alone = false
				log[i].Record = d(&known)
			}
		}
		apply(t, remembered, log)
		for _, query := range []string{
			"SELECT * FROM traffic_changes ORDER BY 2, 3, 4, 5", "SELECT service, epoch, units FROM scopes ORDER BY 1, 2",
			"SELECT * FROM shares ORDER BY 1, 2, 3",
		} {
			if diff := cmp.Diff(table(t, remembered.db.DB, query), table(t, told.db.DB, query)); diff != "" {
				rt.Fatalf("%s (-with rows +without)\n%s", query, diff)
			}
		}
	})
}

// hashes lists the units of requests alone as the table units would have them.
func hashes(log []measure.Item) string {
	list := "NULL"
	for _, item := range log {
		if made := item.Record.Decision; made != nil && made.Alone {
			list += fmt.Sprintf(", %d", int64(event.Hash(made.Unit)))
		}
	}
	return list
}

// Whoever holds a plain cookie goes on with the share that it was drawn with, after the weights have changed too.
func TestUnitsThatComeBackDoNotMixTheSharesOfNewOnes(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	shares := []map[string]float64{{"stable": 0.9, "canary": 0.1}, {"stable": 0.5, "canary": 0.5}}
	ask := func(unit, policy int) {
		drawn, assigned := unit/500, "stable"
		if unit%[]int{10, 2}[drawn] == 0 {
			assigned = "canary"
		}
		made := decision(len(records), start.Add(time.Duration(len(records))*time.Second), "")
		made.Unit, made.PolicyVersion, made.Assigned, made.Propensity = fmt.Sprint("u", unit), uint64(policy), assigned, shares[drawn][assigned]
		records = append(records, d(made))
	}
	for unit := range 500 {
		ask(unit, 1)
	}
	for unit := range 500 {
		ask(unit, 2) // who comes back
		ask(500+unit, 2)
	}
	cut := len(records) / 3
	apply(t, s, items(records...)[:cut])
	apply(t, s, items(records...)[cut:])
	if got, want := table(t, s.db.DB, "SELECT policy_version, variant, share, units FROM traffic_changes ORDER BY 1, 2"),
		"1|canary|0.1|50\n1|stable|0.9|450\n2|canary|0.5|250\n2|stable|0.5|250\n"; got != want {
		t.Errorf("got\n%s", got)
	}
	ratios, err := openReader(t, s, 0).Ratios(context.Background(), "reviews")
	if err != nil || len(ratios) != 1 || ratios[0].Tested != 1000 || ratios[0].Mixed != 0 || ratios[0].Alarm {
		t.Errorf("%+v, %v", ratios, err)
	}
}

func TestRetentionLeavesWhatIsYoungAndRemovesAnHourAtATime(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for hour := range 10 {
		at := start.Add(time.Duration(hour) * time.Hour)
		made := decision(hour, at, "1")
		records = append(records, ta(tally(at, 1, 1)), d(made), o(outcomeOf(made, fmt.Sprint(hour), "reward", 1, 0)))
	}
	apply(t, s, items(records...))
	keep := Retention{Decisions: 2 * time.Hour, Outcomes: 3 * time.Hour, Known: 4 * time.Hour, Minutes: 5 * time.Hour}
	counts := func() string {
		return table(t, s.db.DB, `SELECT (SELECT count(*) FROM decisions), (SELECT count(*) FROM outcomes), (SELECT count(*) FROM slots),
			(SELECT count(*) FROM variant_minutes), (SELECT count(*) FROM minute_sketches), (SELECT count(*) FROM variant_outcomes)`)
	}
	prune := func(now time.Time, keep Retention) {
		t.Helper()
		if err := s.Prune(context.Background(), now, keep); err != nil {
			t.Fatal(err)
		}
	}
	prune(start, keep)
	if got := counts(); got != "10|10|10|10|10|10\n" {
		t.Errorf("young rows went: %s", got)
	}
	prune(start.Add(24*time.Hour), keep) // the clock steps a day ahead, for one call
	if got := counts(); got != "9|9|9|9|9|9\n" {
		t.Errorf("after a step of the clock: %s", got)
	}
	for range 20 {
		prune(start.Add(9*time.Hour), keep)
	}
	if got := counts(); got != "3|4|5|6|6|6\n" {
		t.Errorf("in the end: %s", got)
	}
	prune(start, Retention{DecisionRows: 1})
	if got := table(t, s.db.DB, "SELECT at FROM decisions"); got != "2026-03-01 21:00:00.000\n" {
		t.Errorf("the newest is to stay: %s", got)
	}
}

func TestOnlyUnitsOfTheNewestEpochsAreRemembered(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for epoch := range uint32(4) {
		made := decision(int(epoch), start, "")
		made.Epoch = epoch
		records = append(records, d(made))
	}
	apply(t, s, items(records...))
	if err := s.Prune(context.Background(), start, Retention{}); err != nil {
		t.Fatal(err)
	}
	if got := table(t, s.db.DB, "SELECT epoch FROM units JOIN scopes ON scope = id ORDER BY 1"); got != "2\n3\n" {
		t.Errorf("got %s", got)
	}
	if got := table(t, s.db.DB, "SELECT sum(units) FROM traffic_changes"); got != "4\n" {
		t.Errorf("counts went too: %s", got)
	}
	again := decision(9, start, "") // a straggler of an old epoch
	again.Epoch = 0
	if err := s.Apply(context.Background(), 1, 40, 50, []measure.Item{{At: 40, Record: d(again)}}); err != nil {
		t.Fatal(err)
	}
	if got := table(t, s.db.DB, "SELECT sum(units) FROM traffic_changes"); got != "4\n" {
		t.Errorf("it was counted: %s", got)
	}
}

func TestRebuildComesToTheSameFigures(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := &memoryLog{items: drawLog(rt)}
		s := newSink(t)
		defer s.Close()
		apply(t, s, log.items)
		before := dump(t, s)
		if err := s.Rebuild(context.Background(), 2, log); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(before, dump(t, s)); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestALostFileIsMadeAnewFromWhatTheLogStillHolds(t *testing.T) {
	log := &memoryLog{oldest: 20}
	if _, err := log.Append(context.Background(), ta(tally(start, 1, 1)), ta(tally(start, 2, 1)), ta(tally(start, 4, 1)), ta(tally(start, 8, 1))); err != nil {
		t.Fatal(err)
	}
	s := newSink(t)
	f := measure.NewFollower(log, s, measure.FollowerOptions{Generation: 5})
	if err := f.CatchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := table(t, s.db.DB, "SELECT requests FROM variant_minutes"); got != "12\n" {
		t.Errorf("got %s", got)
	}
	if got := table(t, s.db.DB, "SELECT from_place, to_place FROM log_gaps"); got != "0|20\n" {
		t.Errorf("the gap is %s", got)
	}
	if generation, at, err := s.Place(context.Background()); generation != 5 || at != 40 || err != nil || s.Applied() != 40 {
		t.Errorf("generation %d at %d, %d applied, %v", generation, at, s.Applied(), err)
	}
}

func TestAFullDiskChangesNothingAndPasses(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for i := range 2000 {
		records = append(records, d(decision(i, start.Add(time.Duration(i)*time.Second), "1")))
	}
	log := items(records...)
	apply(t, s, log[:10])
	before := dump(t, s)
	failing(t, s, 2, func() {
		err := s.Apply(context.Background(), 1, 100, end(log), log[10:])
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	if diff := cmp.Diff(before, dump(t, s)); diff != "" {
		t.Error(diff)
	}
	if err := s.Apply(context.Background(), 1, 100, end(log), log[10:]); err != nil {
		t.Error(err)
	}
	for i := range 2000 {
		place, err := s.DecisionPlace(context.Background(), idAt(start.Add(time.Duration(i)*time.Second), i))
		if err != nil || place != event.Offset(10*i) {
			t.Fatalf("decision %d is at %d, %v", i, place, err)
		}
	}
	if _, err := s.DecisionPlace(context.Background(), idAt(start, 77)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a decision that was never made: %v", err)
	}
}

func TestReadersSeeWholeTransactionsWhileTheWriterWrites(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for i := range 400 {
		made := decision(i, start.Add(time.Duration(i)*time.Second), "1")
		records = append(records, d(made), o(outcomeOf(made, fmt.Sprint(i), "label", "1", time.Second)))
	}
	log := items(records...)
	apply(t, s, log[:2])
	r := openReader(t, s, 0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				got, err := ask(r, "SELECT (SELECT count(*) FROM decisions) - (SELECT count(*) FROM outcomes), (SELECT sum(labelled) FROM variant_minutes) - (SELECT count(*) FROM outcomes)")
				if err != nil || got != "0|0\n" {
					t.Errorf("%q, %v", got, err)
					return
				}
				if _, err := r.Summary(context.Background(), "reviews", start, start.Add(time.Hour)); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Outcomes(context.Background(), []string{"0"}); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for at := 2; at < len(log); at += 20 {
		apply(t, s, log[at:min(at+20, len(log))])
	}
	close(done)
	wg.Wait()
}

func TestSinkRemembersOutcomesForWhoeverTakesThemIn(t *testing.T) {
	s := newSink(t)
	made := decision(1, start, "")
	word, number, none := outcomeOf(made, "word", "label", "cat", 0), outcomeOf(made, "number", "reward", 2.5, 0), outcomeOf(made, "none", "reward", math.NaN(), 0)
	nameless := outcomeOf(made, "", "click", 1, 0)
	apply(t, s, items(o(word), o(number), o(none), o(nameless)))
	found, err := s.Outcomes(context.Background(), []string{"word", "number", "none", measure.IDOf(nameless), "absent"})
	if err != nil || len(found) != 4 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, want := range []*event.Outcome{word, number, none, nameless} {
		if got := found[measure.IDOf(want)]; got == nil || !measure.SameOutcome(want, got) {
			t.Errorf("%q: got %+v", want.ID, got)
		}
	}
}

func TestFloatsAddUpTheSameHoweverBatchesAreCut(t *testing.T) {
	made := decision(1, start, "")
	log := items(d(made), o(outcomeOf(made, "a", "reward", 0.1, 0)), o(outcomeOf(made, "b", "reward", 0.2, 0)), o(outcomeOf(made, "c", "reward", 0.3, 0)))
	for _, cut := range []int{1, 2, 3, 4} {
		s := newSink(t)
		apply(t, s, log[:cut])
		if cut < 4 {
			apply(t, s, log[cut:])
		}
		// In the order of the log: 0.1 + (0.2 + 0.3) would be 0.6.
		if got := table(t, s.db.DB, "SELECT format('%!.17g', sum) FROM variant_outcomes"); got != "0.60000000000000009\n" {
			t.Errorf("cut after %d records: %s", cut, got)
		}
	}
}

func TestSummaryAgreesWithACountOfTheRecords(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	type want struct{ requests, failed, labelled, correct, late, tp uint64 }
	wants := map[string]want{}
	sums := map[string]float64{}
	for i := range 500 {
		at := start.Add(time.Duration(i) * time.Second)
		variant := [...]string{"stable", "canary"}[i%2]
		made := decision(i, at, fmt.Sprint(i%3%2))
		made.Assigned, made.Answered, made.Propensity = variant, variant, 0.5
		tl := tally(at, 3, float64(1000+i))
		tl.Variant, tl.Requests = variant, 4
		tl.Errors[event.Timeout] = uint64(i % 2)
		w := wants[variant]
		w.requests, w.failed = w.requests+4, w.failed+uint64(i%2)
		out := outcomeOf(made, fmt.Sprint(i), "label", float64(i%2), time.Minute)
		if i%50 == 0 {
			out.ReceivedAt = at.Add(measure.Window + time.Second)
			w.late++
		} else {
			w.labelled++
			if i%2 == i%3%2 {
				w.correct++
				w.tp += uint64(i % 2)
			}
		}
		wants[variant] = w
		sums[variant] += float64(i) / 7
		records = append(records, d(made), ta(tl), o(out), o(outcomeOf(made, fmt.Sprint("r", i), "reward", float64(i)/7, time.Minute)))
	}
	apply(t, s, items(records...))
	r := openReader(t, s, 0)
	got, err := r.Summary(context.Background(), "reviews", start, start.Add(time.Hour))
	if err != nil || len(got.Variants) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, v := range got.Variants {
		have := want{v.Requests, v.ErrorRate.N, v.Verified.Accuracy.N, uint64(math.Round(v.Verified.Accuracy.Estimate * float64(v.Verified.Accuracy.N))), v.Late, v.Verified.TruePositives}
		w := wants[v.Variant]
		if rate := float64(w.failed) / float64(w.requests); math.Abs(v.ErrorRate.Estimate-rate) > 1e-12 || v.ErrorRate.Low > rate || v.ErrorRate.High < rate {
			t.Errorf("%s: error rate %+v, want %v", v.Variant, v.ErrorRate, rate)
		}
		w.failed = w.requests
		if have != w {
			t.Errorf("%s: %+v, want %+v", v.Variant, have, w)
		}
		if n := v.Verified.Reward.N; n != 250 || math.Abs(v.Verified.Reward.Estimate-sums[v.Variant]/250) > 1e-9 {
			t.Errorf("%s: reward %+v, want %v of 250", v.Variant, v.Verified.Reward, sums[v.Variant]/250)
		}
		if v.Successful != 750 || v.P50.N != 750 || math.Abs(v.P50.Estimate-1250) > 20 || v.P99.Estimate < 1480 || v.MeanMicros < 1200 || v.MeanMicros > 1300 {
			t.Errorf("%s: latency %+v, %+v of %d, mean %v", v.Variant, v.P50, v.P99, v.Successful, v.MeanMicros)
		}
	}
	if len(got.Ratios) != 1 || got.Ratios[0].Alarm || got.Ratios[0].Tested != 500 {
		t.Errorf("ratios %+v", got.Ratios)
	}
	quantiles, n, err := r.Quantiles(context.Background(), "reviews", "stable", start, start.Add(time.Minute), 0.5, 1)
	if err != nil || n != 90 || quantiles[1] != 1058 {
		t.Errorf("the first minute: %v of %d, %v", quantiles, n, err)
	}
	if empty, err := r.Summary(context.Background(), "nobody", start, start); err != nil || len(empty.Variants)+len(empty.Ratios) != 0 {
		t.Errorf("an unknown service: %+v, %v", empty, err)
	}
}

// The file's form is a contract: one of format 1 stays readable, and goes on where it stopped.
func TestFileOfFormat1StillReads(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("testdata", "format1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "telemetry.db")
	s := openSink(t, path, Options{})
	if _, err := s.db.ExecContext(context.Background(), "DELETE FROM progress;"+string(script)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openSink(t, path, Options{})
	made := decision(1, start, "1")
	if err := s.Apply(context.Background(), 1, 30, 40, []measure.Item{{At: 30, Record: d(made)}}); err != nil {
		t.Fatal(err)
	}
	if got := table(t, s.db.DB, "SELECT requests, labelled, correct, p50_micros FROM variant_minutes"); got != "10|1|1|1000\n" {
		t.Errorf("got %s", got)
	}
}

func TestErrorsOfTheFileStayWhatTheyAre(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(context.Background(), dir, Options{}); err == nil {
		t.Error("a folder was opened")
	}
	s := newSink(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Apply(ctx, 1, 0, 10, items(ta(tally(start, 1, 1)))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
