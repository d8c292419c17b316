package gateway

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// incoming is a body that is passed on while it comes. The time of the service runs while others are waited for than its client: a body may
// take as long as its client sends, and an instance that does not take it is late all the same.
type incoming struct {
	ctx     context.Context // ends with the client's, or when the time is up
	end     func()          // ends ctx
	body    io.Reader
	control *http.ResponseController
	limit   int64       // bytes of it at most
	endless bool        // it has no limit
	cut     atomic.Bool // nobody wants the rest of it

	mu    sync.Mutex
	n     int64 // bytes that came
	timer *time.Timer
	left  time.Duration // of the service's time, as of since
	since time.Time     // zero: the time does not run
	late  bool
	over  bool  // all of it has come
	bad   error // why it ended otherwise
}

// newIncoming makes what is passed on of b's body, of which body is to be read. It has to be stopped.
func newIncoming(b *buffers, s *Service, body io.Reader) *incoming {
	in := &incoming{body: body, control: http.NewResponseController(b.http.w), limit: s.options.Body, endless: isRPC(b.http.r)}
	in.ctx, in.end = in.follow(b.http.r)
	_ = in.control.EnableFullDuplex() // else net/http/1.1 reads the body itself before it sends an answer
	if in.endless {
		_ = in.control.SetReadDeadline(time.Time{}) // a call goes on for as long as both sides want
	}
	in.left, in.since = s.options.Timeout, time.Now()
	in.timer = time.AfterFunc(in.left, in.up)
	return in
}

// follow returns the context of what is asked: the client's, whose deadline it then has (gRPC), and what ends it. Over HTTP/1.1 that of the
// client, which has no deadline, is taken to be gone where its body is not waited for any more, which is no reason to give up the answer.
func (in *incoming) follow(r *http.Request) (context.Context, func()) {
	client := r.Context()
	if r.ProtoMajor > 1 {
		return context.WithCancel(client)
	}
	ctx, end := context.WithCancel(context.WithoutCancel(client))
	stop := context.AfterFunc(client, func() {
		if !in.cut.Load() {
			end()
		}
	})
	return ctx, func() { stop(); end() }
}

// up is called when the time may be up.
func (in *incoming) up() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.since.IsZero() && time.Since(in.since) >= in.left {
		in.late = true
		in.end()
	}
}

// Read implements io.Reader.
func (in *incoming) Read(p []byte) (int, error) {
	in.pause()
	n, err := in.body.Read(p)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.n += int64(n); in.n > in.limit && !in.endless {
		n, err = 0, &http.MaxBytesError{Limit: in.limit}
	}
	switch {
	case err == io.EOF:
		in.over = true
	case err != nil && !in.cut.Load():
		in.bad = err
	}
	in.resume()
	return n, err
}

// resume lets the time go on. It is called with mu.
func (in *incoming) resume() {
	if in.timer != nil {
		in.since = time.Now()
		in.timer.Reset(in.left)
	}
}

// halt lets the time of a body that is here stand still until what it returns is called.
func (in *incoming) halt() (goOn func()) {
	in.pause()
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.resume()
	}
}

// pause stops the time.
func (in *incoming) pause() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.timer != nil && !in.since.IsZero() {
		in.timer.Stop()
		in.left -= time.Since(in.since)
		in.since = time.Time{}
	}
}

// Close implements io.Closer: whoever reads stops waiting.
func (in *incoming) Close() error {
	in.cut.Store(true)
	return in.control.SetReadDeadline(time.Unix(1, 0))
}

// forever lets the time stand still from now on: the answer is a stream.
func (in *incoming) forever() {
	in.pause()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.timer = nil
}

// ended tells why the body ended too early, if it did, and whether the time is up.
func (in *incoming) ended() (bad error, late bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bad, in.late
}

// stop lets go of it.
func (in *incoming) stop() {
	in.forever()
	in.end()
}

// whole tells whether all of it has come.
func (in *incoming) whole() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.over
}

// endConnection has the client's connection be closed behind the answer, which is yet to begin, where the body may not be read to its end:
// net/http looks after that, but not in full duplex, and would take the rest for the next request.
func (b *buffers) endConnection() {
	if in := b.pass.incoming; in != nil && b.http.r.ProtoMajor == 1 && !in.whole() {
		b.http.w.Header()["Connection"] = []string{"close"}
	}
}
