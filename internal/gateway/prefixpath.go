package gateway

import (
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// reserved is the segment below which paths are Serin's own whatever services there are: /.serin/readyz is /readyz.
const reserved = ".serin"

// rawTarget returns the path and the query of a request, byte for byte as they came; of a request that names its host in its first line,
// as they are after it.
func rawTarget(r *http.Request) (path, query string, hasQuery bool) {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		target = r.URL.RequestURI()
	}
	return strings.Cut(target, "?")
}

// target returns what an upstream is asked for: the path as it came, or with another prefix, and the query as it came. A target that two
// servers could read differently is refused: it would have been found by what one of them reads, and be answered by what the other does.
func (p *passage) target(r *http.Request) (string, error) {
	path, query, hasQuery := rawTarget(r)
	if !unambiguous(path, query) {
		return "", errAmbiguous
	}
	if !p.prefix.HasRewrite {
		if r.RequestURI != "" && r.RequestURI[0] == '/' {
			return r.RequestURI, nil
		}
		return r.URL.RequestURI(), nil
	}
	path = joined(p.prefix.Rewrite, p.below(path))
	if hasQuery {
		return path + "?" + query, nil
	}
	return path, nil
}

// below is what of a path is below the prefix: nothing, or a slash and what is behind it.
func (p *passage) below(path string) string {
	for range p.depth {
		end := strings.IndexByte(path[1:], '/')
		if end < 0 {
			return ""
		}
		path = path[1+end:]
	}
	return path
}

// joined puts what is below a prefix behind what stands in its place, with one slash between them.
func joined(rewrite, below string) string {
	if below == "" {
		return rewrite
	}
	return strings.TrimSuffix(rewrite, "/") + below
}

var errAmbiguous = fault.Invalidf("the path can be read in two ways").
	WithHint("leave out empty segments, segments of dots, \\ and ;, and escaped slashes and control characters")

// unambiguous tells whether all servers read a path, and a query, in the same way. They do not agree on whether dots are resolved before or
// after escapes are, on escaped slashes, on empty segments, on what \ and ; mean, on where a NUL or # ends a path, or on how often escapes
// are resolved. Between a path and its upstream nothing is changed, so that the rest reads as it came.
func unambiguous(path, query string) bool {
	for i := 0; i < len(query); i++ {
		if c := query[i]; c <= ' ' || c == '#' || c == 0x7f {
			return false
		}
	}
	length, dots := -1, true // bytes of the segment so far, and whether all of them are dots; before the first slash there is none
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/':
			if length == 0 || length > 0 && length <= 2 && dots {
				return false
			}
			length, dots = 0, true
			continue
		case c <= ' ' || c == '#' || c == '\\' || c == ';' || c == 0x7f:
			return false
		case c == '%':
			v, ok := escaped(path[i:])
			if !ok || v < ' ' || v == '/' || v == '\\' || v == 0x7f || v == '%' && escapesAgain(path[i+3:]) {
				return false
			}
			if (v == ';' || v == '#' || v == '?') && dots && (length == 1 || length == 2) { // dots, to who leaves out what is behind it
				return false
			}
			c, i = v, i+2
		}
		length++
		dots = dots && c == '.'
	}
	return !dots || length != 1 && length != 2
}

// escaped reads the escape that s begins with.
func escaped(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, ok := hexDigit(s[1])
	low, ok2 := hexDigit(s[2])
	return high<<4 | low, ok && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// escapesAgain tells whether what follows an escaped % is, to a server that resolves escapes twice, something that would be refused.
func escapesAgain(rest string) bool {
	text := [3]byte{'%'}
	for i := range 2 {
		if rest == "" {
			return false
		}
		c, n := rest[0], 1
		if c == '%' {
			c, _ = escaped(rest)
			n = min(3, len(rest))
		}
		text[1+i], rest = c, rest[n:]
	}
	v, ok := escaped(string(text[:]))
	return ok && (v <= ' ' || v == '.' || v == '/' || v == '\\' || v == ';' || v == '%' || v == '#' || v == 0x7f)
}
