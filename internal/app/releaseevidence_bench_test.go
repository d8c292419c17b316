package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/release"
)

// The looks of a tick of 500 releases, each with two arms, 64 buckets, three steps so far and five metrics, one of them a quantile: where nothing
// changed, and where each has new tallies of 2 or of all buckets. The time to apply those, which the looks do not wait for, is told beside.
func BenchmarkLooks(b *testing.B) {
	const services = 500
	m := newTelemetryOf(b)
	all := make([]*evidenceOf, services)
	second := func(n int, policy uint64, buckets int) {
		var records []event.Record
		for i := range all {
			for bucket := range buckets {
				for v, variant := range []string{"stable", "canary"} {
					t := seconds(n, policy, variant, uint8((bucket+i)%release.Buckets), 5-3*v, 0)
					t.Service = all[i].Service
					for k := range t.Requests {
						t.Latency.Add(float64(1000 + (n*7919+bucket*31+int(k)*977)%40_000))
					}
					records = append(records, event.Record{Tally: t})
				}
			}
		}
		for len(records) > 0 {
			n := min(8192, len(records))
			m.log(b, records[:n]...)
			records = records[n:]
		}
	}
	for i := range all {
		all[i] = oneRelease(
			release.Metric{Name: "errors", Measure: release.Errors, Versus: true}, release.Metric{Name: "mean", Measure: release.Latency, Versus: true},
			release.Metric{Name: "p99", Measure: release.Latency, Quantile: 0.99, Versus: true}, release.Metric{Name: "fallbacks", Measure: release.Fallbacks, Versus: true},
			release.Metric{Name: "accuracy", Measure: release.Accuracy, Versus: true, Maturity: time.Hour},
		)
		all[i].Service, all[i].Shares = fmt.Sprintf("service%d", i), map[uint64]float64{1: 0.05, 2: 0.2, 3: 0.5}
	}
	e := newEvidence(m.sink, upToDate)
	look := func(n int) {
		for _, of := range all {
			lookAt(b, e, of, noon.Add(time.Duration(n)*time.Second))
		}
	}
	began := time.Now()
	for n := range 6 {
		second(n, uint64(1+n/2), release.Buckets)
	}
	b.Logf("%d tallies applied in %v", 6*services*2*release.Buckets, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	look(10)
	b.Logf("the first looks took %v", time.Since(began).Round(time.Millisecond))
	n := 10
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			look(n)
		}
	})
	for _, buckets := range []int{2, release.Buckets} {
		b.Run(fmt.Sprintf("changed/buckets=%d", buckets), func(b *testing.B) {
			var applying time.Duration
			for range b.N {
				n++
				b.StopTimer()
				began := time.Now()
				second(n, 3, buckets)
				applying += time.Since(began)
				b.StartTimer()
				look(n)
			}
			b.ReportMetric(float64(applying.Milliseconds())/float64(b.N), "applying-ms/op")
		})
	}
}
