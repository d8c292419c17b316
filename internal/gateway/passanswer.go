package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy"
)

// pieces are what answers are sent on in, where they are longer than what is held.
var pieces = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// deliver sends the upstream's answer on.
func (g *Gateway) deliver(b *buffers, c *call, q *question) answered {
	p, w := &b.pass, b.http.w
	a := &p.answer
	if a.Status == http.StatusSwitchingProtocols {
		return g.switchOver(b, c, q)
	}
	stream := a.Stream || isRPC(b.http.r)
	h := w.Header()
	copyHeader(h, a.Header)
	switch {
	case a.Rest != nil && a.Length < 0, stream, len(a.Trailer) > 0, a.Status == http.StatusNoContent, a.Status == http.StatusNotModified:
	case a.Rest == nil && b.http.r.Method != http.MethodHead:
		h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	case a.Length >= 0:
		h["Content-Length"] = []string{strconv.FormatInt(a.Length, 10)}
	}
	g.allowWrite(w)
	w.WriteHeader(a.Status)
	done := answered{status: a.Status}
	var sent error
	if len(a.Body) > 0 {
		sent = b.sendOn(a.Body)
	}
	if a.Rest != nil {
		if stream {
			done.took = g.options.Now().Sub(c.at)
			defer g.last(b)()
		}
		done.status, done.err = g.relay(b, sent, stream)
	}
	if !p.broken {
		for name, values := range a.Trailer {
			h[http.TrailerPrefix+name] = values
		}
		if isRPC(b.http.r) {
			done.status = b.statusOfRPC()
		}
	}
	return done
}

// copyHeader makes what an upstream answered the header of the answer, beside what is there. The fields that are Serin's it cannot set.
func copyHeader(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Set-Cookie", "Ratelimit", "Ratelimit-Policy": // the sticky cookie, and our limits, stand beside the upstream's own
			if ours := to[name]; len(ours) > 0 {
				to[name] = append(ours[:len(ours):len(ours)], values...)
				continue
			}
		case "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset": // of which there is one
			if len(to[name]) > 0 {
				continue
			}
		case TokenHeader, FallbackHeader:
			continue
		}
		to[name] = values
	}
	if _, typed := from["Content-Type"]; !typed {
		to["Content-Type"] = nil // net/http would guess one
	}
}

// last lets a stream last: no deadline ends it, only its client, its upstream, or the gateway when it parts. What it returns has to be called
// when the stream is over.
func (g *Gateway) last(b *buffers) func() {
	p, control := &b.pass, http.NewResponseController(b.http.w)
	if p.incoming != nil {
		p.incoming.forever()
	}
	_ = control.SetReadDeadline(time.Time{}) // net/http ends a request's context with it
	if p.end == nil {
		return func() {}
	}
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-g.parting:
			p.end()
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-watched
	}
}

// relay sends the rest of an answer on as it comes, and returns how it ended. Each write has its own time, so that who does not read holds
// nothing for long. An answer that breaks off is cut, so that its client never takes it for whole.
func (g *Gateway) relay(b *buffers, sent error, stream bool) (status int, err error) {
	d, p, w := &b.decision, &b.pass, b.http.w
	control := http.NewResponseController(w)
	flush := stream || p.answer.Length < 0
	piece := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(piece)
	// A call of gRPC that has ended with its header must not go on behind it.
	begun := stream && p.answer.Header[grpcStatus] == nil
	for n := len(p.answer.Body); ; {
		if flush && sent == nil && (n > 0 || begun) {
			sent = p.toClient(control.Flush)
			if errors.Is(sent, http.ErrNotSupported) {
				sent = nil
			}
		}
		if _, bad := errors.AsType[*badAnswer](sent); bad {
			p.broken = true
			return g.brokenOff(d, p, sent)
		}
		if sent != nil {
			return p.left(stream), nil
		}
		if b.http.r.ProtoMajor > 1 {
			_ = control.SetWriteDeadline(time.Time{}) // with which h2 ends a stream on which nothing is being written, too
		}
		n, err = p.answer.Rest.Read(piece[:])
		if n > 0 {
			g.allowWrite(w)
			sent = b.sendOn(piece[:n])
		}
		switch {
		case err == io.EOF && sent == nil:
			return p.answer.Status, nil
		case err == nil, sent != nil:
			continue
		case p.ctx.Err() != nil:
			return p.left(stream), nil
		}
		p.broken = true
		return g.brokenOff(d, p, err)
	}
}

// sendOn writes a piece of the answer's body to the client, which has time of its own to take it.
func (b *buffers) sendOn(piece []byte) error {
	if b.pass.answer.Rest == nil {
		return b.write(piece)
	}
	return b.pass.toClient(func() error { return b.write(piece) })
}

func (b *buffers) write(piece []byte) error {
	n, err := b.http.w.Write(piece)
	b.pass.sent += int64(n)
	return err
}

// shortWrite is how long a write may take that does not wait for its client. Longer ones use up none of the service's time, and are not in
// the variant's latency: that a client is slow is no fault of the variant, and it gets all of its answer.
const shortWrite = 10 * time.Millisecond

// toClient calls what writes to the client, and lets the answer's time stand still while that has to wait.
func (p *passed) toClient(write func() error) error {
	resume := func() {}
	if p.incoming != nil && p.incoming.whole() {
		resume = p.incoming.halt()
	}
	began := time.Now()
	err := write()
	if took := time.Since(began); took > shortWrite {
		p.answer.Prolong(took)
		p.waited += took
	}
	resume()
	return err
}

// left is the status of an answer whose client went away. Of a stream it is the usual end.
func (p *passed) left(stream bool) int {
	p.broken = true
	if stream {
		return p.answer.Status
	}
	return statusGone
}

// brokenOff is the status of an answer that had begun when it ended too early, as it is counted. Its client was told another one.
func (g *Gateway) brokenOff(d *decision, p *passed, err error) (int, error) {
	var late bool
	if p.incoming != nil {
		var bad error
		if bad, late = p.incoming.ended(); bad != nil { // the client broke off first
			return statusGone, bad
		}
	}
	f, ok := errors.AsType[*proxy.Failure](err)
	if late || ok && f.Why == proxy.Late || errors.Is(err, os.ErrDeadlineExceeded) {
		d.timedOut = true
		d.failed(tooLate)
		return http.StatusGatewayTimeout, fault.Unavailablef("the answer was not over in time: %w", err)
	}
	d.failed(erred)
	return http.StatusBadGateway, fault.Unavailablef("the answer broke off: %w", err)
}
