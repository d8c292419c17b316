package measure

import (
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// Pending is an outcome and, while it waits for its decision, until when.
type Pending struct {
	At      event.Offset // the outcome's place in the log
	Due     time.Duration
	Outcome *event.Outcome

	settled bool
}

// Joiner lets outcomes wait for their decisions. It hears of records in the order of the log, and calls settle once for each outcome.
// It holds what waits and no more. Not for concurrent use.
type Joiner struct {
	Clock Clock

	window  func(service string) time.Duration
	settle  func(*Pending, Settled)
	queue   []*Pending // by Due
	waiting map[event.ID][]*Pending
}

// NewJoiner makes a Joiner that calls settle for each outcome whose fate is known. A window says how long after a decision of the
// service an outcome counts; nil is Window for all.
func NewJoiner(window func(service string) time.Duration, settle func(*Pending, Settled)) *Joiner {
	if window == nil {
		window = func(string) time.Duration { return Window }
	}
	return &Joiner{window: window, settle: settle, waiting: map[event.ID][]*Pending{}}
}

// Restore puts back an outcome that waited; call it in the order of the log.
func (j *Joiner) Restore(p *Pending) {
	j.queue = append(j.queue, p)
	j.waiting[p.Outcome.Decision] = append(j.waiting[p.Outcome.Decision], p)
}

// Waiting returns how many outcomes wait.
func (j *Joiner) Waiting() (n int) {
	for _, outcomes := range j.waiting {
		n += len(outcomes)
	}
	return n
}

// Awaits tells whether outcomes wait for the decision.
func (j *Joiner) Awaits(id event.ID) bool {
	return len(j.waiting) > 0 && len(j.waiting[id]) > 0
}

// Decision hears of a decision, which settles the outcomes that wait for it. Only the first with an id counts.
func (j *Joiner) Decision(id event.ID, known Known) {
	if len(j.waiting) == 0 {
		return
	}
	for _, p := range j.waiting[id] {
		j.done(p, &known)
	}
	delete(j.waiting, id)
}

// Outcome hears of an outcome and of its decision, if that was read before.
func (j *Joiner) Outcome(p *Pending, known *Known) {
	j.Tick(p.Outcome.ReceivedAt)
	if known != nil || p.Outcome.Decision.IsZero() {
		j.done(p, known)
		return
	}
	p.Due = j.Clock.Age + Wait
	j.Restore(p)
}

// Tick hears of the time at which a record was written. Outcomes that have waited long enough are settled without their decision.
func (j *Joiner) Tick(t time.Time) {
	j.Clock.Tick(t)
	for len(j.queue) > 0 && (j.queue[0].settled || j.queue[0].Due <= j.Clock.Age) {
		p := j.queue[0]
		j.queue = j.queue[1:]
		if p.settled {
			continue
		}
		j.done(p, nil)
		j.forget(p)
	}
}

func (j *Joiner) done(p *Pending, known *Known) {
	p.settled = true
	service := p.Outcome.Service
	if known != nil {
		service = known.Service
	}
	j.settle(p, Settle(p.Outcome, known, j.window(service)))
}

func (j *Joiner) forget(p *Pending) {
	id := p.Outcome.Decision
	rest := j.waiting[id][:0]
	for _, other := range j.waiting[id] {
		if other != p {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(j.waiting, id)
		return
	}
	j.waiting[id] = rest
}
