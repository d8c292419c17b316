package gateway

import (
	"net/http"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// wellFormed refuses what net/http lets through and others behind Serin could read in another way. Over HTTP/1.1, whose framing and Host
// were looked at before, that is a target that is neither a path, nor a whole URL, nor * (RFC 9112, section 3.2). Over h2 it is also a path
// that is a URL, an authority that is no host or not the only one, and a length that is none or not the only one (RFC 9113, sections 8.1.1 and 8.3.1).
func wellFormed(r *http.Request) error {
	target := r.RequestURI
	path := target != "" && target[0] == '/'
	if path && r.ProtoMajor == 1 {
		return nil
	}
	switch {
	case path, r.Method == http.MethodConnect, target == "*" && r.Method == http.MethodOptions:
	case target == "": // of a test, which has a URL alone
	case r.ProtoMajor > 1, r.URL.Host == "", r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return errTarget
	}
	if hosts := r.Header["Host"]; !isHost(r.Host) || len(hosts) > 1 || len(hosts) == 1 && hosts[0] != r.Host { // h2 leaves it there
		return errHost
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 1 || len(lengths) == 1 && !isLength(lengths[0]) {
		return errLength
	}
	return nil
}

// isLength tells whether a length is one. Of another, net/http makes 0.
func isLength(text string) bool {
	return text != "" && len(text) <= 18 && strings.Trim(text, "0123456789") == ""
}

var (
	errTarget = fault.Invalidf("the request's target is neither a path nor a URL of http")
	errHost   = fault.Invalidf("the request's host is none, or there are two")
	errLength = fault.Invalidf("the request's length is none, or there are two")
)

// isHost tells whether a host, with or without a port, has only bytes that hosts have (RFC 3986, section 3.2.2); names may have underscores.
// An empty one is what HTTP/1.0 has.
func isHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~:[]!$&'()*+,;=%", c) >= 0:
		default:
			return false
		}
	}
	return true
}
