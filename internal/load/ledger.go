package load

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// problem says why a request got no answer. The empty one: it got one, whatever its status.
type problem string

// The problems. Reports show these texts.
const (
	noConnection  problem = "connect"  // the connection could not be made
	noLane        problem = "unsent"   // no connection was free within the timeout
	tooLate       problem = "timeout"  // sent, but not answered within the timeout
	brokenOff     problem = "closed"   // the connection ended before the whole answer was there
	notUnderstood problem = "protocol" // the answer breaks the rules of its protocol
	wrongAnswer   problem = "verify"   // the answer is not the one that was expected
	wrongStatus   problem = "status"   // with the status after it
)

// result is what became of a request.
type result struct {
	status  int     // of the answer: HTTP's, or gRPC's code
	problem problem // why there is none
	example string  // what the server or the system says of it
	in, out int     // bytes received and sent
}

// timing is when what happened to a request, counted from the beginning of the run.
type timing struct {
	sent time.Duration // its first byte was sent; notSent: never
	done time.Duration // its last byte was there, or it was given up
}

const notSent time.Duration = -1

// ledger counts what becomes of the requests of a run. It is safe for concurrent use.
type ledger struct {
	expect Statuses
	name   func(status int) string

	mu       sync.Mutex
	ok       *spread // time from due to done, of requests that were answered as expected
	failed   *spread // of the others
	lag      *spread // from when a request could have been sent to when it was: the generator's own fault
	recent   *spread // of all, since the last look
	all      int     // counted or not, that are done
	now      counts  // of those that were done since the last look
	total    counts
	statuses map[int]int
	problems map[string]*Problem

	due, sent first2last // of the requests that were due, and of those of them that were sent
	done      time.Duration
}

// counts are sums over requests.
type counts struct{ requests, failed, late, in, out int }

func (c *counts) add(o counts) {
	c.requests += o.requests
	c.failed += o.failed
	c.late += o.late
	c.in += o.in
	c.out += o.out
}

// first2last is how many there were, and the times of the first and the last.
type first2last struct {
	n           int
	first, last time.Duration
}

func (f *first2last) add(at time.Duration) {
	if f.n == 0 || at < f.first {
		f.first = at
	}
	f.last = max(f.last, at)
	f.n++
}

// rate is how many a second there were, from the first to the last; 0 for fewer than two.
func (f *first2last) rate() float64 {
	if f.n < 2 || f.last == f.first {
		return 0
	}
	return float64(f.n-1) / (f.last - f.first).Seconds()
}

func newLedger(o *Options) *ledger {
	l := &ledger{
		expect: o.Expect, name: o.Protocol.statusName,
		ok: newSpread(), failed: newSpread(), lag: newSpread(), recent: newSpread(), statuses: map[int]int{}, problems: map[string]*Problem{},
	}
	return l
}

// add enters what became of a request.
func (l *ledger) add(t ticket, at timing, r result) {
	fine := r.problem == "" && l.expect.has(r.status)
	took := at.done - t.due
	c := counts{requests: 1, in: r.in, out: r.out}
	if !fine {
		c.failed = 1
	}
	if t.held > 0 {
		c.late = 1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all++
	l.now.add(c)
	l.recent.add(took)
	if !t.measured {
		return
	}
	l.total.add(c)
	l.due.add(t.due)
	l.done = max(l.done, at.done)
	if at.sent != notSent {
		l.sent.add(at.sent)
		l.lag.add(at.sent - t.due - t.held)
	}
	if r.problem == "" {
		l.statuses[r.status]++
	}
	if fine {
		l.ok.add(took)
		return
	}
	l.failed.add(took)
	kind := string(r.problem)
	if r.problem == "" {
		kind = string(wrongStatus) + " " + l.name(r.status)
	}
	p := l.problems[kind]
	if p == nil {
		p = &Problem{Kind: kind, Example: printable(r.example)}
		l.problems[kind] = p
	}
	p.Count++
}

// printable makes text of others safe to print, on one line and not too long.
func printable(text string) string {
	const longest = 200
	cut := text[:min(len(text), longest)]
	cut = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(cut, "?"))
	if len(text) > longest {
		cut += "..."
	}
	return strings.TrimSpace(cut)
}

// look returns what was done since the last look.
func (l *ledger) look() (done int, now counts, latency Spread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, latency = l.now, l.recent.spread()
	latency.histogram = nil // used again
	l.now = counts{}
	l.recent.reset()
	return l.all, now, latency
}

// report fills a report in.
func (l *ledger) report(r *Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Requests, r.Failed, r.Late = l.total.requests, l.total.failed, l.total.late
	r.BytesIn, r.BytesOut = int64(l.total.in), int64(l.total.out)
	r.Latency, r.FailedLatency, r.Lag = l.ok.spread(), l.failed.spread(), l.lag.spread()
	r.Statuses = map[string]int{}
	for status, n := range l.statuses {
		r.Statuses[l.name(status)] = n
	}
	r.Problems = []Problem{}
	for _, p := range slices.SortedFunc(maps.Values(l.problems), func(a, b *Problem) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Kind, b.Kind)) }) {
		r.Problems = append(r.Problems, *p)
	}
	r.AskedRate, r.SentRate = l.due.rate(), l.sent.rate()
	if l.due.n > 0 {
		r.Elapsed = l.done - l.due.first
	}
	if r.Elapsed > 0 {
		r.Rate = float64(r.Requests-r.Failed) / r.Elapsed.Seconds()
	}
}
