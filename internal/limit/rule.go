package limit

import "time"

// rule is a limit in the units that it is computed in.
type rule struct {
	most  uint32 // requests that a key can have used: of the window, or of the burst
	above uint32
	keys  int // in one shard, at most

	gcra     bool
	logged   bool  // the requests of the window are kept
	interval int64 // of GCRA: nanoseconds from one request to the next
	depth    int64 // of GCRA: nanoseconds that the whole burst stands for

	unit  int64  // nanoseconds of a tick
	span  uint32 // ticks after which a request is out of every window that it was in
	shift uint8  // bits of a run that count its requests
	sizes []int  // how many runs a log may have, by its class
}

// exact is up to how many requests a window each of them is kept on its own. Beyond, those of one 128th of the window are kept together.
const exact = 128

// newRule works out a limit.
//
// The requests that a key had let through are kept as runs: a tick, and how many came in it. They are out of the window when that tick is
// span ticks ago, which is never before they are Window old, so that no window ever sees more than the limit. Up to 128 requests a window
// each has a run of its own, and a tick is a nanosecond, or the 2^30th part of a longer window: a request counts less than two ticks too
// long. With more, a tick is the 128th part of the window, and a client at its limit may be let through that much later than it could be.
func newRule(o Options) rule {
	shard := (o.Keys + shards - 1) / shards
	r := rule{
		most: uint32(o.Requests), above: uint32(o.Above), keys: shard,
		gcra: o.Burst > 0, logged: o.Burst == 0 || o.Above > 0, interval: int64(o.interval()),
	}
	most := o.Requests
	if r.gcra {
		most += o.Burst // of one window: what had gathered before it, and what gathers in it
		r.most, r.depth = uint32(o.Burst), r.interval*int64(o.Burst)
	}
	if !r.logged {
		return r
	}
	parts := int64(1 << 30)
	if most > exact {
		parts, r.shift = exact, 22
	}
	window := int64(o.Window)
	r.unit = (window + parts - 1) / parts
	r.span = uint32((window + r.unit - 1) / r.unit)
	if r.unit > 1 { // the request may have come at the end of its tick, and the window may begin there
		r.span++
	}
	for size := 2; size < min(most, int(r.span)); size *= 2 {
		r.sizes = append(r.sizes, size)
	}
	r.sizes = append(r.sizes, min(most, int(r.span)))
	return r
}

// A run is a tick, as far as its bits go, above the number of its requests less one. No run is looked at that is so old that its tick
// might be mistaken for a later one: a log whose newest request is out of the window is thrown away whole.

func (r *rule) tick(at int64) uint32 { return uint32(at / r.unit) }

func (r *rule) run(tick uint32) uint32 { return tick << r.shift }

// age returns how many ticks ago a run was.
func (r *rule) age(run, tick uint32) uint32 { return (tick - run>>r.shift) << r.shift >> r.shift }

func (r *rule) requests(run uint32) uint32 { return run&(1<<r.shift-1) + 1 }

// leaves returns how long it takes until a run is out of the window.
func (r *rule) leaves(run uint32, at int64) int64 {
	tick := at / r.unit
	return (tick-int64(r.age(run, uint32(tick)))+int64(r.span))*r.unit - at
}

// pass asks for one request by GCRA, and returns the theoretical arrival time after it, which is another only if it is let through and
// counted.
//
// Source: ITU-T I.371, virtual scheduling. With T the interval, a request at t moves the theoretical arrival time to max(t, tat) + T, and is
// let through if that is at most the depth, T times the burst, ahead of t.
func (r *rule) pass(tat, at int64, count bool) (int64, Verdict) {
	next := max(at, tat) + r.interval
	v := Verdict{Allowed: next-at <= r.depth}
	if v.Allowed && count {
		tat = next
	}
	room := r.depth - max(tat-at, 0)
	v.Remaining = int(room / r.interval)
	if tat > at {
		v.Reset = time.Duration(r.interval - room%r.interval)
	}
	return tat, v
}

// level returns the level of a key that was told v.
func (r *rule) level(v Verdict) uint8 {
	used := int64(r.most) - int64(v.Remaining)
	return uint8(used * (levels - 1) / int64(r.most))
}
