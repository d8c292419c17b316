package gateway

import (
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// failure is how a variant failed to answer.
type failure uint8

const (
	none    failure = iota
	erred           // an error: it broke off, or said so itself
	tooLate         // no answer in time
	unready         // there was nothing that could have been asked
	crowded         // as many requests as it takes were with it already
)

// String is the failure as the header and the metric of fallbacks tell it.
func (f failure) String() string {
	return [...]string{"", "error", "timeout", "unavailable", "overload"}[f]
}

// failureOf tells what an error under a status says of the variant that was asked: nothing, where it is the client's own.
func failureOf(err error, status int) failure {
	if f, ok := errors.AsType[*proxy.Failure](err); ok {
		switch f.Why {
		case proxy.Down:
			return unready
		case proxy.Late:
			return tooLate
		case proxy.Broken:
			return erred
		case proxy.Full:
			return crowded
		case proxy.Gone:
			return none
		}
	}
	if status < http.StatusInternalServerError || errors.Is(err, wire.ErrCannotExplain) {
		return none
	}
	return erred
}

// failed notes how the variant that was asked failed. What the assigned one did is what counts; who stood in for it is not to blame.
func (d *decision) failed(f failure) {
	if d.answered == d.assigned && d.failure == none {
		d.failure = f
	}
}

// failOver finds another variant for a request that the one it is with does not answer: by the weights of those that are left. Each is asked
// once. It is false where none is left.
func (d *decision) failOver() bool {
	if d.policy == nil || d.pinned {
		return false
	}
	d.tried |= traffic.SetOf(d.answered.index)
	without := d.tried
	for i, v := range d.service.variants {
		if !v.available() {
			without |= traffic.SetOf(i)
		}
	}
	second := d.policy.PickAmong(d.choice, without)
	if second.Variant < 0 {
		return false
	}
	v := d.service.variants[second.Variant]
	live := v.Live()
	if live == nil { // meanwhile
		return false
	}
	d.answered, d.live = v, live
	d.label, d.score, d.counts = "", math.NaN(), nil
	if d.reason == event.Weights { // a match, and what was set by hand, stay out of comparisons whoever answers
		d.reason = event.Failover
	}
	return true
}

// another finds another variant after a failure, where the service wants that and there is time left.
func (g *Gateway) another(d *decision, f failure, until time.Time) bool {
	switch {
	case !d.service.options.Failover, f == none, f == tooLate, !time.Now().Before(until):
		return false
	case f == crowded: // others would soon be, too
		return false
	}
	first := d.answered
	if !d.failOver() {
		return false
	}
	g.metrics.failedOver(first, f)
	return true
}
