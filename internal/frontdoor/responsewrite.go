package frontdoor

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/serin-ml/serin/internal/socket"
)

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.session.taken {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, w.unsent
	case w.bare:
		return 0, http.ErrBodyNotAllowed
	}
	if w.wrote += int64(len(p)); w.length >= 0 && w.wrote > w.length {
		w.wrote -= int64(len(p))
		w.last = w.last || !w.bodiless
		return 0, http.ErrContentLength
	}
	switch {
	case w.length >= 0:
		if !w.told {
			w.tell(-1, p)
		}
		if !w.bodiless {
			w.put(p)
		}
	case len(w.gather)+len(p) <= gathered:
		w.gather = append(w.gather, p...)
	default:
		if !w.told {
			first := w.gather
			if len(first) == 0 {
				first = p
			}
			w.tell(-1, first)
		}
		w.chunk(p)
	}
	if w.unsent != nil {
		return 0, w.unsent
	}
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// put adds to what is to be sent, and sends it where it has become much.
func (w *response) put(p []byte) {
	if out := w.lent(); len(out)+len(p) <= cap(out) {
		out = append(out, p...)
		*w.out = out
		return
	}
	w.send(p)
}

// chunk puts what was gathered, and p, as one chunk: or as it is, where the body ends with the connection.
func (w *response) chunk(p []byte) {
	n := len(w.gather) + len(p)
	if n == 0 || w.bodiless {
		w.gather = w.gather[:0]
		return
	}
	if w.chunked {
		*w.out = append(strconv.AppendInt(w.lent(), int64(n), 16), "\r\n"...)
	}
	w.put(w.gather)
	w.gather = w.gather[:0]
	w.put(p)
	if w.chunked {
		*w.out = append(w.lent(), "\r\n"...)
	}
}

// send sends what was put, and then p.
func (w *response) send(p []byte) {
	if w.out == nil || w.unsent != nil {
		return
	}
	w.failed(w.session.send(*w.out, p))
	if cap(*w.out) == bufferSize {
		*w.out = (*w.out)[:bufferSize]
		buffers.Put(w.out)
	}
	w.out = nil
}

// failed takes note that not all could be sent, if that is so: there is no client any more.
func (w *response) failed(err error) {
	if err != nil {
		w.unsent = err
		w.session.cancel()
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what there is (http.ResponseController).
func (w *response) FlushError() error {
	if w.session.taken {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.told {
		w.tell(-1, w.gather)
	}
	if w.length < 0 {
		w.chunk(nil)
	}
	w.send(nil)
	return w.unsent
}

// ReadFrom implements io.ReaderFrom: a file whose length was told is sent by the kernel.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	direct, ok := w.session.conn.(io.ReaderFrom)
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !ok || w.session.taken || w.bodiless || w.length < 0 || !w.typed {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	if until := w.session.patience; !until.IsZero() {
		w.session.timed = true
		_ = w.session.conn.SetWriteDeadline(until)
	}
	left := w.length - w.wrote
	bounded, ok := r.(*io.LimitedReader) // one bound alone is what the kernel knows to send
	if !ok || bounded.N > left {
		bounded = &io.LimitedReader{R: r, N: left}
	}
	n, err := direct.ReadFrom(bounded)
	w.wrote += n
	return n, err
}

// SetReadDeadline sets the time by which the body has to come, in place of the server's ReadTimeout (http.ResponseController). As with
// net/http, a time that is over ends the context of the request; where nothing is left to read, it does so at once. It may be called beside
// the handler.
func (w *response) SetReadDeadline(t time.Time) error {
	w.session.ruled.Store(true)
	err := w.session.conn.SetReadDeadline(t)
	if !t.IsZero() && !t.After(time.Now()) && (w.body == nil || w.body.over()) {
		w.session.cancel()
	}
	return err
}

// SetWriteDeadline sets the time by which the client has to read (http.ResponseController). It costs something only where the client does
// not read at once.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.session.patience = t
	if w.session.raw == nil || w.session.timed {
		w.session.timed = true
		return w.session.conn.SetWriteDeadline(t)
	}
	return nil
}

// EnableFullDuplex does nothing: what is left of a request is read after the answer (http.ResponseController).
func (w *response) EnableFullDuplex() error { return nil }

// Hijack implements http.Hijacker.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.session
	if c.taken {
		return nil, nil, http.ErrHijacked
	}
	if w.body != nil && !w.body.whole() {
		return nil, nil, errors.New("frontdoor: a connection cannot be taken over before the request's body was read")
	}
	c.server.remove(c)
	c.taken = true
	if !c.enter(busy, 0) {
		c.conn.Close()
		return nil, nil, os.ErrDeadlineExceeded
	}
	if w.status != 0 && !w.told {
		w.tell(-1, nil)
	}
	w.send(nil)
	c.untime()
	before := append(append([]byte(nil), c.in...), c.raws...)
	c.in = nil
	c.giveBack()
	r := bufio.NewReader(&prefixed{Conn: c.conn, before: before})
	if len(before) > 0 {
		_, _ = r.Peek(min(len(before), r.Size())) // so that Buffered tells of it
	}
	return c.conn, bufio.NewReadWriter(r, bufio.NewWriter(c.conn)), nil
}

// untime takes the deadlines of a request off the connection.
func (c *session) untime() {
	c.patience = time.Time{}
	if c.timed {
		c.timed = false
		_ = c.conn.SetWriteDeadline(time.Time{})
	}
	if c.ruled.Load() {
		c.ruled.Store(false)
		_ = c.conn.SetReadDeadline(time.Time{})
	}
}

// send writes head, and then body.
func (c *session) send(head, body []byte) error {
	if c.raw == nil || len(body) > 0 {
		if !c.patience.IsZero() && !c.timed {
			c.timed = true
			_ = c.conn.SetWriteDeadline(c.patience)
		}
		_, err := (&net.Buffers{head, body}).WriteTo(c.conn)
		return err
	}
	if len(head) == 0 {
		return nil
	}
	c.out, c.unsent = head, nil
	err := c.raw.Write(c.some)
	c.out = nil
	if err == nil {
		err = c.unsent
	}
	return err
}

// writeSome writes what it can of out. Only where that is not all of it a deadline is set.
func (c *session) writeSome(fd uintptr) bool {
	for len(c.out) > 0 {
		n, err := socket.Write(fd, c.out)
		switch {
		case err == nil:
			c.out = c.out[n:]
		case errors.Is(err, syscall.EAGAIN):
			if !c.patience.IsZero() && !c.timed {
				c.timed = true
				_ = c.conn.SetWriteDeadline(c.patience)
			}
			return false
		default:
			c.unsent = os.NewSyscallError("write", err)
			return true
		}
	}
	return true
}

// over says whether all of the body was read, and does not wait for who reads it.
func (b *requestBody) over() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return errors.Is(b.failed, io.EOF)
}

// whole says whether all of the body was read.
func (b *requestBody) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.failed, io.EOF)
}

func (s *Server) logf(format string, args ...any) {
	if l := s.http.ErrorLog; l != nil {
		l.Printf("frontdoor: "+format, args...)
	}
}
