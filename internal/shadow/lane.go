package shadow

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// LaneOptions are the settings of one shadow of one service. Service, Variant and Comparer are required.
type LaneOptions struct {
	Service  string
	Variant  string // that gets the copies
	Comparer *Comparer
	Share    float64       // of the requests that are copied, from 0 to 1
	Timeout  time.Duration // of one copy; 0 means DefaultTimeout
	InFlight int           // copies being answered at once at most; 0 means DefaultInFlight
	Queue    int           // copies that may wait; 0 means DefaultQueue
	Bytes    int64         // that the copies which wait or are being answered may hold together; 0 means DefaultBytes
	Body     int           // bytes of a request's body, and of an answer's, that are copied at most; 0 means DefaultBody
}

// Defaults of LaneOptions.
const (
	DefaultTimeout  = time.Second
	DefaultInFlight = 8
	DefaultQueue    = 1024
	DefaultBytes    = 16 << 20
	DefaultBody     = 1 << 20
)

// Lane is one shadow of one service: its queue, and its limits, which it shares with nobody. It is safe for concurrent use.
type Lane struct {
	options LaneOptions
	salt    uint64
	below   atomic.Uint64 // what draws
	series  atomic.Pointer[series]

	mu      sync.Mutex
	waiting []Copy // a ring
	head, n int
	bytes   int64 // held by those that wait or are being answered
	workers int
	retired bool    // what waits is not asked any more
	tokens  float64 // disagreements that may be written one by one
	last    time.Time
	warned  time.Time // when a failure was last logged
}

// NewLane makes a lane. A Mirror works on it.
func NewLane(o LaneOptions) *Lane {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.InFlight <= 0 {
		o.InFlight = DefaultInFlight
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.Bytes <= 0 {
		o.Bytes = DefaultBytes
	}
	if o.Body <= 0 {
		o.Body = DefaultBody
	}
	l := &Lane{options: o, salt: event.Hash(o.Variant) ^ drawSalt, tokens: detailBurst}
	l.SetShare(o.Share)
	return l
}

// SetShare makes another share than that of the options hold from now on, from 0 to 1.
func (l *Lane) SetShare(share float64) {
	l.below.Store(uint64(min(max(share, 0), 1) * (1 << drawBits)))
}

// Options returns the settings, with their defaults.
func (l *Lane) Options() LaneOptions { return l.options }

// drawBits is how finely shares are told apart.
const drawBits = 53

// drawSalt sets this hash apart from any other of the same id.
const drawSalt = 0x6c8e_944d_1f0b_75d3

// Draws tells whether the request of that decision is copied. The answer depends on the id, the lane's variant and the share alone, and is
// independent of who was assigned. What a smaller share draws, a larger one does too.
func (l *Lane) Draws(id event.ID) bool {
	below := l.below.Load()
	if below >= 1<<drawBits {
		return true
	}
	h := mix(binary.BigEndian.Uint64(id[:8]) ^ l.salt)
	h = mix(binary.BigEndian.Uint64(id[8:]) ^ h)
	return h>>(64-drawBits) < below
}

// mix is the finalizer of MurmurHash3 (Appleby): every bit of x changes every bit of the result with probability near a half.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Full tells whether there is no room for a copy that holds so many bytes, and why: who asks first copies nothing in vain.
func (l *Lane) Full(bytes int64) (why event.Drop, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full(bytes)
}

func (l *Lane) full(bytes int64) (why event.Drop, full bool) {
	switch {
	case l.n >= l.options.Queue:
		return event.DropQueue, true
	case l.bytes+bytes > l.options.Bytes:
		return event.DropBytes, true
	}
	return 0, false
}

// put takes a copy in. It tells whether a worker has to be started for it or, if there is no room, why not.
func (l *Lane) put(c *Copy) (start bool, why event.Drop, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why, full := l.full(c.Bytes); full {
		return false, why, false
	}
	if l.n == len(l.waiting) { // full: the ring grows, up to the queue's bound
		larger := make([]Copy, min(max(2*l.n, 16), l.options.Queue))
		for i := range l.n {
			larger[i] = l.waiting[(l.head+i)%len(l.waiting)]
		}
		l.waiting, l.head = larger, 0
	}
	l.waiting[(l.head+l.n)%len(l.waiting)] = *c
	l.n++
	l.bytes += c.Bytes
	if l.workers < l.options.InFlight {
		l.workers++
		return true, 0, true
	}
	return false, 0, true
}

// next gives a worker its next copy, and counts the worker out when there is none. Dead says that the copy is to be dropped.
func (l *Lane) next() (c Copy, dead, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		l.workers--
		return c, false, false
	}
	c, l.waiting[l.head] = l.waiting[l.head], Copy{}
	l.head = (l.head + 1) % len(l.waiting)
	l.n--
	return c, l.retired, true
}

func (l *Lane) retire() {
	l.mu.Lock()
	l.retired = true
	l.mu.Unlock()
}

// done gives back what a copy has held.
func (l *Lane) done(bytes int64) {
	l.mu.Lock()
	l.bytes -= bytes
	l.mu.Unlock()
}

// warnEvery is how often a lane's failures are logged.
const warnEvery = time.Minute

// warns tells whether a failure at that time is to be logged: the first, and one a minute.
func (l *Lane) warns(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if passed := now.Sub(l.warned); passed >= 0 && passed < warnEvery {
		return false
	}
	l.warned = now
	return true
}

// How many disagreements of a lane are written one by one.
const (
	detailRate  = 8 // a second
	detailBurst = 64
)

// detail tells whether a disagreement at that time may be written.
func (l *Lane) detail(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if passed := now.Sub(l.last).Seconds(); !l.last.IsZero() && passed > 0 { // a clock that is set back gives nothing
		l.tokens = min(l.tokens+passed*detailRate, detailBurst)
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
