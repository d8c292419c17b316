package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a connection to an instance that speaks HTTP/1.1. One exchange at a time uses it.
type conn struct {
	net.Conn                 // TLS, or what is below itself
	below    net.Conn        // TCP
	raw      syscall.RawConn // of below
	plain    bool            // bytes go to the instance as they are
	armed    time.Time       // the read deadline that is set; zero: none
	since    time.Duration   // the pool's time when it was given back
	used     bool            // an exchange was made on it before
	written  uint64          // bytes of requests so far; not counted behind TLS

	turn     turn
	step     func(uintptr) bool // turn's, bound once
	hangUp   func()             // interrupt, bound once
	one      [1]byte
	peekStep func(uintptr) bool // peek, bound once
	peeked   error              // what peek found
	seen     int
}

// newConn returns a connection that was just made.
func newConn(tcp *net.TCPConn, c net.Conn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	made := &conn{Conn: c, below: tcp, raw: raw, plain: c == net.Conn(tcp)}
	made.step, made.hangUp, made.peekStep = made.takeTurn, made.interrupt, made.peek
	return made, nil
}

// Close closes the connection without a word: TLS would wait, seconds long, for an instance that does not read.
func (c *conn) Close() error { return c.below.Close() }

// turn is a request sent and the first bytes of its answer read.
type turn struct {
	phase phase
	out   []byte // to send: the request's head, and a small body
	body  []byte // to send after it
	wait  bool   // then wait for an answer
	in    []byte // where to read it
	n     int    // bytes read
	sent  int    // bytes of the request sent
	err   error
}

// phase is how far a turn has come.
type phase uint8

const (
	checking phase = iota // whether a kept connection is as it was left
	sending
	blocked // not all of the body went out at once; what did not is in out and body
	sent    // and no answer is waited for
	reading
	read
)

// errStale says that a kept connection was closed, or that something came on it that nobody asked for. Nothing was sent on it.
var errStale = errors.New("the connection was closed, or spoken on, while it was not in use")

// past is a deadline that ends what waits.
var past = time.Unix(1, 0)

// interrupt ends what waits on the connection, now and from now on.
func (c *conn) interrupt() { _ = c.SetDeadline(past) } // it fails where the connection is closed, which is as good

// arm sets the read deadline.
func (c *conn) arm(t time.Time) {
	c.armed = t
	_ = c.SetReadDeadline(t) // as above; whoever reads is told
}

// takeWhole is a turn for connections with TLS. A body that may not fit into the buffers of the kernel is left to be sent beside reading.
func (c *conn) takeWhole() error {
	t := &c.turn
	if t.phase == checking {
		if !c.silent() {
			return errStale
		}
		t.phase = sending
	}
	if t.phase == sending {
		n, err := c.Write(t.out)
		t.sent += n
		if err != nil {
			return err
		}
		t.out = nil
		switch {
		case len(t.body) > 0:
			t.phase = blocked
		case !t.wait:
			t.phase = sent
		default:
			t.phase = reading
		}
	}
	if t.phase != reading {
		return nil
	}
	n, err := c.Read(t.in)
	if t.n = n; n > 0 {
		t.phase = read
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// silent says that nothing has come on a connection with TLS: nothing that is yet to be read from the socket, and nothing that has been read
// from it already, of which the socket knows nothing any more. An answer behind the last one, that nobody asked for, may stand there.
func (c *conn) silent() bool {
	if !c.quiet() {
		return false
	}
	_ = c.SetReadDeadline(past) // as in interrupt: what is here is read all the same
	n, err := c.Read(c.one[:])
	_ = c.SetReadDeadline(c.armed)
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// take takes the turn that was prepared, or goes on with it after its wait was looked at.
func (c *conn) take() error {
	if !c.plain {
		return c.takeWhole()
	}
	if err := c.raw.Read(c.step); err != nil {
		return err
	}
	return c.turn.err
}
