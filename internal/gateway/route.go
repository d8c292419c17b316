package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

const routeLabel = "route"

// Route is a method and a path of a service's own, and the dialect that is spoken there.
type Route struct {
	Method  string
	Path    RoutePath
	Dialect Dialect
}

// callDialect is a Dialect that reads more of a request than its body.
type callDialect interface {
	DecodeCall(body []byte, call wire.Call, s tensor.Signature, l wire.Limits) (wire.Exchange, error)
}

// fitter is a Dialect that can tell of a model whether it fits.
type fitter interface {
	Fits(s tensor.Signature) error
}

// Fits tells which of the service's routes does not fit a model of the given signature.
func (s *Service) Fits(signature tensor.Signature) error {
	for _, r := range s.options.Routes {
		f, ok := r.Dialect.(fitter)
		if !ok {
			continue
		}
		if err := f.Fits(signature); err != nil {
			return fault.Invalidf("route %s %s: %w", r.Method, r.Path.text, err)
		}
	}
	return nil
}

// decode reads a request in a dialect.
func decode(d Dialect, body []byte, call wire.Call, s tensor.Signature, l wire.Limits) (wire.Exchange, error) {
	if c, ok := d.(callDialect); ok {
		return c.DecodeCall(body, call, s, l)
	}
	return d.Decode(body, s, l)
}

// parameterPrefix keeps the names that people give to parameters apart from those of Serin's own paths.
const parameterPrefix = "route."

// routes are those of all services under one host, or under all, by the segments of their paths. At each segment the text itself comes
// before a parameter.
type routes struct {
	texts     map[string]*routes
	parameter *routes
	ends      []routeEnd // by method
	passages  passages
}

// below returns the node of a segment's text below n, which may be new.
func (n *routes) below(text string) *routes {
	if n.texts == nil {
		n.texts = map[string]*routes{}
	}
	if n.texts[text] == nil {
		n.texts[text] = new(routes)
	}
	return n.texts[text]
}

type routeEnd struct {
	method     string
	parameters []string // with their prefix
	handler    http.Handler
}

// addRoutes adds those of a service. Where two are the same, the first one stays.
func (g *Gateway) addRoutes(to *routes, s *Service) {
	for _, r := range s.options.Routes {
		n := to
		end := routeEnd{method: r.Method}
		for _, part := range r.Path.segments {
			if part.parameter {
				end.parameters = append(end.parameters, parameterPrefix+part.text)
				if n.parameter == nil {
					n.parameter = new(routes)
				}
				n = n.parameter
				continue
			}
			n = n.below(part.text)
		}
		if !slices.ContainsFunc(n.ends, func(e routeEnd) bool { return e.method == r.Method }) {
			at := place{spot: g.spotAt(spot{label: routeLabel, route: r.Path.text}), dialect: r.Dialect}
			end.handler = g.predict(at, func(*table, *http.Request) (*Service, string, error) { return s, "", nil })
			n.ends = append(n.ends, end)
		}
	}
}

// routeMatch is what of a path has been matched.
type routeMatch struct {
	method string
	values []string
	end    *routeEnd
	others []string // methods under which the path is known
}

// find looks for the rest of a path below n.
func (m *routeMatch) find(n *routes, rest string) bool {
	if rest == "" {
		for i := range n.ends {
			if n.ends[i].method == m.method {
				m.end = &n.ends[i]
				return true
			}
			m.others = append(m.others, n.ends[i].method)
		}
		return false
	}
	part, rest := rest[1:], ""
	if end := strings.IndexByte(part, '/'); end >= 0 {
		part, rest = part[:end], part[end:]
	}
	if strings.Contains(part, "%") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return false
		}
		part = text
	}
	if below := n.texts[part]; below != nil && m.find(below, rest) {
		return true
	}
	if n.parameter == nil || part == "" {
		return false
	}
	m.values = append(m.values, part)
	if m.find(n.parameter, rest) {
		return true
	}
	m.values = m.values[:len(m.values)-1]
	return false
}

// yielding are paths of Serin's own whose names are anybody's. A route that has one has it with all methods.
var yielding = []string{"/predict", "/send-feedback", "/invocations", "/ping", "/health", "/health/ping", "/health/status", "/version"}

// routed returns the handler of the prefix or the route that a request takes, nil if it takes none. What a service has under the request's
// host comes before what it has under all. Both come before Serin's own paths; a path whose routes have other methods is refused only
// where Serin has none of that path.
func (g *Gateway) routed(t *table, r *http.Request) http.Handler {
	if t.own == nil && t.hosts == nil {
		return nil
	}
	path, _, _ := rawTarget(r)
	if !strings.HasPrefix(path, "/") {
		return nil
	}
	if t.hosts != nil {
		if n := t.hosts[hostOf(r)]; n != nil {
			if h := g.ownAt(n, r, path); h != nil {
				return h
			}
		}
	}
	if t.own == nil {
		return nil
	}
	return g.ownAt(t.own, r, path)
}

// ownAt returns the handler of what n has at a path.
func (g *Gateway) ownAt(n *routes, r *http.Request, path string) http.Handler {
	p, m := n.own(r, path)
	if p != nil {
		return p
	}
	if m.end != nil {
		for i, name := range m.end.parameters {
			r.SetPathValue(name, m.values[i])
		}
		return m.end.handler
	}
	if len(m.others) == 0 {
		return nil
	}
	if _, own := g.mux.Handler(r); own != "/" && !slices.Contains(yielding, own) {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slices.Sort(m.others)
		allowed := strings.Join(slices.Compact(m.others), ", ")
		w.Header().Set("Allow", allowed)
		err := fault.Invalidf("%.200s is asked with %s", r.URL.Path, allowed)
		g.write(w, r, http.StatusMethodNotAllowed, (*wire.Mapped)(nil).Error(nil, http.StatusMethodNotAllowed, err))
	})
}
