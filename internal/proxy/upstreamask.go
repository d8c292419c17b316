package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Ask passes a request on to an instance, and to others if need be, and fills a with the answer. The caller closes it. The error is a
// *Failure, and a then holds nothing. The request's deadline holds for all of it: waiting, connecting, every instance asked.
//
// An answer is an answer whatever its status, but for those that Retry.On names while another instance may be asked.
//
//   - Down, at once: no instance is well, and the time of none has come to be tried (see health.go). Available tells before whether it would
//     be so. With FailOpen an instance is asked all the same. Where one that hung up or was not there is being tried at this moment, Ask
//     waits for the outcome for up to a tenth of a second: instances that are made anew one after the other lose no request. Or none of
//     those asked could be reached.
//   - Full, at once: as many requests as the Breaker lets in are with the upstream, and as many as may wait do; or all instances have as many
//     as they can answer in time (see shedder). Or after a quarter of the time, if no connection became free by then.
//   - Late: there was no answer by the deadline.
//   - Broken: the last instance asked hung up, or sent what is no answer.
//   - Gone: ctx was cancelled.
func (u *Upstream) Ask(ctx context.Context, r *Request, a *Answer) error {
	start := u.o.Now()
	u.requests.Add(1)
	if !r.Deadline.IsZero() && !start.Before(r.Deadline) {
		return errPast
	}
	if !u.gate.tryEnter() {
		if f := u.queue(ctx, r, start); f != nil {
			return f
		}
	}
	at := start.Sub(u.born)
	in, probe := u.pick(at, r, nil, true)
	if in == nil {
		if in, probe = u.await(ctx, r, start); in == nil {
			u.gate.leave()
			return u.refuse()
		}
		at = u.clock()
	}
	heard, with := in.answers.Load(), in.inFlight.Load()
	err := in.x.exchange(ctx, r, a)
	if err == nil && a.Status < 500 && !u.retries.answer(a.Status) && !probe && !in.multiplexed {
		in.count(a.Status)
		if in.troubled.Load() {
			u.judge(in, false, outcome{})
		}
		a.Instance, a.Attempts, a.done = in.name, 1, in.leave[judged]
		a.Took = u.o.Now().Sub(start)
		if usual := u.usual(r, start); usual > 0 {
			in.took(sample{start: at, took: a.Took, time: usual, with: with}, int(u.gate.room))
		}
		return nil
	}
	t := try{u: u, r: r, start: start, in: in, with: with, probe: probe, heard: heard, began: at}
	return t.goOn(ctx, a, err)
}

var errPast = &Failure{Why: Late, Err: errors.New("the deadline had passed before an instance was asked")}

// queue waits for room, for a part of the time that there is.
func (u *Upstream) queue(ctx context.Context, r *Request, start time.Time) error {
	left := time.Duration(0)
	if !r.Deadline.IsZero() {
		left = r.Deadline.Sub(start)
	}
	if f := u.gate.wait(ctx, left); f != nil {
		return f
	}
	return nil
}

// usual is the time that a request that came then should have, to judge by what becomes of it; 0: it has for ever.
func (u *Upstream) usual(r *Request, start time.Time) time.Duration {
	if r.Deadline.IsZero() {
		return 0
	}
	return max(r.Deadline.Sub(start), u.o.Timeout)
}

// moment is how long a request waits for an instance that is being tried, a quarter of its time at most.
const moment = 100 * time.Millisecond

// await is for when nobody is well. It waits a moment for one that is being tried to turn out well. It returns nil if none does.
func (u *Upstream) await(ctx context.Context, r *Request, start time.Time) (in *instance, probe bool) {
	within := moment
	if !r.Deadline.IsZero() {
		within = min(within, r.Deadline.Sub(start)/4)
	}
	var over *time.Timer
	for {
		now := u.roster.Load()
		if in, probe = u.pick(u.clock(), r, nil, true); in != nil || now.replaced == nil || !u.hopeful() {
			return in, probe
		}
		if over == nil {
			over = time.NewTimer(within)
			defer over.Stop()
		}
		select {
		case <-now.replaced:
		case <-over.C:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

// refuse is the failure of a request for which there is no instance.
func (u *Upstream) refuse() error {
	if f := u.roster.Load().down; f != nil {
		u.nobodyWell.Add(1)
		return f
	}
	u.gate.refused.Add(1)
	return errBound
}

var errBound = &Failure{Why: Full, Err: errors.New("more requests than are with the instances would be late")}

// try is a request that is with an instance, or was.
type try struct {
	u     *Upstream
	r     *Request
	start time.Time

	in    *instance
	probe bool
	heard int64         // answers of the instance when it was asked
	began time.Duration // when it was asked
	with  int64         // requests with it then
	tried []*instance
	room  [4]*instance // for tried
	asked int          // instances that the request was sent to
	sent  bool         // one of them may have acted on it
}

// goOn takes note of how an exchange ended, and asks others as long as that is allowed and of use.
func (t *try) goOn(ctx context.Context, a *Answer, err error) error {
	t.tried = t.room[:0]
	for {
		t.tried = append(t.tried, t.in)
		var f *Failure
		if err != nil {
			f = failureOf(err)
		}
		finish := t.note(a, f)
		if next, probe := t.next(a, f); next != nil {
			if f == nil {
				a.Close()
			}
			t.in.inFlight.Add(-1)
			t.in, t.probe = next, probe
			t.heard, t.began, t.with = next.answers.Load(), t.u.clock(), next.inFlight.Load()
			err = next.x.exchange(ctx, t.r, a)
			continue
		}
		if f == nil {
			a.Instance, a.Attempts, a.done = t.in.name, len(t.tried), t.in.leave[finish]
			a.Took = t.u.o.Now().Sub(t.start)
			return nil
		}
		t.in.done()
		return t.failure(f)
	}
}

// note counts how the exchange ended and has it judged. It returns what is left to do when the answer is closed.
func (t *try) note(a *Answer, f *Failure) (finish int) {
	u, in := t.u, t.in
	took, usual := u.clock()-t.began, u.usual(t.r, t.start)
	had := 2*took >= usual // time for an answer
	if usual > 0 && (f == nil || f.Why == Late && had) {
		in.took(sample{t.began, took, usual, t.with, f != nil}, int(u.gate.room))
	}
	if f != nil {
		t.sent = t.sent || f.Sent
		if f.Sent {
			t.asked++
		}
		in.failures[f.Why].Add(1)
		u.judge(in, t.probe, failed(f, had, in.answers.Load() == t.heard))
		return judged
	}
	t.sent = true
	t.asked++
	in.count(a.Status)
	status := a.Status
	if in.multiplexed && status == 200 && strings.HasPrefix(a.Header.Get("Content-Type"), "application/grpc") {
		said, known := grpcStatus(a.Header)
		if !known && t.probe {
			return judgedAsProbe
		} else if !known {
			return judgedLater
		}
		status = said
	}
	u.judge(in, t.probe, answered(status))
	return judged
}

// next returns another instance to ask, nil if the request ends here.
func (t *try) next(a *Answer, f *Failure) (in *instance, probe bool) {
	u, r := t.u, t.r
	resent := f == nil || f.Sent
	switch {
	case u.retries.attempts == 1 || t.asked >= u.retries.attempts:
		return nil, false
	case f == nil && !u.retries.answer(a.Status), f != nil && !u.retries.failure(f):
		return nil, false
	case resent && (!r.Safe || r.Stream != nil):
		return nil, false
	}
	now := u.o.Now()
	if !r.Deadline.IsZero() && !now.Before(r.Deadline) {
		return nil, false
	}
	at := now.Sub(u.born)
	if resent && !u.budget.take(u.requests.Load(), at) {
		u.denied.Add(1)
		return nil, false
	}
	if in, probe = u.pick(at, r, t.tried, f != nil); in == nil {
		if resent {
			u.budget.give()
		}
		return nil, false
	}
	if resent {
		u.retried.Add(1)
	} else {
		u.unreached.Add(1)
	}
	return in, probe
}

// failure is what Ask returns after the last instance failed.
func (t *try) failure(f *Failure) error {
	if n := len(t.tried); n > 1 {
		return &Failure{Why: f.Why, Sent: t.sent, Err: fmt.Errorf("%s, the last of %d instances asked: %w", t.in.name, n, f.Err)}
	}
	return &Failure{Why: f.Why, Sent: t.sent, Err: fmt.Errorf("%s: %w", t.in.name, f.Err)}
}

// failureOf returns an exchange's error as what it is.
func failureOf(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Why: Broken, Sent: true, Err: err}
}
