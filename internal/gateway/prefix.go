package gateway

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
)

// Prefix is a path below which all requests are a service's. It matches whole segments: /a matches /a and /a/b, and never /ab. With a slash
// at its end it matches what is below alone: /a/ matches /a/ and /a/b, not /a.
type Prefix struct {
	Path       string // as it reads, without escapes
	Rewrite    string // what an upstream sees in place of Path, as it goes into the request line; only where HasRewrite
	HasRewrite bool   // else an upstream sees the path as it came, and a folder what is below Path
}

// Check tells what is wrong with p, for people. It is Invalid.
func (p Prefix) Check() error {
	segments, err := p.segments()
	switch {
	case err != nil:
		return err
	case len(segments) > 0 && segments[0] == reserved:
		return fault.Invalidf("/%s is reserved", reserved)
	case !p.HasRewrite:
		return nil
	case !strings.HasPrefix(p.Rewrite, "/"):
		return fault.Invalidf("a rewrite begins with a slash")
	case strings.IndexByte(p.Rewrite, '?') >= 0:
		return fault.Invalidf("a rewrite is a path, without a query")
	case !unambiguous(p.Rewrite, ""):
		return fault.Invalidf("a rewrite has no empty segments or dots, no blanks, and none of # \\ ;")
	}
	return nil
}

// segments are the path's, without the end that a slash leaves.
func (p Prefix) segments() ([]string, error) {
	rest, ok := strings.CutPrefix(p.Path, "/")
	switch {
	case !ok:
		return nil, fault.Invalidf("a path begins with a slash")
	case len(p.Path) > maxRoutePath || strings.Count(p.Path, "/") > maxSegments:
		return nil, fault.Invalidf("the path has more than %d bytes or %d segments", maxRoutePath, maxSegments)
	case !utf8.ValidString(p.Path) || strings.ContainsAny(p.Path, `?#%\;{}`) || strings.ContainsFunc(p.Path, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return nil, fault.Invalidf("a path holds no blanks and none of ? # %% \\ ; { }")
	case rest == "":
		return nil, nil
	}
	segments := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return nil, fault.Invalidf("a segment of the path is empty, or dots")
		}
	}
	return segments, nil
}

// places tells where requests are a service's, for people.
func (s *Service) places() string {
	paths := []string{"/"}
	if len(s.options.Prefixes) > 0 {
		paths = nil
		for _, p := range s.options.Prefixes {
			paths = append(paths, p.Path)
		}
	}
	if len(s.options.Hosts) == 0 {
		return strings.Join(paths, ", ")
	}
	return strings.Join(s.options.Hosts, ", ") + " under " + strings.Join(paths, ", ")
}

// passage is a way by which requests come to a service that passes them on: a prefix under one host, or under all.
type passage struct {
	gateway *Gateway
	service *Service
	spot    *spot
	prefix  Prefix
	depth   int // segments of the prefix
}

// passages are those that end at one node of the paths.
type passages struct {
	at    *passage // the path of the node too
	below *passage // only what is below
}

// addPrefixes adds those of a service to what is under one host. Where two are the same, the first one stays.
func (g *Gateway) addPrefixes(to *routes, host string, s *Service) {
	prefixes := s.options.Prefixes
	if len(prefixes) == 0 && host != "" {
		prefixes = []Prefix{{Path: "/"}}
	}
	for _, prefix := range prefixes {
		segments, err := prefix.segments()
		if err != nil { // whoever has checked it does not come here
			continue
		}
		n := to
		for _, text := range segments {
			n = n.below(text)
		}
		p := &passage{gateway: g, service: s, spot: g.spotAt(spot{label: passLabel, route: host + prefix.Path}), prefix: prefix, depth: len(segments)}
		end := &n.passages.at
		if strings.HasSuffix(prefix.Path, "/") {
			end = &n.passages.below
		}
		if *end == nil {
			*end = p
		}
	}
}

// longest returns the longest prefix of a path, nil if there is none.
func (n *routes) longest(path string) (found *passage) {
	for {
		switch {
		case path != "" && n.passages.below != nil:
			found = n.passages.below
		case n.passages.at != nil:
			found = n.passages.at
		}
		if path == "" || n.texts == nil {
			return found
		}
		part, rest := path[1:], ""
		if end := strings.IndexByte(part, '/'); end >= 0 {
			part, rest = part[:end], part[end:]
		}
		if strings.IndexByte(part, '%') >= 0 {
			text, err := url.PathUnescape(part)
			if err != nil {
				return found
			}
			part = text
		}
		if n = n.texts[part]; n == nil {
			return found
		}
		path = rest
	}
}

// own finds what services have under a path, by prefix or by route: the longest of them, and of two as long the one that names it.
func (n *routes) own(r *http.Request, path string) (p *passage, m routeMatch) {
	m.method = r.Method
	routed := m.find(n, path)
	p = n.longest(path)
	if routed && (p == nil || p.depth < strings.Count(path, "/") || len(m.values) == 0) {
		p = nil
	}
	return p, m
}

// hostOf is the name that a request is for: in small letters, without port, and without the dot that ends a whole name.
func hostOf(r *http.Request) string {
	host := r.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	return HostName(host)
}

// HostName returns a host's name as it is compared: in small letters, without brackets and without a dot at its end.
func HostName(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
