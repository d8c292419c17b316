package frontdoor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/serin-ml/serin/internal/socket"
)

// bufferSize is how much of what a client sends is read at once, and how much of an answer is gathered before it is sent.
const bufferSize = 8 << 10

// buffers are lent to sessions that have a request.
var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// errRefused is what is read in place of what the guard does not let pass.
var errRefused = errors.New("what came is framed in no way that is allowed")

// session is one connection, and the goroutine that serves it.
type session struct {
	server *Server
	at     int // among the server's sessions; guarded by its mu
	conn   net.Conn
	raw    syscall.RawConn // nil: the connection has no descriptor
	first  func(fd uintptr) bool
	some   func(fd uintptr) bool
	remote string

	word atomic.Int64 // its phase, and since when; the server's clock changes it too
	mine int64        // what the session itself has last made of it

	guard   guard
	refused bool    // the guard lets nothing more pass
	buffer  *[]byte // nil: nothing has been read that is not used
	in      []byte  // the part of buffer that was read and passed, and is not used yet
	raws    []byte  // the part of buffer that was read, and did not pass
	read    int     // what first has read
	failed  error   // why it could not

	out      []byte      // what some is to write yet
	unsent   error       // why it could not
	patience time.Time   // until when what cannot be sent at once is waited for; zero: for ever
	timed    bool        // the connection has a deadline for writing
	ruled    atomic.Bool // the handler has set the one for reading, in place of the server's

	post   bool               // the request before was a POST
	cancel context.CancelFunc // of the request that is served
	gone   chan struct{}      // closed when nobody looks any more whether the client is there
	taken  bool               // the connection is somebody else's now
}

func newSession(s *Server, conn net.Conn) *session {
	c := &session{server: s, conn: conn, remote: conn.RemoteAddr().String()}
	c.mine = word(fresh, s.clock.Load())
	c.word.Store(c.mine)
	if described, ok := conn.(syscall.Conn); ok {
		if raw, err := described.SyscallConn(); err == nil {
			c.raw, c.first, c.some = raw, c.readFirst, c.writeSome
		}
	}
	return c
}

// serve serves requests until the connection ends, or begins to rest.
func (c *session) serve() {
	for c.next() {
	}
}

// next serves one request. It says whether this goroutine is to wait for another.
func (c *session) next() bool {
	if err := c.await(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && c.rest() {
			return false
		}
		c.close()
		return false
	}
	if c.isPreface() {
		c.handOver()
		return false
	}
	began := c.server.clock.Load()
	var head http.Request // which stays on the stack
	if problem := c.head(&head, began); problem != nil {
		c.refuse(problem)
		return false
	}
	again := c.answer(&head, began)
	switch {
	case c.taken:
		return false
	case again && c.enter(idle, c.server.clock.Load()):
		c.giveBack()
		return true
	}
	c.close()
	return false
}

// await waits until there is something of a request. It holds no buffer meanwhile.
func (c *session) await() error {
	for len(c.in) == 0 {
		c.giveBack()
		if c.refused {
			c.lend()
			return nil // the head says what is wrong
		}
		if c.raw == nil {
			c.lend()
			c.read, c.failed = c.conn.Read(*c.buffer)
		} else if err := c.raw.Read(c.first); err != nil {
			return err
		}
		if c.read > 0 {
			c.take(*c.buffer, 0, c.read)
		}
		if c.failed != nil {
			return c.failed
		}
	}
	return nil
}

// readFirst reads into a buffer that is lent only once there is something to read.
func (c *session) readFirst(fd uintptr) bool {
	c.lend()
	n, err := socket.Read(fd, *c.buffer)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		c.giveBack()
		return false
	case err != nil:
		err = os.NewSyscallError("read", err)
	case n == 0:
		err = io.EOF
	}
	c.read, c.failed = n, err
	return true
}

func (c *session) lend() {
	if c.buffer == nil {
		c.buffer = buffers.Get().(*[]byte)
	}
}

// giveBack gives the buffer back if all of it is used.
func (c *session) giveBack() {
	if c.buffer == nil || len(c.in) > 0 {
		return
	}
	if len(*c.buffer) == bufferSize {
		buffers.Put(c.buffer)
	}
	c.buffer, c.in, c.raws = nil, nil, nil
}

// take has the guard look at n bytes of b that were read behind the first used ones, which are in already.
func (c *session) take(b []byte, used, n int) {
	passed := c.guard.scan(b[used : used+n])
	c.refused = passed < n
	c.in, c.raws = b[:used+passed], b[used+passed:used+n]
}

// more reads more into the buffer behind what is in. There is room for it, or it grows.
func (c *session) more() error {
	if c.refused {
		return errRefused
	}
	c.lend()
	b := *c.buffer
	used := copy(b, c.in)
	if used == len(b) {
		larger := make([]byte, 2*len(b))
		copy(larger, b)
		if len(b) == bufferSize {
			buffers.Put(c.buffer)
		}
		c.buffer, b = &larger, larger
	}
	n, err := c.conn.Read(b[used:])
	c.take(b, used, n)
	if n > 0 {
		return nil
	}
	return err
}

// direct reads what follows in into p.
func (c *session) direct(p []byte) (int, error) {
	if c.refused {
		return 0, errRefused
	}
	n, err := c.conn.Read(p)
	passed := c.guard.scan(p[:n])
	if passed < n {
		c.refused = true
		if passed == 0 {
			return 0, errRefused
		}
		return passed, nil
	}
	return n, err
}

// enter moves the session on to a phase. It says no where its time is up.
func (c *session) enter(p phase, since int64) bool {
	to := word(p, since)
	was := c.mine
	c.mine = to
	return c.word.CompareAndSwap(was, to) || c.settle(to)
}

// settle is enter where the clock has meddled.
func (c *session) settle(to int64) bool {
	c.server.mu.Lock() // what the clock does it has done now
	is := phase(c.word.Load() % int64(phases))
	c.server.mu.Unlock()
	switch is {
	case spent:
		return false
	case watched:
		_ = c.conn.SetReadDeadline(past)
		<-c.gone
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	c.word.Store(to)
	return true
}

// rest goes on waiting for a request in a goroutine of little stack, if the clock wants it so.
func (c *session) rest() bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	was := c.word.Load()
	if phase(was%int64(phases)) != resting {
		return false
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	c.mine = word(rested, was/int64(phases))
	c.word.Store(c.mine)
	go c.serve()
	return true
}

// watch begins to look whether the client of a request that takes long is there yet. The server's mu is held.
func (c *session) watch(was, since int64) {
	if c.raw == nil {
		return
	}
	gone := make(chan struct{})
	c.gone = gone
	if !c.word.CompareAndSwap(was, word(watched, since)) {
		return
	}
	go func() {
		defer close(gone)
		ended := false
		err := c.raw.Read(func(fd uintptr) bool {
			var b [1]byte
			n, err := socket.Peek(fd, b[:])
			if errors.Is(err, syscall.EAGAIN) {
				return false
			}
			ended = err != nil || n == 0
			return true
		})
		if ended || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.cancel()
		}
	}()
}

// isPreface says whether what came begins as h2 does. It reads on while that is open.
func (c *session) isPreface() bool {
	const begins = "PRI * HTTP/2.0\r\n"
	if phase(c.mine%int64(phases)) != fresh {
		return false
	}
	for len(c.in) < len(begins) {
		if !bytes.HasPrefix([]byte(begins), c.in) || c.more() != nil {
			return false
		}
	}
	return bytes.HasPrefix(c.in, []byte(begins))
}

// handOver gives the connection to net/http, with all that was read of it.
func (c *session) handOver() {
	c.server.remove(c)
	if !c.enter(busy, 0) { // the clock leaves it alone from then on
		c.conn.Close()
		return
	}
	read := append(bytes.Clone(c.in), c.raws...)
	c.in = nil
	c.giveBack()
	h := c.server.http
	c.server.passed.give(newConn(&prefixed{Conn: c.conn, before: read}, headTime(h), h.MaxHeaderBytes, c.server.clock.Load))
}

// prefixed is a connection of which some was read already.
type prefixed struct {
	net.Conn
	before []byte
}

// Read implements net.Conn.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.before) > 0 {
		n := copy(b, p.before)
		p.before = p.before[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite is as conn has it.
func (p *prefixed) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// close ends the session.
func (c *session) close() {
	c.conn.Close()
	c.server.remove(c)
	c.in = nil
	c.giveBack()
}

// linger closes so that the client can read the answer although it has sent what nobody reads: a connection that is closed with bytes
// unread is reset, and a reset takes away what the client has not read yet.
func (c *session) linger() {
	const patience = time.Second
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		c.lend()
		for {
			if _, err := c.conn.Read(*c.buffer); err != nil {
				break
			}
		}
	}
}

// base is the context of all requests of a session.
type base struct{ *session }

// Deadline, Done, Err and Value implement context.Context.
func (base) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (base) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (base) Err() error { return nil }

// Value implements context.Context. It knows what net/http knows.
func (b base) Value(key any) any {
	switch key {
	case http.LocalAddrContextKey:
		return b.conn.LocalAddr()
	case http.ServerContextKey:
		return b.server.http
	}
	return nil
}
