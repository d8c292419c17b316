package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// call is one exchange over HTTP/1.1, from its request to the end of its answer. Calls are used again.
type call struct {
	t        *transport
	c        *conn // nil: there is none, or it was given back
	ctx      context.Context
	deadline time.Time     // zero: none
	silence  time.Duration // how long a stream may say nothing; 0: for ever
	heard    time.Time     // when a stream last said something

	buf    []byte // the request's head; then the answer, of which r to w was not looked at yet
	r, w   int
	out    []byte // of buf: the request's head, and a small body
	late   []byte // a body that does not fit into out
	head   head
	header http.Header
	body   body
	held   []byte // the buffer that has the body's beginning, where buf is another
	rest   *rest

	sender  *sender
	glanced bool        // the wait for the answer was looked at once
	stop    func() bool // ends the watch for the asker's going away; nil: there is none
	tunnel  *tunnel
	small   [8 << 10]byte
}

// glance is how long an answer may take before it is watched whether the one who asked goes away. Watching from the start would cost
// every exchange an allocation and a lock; most answers are here before.
const glance = 20 * time.Millisecond

var (
	errLate   = errors.New("no answer in time")
	errSilent = errors.New("the stream was silent for too long")
)

// maxInformational is how many answers of 1xx may come before the one that counts.
const maxInformational = 8

// do makes the exchange.
func (x *call) do(r *Request, a *Answer) *Failure {
	for fresh := false; ; {
		if err := x.compose(r); err != nil {
			return &Failure{Why: Gone, Err: err}
		}
		kept, f := x.connect(fresh)
		if f != nil {
			return f
		}
		before := x.c.written
		sent, err := x.ask(r, kept)
		if err == nil {
			err = x.readHead(r)
		}
		if err == nil {
			break
		}
		switch {
		case errors.Is(err, errStale) && kept:
			x.drop()
		case kept && !fresh && x.mayRepeat(r, sent, before, err):
			x.drop()
			fresh = true
		default:
			return x.failed(sent > 0, err)
		}
	}
	if err := x.receive(r, a); err != nil {
		return x.failed(true, err)
	}
	return nil
}

// connect takes a connection: one that was kept, or one that is made for this.
func (x *call) connect(fresh bool) (kept bool, f *Failure) {
	t := x.t
	c, f := t.pool.get(x.ctx, x.deadline, fresh)
	if f != nil {
		return false, f
	}
	if c == nil {
		tcp, outer, err := t.dialer.dial(x.ctx, x.deadline)
		if err == nil {
			c, err = newConn(tcp, outer)
		}
		if err != nil {
			t.pool.drop(nil)
			return false, t.dialer.failed(x.ctx, x.deadline, err)
		}
	}
	x.c = c
	kept, c.used = c.used, true
	return kept, nil
}

// mayRepeat says that a request which a kept connection gave no answer to may be sent again: the instance hung up before it said
// anything, and the request is safe, or the instance has not had it.
func (x *call) mayRepeat(r *Request, sent int, before uint64, err error) bool {
	if x.w > 0 || !isHungUp(err) || r.Stream != nil && x.sender != nil {
		return false
	}
	return r.Safe || sent == 0 || x.sender == nil && x.c.unheard(before)
}

// compose writes the request's head into the buffer, and a small body behind it.
func (x *call) compose(r *Request) (err error) {
	x.r, x.w, x.glanced, x.body, x.late = 0, 0, false, body{}, nil
	if x.out, err = appendHead(x.buf[:0], r, x.t.o.Host); err != nil {
		return err
	}
	switch {
	case r.Stream != nil:
	case len(r.Body) <= cap(x.out)-len(x.out):
		x.out = append(x.out, r.Body...)
	default:
		x.late = r.Body
	}
	if cap(x.out) > len(x.buf) {
		x.buf = x.out[:cap(x.out)]
	}
	return nil
}

// ask sends the request, or as much of it as the instance takes before it answers, and reads the first bytes of the answer. It returns how
// much was sent, what a sender sends left aside.
func (x *call) ask(r *Request, kept bool) (int, error) {
	c := x.c
	late := !x.deadline.IsZero() && c.armed.After(x.deadline)
	if late || c.armed.IsZero() && (!x.deadline.IsZero() || x.ctx.Done() != nil) {
		c.arm(x.nextLook(time.Now()))
	}
	c.turn = turn{out: x.out, body: x.late, wait: r.Stream == nil, kept: kept, in: x.buf}
	if !c.plain {
		_ = c.SetWriteDeadline(x.deadline) // as in arm
	}
	for {
		err := c.take()
		if err == nil {
			break
		}
		if err = x.woken(err); err != nil {
			return c.turn.sent, err
		}
	}
	if c.turn.phase == read {
		x.w = c.turn.n
		return c.turn.sent, nil
	}
	x.buf = x.t.buffers.get(smallest) // the request may go on from the other
	x.sendBeside([2][]byte{c.turn.out, c.turn.body}, r)
	return max(c.turn.sent, 1), nil
}

// read reads what the instance says, and waits for it as long as the request may wait.
func (x *call) read(p []byte) (int, error) {
	for {
		n, err := x.c.Read(p)
		if n > 0 {
			if x.silence > 0 {
				x.heard = time.Now()
			}
			return n, nil
		}
		if err = x.woken(err); err != nil {
			return 0, err
		}
	}
}

// fill reads more behind w.
func (x *call) fill() error {
	if x.w == len(x.buf) {
		x.makeRoom()
	}
	n, err := x.read(x.buf[x.w:])
	x.w += n
	return err
}

// limit is when the wait for the instance ends.
func (x *call) limit() time.Time {
	if x.silence > 0 {
		return x.heard.Add(x.silence)
	}
	return x.deadline
}

// nextLook is when a wait that begins now is to be looked at: at its limit, or before, to see whether it is to be watched.
func (x *call) nextLook(now time.Time) time.Time {
	limit := x.limit()
	if look := now.Add(glance); x.ctx.Done() != nil && x.stop == nil && (limit.IsZero() || look.Before(limit)) {
		return look
	}
	return limit
}

// woken is called where a wait on the connection ended with err. It returns nil where the wait goes on.
//
// A connection's deadline is not that of the request: it is moved on only when it has come, so that most exchanges set none.
func (x *call) woken(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	now := time.Now()
	if limit := x.limit(); !limit.IsZero() && !now.Before(limit) {
		if x.silence > 0 {
			err = errSilent
		} else {
			err = errLate
		}
		return err
	}
	if x.glanced {
		x.watch()
	}
	x.glanced = true
	x.c.arm(x.nextLook(now))
	return x.ended() // after the deadline was set, as those who end a wait set it too
}

// watch has the wait end when the one who asked goes away.
func (x *call) watch() {
	if x.stop == nil && x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, x.c.hangUp)
	}
}

// ended says why there is nothing to wait for any more, if that is so.
func (x *call) ended() error {
	if x.sender != nil {
		if f := x.sender.failed.Load(); f != nil {
			return f
		}
	}
	return x.ctx.Err()
}

// failed gives up, and says why.
func (x *call) failed(sent bool, err error) *Failure {
	if ended := x.ended(); ended != nil {
		err = ended
	}
	x.drop()
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	f := &Failure{Why: Broken, Sent: sent, Err: err}
	switch {
	case errors.Is(err, errLate), errors.Is(err, errSilent), errors.Is(err, context.DeadlineExceeded):
		f.Why = Late
	case x.ctx.Err() != nil:
		f.Why, f.Err = Gone, context.Cause(x.ctx)
	case err == io.EOF: //nolint:errorlint // what a Reader returns is io.EOF itself
		f.Err = errHungUp
	}
	return f
}

var errHungUp = errors.New("the instance hung up before its answer was over")

// finish gives the connection back, to be used again if the answer has left it so that it can be.
func (x *call) finish() {
	c := x.c
	keep := x.head.keep && x.body.kept() && x.r == x.w
	if x.sender != nil {
		wait := grace
		if !x.body.over {
			wait = 0
		}
		if keep = x.sender.stop(wait) && keep; keep {
			c.written += x.sender.sent
			keep = c.SetWriteDeadline(time.Time{}) == nil
		}
		x.sender = nil
	}
	if x.stop != nil {
		keep = x.stop() && keep // else hangUp is on its way
		x.stop = nil
	}
	x.c = nil
	c.turn = turn{} // it has the request's memory
	if keep {
		x.t.pool.put(c)
	} else {
		x.t.pool.drop(c)
	}
}

// drop gives up the connection, if there is one.
func (x *call) drop() {
	if x.c != nil {
		x.head.keep = false
		x.finish()
	}
}

// release implements held: the answer is not needed any more.
func (x *call) release() {
	x.drop()
	if x.rest != nil {
		x.rest.x, x.rest = nil, nil
	}
	if x.tunnel != nil {
		x.tunnel.Close()
		x.tunnel = nil
	}
	x.t.buffers.put(x.buf)
	x.t.buffers.put(x.held)
	x.buf, x.held, x.out, x.late, x.ctx = nil, nil, nil, nil, nil
	x.silence = 0
	if len(x.header) > 64 {
		x.header = make(http.Header, 8)
	} else {
		clear(x.header)
	}
	x.t.calls.Put(x)
}
