package gateway

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"github.com/serin-ml/serin/internal/proxy"
)

// readFirst is the size up to which a body is read before it is passed on.
const readFirst = 256 << 10

// readSmall reads the body if it is small. Otherwise it makes what is to be passed on of it. How long a call of gRPC sends nobody knows:
// it may wait for an answer before it sends on.
func (b *buffers) readSmall(s *Service) error {
	r := b.http.r
	n := r.ContentLength
	if n > readFirst || n < 0 && isRPC(r) {
		b.pass.incoming = newIncoming(b, s, r.Body)
		return nil
	}
	if n > 0 {
		b.in.Grow(int(n))
		b.body = b.in.AvailableBuffer()[:n]
		_, err := io.ReadFull(r.Body, b.body)
		return unread(err, r)
	}
	limit := min(readFirst, s.options.Body)
	if _, err := b.in.ReadFrom(io.LimitReader(r.Body, limit+1)); err != nil {
		return unread(err, r)
	}
	b.body = b.in.Bytes()
	switch n := int64(len(b.body)); {
	case n > s.options.Body:
		return tooLarge(s.options.Body)
	case n > limit:
		b.pass.incoming = newIncoming(b, s, io.MultiReader(bytes.NewReader(bytes.Clone(b.body)), r.Body))
		b.body = nil
	}
	return nil
}

// fill makes the request for a variant.
func (b *buffers) fill(g *Gateway, c *call, v *Variant) {
	r, d, p := b.http.r, &b.decision, &b.pass
	trusted := g.trusted(r)
	scheme, host := schemeOf(c.secure), r.Host
	if trusted {
		scheme, host = firstOf(r.Header["X-Forwarded-Proto"], scheme), firstOf(r.Header["X-Forwarded-Host"], host)
	}
	p.set = append(p.set[:0],
		proxy.Field{Name: "X-Forwarded-For", Value: g.forwardedFor(r)},
		proxy.Field{Name: "X-Forwarded-Proto", Value: scheme},
		proxy.Field{Name: "X-Forwarded-Host", Value: host},
		proxy.Field{Name: "X-Request-Id", Value: b.requestID(r)},
		proxy.Field{Name: TokenHeader, Value: d.token},
		proxy.Field{Name: VariantHeader, Value: v.Name()},
	)
	for name := range r.Header {
		if forged(name, trusted) && !sets(p.set, name) {
			p.set = append(p.set, proxy.Field{Name: name})
		}
	}
	for _, own := range v.options.Header {
		if i := slices.IndexFunc(p.set, func(f proxy.Field) bool { return f.Name == own.Name }); i >= 0 {
			p.set[i] = own
		} else {
			p.set = append(p.set, own)
		}
	}
	p.request = proxy.Request{
		Method: r.Method, Target: p.target, Host: v.host(r), Header: r.Header, Set: p.set, Body: b.body,
		Deadline: p.deadline, Safe: v.options.NonIdempotent || idempotent(r.Method), Hold: d.service.options.Hold,
	}
	if p.incoming != nil {
		p.request.Stream, p.request.Length = p.incoming, r.ContentLength
	}
}

// VariantHeader tells an upstream which variant it is asked as.
const VariantHeader = "Serin-Variant"

func schemeOf(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// host is the Host field that the variant's upstream gets, "" for its own.
func (v *Variant) host(r *http.Request) string {
	switch host := v.options.Host; host {
	case "":
		return r.Host
	case HostOfUpstream:
		return ""
	default:
		return host
	}
}

// requestID is the id of a request that its upstream gets: the client's own if it is sane, else the decision's.
func (b *buffers) requestID(r *http.Request) string {
	if values := r.Header["X-Request-Id"]; len(values) == 1 && sane(values[0]) {
		b.decision.requestID = values[0]
		return values[0]
	}
	return b.decision.id.String()
}

// sane tells whether an id is one that can be looked for in logs.
func sane(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// firstOf is the first of values, or instead if there is none.
func firstOf(values []string, instead string) string {
	if len(values) == 0 || values[0] == "" {
		return instead
	}
	return values[0]
}

// forged tells whether a client's field of that name would be taken for what this server says or, unless it comes from a trusted proxy, for
// what a proxy says. Underscores are no way around: what makes variables of names (CGI, WSGI) does not tell them from hyphens. Forwarded is
// not passed on at all: nothing is added to it here, so that its last hop would be taken for another.
func forged(name string, trusted bool) bool {
	if name == "" {
		return false
	}
	switch name[0] | 0x20 {
	case 's':
		return begins(name, "serin-")
	case 'x':
		return len(name) == len("x-shadow") && begins(name, "x-shadow") ||
			!trusted && (begins(name, "x-forwarded-") || len(name) == len("x-real-ip") && begins(name, "x-real-ip"))
	case 'f':
		return len(name) == len("forwarded") && begins(name, "forwarded")
	}
	return false
}

// begins tells whether a name begins with what stands in small letters, the case and the difference of - and _ left aside.
func begins(name, with string) bool {
	if len(name) < len(with) {
		return false
	}
	for i := range len(with) {
		c := name[i]
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if c != with[i] {
			return false
		}
	}
	return true
}

func sets(set []proxy.Field, name string) bool {
	for i := range set {
		if set[i].Name == name {
			return true
		}
	}
	return false
}

// idempotent tells whether a request may be asked twice (RFC 9110, section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodTrace:
		return true
	}
	return false
}
