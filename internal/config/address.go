package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// CIDR is a range of addresses, written like 10.0.0.0/8; a single address is a range of itself.
type CIDR netip.Prefix

// cidrPattern is what UnmarshalText reads, roughly: which numbers are too large is its alone to say.
const cidrPattern = `^[0-9a-fA-F:.]+(/[0-9]{1,3})?$`

// UnmarshalText reads a range of addresses. One whose address has bits beyond its length is Invalid, as is one with a zone.
func (c *CIDR) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		a = a.Unmap()
		*c = CIDR(netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	switch {
	case err != nil || p.Addr().Is4In6():
		return fault.Invalidf("%.80q is no range of addresses", text).WithHint("write it like 10.0.0.0/8, fd00::/8 or 10.1.2.3")
	case p != p.Masked():
		return fault.Invalidf("%.80q has an address that is longer than its range", text).WithHint("write %s if the range is meant, or leave out /%d if the address is", p.Masked(), p.Bits())
	}
	*c = CIDR(p)
	return nil
}

// MarshalText writes the range as UnmarshalText reads it.
func (c CIDR) MarshalText() ([]byte, error) { return netip.Prefix(c).MarshalText() }

// String returns the range with its length.
func (c CIDR) String() string { return netip.Prefix(c).String() }

// Prefixes are the ranges as the rest of Serin knows them.
func Prefixes(list []CIDR) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, c := range list {
		out[i] = netip.Prefix(c)
	}
	return out
}

// numbered tells whether a host ends in a number, decimal or hexadecimal, as no name does: resolvers do not agree on 2130706433, 0x7f.1 and
// 0177.0.0.1, some of which take them for addresses of four parts.
func numbered(host string) bool {
	last := strings.TrimSuffix(host, ".")
	last = strings.ToLower(last[strings.LastIndexByte(last, '.')+1:])
	digits, hex := strings.CutPrefix(last, "0x")
	if hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// schemes are those of an upstream's URL, with the ports that they mean.
var schemes = map[string]string{"http": "80", "h2c": "80", "grpc": "80", "https": "443", "h2": "443", "grpcs": "443"}

// multiplexed tells of a scheme that a connection carries many requests: HTTP/2.
func multiplexed(scheme string) bool { return scheme != "http" && scheme != "https" }

// encrypted tells of a scheme that there is TLS.
func encrypted(scheme string) bool { return schemes[scheme] == "443" }

// address is an instance of an upstream.
type address struct {
	text   string // scheme, host and port as they are written, in lower case
	key    string // host and port, the same for two that are the same
	scheme string
	ip     netip.Addr // where the host is no name
	path   string     // where predictions are asked for, escaped; "": where the dialect says
}

// upstreamHost is a name, or an address without its brackets. Names may have underscores: those of containers do.
var upstreamHost = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9.])?$`)

// upstreamPath is a path as it stands in a request (RFC 3986), and dotSegments finds what in it would lead elsewhere.
var (
	upstreamPath = regexp.MustCompile(`^/([a-zA-Z0-9._~!$&'()*+,;=:@/-]|%[0-9a-fA-F]{2})*$`)
	dotSegments  = regexp.MustCompile(`/(\.|%2[eE]){1,2}(/|$)`)
)

const maxURL = 512

// readAddress reads the URL of an instance. The error is Invalid, and says nothing of what may be a secret.
func readAddress(text string) (a address, err error) {
	if strings.Contains(text, "@") {
		return a, fault.Invalidf("this URL holds a user or a password").WithHint("remove what stands before the @; a header can be given in headers")
	}
	if len(text) > maxURL {
		return a, fault.Invalidf("this URL has %d bytes", len(text)).WithHint("give at most %d", maxURL)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	a.scheme = strings.ToLower(scheme)
	if !ok {
		return a, fault.Invalidf("%.80q is no URL", text).WithHint("write http://HOST:PORT")
	}
	if schemes[a.scheme] == "" {
		return a, fault.Invalidf("%.40q is no scheme of an upstream", scheme).WithHint("write http, https, h2c, h2, grpc or grpcs")
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		what := map[byte]string{'?': "a query", '#': "a fragment"}[rest[i]]
		return a, fault.Invalidf("this URL has %s", what).WithHint("remove it: the path and the query are those of the request")
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if hasPath && path != "" {
		if a.path = "/" + path; !upstreamPath.MatchString(a.path) || dotSegments.MatchString(a.path) {
			return a, fault.Invalidf("this URL has a path that cannot be asked for").WithHint("write it as it goes over the wire, escaped, without . and .. between slashes")
		}
	}
	u, err := url.Parse(a.scheme + "://" + host)
	if err != nil {
		return a, fault.Invalidf("%.80q is no URL", text).WithHint("write http://HOST:PORT; an IPv6 address stands in [brackets]")
	}
	name, port := u.Hostname(), u.Port()
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" {
		a.ip = ip.Unmap()
	} else if numbered(name) {
		return a, fault.Invalidf("%.80q is a number, which some take for an address, and others for a name", name).WithHint("write an address in four parts, like http://10.1.2.3:8082")
	} else if !upstreamHost.MatchString(name) || err == nil {
		return a, fault.Invalidf("%.80q is no host of an upstream", name).WithHint("write a name or an address, like http://127.0.0.1:8082 or http://[::1]:8082")
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) || strings.HasSuffix(host, ":") {
		return a, fault.Invalidf("%.40q is no port", port).WithHint("give 1 to 65535")
	}
	a.text = a.scheme + "://" + strings.ToLower(host)
	a.key = strings.ToLower(host)
	if port == "" {
		a.key += ":" + schemes[a.scheme]
	}
	return a, nil
}
