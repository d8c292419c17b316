package proxy

import (
	"slices"
	"time"
)

// Who is asked of those that were put aside.

// claim lets one request through to an instance that was put aside, if the time of one has come: those that could be sent elsewhere
// and not again leave this to others for a while. It returns nil if there is none.
func (u *Upstream) claim(at time.Duration, r *Request, tried []*instance) *instance {
	u.mu.Lock()
	defer u.mu.Unlock()
	patience := time.Duration(0)
	if !r.Safe && len(u.roster.Load().well) > 0 {
		patience = u.o.FailTimeout
	}
	for _, in := range u.all {
		if !in.aside || in.retry > at-patience || slices.Contains(tried, in) {
			continue
		}
		in.checked = at
		in.retry = at + u.o.FailTimeout // when another may find out, if this one has not by then
		u.rank()
		in.inFlight.Add(1)
		return in
	}
	return nil
}

// desperate is for when nobody is left who is well, and nobody's time has come. It returns nil if there is none to be asked all the same.
//
// Those that gave no answers may be back, or never have been away. Each is tried by one request at a time, and by requests that another
// instance has just failed besides: those have nothing to lose, and when instances are made anew one after the other, the last of them
// takes with it more requests than one. Others wait a moment for the outcome (see await). Those that gave bad answers are asked if
// nobody at all is well and the options say so, and no more of them at once than would be in time: an instance that is put aside because
// it has too much to do would never get out of that.
func (u *Upstream) desperate(tried []*instance, nobody bool) (in *instance, probe bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.all)
	first := int(u.turn.Add(1) % uint64(max(1, n)))
	for i := range n {
		in := u.all[(first+i)%n]
		alone := in.inFlight.Load() == 0
		if u.silent(in) && (alone || len(tried) > 0) && !slices.Contains(tried, in) {
			in.inFlight.Add(1)
			return in, alone
		}
	}
	if u.o.FailOpen && nobody {
		for i := range n {
			if in := u.all[(first+i)%n]; !slices.Contains(tried, in) && in.inFlight.Load() < in.shed.bound.Load() {
				in.inFlight.Add(1)
				return in, false
			}
		}
	}
	return nil, false
}

// hopeful tells whether one that hung up, or was not there, is being tried right now: it may be back in a moment.
func (u *Upstream) hopeful() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.all, func(in *instance) bool {
		return u.silent(in) && in.lost != Late
	})
}

// silent tells whether an instance was put aside for giving no answers, and not for what it answers, and is not the only one. The lock is
// held.
func (u *Upstream) silent(in *instance) bool {
	return in.aside && in.check != fails && (!in.ejected || in.mute) && len(u.all) > 1
}

// Available tells whether Ask would ask someone: an instance is well, or the time of one has come to be tried again. It says nothing of how
// much the upstream has to do.
func (u *Upstream) Available() bool {
	r := u.roster.Load()
	if len(r.well) > 0 || u.o.FailOpen {
		return true
	}
	if r.due != never && u.clock() >= r.due {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.all, func(in *instance) bool { return u.silent(in) && in.inFlight.Load() == 0 })
}
