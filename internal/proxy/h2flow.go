package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// flow is an exchange over h2.
type flow struct {
	m       *multiplexed
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer   // of the deadline, or of a stream's silence; nil: neither
	rest    time.Time     // the deadline, where the rest of an answer is read: the timer runs only then. Zero: there is none
	silence time.Duration // how long a stream may say nothing; 0: for ever

	source *source // of the request's body; nil: it has none
	answer *http.Response
	body   io.ReadCloser
	watch  func() bool // ends what closes body when the exchange is cancelled; nil: there is no body
	buf    []byte
	into   http.Header // the answer's trailer
	err    error       // what Read returns from now on

	connected, sent atomic.Bool
}

// receive holds as much of the body as is asked for, and fills a.
func (f *flow) receive(r *Request, a *Answer, answer *http.Response) error {
	header := answer.Header
	for name := range header {
		if isHop(name) {
			delete(header, name)
		}
	}
	f.answer, f.into = answer, http.Header{}
	stream := isStream(header.Get("Content-Type")) || strings.EqualFold(header.Get("X-Accel-Buffering"), "no")
	hold, n := r.Hold, 0
	if stream {
		hold = 0
		f.endless()
	}
	var err error
	for n < hold && err == nil {
		if n == len(f.buf) {
			f.grow()
		}
		var more int
		more, err = f.body.Read(f.buf[n:min(len(f.buf), hold)])
		n += more
	}
	if err != nil && err != io.EOF {
		return err
	}
	a.Status, a.Header, a.Length, a.Body, a.Rest = answer.StatusCode, header, answer.ContentLength, f.buf[:n:n], f
	a.Stream, a.Trailer, a.Switched, a.held = stream, f.into, nil, f
	if err == nil {
		if !stream && f.timer != nil {
			f.timer.Stop()
			f.rest = r.Deadline
		}
		return nil
	}
	f.over()
	a.Rest = nil
	if r.Method != http.MethodHead && answer.StatusCode != http.StatusNotModified {
		a.Length = int64(n)
	}
	return nil
}

// endless lets the deadline pass: an answer that is a stream has begun.
func (f *flow) endless() {
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.silence > 0 {
		f.timer = time.AfterFunc(f.silence, func() { f.cancel(errSilent) })
	} else {
		f.timer = nil
	}
}

// grow makes room for more of what is held.
func (f *flow) grow() {
	larger := f.m.t.buffers.get(max(smallest, 4*len(f.buf)))
	copy(larger, f.buf)
	f.m.t.buffers.put(f.buf)
	f.buf = larger
}

// over is called when all of the body was read.
func (f *flow) over() {
	f.err = io.EOF
	maps.Copy(f.into, f.answer.Trailer)
	f.stop()
}

// Read implements io.Reader, for what follows of the body.
func (f *flow) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if !f.rest.IsZero() {
		f.timer.Reset(time.Until(f.rest))
		defer f.timer.Stop()
	}
	n, err := f.body.Read(p)
	if f.silence > 0 && n > 0 && f.timer != nil {
		f.timer.Reset(f.silence)
	}
	switch {
	case err == io.EOF:
		f.over()
	case err != nil:
		f.err = f.failed(err)
	}
	return n, f.err
}

// failed says why there is no answer, or no more of it.
func (f *flow) failed(err error) *Failure {
	failure := &Failure{Why: Broken, Sent: f.sent.Load(), Err: err}
	cause := context.Cause(f.ctx)
	switch {
	case errors.Is(cause, errLate), errors.Is(cause, errSilent), errors.Is(cause, context.DeadlineExceeded):
		failure.Why, failure.Err = Late, cause
	case cause != nil:
		failure.Why, failure.Err = Gone, cause
	case f.source != nil && f.source.broken() != nil:
		failure.Why, failure.Err = Gone, f.source.broken()
	case !f.connected.Load():
		failure.Why = Down
	}
	return failure
}

// stop ends the exchange on the connection, and the reading of the request's body.
func (f *flow) stop() {
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.watch != nil {
		f.watch()
	}
	f.cancel(errClosed)
	if f.body != nil {
		f.body.Close()
	}
	if f.source != nil {
		f.source.end()
	}
}

// prolong implements held.
func (f *flow) prolong(by time.Duration) {
	if !f.rest.IsZero() {
		f.rest = f.rest.Add(by)
	}
}

// release implements held.
func (f *flow) release() {
	if f.err == nil {
		f.err = errClosed
	}
	f.stop()
	f.m.t.buffers.put(f.buf)
	f.buf = nil
	if f.m.closed.Load() {
		f.m.http.CloseIdleConnections()
	}
}

// source is a request's body that net/http's transport reads, in a goroutine of its own and perhaps for longer than the answer is there.
type source struct {
	from  io.Reader
	ended atomic.Bool
	once  sync.Once // closes from

	mu  sync.Mutex // held while it is read
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Load() {
		return 0, errClosed
	}
	n, err := s.from.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Close implements io.Closer: nobody is to read any more. It does not wait for who reads; a stream that is an io.Closer is closed for
// that.
func (s *source) Close() error {
	s.ended.Store(true)
	if s.mu.TryLock() {
		s.mu.Unlock()
		return nil
	}
	if closer, ok := s.from.(io.Closer); ok {
		s.once.Do(func() { closer.Close() })
	}
	return nil
}

// end has nobody read any more, and waits for who does.
func (s *source) end() {
	s.Close()
	s.mu.Lock()
	s.mu.Unlock() //nolint:staticcheck // nothing is done under the lock: who held it is waited for
}

// broken returns the stream's error.
func (s *source) broken() error {
	if !s.mu.TryLock() {
		return nil
	}
	defer s.mu.Unlock()
	return s.err
}
