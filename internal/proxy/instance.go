package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// exchanger is what speaks to one instance. *transport is one.
type exchanger interface {
	exchange(ctx context.Context, r *Request, a *Answer) error
	close()
	stats() (open, idle int)
}

// instance is one server of an upstream.
type instance struct {
	u    *Upstream
	name string // scheme://host:port as it is dialled; no two of an upstream have the same
	x    exchanger

	inFlight atomic.Int64           // requests with it, checks left out
	answers  atomic.Int64           // it gave, whatever their status
	codes    [6]atomic.Int64        // of those, by the status's first digit; 2 is not counted: it is what the others leave
	failures [Gone + 1]atomic.Int64 // requests without an answer, by the reason
	troubled atomic.Bool            // something speaks against it: good answers are to be told too

	leave       [3]func(*Answer) // what an answer's Close calls, by what is left to do
	multiplexed bool

	shed   shedder
	health // of it; under u.mu
}

// newInstance returns an instance of which nothing is known.
func (u *Upstream) newInstance(e *endpoint, address string) *instance {
	in := &instance{u: u, name: e.scheme + "://" + address}
	in.x = u.dial(e, address)
	in.shed.bound.Store(boundless)
	in.health = health{since: u.o.Now(), retry: never}
	in.multiplexed = e.multiplexed()
	in.leave[judged] = func(a *Answer) {
		if a.Rest != nil && brokenOff(a.Rest) {
			u.judge(in, false, outcome{fault: true, passive: true, gateway: true, err: errBrokenOff})
		}
		in.done()
	}
	in.leave[judgedLater] = func(a *Answer) { in.ended(a, false) }
	in.leave[judgedAsProbe] = func(a *Answer) { in.ended(a, true) }
	return in
}

// brokenOff tells whether the instance hung up, or sent nonsense, in the middle of a body. One that ended too late may have been read too
// slowly.
func brokenOff(body io.Reader) bool {
	e, ok := body.(interface{ endedBy() error })
	if !ok {
		return false
	}
	f, ok := errors.AsType[*Failure](e.endedBy())
	return ok && f.Why == Broken
}

func (s *rest) endedBy() error { return s.err }
func (f *flow) endedBy() error { return f.err }

var errBrokenOff = errors.New("it broke off in the middle of an answer")

// What is left to do when an answer is closed.
const (
	judged        = iota // to look how the body ended, and say that it is over
	judgedLater          // to judge it: a gRPC call says at its end how it went
	judgedAsProbe        // the same of one that was to find out whether the instance is well
)

// ended judges a gRPC call by its trailers. One that was not read to its end says nothing.
func (in *instance) ended(a *Answer, probe bool) {
	o := outcome{unheard: true}
	if status, known := grpcStatus(a.Trailer); known {
		o = answered(status)
	}
	in.u.judge(in, probe, o)
	in.done()
}

// done says that a request is over.
func (in *instance) done() {
	in.inFlight.Add(-1)
	in.u.gate.leave()
}

// count counts an answer.
func (in *instance) count(status int) {
	in.answers.Add(1)
	if c := status / 100; c != 2 && c >= 0 && c < len(in.codes) {
		in.codes[c].Add(1)
	}
}

// code returns how many answers had a status that begins with a digit.
func (in *instance) code(digit int) int64 {
	if digit != 2 {
		return in.codes[digit].Load()
	}
	n := in.answers.Load()
	for i := range in.codes {
		n -= in.codes[i].Load()
	}
	return max(0, n)
}

// asked returns how many requests it got that are over.
func (in *instance) asked() int64 {
	n := in.answers.Load()
	for i := range in.failures {
		n += in.failures[i].Load()
	}
	return n
}

// endpoint is what a URL of Options.Instances names.
type endpoint struct {
	url     string // as it is written
	scheme  string // http, https, h2c or h2
	host    string // as URL has it, with the port if that says one
	name    string // to look up; "" where the host is an address
	port    string
	members []*instance // one, unless its name is looked up
}

// readEndpoint reads an instance's URL.
func readEndpoint(text string) (*endpoint, error) {
	bad := func(why, hint string) (*endpoint, error) {
		return nil, fault.Invalidf("upstream instance %q: %s", redacted(text), why).WithHint("%s", hint)
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return bad("it is no URL", "write scheme://host:port")
	}
	e := &endpoint{url: text, host: strings.ToLower(u.Host), port: u.Port()}
	ports := map[string]string{"http": "80", "h2c": "80", "https": "443", "h2": "443"}
	e.scheme = map[string]string{"grpc": "h2c", "grpcs": "h2"}[u.Scheme]
	if e.scheme == "" {
		e.scheme = u.Scheme
	}
	switch {
	case ports[e.scheme] == "":
		return bad("its scheme is none that is spoken", "the schemes are http, https, h2c, h2, grpc and grpcs")
	case u.Hostname() == "":
		return bad("it has no host", "write scheme://host:port")
	case u.User != nil:
		return bad("it holds credentials", "send them as a header instead")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return bad("it holds more than scheme, host and port", "a path in front of requests' own is a matter of rewriting them")
	}
	e.port = either(e.port, ports[e.scheme])
	host := strings.ToLower(u.Hostname())
	if a, err := netip.ParseAddr(host); err != nil {
		e.name = host
	} else if a.Zone() != "" {
		return bad("its address has a zone", "addresses that hold for one link alone are none of upstreams")
	}
	return e, nil
}

// redacted is a URL without what stands before an @.
func redacted(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if i := strings.LastIndexByte(rest, '@'); ok && i >= 0 {
		return scheme + "://" + rest[i+1:]
	}
	return text
}

// address returns what is dialled, host or address with the port.
func (e *endpoint) address() string {
	host := strings.TrimSuffix(e.host, ":"+e.port)
	return net.JoinHostPort(strings.Trim(host, "[]"), e.port)
}

// State is how an instance is.
type State uint8

// The states of an instance.
const (
	Unchecked State = iota // it was not heard yet; it is asked
	Healthy                // it is asked
	Failing                // it failed requests or checks, and is not asked until it is tried again
	Ejected                // it is an outlier, and is not asked until its time is over
)

// String returns unchecked, healthy, failing or ejected.
func (s State) String() string {
	return [...]string{"unchecked", "healthy", "failing", "ejected"}[s]
}

// InstanceState is how an instance is, and what it did so far.
type InstanceState struct {
	Address   string // scheme://host:port
	State     State
	Why       string    // it is failing or ejected: a text for people
	Since     time.Time // when it came to be so; of one that is well, when it last was not, or when it was made
	Until     time.Time // when it is tried again, if a check does not end that; zero: it is asked, or only a check brings it back
	InFlight  int       // requests with it
	Bound     int       // requests that it is given at once while more would be late; 0: there is no such bound
	Open      int       // connections
	Idle      int       // of those, not in use
	Requests  int64     // it was sent or could not be, and that are over
	Failures  int64     // of those, answered with 500 and more, or not at all though who asked waited
	Codes     [6]int64  // answers by the status's first digit
	Lost      [5]int64  // requests without an answer, by Why
	Ejections int64     // how often it was ejected
}
