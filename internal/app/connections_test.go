package app

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/config"
)

// dialer writes down each connection that it makes.
func dialer(made map[string]bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err == nil {
			made[conn.LocalAddr().String()] = true
		}
		return conn, err
	}
}

func TestConnectionsOverTheBoundAreClosed(t *testing.T) {
	for what, limits := range map[string]config.ServerLimits{"all": {Connections: 2}, "client": {Connections: 9, ConnectionsPerClient: 2}} {
		t.Run(what, func(t *testing.T) {
			c := newConnections(prometheus.NewPedanticRegistry())
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			l := c.bound(inner, "http", limits)
			accepted := make(chan net.Conn)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					accepted <- conn
				}
			}()
			dial := func() net.Conn {
				conn, err := net.Dial("tcp", l.Addr().String())
				must(t, err)
				return conn
			}
			count := func(open, refused float64) {
				t.Helper()
				got := []float64{testutil.ToFloat64(c.open), 0, 0}
				for i, why := range []string{what, map[string]string{"all": "client", "client": "all"}[what]} {
					got[i+1] = testutil.ToFloat64(c.refused.WithLabelValues("http", why))
				}
				if diff := cmp.Diff([]float64{open, refused, 0}, got); diff != "" {
					t.Errorf("open, refused, refused for another reason (-want +got):\n%s", diff)
				}
			}
			var clients, servers []net.Conn
			for range 2 {
				clients = append(clients, dial())
				servers = append(servers, <-accepted)
			}
			if _, ok := servers[0].(interface{ CloseWrite() error }); !ok {
				t.Error("net/http cannot close one direction")
			}
			third := dial()
			if _, err := third.Read(make([]byte, 1)); err == nil {
				t.Error("a third one is served")
			}
			third.Close()
			count(2, 1)
			must(t, servers[0].Close())
			_ = servers[0].Close() // twice is once
			clients[0].Close()
			fourth := dial()
			servers = append(servers, <-accepted)
			count(2, 1)
			for _, conn := range append(servers[1:], clients[1], fourth) {
				conn.Close()
			}
			count(0, 1)
			if n := len(l.(*boundListener).clients); n != 0 {
				t.Errorf("%d clients are remembered", n)
			}
			must(t, l.Close())
			<-ended
		})
	}
}

func TestMetricsHaveAnAddressOfTheirOwn(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) { c.Server.Metrics, c.Server.Control = "127.0.0.1:0", "0.0.0.0:0" })
	code, body := r.send(t, http.MethodGet, "http://"+r.Metrics+"/metrics", "", "Host", "anything.example")
	for _, want := range []string{"go_goroutines", `serin_connections_open{listener="metrics"} 1`, `serin_connections_open{listener="http"} 0`} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, %s is missing", code, want)
		}
	}
	for _, asked := range []string{"GET /", "GET /api/v1/models", "POST /metrics", "POST /api/v1/reload", "GET /metrics/", "GET /debug/pprof/", "GET /healthz"} {
		method, path, _ := strings.Cut(asked, " ")
		if code, _ := r.send(t, method, "http://"+r.Metrics+path, ""); code != http.StatusNotFound && code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", asked, code)
		}
	}
	if other := start(t, t.TempDir(), nil); other.Metrics != "" {
		t.Errorf("unasked for, there is %s", other.Metrics)
	}
}
