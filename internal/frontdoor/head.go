package frontdoor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// problem is why a request is not served.
type problem struct {
	status int // 0: nobody is told
	text   string
}

var (
	silently     = &problem{}
	headTooLarge = &problem{http.StatusRequestHeaderFieldsTooLarge, ""}
	noFraming    = &problem{http.StatusBadRequest, "malformed request"}
	noLine       = &problem{http.StatusBadRequest, "malformed request line"}
	noMethod     = &problem{http.StatusBadRequest, "malformed method"}
	noVersion    = &problem{http.StatusBadRequest, "malformed version of HTTP"}
	noTarget     = &problem{http.StatusBadRequest, "malformed target"}
	noField      = &problem{http.StatusBadRequest, "malformed header"}
	noHost       = &problem{http.StatusBadRequest, "missing required Host header"}
	badHost      = &problem{http.StatusBadRequest, "malformed Host header"}
	badTrailer   = &problem{http.StatusBadRequest, "malformed Trailer header"}
	otherVersion = &problem{http.StatusHTTPVersionNotSupported, "unsupported protocol version"}
	otherWish    = &problem{http.StatusExpectationFailed, ""}
	otherCoding  = &problem{http.StatusNotImplemented, "unsupported transfer encoding"}
)

// head reads the head of a request into r. Some of it has come.
func (c *session) head(r *http.Request, began int64) *problem {
	if c.post { // old clients send an end of line behind a form
		if len(c.in) == 1 && c.in[0] == '\r' && (!c.enter(heading, began) || c.more() != nil) {
			return silently
		}
		c.in = bytes.TrimPrefix(c.in, []byte("\r\n"))
	}
	if phase(c.mine%int64(phases)) == fresh {
		began = c.mine / int64(phases)
	}
	most := c.server.http.MaxHeaderBytes
	for seen := 0; ; {
		if end := bytes.Index(c.in[seen:], []byte("\r\n\r\n")); end >= 0 {
			end += seen
			if end > most {
				return headTooLarge
			}
			text := string(c.in[:end+2])
			c.in = c.in[end+4:]
			return parse(r, text)
		}
		seen = max(0, len(c.in)-3)
		if len(c.in) > most {
			return headTooLarge
		}
		if phase(c.mine%int64(phases)) != heading && !c.enter(heading, began) {
			return silently
		}
		if err := c.more(); err != nil {
			if _, network := errors.AsType[net.Error](err); network || len(c.in) == 0 && errors.Is(err, io.EOF) {
				return silently
			}
			return noFraming
		}
	}
}

// parse reads a head into r: the request line and the fields, each with its end. The request is as net/http makes it, but for its body and
// what belongs to the connection.
func parse(r *http.Request, text string) (p *problem) {
	line, text, _ := strings.Cut(text, "\r\n")
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 {
		return noLine
	}
	if !isToken(method) {
		return noMethod
	}
	r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor = method, target, proto, 1, 1
	if proto != "HTTP/1.1" {
		var ok bool
		if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(proto); !ok {
			return noVersion
		}
	}
	var err error
	if r.URL, err = parseTarget(method, target); err != nil {
		return noTarget
	}
	if r.Header, p = parseFields(text); p != nil {
		return p
	}
	if r.ProtoMajor != 1 {
		return otherVersion
	}
	return settleFields(r)
}

// parseTarget reads a target as net/http does.
func parseTarget(method, target string) (*url.URL, error) {
	if method == http.MethodConnect && !strings.HasPrefix(target, "/") {
		u, err := url.ParseRequestURI("http://" + target)
		if err == nil {
			u.Scheme = ""
		}
		return u, err
	}
	return url.ParseRequestURI(target)
}

// parseFields reads the fields of a header or a trailer. Names become canonical.
func parseFields(text string) (http.Header, *problem) {
	n := min(strings.Count(text, "\r\n"), 32) // more of them have to make room for themselves
	header, values := make(http.Header, n), make([]string, n)
	for len(text) > 0 {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, noField
		}
		value = textproto.TrimString(value)
		if !isValue(value) {
			return nil, noField
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if before, has := header[name]; has {
			header[name] = append(before, value)
			continue
		}
		if len(values) == 0 {
			values = make([]string, 32)
		}
		values[0] = value
		header[name], values = values[:1:1], values[1:]
	}
	return header, nil
}

// settleFields draws from a request's fields what net/http draws from them.
func settleFields(r *http.Request) *problem {
	hosts := r.Header["Host"]
	switch {
	case len(hosts) > 1:
		return badHost
	case len(hosts) == 0 && r.ProtoAtLeast(1, 1) && r.Method != http.MethodConnect:
		return noHost
	case len(hosts) == 1 && !isHost(hosts[0]):
		return badHost
	}
	if r.Host = r.URL.Host; r.Host == "" && len(hosts) == 1 {
		r.Host = hosts[0]
	}
	delete(r.Header, "Host")
	if pragma := r.Header["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" {
		if _, has := r.Header["Cache-Control"]; !has {
			r.Header["Cache-Control"] = []string{"no-cache"}
		}
	}
	if wishes := r.Header["Expect"]; len(wishes) > 0 && wishes[0] != "" && !strings.EqualFold(wishes[0], "100-continue") {
		return otherWish
	}
	options := r.Header["Connection"]
	r.Close = names(options, "close") || !r.ProtoAtLeast(1, 1) && !names(options, "keep-alive")
	return settleLength(r)
}

// settleLength reads how long the body is. That there is one way to read that, the guard has seen to.
func settleLength(r *http.Request) *problem {
	codings, lengths := r.Header["Transfer-Encoding"], r.Header["Content-Length"]
	if len(codings) > 0 {
		switch {
		case len(codings) > 1 || !strings.EqualFold(codings[0], "chunked"):
			return otherCoding
		case len(lengths) > 0 || !r.ProtoAtLeast(1, 1):
			return noFraming
		}
		delete(r.Header, "Transfer-Encoding")
		codings[0] = "chunked" // however it was written
		r.TransferEncoding, r.ContentLength = codings, -1
		return settleTrailer(r)
	}
	if len(lengths) > 0 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || len(lengths) > 1 {
			return noFraming
		}
		r.ContentLength = int64(n)
	}
	return nil
}

func settleTrailer(r *http.Request) *problem {
	declared, has := r.Header["Trailer"]
	if !has {
		return nil
	}
	delete(r.Header, "Trailer")
	for _, list := range declared {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)); name == "" {
				continue
			}
			if name == "Transfer-Encoding" || name == "Trailer" || name == "Content-Length" {
				return badTrailer
			}
			if r.Trailer == nil {
				r.Trailer = http.Header{}
			}
			r.Trailer[name] = nil
		}
	}
	return nil
}

// names says whether lists of options hold one.
func names(lists []string, option string) bool {
	for _, list := range lists {
		if len(list) < len(option) {
			continue
		}
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(textproto.TrimString(item), option) {
				return true
			}
		}
	}
	return false
}

// kinds says of every byte where it may stand.
var kinds = func() (t [256]byte) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for _, of := range []struct {
		kind  byte
		chars string
	}{{tokenByte, letters + "!#$%&'*+-.^_`|~"}, {hostByte, letters + "!$%&'()*+,-.:;=[]_~"}} {
		for i := range len(of.chars) {
			t[of.chars[i]] |= of.kind
		}
	}
	for b := range 256 {
		if b >= ' ' && b != 0x7f || b == '\t' {
			t[b] |= valueByte
		}
	}
	return t
}()

const (
	tokenByte byte = 1 << iota // in methods and names
	hostByte                   // in Host
	valueByte                  // in values
)

func isToken(s string) bool { return len(s) > 0 && all(s, tokenByte) }
func isValue(s string) bool { return all(s, valueByte) }
func isHost(s string) bool  { return all(s, hostByte) }

func all(s string, kind byte) bool {
	for i := range len(s) {
		if kinds[s[i]]&kind == 0 {
			return false
		}
	}
	return true
}
