package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/limit"
	"github.com/serin-ml/serin/internal/traffic"
)

// LimitKey says by what clients are told apart.
type LimitKey struct {
	From LimitSource
	Name string // of the header, in canonical form, or of the cookie
}

// LimitSource is where a request says who its client is. A request that says nothing there is held to its client's address, apart from
// all keys, so that nobody is freed by leaving it out.
type LimitSource uint8

// The sources of a LimitKey.
const (
	ByClient LimitSource = iota // the client's address
	ByHeader                    // the first value of a header
	ByCookie                    // a cookie
	ByAPIKey                    // X-Api-Key, or else the token in Authorization: Bearer
)

// LimitOptions describe one of a service's limits.
type LimitOptions struct {
	limit.Options
	Name string // in headers and metrics: ASCII that is printed, without quotes and backslashes. No other limit of the service has it
	Key  LimitKey
	// Where the limit holds. Routes are those of the service, as they are written. Paths are the beginnings of others, segment by segment,
	// as Prefix has them; a call over gRPC has the path of its method. With neither, it holds everywhere.
	Routes, Paths []string
}

// Limit holds the clients of a service to so many requests. NewLimit makes it.
type Limit struct {
	options LimitOptions
	limiter *limit.Limiter
	policy  string   // its item in RateLimit-Policy
	quota   []string // RateLimit-Limit
}

// NewLimit makes a limit under which nobody has asked anything yet.
func NewLimit(o LimitOptions) (*Limit, error) {
	limiter, err := limit.New(o.Options)
	if err != nil {
		return nil, err
	}
	l := &Limit{options: o, limiter: limiter, quota: []string{strconv.Itoa(o.Requests)}}
	l.policy = fmt.Sprintf("%q;q=%d;w=%d", o.Name, o.Requests, seconds(o.Window))
	if o.Burst > 0 {
		l.policy += fmt.Sprintf(";serin-burst=%d", o.Burst)
	}
	return l, nil
}

// KeepLimits lets s go on with what is known of clients where before, whose place s takes, has the same limit, under whatever name. Nobody
// must be asking s yet.
func (s *Service) KeepLimits(before *Service) {
	rest := slices.Clone(before.options.Limits)
	for _, l := range s.options.Limits {
		had := slices.IndexFunc(rest, func(b *Limit) bool { return b.options.same(&l.options) })
		if had >= 0 {
			l.limiter = rest[had].limiter
			rest = slices.Delete(rest, had, had+1)
		}
	}
}

func (o *LimitOptions) same(p *LimitOptions) bool {
	return o.Options == p.Options && o.Key == p.Key && slices.Equal(o.Routes, p.Routes) && slices.Equal(o.Paths, p.Paths)
}

// key returns who the client of a request is.
func (l *Limit) key(f traffic.Facts) limit.Key {
	text := ""
	switch l.options.Key.From {
	case ByHeader:
		text = f.Header(l.options.Key.Name)
	case ByCookie:
		text = f.Cookie(l.options.Key.Name)
	case ByAPIKey:
		if text = f.Header("X-Api-Key"); text == "" {
			text = bearer(f.Header("Authorization"))
		}
	case ByClient:
	}
	if text == "" {
		return l.limiter.Address(addressOf(f.Client()))
	}
	return l.limiter.Text(text)
}

// bearer returns the token of an Authorization field, "" if it has another scheme.
func bearer(field string) string {
	scheme, token, _ := strings.Cut(field, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// holds tells whether the limit is one of a place's.
func (l *Limit) holds(at *spot, path string) bool {
	o := &l.options
	if o.Routes == nil && o.Paths == nil {
		return true
	}
	if at.label == routeLabel && slices.Contains(o.Routes, at.route) {
		return true
	}
	if at.rpc {
		path = at.route
	}
	return slices.ContainsFunc(o.Paths, func(prefix string) bool { return under(path, prefix) })
}

// under tells whether a path begins with a prefix: with whole segments of it, or below it where it ends in a slash.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/"))
}

// since is the time that limits count in: that of the monotonic clock, which goes on evenly whatever the wall clock is set to.
func (g *Gateway) since(at time.Time) time.Duration { return at.Sub(g.began) }

// hold holds a request to the service's limits, and tells in the header of its answer what is left. The error of one that is refused is
// a *limited; it has used nothing of any limit. It is to be counted to a variant nonetheless: the one that would have answered.
func (g *Gateway) hold(d *decision, c *call, at *spot) error {
	if len(d.service.options.Limits) == 0 {
		return nil
	}
	err := d.service.hold(c, g.since(c.at), at)
	if err == nil { // not as an error that is none
		return nil
	}
	d.limited = true
	g.metrics.limited(d.service, err)
	return err
}

func (s *Service) hold(c *call, now time.Duration, at *spot) *limited {
	var room [4]told
	all := room[:0]
	for _, l := range s.options.Limits {
		if l.holds(at, c.path) {
			all = append(all, told{limit: l, key: l.key(c.facts)})
		}
	}
	if len(all) == 0 {
		return nil
	}
	refused := false
	if len(all) > 1 { // none takes what another refuses
		for i := range all {
			all[i].verdict = all[i].limit.limiter.Peek(all[i].key, now)
			refused = refused || !all[i].verdict.Allowed
		}
	}
	for i := 0; i < len(all) && !refused; i++ {
		all[i].verdict = all[i].limit.limiter.Take(all[i].key, now)
		refused = !all[i].verdict.Allowed
	}
	tell(c.header, all)
	if !refused {
		return nil
	}
	return refusal(c.header, all)
}
