package proxy

import (
	"encoding/binary"
	"net/http"
	"strings"
)

// class is what a byte may be in a name (RFC 9110, section 5.6.2).
type class uint8

const (
	no class = iota
	other
	lower
	upper
	dash
)

// classes has the class of every byte.
var classes = func() (table [256]class) {
	for _, c := range []byte("0123456789!#$%&'*+.^_`|~") {
		table[c] = other
	}
	for c := 'a'; c <= 'z'; c++ {
		table[c], table[c-'a'+'A'] = lower, upper
	}
	table['-'] = dash
	return table
}()

// nameOf returns where the name that a header line begins with ends, in front of its colon, and whether it is in canonical form;
// -1: there is no name.
func nameOf(line []byte) (colon int, canonical bool) {
	canonical = true
	first := true // the next letter is a large one
	for i, c := range line {
		k := classes[c]
		if k == no {
			if c != ':' || i == 0 {
				return -1, false
			}
			return i, canonical
		}
		if first && k == lower || !first && k == upper {
			canonical = false
		}
		first = k == dash
	}
	return -1, false
}

// token says that s is a name.
func token(s string) bool {
	for i := range len(s) {
		if classes[s[i]] == no {
			return false
		}
	}
	return s != ""
}

// common are names of answers in canonical form, by their lower case, in which many instances write them.
var common = func() map[string]string {
	m := map[string]string{}
	for _, name := range []string{"Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
		"Access-Control-Allow-Methods", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Age", "Allow", "Cache-Control",
		"Connection", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Location", "Content-Range",
		"Content-Security-Policy", "Content-Type", "Date", "Etag", "Expires", "Grpc-Message", "Grpc-Status",
		"Inference-Header-Content-Length", "Keep-Alive", "Last-Modified", "Link", "Location", "Pragma", "Retry-After", "Seldon-Puid",
		"Server", "Set-Cookie", "Strict-Transport-Security", "Transfer-Encoding", "Upgrade", "Vary", "Via", "Www-Authenticate",
		"X-Content-Type-Options", "X-Frame-Options", "X-Powered-By", "X-Process-Time", "X-Request-Id"} {
		m[strings.ToLower(name)] = name
	}
	return m
}()

// canonicalName returns the canonical form of a name, which both b and text are. For a common one it allocates nothing.
func canonicalName(b []byte, text string) string {
	var small [40]byte
	if len(b) <= len(small) {
		for i, c := range b {
			if classes[c] == upper {
				c |= 0x20
			}
			small[i] = c
		}
		if name, ok := common[string(small[:len(b)])]; ok {
			return name
		}
	}
	return http.CanonicalHeaderKey(text)
}

// trimmed returns where in line the value that begins at from begins and ends without the blanks around it.
func trimmed(line []byte, from int) (begin, end int) {
	end = len(line)
	for from < end && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for from < end && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	return from, end
}

// clean says that no byte of b is a control character, tabs left aside. It looks at eight bytes at a time.
func clean(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ ones*0x7f
		// a byte below 0x20 borrows where it is below and has no high bit; one that is zero likewise
		if ((x-ones*0x20)&^x|(del-ones)&^del)&highs != 0 && !cleanEach(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanEach(b)
}

// cleanEach is clean, byte by byte.
func cleanEach(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
