// Package load sends requests to a server at a rate that is kept, and tells how long the answers took.
//
// What it takes care of, because load generators so often do not:
//
//   - In an open loop requests are due at times that do not depend on the server (constant or Poisson arrivals), and latency counts from
//     when a request was due, not from when it could be sent. A server that stands still for a second is seen by all requests of that
//     second ("coordinated omission" is what hides it otherwise).
//   - Nothing is dropped. What finds no free connection waits for one and is counted as late; what waits longer than the timeout fails.
//   - The generator measures itself: how much later than it could have it sent (its lag), and whether it kept the rate. A run in which it
//     did not is invalid, and says so: its figures are the generator's, not the server's.
//   - Latencies are kept in an HDR histogram, so that percentiles are right to three digits; Mean and Max are exact.
//
// Plain HTTP/1.1 on Linux is sent by threads that each wait for sockets and for the next request in one system call (loop_linux.go): Go's
// timers are a millisecond coarse, and a goroutine for each request costs more than the request. All other protocols have a crew of
// goroutines, one for each request in flight, and one thread that tells them when (crew.go).
package load

import (
	"context"
	"sync"
	"time"
)

const (
	grace         = time.Second // within which what is in flight when a run is ended from outside has to be answered
	progressEvery = time.Second
)

// Progress tells how a run is going.
type Progress struct {
	Elapsed, Total time.Duration // since the beginning, and how long it will take; Total is 0 where a count ends the run
	Measuring      bool          // the warm-up is over
	Done           int           // requests that are done since the beginning, or given up
	Rate           float64       // done a second, since the last progress
	Failed, Late   int           // of those
	Latency        Spread        // of those, failed or not
}

// Run sends the requests and reports what became of them. If ctx ends first, so does the run: what was measured until then is reported,
// with Interrupted set. An error means that there is nothing to report: Invalid if the options make no sense, Unavailable if the server
// cannot be reached at all.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	to, err := resolve(ctx, &o)
	if err != nil {
		return nil, err
	}
	r := newRun(&o)
	engines, err := newEngines(ctx, r, to)
	if err != nil {
		return nil, err
	}
	for _, e := range engines {
		defer e.close()
	}
	before := watch()
	r.begin = time.Now()
	var group, beside sync.WaitGroup
	busy := make([]float64, len(engines))
	for i, e := range engines {
		group.Go(func() { busy[i] = e.send(ctx) })
	}
	ended := make(chan struct{})
	if o.Progress != nil {
		beside.Go(func() { r.progress(ended) })
	}
	group.Wait()
	close(ended)
	beside.Wait()
	report := &Report{
		URL: o.URL, Protocol: o.Protocol.String(), InFlight: o.InFlight, Machine: before.until(watch()), Interrupted: ctx.Err() != nil,
	}
	for _, b := range busy {
		report.Machine.Busiest = max(report.Machine.Busiest, b)
	}
	if o.Rate > 0 {
		report.Arrivals = o.Arrivals.String()
	} else {
		report.Arrivals = "closed"
	}
	report.CutOff = r.cut
	r.ledger.report(report)
	report.judge(&o)
	return report, nil
}

// engine sends requests until its desk has no more, and all are done.
type engine interface {
	// send returns which part of the time its thread was busy, 0 if that is not known.
	send(ctx context.Context) (busy float64)
	close()
}

// run is what the engines of one run share.
type run struct {
	o      *Options
	ledger *ledger
	texts  *texts
	begin  time.Time

	mu  sync.Mutex
	cut int // requests that count and were due, and not done, when the run was ended from outside
}

func newRun(o *Options) *run {
	return &run{o: o, ledger: newLedger(o), texts: newTexts(o)}
}

// newEngines makes what sends the requests of a run, with its connections made.
func newEngines(ctx context.Context, r *run, to *target) ([]engine, error) {
	if r.o.Protocol == HTTP1 && !to.tls {
		if engines, ok, err := newLoops(r, to); ok {
			return engines, err
		}
	}
	lanes, err := newLanes(ctx, r, to)
	if err != nil {
		return nil, err
	}
	return []engine{newCrew(r, lanes)}, nil
}

// enter enters what became of a request; body is what was kept of its answer's.
func (r *run) enter(t ticket, at timing, res result, body []byte) {
	if res.problem == "" && r.o.Verify != nil {
		if err := r.o.Verify(r.texts.payload(t.n), res.status, body); err != nil {
			res.problem, res.example = wrongAnswer, err.Error()
		}
	}
	if res.problem == "" && !r.o.Expect.has(res.status) && res.example == "" {
		res.example = string(body)
	}
	r.ledger.add(t, at, res)
}

// now is the time since the beginning.
func (r *run) now() time.Duration { return time.Since(r.begin) }

// cutOff counts requests of which nobody will know how they would have ended.
func (r *run) cutOff(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut += n
}

// cutOffOne counts one that has been sent.
func (r *run) cutOffOne(t ticket) {
	if t.measured {
		r.cutOff(1)
	}
}

// progress tells how the run is going until it has ended.
func (r *run) progress(ended <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	last := time.Duration(0)
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		p := Progress{Elapsed: r.now()}
		warm := r.o.Ramp + r.o.WarmUp
		p.Measuring = p.Elapsed >= warm
		if r.o.Duration > 0 {
			p.Total = warm + r.o.Duration
		}
		done, now, latency := r.ledger.look()
		p.Done, p.Failed, p.Late, p.Latency = done, now.failed, now.late, latency
		p.Rate = float64(now.requests) / (p.Elapsed - last).Seconds()
		last = p.Elapsed
		r.o.Progress(p)
	}
}
