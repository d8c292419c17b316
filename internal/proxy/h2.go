package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// multiplexed speaks h2 to an instance, by net/http's transport: requests share connections, and trailers and both directions of a stream
// are kept, which is what gRPC needs.
type multiplexed struct {
	t      *transport
	http   *http.Transport
	scheme string
	open   atomic.Int64 // connections
	closed atomic.Bool
}

// newMultiplexed returns what speaks h2 for t.
func newMultiplexed(t *transport) *multiplexed {
	m := &multiplexed{t: t, scheme: "http"}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(t.o.Scheme == "h2c")
	protocols.SetHTTP2(t.o.Scheme == "h2")
	dial := net.Dialer{Timeout: t.o.ConnectTimeout, Control: t.dialer.tcp.Control}
	m.http = &http.Transport{
		Protocols:              &protocols,
		DisableCompression:     true,
		IdleConnTimeout:        t.o.IdleTimeout,
		TLSHandshakeTimeout:    t.o.ConnectTimeout,
		MaxResponseHeaderBytes: int64(t.o.MaxHead),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial.DialContext(ctx, "tcp", t.o.Address)
			if err != nil {
				return nil, &undialled{err}
			}
			m.open.Add(1)
			return &counted{Conn: c, open: &m.open}, nil
		},
	}
	if t.o.Scheme == "h2" {
		m.scheme = "https"
		m.http.TLSClientConfig = t.dialer.tls.Clone()
		m.http.TLSClientConfig.NextProtos = []string{"h2"}
	}
	return m
}

// undialled is an error of dialling.
type undialled struct{ error }

func (u *undialled) Unwrap() error { return u.error }

// counted is a connection that is counted while it is open.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// close lets connections go that carry nothing. The others go when an exchange finds them so at its end, or when they have been idle for
// as long as idle ones are kept.
func (m *multiplexed) close() {
	m.closed.Store(true)
	m.http.CloseIdleConnections()
}

func (m *multiplexed) stats() int { return int(m.open.Load()) }

// exchange is transport.exchange.
func (m *multiplexed) exchange(ctx context.Context, r *Request, a *Answer) error {
	f := &flow{m: m, silence: m.t.o.StreamTimeout}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	if !r.Deadline.IsZero() {
		f.timer = time.AfterFunc(time.Until(r.Deadline), func() { f.cancel(errLate) })
	}
	request, err := m.request(r, f)
	if err != nil {
		f.release()
		return &Failure{Why: Gone, Err: err}
	}
	answer, err := m.http.RoundTrip(request)
	if err == nil {
		f.body = answer.Body
		f.watch = context.AfterFunc(f.ctx, func() { answer.Body.Close() }) // net/http sees no end while it reads the request's body
		err = f.receive(r, a, answer)
	}
	if err != nil {
		failure := f.failed(err)
		f.release()
		return failure
	}
	return nil
}

// request makes net/http's request.
func (m *multiplexed) request(r *Request, f *flow) (*http.Request, error) {
	if _, err := appendHead(nil, r, m.t.o.Host); err != nil {
		return nil, err
	}
	header := make(http.Header, len(r.Header)+len(r.Set))
	named := r.Header["Connection"]
	for name, values := range r.Header {
		if !isHop(name) && !sets(r.Set, name) && !names(named, name) {
			header[name] = values
		}
	}
	if names(r.Header["Te"], "trailers") {
		header["Te"] = []string{"trailers"} // the one thing that TE may say in h2, and gRPC does
	}
	for _, own := range r.Set {
		if own.Value != "" && !isHop(own.Name) {
			header.Add(own.Name, own.Value)
		}
	}
	if header["User-Agent"] == nil {
		header["User-Agent"] = nil // else net/http writes its own
	}
	trace := &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { f.connected.Store(true) },
		WroteHeaders: func() { f.sent.Store(true) },
	}
	request := (&http.Request{
		Method: r.Method,
		// Opaque is written as it is, with the host taken off again (net/http's way to send a path that is not escaped anew).
		URL:    &url.URL{Scheme: m.scheme, Host: m.t.o.Host, Opaque: "//" + either(r.Host, m.t.o.Host) + r.Target},
		Host:   either(r.Host, m.t.o.Host),
		Header: header,
		Proto:  "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(httptrace.WithClientTrace(f.ctx, trace))
	switch {
	case r.Stream != nil:
		f.source = &source{from: r.Stream}
		request.Body, request.ContentLength = f.source, r.length()
		if r.Length == 0 {
			request.Body = http.NoBody
		}
	case len(r.Body) > 0:
		request.ContentLength = int64(len(r.Body))
		// The body is its owner's again once the exchange is over, and net/http does not wait for who reads when a request is called off.
		request.GetBody = func() (io.ReadCloser, error) {
			if f.source != nil {
				f.source.end()
			}
			f.source = &source{from: bytes.NewReader(r.Body)}
			return f.source, nil
		}
		request.Body, _ = request.GetBody()
	}
	return request, nil
}
