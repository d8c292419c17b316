package proxy

import (
	"slices"
	"time"
)

// Who is asked.
//
// Instances that are well take turns: of n requests to k of them each gets n/k, exactly, whatever the order in which requests end. Two
// things keep that simple rule from doing harm. Those that are not well are no part of the circle, so that their turns are shared by all
// and not left to the neighbour. And an instance that has more than twice as many requests with it as the mean of the others, and four
// more, is passed over: it is slow or stuck, and turns would pile up there. (Least requests alone, or the better of two drawn, would send
// most requests to an instance that fails fast, and is not even where all are alike.) The one that gets the turn instead is taken from a
// second circle, so that no neighbour gets two. Twice and four leave chance alone: among equals in-flight counts differ by a few.

// Bounds of an instance's requests, by those of the others.
const (
	muchBusier = 2
	slack      = 4
)

// roster says who may be asked. It is never changed, only replaced.
type roster struct {
	well []*instance
	due  time.Duration // when the first of the others may be tried
	down *Failure      // where nobody is well

	replaced chan struct{} // closed when it is no longer what holds; where nobody is well
}

// pick chooses an instance that was not tried for this request, and counts the request as with it. It returns nil if there is none. lost
// says that the request will fail if there is none. probe says that it is to find out whether the instance is well again.
func (u *Upstream) pick(at time.Duration, r *Request, tried []*instance, lost bool) (in *instance, probe bool) {
	now := u.roster.Load()
	if at >= now.due {
		if in := u.claim(at, r, tried); in != nil {
			return in, true
		}
	}
	n := uint64(len(now.well))
	if n > 0 && len(tried) == 0 {
		in = now.well[u.turn.Add(1)%n]
		if u.busy(in, int64(n)) {
			in = u.detour(now.well, nil)
		}
	} else if in = u.detour(now.well, tried); in == nil && lost {
		return u.desperate(tried, n == 0)
	}
	if in == nil {
		return nil, false
	}
	if in.troubled.Load() {
		u.touch(in, at)
	}
	in.inFlight.Add(1)
	return in, false
}

// busy tells whether an instance, one of n that are well, has all that it can do, or much more to do than the others.
func (u *Upstream) busy(in *instance, n int64) bool {
	mine := in.inFlight.Load()
	others := u.gate.in.Load() - mine
	return mine >= in.shed.bound.Load() || n > 1 && mine*(n-1) > muchBusier*others+slack*(n-1)
}

// detour returns the next instance that was not tried and can do more, one that is not much busier than the others if there is one.
func (u *Upstream) detour(well []*instance, tried []*instance) *instance {
	n := uint64(len(well))
	var second *instance
	for range n {
		in := well[u.detours.Add(1)%n] // a place that is passed over is used up, so that its neighbour gets no more than others
		if slices.Contains(tried, in) || in.inFlight.Load() >= in.shed.bound.Load() {
			continue
		}
		if !u.busy(in, int64(n)) {
			return in
		}
		if second == nil {
			second = in
		}
	}
	return second
}
