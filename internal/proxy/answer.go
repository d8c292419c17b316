package proxy

import (
	"bytes"
	"io"
	"net/http"
)

// readHead reads up to the end of the head of the answer that counts.
func (x *call) readHead(r *Request) error {
	for range maxInformational + 1 {
		end, err := x.headEnd()
		if err != nil {
			return err
		}
		b := x.buf[x.r:end]
		clear(x.header)
		if err := x.head.parse(b, string(b), x.header); err != nil {
			return err
		}
		x.r = end + 2
		if x.head.status == http.StatusSwitchingProtocols {
			return x.maySwitch(r)
		}
		if x.head.status >= 200 {
			return nil
		}
	}
	return malformedf("more than %d of 1xx", maxInformational)
}

// headEnd returns where the head's empty line begins, and reads on until that is here.
func (x *call) headEnd() (int, error) {
	from := x.r
	for {
		if i := bytes.Index(x.buf[from:x.w], emptyLine); i >= 0 {
			if i += from + 2; i-x.r <= x.t.o.MaxHead {
				return i, nil
			}
		}
		if x.w-x.r > x.t.o.MaxHead {
			return 0, malformedf("its head is larger than %d bytes", x.t.o.MaxHead)
		}
		if !mayBecomeHead(x.buf[x.r:x.w], from-x.r) {
			return 0, malformedf("it begins with %q", brief(x.buf[x.r:x.w]))
		}
		from = max(x.r, x.w-3)
		shift := x.r
		if err := x.fill(); err != nil {
			return 0, err
		}
		from -= shift - x.r // fill may have moved it
	}
}

var emptyLine = []byte("\r\n\r\n")

// mayBecomeHead says that what is here, of which what is in front of from was looked at before, may go on to be a head. What speaks
// something else, or ends its lines in something else, is not waited for.
func mayBecomeHead(b []byte, from int) bool {
	const begin = "HTTP/1."
	if n := min(len(b), len(begin)); string(b[:n]) != begin[:n] {
		return false
	}
	for i := from; i < len(b); i++ {
		if b[i] == '\n' && b[i-1] != '\r' {
			return false
		}
	}
	return true
}

// makeRoom makes room behind w: by moving what is needed to the front, or into a larger buffer.
func (x *call) makeRoom() {
	from := x.body.from
	if x.body.framing == unknown {
		from = x.r
	}
	into := x.buf
	if from < len(x.buf)/2 {
		into = x.t.buffers.get(4 * len(x.buf))
	}
	x.w = copy(into, x.buf[from:x.w])
	x.r -= from
	x.body.from -= from
	x.body.to -= from
	if &into[0] != &x.buf[0] {
		x.t.buffers.put(x.buf)
		x.buf = into
	}
}

// framing says how the end of a body is found.
type framing uint8

const (
	unknown framing = iota
	none            // there is no body
	sized           // Content-Length
	chunked
	untilClose
)

// body is what of the answer's body is held, and how it goes on.
type body struct {
	framing  framing
	left     int64 // of sized: bytes that were not taken yet
	chunks   chunks
	from, to int  // where in the buffer what was taken is
	over     bool // all was taken
	odd      bool // the head speaks of a body where there can be none
}

// kept says that the connection is where the next answer begins.
func (b *body) kept() bool { return b.over && b.framing != untilClose && !b.odd }

// frame says how the body is framed (RFC 9112, section 6.3).
func (x *call) frame(method string) {
	h := &x.head
	b := body{from: x.r, to: x.r, left: h.length}
	switch {
	case method == http.MethodHead, h.status == http.StatusNotModified:
		b.framing = none
	case h.status == http.StatusNoContent:
		b.framing, b.odd = none, h.chunked || h.length > 0
	case h.chunked:
		b.framing = chunked
	case h.length == 0:
		b.framing = none
	case h.length > 0:
		b.framing = sized
	default:
		b.framing = untilClose
	}
	b.over = b.framing == none
	x.body = b
}

// receive holds as much of the body as is asked for, and fills the answer.
func (x *call) receive(r *Request, a *Answer) error {
	if x.head.status == http.StatusSwitchingProtocols {
		return x.change(a)
	}
	x.frame(r.Method)
	if x.sender != nil && x.head.status >= 300 {
		x.sender.stop(grace) // it does not want the rest (RFC 9112, section 9.5)
	}
	hold := r.Hold
	stream := x.head.stream && !x.body.over
	if stream {
		hold = 0
	}
	for {
		if err := x.takeBody(); err != nil {
			return err
		}
		if x.body.over || x.body.to-x.body.from >= hold {
			break
		}
		if err := x.fillBody(); err != nil {
			return err
		}
	}
	x.fillAnswer(a, r.Method, stream)
	return nil
}

// fillAnswer hands over what was received.
func (x *call) fillAnswer(a *Answer, method string, stream bool) {
	b := &x.body
	a.Status, a.Header, a.Stream, a.Trailer, a.Switched, a.held = x.head.status, x.header, stream, nil, nil, x
	a.Body, a.Rest, a.Length = x.buf[b.from:b.to:b.to], nil, x.head.length
	switch {
	case method == http.MethodHead || a.Status == http.StatusNotModified:
		if x.head.chunked {
			a.Length = -1
		}
	case b.framing == none:
		a.Length = 0
	case b.framing != sized && b.over:
		a.Length = int64(len(a.Body))
	}
	if b.over {
		x.finish()
		return
	}
	x.begin(stream)
	a.Rest = x.rest
}

// takeBody takes what of the body has been read, which it moves together behind what was taken before.
func (x *call) takeBody() error {
	b := &x.body
	switch b.framing {
	case sized:
		n := int(min(b.left, int64(x.w-x.r)))
		x.r += n
		b.to = x.r
		b.left -= int64(n)
		b.over = b.left == 0
	case untilClose:
		x.r, b.to = x.w, x.w
	case chunked:
		for !b.over {
			skip, data, err := b.chunks.scan(x.buf[x.r:x.w])
			if err != nil {
				return err
			}
			x.r += skip
			b.to += copy(x.buf[b.to:], x.buf[x.r:x.r+data])
			x.r += data
			b.over = b.chunks.over()
			if skip+data == 0 {
				break
			}
		}
		if x.r > b.to && !b.over { // what comes next stands right behind
			x.w = b.to + copy(x.buf[b.to:], x.buf[x.r:x.w])
			x.r = b.to
		}
	}
	return nil
}

// fillBody reads more of the body.
func (x *call) fillBody() error {
	err := x.fill()
	if err == io.EOF && x.body.framing == untilClose { //nolint:errorlint // what a Reader returns is io.EOF itself
		x.body.over = true
		return nil
	}
	return err
}
