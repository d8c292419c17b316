package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
)

// limitGauges tell how many clients the limits of the services know. They are counted when somebody asks: of a million clients that takes
// some milliseconds.
type limitGauges struct {
	gateway                   *Gateway
	clients, above, forgotten *prometheus.Desc
}

func newLimitGauges(g *Gateway) *limitGauges {
	labels := []string{"service", "limit"}
	return &limitGauges{
		gateway: g,
		clients: prometheus.NewDesc("serin_rate_limit_clients", "Clients of which the limit knows that they asked in its window.", labels, nil),
		above: prometheus.NewDesc("serin_rate_limit_clients_above",
			"Clients with more requests let through in the limit's window than its alertAbove says.", labels, nil),
		forgotten: prometheus.NewDesc("serin_rate_limit_forgotten_total",
			"Clients that the limit forgot before their window was over, for want of room: those that had asked least.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *limitGauges) Describe(to chan<- *prometheus.Desc) {
	to <- m.clients
	to <- m.above
	to <- m.forgotten
}

// Collect implements prometheus.Collector.
func (m *limitGauges) Collect(to chan<- prometheus.Metric) {
	at := m.gateway.since(m.gateway.options.Now())
	for _, s := range m.gateway.Services() {
		for _, l := range s.options.Limits {
			c := l.limiter.Count(at)
			to <- prometheus.MustNewConstMetric(m.clients, prometheus.GaugeValue, float64(c.Keys), s.Name(), l.options.Name)
			to <- prometheus.MustNewConstMetric(m.forgotten, prometheus.CounterValue, float64(c.Forgotten), s.Name(), l.options.Name)
			if l.options.Above > 0 {
				to <- prometheus.MustNewConstMetric(m.above, prometheus.GaugeValue, float64(c.Above), s.Name(), l.options.Name)
			}
		}
	}
}
