package proxy

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector tells what upstreams do, as Prometheus has it. It reads their counts when it is asked: requests pay nothing for it. Label values
// are services, variants, and addresses of instances that are there now. It is safe for use by many at once.
type Collector struct {
	mu sync.Mutex
	of map[role]*Upstream
}

// role is what an upstream is to its service.
type role struct{ service, variant string }

// Set has u be told as what answers for a variant, in place of what was before; nil: nothing is.
func (c *Collector) Set(service, variant string, u *Upstream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[role]*Upstream{}
	}
	if u == nil {
		delete(c.of, role{service, variant})
		return
	}
	c.of[role{service, variant}] = u
}

// The series, by what their labels are.
var (
	ofInstances = []string{"service", "variant", "instance"}
	ofUpstreams = []string{"service", "variant"}

	requestsDesc = prometheus.NewDesc("serin_upstream_requests_total",
		"Requests that instances got and that are over, retries included: by the class of the status, or by why there was no answer.",
		append(ofInstances[:3:3], "code"), nil)
	ejectionsDesc = prometheus.NewDesc("serin_upstream_ejections_total",
		"How often an instance was ejected by outlier detection.", ofInstances, nil)
	healthyDesc = prometheus.NewDesc("serin_upstream_instance_healthy",
		"1 if an instance gets requests, 0 if it failed or is ejected.", ofInstances, nil)
	connectionsDesc = prometheus.NewDesc("serin_upstream_connections",
		"Connections to an instance.", ofInstances, nil)
	retriesDesc = prometheus.NewDesc("serin_upstream_retries_total",
		"Requests sent to another instance: because one failed them (retry), or could not be reached (failover).",
		append(ofUpstreams[:2:2], "kind"), nil)
	deniedDesc = prometheus.NewDesc("serin_upstream_retries_denied_total",
		"Retries that the budget did not allow.", ofUpstreams, nil)
	refusedDesc = prometheus.NewDesc("serin_upstream_refused_total",
		"Requests refused at once: as many as the breaker lets in were with the upstream (full), or no instance was well (down).",
		append(ofUpstreams[:2:2], "why"), nil)
	inFlightDesc = prometheus.NewDesc("serin_upstream_requests_in_flight",
		"Requests that are with the upstream.", ofUpstreams, nil)
	waitingDesc = prometheus.NewDesc("serin_upstream_requests_waiting",
		"Requests that wait for a connection.", ofUpstreams, nil)
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		requestsDesc, ejectionsDesc, healthyDesc, connectionsDesc, retriesDesc, deniedDesc, refusedDesc, inFlightDesc, waitingDesc,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, u := range c.of {
		counter := func(d *prometheus.Desc, n int64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{r.service, r.variant}, labels...)...)
		}
		gauge := func(d *prometheus.Desc, n int, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), append([]string{r.service, r.variant}, labels...)...)
		}
		for _, in := range u.Instances() {
			for digit, class := range [...]string{1: "1xx", "2xx", "3xx", "4xx", "5xx"} {
				if class != "" {
					counter(requestsDesc, in.Codes[digit], in.Address, class)
				}
			}
			for why, n := range in.Lost {
				counter(requestsDesc, n, in.Address, Why(why).String())
			}
			counter(ejectionsDesc, in.Ejections, in.Address)
			healthy := 0
			if in.State == Healthy || in.State == Unchecked {
				healthy = 1
			}
			gauge(healthyDesc, healthy, in.Address)
			gauge(connectionsDesc, in.Open, in.Address)
		}
		s := u.Stats()
		counter(retriesDesc, s.Retries, "retry")
		counter(retriesDesc, s.Failovers, "failover")
		counter(deniedDesc, s.Denied)
		counter(refusedDesc, s.Refused, "full")
		counter(refusedDesc, s.Nobody, "down")
		gauge(inFlightDesc, s.InFlight)
		gauge(waitingDesc, s.Waiting)
	}
}
