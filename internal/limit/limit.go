// Package limit says whether a client may ask once more: at most so many requests in any window of time, or so many a window on average
// with a burst that is stated.
//
// It knows no HTTP and has no clock: a key stands for whoever is limited, and the time is an argument. A Limiter takes a bounded amount of
// memory, whoever asks. It forgets a key once nothing that the key did counts any more. Where more keys than it has room for are at work
// in one window, it forgets first the key that has used the least of its limit, and among those the one that has been silent for longest:
//
//   - A flood of new keys pushes out itself, and clients that had most of their limit left: those have all of it again. A key that is being
//     refused starts afresh before its time only where every key beside it (of its shard) was at its limit when it asked last, and the
//     one that goes on asking is the last of them.
//   - A new key always finds room, so that a flood locks nobody out.
package limit

import (
	"hash/maphash"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Options are what a limit says.
type Options struct {
	Requests int           // of one key in a window, at most MaxRequests
	Window   time.Duration // from a millisecond to MaxWindow

	// Burst of 0 is the plain meaning: at most Requests in any window, wherever it begins. With a Burst, requests are let through at the
	// rate of Requests a Window, and as many as Burst may come at once after a pause (the generic cell rate algorithm, GCRA, of
	// ITU-T I.371); a window may then see up to Requests + Burst.
	Burst int

	Keys  int // told apart at once, at most; 0 means DefaultKeys
	Above int // Count tells how many keys had more than so many requests let through in the last window; 0: it tells none
}

// Bounds of Options.
const (
	MaxRequests = 1 << 22
	MaxWindow   = 366 * 24 * time.Hour
	DefaultKeys = 1 << 18
)

const minWindow = time.Millisecond

// Check returns what is wrong with o, nil if New can make a Limiter of it.
func (o Options) Check() error {
	switch {
	case o.Requests < 1 || o.Requests > MaxRequests:
		return fault.Invalidf("a limit of %d requests is none; it can be 1 to %d", o.Requests, MaxRequests)
	case o.Window < minWindow || o.Window > MaxWindow:
		return fault.Invalidf("a window of %v cannot be kept; it can be %v to %v", o.Window, minWindow, MaxWindow)
	case o.Burst < 0 || o.Burst > MaxRequests-o.Requests:
		return fault.Invalidf("a burst of %d requests is none; it can be 1 to %d", o.Burst, MaxRequests-o.Requests)
	case time.Duration(o.Burst) > MaxWindow/o.interval():
		return fault.Invalidf("at %d requests in %v, a burst of %d is not there again within a year", o.Requests, o.Window, o.Burst).
			WithHint("lower the burst, or leave it out")
	case o.Keys < 0 || o.Keys > maxKeys:
		return fault.Invalidf("%d keys cannot be told apart; it can be up to %d", o.Keys, maxKeys)
	case o.Above < 0 || o.Above >= o.Requests:
		return fault.Invalidf("no key has more than %d requests let through where the limit is %d", o.Above, o.Requests).
			WithHint("count from below the limit")
	}
	return nil
}

// interval is the time from one request to the next at the rate of the limit. It is rounded up to a nanosecond.
func (o Options) interval() time.Duration {
	return (o.Window + time.Duration(o.Requests) - 1) / time.Duration(o.Requests)
}

// Verdict is what a limit says of one request.
type Verdict struct {
	Allowed   bool
	Remaining int // requests that would be let through at once after this one
	// Reset is how long it takes until Remaining is more, if nothing else comes: of what is refused, until it is let through. It is 0 where
	// nothing is used.
	Reset time.Duration
}

// Limiter holds keys to one limit. It is safe for concurrent use.
type Limiter struct {
	options Options
	rule    rule
	text    maphash.Seed
	address maphash.Seed
	shards  [shards]shard
}

// shards is into how many parts the keys are split, so that requests seldom wait for each other.
const shards = 64

// maxKeys keeps every place in a shard within 31 bits.
const maxKeys = 1 << 28

// New makes a Limiter for which nobody has asked anything yet. It allocates little until somebody does. The error is that of Options.Check.
func New(o Options) (*Limiter, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Keys == 0 {
		o.Keys = DefaultKeys
	}
	l := &Limiter{options: o, rule: newRule(o), text: maphash.MakeSeed(), address: maphash.MakeSeed()}
	return l, nil
}

// Options returns what the limiter was made of, defaults filled in.
func (l *Limiter) Options() Options { return l.options }

// Take asks for one request of a key, and counts it if it is let through; who is refused uses nothing. The time is that of a clock which
// never goes back, such as time.Since of one instant, whose readings no step of the wall clock touches. A time before the latest that the
// key's shard has seen, as goroutines that overtake each other bring, is taken for that one. Take allocates only as keys become more.
func (l *Limiter) Take(k Key, at time.Duration) Verdict { return l.shard(k).ask(&l.rule, k, at, true) }

// Peek says whether Take would let a request through, and counts nothing: Remaining has this one still in it.
func (l *Limiter) Peek(k Key, at time.Duration) Verdict { return l.shard(k).ask(&l.rule, k, at, false) }

func (l *Limiter) shard(k Key) *shard { return &l.shards[k%shards] }

// Counts are figures about a limiter's keys.
type Counts struct {
	Keys      int    // about which something is known
	Above     int    // keys with more requests let through in the last window than Options.Above
	Forgotten uint64 // keys that were forgotten before their time, for want of room
}

// Count counts the keys at a time, and gives back the memory of those of which nothing counts any more. It takes some nanoseconds for
// each, and holds up a shard's requests that long.
func (l *Limiter) Count(at time.Duration) Counts {
	var c Counts
	for i := range l.shards {
		l.shards[i].count(&l.rule, at, &c)
	}
	return c
}
