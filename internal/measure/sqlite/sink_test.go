package sqlite

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
)

// drawLog makes a log in which everything happens: outcomes before and after their decisions, repeats, conflicts, clock steps.
func drawLog(t *rapid.T) []measure.Item {
	var records []event.Record
	var decisions []*event.Decision
	clock := start
	labels := []string{"1", "0", "true", "cat", ""}
	for i := range rapid.IntRange(1, 60).Draw(t, "records") {
		if step := rapid.IntRange(0, 40).Draw(t, "step"); step == 0 {
			clock = clock.Add(24 * time.Hour)
		} else if step == 1 {
			clock = clock.Add(-24 * time.Hour)
		} else {
			clock = clock.Add(time.Duration(step) * 200 * time.Millisecond)
		}
		switch rapid.SampledFrom([]string{"decision", "decision", "outcome", "outcome", "outcome", "tally", "comparison", "disagreement", "foreign"}).Draw(t, "kind") {
		case "decision":
			made := decision(i, clock, rapid.SampledFrom(labels).Draw(t, "label"))
			made.Reason = rapid.SampledFrom([]event.Reason{event.Weights, event.Weights, event.ByHand, event.Match}).Draw(t, "reason")
			made.Unit = fmt.Sprintf("u%d", rapid.IntRange(0, 5).Draw(t, "unit"))
			if made.Alone = rapid.IntRange(0, 2).Draw(t, "alone") == 0; made.Alone {
				made.Unit = fmt.Sprintf("alone%d", i)
			}
			made.PolicyVersion = rapid.Uint64Range(1, 2).Draw(t, "policy")
			made.Epoch = rapid.Uint32Range(1, 2).Draw(t, "epoch")
			decisions = append(decisions, made)
			if rapid.IntRange(0, 3).Draw(t, "dropped") > 0 {
				records = append(records, d(made))
			}
		case "outcome":
			if len(decisions) == 0 {
				continue
			}
			of := rapid.SampledFrom(decisions).Draw(t, "of")
			kind := rapid.SampledFrom([]string{"label", "correct", "reward", "click"}).Draw(t, "outcome")
			value := any(rapid.SampledFrom([]float64{0, 1, 0.1, 0.7, math.NaN()}).Draw(t, "value"))
			if rapid.Bool().Draw(t, "text") {
				value = rapid.SampledFrom(labels).Draw(t, "truth")
			}
			out := outcomeOf(of, fmt.Sprintf("o%d", rapid.IntRange(0, 15).Draw(t, "id")), kind, value, clock.Sub(of.At))
			switch rapid.IntRange(0, 3).Draw(t, "proof") {
			case 0:
				out = byIDAlone(out)
			case 1:
				out.Attributed, out.Verified, out.Decision = true, false, event.ID{}
			}
			records = append(records, o(out))
			if rapid.IntRange(0, 4).Draw(t, "late decision") == 0 {
				records = append(records, d(of))
			}
		case "tally":
			made := tally(clock, rapid.IntRange(0, 9).Draw(t, "requests"), float64(rapid.IntRange(0, 1_000_000).Draw(t, "micros")))
			made.PolicyVersion, made.Bucket = rapid.Uint64Range(0, 2).Draw(t, "policy"), uint8(rapid.IntRange(0, 63).Draw(t, "bucket"))
			made.Variant = rapid.SampledFrom([]string{"stable", "canary"}).Draw(t, "variant")
			made.Errors[event.Server] = rapid.Uint64Range(0, made.Requests).Draw(t, "errors")
			records = append(records, ta(made))
		case "comparison":
			records = append(records, event.Record{Comparison: drawComparison(t, clock)})
		case "disagreement":
			dis := disagreement(i, clock, "0")
			dis.Shadow = rapid.SampledFrom([]string{"next", "other"}).Draw(t, "shadow")
			records = append(records, event.Record{Disagreement: dis})
		case "foreign":
			records = append(records, event.Record{Unknown: &event.Unknown{Kind: 99, Version: 1}})
		}
	}
	if len(records) == 0 {
		records = append(records, ta(tally(clock, 1, 1)))
	}
	return items(records...)
}

func TestFiguresDependOnTheLogAloneNotOnBatchesReplaysOrCrashes(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		log := drawLog(rt)
		n++
		path := filepath.Join(dir, fmt.Sprintf("%d.db", n))
		whole, parts := openSink(t, path+".whole", Options{MaxUnits: 4}), openSink(t, path, Options{MaxUnits: 4})
		defer whole.Close()
		defer func() { parts.Close() }()
		apply(t, whole, log)
		ctx := context.Background()
		live := listen(t, parts, 3)
		for {
			_, at, err := parts.Place(ctx)
			if err != nil {
				rt.Fatal(err)
			}
			if at >= end(log) {
				break
			}
			done := 0
			for done < len(log) && log[done].At < at {
				done++
			}
			last := rapid.OneOf(rapid.IntRange(done, len(log)-1), rapid.IntRange(done, len(log)-1), rapid.IntRange(0, len(log)-1)).Draw(rt, "to")
			from := rapid.IntRange(0, min(done, last)).Draw(rt, "from")
			switch rapid.SampledFrom([]string{"apply", "apply", "apply", "crash", "stale", "gap", "full", "failure"}).Draw(rt, "event") {
			case "apply":
				err = parts.Apply(ctx, 1, log[from].At, log[last].At+10, log[from:last+1])
			case "crash": // before the transaction's end, or after it: what is open is lost
				parts.Close()
				parts = openSink(t, path, Options{MaxUnits: 4})
				live = listen(t, parts, 3)
			case "stale":
				if at > 0 {
					if err := parts.Apply(ctx, 0, log[from].At, log[last].At+10, log[from:last+1]); fault.KindOf(err) != fault.Conflict {
						rt.Fatalf("a stale generation: %v", err)
					}
				}
			case "gap":
				if err := parts.Apply(ctx, 1, at+1, at+2, nil); fault.KindOf(err) != fault.Conflict {
					rt.Fatalf("a gap: %v", err)
				}
			case "full": // somewhere in the middle of the transaction
				limit := rapid.IntRange(0, 3).Draw(rt, "pages")
				failing(t, parts, limit, func() { _ = parts.Apply(ctx, 1, log[from].At, log[last].At+10, log[from:last+1]) })
			case "failure": // at the first write to some table
				refusing(t, parts, rapid.SampledFrom(tables).Draw(rt, "table"), func() {
					_ = parts.Apply(ctx, 1, log[from].At, log[last].At+10, log[from:last+1])
				})
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		if diff := cmp.Diff(dump(t, whole), dump(t, parts)); diff != "" {
			rt.Fatalf("(-at once +in parts)\n%s", diff)
		}
		if diff := cmp.Diff(listen(t, whole, 3), live); diff != "" {
			rt.Fatalf("what watchers hear (-at once +as it came)\n%s", diff)
		}
	})
}

// failing lets the file grow by no more than some pages meanwhile.
func failing(t testing.TB, s *Sink, pages int, f func()) {
	t.Helper()
	ctx := context.Background()
	var have int
	if err := s.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&have); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", have+pages)); err != nil {
		t.Fatal(err)
	}
	f()
	if _, err := s.conn.ExecContext(ctx, "PRAGMA max_page_count = 1073741823"); err != nil {
		t.Fatal(err)
	}
}

// refusing lets no row come into a table meanwhile.
func refusing(t testing.TB, s *Sink, table string, f func()) {
	t.Helper()
	script := "CREATE TEMP TRIGGER refused BEFORE INSERT ON main." + table + " BEGIN SELECT RAISE(FAIL, 'refused'); END"
	if _, err := s.conn.ExecContext(context.Background(), script); err != nil {
		t.Fatal(err)
	}
	f()
	if _, err := s.conn.ExecContext(context.Background(), "DROP TRIGGER temp.refused"); err != nil {
		t.Fatal(err)
	}
}
