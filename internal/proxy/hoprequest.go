package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// appendHead appends the head of a request for an instance to b. It refuses what cannot stand in one: no value gets a line of its own.
func appendHead(b []byte, r *Request, host string) ([]byte, error) {
	if !token(r.Method) || r.Method == http.MethodConnect || !isTarget(r.Target) {
		return b, fault.Invalidf("cannot pass on %q %q", r.Method, brief([]byte(r.Target)))
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b, good := appendField(b, "Host", either(r.Host, host))
	if !good {
		return b, fault.Invalidf("cannot pass on the host %q", r.Host)
	}
	named := r.Header["Connection"]
	if !few(named) {
		return b, fault.Invalidf("cannot pass on a Connection field that names more than %d others", maxNamed)
	}
	for name, values := range r.Header {
		if isHop(name) || sets(r.Set, name) || len(named) > 0 && names(named, name) {
			continue
		}
		for _, value := range values {
			if b, good = appendField(b, name, value); !good {
				return b, fault.Invalidf("cannot pass on the field %q", brief([]byte(name)))
			}
		}
	}
	for _, f := range r.Set {
		if f.Value == "" || isHop(f.Name) {
			continue
		}
		if b, good = appendField(b, f.Name, f.Value); !good {
			return b, fault.Invalidf("cannot pass on the field %q", brief([]byte(f.Name)))
		}
	}
	if up := upgradeOf(r); up != "" {
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, up...)
		b = append(b, "\r\n"...)
	}
	switch n := r.length(); {
	case n < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case n > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, n, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// appendField appends a line. It is not good if the name is none, or the value has a line break in it, or another control character.
func appendField(b []byte, name, value string) (line []byte, good bool) {
	b = append(b, name...)
	b = append(b, ": "...)
	at := len(b)
	b = append(b, value...)
	good = clean(b[at:]) && token(name)
	return append(b, "\r\n"...), good
}

// length returns how long the body is, -1 if that is not known.
func (r *Request) length() int64 {
	if r.Stream == nil {
		return int64(len(r.Body))
	}
	return max(r.Length, -1)
}

// isTarget says that a target can stand in a request line.
func isTarget(s string) bool {
	if s == "" || s[0] != '/' && s != "*" {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// isHop says that a field is for one connection alone, or about the framing of the body, which is written anew. Host has a place of its
// own, Expect was answered already, and Proxy is a variable that CGI programs take for their own. What makes variables of names (CGI, WSGI)
// does not tell Transfer_Encoding from Transfer-Encoding, so neither does this.
func isHop(name string) bool {
	if name != "" && name[0]|0x20 == 'p' {
		return len(name) >= 5 && alike(name[:5], "Proxy") && (len(name) == 5 || name[5] == '-' || name[5] == '_')
	}
	switch len(name) {
	case 2:
		return alike(name, "Te")
	case 4:
		return alike(name, "Host")
	case 6:
		return alike(name, "Expect")
	case 7:
		return alike(name, "Upgrade") || alike(name, "Trailer")
	case 10:
		return alike(name, "Connection") || alike(name, "Keep-Alive")
	case 14:
		return alike(name, "Content-Length") || alike(name, "Http2-Settings")
	case 17:
		return alike(name, "Transfer-Encoding")
	}
	return false
}

// sets says that one of the fields is ours, by a name that is told from ours nowhere.
func sets(fields []Field, name string) bool {
	for i := range fields {
		if own := fields[i].Name; len(own) == len(name) && (own == name || alike(own, name)) {
			return true
		}
	}
	return false
}

// alike compares names of equal length, the case and the difference of - and _ left aside.
func alike(s, t string) bool {
	for i := range len(s) {
		c, d := s[i], t[i]
		if c == d {
			continue
		}
		if classes[c] == upper {
			c |= 0x20
		}
		if classes[d] == upper {
			d |= 0x20
		}
		if c == '_' {
			c = '-'
		}
		if d == '_' {
			d = '-'
		}
		if c != d {
			return false
		}
	}
	return true
}

// maxNamed is how many fields Connection may name. Nobody names more than a few, and each is compared with all there are.
const maxNamed = 32

// few says that the values of Connection name no more than that.
func few(connection []string) bool {
	n := len(connection)
	for _, value := range connection {
		n += strings.Count(value, ",")
	}
	return n <= maxNamed
}

// names says that one of the values of Connection names a field.
func names(connection []string, name string) bool {
	for _, value := range connection {
		for option := range strings.SplitSeq(value, ",") {
			if equalFold(strings.Trim(option, " \t"), name) {
				return true
			}
		}
	}
	return false
}

// upgradeOf returns the protocol that a request asks to change to; "" is none. h2c is none: what came after it would not be looked at.
func upgradeOf(r *Request) string {
	up := r.Header["Upgrade"]
	if len(up) != 1 || r.length() != 0 || !names(r.Header["Connection"], "Upgrade") {
		return ""
	}
	for protocol := range strings.SplitSeq(up[0], ",") {
		name, version, versioned := strings.Cut(strings.Trim(protocol, " \t"), "/")
		if !token(name) || versioned && !token(version) || equalFold(name, "h2c") {
			return ""
		}
	}
	return up[0]
}
