package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/fault"
)

// sweep is how often engines look for what takes too long, and whether the run is to end.
const sweep = 10 * time.Millisecond

// newLanes makes a lane for every request in flight, with connections made.
func newLanes(ctx context.Context, r *run, to *target) ([]lane, error) {
	switch r.o.Protocol {
	case GRPC:
		return newRPCLanes(ctx, r, to)
	case HTTP2:
		return newHTTP2Lanes(ctx, r, to)
	}
	texts := newPlain(r.o, r.texts, to)
	lanes := make([]lane, r.o.InFlight)
	var group errgroup.Group
	const atOnce = 16 // handshakes
	group.SetLimit(atOnce)
	for i := range lanes {
		l := &connLane{texts: texts, to: to, timeout: r.o.Timeout, config: to.config(r.o, "http/1.1"), buffer: make([]byte, 16<<10)}
		l.answer = answer{keep: r.o.keep(), head: r.o.Method == http.MethodHead}
		lanes[i] = l
		group.Go(func() error {
			within, cancel := context.WithTimeout(ctx, r.o.Timeout)
			defer cancel()
			return l.connect(within)
		})
	}
	if err := group.Wait(); err != nil {
		for _, l := range lanes {
			l.close()
		}
		return nil, unconnected(err)
	}
	return lanes, nil
}

func unconnected(err error) error {
	hint := "ask for fewer, look what keeps the server busy, or raise the limit of open files (ulimit -n)"
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		hint = "mend the certificate, or take any with --insecure"
	}
	return fault.Unavailablef("not all connections to the server can be made: %w", err).WithHint("%s", hint)
}

// config is how TLS is spoken.
func (t *target) config(o *Options, protocols ...string) *tls.Config {
	return &tls.Config{
		ServerName: t.url.Hostname(), NextProtos: protocols, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: o.Insecure, //nolint:gosec // the user asked for it
	}
}

// connLane is one connection of HTTP/1.1 in Go's own net, for TLS and for systems that have no loop.
type connLane struct {
	texts   *plain
	to      *target
	timeout time.Duration
	config  *tls.Config
	conn    net.Conn
	answer  answer
	scratch []byte
	buffer  []byte
}

func (l *connLane) connect(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", l.to.address)
	if err != nil {
		return err
	}
	if l.to.tls {
		secure := tls.Client(conn, l.config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return err
		}
		conn = secure
	}
	l.conn = conn
	return nil
}

func (l *connLane) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

func (l *connLane) ask(ctx context.Context, n int) (r result, body []byte) {
	if l.conn == nil {
		if err := l.connect(ctx); err != nil {
			return refusal(err), nil
		}
	}
	conn := l.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // the connection is not used again
	defer stop()
	l.answer.reset()
	var wrote error
	request := l.texts.bytes(n, &l.scratch)
	if r.out, wrote = conn.Write(request); wrote != nil {
		r.example = wrote.Error()
	}
	// The server may have answered before it closed: that answer is what the client gets.
	for done := false; !done; {
		n, err := conn.Read(l.buffer)
		r.in += n
		var rest []byte
		var wrong error
		if n > 0 {
			rest, done, wrong = l.answer.feed(l.buffer[:n])
		}
		switch {
		case wrong == nil && len(rest) > 0:
			wrong = errExtra
		case wrong == nil && !done && errors.Is(err, io.EOF):
			err, done = l.answer.end(), true
		}
		if wrong != nil {
			r.problem, r.example = notUnderstood, wrong.Error()
		} else if err != nil && (!done || errors.Is(err, errShort)) {
			r.problem = brokenOff
			if r.example == "" {
				r.example = err.Error()
			}
		}
		if r.problem != "" {
			l.close()
			return r, nil
		}
	}
	r.example, r.status = "", l.answer.status
	if l.answer.last || wrote != nil {
		l.close()
	}
	return r, l.answer.body
}
