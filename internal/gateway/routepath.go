package gateway

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
)

// RoutePath is the path of a route: text, and parameters that stand for any one segment (/recommend/{user}).
type RoutePath struct {
	text     string
	segments []segment
}

type segment struct {
	text      string // of a parameter, its name
	parameter bool
}

// Bounds of a route's path.
const (
	maxRoutePath = 500
	maxSegments  = 32
)

var parameterName = regexp.MustCompile(`^\{[a-zA-Z_][a-zA-Z0-9_]*\}$`)

// ParseRoutePath reads a path: segments behind slashes, each of them text as it reads without escapes, or a parameter in braces. What Serin
// reserves (/.serin) is Invalid.
func ParseRoutePath(text string) (RoutePath, error) {
	p := RoutePath{text: text}
	rest, ok := strings.CutPrefix(text, "/")
	switch {
	case !ok:
		return p, fault.Invalidf("a path begins with a slash")
	case len(text) > maxRoutePath || strings.Count(text, "/") > maxSegments:
		return p, fault.Invalidf("the path has more than %d bytes or %d segments", maxRoutePath, maxSegments)
	case !utf8.ValidString(text) || strings.ContainsAny(text, `?#%\`) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return p, fault.Invalidf("a path holds no blanks and none of ? # %% \\")
	case rest == ".serin" || strings.HasPrefix(rest, ".serin/"):
		return p, fault.Invalidf("/.serin is reserved")
	}
	named := map[string]bool{}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		switch {
		case part == "." || part == ".." || part == "" && i < len(parts)-1:
			return p, fault.Invalidf("a segment of the path is empty, or dots")
		case parameterName.MatchString(part):
			name := part[1 : len(part)-1]
			if named[name] {
				return p, fault.Invalidf("the parameter {%s} is there twice", name)
			}
			named[name] = true
			p.segments = append(p.segments, segment{name, true})
		case strings.ContainsAny(part, "{}"):
			return p, fault.Invalidf("%q is no parameter: it is a whole segment, a name of letters, digits and _ in braces", part)
		default:
			p.segments = append(p.segments, segment{part, false})
		}
	}
	return p, nil
}

// Parameters returns the names of the parameters, in order.
func (p RoutePath) Parameters() []string {
	var names []string
	for _, s := range p.segments {
		if s.parameter {
			names = append(names, s.text)
		}
	}
	return names
}

// Shape is the path without the names of its parameters: two paths of one shape match the same.
func (p RoutePath) Shape() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		if s.parameter {
			b.WriteString("{}")
		} else {
			b.WriteString(s.text)
		}
	}
	return b.String()
}

// String returns the path as it was written.
func (p RoutePath) String() string { return p.text }
