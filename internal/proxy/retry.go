package proxy

import (
	"strconv"
	"sync"
	"time"
)

// When another instance is asked.
//
// A request is sent again only while nothing of an answer was handed out, before its deadline, to an instance that was not tried for it,
// and if the last one
//   - could not be reached, or did not get the request ("connect"),
//   - hung up or sent no answer ("reset"), or
//   - answered with a status that Retry.On names,
//
// of which the last two hold only for requests that are Safe and whose body is here: an instance may have acted on them. What was not sent makes no
// work for anyone. It counts neither as one of Attempts nor against the budget, so that no request is lost because others went to the same
// instance when that went away. An instance that did not answer in time leaves no time for another.

// What Retry.On may name beside statuses.
const (
	onConnect = "connect"
	onReset   = "reset"
)

// retries is Retry, ready for use.
type retries struct {
	attempts       int
	connect, reset bool
	status         [600]bool
}

func newRetries(r Retry) (on retries) {
	on.attempts = r.Attempts
	for _, what := range r.On {
		switch what {
		case onConnect:
			on.connect = true
		case onReset:
			on.reset = true
		default:
			if code, err := strconv.Atoi(what); err == nil && code >= 0 && code < len(on.status) {
				on.status[code] = true
			}
		}
	}
	return on
}

// answer tells whether an answer's status is one to retry on.
func (o *retries) answer(status int) bool {
	return status >= 0 && status < len(o.status) && o.status[status]
}

// failure tells whether a failure is one to retry on.
func (o *retries) failure(f *Failure) bool {
	switch {
	case !f.Sent:
		return o.connect && f.Why != Gone && f.Why != Late
	default:
		return o.reset && f.Why == Broken
	}
}

// budget bounds retries to a share of the requests, so that an upstream that fails is not asked far more often than one that works.
//
// It is Envoy's retry budget in intent and numbers, counted over time rather than over what is active now: when an instance dies, all that
// were with it fail in the same moment, and a fifth of what is active would save a fifth of them; and the three that Envoy always allows
// would double the requests of a client that sends one after the other. So retries are earned by requests, and kept for ten seconds: never
// are there more than the share of all requests, and a few.
type budget struct {
	share float64 // retries that a request earns
	least float64 // retries in a window however few requests there are

	mu    sync.Mutex
	left  float64 // retries that may be made
	asked int64   // requests that have earned already
	since int64   // requests when the window began
	began time.Duration
}

// window is for how long earned retries are kept.
const window = 10 * time.Second

func (b *budget) open(r Retry) {
	b.share, b.least = r.Budget/100, float64(r.MinConcurrency)
	b.left = b.least
}

// take takes a retry, if there is one. asked is the number of requests so far.
func (b *budget) take(asked int64, at time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += b.share * float64(asked-b.asked)
	b.asked = asked
	if long := at - b.began; long >= window {
		worth := b.share * float64(asked-b.since) * float64(window) / float64(long)
		if b.left = min(b.left, worth); worth < b.least {
			b.left = b.least
		}
		b.since, b.began = asked, at
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// give gives back a retry that was not made.
func (b *budget) give() {
	b.mu.Lock()
	b.left++
	b.mu.Unlock()
}
