package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	health "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/frontdoor"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/notify"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/traffic"
)

// Listening are the addresses that a server listens on.
type Listening struct {
	HTTP    string `json:"http"`
	GRPC    string `json:"grpc"`
	Control string `json:"control"`
	Metrics string `json:"metrics,omitempty"` // "" if there is no such address
	Socket  string `json:"socket"`
}

// Watch is told what happens while a server runs. Nil functions are not called.
type Watch struct {
	Listening func(Listening) // all addresses are taken
	Ready     func([]api.Service)
}

// Serve runs a server on the data directory until ctx ends, then drains and stops it; where the cause is ErrTerminated, after a while. The
// error is nil after a clean stop.
func Serve(ctx context.Context, o Options, c *config.Config, watch Watch) (err error) {
	o.Create = true
	d, _, err := hold(ctx, o)
	if err != nil {
		return err
	}
	defer d.Close()
	s := &server{options: o, watch: watch, dir: d, reloading: make(chan struct{}, 1)}
	s.settings.Store(c)
	if err := s.build(ctx); err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, s.telemetry.Close()); err != nil && ctx.Err() != nil {
			o.Log.Error("the server could not end as it should", "error", err) // whoever was asked to stop says no more than that
		}
	}()
	if err := s.listen(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// server is the parts of a running server.
type server struct {
	options   Options
	settings  atomic.Pointer[config.Config] // a reload changes them
	watch     Watch
	dir       *dataDir
	gateway   *gateway.Gateway
	follower  *follower
	upstreams *upstreams
	telemetry *telemetry
	traffic   *trafficState
	releases  *releases
	queries   *queries
	outbox    *notify.Outbox
	control   http.Handler // behind nothing: for the socket
	guard     api.Guard    // before control on TCP
	metrics   http.Handler // shows what is counted
	names     *versions
	parting   *parting
	grpcBody  int64         // bytes of a gRPC message at most
	reloading chan struct{} // holds one while a reload runs

	connections                      connections
	http, grpc, tcp, scraped, socket net.Listener // scraped may be nil
}

// build makes the parts and connects them.
func (s *server) build(ctx context.Context) (err error) {
	c := s.settings.Load()
	metrics := prometheus.NewRegistry()
	s.metrics, s.connections = promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}), newConnections(metrics)
	s.grpcBody = largestBody(c)
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	keys, cookies, err := loadKeys(s.options.DataDir)
	if err != nil {
		return err
	}
	s.names = newVersions(s.dir.registry, s.options.Log, c)
	if s.telemetry, err = openTelemetry(ctx, s.options, metrics, s.names, s.served); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.telemetry.Close())
		}
	}()
	s.upstreams = newUpstreams(s.options.Now, s.options.Log)
	metrics.MustRegister(&s.upstreams.told)
	s.follower, err = newFollower(c, follower{
		registry: s.dir.registry, log: s.options.Log, now: s.options.Now, ready: s.ready,
		make: makers{upstreams: s.upstreams, compile: func(service string, spec traffic.Spec, variants []string) (*traffic.Policy, error) {
			return traffic.Compile(spec, traffic.Options{Service: service, Variants: variants, Epoch: 1, Version: 1, Keys: cookies})
		}},
	})
	if err != nil {
		return err
	}
	s.gateway = gateway.New(gateway.Options{
		Version: s.options.Version, Log: s.options.Log, Metrics: metrics,
		Now: s.options.Now, Keys: keys, Recorder: s.telemetry.recorder, Ingest: s.telemetry.ingest, Shadows: s.telemetry.shadows,
		WriteTimeout: c.Server.Limits.Write, MetricAliases: c.Server.MetricAliases, AccessLog: c.Server.AccessLog,
		Name: c.Server.Name, AllowOrigin: c.Server.AllowOrigin,
		TrustedProxies:    config.Prefixes(c.Server.TrustedProxies),
		RepositoryControl: c.Server.RepositoryControl, Repository: s.follower,
	})
	s.parting = &parting{Handler: s.gateway}
	s.follower.serve(s.gateway)
	s.traffic = newTrafficState(s.dir.state, s.options.Now, s.applyTraffic)
	if err := s.buildReleases(ctx, c, metrics); err != nil {
		return err
	}
	if err := s.traffic.Declare(ctx, declaredBy(c)); err != nil {
		return err
	}
	control := api.Options{
		Version: s.options.Version, Registry: s.dir.registry, Log: s.options.Log, Now: s.options.Now, Traffic: s.traffic,
		Services: s.services, Changed: s.changed, Metrics: s.metrics,
		Reload:   func(ctx context.Context) (api.Reloaded, error) { return s.reload(ctx, "the API") },
		Releases: s.releases, Releaser: releaser{s.releases, s.planRelease},
	}
	askTelemetry(&control, s.options.DataDir)
	s.control = api.New(control)
	if !api.Loopback(c.Server.Control) {
		if s.guard.Token, err = controlToken(s.options.DataDir); err != nil {
			return err
		}
	}
	return nil
}

// listen takes every address before anything runs, so that a taken one is told at once.
func (s *server) listen(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	c := s.settings.Load().Server
	for _, l := range []struct {
		at   *net.Listener
		what string
		addr string
	}{{&s.http, "http", c.HTTP}, {&s.grpc, "grpc", c.GRPC}, {&s.tcp, "control", c.Control}, {&s.scraped, "metrics", c.Metrics}} {
		if l.addr == "" {
			continue
		}
		taken, err := listen(ctx, l.what, l.addr)
		if err != nil {
			return err
		}
		*l.at = s.connections.bound(taken, l.what, c.Limits)
	}
	s.socket, err = listenSocket(s.options.DataDir)
	return err
}

func (s *server) closeListeners() {
	for _, l := range []net.Listener{s.http, s.grpc, s.tcp, s.scraped, s.socket} {
		if l != nil {
			l.Close()
		}
	}
}

// run runs every part until ctx ends or one of them fails, and waits for all.
func (s *server) run(ctx context.Context) (err error) {
	at := Listening{HTTP: s.http.Addr().String(), GRPC: s.grpc.Addr().String(), Control: s.tcp.Addr().String(), Socket: s.socket.Addr().String()}
	told := []any{"http", at.HTTP, "grpc", at.GRPC, "control", at.Control, "pid", os.Getpid()}
	if s.scraped != nil {
		at.Metrics = s.scraped.Addr().String()
		told = append(told, "metrics", at.Metrics)
	}
	s.options.Log.Info("listening", told...)
	if s.watch.Listening != nil {
		s.watch.Listening(at)
	}

	// What is written down is written to the end: the recorder stops when the last answer has been given, the telemetry behind it.
	stopRecorder := s.begin(ctx, s.telemetry.recorder.Run)
	stopTelemetry := s.begin(ctx, s.telemetry.Run)
	stopShadows := s.begin(ctx, s.telemetry.shadows.Run)
	stopUpstreams := s.begin(ctx, s.upstreams.Run)
	defer func() { err = errors.Join(err, stopShadows(), stopUpstreams(), stopRecorder(), stopTelemetry()) }()

	serving, end := context.WithCancel(context.WithoutCancel(ctx)) // which is longer than ctx, by a while
	defer end()
	g, parts := errgroup.WithContext(serving)
	g.Go(func() error {
		defer end()
		s.stopping(ctx, parts)
		return nil
	})
	s.serve(parts, g)
	g.Go(func() error { return s.follower.Run(parts) })
	g.Go(func() error { return s.traffic.Run(parts, s.options.Log) })
	g.Go(func() error { return s.traffic.leases.Run(parts, s.options.Log) })
	g.Go(func() error { return s.releases.Run(parts) })
	g.Go(func() error { return s.queries.Run(parts) })
	g.Go(func() error { return s.outbox.Run(parts) })
	g.Go(func() error { s.reloadOnHangup(parts); return nil })
	g.Go(func() error { s.sweep(parts); return nil })
	return g.Wait()
}

// serve answers on every listener until ctx ends.
func (s *server) serve(ctx context.Context, g *errgroup.Group) {
	limits, log := s.settings.Load().Server.Limits, s.options.Log
	drain := func() time.Duration { return s.settings.Load().Server.Drain }
	serve := func(l net.Listener, server webServer) {
		g.Go(func() error { return serveHTTP(ctx, l, server, drain, log) })
	}
	serve(s.http, dataServer(s.parting, limits, log))
	serve(s.tcp, controlServer(s.guard.Wrap(s.control), limits, log))
	serve(s.socket, controlServer(s.control, limits, log))
	if s.scraped != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.metrics)
		serve(s.scraped, metricsServer(mux, limits, log))
	}
	rpc := s.gateway.NewGRPC(grpcOptions(limits, s.grpcBody)...)
	health.RegisterHealthServer(rpc, grpcHealth{gateway: s.gateway})
	guarded := frontdoor.Listen(s.grpc, limits.ReadHeader, int(limits.HeaderBytes))
	g.Go(func() error { return serveGRPC(ctx, guarded, rpc, s.gateway.Part, drain) })
}

// begin runs a part until the function that it returns is called, which waits for it. The end of ctx does not end it.
func (s *server) begin(ctx context.Context, run func(context.Context) error) (stop func() error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- run(own) }()
	return func() error {
		cancel()
		return <-done
	}
}

// sweep removes what crashed imports left behind, once. What it cannot remove only takes room.
func (s *server) sweep(ctx context.Context) {
	swept, err := s.dir.registry.Sweep(ctx, s.options.Now().Add(-registry.SweepAge))
	switch {
	case err != nil && ctx.Err() == nil:
		s.options.Log.Warn("what crashed imports left could not be swept", "error", err)
	case swept.Blobs+swept.Temporary > 0:
		s.options.Log.Info("swept what crashed imports left", "blobs", swept.Blobs, "bytes", swept.Bytes, "temporary", swept.Temporary)
	}
}

// ready tells that every service has been ready for the first time.
func (s *server) ready() {
	s.options.Log.Info("ready", "services", len(s.gateway.Services()))
	if s.watch.Ready != nil {
		s.watch.Ready(s.services())
	}
}

// served are the services that are answered for. The gateway is there before anybody asks.
func (s *server) served() []*gateway.Service { return s.gateway.Services() }
