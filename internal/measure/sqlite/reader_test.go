package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/serin-ml/serin/internal/fault"
)

func openReader(t testing.TB, s *Sink, limit time.Duration) *Reader {
	t.Helper()
	r, err := OpenReader(context.Background(), s.db.Path(), limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// ask returns the rows of a query, a line each, or the error.
func ask(r *Reader, query string, args ...any) (string, error) {
	rows, err := r.Query(context.Background(), query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var out strings.Builder
	for values, err := range rows.All() {
		if err != nil {
			return out.String(), err
		}
		for i, v := range values {
			if i > 0 {
				out.WriteByte('|')
			}
			if v != nil {
				fmt.Fprint(&out, v)
			}
		}
		out.WriteByte('\n')
	}
	return out.String(), nil
}

// sample has a bit of everything in three minutes.
func sample(t testing.TB) *Sink {
	t.Helper()
	s := newSink(t)
	one, two := decision(1, start, "1"), decision(2, start.Add(time.Minute), "0")
	two.Assigned, two.Answered = "canary", "canary"
	busy := tally(start.Add(time.Minute), 8, 3000)
	busy.Variant, busy.Labels = "canary", map[string]uint64{"1": 6, "0": 2}
	apply(t, s, items(
		ta(tally(start, 10, 1000)), d(one), d(two), ta(busy),
		o(outcomeOf(one, "a", "label", "1", time.Minute)), o(outcomeOf(two, "b", "label", "1", time.Minute)),
		o(outcomeOf(one, "c", "reward", 0.5, time.Minute)), o(byIDAlone(outcomeOf(two, "d", "correct", 1, time.Minute))),
		o(outcomeOf(one, "e", "reward", 2, 8*24*time.Hour)), o(outcomeOf(one, "e", "reward", 2, 8*24*time.Hour)),
		o(outcomeOf(one, "e", "reward", 3, 8*24*time.Hour)),
		co(comparison(start, 3, 2)), di(disagreement(1, start, "0")),
	))
	return s
}

func TestTheQuestionOfTheGuideIsOneQuery(t *testing.T) {
	r := openReader(t, sample(t), 0)
	// With datetime('now', '-12 hours') for the time.
	got, err := ask(r, `SELECT variant, sum(ok_micros) / 1000.0 / sum(ok) AS mean_ms, sum(ok) AS n FROM variant_minutes
		WHERE minute >= datetime('2026-03-01 12:02:00', '-12 hours') GROUP BY variant ORDER BY variant`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("canary|3|8\nstable|1|10\n", got); diff != "" {
		t.Error(diff)
	}
}

func TestViewsSayWhatHappened(t *testing.T) {
	r := openReader(t, sample(t), 0)
	for query, want := range map[string]string{
		"SELECT minute, variant, requests, ok, mean_micros, labelled, correct, true_positives, false_negatives, unverified_labelled, unverified_correct, late, rewards, reward_sum FROM variant_minutes ORDER BY 1": "" +
			"2026-03-01 12:00:00|stable|10|10|1000|1|1|1|0|0|0|1|1|0.5\n2026-03-01 12:01:00|canary|8|8|3000|1|0|0|1|1|1|0|0|0\n",
		"SELECT minute, label, n FROM variant_labels ORDER BY 1, 2": "2026-03-01 12:01:00|0|2\n2026-03-01 12:01:00|1|6\n",
		"SELECT service, status, n FROM outcome_counts ORDER BY 2":  "reviews|conflict|1\nreviews|counted|4\nreviews|duplicate|1\nreviews|late|1\n",
		"SELECT id, status, class, variant, correct FROM outcomes ORDER BY id": "" +
			"a|counted|verified|stable|1\nb|counted|verified|canary|0\nc|counted|verified|stable|\nd|counted|unverified|canary|1\ne|late|verified|stable|\n",
		"SELECT o.id FROM outcomes o JOIN decisions d ON d.id = o.decision WHERE d.assigned = 'canary' ORDER BY 1": "b\nd\n",
		"SELECT variant, share, units FROM traffic_changes ORDER BY 1":                                             "canary|0.75|1\nstable|0.75|1\n",
		"SELECT class, truth, predicted, n FROM variant_confusions ORDER BY 1, 2, 3":                               "unverified|0|0|1\nverified|1|0|1\nverified|1|1|1\n",
		"SELECT shadow, variant, rule, pairs, agreed, p50_micros, shadow_p50_micros, slower_micros FROM shadow":    "next|stable|label|3|2|1000|1500|1500\n",
		"SELECT d.label, s.shadow_label, s.parting FROM disagreements s JOIN decisions d ON d.id = s.decision":     "1|0|row 0\n",
		"SELECT version FROM schema_version":                                                                       fmt.Sprintln(SchemaVersion),
	} {
		if got, err := ask(r, query); err != nil || got != want {
			t.Errorf("%s:\n%s%v, want\n%s", query, got, err, want)
		}
	}
}

func TestDocumentedColumnsAreThoseThatThereAre(t *testing.T) {
	r := openReader(t, sample(t), 0)
	var listing strings.Builder
	for _, v := range Views() {
		rows, err := r.Query(context.Background(), "SELECT * FROM "+v.Name)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		fmt.Fprintf(&listing, "%s\n", v.Name)
		for _, c := range v.Columns {
			names = append(names, c.Name)
			fmt.Fprintf(&listing, "\t%s %s\n", c.Name, c.Type)
		}
		if diff := cmp.Diff(names, rows.Columns); diff != "" {
			t.Errorf("%s (-documented +there): %s", v.Name, diff)
		}
		rows.Close()
	}
	got, err := ask(r, "SELECT name FROM sqlite_schema WHERE type = 'view'")
	if err != nil || strings.Count(got, "\n") != len(Views()) {
		t.Errorf("the views are %s, %v", got, err)
	}
	// What people wrote against version 1 goes on working. A new column is added to this file; one that goes makes version 2.
	golden := filepath.Join("testdata", fmt.Sprintf("views%d.txt", SchemaVersion))
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), listing.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAQueryMayOnlyRead(t *testing.T) {
	s := sample(t)
	before := dump(t, s)
	r := openReader(t, s, 0)
	other := filepath.Join(t.TempDir(), "other.db")
	for _, query := range []string{
		"DELETE FROM minutes", "DROP VIEW decisions", "CREATE TABLE x (a)", "CREATE TEMP TABLE x (a)", "INSERT INTO gaps VALUES (1, 2, 'x')",
		"UPDATE progress SET place = 0", "WITH x AS (SELECT 1) DELETE FROM minutes", "VACUUM", "REINDEX", "BEGIN", "SAVEPOINT x",
		"PRAGMA query_only = 0", "PRAGMA writable_schema = 1", "PRAGMA journal_mode = DELETE", "PRAGMA cache_size = 1000000",
		"ATTACH '" + other + "' AS x", "ATTACH 'file:" + other + "?mode=rwc' AS x", "VACUUM INTO '" + other + "'", "DETACH main",
		"SELECT load_extension('x.so')", "EXPLAIN DELETE FROM minutes", "SELECT * FROM pragma_journal_mode",
		"SELECT 1; DELETE FROM minutes", "SELECT ';'; DELETE FROM minutes", "SELECT 1 -- ;\n; DELETE FROM minutes", "SELECT 1 /* ; */; SELECT 2",
		"", " ; ", "-- nothing", "SELECT ?", "SELECT $name", "SELEC 1", "SELECT * FROM nowhere", "SELECT 'open", "SELECT 1\x00; DELETE FROM minutes",
		"SELECT zeroblob(100000000)", "SELECT printf('%100000000d', 1)", "SELECT 'a' LIKE '" + strings.Repeat("%a", 200) + "'",
		"SELECT " + strings.Repeat(" ", maxQuery) + "1",
	} {
		got, err := ask(r, query)
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.60q: %q, %v", query, got, err)
		}
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("another file was made")
	}
	if diff := cmp.Diff(before, dump(t, s)); diff != "" {
		t.Errorf("the file changed: %s", diff)
	}
	for query, want := range map[string]string{
		"SELECT ';' || \";\" AS [;] -- ;\n ; ": ";;\n",
		"VALUES (1), (2)":                      "1\n2\n",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n": "1\n2\n3\n",
		"SELECT count(*) FROM pragma_table_info('minutes')":                                           "26\n",
		"SELECT 'it''s', json_extract('{\"a\":2}', '$.a'), upper('x'), round(1.25, 1), NULL":          "it's|2|X|1.3|\n",
	} {
		if got, err := ask(r, query); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", query, got, err, want)
		}
	}
}

func TestAQueryWithoutEndIsEnded(t *testing.T) {
	r := openReader(t, sample(t), 50*time.Millisecond)
	_, err := ask(r, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("got %v", err)
	}
	if got, err := ask(r, "SELECT 1"); got != "1\n" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Query(ctx, "SELECT 1"); err == nil {
		t.Error("a done context was not heeded")
	}
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"SELECT 1", "SELECT 1; DELETE FROM gaps", "PRAGMA query_only=0", "SELECT ']' FROM [gaps;]", "/*", "'", "WITH x AS (VALUES(1)) DELETE FROM gaps"} {
		f.Add(seed)
	}
	s := newSink(f)
	if _, err := s.conn.ExecContext(context.Background(), "INSERT INTO gaps VALUES (1, 2, 'kept')"); err != nil {
		f.Fatal(err)
	}
	r := openReader(f, s, 200*time.Millisecond)
	f.Fuzz(func(t *testing.T, query string) {
		if _, err := ask(r, query); err != nil && fault.KindOf(err) == fault.Internal {
			t.Errorf("%q: %v", query, err)
		}
		if got := table(t, s.db.DB, "SELECT * FROM log_gaps"); got != "1|2|kept\n" {
			t.Fatalf("%q changed the file: %s", query, got)
		}
	})
}

func TestAMissingFileSaysSo(t *testing.T) {
	if _, err := OpenReader(context.Background(), filepath.Join(t.TempDir(), "telemetry.db"), 0); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestAViewIsExportedAsParquet(t *testing.T) {
	r := openReader(t, sample(t), 0)
	for _, v := range Views() {
		var file bytes.Buffer
		if err := r.ExportParquet(context.Background(), v.Name, &file); err != nil {
			t.Fatal(err)
		}
		read, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range read.Root().Columns() {
			names = append(names, c.Name())
		}
		var want []string
		for _, c := range v.Columns {
			want = append(want, c.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
		if count, err := ask(r, "SELECT count(*) FROM "+v.Name); err != nil || fmt.Sprintln(read.NumRows()) != count {
			t.Errorf("%s: %d rows of %s %v", v.Name, read.NumRows(), count, err)
		}
	}
	var file bytes.Buffer
	if err := r.ExportParquet(context.Background(), "outcomes", &file); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		ID         string   `parquet:"id"`
		Number     *float64 `parquet:"number,optional"`
		Correct    *int64   `parquet:"correct,optional"`
		ReceivedAt int64    `parquet:"received_at"`
	}
	rows, err := parquet.Read[outcome](bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	half, one := 0.5, int64(1)
	if diff := cmp.Diff(outcome{"c", &half, nil, start.Add(time.Minute).UnixMilli()}, rows[2]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(outcome{"a", nil, &one, start.Add(time.Minute).UnixMilli()}, rows[0]); diff != "" {
		t.Error(diff)
	}
	if err := r.ExportParquet(context.Background(), "minutes", &file); fault.KindOf(err) != fault.NotFound {
		t.Errorf("what is no view: %v", err)
	}
}

func TestQueriesOfTheGuideRun(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "guides", "sql.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := openReader(t, sample(t), 0)
	parts := strings.Split(string(guide), "```sql\n")
	if len(parts) != 7 {
		t.Fatalf("the guide has %d queries", len(parts)-1)
	}
	for _, part := range parts[1:] {
		query, _, _ := strings.Cut(part, "```")
		if _, err := ask(r, query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, v := range Views() {
		if !strings.Contains(string(guide), "| `"+v.Name+"` |") {
			t.Errorf("the guide does not tell of %s", v.Name)
		}
	}
}
