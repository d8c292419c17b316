package shadow

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// work answers what waits in a lane.
func (m *Mirror) work(ctx context.Context, l *Lane) {
	for {
		c, dead, ok := l.next()
		if !ok {
			return
		}
		if dead || ctx.Err() != nil {
			m.drop(l, &c, event.DropDraining)
		} else {
			m.ask(ctx, l, &c)
		}
		l.done(c.Bytes)
	}
}

// ask asks the shadow for one copy, compares, and counts.
func (m *Mirror) ask(ctx context.Context, l *Lane, c *Copy) {
	s := m.metrics.of(l)
	s.inFlight.Inc()
	defer s.inFlight.Dec()
	mine, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	answer, took, err := safely(mine, c.Question)
	late := errors.Is(mine.Err(), context.DeadlineExceeded)
	switch {
	case ctx.Err() != nil && err != nil:
		m.drop(l, c, event.DropDraining)
		return
	case c.Failed && (late || err != nil):
		m.unpaired(l, c, event.BothFailed, err)
		return
	case c.Failed:
		m.unpaired(l, c, event.PrimaryFailed, nil)
		return
	case late || errors.Is(err, context.DeadlineExceeded):
		m.unpaired(l, c, event.ShadowLate, fmt.Errorf("no answer within %v", l.options.Timeout))
		return
	case err != nil:
		m.unpaired(l, c, event.ShadowFailed, err)
		return
	}
	s.seconds.Observe(took.Seconds())
	primary, r := l.compare(c.Question, &answer)
	if r.Verdict == Incomparable {
		m.unpaired(l, c, event.Incomparable, errors.New(r.Where))
		return
	}
	m.ledger.pair(keyOf(l, c), c, took, &r)
	if r.Verdict == Agree {
		s.agreed.Inc()
		return
	}
	s.disagreed.Inc()
	m.tell(l, c, &primary, &answer, took, &r)
}

// compare compares the shadow's answer with the primary's. A bug in it costs that pair, and not the server.
func (l *Lane) compare(q Question, shadow *Answer) (primary Answer, r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Result{Verdict: Incomparable, Where: fmt.Sprintf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	primary = q.Primary()
	return primary, l.options.Comparer.Compare(&primary, shadow)
}

// unpaired counts a copy that gave no pair. Why is logged, once in a while.
func (m *Mirror) unpaired(l *Lane, c *Copy, why event.Unpaired, err error) {
	m.metrics.of(l).unpaired[why].Inc()
	m.ledger.unpaired(keyOf(l, c), why)
	if err != nil && l.warns(m.options.Now()) {
		m.options.Log.Warn("a shadow gave nothing to compare; clients got their answers, and all such copies are counted", "service", l.options.Service,
			"variant", l.options.Variant, "decision", c.Decision.String(), "result", why.String(), "error", err)
	}
}

// tell keeps a disagreement for those who look, if there is room.
func (m *Mirror) tell(l *Lane, c *Copy, primary, shadow *Answer, took time.Duration, r *Result) {
	if !l.detail(c.At) {
		m.metrics.undetailed.WithLabelValues("rate").Inc()
		return
	}
	d := &event.Disagreement{
		Decision: c.Decision, At: c.At, Service: l.options.Service, Shadow: l.options.Variant, ShadowVersion: c.ShadowVersion, Primary: c.Primary,
		PrimaryVersion: c.PrimaryVersion, Rule: l.options.Comparer.Text(), PrimaryStatus: uint16(primary.Status), ShadowStatus: uint16(shadow.Status),
		PrimaryMicros: micros(c.Took), ShadowMicros: micros(took), PrimaryLabel: labelOf(r.Primary, primary), ShadowLabel: labelOf(r.Shadow, shadow),
		PrimaryScore: primary.Score, ShadowScore: shadow.Score, Difference: r.Difference, Overlap: r.Overlap, Where: r.Where,
	}
	d.PrimaryAnswer, d.ShadowAnswer = shownTexts(c.Question, shadow)
	if !m.ledger.tell(d) {
		m.metrics.undetailed.WithLabelValues("queue").Inc()
	}
}

// shownTexts returns the answers for people; none after a panic.
func shownTexts(q Question, shadow *Answer) (primary, other string) {
	defer func() { _ = recover() }() // a bug in how answers are shown costs that, and not the server
	return q.Texts(shadow)
}

// labelOf returns the label that was compared, else the one that Serin tells.
func labelOf(compared string, a *Answer) string {
	if compared == "" {
		compared = a.label()
	}
	return strings.ToValidUTF8(compared[:min(len(compared), mostLabel)], "")
}

// mostLabel bounds a label, in bytes.
const mostLabel = 128

// safely asks, and makes an error of a panic.
func safely(ctx context.Context, q Question) (a Answer, took time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return q.Ask(ctx)
}

// micros returns a duration in microseconds, as far as a record holds it.
func micros(took time.Duration) uint32 {
	return uint32(min(max(took.Microseconds(), 0), 1<<32-1))
}
