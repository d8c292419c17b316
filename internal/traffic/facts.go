package traffic

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Facts are what a request says that may decide who answers it. What it does not say is "".
type Facts interface {
	Header(name string) string // the first value; name is in canonical form, as http.CanonicalHeaderKey writes it
	Cookie(name string) string // the value of the first cookie of that name
	Query(name string) string  // the first value of the query's parameter, unescaped
	Client() string            // the client's address, without its port
}

// FromRequest returns what r says. It allocates nothing, except to unescape a parameter of the query. Client is the peer of the
// connection: whoever trusts a proxy's X-Forwarded-For wraps the result.
func FromRequest(r *http.Request) Facts { return requestFacts{r} }

// requestFacts holds one pointer, so that it becomes an interface without allocating.
type requestFacts struct{ r *http.Request }

func (f requestFacts) Header(name string) string {
	if name == "Host" { // net/http takes it out of the headers
		return f.r.Host
	}
	if values := f.r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (f requestFacts) Cookie(name string) string { return CookieIn(f.r.Header["Cookie"], name) }

// CookieIn returns the value of the first cookie of that name in the lines of Cookie headers, "" if there is none.
func CookieIn(lines []string, name string) string {
	for _, line := range lines {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			key, value, _ := strings.Cut(textproto.TrimString(part), "=")
			if textproto.TrimString(key) != name {
				continue
			}
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			if isCookieValue(value) {
				return value
			}
		}
	}
	return ""
}

// isCookieValue allows what net/http allows: ASCII that is printed, without quotes and backslashes.
func isCookieValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b >= 0x7f || b == '"' || b == '\\' {
			return false
		}
	}
	return true
}

func (f requestFacts) Query(name string) string {
	if f.r.URL == nil {
		return ""
	}
	for query := f.r.URL.RawQuery; query != ""; {
		var part string
		part, query, _ = strings.Cut(query, "&")
		if part == "" || strings.IndexByte(part, ';') >= 0 { // net/url refuses a semicolon as well: proxies disagree on what it means
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		if key, ok := unescape(key); !ok || key != name {
			continue
		}
		if value, ok := unescape(value); ok {
			return value
		}
	}
	return ""
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	s, err := url.QueryUnescape(s)
	return s, err == nil
}

func (f requestFacts) Client() string {
	addr := f.r.RemoteAddr
	if end := strings.LastIndexByte(addr, ':'); end >= 0 && !strings.HasSuffix(addr, "]") {
		addr = addr[:end]
	}
	return strings.Trim(addr, "[]@") // "@" is the peer of a Unix socket, which is nobody
}
