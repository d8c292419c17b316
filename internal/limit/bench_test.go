package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func BenchmarkTake(b *testing.B) {
	for _, keys := range []int{1, 1000, 1_000_000} {
		for _, o := range []Options{{Requests: 20}, {Requests: 1000}, {Requests: 20, Burst: 5}} {
			o.Window, o.Keys = time.Minute, 2_000_000
			b.Run(fmt.Sprintf("keys=%d/requests=%d/burst=%d", keys, o.Requests, o.Burst), func(b *testing.B) {
				l, err := New(o)
				if err != nil {
					b.Fatal(err)
				}
				var heap [2]runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&heap[0])
				for k := range keys { // a million are there before it begins
					l.Take(spread(k), 0)
				}
				runtime.GC()
				runtime.ReadMemStats(&heap[1])
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					i++
					l.Take(spread(i%keys), time.Duration(i)*time.Microsecond)
				}
				if keys > 1000 {
					b.ReportMetric(float64(heap[1].HeapAlloc-heap[0].HeapAlloc)/float64(keys), "B/key")
				}
			})
		}
	}
}

// spread makes keys of numbers as a hash would.
func spread(i int) Key { return Key(uint64(i+1) * 0x9e3779b97f4a7c15) }

func BenchmarkTakeOfAll(b *testing.B) {
	l, err := New(Options{Requests: 20, Window: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	var goroutines atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		random := rand.New(rand.NewPCG(goroutines.Add(1), 1))
		for pb.Next() {
			l.Take(Key(random.Uint64()>>44), time.Since(start))
		}
	})
}

// BenchmarkFlood is of keys that are all new, in a limiter that is full.
func BenchmarkFlood(b *testing.B) {
	l, err := New(Options{Requests: 20, Window: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	for k := range 2 * DefaultKeys {
		l.Take(spread(k), 0)
	}
	b.ReportAllocs()
	i := 2 * DefaultKeys
	for b.Loop() {
		i++
		l.Take(spread(i), time.Duration(i))
	}
}

func BenchmarkKey(b *testing.B) {
	l, err := New(Options{Requests: 20, Window: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		if l.Address(four) == l.Address(six) || l.Text("a") == l.Text("b") {
			b.Fatal("one key")
		}
	}
}
