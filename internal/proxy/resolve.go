package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// maxAddresses bounds the instances that one name may stand for.
const maxAddresses = 256

// names returns the names to look up.
func (u *Upstream) names() (names []string) {
	for _, e := range u.endpoints {
		if e.name != "" && !slices.Contains(names, e.name) {
			names = append(names, e.name)
		}
	}
	return names
}

// follow looks a name up over and over, and has each of its addresses be an instance.
func (u *Upstream) follow(ctx context.Context, name string) {
	lost := false
	look := func() {
		within, cancel := context.WithTimeout(ctx, min(u.o.Resolve, 5*time.Second))
		defer cancel()
		found, err := u.o.Lookup(within, name)
		found = usable(found)
		switch {
		case ctx.Err() != nil:
		case err == nil && len(found) > 0:
			if lost {
				u.o.Log.Info("an upstream's name has addresses again", "name", name)
			}
			lost = false
			u.resolved(name, found)
		case !lost: // once, not every few seconds
			if lost = true; err == nil {
				err = fmt.Errorf("%s has no addresses", name)
			}
			u.o.Log.Warn("an upstream's name has no addresses; those that it had are kept", "name", name, "error", err)
		}
	}
	look()
	every(ctx, u.o.Resolve, look)
}

// usable returns addresses sorted, each once.
func usable(found []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range found {
		if a.IsValid() {
			out = append(out, a.Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), maxAddresses)]
}

// resolved makes the addresses of a name instances. Those that are instances already stay as they are, with their connections and health;
// those that are addresses no more get no requests, and end those that they have.
func (u *Upstream) resolved(name string, found []netip.Addr) {
	u.mu.Lock()
	changed := false
	for _, e := range u.endpoints {
		if e.name != name {
			continue
		}
		var members []*instance
		for _, a := range found {
			members = append(members, u.member(e, net.JoinHostPort(a.String(), e.port)))
		}
		if !slices.Equal(members, e.members) {
			e.members, changed = members, true
		}
	}
	if changed {
		u.gather()
	}
	told := u.told()
	u.mu.Unlock()
	u.tell(told)
}

// member returns the instance of an endpoint that has an address, a new one if there is none.
func (u *Upstream) member(e *endpoint, address string) *instance {
	for _, in := range e.members {
		if in.name == e.scheme+"://"+address {
			return in
		}
	}
	return u.newInstance(e, address)
}
