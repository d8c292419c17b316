package proxy

import (
	"errors"
	"io"
	"math"
	"time"
)

// rest is what follows of an answer's body, read as it comes.
type rest struct {
	x   *call // nil: the answer was closed
	err error // what Read returns from now on
}

var errClosed = errors.New("the answer was closed")

// begin has the rest of the body be read after the answer was handed over. buf stays as it is from then on, as it has what was held.
func (x *call) begin(stream bool) {
	x.rest = &rest{x: x}
	if stream {
		x.deadline = time.Time{}
		if x.sender != nil {
			_ = x.c.SetWriteDeadline(time.Time{}) // as in arm
		}
		if x.silence = x.t.o.StreamTimeout; x.silence > 0 {
			x.heard = time.Now()
		}
	}
	if x.body.framing == chunked {
		x.held, x.buf = x.buf, x.t.buffers.get(smallest)
		x.w = copy(x.buf, x.held[x.r:x.w])
		x.r, x.body.from, x.body.to = 0, 0, 0
	}
	x.watch()
	x.c.arm(x.limit())
}

// Read implements io.Reader.
func (s *rest) Read(p []byte) (int, error) {
	if s.x == nil && s.err == nil {
		s.err = errClosed
	}
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	if err := s.x.ended(); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.x.more(p)
	if err != nil {
		return n, s.fail(err)
	}
	if s.x.body.over {
		s.end()
		if n == 0 {
			return 0, io.EOF
		}
	}
	return n, nil
}

// end is called when all was read.
func (s *rest) end() {
	s.err = io.EOF
	s.x.finish()
}

// fail is called when no more can be read.
func (s *rest) fail(err error) error {
	s.err = s.x.failed(true, err)
	return s.err
}

// more reads the next bytes of the body into p. It returns none, and no error, only at the body's end.
func (x *call) more(p []byte) (int, error) {
	if x.body.framing == chunked {
		return x.moreChunks(p)
	}
	b := &x.body
	if b.framing == sized {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := x.read(p)
	if err == io.EOF && b.framing == untilClose { //nolint:errorlint // what a Reader returns is io.EOF itself
		b.over = true
		return 0, nil
	}
	b.left -= int64(n)
	b.over = b.framing == sized && b.left == 0
	return n, err
}

// moreChunks is more of a chunked body.
func (x *call) moreChunks(p []byte) (int, error) {
	b := &x.body
	for n := 0; ; {
		k := copy(p[n:], x.buf[b.from:b.to]) // data that was taken and not handed out
		b.from += k
		if n += k; n == len(p) {
			return n, nil
		}
		skip, data, err := b.chunks.scan(x.buf[x.r:x.w])
		if err != nil {
			return n, err
		}
		x.r += skip
		if b.over = b.chunks.over(); b.over {
			return n, nil
		}
		if data > 0 {
			b.from, b.to = x.r, x.r+data
			x.r += data
			continue
		}
		if n > 0 { // more would have to be waited for
			return n, nil
		}
		x.w = copy(x.buf, x.buf[x.r:x.w])
		x.r, b.from, b.to = 0, 0, 0
		if err := x.fill(); err != nil {
			return 0, err
		}
	}
}

// WriteTo implements io.WriterTo: what is not chunked goes from socket to socket within the kernel, where w can do that. The error is a
// *Failure, or w's.
func (s *rest) WriteTo(w io.Writer) (written int64, err error) {
	if x := s.x; s.err == nil && x != nil && x.body.framing != chunked && x.silence == 0 && x.c.plain {
		return s.splice(w)
	}
	var buffer []byte
	if s.x != nil {
		buffer = s.x.t.buffers.get(smallest)
		defer s.x.t.buffers.put(buffer)
	}
	for {
		n, err := s.Read(buffer)
		if n > 0 {
			m, err := w.Write(buffer[:n])
			written += int64(m)
			if err != nil {
				return written, err
			}
		}
		if err == io.EOF { //nolint:errorlint // what a Reader returns is io.EOF itself
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// splice copies what is left of the body.
func (s *rest) splice(w io.Writer) (int64, error) {
	x := s.x
	b := &x.body
	from := io.LimitedReader{R: x.c.Conn, N: b.left}
	if b.framing == untilClose {
		from.N = math.MaxInt64
	}
	buffer := x.t.buffers.get(smallest) // where w cannot
	defer x.t.buffers.put(buffer)
	n, err := io.CopyBuffer(w, &from, buffer)
	b.left -= n
	if b.over = err == nil && (b.framing == untilClose || b.left == 0); b.over {
		s.end()
		return n, nil
	}
	if err == nil {
		return n, s.fail(io.EOF)
	}
	if ended := x.ended(); ended != nil {
		return n, s.fail(ended)
	}
	if limit := x.limit(); !limit.IsZero() && !time.Now().Before(limit) {
		return n, s.fail(errLate)
	}
	if x.c.hungUp() && (b.framing == sized || isHungUp(err)) {
		return n, s.fail(err)
	}
	_ = s.fail(err)
	return n, err // w's
}
