package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/frontdoor"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/traffic"
)

// soonEnough bounds what is awaited in tests. Nothing takes as long, unless it would take for ever.
const soonEnough = 30 * time.Second

// passing is a server that passes requests on, and what stands around it.
type passing struct {
	*Gateway
	service  *Service
	server   *front
	log      *memory
	recorder *Recorder
	registry *prometheus.Registry
}

// upstreamOf returns an upstream of the instances, closed at the end of the test. It retries nothing by itself.
func upstreamOf(t testing.TB, urls ...string) *proxy.Upstream {
	t.Helper()
	o := proxy.Defaults(urls...)
	o.MaxFails, o.Outlier, o.Retry.Attempts = 0, nil, 1
	u, err := proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// variantOf is a variant that is passed on to.
func variantOf(name string, u Upstream) VariantOptions {
	return VariantOptions{Name: name, Upstream: u, Passed: true}
}

// upstreamLive is what an upstream's variant has for a version.
func upstreamLive(name string) *Live {
	return &Live{Name: "upstream", Runtime: RuntimeUpstream, Digest: "at " + name}
}

// sharing shares traffic by weights.
func sharing(t testing.TB, sticky *traffic.Sticky, weights traffic.Weights, variants []VariantOptions) *traffic.Policy {
	t.Helper()
	secret := [32]byte{1, 2, 3}
	keys, err := traffic.NewKeys(secret[:], secret[:])
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range variants {
		names = append(names, v.Name)
	}
	p, err := traffic.Compile(traffic.Spec{Weights: weights, Sticky: sticky}, traffic.Options{Service: "movies", Variants: names, Epoch: 1, Version: 1, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newPassing serves a service named movies at every path.
func newPassing(t testing.TB, o ServiceOptions) *passing {
	t.Helper()
	p := &passing{log: &memory{}, registry: prometheus.NewRegistry()}
	keys, err := event.NewKeys([32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	p.recorder = NewRecorder(RecorderOptions{Log: p.log, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	p.Gateway = New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Keys: keys, Recorder: p.recorder, Metrics: p.registry, WriteTimeout: soonEnough})
	o.Name = "movies"
	if o.Prefixes == nil {
		o.Prefixes = []Prefix{{Path: "/"}}
	}
	if o.Timeout == 0 {
		o.Timeout = soonEnough
	}
	p.service = NewService(o)
	for _, v := range p.service.Variants() {
		v.Swap(upstreamLive(v.Name()))
	}
	p.SetServices([]*Service{p.service})
	p.serve(t)
	return p
}

// front serves over HTTP/1.1 and over h2 without TLS, as the product does.
type front struct {
	URL      string
	Listener net.Listener
	server   *frontdoor.Server
	done     chan error
}

// serve begins to serve.
func (p *passing) serve(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: p, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), ReadHeaderTimeout: soonEnough, MaxHeaderBytes: http.DefaultMaxHeaderBytes}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	p.server = &front{URL: "http://" + l.Addr().String(), Listener: l, server: frontdoor.NewServer(s), done: make(chan error, 1)}
	go func() { p.server.done <- p.server.server.Serve(l) }()
	t.Cleanup(p.server.Close)
}

// Close waits for handlers for a while, and then for nobody. It may be called again.
func (f *front) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if f.server.Shutdown(ctx) != nil {
		_ = f.server.Close()
	}
	if f.done != nil {
		<-f.done
		f.done = nil
	}
}

// reply is an answer that was read whole, or why it could not be.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

// ask asks over a connection of its own.
func (p *passing) ask(t testing.TB, method, path, body string, header ...string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soonEnough)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return do(r)
}

func do(r *http.Request) reply {
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	w, err := transport.RoundTrip(r)
	if err != nil {
		return reply{err: err}
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, 8<<20))
	if err == nil {
		_, err = io.Copy(io.Discard, w.Body)
	}
	return reply{w.StatusCode, w.Header, string(text), err}
}

// raw sends bytes as they are, and returns the answer to them, read until the end.
func (p *passing) raw(t testing.TB, text string) string {
	t.Helper()
	c := p.dial(t)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v", answer, err)
	}
	return string(answer)
}

func (p *passing) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(soonEnough))
	return c
}

// written returns what was counted, by variant, and the decisions; where n is given, once so many requests have been counted, as a handler of
// h2 may outlive its connection.
func (p *passing) written(t testing.TB, wait ...uint64) (map[string]*event.Tally, []event.Decision) {
	t.Helper()
	n := uint64(0)
	for _, w := range wait {
		n += w
	}
	for end := time.Now().Add(soonEnough); p.recorder.tallies.requests() < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d requests are counted", p.recorder.tallies.requests(), n)
		}
	}
	p.server.Close()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := p.recorder.Run(ended); err != nil {
		t.Fatal(err)
	}
	return p.log.tallied(), p.log.decisions()
}

// counted is a metric's value.
func (p *passing) counted(name string, labels ...string) float64 {
	switch name {
	case "fallbacks":
		return testutil.ToFloat64(p.metrics.fallbacks.WithLabelValues(labels...))
	default:
		return testutil.ToFloat64(p.metrics.failovers.WithLabelValues(labels...))
	}
}

// settled waits until as few goroutines and descriptors are there as before, some of the runtime's own left aside.
func settled(t testing.TB, goroutines, descriptors int) {
	t.Helper()
	const own = 5
	for end := time.Now().Add(soonEnough); ; {
		g, d := runtime.NumGoroutine(), descriptorCount(t)
		if g <= goroutines+own && d <= descriptors+own {
			return
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d descriptors are left of %d and %d:\n%s", g, d, goroutines, descriptors, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func descriptorCount(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not Linux
	}
	return len(list)
}

// echo answers what it was asked, as text.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Asked", r.Method+" "+r.RequestURI+" "+r.Host)
	_ = r.Header.Write(w)
	_, _ = io.WriteString(w, "\r\n"+string(body))
})

// nowhere is an upstream that cannot be reached.
type nowhere struct{}

func (nowhere) Ask(context.Context, *proxy.Request, *proxy.Answer) error {
	return &proxy.Failure{Why: proxy.Down, Err: errors.New("10.1.2.3: no route")}
}

func (nowhere) Available() bool { return true }
