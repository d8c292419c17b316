package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// head is what the head of an answer says about the connection and the body. Its fields go into a http.Header.
type head struct {
	status  int
	length  int64  // of Content-Length; -1: there is none
	chunked bool   // Transfer-Encoding
	upgrade string // the Upgrade field
	stream  bool   // the body comes bit by bit
	keep    bool   // the connection may be used again

	old, close, keepAlive bool     // HTTP/1.0; what Connection says
	named                 []string // by Connection
}

// maxLines is how many lines a head, or a trailer, may have.
const maxLines = 512

// malformed says what is wrong with an answer.
type malformed string

// Error implements error.
func (m malformed) Error() string { return "malformed answer: " + string(m) }

func malformedf(format string, args ...any) error { return malformed(fmt.Sprintf(format, args...)) }

// parse reads the head of an answer: b is all of it up to the empty line, text the same bytes. Fields of the body's framing and of this
// connection alone stay out of into.
//
// It is stricter than RFC 9112 lets a client be: what two readers could frame differently is refused, not mended (sections 2.2, 4 to 6).
// Values are parts of text, and so are names that are in canonical form already.
func (h *head) parse(b []byte, text string, into http.Header) error {
	*h = head{length: -1}
	n := lineEnd(b)
	if n < 0 {
		return malformed("a line of its head does not end in CR LF")
	}
	if err := h.statusLine(b[:n]); err != nil {
		return err
	}
	at, lines := n+2, 0
	values := make([]string, 0, min(bytes.Count(b[at:], []byte{'\n'}), maxLines))
	for at < len(b) {
		n := lineEnd(b[at:])
		if n < 0 {
			return malformed("a line of its head does not end in CR LF")
		}
		if lines++; lines > maxLines {
			return malformedf("its head has more than %d lines", maxLines)
		}
		line := b[at : at+n]
		colon, canonical := nameOf(line)
		if colon < 0 || !clean(line[colon+1:]) {
			return malformedf("header line %q", brief(line))
		}
		from, to := trimmed(line, colon+1)
		value := text[at+from : at+to]
		name := text[at : at+colon]
		if !canonical {
			name = canonicalName(line[:colon], name)
		}
		at += n + 2
		mine, err := h.field(name, value)
		if err != nil {
			return err
		}
		if mine {
			continue
		}
		if old, again := into[name]; again {
			into[name] = append(old, value)
			continue
		}
		values = append(values, value)
		into[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return h.settle(into)
}

// lineEnd returns where the first line ends, in front of its CR LF; -1: it ends in something else, or not at all.
func lineEnd(b []byte) int {
	n := bytes.IndexByte(b, '\n') - 1
	if n < 0 || b[n] != '\r' {
		return -1
	}
	return n
}

// statusLine reads "HTTP/1.1 200 OK". The blank behind the status may be missing where the reason is.
func (h *head) statusLine(line []byte) error {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' ||
		len(line) > 12 && line[12] != ' ' || !clean(line[12:]) {
		return malformedf("status line %q", brief(line))
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return malformedf("status line %q", brief(line))
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || h.status > 599 {
		return malformedf("status %d", h.status)
	}
	h.old = line[7] == '0'
	return nil
}

// field reads what is about the connection or the body's framing. It says that the field is not for others.
func (h *head) field(name, value string) (mine bool, err error) {
	switch len(name) {
	case 2:
		return name == "Te", nil
	case 7:
		if name == "Upgrade" {
			h.upgrade = value
		}
		return name == "Trailer" || name == "Upgrade", nil
	case 10:
		if name == "Connection" {
			h.connection(value)
			return true, nil
		}
		return name == "Keep-Alive", nil
	case 12:
		h.stream = h.stream || name == "Content-Type" && isStream(value)
	case 14:
		if name == "Content-Length" {
			return true, h.contentLength(value)
		}
	case 16:
		return name == "Proxy-Connection", nil
	case 17:
		if name == "Transfer-Encoding" {
			if h.chunked || !strings.EqualFold(value, "chunked") {
				return true, malformedf("Transfer-Encoding %q", brief([]byte(value)))
			}
			h.chunked = true
			return true, nil
		}
	case 18:
		return name == "Proxy-Authenticate", nil
	case 19:
		return name == "Proxy-Authorization", nil
	}
	return false, nil
}

// connection reads the Connection field.
func (h *head) connection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		option = strings.Trim(option, " \t")
		switch {
		case strings.EqualFold(option, "close"):
			h.close = true
		case strings.EqualFold(option, "keep-alive"):
			h.keepAlive = true
		case option != "":
			h.named = append(h.named, option)
		}
	}
}

// contentLength reads a Content-Length, of which several may say the same.
func (h *head) contentLength(value string) error {
	n, ok := decimal(value)
	if !ok {
		return malformedf("Content-Length %q", brief([]byte(value)))
	}
	if h.length >= 0 && h.length != n {
		return malformedf("Content-Length %d and %d", h.length, n)
	}
	h.length = n
	return nil
}

// settle looks at the head as a whole.
func (h *head) settle(into http.Header) error {
	if h.chunked && h.length >= 0 {
		return malformed("Content-Length beside Transfer-Encoding")
	}
	if h.chunked && h.old {
		return malformed("Transfer-Encoding in HTTP/1.0")
	}
	h.keep = !h.close && (!h.old || h.keepAlive)
	for _, name := range h.named {
		delete(into, http.CanonicalHeaderKey(name))
	}
	if into["X-Accel-Buffering"] != nil && strings.EqualFold(into.Get("X-Accel-Buffering"), "no") {
		h.stream = true
	}
	return nil
}

// isStream says that bodies of a type come bit by bit.
func isStream(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.TrimRight(kind, " \t")
	return equalFold(kind, "text/event-stream") || equalFold(kind, "application/x-ndjson") ||
		len(kind) >= len("application/grpc") && equalFold(kind[:len("application/grpc")], "application/grpc")
}

func equalFold(s, t string) bool { return len(s) == len(t) && strings.EqualFold(s, t) }

// decimal reads a length: digits alone, at most 18 of them.
func decimal(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}

// brief is what of a line goes into an error.
func brief(line []byte) []byte { return line[:min(len(line), 80)] }
