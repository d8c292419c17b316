package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// dialer makes connections to one instance.
type dialer struct {
	tcp     net.Dialer
	address string
	tls     *tls.Config // nil: no TLS
}

// newDialer returns the dialer for the instance that o describes.
func newDialer(o transportOptions) dialer {
	g := guard{allow: o.Allow, deny: o.Deny}
	d := dialer{tcp: net.Dialer{Timeout: o.ConnectTimeout, Control: g.control}, address: o.Address}
	if o.Scheme == "https" || o.Scheme == "h2" {
		d.tls = o.TLS.Clone()
		if d.tls == nil {
			d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if d.tls.ServerName == "" {
			d.tls.ServerName = hostOf(o.Host)
		}
		d.tls.NextProtos = []string{"http/1.1"}
	}
	return d
}

// hostOf returns the host of an authority, the port left out.
func hostOf(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

// dial makes a connection by the deadline, if that is not zero, and within the connect timeout.
func (d *dialer) dial(ctx context.Context, deadline time.Time) (*net.TCPConn, net.Conn, error) {
	within := time.Now().Add(d.tcp.Timeout)
	if deadline.IsZero() || within.Before(deadline) {
		deadline = within
	}
	tcp := d.tcp
	tcp.Deadline = deadline
	plain, err := tcp.DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, nil, err
	}
	c := plain.(*net.TCPConn)
	if d.tls == nil {
		return c, c, nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	secure := tls.Client(c, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, secure, nil
}

// failed says why there is no connection.
func (d *dialer) failed(ctx context.Context, deadline time.Time, err error) *Failure {
	switch {
	case !deadline.IsZero() && !time.Now().Before(deadline), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Failure{Why: Late, Err: err}
	case ctx.Err() != nil:
		return &Failure{Why: Gone, Err: context.Cause(ctx)}
	}
	return &Failure{Why: Down, Err: err}
}

// guard decides which addresses may be dialled. It sees them as they are resolved, so that no name, and no change of what a name
// stands for, gets past it.
type guard struct{ allow, deny []netip.Prefix }

// nowhere is where no instance is: link-local addresses, behind which clouds keep the credentials of their machines (and the same of EC2
// over IPv6), multicast, broadcast and what means no address, which the kernel takes for its own.
var nowhere = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::254/128"),
}

// control is called by net.Dialer for each address before it is connected to.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fault.Invalidf("upstream address %q: %w", address, err)
	}
	return g.check(to.Addr())
}

// check says that an address may be dialled. An IPv4 address in one of IPv6 is judged as what it is, and what stands for it as well.
func (g guard) check(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	for _, a := range []netip.Addr{a, inside(a)} {
		if !a.IsValid() {
			continue
		}
		in := func(p netip.Prefix) bool { return p.Contains(a) }
		switch {
		case slices.ContainsFunc(g.deny, in):
			return fault.Invalidf("upstream address %s is denied", a).WithHint("server.upstreams.deny names it")
		case len(g.allow) > 0:
			if !slices.ContainsFunc(g.allow, in) {
				return fault.Invalidf("upstream address %s is not allowed", a).WithHint("add it to server.upstreams.allow")
			}
		case slices.ContainsFunc(nowhere, in):
			return fault.Invalidf("upstream address %s is link-local, multicast or no address", a).
				WithHint("if an upstream is there, name it in server.upstreams.allow")
		}
	}
	return nil
}

// inside returns the IPv4 address that a translator (NAT64, RFC 6052 and 8215), a 6to4 router or an IPv4-compatible address leads to, or
// none.
func inside(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return netip.Addr{}
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), nat64Local.Contains(a), compatible.Contains(a) && !a.IsLoopback() && !a.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return netip.Addr{}
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")
	compatible = netip.MustParsePrefix("::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)
