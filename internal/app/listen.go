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

	"github.com/serin-ml/serin/internal/fault"
)

// listen listens on a TCP address; what names the flag or key it came from.
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

// httpServer returns a server with limits that a slow or hostile client runs into; h2 without TLS included.
func httpServer(handler http.Handler, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		Protocols:         &protocols,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serveHTTP serves on l until ctx ends, then waits for requests in flight, at most drain.
func serveHTTP(ctx context.Context, l net.Listener, s *http.Server, drain time.Duration, log *slog.Logger) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		// ctx has ended; the requests in flight have their own time.
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err := s.Shutdown(bound)
		if errors.Is(err, context.DeadlineExceeded) {
			log.Warn("connections were cut off after draining", "address", l.Addr().String(), "drain", drain)
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

// serveGRPC serves on l until ctx ends, then waits for calls in flight, at most drain.
func serveGRPC(ctx context.Context, l net.Listener, s *grpc.Server, drain time.Duration) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		cut := time.AfterFunc(drain, s.Stop)
		defer cut.Stop()
		s.GracefulStop()
	})
	err := s.Serve(l)
	if !stop() {
		<-stopped
		return nil
	}
	return err
}
