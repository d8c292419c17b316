// Package proxytest has upstreams on loopback for tests: one that behaves and counts what it sees, and many that do not.
//
// Each is stopped at the end of its test, and can be stopped and started again on its port before that. Only tests import it.
package proxytest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Server is an upstream on loopback.
type Server struct {
	t     testing.TB
	addr  string
	serve func(net.Listener) running

	conns, open, requests atomic.Int64

	mu  sync.Mutex
	now running // nil: stopped
}

// running is a server between a start and a stop.
type running interface {
	stop()  // hangs up on everyone
	drain() // lets requests finish
}

// Serve starts an upstream that behaves: h answers, over HTTP/1.1 and over h2 without TLS (h2c). A nil handler answers 200 "ok".
func Serve(t testing.TB, h http.Handler) *Server {
	t.Helper()
	if h == nil {
		h = Status(http.StatusOK)
	}
	s := &Server{t: t}
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		h.ServeHTTP(w, r)
	})
	s.serve = func(l net.Listener) running {
		both := new(http.Protocols)
		both.SetHTTP1(true)
		both.SetUnencryptedHTTP2(true)
		web := &http.Server{Handler: counted, Protocols: both, ReadHeaderTimeout: time.Minute}
		g := &good{web: web, done: make(chan struct{})}
		go func() {
			defer close(g.done)
			_ = web.Serve(counting{l, s})
		}()
		return g
	}
	return s.begin()
}

// Status answers every request with a status, after reading it, and the status's text as the body ("ok" for 200).
func Status(code int) http.Handler {
	text := http.StatusText(code)
	if code == http.StatusOK {
		text = "ok"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	})
}

// Misbehave starts an upstream that does to every connection what b says. When b returns, the connection is closed.
func Misbehave(t testing.TB, b Behaviour) *Server {
	t.Helper()
	s := &Server{t: t}
	s.serve = func(l net.Listener) running {
		r := &bad{listener: counting{l, s}, stopped: make(chan struct{}), conns: map[net.Conn]bool{}}
		r.wait.Go(func() { r.accept(s, b) })
		return r
	}
	return s.begin()
}

// begin finds a port and starts.
//
// The port is none that a system gives out by itself: while the server is stopped nobody else's connection takes it.
func (s *Server) begin() *Server {
	s.t.Helper()
	var l net.Listener
	var err error
	for range 100 {
		l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000))))
		if err == nil {
			break
		}
	}
	if err != nil {
		s.t.Fatalf("no port for an upstream: %v", err)
	}
	s.addr = l.Addr().String()
	s.now = s.serve(l)
	s.t.Cleanup(s.Stop)
	return s
}

// Addr returns host and port. They stay as they are while the server is stopped.
func (s *Server) Addr() string { return s.addr }

// URL returns the address as an http URL.
func (s *Server) URL() string { return "http://" + s.addr }

// Stop hangs up on everyone, as a process that is killed does. It waits until nothing of the server runs. It may be called again.
func (s *Server) Stop() {
	if r := s.take(); r != nil {
		r.stop()
	}
}

// Drain accepts nothing more, lets requests finish for a few seconds and then stops, as a well-mannered process does when it is told to end.
// One that misbehaves just stops.
func (s *Server) Drain() {
	if r := s.take(); r != nil {
		r.drain()
	}
}

func (s *Server) take() running {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.now
	s.now = nil
	return r
}

// Start starts a stopped server again, on its port.
func (s *Server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		return
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Errorf("start an upstream again: %v", err)
		return
	}
	s.now = s.serve(l)
}

// Conns returns how many connections were accepted so far.
func (s *Server) Conns() int { return int(s.conns.Load()) }

// Open returns how many connections are open.
func (s *Server) Open() int { return int(s.open.Load()) }

// Requests returns how many requests came so far. Of an upstream that misbehaves, those that it read.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// counting is a listener that counts connections.
type counting struct {
	net.Listener
	s *Server
}

// Accept implements net.Listener.
func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.s.conns.Add(1)
	l.s.open.Add(1)
	return &counted{Conn: c, s: l.s}, nil
}

type counted struct {
	net.Conn
	s    *Server
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.s.open.Add(-1) })
	return c.Conn.Close()
}

// good is a well-behaved server between a start and a stop.
type good struct {
	web  *http.Server
	done chan struct{}
}

func (g *good) stop() {
	_ = g.web.Close()
	<-g.done
}

func (g *good) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = g.web.Shutdown(ctx)
	g.stop()
}

// bad is a misbehaving server between a start and a stop.
type bad struct {
	listener net.Listener
	stopped  chan struct{}
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func (b *bad) accept(s *Server, behave Behaviour) {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		if !b.keep(c) {
			_ = c.Close()
			return
		}
		b.wait.Go(func() {
			defer b.forget(c)
			behave(&Conn{Conn: c, Stopped: b.stopped, in: bufio.NewReader(c), server: s})
		})
	}
}

// keep reports whether c may be served: it came before the stop, which will close it then.
func (b *bad) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.stopped:
		return false
	default:
		b.conns[c] = true
		return true
	}
}

func (b *bad) forget(c net.Conn) {
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
	_ = c.Close()
}

func (b *bad) stop() {
	_ = b.listener.Close()
	b.mu.Lock()
	close(b.stopped)
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.wait.Wait()
}

func (b *bad) drain() { b.stop() }

// Conn is a connection to an upstream that misbehaves.
type Conn struct {
	net.Conn
	Stopped <-chan struct{} // closed when the server stops: by then a Behaviour returns

	in     *bufio.Reader
	server *Server
}

// Head reads the next request up to its body, and counts it.
func (c *Conn) Head() (*http.Request, error) {
	r, err := http.ReadRequest(c.in)
	if err == nil {
		c.server.requests.Add(1)
	}
	return r, err
}

// Next reads the next request whole, and counts it.
func (c *Conn) Next() error {
	r, err := c.Head()
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	return err
}

// Say writes text as it is.
func (c *Conn) Say(format string, args ...any) error {
	_, err := fmt.Fprintf(c, format, args...)
	return err
}

// Hang waits until the server is stopped or the client hangs up.
func (c *Conn) Hang() {
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		_, _ = io.Copy(io.Discard, c.in)
	}()
	select {
	case <-hungUp:
	case <-c.Stopped:
		_ = c.Close()
		<-hungUp
	}
}

// Reset hangs up so that the client sees a reset rather than an end.
func (c *Conn) Reset() {
	if inner, ok := c.Conn.(*counted); ok {
		if tcp, ok := inner.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	_ = c.Close()
}
