package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the data plane's. Every label value comes from the configuration or from a fixed list, never from a request.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	unrouted *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_requests_total",
			Help: "Predictions asked for and answered, failures included, by HTTP status.",
		}, []string{"service", "variant", "dialect", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "serin_request_duration_seconds",
			Help:    "Time from a prediction request's headers to the end of its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "variant", "dialect"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "serin_requests_in_flight",
			Help: "Predictions being answered now.",
		}, []string{"service", "variant"}),
		unrouted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_unrouted_requests_total",
			Help: "Prediction requests that named no service of ours.",
		}, []string{"dialect", "code"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.inFlight, m.unrouted)
	}
	return m
}

// done counts one prediction request, under the variant it was assigned to; s is nil when no service was found for it.
func (m metrics) done(s *Service, variant, dialect string, status int, took time.Duration) {
	code := strconv.Itoa(status)
	if s == nil {
		m.unrouted.WithLabelValues(dialect, code).Inc()
		return
	}
	m.requests.WithLabelValues(s.Name(), variant, dialect, code).Inc()
	m.seconds.WithLabelValues(s.Name(), variant, dialect).Observe(took.Seconds())
}
