package app

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/proxy"
)

// upstreamMetrics shows Prometheus how upstreams and their instances are. Counts begin anew where a reload makes an upstream anew.
type upstreamMetrics struct {
	upstreams                                   *upstreams
	up, inFlight, connections                   *prometheus.Desc
	answers, lost, ejections                    *prometheus.Desc
	refused, nobody, retries, failovers, denied *prometheus.Desc
	waiting                                     *prometheus.Desc
}

func newUpstreamMetrics(u *upstreams) *upstreamMetrics {
	ofUpstream := []string{"service", "variant", "use"}
	ofInstance := with(ofUpstream, "instance")
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("serin_upstream_"+name, help, labels, nil)
	}
	return &upstreamMetrics{
		upstreams:   u,
		up:          desc("up", "1 if nothing speaks against the instance, 0 if it is failing or ejected.", ofInstance...),
		inFlight:    desc("in_flight", "Requests that the instance is answering.", ofInstance...),
		connections: desc("connections", "Open connections to the instance.", with(ofInstance, "state")...),
		answers:     desc("answers_total", "Answers of the instance, by the first digit of their status.", with(ofInstance, "code")...),
		lost:        desc("lost_total", "Requests to the instance that got no answer, by the reason.", with(ofInstance, "why")...),
		ejections:   desc("ejections_total", "How often the instance was ejected as an outlier.", ofInstance...),
		refused:     desc("refused_total", "Requests that the breaker refused, since as many as may be were with the upstream.", ofUpstream...),
		nobody:      desc("nobody_total", "Requests that were not sent, since no instance was well.", ofUpstream...),
		retries:     desc("retries_total", "Requests sent once more, to another instance.", ofUpstream...),
		failovers:   desc("unreached_total", "Requests sent to another instance, since the one before never got them.", ofUpstream...),
		denied:      desc("retries_denied_total", "Retries that the budget did not allow.", ofUpstream...),
		waiting:     desc("waiting", "Requests that wait for a connection.", ofUpstream...),
	}
}

// Describe implements prometheus.Collector.
func (m *upstreamMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.up, m.inFlight, m.connections, m.answers, m.lost, m.ejections, m.refused, m.nobody, m.retries, m.failovers, m.denied, m.waiting,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *upstreamMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for _, u := range m.upstreams.all() {
		use := "answer"
		if u.shadow {
			use = "shadow"
		}
		of := []string{u.service, u.variant, use}
		stats := u.hop.Stats()
		gauge(m.waiting, stats.Waiting, of...)
		for _, c := range []struct {
			desc *prometheus.Desc
			n    int64
		}{{m.refused, stats.Refused}, {m.nobody, stats.Nobody}, {m.retries, stats.Retries}, {m.failovers, stats.Failovers}, {m.denied, stats.Denied}} {
			count(c.desc, c.n, of...)
		}
		for _, in := range u.hop.Instances() {
			labels := with(of, in.Address)
			up := 0
			if isWell(&in) {
				up = 1
			}
			gauge(m.up, up, labels...)
			gauge(m.inFlight, in.InFlight, labels...)
			gauge(m.connections, in.Idle, with(labels, "idle")...)
			gauge(m.connections, in.Open-in.Idle, with(labels, "used")...)
			count(m.ejections, in.Ejections, labels...)
			for digit := 1; digit < len(in.Codes); digit++ {
				if n := in.Codes[digit]; n > 0 || digit == 2 { // most have none, and a series costs more than what it would say
					count(m.answers, n, with(labels, strconv.Itoa(digit)+"xx")...)
				}
			}
			for why, n := range in.Lost {
				if n > 0 {
					count(m.lost, n, with(labels, proxy.Why(why).String())...)
				}
			}
		}
	}
}

// with returns labels and one more, in a list of its own.
func with(labels []string, more string) []string { return append(slices.Clone(labels), more) }
