package proxy

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Upstream is a group of instances that stand in for each other. It is safe for use by many at once.
type Upstream struct {
	o    Options
	dial func(e *endpoint, address string) exchanger
	born time.Time

	// What every request writes. They stand together, apart from what every request only reads.
	_        [64]byte
	requests atomic.Int64
	turn     atomic.Uint64
	gate     gate

	_       [64]byte
	roster  atomic.Pointer[roster]
	retries retries
	budget  budget
	detours atomic.Uint64

	retried, denied, unreached atomic.Int64
	ejections, overflow        atomic.Int64
	nobodyWell                 atomic.Int64

	mu        sync.Mutex
	all       []*instance
	endpoints []*endpoint
	events    []event       // to be logged
	changed   chan struct{} // there are other instances now; of one, for Run
}

// New makes an upstream. It asks nobody yet, and looks nothing up.
func New(o Options) (*Upstream, error) {
	return newUpstream(o, nil)
}

// newUpstream makes an upstream whose instances are spoken to by what dial returns; nil: by transports.
func newUpstream(o Options, dial func(e *endpoint, address string) exchanger) (*Upstream, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	u := &Upstream{o: o, dial: dial, born: o.Now(), changed: make(chan struct{}, 1), retries: newRetries(o.Retry)}
	if dial == nil {
		u.dial = u.transport
	}
	if u.endpoints, err = readEndpoints(o.Instances); err != nil {
		return nil, err
	}
	u.gate.open(o.Breaker, u.endpoints[0].multiplexed())
	u.budget.open(o.Retry)
	u.turn.Store(o.Random() >> 1)
	for _, e := range u.endpoints {
		e.members = []*instance{u.newInstance(e, e.address())}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gather()
	return u, nil
}

// readEndpoints reads the URLs of instances.
func readEndpoints(urls []string) (all []*endpoint, err error) {
	if len(urls) == 0 {
		return nil, fault.Invalidf("an upstream has no instances")
	}
	seen := map[string]bool{}
	for _, text := range urls {
		e, err := readEndpoint(text)
		if err != nil {
			return nil, err
		}
		if seen[e.address()] {
			return nil, fault.Invalidf("an upstream's instance %s is named twice", e.url).WithHint("name each once: they take turns, and have no weights")
		}
		seen[e.address()] = true
		if len(all) > 0 && all[0].multiplexed() != e.multiplexed() {
			return nil, fault.Invalidf("of an upstream's instances, %s speaks h2 and %s does not, or the other way round", e.url, all[0].url).
				WithHint("instances that stand in for each other speak the same protocol")
		}
		all = append(all, e)
	}
	return all, nil
}

// multiplexed tells whether a connection carries many requests at once.
func (e *endpoint) multiplexed() bool { return e.scheme == "h2" || e.scheme == "h2c" }

// transport is what speaks to an instance at an address, in the way that its URL says.
func (u *Upstream) transport(e *endpoint, address string) exchanger {
	secure := u.o.TLS
	if (e.scheme == "https" || e.scheme == "h2") && (secure == nil || secure.ServerName == "") {
		if secure = secure.Clone(); secure == nil {
			secure = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		secure.ServerName, _, _ = net.SplitHostPort(e.address())
	}
	return newTransport(transportOptions{
		Scheme: e.scheme, Address: address, Host: either(u.o.HostHeader, e.host), TLS: secure,
		ConnectTimeout: u.o.ConnectTimeout, IdleTimeout: u.o.IdleTimeout, MaxIdle: u.o.Breaker.MaxConnections,
		Allow: u.o.Allow, Deny: u.o.Deny,
	})
}

// clock is the time since the upstream was made. It is monotonic where Now is.
func (u *Upstream) clock() time.Duration { return u.o.Now().Sub(u.born) }

// gather makes the list of instances anew from the endpoints, and lets those go that are in it no more. The lock is held.
func (u *Upstream) gather() {
	before := u.all
	u.all = nil
	seen := map[string]bool{}
	for _, e := range u.endpoints {
		for _, in := range e.members {
			if !seen[in.name] { // two names may stand for one address
				seen[in.name] = true
				u.all = append(u.all, in)
			}
		}
	}
	u.settleAll()
	for _, in := range before {
		if !slices.Contains(u.all, in) {
			in.x.close()
		}
	}
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

// Close lets connections go: idle ones at once, the others when they are done. Nobody's request fails by it, and one that comes after is
// answered over a connection that is not kept. It does not end Run.
func (u *Upstream) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range u.endpoints {
		for _, in := range e.members {
			in.x.close()
		}
	}
}

// Instances tells how the instances are, in the order of Options, addresses of a name sorted.
func (u *Upstream) Instances() []InstanceState {
	u.mu.Lock()
	defer u.mu.Unlock()
	states := make([]InstanceState, len(u.all))
	for i, in := range u.all {
		s := InstanceState{
			Address: in.name, State: in.state(), Why: in.why, Since: in.since, InFlight: int(in.inFlight.Load()), Ejections: in.ejections,
			Requests: in.asked(),
		}
		if in.aside && in.retry != never {
			s.Until = u.born.Add(in.retry)
		}
		if b := in.shed.bound.Load(); b < boundless {
			s.Bound = int(b)
		}
		s.Open, s.Idle = in.x.stats()
		for c := range s.Codes {
			s.Codes[c] = in.code(c)
		}
		s.Failures = s.Codes[5]
		for w := range s.Lost {
			s.Lost[w] = in.failures[w].Load()
		}
		s.Failures += s.Lost[Down] + s.Lost[Late] + s.Lost[Broken]
		states[i] = s
	}
	return states
}

// Stats is what an upstream did so far. Counts never go down.
type Stats struct {
	Requests  int64 // asked of the upstream
	Refused   int64 // of those, because too many were with it (Full)
	Nobody    int64 // of those, because no instance was well (Down)
	Retries   int64 // requests sent once more, to another instance
	Failovers int64 // requests sent to another instance since the one before did not get them
	Denied    int64 // retries that the budget did not allow
	Ejections int64
	Overflow  int64 // ejections that MaxEjectionPercent did not allow
	InFlight  int   // requests with it now
	Waiting   int   // requests that wait for a connection
}

// Stats returns what the upstream did so far.
func (u *Upstream) Stats() Stats {
	return Stats{
		Requests: u.requests.Load(), Refused: u.gate.refused.Load(), Nobody: u.nobodyWell.Load(),
		Retries: u.retried.Load(), Failovers: u.unreached.Load(), Denied: u.denied.Load(),
		Ejections: u.ejections.Load(), Overflow: u.overflow.Load(),
		InFlight: int(u.gate.in.Load()), Waiting: int(u.gate.waiting.Load()),
	}
}
