// Package frontdoor stands behind a listener. Its guard lets through only what has one reading: requests of HTTP/1.x whose framing no two
// servers in a row can understand differently (RFC 9112, sections 2 to 7), and connections that begin with the preface of h2. Behind the
// guard is net/http's server (Listen), or one of this package for HTTP/1.1 (Server), which takes less of everything.
//
// The guard parses no more than framing needs and changes no byte: whichever server it is reads the same bytes after it. Where net/http
// alone is laxer, a request is refused here: lines that end in a bare line feed, values folded over lines, Content-Length beside
// Transfer-Encoding or twice, Transfer-Encoding from a client of HTTP/1.0, whitespace in a chunk's size, extensions of chunks without end.
package frontdoor

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Listen returns l with its connections guarded: those of HTTP/1.x and of h2 without TLS. head is how long the headers of a request may
// take over h2, 0 for ever, and most how many bytes they may have there. A server of net/http that serves on it needs ConnState, and must
// speak h2 (http.Protocols), as what follows its preface is passed.
func Listen(l net.Listener, head time.Duration, most int) net.Listener {
	begin := time.Now()
	return listener{l, head, most, func() int64 { return int64(time.Since(begin)) }}
}

type listener struct {
	net.Listener
	head  time.Duration
	most  int
	clock func() int64
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(c, l.head, l.most, l.clock), nil
}

// ConnState is for http.Server.ConnState: a connection that a handler takes over (a WebSocket) speaks something else from then on, and is
// guarded no longer. What its client sends before it is told so is still read as requests.
func ConnState(c net.Conn, s http.ConnState) {
	if guarded, ok := c.(*conn); ok && s == http.StateHijacked {
		guarded.taken.Store(true)
	}
}

// conn is a guarded connection.
type conn struct {
	net.Conn
	guard   guard
	taken   atomic.Bool
	refused bool
	said    int           // how much of refusal was read
	head    time.Duration // that headers may take over h2
	block   int           // which of them have begun to come; 0: none
	late    *time.Timer   // closes the connection when they have not come by then
}

func newConn(c net.Conn, head time.Duration, most int, clock func() int64) *conn {
	return &conn{Conn: c, guard: guard{clock: clock, most: most}, head: head}
}

// ReadFrom implements io.ReaderFrom, by which the kernel sends what it has already.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite lets a client read an answer that comes before all it sends has been read.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// refusal is what the server reads in place of what was refused, and then the end: it is malformed wherever it comes, in a request's first
// line, its headers, a chunk's size or a trailer, so that the server answers 400, or ends the body with an error, and closes.
const refusal = "\x00:\r\n\r\n"

// Read implements net.Conn. The server calls it from one goroutine at a time.
func (c *conn) Read(p []byte) (int, error) {
	if c.taken.Load() {
		return c.Conn.Read(p)
	}
	if !c.refused {
		n, err := c.Conn.Read(p)
		passed := c.guard.scan(p[:n])
		c.refused = passed < n
		if c.guard.h2 != nil {
			c.watch(err != nil || c.refused)
		}
		if passed > 0 || !c.refused {
			return passed, err
		}
	}
	if c.guard.h2 != nil || c.said == len(refusal) {
		return 0, io.EOF
	}
	n := copy(p, refusal[c.said:])
	c.said += n
	return n, nil
}

// watch sets a time by which headers that have begun to come over h2 have ended: net/http sets none.
func (c *conn) watch(ended bool) {
	block := c.guard.h2.waits()
	if ended {
		block = 0
	}
	if block == c.block || c.head <= 0 {
		return
	}
	if c.block = block; c.late != nil {
		c.late.Stop()
		c.late = nil
	}
	if block > 0 {
		c.late = time.AfterFunc(c.head, func() { c.Close() })
	}
}
