package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/serin-ml/serin/internal/fault"
)

// Protocol is how requests travel.
type Protocol uint8

// The protocols. HTTP2 is spoken without TLS by prior knowledge, with TLS by negotiation.
const (
	HTTP1 Protocol = iota
	HTTP2
	GRPC
)

// String returns the protocol's name.
func (p Protocol) String() string { return [...]string{"http/1.1", "h2", "grpc"}[p] }

// statusName is how a report calls a status.
func (p Protocol) statusName(status int) string {
	if p == GRPC {
		return codes.Code(status).String()
	}
	return strconv.Itoa(status)
}

// usual are the statuses that are good unless one says otherwise.
func (p Protocol) usual() Statuses {
	if p == GRPC {
		return Statuses{{0, 0}}
	}
	return Statuses{{200, 299}}
}

// Statuses are ranges of statuses, both ends in them: HTTP's, or gRPC's codes.
type Statuses [][2]int

func (s Statuses) has(status int) bool {
	for _, r := range s {
		if r[0] <= status && status <= r[1] {
			return true
		}
	}
	return false
}

// ParseStatuses reads statuses as people write them: 200, 2xx, or names and numbers of gRPC's codes for GRPC, several with commas.
func ParseStatuses(p Protocol, text string) (Statuses, error) {
	var all Statuses
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		n, err := strconv.Atoi(part)
		var code codes.Code
		switch {
		case p == GRPC && err == nil && n >= 0 && n <= 16:
			all = append(all, [2]int{n, n})
		case p == GRPC && code.UnmarshalJSON([]byte(strconv.Quote(strings.ToUpper(part)))) == nil:
			all = append(all, [2]int{int(code), int(code)})
		case p != GRPC && err == nil && n >= 100 && n <= 599:
			all = append(all, [2]int{n, n})
		case p != GRPC && len(part) == 3 && part[0] >= '1' && part[0] <= '5' && strings.EqualFold(part[1:], "xx"):
			n := int(part[0]-'0') * 100
			all = append(all, [2]int{n, n + 99})
		case p == GRPC:
			return nil, fault.Invalidf("%q is no code of gRPC", part).WithHint("write OK, INVALID_ARGUMENT, ...; several with commas")
		default:
			return nil, fault.Invalidf("%q is no status of HTTP", part).WithHint("write 200 or 2xx; several with commas")
		}
	}
	return all, nil
}

// readURL sets what the URL says.
func (o *Options) readURL() error {
	u, err := url.Parse(o.URL)
	hint := "write http://HOST:PORT/PATH, https://..., or grpc://HOST:PORT"
	switch {
	case err != nil:
		return fault.Invalidf("the URL cannot be read: %w", err).WithHint("%s", hint)
	case u.Host == "" || u.Hostname() == "":
		return fault.Invalidf("the URL %q has no host", o.URL).WithHint("%s", hint)
	case u.User != nil:
		return fault.Invalidf("the URL has a user or password in it").WithHint("send the header Authorization")
	}
	switch u.Scheme {
	case "http", "https":
		if o.Protocol == GRPC {
			return fault.Invalidf("gRPC cannot be asked at %s", o.URL).WithHint("write grpc:// or, with TLS, grpcs://")
		}
	case "grpc", "grpcs":
		if o.Protocol == HTTP2 {
			return fault.Invalidf("%s is spoken over gRPC, not over plain HTTP/2", o.URL)
		}
		o.Protocol = GRPC
		if strings.Count(u.Path, "/") != 2 || strings.HasSuffix(u.Path, "/") {
			return fault.Invalidf("the URL %q does not say which method of gRPC to call", o.URL).
				WithHint("end it with /package.Service/Method")
		}
	default:
		return fault.Invalidf("the URL %q has the scheme %q", o.URL, u.Scheme).WithHint("%s", hint)
	}
	return nil
}

// target is where requests go, worked out once.
type target struct {
	url     *url.URL
	address string // that answered: IP and port
	host    string // for the header and the certificate, with the port where the URL has one
	tls     bool
}

const dialTimeout = 5 * time.Second

// resolve finds an address of the server that takes connections.
func resolve(ctx context.Context, o *Options) (*target, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fault.Invalidf("%w", err) // read before: it cannot be
	}
	t := &target{url: u, host: u.Host, tls: u.Scheme == "https" || u.Scheme == "grpcs"}
	port := u.Port()
	if port == "" {
		port = "80"
		if t.tls {
			port = "443"
		}
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fault.Unavailablef("the server cannot be reached: %w", err).WithHint("start it, or mend the URL %s", o.URL)
	}
	defer conn.Close()
	t.address = conn.RemoteAddr().String()
	return t, nil
}

// checkFields refuses headers that would break a request apart.
func (o *Options) checkFields() error {
	fields := append([]Field{{o.Unit.Header, ""}}, o.Header...)
	for i := range o.Payloads {
		fields = append(fields, o.Payloads[i].Header...)
	}
	if o.Unit.Header == "" {
		fields = fields[1:]
	}
	for _, f := range fields {
		if f.Name == "" || strings.Trim(f.Name, nameCharacters) != "" {
			return fault.Invalidf("%q is no name of a header", f.Name)
		}
		if strings.ContainsFunc(f.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fault.Invalidf("the header %s has a value with control characters", f.Name)
		}
		switch strings.ToLower(f.Name) {
		case "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect":
			return fault.Invalidf("the header %s is not for requests to set: it is about the connection", f.Name)
		}
	}
	if strings.Trim(o.Method, nameCharacters) != "" {
		return fault.Invalidf("%q is no method of HTTP", o.Method)
	}
	if o.Method == http.MethodConnect {
		return fault.Invalidf("the method CONNECT makes tunnels, which have no answers")
	}
	return nil
}

// nameCharacters are the characters of names and methods of HTTP.
const nameCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// texts are the requests as they are sent.
type texts struct {
	payloads []Payload
	order    []int // which payload is when; nil: their own order
	unit     Unit
	seed     uint64
}

func newTexts(o *Options) *texts {
	t := &texts{payloads: o.Payloads, unit: o.Unit, seed: o.Seed}
	if o.Shuffle {
		t.order = rand.New(rand.NewPCG(o.Seed, shuffles)).Perm(len(o.Payloads))
	}
	return t
}

// shuffles keeps the draws of Shuffle apart from those of arrivals.
const shuffles = 1 << 32

// payload returns which payload a request carries.
func (t *texts) payload(n int) int {
	n %= len(t.payloads)
	if t.order != nil {
		return t.order[n]
	}
	return n
}

// appendUser appends the value of the unit's header for a request.
func (t *texts) appendUser(dst []byte, n int) []byte {
	user := uint64(n)
	if t.unit.Users > 0 {
		user = mix(t.seed^mix(uint64(n))) % uint64(t.unit.Users)
	}
	return strconv.AppendUint(append(dst, "user-"...), user, 10)
}

// mix is SplitMix64's finaliser (Steele, Lea and Flood, 2014): it makes neighbours far apart.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fields returns the header of a request with a payload: the user's own, and the payload's where the user says nothing else.
func (o *Options) fields(p *Payload) []Field {
	all := append([]Field(nil), o.Header...)
	for _, f := range p.Header {
		own := false
		for _, h := range o.Header {
			own = own || strings.EqualFold(h.Name, f.Name)
		}
		if !own {
			all = append(all, f)
		}
	}
	return all
}

// refusal is what a request whose connection could not be made has to say.
func refusal(err error) result { return result{problem: noConnection, example: fmt.Sprint(err)} }
