package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/wire"
)

// passLabel stands in metrics and logs where a dialect would.
const passLabel = "pass"

// Upstream answers what is passed on to it; *proxy.Upstream does.
type Upstream interface {
	// Ask fills a with the answer to r, which is there by r.Deadline, or returns a *proxy.Failure. The caller closes a.
	Ask(ctx context.Context, r *proxy.Request, a *proxy.Answer) error
	// Available tells whether any instance may be asked.
	Available() bool
}

// passed is what is kept of one request that is passed on.
type passed struct {
	passage  *passage
	target   string // what an upstream is asked for
	request  proxy.Request
	answer   proxy.Answer
	set      []proxy.Field // of request, whose memory is kept
	incoming *incoming     // the body, where it is not read before; nil: it is
	ctx      context.Context
	end      func()    // ends ctx; nil: nobody but the client can
	begun    time.Time // when it was let in
	deadline time.Time
	sent     int64         // bytes of the answer's body
	waited   time.Duration // for the client to take them
	broken   bool          // the answer had begun when it broke off: its client must not take it for whole
}

// reset forgets the request before.
func (p *passed) reset() {
	clear(p.set)
	*p = passed{set: p.set[:0]}
}

// live sets the context that upstreams are asked with: the client's own or, where the answer may be a stream that is to end when the gateway
// parts, one that can be ended.
func (p *passed) live(r *http.Request) {
	switch {
	case p.incoming != nil:
		p.ctx, p.end = p.incoming.ctx, p.incoming.end
	case r.ProtoMajor > 1 || wantsEvents(r):
		p.ctx, p.end = context.WithCancel(r.Context())
	default:
		p.ctx = r.Context()
	}
}

// wantsEvents tells whether a client has asked for server-sent events.
func wantsEvents(r *http.Request) bool {
	for _, accepted := range r.Header["Accept"] {
		if strings.Contains(accepted, "text/event-stream") {
			return true
		}
	}
	return false
}

// ServeHTTP passes a request on, and its answer back.
func (p *passage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := p.gateway
	start := g.options.Now()
	b := scratch.Get().(*buffers)
	defer b.release()
	b.reset()
	b.http = httpCall{w: w, r: r}
	q := question{place: place{spot: p.spot}, service: p.service}
	c := call{at: start, ctx: r.Context(), facts: g.from(r, &b.behind), path: r.URL.Path, header: w.Header(), secure: r.TLS != nil}
	a := answered{}
	if a.err = p.enter(b, r); a.err == nil {
		a = g.pass(b, &c, &q)
	} else {
		a.status = g.refusePassed(b, a.err)
	}
	if a.took == 0 { // else the answer is a stream, whose beginning counts
		a.took = g.options.Now().Sub(start) - b.pass.waited
	}
	if !a.told {
		g.done(b, &c, &q, a)
	}
	if a.status == statusGone || b.pass.broken {
		hangUp()
	}
}

// enter finds what an upstream is asked for.
func (p *passage) enter(b *buffers, r *http.Request) (err error) {
	b.pass.passage = p
	if b.pass.target, err = p.target(r); err != nil {
		return err
	}
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace { // a tunnel, and an echo of headers that are the server's own
		b.http.w.Header()["Allow"] = []string{"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}
		return &statusError{http.StatusMethodNotAllowed, fault.Invalidf("%s is not passed on", r.Method)}
	}
	return nil
}

// pass asks the variant that is drawn, and sends on what it answers. Where it does not, another one is asked if the service wants that; in
// the end the fallback stands in.
func (g *Gateway) pass(b *buffers, c *call, q *question) (a answered) {
	d := &b.decision
	d.service = q.service
	refused := g.hold(d, c, q.place.spot)
	if err := cmp.Or(refused, g.decide(d, c, "")); err != nil {
		return g.standInPassed(b, err)
	}
	in := g.metrics.of(d.assigned, q.place.spot).inFlight
	in.Inc()
	defer in.Dec()
	err := g.takeIn(b, q.service)
	if b.pass.incoming != nil {
		defer b.pass.incoming.stop()
	}
	if err != nil {
		b.endConnection()
		return g.standInPassed(b, err)
	}
	defer q.service.leave()
	if b.pass.live(b.http.r); b.pass.end != nil {
		defer b.pass.end()
	}
	defer b.pass.answer.Close()
	if len(q.service.shadows) > 0 {
		defer func() { g.shadowPassed(b, c, q, a) }()
	}
	err = g.askAround(b, c)
	b.endConnection()
	switch {
	case err != nil:
		return g.standInPassed(b, err)
	case d.answered.options.Files != nil:
		return g.sendFile(b)
	}
	status := b.pass.answer.Status
	if f := d.standIn(nil, status); f != nil && !isRPC(b.http.r) {
		return answered{status: g.fallBack(b.http.w, b, f), err: errAnswered(status)}
	}
	return g.deliver(b, c, q)
}

// errAnswered tells the log what an upstream said that a fallback stands in for.
func errAnswered(status int) error { return fault.Unavailablef("the upstream answered %d", status) }

// takeIn lets a request in, unless there is no room. A small body is read first, so that who sends slowly keeps nobody out, and so that it
// can be sent again; a large one is let in with its request, and passed on as it comes.
func (g *Gateway) takeIn(b *buffers, s *Service) (err error) {
	r := b.http.r
	switch {
	case s.full():
		err = s.crowded()
	case r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody:
	case !isRPC(r) && r.ContentLength > s.options.Body:
		err = tooLarge(s.options.Body)
	default:
		err = b.readSmall(s)
	}
	if err == nil {
		err = s.admit()
	}
	if err != nil && errors.As(err, new(soon)) {
		b.decision.shed = true
		g.metrics.shed(s)
	}
	b.pass.begun = time.Now()
	if b.pass.incoming == nil {
		b.pass.deadline = b.pass.begun.Add(s.options.Timeout)
	}
	return err
}

// askAround asks the variant that was drawn, and then others where it fails, each once and all within the service's time. Where all have
// failed and the last one has said something itself, that is the answer.
func (g *Gateway) askAround(b *buffers, c *call) error {
	d := &b.decision
	for {
		v := d.answered
		if v.options.Files != nil {
			return nil
		}
		if v.options.Upstream == nil {
			return fault.Internalf("variant %q is a model: nothing can be passed on to it", v.Name())
		}
		b.fill(g, c, v)
		err := v.options.Upstream.Ask(b.pass.ctx, &b.pass.request, &b.pass.answer)
		if err == nil {
			d.upstream += b.pass.answer.Took
		} else {
			d.upstream = time.Since(b.pass.begun)
			err = b.unanswered(err)
		}
		f, sent := b.verdict(err)
		if f == none {
			return err
		}
		d.failed(f)
		again := b.pass.incoming == nil && (b.pass.request.Safe || !sent)
		if !again || !g.another(d, f, b.pass.deadline) {
			return err
		}
		b.pass.answer.Close()
		b.pass.answer = proxy.Answer{}
	}
}

// verdict tells how an upstream has failed that gave err, or an answer, and whether it may have acted on the request.
func (b *buffers) verdict(err error) (f failure, sent bool) {
	if err == nil {
		if b.pass.answer.Status >= http.StatusInternalServerError {
			return erred, true
		}
		return none, true
	}
	failed, ok := errors.AsType[*proxy.Failure](err)
	return failureOf(err, statusOf(err)), !ok || failed.Sent
}

// unanswered returns what is to be told, and logged, where an upstream has not answered.
func (b *buffers) unanswered(err error) error {
	d := &b.decision
	if in := b.pass.incoming; in != nil {
		switch bad, late := in.ended(); {
		case bad != nil:
			return unread(bad, b.http.r)
		case late:
			err = &proxy.Failure{Why: proxy.Late, Sent: true, Err: err}
		}
	}
	f, ok := errors.AsType[*proxy.Failure](err)
	if !ok {
		return err
	}
	// Whoever has the caller's own time ends its call when that is over, in one way or another.
	over := errors.Is(b.http.r.Context().Err(), context.DeadlineExceeded) || isRPC(b.http.r) && b.hurries(time.Since(b.pass.begun))
	if over {
		f = &proxy.Failure{Why: proxy.Late, Sent: f.Sent, Err: f}
	}
	switch f.Why {
	case proxy.Late:
		d.timedOut, d.hurried = true, over
		return &unanswered{http.StatusGatewayTimeout, fault.Unavailablef("no answer within %v", d.service.options.Timeout), f}
	case proxy.Broken:
		return &unanswered{http.StatusBadGateway, fault.Unavailablef("service %q broke off its answer", d.service.Name()), f}
	case proxy.Full:
		return &unanswered{http.StatusServiceUnavailable, soon{fault.Unavailablef("service %q has as many requests as it takes; ask again in a second", d.service.Name())}, f}
	case proxy.Down:
		return &unanswered{http.StatusServiceUnavailable, soon{fault.Unavailablef("service %q cannot be reached", d.service.Name())}, f}
	case proxy.Gone:
		if refused, ok := errors.AsType[*fault.Error](f.Err); ok { // what the client sent cannot be sent on
			return refused
		}
	}
	return errGone
}

// unanswered is why there is no answer: what a client is told, and its cause, which holds addresses.
type unanswered struct {
	status int
	public error
	*proxy.Failure
}

// Error implements error. It is for the log.
func (u *unanswered) Error() string { return u.public.Error() + ": " + u.Failure.Error() }

// Unwrap returns both.
func (u *unanswered) Unwrap() []error { return []error{&statusError{u.status, u.public}, u.Failure} }

// standInPassed answers with the fallback, or with an error.
func (g *Gateway) standInPassed(b *buffers, err error) answered {
	status := statusOf(err)
	if f := b.decision.standIn(err, status); f != nil && !isRPC(b.http.r) {
		return answered{status: g.fallBack(b.http.w, b, f), err: err}
	}
	return answered{status: g.refusePassed(b, err), err: err}
}

// refusePassed answers with an error, and returns its status.
func (g *Gateway) refusePassed(b *buffers, err error) int {
	w, status := b.http.w, statusOf(err)
	if status == statusGone { // nobody listens
		return status
	}
	if u, ok := errors.AsType[*unanswered](err); ok {
		err = u.public
	}
	w.Header()["X-Content-Type-Options"] = g.nosniff
	if isRPC(b.http.r) {
		g.refuseRPC(w, status, b.decision.timedOut, err)
		return status
	}
	retryAfter(w.Header(), err)
	if e, ok := errors.AsType[*limited](err); ok {
		b.out = e.problem(b.out[:0])
		g.send(w, b.http.r, status, wire.Frame{ContentType: problemType}, b.out)
		return status
	}
	b.out = wire.OpenInference{}.Error(b.out[:0], status, public(err))
	g.send(w, b.http.r, status, wire.Frame{}, b.out)
	return status
}

// isRPC tells whether a request is a call of gRPC.
func isRPC(r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return false
	}
	values := r.Header["Content-Type"]
	if len(values) == 0 {
		return false
	}
	rest, ok := strings.CutPrefix(values[0], "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
