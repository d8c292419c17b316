package proxy

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// transportOptions say how an instance is spoken to. What is left zero has the default that is named beside it.
type transportOptions struct {
	Scheme  string      // http, https: HTTP/1.1; h2c, h2: h2 without and with TLS
	Address string      // host:port, as it is dialled
	Host    string      // the Host field of requests that have none: Address
	TLS     *tls.Config // of https and h2; without a ServerName it is the host in Host

	ConnectTimeout time.Duration // of dialling and the TLS handshake together: 60 s. The request's deadline holds too
	IdleTimeout    time.Duration // after which a connection that is not used is closed: 60 s
	StreamTimeout  time.Duration // how long a stream may say nothing: for ever
	MaxConnections int           // at once, idle ones included: no bound. Not of h2
	MaxPending     int           // requests that wait for one of MaxConnections: none
	MaxIdle        int           // idle connections that are kept: 1024
	MaxHead        int           // bytes of an answer's head: 64 KiB

	Allow []netip.Prefix // where an instance may be: anywhere but where no instance is (see guard)
	Deny  []netip.Prefix // where it may not be, whatever Allow says
}

// transport speaks to one instance. Its connections are its own, and are kept for the next request. It is safe for use by many at once.
type transport struct {
	o       transportOptions
	dialer  dialer
	pool    pool
	calls   sync.Pool // of *call
	buffers buffers
	h2      *multiplexed // where the instance speaks h2
}

// newTransport returns a transport for the instance that o describes. It dials when it is asked, not before.
func newTransport(o transportOptions) *transport {
	o.Host = either(o.Host, o.Address)
	o.ConnectTimeout = either(o.ConnectTimeout, 60*time.Second)
	o.IdleTimeout = either(o.IdleTimeout, 60*time.Second)
	o.MaxIdle = either(o.MaxIdle, 1024)
	o.MaxHead = either(o.MaxHead, 64<<10)
	t := &transport{o: o, dialer: newDialer(o)}
	t.pool.open(o)
	if o.Scheme == "h2" || o.Scheme == "h2c" {
		t.h2 = newMultiplexed(t)
	}
	return t
}

// either returns v, or what stands in for it where it is zero.
func either[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

// exchange asks the instance once and fills a, whose Instance, Attempts and Took it leaves alone. The error is a *Failure; a then holds
// nothing.
//
// A request is sent a second time, on a connection made for it, if the one that was kept for it turned out closed before a byte of an
// answer had come, and the request is Safe or the instance has not had it.
func (t *transport) exchange(ctx context.Context, r *Request, a *Answer) error {
	if t.h2 != nil {
		return t.h2.exchange(ctx, r, a)
	}
	x, _ := t.calls.Get().(*call)
	if x == nil {
		x = &call{t: t, header: make(http.Header, 8)}
	}
	x.buf = x.small[:]
	x.ctx, x.deadline = ctx, r.Deadline
	if f := x.do(r, a); f != nil {
		x.release()
		return f
	}
	return nil
}

// close lets idle connections go at once, and those in use when they are done.
func (t *transport) close() {
	t.pool.close()
	if t.h2 != nil {
		t.h2.close()
	}
}

// stats returns how many connections there are, and how many of them are not in use. Of h2, whose connections carry many requests, idle
// ones are not told apart: idle is 0.
func (t *transport) stats() (open, idle int) {
	if t.h2 != nil {
		return t.h2.stats(), 0
	}
	return t.pool.stats()
}
