package disk

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// bare is a file whose writers share a write and a flush, and nothing else: what the disk allows.
type bare struct {
	f       *os.File
	mu      sync.Mutex
	wake    chan struct{}
	pending []byte
	done    chan struct{}
}

func newBare(b *testing.B) *bare {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	w := &bare{f: f, wake: make(chan struct{}, 1), done: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var buf []byte
		for range w.wake {
			w.mu.Lock()
			buf, w.pending = w.pending, buf[:0]
			done := w.done
			w.done = make(chan struct{})
			w.mu.Unlock()
			if _, err := f.Write(buf); err != nil {
				b.Error(err)
			}
			if err := f.Sync(); err != nil {
				b.Error(err)
			}
			close(done)
		}
	}()
	b.Cleanup(func() { close(w.wake); <-ended; f.Close() })
	return w
}

func (w *bare) append(record []byte) {
	w.mu.Lock()
	w.pending = append(w.pending, record...)
	done := w.done
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	<-done
}

func typicalOutcome() event.Record {
	id := event.ID{1, 0x9a, 0xa5, 0x9c, 0xc9, 0xbb, 0x7a, 0xbc, 0x8d}
	at := id.Time()
	return event.Record{Outcome: &event.Outcome{
		ID: event.OutcomeID(id, 0, "click"), Decision: id, Kind: "click", Number: 1, ReceivedAt: at.Add(time.Minute), Verified: true,
		DecidedAt: at, Service: "sentiment", Epoch: 3, Variant: "stable", PolicyVersion: 17, Propensity: 0.8, Unit: "5f1c8a90b3d24e6789abcdef01234567",
	}}
}

const benchWriters = 64

// BenchmarkAppend tells how many records of 64 writers become durable, beside a bare file.
func BenchmarkAppend(b *testing.B) {
	r := typicalOutcome()
	text := event.AppendRecord(nil, r)
	parallel := func(b *testing.B, one func()) {
		b.SetParallelism((benchWriters + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one()
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	}
	b.Run("bare", func(b *testing.B) {
		w := newBare(b)
		parallel(b, func() { w.append(text) })
	})
	b.Run("log", func(b *testing.B) {
		flushes := 0
		l := open(b, b.TempDir(), Options{flush: func(f *os.File) error { flushes++; return f.Sync() }})
		parallel(b, func() {
			if _, err := l.Append(context.Background(), r); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(float64(b.N)/float64(flushes), "records/flush")
		b.ReportMetric(float64(l.Bytes())/float64(b.N), "disk-bytes/record")
	})
}

// BenchmarkAppendMany is what a queue of decisions costs, 500 at a time and without the flush.
func BenchmarkAppendMany(b *testing.B) {
	l := open(b, b.TempDir(), Options{flush: func(*os.File) error { return nil }})
	id := event.ID{1, 0x9a, 0xa5, 0x9c, 0xc9, 0xbb, 0x7a, 0xbc, 0x8d}
	d := &event.Decision{
		ID: id, At: id.Time().Add(123456), Service: "sentiment", Epoch: 3, PolicyVersion: 17, Generation: 1, Unit: "5f1c8a90b3d24e6789abcdef01234567",
		Assigned: "stable", Answered: "stable", Version: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		Propensity: 0.8, Status: 200, Micros: 873, Label: "positive", Score: math.NaN(),
	}
	records := make([]event.Record, 500)
	for i := range records {
		records[i].Decision = d
	}
	n := 0
	for b.Loop() {
		if _, err := l.Append(context.Background(), records...); err != nil {
			b.Fatal(err)
		}
		n += len(records)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
	b.ReportMetric(float64(l.Bytes())/float64(n), "disk-bytes/record")
}

// BenchmarkRead reads a log of 100,000 outcomes.
func BenchmarkRead(b *testing.B) {
	l := open(b, b.TempDir(), Options{flush: func(*os.File) error { return nil }})
	records := make([]event.Record, 100_000)
	for i := range records {
		records[i] = typicalOutcome()
	}
	if _, err := l.Append(context.Background(), records...); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if _, err := l.Read(context.Background(), 0, math.MaxInt, func(event.Offset, event.Record) error { n++; return nil }); err != nil || n != len(records) {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if r, err := l.Verify(context.Background()); err != nil || len(r.Damage) > 0 {
				b.Fatal(r, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
	})
}
