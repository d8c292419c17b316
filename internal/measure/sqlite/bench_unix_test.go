//go:build unix

package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/measure"
)

// benchBatch is the default batch of a Follower.
const benchBatch = 8192

func applyAll(b *testing.B, s *Sink, batches [][]measure.Item) {
	b.Helper()
	for _, batch := range batches {
		if err := s.Apply(context.Background(), 1, batch[0].At, end(batch), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// spent reports the processor time of the process since a moment, which other work on the machine does not lengthen.
func spent(b *testing.B, since time.Duration) {
	b.Helper()
	b.ReportMetric(float64((processorTime(b)-since).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// numbered gives records places from one on, and cuts them into batches.
func numbered(from event.Offset, records []event.Record) (batches [][]measure.Item, next event.Offset) {
	for len(records) > 0 {
		n := min(benchBatch, len(records))
		batch := make([]measure.Item, n)
		for i, r := range records[:n] {
			batch[i] = measure.Item{At: from, Record: r}
			from += 10
		}
		batches, records = append(batches, batch), records[n:]
	}
	return batches, from
}

// A second of a busy service: three variants, 64 buckets, predictions of two classes.
func BenchmarkTallies(b *testing.B) {
	var records []event.Record
	for i := range b.N {
		t := tally(start.Add(time.Duration(i/192)*time.Second), 5, 1000+float64(i%997))
		t.Bucket, t.Variant = uint8(i%64), "v"+strconv.Itoa(i/64%3)
		t.Latency.Add(float64(500 + i%5000))
		t.Labels, t.PolicyVersion = map[string]uint64{"0": 3, "1": 2}, 7
		records = append(records, event.Record{Tally: t})
	}
	batches, _ := numbered(0, records)
	s := newSink(b)
	b.ReportAllocs()
	b.ResetTimer()
	since := processorTime(b)
	applyAll(b, s, batches)
	spent(b, since)
}

// Decisions at two rates, of units that come back in the end, of which there are a million, and of units of one request alone. A
// batch is what comes between two looks of a Follower at the log.
func BenchmarkDecisions(b *testing.B) {
	for _, rate := range []int{1000, 20_000} {
		for _, alone := range []bool{false, true} {
			b.Run(fmt.Sprintf("rate=%d/alone=%v", rate, alone), func(b *testing.B) {
				var records []event.Record
				for i := range b.N {
					made := decision(i, start.Add(time.Duration(i)*time.Second/time.Duration(rate)), strconv.Itoa(i%2))
					made.Alone, made.Version = alone, "sha256:"+fmt.Sprintf("%064x", 7)
					made.Unit = fmt.Sprintf("%032x", uint64(i%1_000_000)*0x9E3779B97F4A7C15)
					records = append(records, event.Record{Decision: made})
				}
				batches, _ := numbered(0, records)
				s := newSink(b)
				b.ReportAllocs()
				b.ResetTimer()
				since := processorTime(b)
				for _, batch := range batches {
					for len(batch) > 0 {
						n := min(rate/4, len(batch))
						applyAll(b, s, [][]measure.Item{batch[:n]})
						batch = batch[n:]
					}
				}
				spent(b, since)
			})
		}
	}
}

// Outcomes of decisions made over the last hours, a thousand a second, in no order.
func BenchmarkOutcomes(b *testing.B) {
	for _, proof := range []string{"token", "id"} {
		b.Run(proof, func(b *testing.B) {
			const decisions = 200_000
			made := make([]*event.Decision, decisions)
			var records []event.Record
			for i := range made {
				made[i] = decision(i, start.Add(time.Duration(i)*20*time.Millisecond), strconv.Itoa(i%2))
				records = append(records, event.Record{Decision: made[i]})
			}
			s := newSink(b)
			batches, next := numbered(0, records)
			applyAll(b, s, batches)
			records = nil
			for i := range b.N {
				of := made[i*7919%decisions]
				out := outcomeOf(of, fmt.Sprintf("feedback-%d", i), "label", strconv.Itoa(i%3/2), 2*time.Hour)
				if proof == "id" {
					out = byIDAlone(out)
				}
				records = append(records, event.Record{Outcome: out})
			}
			batches, _ = numbered(next, records)
			b.ReportAllocs()
			b.ResetTimer()
			since := processorTime(b)
			applyAll(b, s, batches)
			spent(b, since)
		})
	}
}

// BenchmarkTenMillion fills a file as a day of 10 million decisions does (SERIN_BENCH_DECISIONS sets another number), and asks it.
func BenchmarkTenMillion(b *testing.B) {
	text := os.Getenv("SERIN_BENCH_DECISIONS")
	if text == "" {
		b.Skip("set SERIN_BENCH_DECISIONS, such as to 10000000")
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "telemetry.db")
	s := openSink(b, path, Options{})
	logBytes := fill(b, s, n)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("%d decisions: %.1f bytes each in telemetry.db, %.1f in records of the log\n", n, float64(info.Size())/float64(n),
		float64(logBytes)/float64(n))
	gap := 24 * time.Hour / time.Duration(n)
	b.Run("one id", func(b *testing.B) {
		for i := range b.N {
			k := i * 7919 % n
			at := start.Add(time.Duration(k) * gap)
			if _, err := s.DecisionPlace(context.Background(), idAt(at, k)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one day of variant_minutes", func(b *testing.B) {
		for range b.N {
			table(b, s.db.DB, "SELECT * FROM variant_minutes WHERE minute >= ? AND minute < ?", minuteText(measure.Minute(start)),
				minuteText(measure.Minute(start.Add(24*time.Hour))))
		}
	})
}

// fill makes n decisions over a day by two variants, with the tallies of each second, and returns the size of the decisions' records.
func fill(b *testing.B, s *Sink, n int) (logBytes int) {
	b.Helper()
	var place event.Offset
	var records []event.Record
	gap := 24 * time.Hour / time.Duration(n)
	second := int64(0)
	flush := func() {
		var batches [][]measure.Item
		batches, place = numbered(place, records)
		applyAll(b, s, batches)
		records = records[:0]
		if err := s.Prune(context.Background(), start, Retention{}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		at := start.Add(time.Duration(i) * gap)
		made := decision(i, at, strconv.Itoa(i%2))
		made.Assigned = [...]string{"stable", "canary"}[i%2]
		made.Unit = fmt.Sprintf("%016x%016x", uint64(i%1_000_000)*0x9E3779B97F4A7C15, i%1_000_000)
		made.Version = "sha256:" + fmt.Sprintf("%064x", i%2)
		made.Score = float64(i%9973) / 9973
		made.Answered = made.Assigned
		records = append(records, event.Record{Decision: made})
		logBytes += len(event.AppendRecord(nil, records[len(records)-1]))
		if at.Unix() != second {
			second = at.Unix()
			for k := range 128 {
				t := tally(at, 1, 1000+float64(i%997))
				t.Bucket, t.Variant, t.Version = uint8(k/2), made.Assigned, made.Version
				records = append(records, event.Record{Tally: t})
			}
		}
		if len(records) >= 1<<17 {
			flush()
		}
	}
	flush()
	return logBytes
}
