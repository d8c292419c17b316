package disk

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/eventtest"
)

const benchWriters = 64

// share has so many goroutines do b.N things together.
func share(b *testing.B, writers int, do func() error) {
	b.Helper()
	next := make(chan struct{}, b.N)
	for range b.N {
		next <- struct{}{}
	}
	close(next)
	var all sync.WaitGroup
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			for range next {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkAppend is one decision per Append, by one writer and by 64, until it is durable.
func BenchmarkAppend(b *testing.B) {
	for name, writers := range map[string]int{"1 writer": 1, "64 writers": benchWriters} {
		b.Run(name, func(b *testing.B) {
			l := open(b, Options{Dir: b.TempDir()})
			share(b, writers, func() error {
				_, err := l.Append(b.Context(), eventtest.Decision(7))
				return err
			})
			b.ReportMetric(float64(l.End())/float64(b.N), "bytes/record")
		})
	}
}

// BenchmarkBareGroupCommit is what Append is held against: as many bytes, given to one goroutine that collects what is there, writes and
// syncs it.
func BenchmarkBareGroupCommit(b *testing.B) {
	size := len(event.AppendRecord(nil, eventtest.Decision(7))) + 8
	for name, writers := range map[string]int{"1 writer": 1, "64 writers": benchWriters} {
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
			if err != nil {
				b.Fatal(err)
			}
			type request struct {
				b    []byte
				done chan error
			}
			requests := make(chan request, benchWriters)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				var batch []byte
				var waiting []chan error
				for r := range requests {
					batch, waiting = append(batch[:0], r.b...), append(waiting[:0], r.done)
				collect:
					for {
						select {
						case r, ok := <-requests:
							if !ok {
								break collect
							}
							batch, waiting = append(batch, r.b...), append(waiting, r.done)
						default:
							break collect
						}
					}
					_, err := f.Write(batch)
					err = errors.Join(err, f.Sync())
					for _, w := range waiting {
						w <- err
					}
				}
			}()
			answers := sync.Pool{New: func() any { return make(chan error, 1) }}
			share(b, writers, func() error {
				done := answers.Get().(chan error)
				defer answers.Put(done)
				record := make([]byte, size)
				_ = crc32.Checksum(record, castagnoli)
				requests <- request{record, done}
				return <-done
			})
			close(requests)
			<-ended
			f.Close()
		})
	}
}

// written is a log of n decisions.
func written(b *testing.B, o Options, n int) *Log {
	b.Helper()
	l := open(b, o)
	records := make([]event.Record, 1000)
	for i := range records {
		records[i] = eventtest.Decision(i)
	}
	for range n / len(records) {
		if _, err := l.Append(b.Context(), records...); err != nil {
			b.Fatal(err)
		}
	}
	return l
}

// BenchmarkRead reads a log of 200,000 decisions from its beginning; an operation is one record.
func BenchmarkRead(b *testing.B) {
	l := written(b, Options{Dir: b.TempDir()}, 200_000)
	b.ReportAllocs()
	b.ResetTimer()
	for n, from := 0, event.Offset(0); n < b.N; {
		next, err := l.Read(b.Context(), from, min(1000, b.N-n), func(event.Offset, event.Record) error {
			n++
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if from = next; next == l.End() {
			from = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkReadOne is a look-up of one record by its offset.
func BenchmarkReadOne(b *testing.B) {
	l := written(b, Options{Dir: b.TempDir()}, 100_000)
	all, _, err := eventtest.ReadAll(b.Context(), l, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := range b.N {
		if _, err := l.Read(b.Context(), all[i*7919%len(all)].At, 1, func(event.Offset, event.Record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenAfterCrash reads a last segment of the usual size.
func BenchmarkOpenAfterCrash(b *testing.B) {
	dir := b.TempDir()
	l := written(b, Options{Dir: dir}, 500_000)
	b.SetBytes(int64(l.End()))
	b.ResetTimer()
	for range b.N {
		if again, err := Open(Options{Dir: dir, ReadOnly: true}); err != nil || again.End() != l.End() {
			b.Fatal(err)
		}
	}
}
