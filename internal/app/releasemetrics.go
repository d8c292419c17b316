package app

import "github.com/prometheus/client_golang/prometheus"

// tickBuckets are bounds of a tick's time, in seconds. A tick is to be over long before the next one.
var tickBuckets = []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}

// releaseMetrics show Prometheus how releases go.
type releaseMetrics struct {
	ticks prometheus.Histogram
	share *prometheus.Desc
	held  *prometheus.Desc
	of    *releases
}

func newReleaseMetrics(of *releases) *releaseMetrics {
	return &releaseMetrics{
		ticks: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "serin_release_tick_seconds", Help: "How long it took to look at every release once.", Buckets: tickBuckets,
		}),
		share: prometheus.NewDesc("serin_release_candidate_percent", "The candidate's share of the traffic, by the release that is under way.", []string{"service", "release"}, nil),
		held:  prometheus.NewDesc("serin_release_held", "1 where a release stands still until somebody decides, else 0.", []string{"service", "release"}, nil),
		of:    of,
	}
}

// Describe implements prometheus.Collector.
func (m *releaseMetrics) Describe(to chan<- *prometheus.Desc) {
	m.ticks.Describe(to)
	to <- m.share
	to <- m.held
}

// Collect implements prometheus.Collector.
func (m *releaseMetrics) Collect(to chan<- prometheus.Metric) {
	m.ticks.Collect(to)
	for _, one := range m.of.all() {
		d := one.shown.Load()
		if d == nil || d.State.Over() {
			continue
		}
		held := 0.0
		if d.State.Held != "" {
			held = 1
		}
		to <- prometheus.MustNewConstMetric(m.share, prometheus.GaugeValue, d.State.Percent(), d.State.Plan.Service, d.State.ID)
		to <- prometheus.MustNewConstMetric(m.held, prometheus.GaugeValue, held, d.State.Plan.Service, d.State.ID)
	}
}
