package sqlite

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
	"github.com/serin-ml/serin/internal/sqlite"
)

// comparison is a second of a shadow named next with so many pairs, all in one bucket.
func comparison(at time.Time, pairs, agreed uint64) *event.Comparison {
	c := &event.Comparison{
		From: at, To: at.Add(time.Second), Service: "reviews", Shadow: "next", ShadowVersion: "sha256:bb", Primary: "stable", PrimaryVersion: "sha256:aa",
		Rule: "label", Buckets: []event.ComparisonBucket{{Bucket: 9, Pairs: pairs, Agreed: agreed, Lean: int64(pairs), Micros: 500 * int64(pairs)}},
	}
	c.PrimaryLatency.AddN(1000, pairs)
	c.ShadowLatency.AddN(1500, pairs)
	return c
}

func drawComparison(t *rapid.T, at time.Time) *event.Comparison {
	pairs := rapid.Uint64Range(0, 5).Draw(t, "pairs")
	c := comparison(at, pairs, rapid.Uint64Range(0, pairs).Draw(t, "agreed"))
	c.Shadow = rapid.SampledFrom([]string{"next", "other"}).Draw(t, "shadow")
	c.Rule = rapid.SampledFrom([]string{"label", "topK, k 5"}).Draw(t, "rule")
	c.Drops[rapid.IntRange(0, int(event.NumDrops)-1).Draw(t, "drop")] = rapid.Uint64Range(0, 3).Draw(t, "dropped")
	c.Unpaired[rapid.IntRange(0, int(event.NumUnpaired)-1).Draw(t, "why")] = rapid.Uint64Range(0, 3).Draw(t, "unpaired")
	*c.Bucket(uint8(rapid.IntRange(0, 3).Draw(t, "bucket"))) = event.ComparisonBucket{
		Bucket: c.Buckets[0].Bucket, Pairs: 1, Overlap: rapid.Float64Range(0, 1).Draw(t, "overlap"), Scored: 1, Score: rapid.Float64Range(-1, 1).Draw(t, "score"),
	}
	c.ScoreAbove.Add(rapid.Float64Range(0, 1).Draw(t, "above"))
	return c
}

func disagreement(n int, at time.Time, label string) *event.Disagreement {
	return &event.Disagreement{
		Decision: idAt(at, n), At: at, Service: "reviews", Shadow: "next", ShadowVersion: "sha256:bb", Primary: "stable", PrimaryVersion: "sha256:aa",
		Rule: "label", PrimaryStatus: 200, ShadowStatus: 200, PrimaryMicros: 1000, ShadowMicros: 1500, PrimaryLabel: "1", ShadowLabel: label,
		PrimaryScore: 0.5, ShadowScore: 0.25, Difference: -0.25, Overlap: math.NaN(), Where: "row 0",
	}
}

func co(c *event.Comparison) event.Record   { return event.Record{Comparison: c} }
func di(d *event.Disagreement) event.Record { return event.Record{Disagreement: d} }

// day is all that the tests' logs hold.
var day = ShadowQuery{From: start, To: start.Add(24 * time.Hour)}

func TestComparisonsAddUpByMinute(t *testing.T) {
	s := newSink(t)
	more, late, other := comparison(start.Add(2*time.Second), 4, 4), comparison(start.Add(time.Minute), 2, 0), comparison(start, 1, 1)
	more.Drops[event.DropMethod], more.Unpaired[event.ShadowLate] = 7, 3
	other.Rule = "exact"
	log := items(co(comparison(start, 10, 9)), co(other), co(more), co(late))
	apply(t, s, log[:2])
	apply(t, s, log)
	r := openReader(t, s, 0)
	got, err := ask(r, "SELECT minute, service, shadow, rule, pairs, agreed, timeouts, dropped_method, slower_micros, p50_micros, shadow_p99_micros FROM shadow ORDER BY 1, 4")
	want := "2026-03-01 12:00:00|reviews|next|exact|1|1|0|0|500|1000|1500\n" +
		"2026-03-01 12:00:00|reviews|next|label|14|13|3|7|7000|1000|1500\n2026-03-01 12:01:00|reviews|next|label|2|0|0|0|1000|1000|1500\n"
	if got != want || err != nil {
		t.Errorf("%s%v", got, err)
	}
	for _, tt := range []struct {
		query ShadowQuery
		pairs map[string]uint64 // by rule
	}{
		{day, map[string]uint64{"exact": 1, "label": 16}},
		{ShadowQuery{Service: "reviews", Shadow: "next", From: start.Add(time.Minute), To: day.To}, map[string]uint64{"label": 2}},
		{ShadowQuery{Service: "reviews", Shadow: "x", From: start, To: day.To}, map[string]uint64{}},
		{ShadowQuery{Service: "x", From: start, To: day.To}, map[string]uint64{}},
	} {
		all, err := r.Shadows(context.Background(), tt.query)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]uint64{}
		for of, c := range all {
			got[of.Rule], _ = c.Totals()
			if of.ShadowVersion != "sha256:bb" || of.PrimaryVersion != "sha256:aa" {
				t.Errorf("of %+v", of)
			}
		}
		if diff := cmp.Diff(tt.pairs, got); diff != "" {
			t.Errorf("%+v: %s", tt.query, diff)
		}
	}
}

func TestDisagreementsAreFoundByAgeAndBySize(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for i, difference := range []float64{-0.9, 0.1, math.NaN(), 0.5, -0.2} {
		d := disagreement(i, start.Add(time.Duration(i)*time.Second), "0")
		d.Difference, d.PrimaryAnswer = difference, fmt.Sprint(i)
		records = append(records, di(d))
	}
	apply(t, s, items(records...))
	r := openReader(t, s, 0)
	of := measure.ShadowOfDisagreement(records[0].Disagreement)
	for order, want := range map[Order]string{Newest: "4 3 2 ", Largest: "0 3 4 "} {
		list, err := r.Disagreements(context.Background(), of, day.From, day.To, order, 3)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range list {
			got += d.PrimaryAnswer + " "
		}
		if got != want {
			t.Errorf("%s: %s, want %s", order, got, want)
		}
	}
	list, err := r.Disagreements(context.Background(), of, day.From, day.To, Newest, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(records[4].Disagreement, list[0], cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

func TestFeedbackJudgesDisagreements(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	judge := func(n int, unit, kind string, value any, change func(*event.Outcome)) {
		made := decision(n, start.Add(time.Duration(n)*time.Second), "1")
		made.Unit = unit
		out := outcomeOf(made, fmt.Sprint(n), kind, value, time.Minute)
		if change != nil {
			change(out)
		}
		records = append(records, d(made), di(disagreement(n, made.At, "0")), o(out))
	}
	judge(0, "ada", "label", "1", nil)                                                              // the primary is right
	judge(1, "bob", "label", "0", nil)                                                              // the shadow
	judge(2, "bob", "label", "0", nil)                                                              // the same user once more
	judge(3, "eve", "correct", 0, nil)                                                              // the other class was right
	judge(4, "joe", "label", "2", nil)                                                              // neither
	judge(5, "sue", "reward", 1, nil)                                                               // says nothing of it
	judge(6, "tim", "label", "0", func(o *event.Outcome) { o.Verified = false })                    // not believed
	judge(7, "tom", "label", "0", func(o *event.Outcome) { o.ReceivedAt = start.AddDate(1, 0, 0) }) // late
	apply(t, s, items(records...))
	judged, err := openReader(t, s, 0).Judged(context.Background(), day)
	if err != nil || len(judged) != 1 {
		t.Fatal(judged, err)
	}
	for of, list := range judged {
		trial, err := measure.Try(list)
		if err != nil || of.Shadow != "next" || len(list) != 5 || trial.PrimaryRight != 1 || trial.ShadowRight != 2 || trial.NeitherRight != 1 {
			t.Errorf("%+v: %+v, %v", of, trial, err)
		}
	}
}

// A file from before there were shadows goes on with them.
func TestAnOlderFileTakesComparisons(t *testing.T) {
	path := filepath.Join(t.TempDir(), "telemetry.db")
	old, err := sqlite.Open(context.Background(), path, migrations[:3])
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := openSink(t, path, Options{})
	apply(t, s, items(co(comparison(start, 3, 2)), di(disagreement(1, start, "0"))))
	s.Close()
	s = openSink(t, path, Options{})
	if err := s.Apply(context.Background(), 1, 20, 30, []measure.Item{{At: 20, Record: co(comparison(start, 3, 2))}}); err != nil {
		t.Fatal(err)
	}
	if got := table(t, s.db.DB, "SELECT pairs, agreed, (SELECT count(*) FROM disagreements), (SELECT count(*) FROM shadows) FROM shadow"); got != "6|4|1|1\n" {
		t.Errorf("got %s", got)
	}
}

func TestFiguresOfShadowsGoByAge(t *testing.T) {
	s := newSink(t)
	var records []event.Record
	for hour := range 10 {
		at := start.Add(time.Duration(hour) * time.Hour)
		records = append(records, co(comparison(at, 1, 1)), di(disagreement(hour, at, "0")))
	}
	apply(t, s, items(records...))
	counts := func() string {
		return table(t, s.db.DB, "SELECT (SELECT count(*) FROM shadow), (SELECT count(*) FROM disagreements)")
	}
	for range 20 {
		if err := s.Prune(context.Background(), start.Add(9*time.Hour), Retention{Shadows: 2 * time.Hour, Known: 4 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if got := counts(); got != "3|5\n" {
		t.Errorf("by age there remain %s", got)
	}
	if err := s.Prune(context.Background(), start, Retention{DisagreementRows: 2}); err != nil {
		t.Fatal(err)
	}
	if got := table(t, s.db.DB, "SELECT at FROM disagreements ORDER BY 1"); got != "2026-03-01 20:00:00.000\n2026-03-01 21:00:00.000\n" {
		t.Errorf("the newest are to stay: %s", got)
	}
}
