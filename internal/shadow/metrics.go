package shadow

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
)

// metrics are those of shadows. Every label value comes from the configuration or a fixed list.
type metrics struct {
	results    *prometheus.CounterVec
	drops      *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	inFlight   *prometheus.GaugeVec
	undetailed *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_shadow_results_total",
			Help: "Copies of requests that were sent to a shadow, by what came of them. All but agreed and disagreed gave no two answers to compare.",
		}, []string{"service", "variant", "result"}),
		drops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_shadow_dropped_total", Help: "Requests that were drawn for a shadow and were not copied to it, by the reason.",
		}, []string{"service", "variant", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "serin_shadow_duration_seconds",
			Help:    "How long shadows took for their answers.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "variant"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "serin_shadow_in_flight", Help: "Copies being answered by a shadow now.",
		}, []string{"service", "variant"}),
		undetailed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_shadow_disagreements_dropped_total",
			Help: "Disagreements that were counted and not written down one by one: more than some a second, no room in the queue, or the log could not be written.",
		}, []string{"why"}),
	}
	for _, why := range []string{"rate", "queue", "log"} {
		m.undetailed.WithLabelValues(why)
	}
	if r != nil {
		r.MustRegister(m.results, m.drops, m.seconds, m.inFlight, m.undetailed)
	}
	return m
}

// series are the metrics of one lane.
type series struct {
	agreed, disagreed prometheus.Counter
	unpaired          [event.NumUnpaired]prometheus.Counter
	drops             [event.NumDrops]prometheus.Counter
	seconds           prometheus.Observer
	inFlight          prometheus.Gauge
}

// of returns the metrics of a lane.
func (m *metrics) of(l *Lane) *series {
	if s := l.series.Load(); s != nil {
		return s
	}
	service, variant := l.options.Service, l.options.Variant
	s := &series{
		agreed: m.results.WithLabelValues(service, variant, "agreed"), disagreed: m.results.WithLabelValues(service, variant, "disagreed"),
		seconds: m.seconds.WithLabelValues(service, variant), inFlight: m.inFlight.WithLabelValues(service, variant),
	}
	for i := range s.unpaired {
		s.unpaired[i] = m.results.WithLabelValues(service, variant, event.Unpaired(i).String())
	}
	for i := range s.drops {
		s.drops[i] = m.drops.WithLabelValues(service, variant, event.Drop(i).String())
	}
	l.series.Store(s)
	return s
}
