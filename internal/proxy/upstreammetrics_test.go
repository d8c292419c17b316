package proxy

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestWhatUpstreamsDoIsTold(t *testing.T) {
	g := newGroup(t, 2, func(o *Options) { o.Random = func() uint64 { return ^uint64(0) } })
	g.order[1].behaves(failing(Down, false))
	for range 4 {
		_, _ = g.ask()
	}
	c := new(Collector)
	c.Set("movies", "stable", g.Upstream)
	c.Set("movies", "canary", newGroup(t, 1, nil).Upstream)
	c.Set("movies", "canary", nil)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	want := `
		# HELP serin_upstream_instance_healthy 1 if an instance gets requests, 0 if it failed or is ejected.
		# TYPE serin_upstream_instance_healthy gauge
		serin_upstream_instance_healthy{instance="http://10.0.0.1:80",service="movies",variant="stable"} 1
		serin_upstream_instance_healthy{instance="http://10.0.0.2:80",service="movies",variant="stable"} 0
		# HELP serin_upstream_retries_total Requests sent to another instance: because one failed them (retry), or could not be reached (failover).
		# TYPE serin_upstream_retries_total counter
		serin_upstream_retries_total{kind="failover",service="movies",variant="stable"} 1
		serin_upstream_retries_total{kind="retry",service="movies",variant="stable"} 0
	`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "serin_upstream_instance_healthy", "serin_upstream_retries_total"); err != nil {
		t.Error(err)
	}
	got, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, family := range got {
		series += len(family.Metric)
		for _, m := range family.Metric {
			if family.GetName() != "serin_upstream_requests_total" || m.GetCounter().GetValue() == 0 {
				continue
			}
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if n, want := m.GetCounter().GetValue(), map[string]float64{"2xx http://10.0.0.1:80": 4, "down http://10.0.0.2:80": 1}; n != want[labels["code"]+" "+labels["instance"]] {
				t.Errorf("%v of %v", n, labels)
			}
		}
	}
	if series != 2*(10+3)+7 {
		t.Errorf("%d series", series)
	}
}
