package frontdoor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	longestTick  = 250 * time.Millisecond
	shortestTick = 5 * time.Millisecond
	// silent is how old a connection is that has never said anything, and that Shutdown does not wait for.
	silent = 5 * time.Second
)

// Server serves HTTP/1.1 for a handler of net/http, with about half of what net/http itself takes for it, and hands connections that begin
// with the preface of h2 to net/http. A connection without a request holds no buffer, and after a while little stack.
//
// What differs from net/http, beyond what the guard refuses: the context of a request ends because its client has gone only once the request
// has taken a while (some hundred milliseconds), times are kept to a quarter of a second, and what is left of a request's body is read after
// the answer and not before.
type Server struct {
	http   *http.Server
	passed *handover
	every  time.Duration // between two looks at all sessions

	closing atomic.Bool
	clock   atomic.Int64           // about what time it is: nanoseconds since begin
	date    atomic.Pointer[[]byte] // the Date field, with its name and end
	begin   time.Time

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  []*session
	serving   sync.WaitGroup // what Serve has started, connections left aside
	stop      chan struct{}  // ends it
	stopOnce  sync.Once
	left      chan struct{} // told, without waiting, when a session has ended
}

// NewServer returns a server that goes by the fields of one of net/http: Handler, ReadHeaderTimeout, ReadTimeout, IdleTimeout, MaxHeaderBytes
// and ErrorLog. h is also what serves h2, and must speak it without TLS (http.Protocols). It is the server's from then on.
func NewServer(h *http.Server) *Server {
	h.ConnState = ConnState
	if h.MaxHeaderBytes <= 0 {
		h.MaxHeaderBytes = http.DefaultMaxHeaderBytes
	}
	s := &Server{
		http: h, passed: newHandover(), every: longestTick, begin: time.Now(),
		listeners: map[net.Listener]struct{}{}, stop: make(chan struct{}), left: make(chan struct{}, 1),
	}
	for _, d := range []time.Duration{h.ReadHeaderTimeout, h.ReadTimeout, h.IdleTimeout} {
		if d > 0 {
			s.every = max(min(s.every, d/4), shortestTick)
		}
	}
	s.tick(s.begin)
	return s
}

// Serve serves what comes on l until Shutdown or Close is called, and returns http.ErrServerClosed then. It is called once.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		return http.ErrServerClosed
	}
	defer l.Close()
	s.serving.Go(func() { _ = s.http.Serve(s.passed) }) // it ends when the hand-over is closed
	s.serving.Go(s.keepTime)
	const first, most = 5 * time.Millisecond, time.Second
	wait := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			if !s.add(conn) {
				conn.Close()
			}
			continue
		case s.closing.Load():
			return http.ErrServerClosed
		}
		if temporary, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err); !ok || !temporary.Temporary() { // as it is where there are too many open files
			return err
		}
		wait = min(max(2*wait, first), most)
		select {
		case <-s.stop:
			return http.ErrServerClosed
		case <-time.After(wait):
		}
	}
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

// add begins a session.
func (s *Server) add(conn net.Conn) bool {
	c := newSession(s, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	c.at = len(s.sessions)
	s.sessions = append(s.sessions, c)
	go c.serve()
	return true
}

// remove forgets a session that has ended, or whose connection is somebody else's now.
func (s *Server) remove(c *session) {
	s.mu.Lock()
	last := len(s.sessions) - 1
	s.sessions[c.at] = s.sessions[last]
	s.sessions[c.at].at = c.at
	s.sessions[last] = nil
	s.sessions = s.sessions[:last]
	s.mu.Unlock()
	select {
	case s.left <- struct{}{}:
	default:
	}
}

// Shutdown stops listening, closes connections that wait for a request, and returns once the others have ended: nil, or the error of ctx
// if that ends first.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.close()
	h2 := make(chan error, 1)
	go func() { h2 <- s.http.Shutdown(ctx) }()
	for look := time.NewTicker(s.every); ; {
		if s.dismiss() == 0 {
			look.Stop()
			break
		}
		select {
		case <-ctx.Done():
			look.Stop()
			return errors.Join(ctx.Err(), <-h2)
		case <-s.left:
		case <-look.C:
		}
	}
	if e := <-h2; e != nil {
		return e
	}
	s.end()
	s.serving.Wait()
	return err
}

// Close stops listening and closes all connections at once. It does not wait for handlers.
func (s *Server) Close() error {
	err := errors.Join(s.close(), s.http.Close())
	s.mu.Lock()
	for _, c := range s.sessions {
		c.conn.Close()
	}
	s.mu.Unlock()
	s.end()
	s.serving.Wait()
	return err
}

// close closes the listeners.
func (s *Server) close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	clear(s.listeners)
	return err
}

// dismiss ends the sessions that wait for a request, and returns how many there are yet.
func (s *Server) dismiss() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sessions {
		c.dismiss()
	}
	return len(s.sessions)
}

func (s *Server) end() { s.stopOnce.Do(func() { close(s.stop) }) }

// handover is a listener to which connections of h2 come.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// give hands a connection over.
func (h *handover) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}
