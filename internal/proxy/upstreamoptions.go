package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Options say which instances an upstream has, and how they are used. A number is taken as it is: where 0 has a meaning of its own (never,
// none), it is said. Where it has none, 0 is the default that is named. Defaults returns options as most want them.
type Options struct {
	Instances []string      // URLs, scheme://host[:port]: http, https, h2c, h2, grpc (as h2c), grpcs (as h2). No two alike
	Resolve   time.Duration // how often names are looked up; each address is then an instance of its own. 0: whenever a connection is opened

	MaxFails    int           // failures within FailTimeout after which an instance is put aside for FailTimeout; 0: never. See health.go
	FailTimeout time.Duration // 10 s
	Check       *Check        // asks instances whether they are well; nil: only requests tell
	Outlier     *Outlier      // ejects instances; nil: none
	Breaker     Breaker
	Retry       Retry
	Timeout     time.Duration // what requests usually have, from Ask to their deadline; one that had less than half says nothing by being late. 0: what each has
	FailOpen    bool          // where no instance is well, ask them all the same (see Ask); for where nothing else could answer

	ConnectTimeout time.Duration // for a connection to open, its TLS handshake included; 60 s
	IdleTimeout    time.Duration // after which a connection that is not used is closed; 60 s
	TLS            *tls.Config   // of https and h2; without a ServerName it is the host in the URL
	HostHeader     string        // the Host of requests that have none; the instance's own

	Allow []netip.Prefix // addresses that may be dialled; none: all but those where no upstream is (link-local, multicast, unspecified)
	Deny  []netip.Prefix // addresses that may not be, whatever Allow says

	Now    func() time.Time // time.Now
	Random func() uint64    // where turns begin, and chances of ejection; math/rand/v2
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	Log    *slog.Logger // what becomes of instances; nothing is logged
}

// Check is how instances are asked whether they are well, by GET, once when Run begins and then over and over. An instance whose checks
// fail gets no requests. One of which nothing is known yet does, so that a start waits for nothing.
type Check struct {
	Path      string
	Every     time.Duration // 10 s
	Timeout   time.Duration // 1 s
	Healthy   int           // checks passed in a row that bring an instance back; 2
	Unhealthy int           // checks failed in a row that take it out; 3
	Status    StatusRange   // that pass; 200 to 399
}

// StatusRange is the statuses from one to another, both included.
type StatusRange struct{ From, To int }

// Breaker bounds what an upstream is given at once. Names and defaults are those of Envoy's circuit breakers, and the bounds are for all
// instances together.
type Breaker struct {
	MaxConnections     int // in use at once (HTTP/1.1): a request beyond waits; 1024. As many may be kept idle with each instance
	MaxPendingRequests int // that wait at once; one beyond is refused; 1024
	MaxRequests        int // that are asked at once; one beyond is refused; 1024
}

// Retry says when another instance is asked for an answer that the first did not give. See retry.go.
type Retry struct {
	Attempts       int      // instances at most that a request is sent to; 2. 1: nobody else is asked
	Budget         float64  // retries, in percent of requests; 0: MinConcurrency alone
	MinConcurrency int      // retries that may be made within ten seconds however few requests there are; 0: none
	On             []string // connect, reset, 429, 500 to 599; none: no retries
}

// Defaults returns the options with which these instances are used if nothing else is said: NGINX's passive health, Envoy's bounds and
// outlier detection, and retries of what may be sent again.
func Defaults(instances ...string) Options {
	return Options{
		Instances: instances,
		MaxFails:  1,
		Outlier:   DefaultOutlier(),
		Retry:     Retry{Budget: 20, MinConcurrency: 3, On: []string{"connect", "reset", "502", "503", "504"}},
	}
}

// complete checks o and returns it with its defaults filled in.
func (o Options) complete() (Options, error) {
	o.FailTimeout = either(o.FailTimeout, 10*time.Second)
	o.ConnectTimeout = either(o.ConnectTimeout, time.Minute)
	o.IdleTimeout = either(o.IdleTimeout, time.Minute)
	o.Breaker.MaxConnections = either(o.Breaker.MaxConnections, 1024)
	o.Breaker.MaxPendingRequests = either(o.Breaker.MaxPendingRequests, 1024)
	o.Breaker.MaxRequests = either(o.Breaker.MaxRequests, 1024)
	o.Retry.Attempts = either(o.Retry.Attempts, 2)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Check != nil {
		c := *o.Check
		c.Every, c.Timeout = either(c.Every, 10*time.Second), either(c.Timeout, time.Second)
		c.Healthy, c.Unhealthy = either(c.Healthy, 2), either(c.Unhealthy, 3)
		c.Status = either(c.Status, StatusRange{200, 399})
		o.Check = &c
	}
	if o.Outlier != nil {
		out := o.Outlier.complete()
		o.Outlier = &out
	}
	return o, o.check()
}

// check says what of o cannot be.
func (o *Options) check() error {
	positive := func(what string, n int64) error {
		if n < 0 {
			return fault.Invalidf("an upstream's %s cannot be below 0", what)
		}
		return nil
	}
	for _, p := range []struct {
		what string
		n    int64
	}{
		{"resolve", int64(o.Resolve)}, {"max fails", int64(o.MaxFails)}, {"fail timeout", int64(o.FailTimeout)},
		{"timeout", int64(o.Timeout)},
		{"connect timeout", int64(o.ConnectTimeout)}, {"idle timeout", int64(o.IdleTimeout)},
		{"max connections", int64(o.Breaker.MaxConnections)}, {"max pending requests", int64(o.Breaker.MaxPendingRequests)},
		{"max requests", int64(o.Breaker.MaxRequests)}, {"attempts", int64(o.Retry.Attempts)},
		{"retry budget", int64(o.Retry.Budget)}, {"least retries", int64(o.Retry.MinConcurrency)},
	} {
		if err := positive(p.what, p.n); err != nil {
			return err
		}
	}
	for _, on := range o.Retry.On {
		if code, err := strconv.Atoi(on); err == nil && (code == 429 || code >= 500 && code <= 599) {
			continue
		}
		if !slices.Contains([]string{onConnect, onReset}, on) {
			return fault.Invalidf("%q is nothing to retry on", on).WithHint("name connect, reset, 429, or a status of 500 to 599")
		}
	}
	if c := o.Check; c != nil {
		switch {
		case c.Path == "" || c.Path[0] != '/':
			return fault.Invalidf("the path of a health check is %q", c.Path).WithHint("begin it with a slash")
		case c.Every < 0 || c.Timeout < 0 || c.Healthy < 0 || c.Unhealthy < 0 || c.Status.From > c.Status.To:
			return fault.Invalidf("a health check has a number below 0, or a range that ends before it begins")
		}
	}
	if o.Outlier != nil {
		return o.Outlier.check()
	}
	return nil
}
