package frontdoor

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
)

// requestBody is the body of a request, read from its session's connection.
type requestBody struct {
	session *session
	answer  *response

	mu      sync.Mutex
	left    int64 // of the length, or of the chunk
	chunked bool
	began   bool  // a chunk was begun: its end stands before the next
	expects bool  // the client waits for 100 before it sends
	failed  error // what Read says from now on; io.EOF once all was read
	closed  bool
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.next(p)
}

// Close implements io.Closer. The session reads what is left.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// next is Read with mu held.
func (b *requestBody) next(p []byte) (n int, err error) {
	if b.failed != nil {
		return 0, b.failed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.expects {
		b.expects = false
		if err := b.answer.sendContinue(); err != nil {
			return 0, b.fail(err)
		}
	}
	if b.chunked && b.left == 0 {
		if err := b.chunk(); err != nil {
			return 0, b.fail(err)
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if c := b.session; len(c.in) > 0 {
		n = copy(p, c.in)
		c.in = c.in[n:]
	} else if n, err = c.direct(p); n == 0 && err != nil {
		return 0, b.fail(err)
	}
	if b.left -= int64(n); b.left == 0 && !b.chunked {
		return n, b.fail(io.EOF)
	}
	return n, nil
}

// fail ends the body.
func (b *requestBody) fail(err error) error {
	b.failed = err
	switch c := b.session; {
	case errors.Is(err, io.EOF) && b.left == 0:
		c.enter(busy, c.server.clock.Load()) // if its time is up, that shows when the answer has been sent
	case errors.Is(err, errRefused):
	default: // the client has gone, or its time is up
		if errors.Is(err, io.EOF) {
			b.failed = io.ErrUnexpectedEOF
		}
		c.cancel()
	}
	return b.failed
}

// chunk reads up to the next chunk's first byte, or the body's end, of which it returns io.EOF.
func (b *requestBody) chunk() error {
	if b.began {
		if _, err := b.line(); err != nil {
			return err
		}
	}
	b.began = true
	line, err := b.line()
	if err != nil {
		return err
	}
	size, _, _ := bytes.Cut(line, []byte{';'})
	if b.left = hexadecimal(size); b.left < 0 {
		b.left = 0
		return errRefused
	}
	if b.left > 0 {
		return nil
	}
	return b.trailer()
}

// trailer reads what follows the last chunk.
func (b *requestBody) trailer() error {
	var text []byte
	for {
		line, err := b.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		text = append(append(text, line...), "\r\n"...)
		if len(text) > b.session.server.http.MaxHeaderBytes {
			return errRefused
		}
	}
	if len(text) > 0 {
		fields, problem := parseFields(string(text))
		if problem != nil {
			return errRefused
		}
		if r := b.answer.request; r.Trailer == nil {
			r.Trailer = fields
		} else {
			maps.Copy(r.Trailer, fields)
		}
	}
	return io.EOF
}

// line reads a line, without its end. It is good until something else is read.
func (b *requestBody) line() ([]byte, error) {
	c := b.session
	for seen := 0; ; {
		if end := bytes.IndexByte(c.in[seen:], '\n'); end >= 0 {
			line := c.in[:seen+end]
			c.in = c.in[seen+end+1:]
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if seen = len(c.in); seen > c.server.http.MaxHeaderBytes {
			return nil, errRefused
		}
		if err := c.more(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// mostDrained is how much of a body that the handler has left is read to keep a connection.
const mostDrained = 256 << 10

// keeps says whether what is left of the body lets another request come after it, before it is read.
func (b *requestBody) keeps() bool {
	if !b.mu.TryLock() { // somebody reads it yet
		return false
	}
	defer b.mu.Unlock()
	switch {
	case b.failed != nil:
		return errors.Is(b.failed, io.EOF)
	case b.expects:
		return false // who knows whether it comes
	}
	return b.left <= mostDrained
}

// finish ends the body for whoever has it, and reads what is left if the connection is to be kept, as far as that is not much. It says
// whether all of it was read.
func (b *requestBody) finish(keep bool) bool {
	if !b.mu.TryLock() { // somebody reads it yet
		_ = b.session.conn.SetReadDeadline(past)
		b.mu.Lock()
		b.answer.last = true // the deadline stays
	}
	defer b.mu.Unlock()
	b.closed = true
	if b.failed != nil || !keep || b.answer.last {
		return errors.Is(b.failed, io.EOF)
	}
	waste := make([]byte, 4<<10)
	for left := mostDrained; left > 0; {
		n, err := b.next(waste)
		left -= n
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
	return false
}
