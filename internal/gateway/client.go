package gateway

import (
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/serin-ml/serin/internal/traffic"
)

// maxHops is how many proxies in a row are believed. What a longer chain says is for nobody to read through on every request.
const maxHops = 32

// proxies are the addresses of proxies whose X-Forwarded-For is believed.
type proxies []netip.Prefix

// trust tells whether an address is one of them.
func (p proxies) trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// client returns the address of the client behind a connection from peer, whose request has these lines of X-Forwarded-For: each proxy
// added, at the right, whom it had the request from. So the client is the rightmost address that is no trusted proxy's; whatever stands to
// the left of it anybody may have written. Where all are trusted it is the leftmost. Where one that counts cannot be read, or there are
// more than maxHops, it is the peer.
func (p proxies) client(peer netip.Addr, lines []string) netip.Addr {
	if len(p) == 0 || !p.trust(peer) {
		return peer
	}
	client, hops := peer, 0
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var text string
			text, rest, more = lastOf(rest)
			if text == "" { // an empty entry of a list is none (RFC 9110, section 5.6.1)
				continue
			}
			hop, ok := parseHop(text)
			if hops++; !ok || hops > maxHops {
				return peer
			}
			if client = hop; !p.trust(hop) {
				return hop
			}
		}
	}
	return client
}

// lastOf cuts the last entry off a list with commas.
func lastOf(list string) (last, rest string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return strings.Trim(list, " \t"), "", false
	}
	return strings.Trim(list[i+1:], " \t"), list[:i], true
}

// parseHop reads an address as proxies write it: with or without a port, IPv6 with or without brackets.
func parseHop(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
			a, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		} else {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(text)
			a = ap.Addr()
		}
	}
	return canonical(a), err == nil
}

// canonical is an address as it is compared: without zone, and IPv4 as such.
func canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// addressOf reads the text of a connection's other end, as traffic.Facts has it. The zero Addr is nobody's, such as a Unix socket's.
func addressOf(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return canonical(a)
}

// behind are the facts of a request that came through trusted proxies.
type behind struct {
	traffic.Facts
	client string
}

// Client implements traffic.Facts.
func (b *behind) Client() string { return b.client }

// from returns the facts of a request over HTTP. Where no proxy is trusted, they are the connection's own, and cost nothing; else they may be
// kept in to, where that is not nil.
func (g *Gateway) from(r *http.Request, to *behind) traffic.Facts {
	facts := traffic.FromRequest(r)
	if len(g.proxies) == 0 {
		return facts
	}
	return g.proxies.facts(facts, r.Header["X-Forwarded-For"], to)
}

// fromRPC does the same for a call over gRPC.
func (g *Gateway) fromRPC(c *rpcCall, to *behind) traffic.Facts {
	if len(g.proxies) == 0 {
		return c
	}
	return g.proxies.facts(c, metadata.ValueFromIncomingContext(c.ctx, "x-forwarded-for"), to)
}

func (p proxies) facts(facts traffic.Facts, lines []string, to *behind) traffic.Facts {
	peer := addressOf(facts.Client())
	client := p.client(peer, lines)
	if client == peer {
		return facts
	}
	if to == nil {
		to = new(behind)
	}
	*to = behind{Facts: facts, client: client.String()}
	return to
}

// forwardedFor is what X-Forwarded-For says of a request that is passed on: what came from a trusted proxy, and whom this one came from.
// What others sent under that name is left out.
func (g *Gateway) forwardedFor(r *http.Request) string {
	peer := traffic.FromRequest(r).Client()
	lines := r.Header["X-Forwarded-For"]
	switch {
	case len(lines) == 0 || len(g.proxies) == 0 || !g.proxies.trust(addressOf(peer)):
		return peer
	case peer == "":
		return strings.Join(lines, ", ")
	}
	return strings.Join(lines, ", ") + ", " + peer
}

// trusted tells whether a request came from a trusted proxy, whose word on the protocol and the host that the client used counts.
func (g *Gateway) trusted(r *http.Request) bool {
	return len(g.proxies) > 0 && g.proxies.trust(addressOf(traffic.FromRequest(r).Client()))
}
