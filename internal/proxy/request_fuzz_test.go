package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func FuzzRequestHead(f *testing.F) {
	f.Add("GET", "/a?b=c", "example.com", "X-A", "b", "close, x-a", "X-B", "c")
	f.Add("POST", "//a/../b%20c", "h:80", "X_b", "evil\r\nX-C: d", "", "X-B", "c")
	f.Add("OPTIONS", "*", "h", "Transfer_Encoding", "chunked", "", "Content-Length", "5")
	f.Add("GET", "/", "h", "Upgrade", "websocket", "upgrade", "A", "")
	f.Fuzz(func(t *testing.T, method, target, host, name, value, connection, setName, setValue string) {
		r := &Request{Method: method, Target: target, Host: host, Header: http.Header{name: {value}, "Connection": {connection}},
			Set: []Field{{setName, setValue}}, Body: []byte("body")}
		b, err := appendHead(nil, r, "instance")
		if err != nil {
			return
		}
		if _, err := url.ParseRequestURI(target); err != nil { // net/http takes no such target; what the instance makes of it is its own
			return
		}
		in := bufio.NewReader(bytes.NewReader(append(b, r.Body...)))
		got, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		body, err := io.ReadAll(got.Body)
		if more, _ := io.ReadAll(in); string(body) != "body" || err != nil || len(more) > 0 {
			t.Errorf("%q: body %q, %v, and %q behind it", b, body, err, more)
		}
		if got.Method != method || got.RequestURI != target {
			t.Errorf("%q: %q %q", b, got.Method, got.RequestURI)
		}
		own := http.CanonicalHeaderKey(setName)
		for n, values := range got.Header {
			switch {
			case n == "Content-Length", n == "Connection" && values[0] == "Upgrade", n == "Upgrade":
			case n == own && slices.Contains(values, trimmedString(setValue)):
			case n == http.CanonicalHeaderKey(name) && slices.Equal(values, []string{trimmedString(value)}):
			default:
				t.Errorf("%q: %q is %q", b, n, values)
			}
		}
		if setValue != "" && !isHop(setName) && len(got.Header[own]) != 1 {
			t.Errorf("%q: the field of ours is %q", b, got.Header[own])
		}
	})
}

// trimmedString is a value without the blanks around it.
func trimmedString(s string) string { return strings.Trim(s, " \t") }
