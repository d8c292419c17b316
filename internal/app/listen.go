package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/frontdoor"
)

// listen listens on a TCP address; what names the flag or key it came from. The kernel asks after clients that have been silent for long
// (net's default keep-alive), so that those that are gone do not stay counted.
func listen(ctx context.Context, what, addr string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fault.Conflictf("%s %s: another process listens there", what, addr).
			WithHint("stop that process, or choose another address with --%s", what)
	case errors.Is(err, unix.EACCES):
		return nil, fault.Invalidf("%s %s: this user may not listen there", what, addr).WithHint("choose a port above 1023 with --%s", what)
	}
	return nil, fault.Invalidf("%s %s: %w", what, addr, err).WithHint("an address is HOST:PORT or :PORT")
}

const (
	// streams is how many requests one connection of h2 may have open.
	streams = 128
	// deadPeer is after how long of silence a connection of h2 is asked whether anybody is there.
	deadPeer = time.Minute
)

// webServer is a server of HTTP.
type webServer interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// guarded is net/http's server behind the guard.
type guarded struct{ *http.Server }

// Serve implements webServer.
func (s guarded) Serve(l net.Listener) error {
	s.ConnState = frontdoor.ConnState
	return s.Server.Serve(frontdoor.Listen(l, s.ReadHeaderTimeout, s.MaxHeaderBytes))
}

// dataServer returns a server with limits that a slow or hostile client runs into; h2 without TLS included. How long a client may take to
// read its answer is bounded where the answer is written: from the first byte of a request on, a model may take long.
func dataServer(handler http.Handler, l config.ServerLimits, log *slog.Logger) *frontdoor.Server {
	s := limited(handler, l, log)
	s.ReadTimeout = l.Read
	return frontdoor.NewServer(s)
}

// metricsServer is for who scrapes metrics, and nothing else.
func metricsServer(handler http.Handler, l config.ServerLimits, log *slog.Logger) webServer {
	s := limited(handler, l, log)
	s.ReadTimeout, s.WriteTimeout = l.Read, l.Write
	return guarded{s}
}

// controlServer has no bound on how long a body or an answer may take: models are uploaded, and logs are watched.
func controlServer(handler http.Handler, l config.ServerLimits, log *slog.Logger) webServer {
	return guarded{limited(handler, l, log)}
}

// limited is what all servers have in common.
func limited(handler http.Handler, l config.ServerLimits, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: l.ReadHeader,
		IdleTimeout:       l.Idle,
		MaxHeaderBytes:    int(l.HeaderBytes),
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streams, SendPingTimeout: deadPeer, WriteByteTimeout: l.Write},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// grpcOptions are the same limits for gRPC, whose messages are at most body bytes long.
func grpcOptions(l config.ServerLimits, body int64) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(body)),
		grpc.MaxConcurrentStreams(streams),
		grpc.MaxHeaderListSize(uint32(l.HeaderBytes)), // at most 1 MiB
		grpc.ConnectionTimeout(l.ReadHeader),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: l.Idle, Time: deadPeer}),
	}
}

// leastMessage is what gRPC takes of one message at least, whatever the services take: each tells by itself that a body is too large, and a
// reload may raise what it takes.
const leastMessage = 64 * config.MiB

// largestBody is the largest body that any service takes, which is what gRPC has to take.
func largestBody(c *config.Config) int64 {
	largest := leastMessage
	for i := range c.Services {
		largest = max(largest, c.Services[i].Limits.BodyBytes)
	}
	return int64(largest)
}

// serveHTTP serves on l until ctx ends, then waits for requests in flight, at most for what drain says then.
func serveHTTP(ctx context.Context, l net.Listener, s webServer, drain func() time.Duration, log *slog.Logger) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		// ctx has ended; the requests in flight have their own time.
		patience := drain()
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := s.Shutdown(bound)
		if errors.Is(err, context.DeadlineExceeded) {
			log.Warn("connections were cut off after draining", "address", l.Addr().String(), "drain", patience)
			err = s.Close()
		}
		stopped <- err
	})
	err := s.Serve(l)
	if !stop() { // it has begun: its word is the last
		return <-stopped
	}
	return err
}

// serveGRPC serves on l until ctx ends, then calls part, which ends what would not end by itself, and waits for calls in flight, at most for
// what drain says then.
func serveGRPC(ctx context.Context, l net.Listener, s *grpc.Server, part func(), drain func() time.Duration) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		cut := time.AfterFunc(drain(), s.Stop)
		defer cut.Stop()
		part()
		s.GracefulStop()
	})
	err := s.Serve(l)
	if !stop() {
		<-stopped
		return nil
	}
	return err
}
