package proxy

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

// What is known of an instance's health, and who is asked for it.
//
// Three judges can put an instance aside, and it is asked when none of them does:
//   - passive health (MaxFails, FailTimeout), as NGINX has it: requests that got no answer. With one instance it is ignored, as there.
//   - active checks (Check).
//   - outlier detection (Outlier), as Envoy has it: answers of 500 and more count too.
//
// One that was put aside by its requests is tried again, when its time has come, by one request: the others keep away until that one is
// over. Success brings it back, failure puts it aside for another while. A check that passes ends the wait, not the doubt.
//
// Passive health differs from NGINX in three points. An answer is never a failure, whatever its status: statuses are judged by Outlier. A
// request that got no answer in time is none if the instance answered others meanwhile, or if it had less than half of the time that there
// was: an instance that has too much to do would take with it the others, one after the other, and so would clients that give requests next
// to no time (see Options.Timeout). And where all are put aside, those that gave
// no answers are tried at once rather than when their time has come, but one request at a time each (see desperate): what was but a hiccup
// is over with the next request, and what hangs has one of them. One to which no connection could be made is knocked at (see Run).
type health struct {
	// Passive, in NGINX's words.
	fails    int
	accessed time.Duration // when it failed last
	checked  time.Duration // when it failed last, or was chosen after FailTimeout

	// Of outlier detection.
	consecutive5xx     int
	consecutiveGateway int
	ejected            bool
	mute               bool // for giving no answer, and not for what it answered
	lost               Why  // why it gave no answer the last time that it was asked in vain
	ejectedAt          time.Duration
	returnedAt         time.Duration // when the last ejection ended
	backoff            int           // the next ejection is this and one times the base time
	ejections          int64
	faults             int64 // since the upstream is there: no answer, or one of 500 and more
	sweptAsked         int64 // asked and faults as they were at the last sweep
	sweptFaults        int64

	check verdict
	good  int // checks passed in a row
	bad   int // checks failed in a row

	aside   bool          // it is not asked
	knocked bool          // somebody sees whether it is there again
	retry   time.Duration // when one request may try it
	shown   State         // as it was told last
	why     string        // it is aside
	since   time.Time
}

// verdict is what checks say.
type verdict uint8

const (
	unsaid verdict = iota
	passes
	fails
)

// never is when what does not happen happens.
const never time.Duration = math.MaxInt64

// outcome is how an exchange ended, as health sees it.
type outcome struct {
	fault   bool // a failure to Outlier
	passive bool // and to MaxFails
	gateway bool // and one of the kind that gateways report
	slow    bool // a failure among answers: it counts where shares of failures are compared, and nowhere else
	unheard bool // it says nothing of the instance
	status  int  // what was answered
	err     error
}

// answered judges an answer by its status.
func answered(status int) outcome {
	if status < 500 {
		return outcome{}
	}
	return outcome{fault: true, gateway: status == 502 || status == 503 || status == 504, status: status}
}

// failed judges an exchange that gave no answer. had says that the instance had time for one, alone that it answered nobody else meanwhile.
func failed(f *Failure, had, alone bool) outcome {
	switch {
	case f.Why == Down, f.Why == Broken, f.Why == Late && had && alone:
		return outcome{fault: true, passive: true, gateway: true, err: f}
	case f.Why == Late && had:
		return outcome{fault: true, slow: true, err: f}
	}
	return outcome{unheard: true} // who asked went away, or it was not asked
}

// why says what o speaks against an instance.
func (o *outcome) why() string {
	if o.err != nil {
		return o.err.Error()
	}
	return fmt.Sprintf("it answered %d", o.status)
}

// judge takes note of how an exchange ended. probe says that it was to find out whether the instance is well again.
func (u *Upstream) judge(in *instance, probe bool, o outcome) {
	if !probe && !o.fault && (o.unheard || !in.troubled.Load()) {
		return
	}
	u.mu.Lock()
	at := u.clock()
	switch {
	case o.unheard:
		if in.aside && in.check != fails { // another may find out
			in.retry = min(in.retry, at)
			u.rank()
		}
	case !o.fault:
		u.cleared(in, probe, at)
	default:
		u.faulted(in, probe, &o, at)
	}
	told := u.told()
	u.mu.Unlock()
	u.tell(told)
}

// cleared takes note of a good answer. The lock is held.
func (u *Upstream) cleared(in *instance, probe bool, at time.Duration) {
	in.consecutive5xx, in.consecutiveGateway = 0, 0
	alone := len(u.roster.Load().well) == 0 // where nobody is well, an answer is proof enough
	if in.accessed < in.checked || probe || alone {
		in.fails = 0
	}
	if in.ejected && (probe || alone && u.silent(in)) {
		in.uneject(at)
	}
	u.settle(in, false)
}

// faulted takes note of a failure. The lock is held.
func (u *Upstream) faulted(in *instance, probe bool, o *outcome, at time.Duration) {
	in.faults++
	if o.slow {
		return
	}
	if f, ok := errors.AsType[*Failure](o.err); ok {
		in.lost = f.Why
	}
	if o.passive && u.o.MaxFails > 0 {
		in.fails++
		in.accessed, in.checked = at, at
		if in.fails >= u.o.MaxFails && !in.ejected {
			in.why = o.why()
		}
	}
	u.suspect(in, probe, o, at)
	u.settle(in, probe || o.passive)
}

// touch is called when an instance is chosen that failed and was not put aside. The failures of the last FailTimeout are forgotten with the
// next good answer if none has come since.
func (u *Upstream) touch(in *instance, at time.Duration) {
	u.mu.Lock()
	if at-in.checked > u.o.FailTimeout {
		in.checked = at
	}
	u.mu.Unlock()
}

// settle puts an instance aside or takes it back, as what is known of it says. again says that one that stays aside waits anew. The lock is
// held.
func (u *Upstream) settle(in *instance, again bool) {
	failing := u.o.MaxFails > 0 && in.fails >= u.o.MaxFails && len(u.all) > 1
	was, retry := in.aside, in.retry
	in.troubled.Store(in.fails > 0 || in.ejected || in.consecutive5xx > 0)
	in.aside = failing || in.ejected || in.check == fails
	switch {
	case !in.aside, in.check == fails:
		in.retry = never
	case was && !again && in.retry != never:
	default:
		in.retry = 0
		if failing {
			in.retry = in.checked + u.o.FailTimeout
		}
		if in.ejected {
			in.retry = max(in.retry, in.ejectedAt+u.o.Outlier.out(in.backoff))
		}
	}
	if !in.aside {
		in.why = ""
	}
	if in.aside != was || in.retry != retry {
		u.rank()
	}
	if now := in.state(); in.aside != was || in.aside && now != in.shown {
		in.shown, in.since = now, u.o.Now()
		u.events = append(u.events, event{in: in.name, state: now, why: in.why, wait: in.retry - u.clock(), probed: in.retry != never})
	}
}

// settleAll settles every instance: how many there are has changed. The lock is held.
func (u *Upstream) settleAll() {
	for _, in := range u.all {
		u.settle(in, false)
	}
	u.rank()
}

// state tells how an instance is. The lock is held.
func (in *instance) state() State {
	switch {
	case in.aside && in.ejected && in.check != fails:
		return Ejected
	case in.aside:
		return Failing
	case in.check == passes, in.answers.Load() > 0:
		return Healthy
	}
	return Unchecked
}

// event is a change to be logged.
type event struct {
	in     string
	state  State
	why    string
	wait   time.Duration
	probed bool // after wait
}

// told returns what is to be logged when the lock is no longer held. It is held.
func (u *Upstream) told() []event {
	e := u.events
	u.events = nil
	return e
}

func (u *Upstream) tell(events []event) {
	for _, e := range events {
		switch {
		case e.state == Healthy || e.state == Unchecked:
			u.o.Log.Info("an upstream's instance is well again", "instance", e.in)
		case e.probed:
			u.o.Log.Warn("an upstream's instance is put aside", "instance", e.in, "state", e.state.String(), "why", e.why, "for", e.wait.Round(time.Millisecond))
		default:
			u.o.Log.Warn("an upstream's instance is put aside until checks pass", "instance", e.in, "state", e.state.String(), "why", e.why)
		}
	}
}

// rank makes the roster anew from what is known of the instances. The lock is held.
func (u *Upstream) rank() {
	before := u.roster.Load()
	r := &roster{due: never}
	for _, in := range u.all {
		if !in.aside {
			r.well = append(r.well, in)
			continue
		}
		r.due = min(r.due, in.retry)
	}
	if len(r.well) == 0 {
		r.down, r.replaced = u.nobody(), make(chan struct{})
	}
	u.roster.Store(r)
	if before != nil && before.replaced != nil {
		close(before.replaced)
	}
}

// nobody is the failure where no instance is well.
func (u *Upstream) nobody() *Failure {
	const most = 3
	var why []string
	for _, in := range u.all[:min(most, len(u.all))] {
		why = append(why, fmt.Sprintf("%s is %s (%s)", in.name, in.state(), in.why))
	}
	if n := len(u.all) - most; n > 0 {
		why = append(why, fmt.Sprintf("so are %d more", n))
	}
	return &Failure{Why: Down, Err: errors.New("no instance is well: " + strings.Join(why, "; "))}
}

// grpcStatus returns the status that an answer to a gRPC call stands for, by its trailers or, where it has no body, its header; known is
// false where neither says yet. The mapping is that which gRPC recommends, read backwards, as Envoy has it.
func grpcStatus(header http.Header) (status int, known bool) {
	switch code := header.Get("Grpc-Status"); code {
	case "":
		return 0, false
	case "2", "13", "15": // unknown, internal, data loss
		return 500, true
	case "4": // deadline exceeded
		return 504, true
	case "12": // unimplemented: of the method, not of the server
		return 501, true
	case "14": // unavailable
		return 503, true
	default:
		return 200, true
	}
}
