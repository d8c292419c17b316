package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy"
)

// steady is an upstream that gives the same answer, and allocates nothing.
type steady struct{ answer proxy.Answer }

func (s *steady) Ask(_ context.Context, _ *proxy.Request, a *proxy.Answer) error {
	*a = s.answer
	return nil
}

func (*steady) Available() bool { return true }

// newSteady is a gateway whose two variants answer at once, with all that is on for the product's figure: sticky units, tallies, decisions,
// tokens and metrics.
func newSteady(t testing.TB, r *Recorder) *Gateway {
	t.Helper()
	keys, err := event.NewKeys([32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now, Keys: keys, Recorder: r})
	up := &steady{proxy.Answer{
		Status: http.StatusOK, Body: []byte(`{"label":"positive"}`), Length: 20,
		Header: http.Header{"Content-Type": {"application/json"}, "Server": {"upstream"}, "Date": {"Sat, 21 Nov 2026 12:00:00 GMT"}},
	}}
	variants := []VariantOptions{variantOf("stable", up), variantOf("canary", up)}
	s := NewService(ServiceOptions{
		Name: "movies", Variants: variants, Prefixes: []Prefix{{Path: "/recommend/"}}, Failover: true, Fallback: &Fallback{Status: http.StatusOK},
		Policy: sharing(t, byUser, weights(t, "stable", "80", "canary", "20"), variants),
	})
	for _, v := range s.Variants() {
		v.Swap(upstreamLive(v.Name()))
	}
	g.SetServices([]*Service{s})
	return g
}

// steadily asks a request again and again as net/http would show it.
func steadily(g *Gateway, method, body string) *asking {
	a := newAsking(g, "/recommend/17?n=10", body, "X-User", "user-17", "Accept", "*/*", "User-Agent", "bench/1.0", "Content-Type", "application/json")
	a.request.Method, a.request.RequestURI = method, "/recommend/17?n=10"
	return a
}

// BenchmarkPass is a request that is passed on, as far as the handler: no connections, and an upstream that has answered already.
func BenchmarkPass(b *testing.B) {
	r := NewRecorder(RecorderOptions{Log: new(noLog), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			b.Error(err)
		}
	}()
	g := newSteady(b, r)
	for _, c := range []struct{ method, body string }{{http.MethodGet, ""}, {http.MethodPost, `{"data":{"ndarray":[[1,2,3,4,5]]}}`}} {
		b.Run(c.method, func(b *testing.B) {
			a := steadily(g, c.method, c.body)
			b.ReportAllocs()
			for b.Loop() {
				if status := a.ask(); status != http.StatusOK {
					b.Fatal(status)
				}
			}
		})
	}
}
