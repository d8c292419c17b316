package gateway

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the data plane's. Every label value comes from the configuration, the registry or a fixed list, never from a request.
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	unrouted  *prometheus.CounterVec
	sheds     *prometheus.CounterVec
	fallbacks *prometheus.CounterVec
	failovers *prometheus.CounterVec
	limits    *prometheus.CounterVec
	seldon    *seldonMetrics // nil: not wanted
	kserve    *kserveMetrics // nil: not wanted
}

func newMetrics(o *Options) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_requests_total",
			Help: "Predictions asked for and answered, failures included, by HTTP status; over gRPC by the status that is its like.",
		}, []string{"service", "variant", "dialect", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "serin_request_duration_seconds",
			Help:    "Time from a prediction request's headers to the end of its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "variant", "dialect", "route"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "serin_requests_in_flight",
			Help: "Predictions being answered now.",
		}, []string{"service", "variant"}),
		unrouted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_unrouted_requests_total",
			Help: "Prediction requests that named no service of ours.",
		}, []string{"dialect", "code"}),
		sheds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_shed_total",
			Help: "Predictions refused because the service was answering as many as it takes.",
		}, []string{"service"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_rate_limited_total",
			Help: "Requests refused because their client had asked as often as a limit allows.",
		}, []string{"service", "limit"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_fallbacks_total",
			Help: "Requests that the fallback answered in place of the variant they were assigned to: after a timeout, an error, because nothing was available, or under overload.",
		}, []string{"service", "variant", "why"}),
		failovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_failovers_total",
			Help: "Times that another variant was asked in place of one that had failed.",
		}, []string{"service", "variant", "why"}),
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(m.requests, m.seconds, m.inFlight, m.unrouted, m.sheds, m.fallbacks, m.failovers, m.limits)
	}
	for _, name := range o.MetricAliases {
		switch name {
		case AliasSeldon:
			m.seldon = newSeldonMetrics(o.Metrics)
		case AliasKServe:
			m.kserve = newKServeMetrics(o.Metrics)
		}
	}
	return m
}

// series are the metrics of one variant at one spot, found once and then kept with the variant.
type series struct {
	requests [len(statuses)]atomic.Pointer[prometheus.Counter]
	seconds  prometheus.Observer
	inFlight prometheus.Gauge
	seldon   atomic.Pointer[seldonSeries]
	kserve   *kserveSeries
}

// statuses are those of answers, each at its place in what is kept by status.
var statuses = [...]int{
	200, 404, 304, 400, 401, 403, 405, 408, 409, 413, 415, 422, 429, statusGone, 500, 501, 502, 503, 504, 101, 201, 202, 204, 206, 301, 302, 303, 307, 308,
}

// codeText is the status as metrics tell it.
func codeText(status int) string { return strconv.Itoa(status) }

// placeOf returns the place of a status in statuses, -1 if it has none.
func placeOf(status int) int {
	for i, c := range statuses {
		if c == status {
			return i
		}
	}
	return -1
}

// of returns the metrics of a variant at a spot.
func (m *metrics) of(v *Variant, at *spot) *series {
	if s, ok := v.series.Load(at); ok {
		return s.(*series)
	}
	service := v.service.Name()
	s := &series{
		seconds:  m.seconds.WithLabelValues(service, v.Name(), at.label, at.route),
		inFlight: m.inFlight.WithLabelValues(service, v.Name()),
	}
	if m.kserve != nil {
		s.kserve = m.kserve.of(service)
	}
	kept, _ := v.series.LoadOrStore(at, s)
	return kept.(*series)
}

// done counts one prediction request, under the variant it was assigned to; v is nil when no service was found for it.
func (m *metrics) done(v *Variant, at *spot, b *buffers, a answered) {
	if v == nil {
		m.unrouted.WithLabelValues(at.label, codeText(a.status)).Inc()
		return
	}
	s := m.of(v, at)
	m.count(s, v, at, a.status)
	s.seconds.Observe(a.took.Seconds())
	if at.label == passLabel {
		return
	}
	if m.seldon != nil {
		m.seldon.done(s, v, at, b, a)
	}
	if s.kserve != nil {
		s.kserve.done(at, b)
	}
}

func (m *metrics) count(s *series, v *Variant, at *spot, status int) {
	i := placeOf(status)
	if i >= 0 {
		if c := s.requests[i].Load(); c != nil {
			(*c).Inc()
			return
		}
	}
	c := m.requests.WithLabelValues(v.service.Name(), v.Name(), at.label, at.route, codeText(status))
	c.Inc()
	if i >= 0 {
		s.requests[i].Store(&c)
	}
}

// expect makes the counters of what a service refuses, and of what others answer for its variants, be there before there is any: the first one
// is an increase then, which alarms see.
func (m *metrics) expect(s *Service) {
	m.sheds.WithLabelValues(s.Name())
	for _, l := range s.options.Limits {
		m.limits.WithLabelValues(s.Name(), l.options.Name)
	}
	for _, v := range s.variants {
		for f := erred; f <= crowded; f++ {
			if s.options.Fallback != nil {
				m.fallbacks.WithLabelValues(s.Name(), v.Name(), f.String())
			}
			if s.options.Failover && (f == erred || f == unready) {
				m.failovers.WithLabelValues(s.Name(), v.Name(), f.String())
			}
		}
	}
}

func (m *metrics) fellBack(v *Variant, f failure) {
	m.fallbacks.WithLabelValues(v.service.Name(), v.Name(), f.String()).Inc()
}

func (m *metrics) failedOver(v *Variant, f failure) {
	m.failovers.WithLabelValues(v.service.Name(), v.Name(), f.String()).Inc()
}

// limited counts a request that limits refused.
func (m *metrics) limited(s *Service, e *limited) {
	for _, name := range e.names {
		m.limits.WithLabelValues(s.Name(), name).Inc()
	}
}

func (m *metrics) shed(s *Service) { m.sheds.WithLabelValues(s.Name()).Inc() }
