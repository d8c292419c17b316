package load

import (
	"sync"
	"time"
)

// ticket is one request to be sent: its number, and when.
type ticket struct {
	n        int           // counted from 0 over all threads; says which payload it takes
	due      time.Duration // when it should be sent; in a closed loop, when it was handed out
	held     time.Duration // how long it waited after that, because every lane was busy
	measured bool          // it counts: the warm-up is over
}

// desk hands out the requests of one thread, or of a crew, to lanes that are free: in order, and not before they are due. It alone knows
// when a run has had enough, and whose fault it is where a request goes out late. All times are counted from the beginning of the run.
type desk struct {
	mu       sync.Mutex
	arrivals *arrivals     // nil: a closed loop, in which a request is due as soon as a lane is free
	warm     time.Duration // what is due from then on is measured
	until    time.Duration // nothing is due from then on; 0: left ends the run
	left     int           // how many may be measured yet; -1: until ends the run
	step     int           // between numbers
	next     ticket
	over     bool // nothing will be handed out any more

	lanes  int           // that are free
	full   time.Duration // since when what is due has found no free lane, where behind
	room   time.Duration // when a lane became free while none was
	behind bool          // lanes were all busy, and what became due meanwhile is not all handed out yet
}

// newDesk makes the desk of one thread out of several, which has so many lanes.
func newDesk(o *Options, thread, lanes int) *desk {
	d := &desk{warm: o.Ramp + o.WarmUp, left: -1, step: o.Threads, next: ticket{n: thread}, lanes: lanes}
	if o.Duration > 0 {
		d.until = d.warm + o.Duration
	}
	if o.Count > 0 {
		d.left = o.Count / o.Threads
		if thread < o.Count%o.Threads {
			d.left++
		}
	}
	if o.Rate > 0 {
		d.arrivals = newArrivals(o, thread)
		d.next.due = d.arrivals.next()
	}
	d.check(d.next.due)
	return d
}

// check ends the desk if a request that is due at that time would be beyond the run, and otherwise notes whether it counts.
func (d *desk) check(due time.Duration) {
	d.next.measured = due >= d.warm
	d.over = d.over || d.until > 0 && due >= d.until || d.next.measured && d.left == 0
}

// take hands out the next request if it is due and a lane is free, which is busy from then on.
func (d *desk) take(now time.Duration) (t ticket, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lanes == 0 {
		return ticket{}, false
	}
	if d.arrivals == nil {
		d.next.due = now
		d.check(now)
	}
	if d.over || d.next.due > now {
		d.behind = false
		return ticket{}, false
	}
	t = d.pass()
	if d.behind {
		t.held = max(d.room-max(t.due, d.full), 0)
	}
	if d.lanes--; d.lanes == 0 && !d.behind {
		d.full, d.behind = now, true
	}
	return t, true
}

// pass returns the next request, and goes on to the one after it.
func (d *desk) pass() ticket {
	t := d.next
	if t.measured && d.left > 0 {
		d.left--
	}
	d.next.n += d.step
	if d.arrivals != nil {
		d.next.due = d.arrivals.next()
		d.check(d.next.due)
	}
	return t
}

// release says that a lane is free again.
func (d *desk) release(now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lanes == 0 {
		d.room = now
	}
	d.lanes++
}

// due tells when the next request is due; not ok if there will be none.
func (d *desk) due() (at time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.next.due, !d.over
}

// cut ends the run: nothing is handed out any more. It returns how many requests that count were due and found no lane until now.
func (d *desk) cut(now time.Duration) (left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.arrivals != nil && !d.over && d.next.due <= now {
		if d.pass().measured {
			left++
		}
	}
	d.over = true
	return left
}
