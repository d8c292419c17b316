package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	health "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/traffic"
)

// Listening are the addresses that a server listens on.
type Listening struct {
	HTTP    string `json:"http"`
	GRPC    string `json:"grpc"`
	Control string `json:"control"`
	Socket  string `json:"socket"`
}

// Watch is told what happens while a server runs. Nil functions are not called.
type Watch struct {
	Listening func(Listening) // all addresses are taken
	Ready     func([]api.Service)
}

// Serve runs a server on the data directory until ctx ends, then drains and stops it. The error is nil after a clean stop.
func Serve(ctx context.Context, o Options, c *config.Config, watch Watch) (err error) {
	o.Create = true
	d, _, err := hold(ctx, o)
	if err != nil {
		return err
	}
	defer d.Close()
	s := &server{options: o, config: c, watch: watch, dir: d}
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
	config    *config.Config
	watch     Watch
	dir       *dataDir
	gateway   *gateway.Gateway
	follower  *follower
	telemetry *telemetry
	traffic   *trafficState
	control   http.Handler // behind nothing: for the socket
	guard     api.Guard    // before control on TCP

	http, grpc, tcp, socket net.Listener
}

// build makes the parts and connects them.
func (s *server) build(ctx context.Context) (err error) {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	keys, cookies, err := loadKeys(s.options.DataDir)
	if err != nil {
		return err
	}
	names := newVersions(s.dir.registry, s.options.Log, s.config)
	if s.telemetry, err = openTelemetry(ctx, s.options, metrics, names, s.served); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.telemetry.Close())
		}
	}()
	s.gateway = gateway.New(gateway.Options{
		Version: s.options.Version, Log: s.options.Log, Metrics: metrics,
		Now: s.options.Now, Keys: keys, Recorder: s.telemetry.recorder, Ingest: s.telemetry.ingest,
	})
	s.follower, err = newFollower(s.config, follower{
		registry: s.dir.registry, gateway: s.gateway, log: s.options.Log, now: s.options.Now, ready: s.ready,
		policy: func(service string, spec traffic.Spec, variants []string) (*traffic.Policy, error) {
			return traffic.Compile(spec, traffic.Options{Service: service, Variants: variants, Epoch: 1, Version: 1, Keys: cookies})
		},
	})
	if err != nil {
		return err
	}
	s.traffic = newTrafficState(s.dir.state, s.options.Now, s.applyTraffic)
	if err := s.traffic.Declare(ctx, declaredBy(s.config)); err != nil {
		return err
	}
	control := api.Options{
		Version: s.options.Version, Registry: s.dir.registry, Log: s.options.Log, Now: s.options.Now, Traffic: s.traffic,
		Services: s.services, Changed: s.follower.Nudge, Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
	}
	askTelemetry(&control, s.options.DataDir)
	s.control = api.New(control)
	if !api.Loopback(s.config.Server.Control) {
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
	for _, l := range []struct {
		at   *net.Listener
		what string
		addr string
	}{{&s.http, "http", s.config.Server.HTTP}, {&s.grpc, "grpc", s.config.Server.GRPC}, {&s.tcp, "control", s.config.Server.Control}} {
		if *l.at, err = listen(ctx, l.what, l.addr); err != nil {
			return err
		}
	}
	s.socket, err = listenSocket(s.options.DataDir)
	return err
}

func (s *server) closeListeners() {
	for _, l := range []net.Listener{s.http, s.grpc, s.tcp, s.socket} {
		if l != nil {
			l.Close()
		}
	}
}

// run runs every part until ctx ends or one of them fails, and waits for all.
func (s *server) run(ctx context.Context) (err error) {
	at := Listening{s.http.Addr().String(), s.grpc.Addr().String(), s.tcp.Addr().String(), s.socket.Addr().String()}
	s.options.Log.Info("listening", "http", at.HTTP, "grpc", at.GRPC, "control", at.Control, "pid", os.Getpid())
	if s.watch.Listening != nil {
		s.watch.Listening(at)
	}
	drain, log := s.config.Server.Drain, s.options.Log
	rpc := s.gateway.NewGRPC()
	health.RegisterHealthServer(rpc, grpcHealth{gateway: s.gateway})

	// What is written down is written to the end: the recorder stops when the last answer has been given, the telemetry behind it.
	stopRecorder := s.begin(ctx, s.telemetry.recorder.Run)
	stopTelemetry := s.begin(ctx, s.telemetry.Run)
	defer func() { err = errors.Join(err, stopRecorder(), stopTelemetry()) }()

	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() {
		s.gateway.Drain()
		s.options.Log.Info("stopping; requests in flight are answered", "drain", drain)
	})()
	g.Go(func() error { return serveHTTP(ctx, s.http, httpServer(s.gateway, log), drain, log) })
	g.Go(func() error { return serveGRPC(ctx, s.grpc, rpc, drain) })
	g.Go(func() error { return serveHTTP(ctx, s.tcp, controlServer(s.guard.Wrap(s.control), log), drain, log) })
	g.Go(func() error { return serveHTTP(ctx, s.socket, controlServer(s.control, log), drain, log) })
	g.Go(func() error { return s.follower.Run(ctx) })
	g.Go(func() error { return s.traffic.Run(ctx, log) })
	g.Go(func() error { s.sweep(ctx); return nil })
	return g.Wait()
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

// services tells the control plane what runs.
func (s *server) services() []api.Service {
	list := []api.Service{}
	for _, g := range s.gateway.Services() {
		for _, v := range g.Variants() {
			line := api.Service{Name: g.Name(), Variant: v.Name(), Model: v.Ref(), State: v.State()}
			if l := v.Live(); l != nil {
				line.Version, line.Semver, line.Digest = l.Number, l.Semver, l.Digest
			}
			if err := v.Err(); err != nil {
				line.Error = err.Error()
			}
			list = append(list, line)
		}
	}
	return list
}

// controlServer is httpServer without a bound on how long a body may take: a model is uploaded through it.
func controlServer(handler http.Handler, log *slog.Logger) *http.Server {
	s := httpServer(handler, log)
	s.ReadTimeout = 0
	return s
}
