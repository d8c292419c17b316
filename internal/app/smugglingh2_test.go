package app

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// h2 is a client of h2 without TLS that writes whatever it is told, also what no client may.
type h2 struct {
	net.Conn
	in *bufio.Reader
}

// Types and flags of frames (RFC 9113, section 6).
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoaway, frameContinuation = 0, 1, 3, 4, 7, 9
	endStream, endHeaders, settingsAck                                                 = 1, 4, 1
)

func dialH2(t *testing.T, address string) *h2 {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	h := &h2{c, bufio.NewReader(c)}
	_, err = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	must(t, err)
	h.frame(t, frameSettings, 0, 0, nil)
	return h
}

func (h *h2) frame(t *testing.T, kind, flags byte, stream uint32, payload []byte) {
	t.Helper()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), stream)
	if _, err := h.Write(append(head, payload...)); err != nil {
		t.Log(err) // the server may have closed
	}
}

// fields are names and values by turns, as HPACK has them that are not in its tables (RFC 7541, section 6.2.2).
func fields(text ...string) (b []byte) {
	for i, s := range text {
		if i%2 == 0 {
			b = append(b, 0)
		}
		if n := len(s); n < 127 {
			b = append(b, byte(n))
		} else { // an integer with a prefix of seven bits
			b = append(b, 127)
			for n -= 127; n >= 128; n >>= 7 {
				b = append(b, byte(n)|128)
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	return b
}

// ask sends a request on a stream, and returns the payload of the first frame of its answer's header, or how it was refused. The answer's
// body is whole then.
func (h *h2) ask(t *testing.T, stream uint32, header []byte, data ...string) (body string, refused bool) {
	t.Helper()
	flags := byte(endHeaders)
	if len(data) == 0 {
		flags |= endStream
	}
	h.frame(t, frameHeaders, flags, stream, header)
	for i, d := range data {
		flags = 0
		if i == len(data)-1 {
			flags = endStream
		}
		h.frame(t, frameData, flags, stream, []byte(d))
	}
	return h.answer(t, stream)
}

// answer reads frames up to the end of a stream, or to where it, or the connection, is refused. An answer of 400 is a refusal.
func (h *h2) answer(t *testing.T, stream uint32) (body string, refused bool) {
	t.Helper()
	for {
		var head [9]byte
		if _, err := io.ReadFull(h.in, head[:]); err != nil {
			if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
				t.Fatal("the server does not answer")
			}
			return body, true
		}
		payload := make([]byte, int(binary.BigEndian.Uint32(head[:4])>>8))
		if _, err := io.ReadFull(h.in, payload); err != nil {
			return body, true
		}
		kind, flags, of := head[3], head[4], binary.BigEndian.Uint32(head[5:])&^(1<<31)
		switch {
		case kind == frameSettings && flags&settingsAck == 0:
			h.frame(t, frameSettings, settingsAck, 0, nil)
		case kind == frameGoaway:
			return body, true
		case of != stream:
		case kind == frameReset:
			return body, true
		case kind == frameHeaders:
			// :status 200 is entry 8 of HPACK's table, 400 is entry 12, others are spelled.
			refused = refused || payload[0] != 0x80|8
			if flags&endStream != 0 {
				return body, refused
			}
		case kind == frameData:
			body += string(payload)
			if flags&endStream != 0 {
				return body, refused
			}
		}
	}
}

// What h2 has in frames becomes text behind Serin: nothing in a name or a value may become a line, or a request, of its own.
func TestNothingIsSmuggledFromH2(t *testing.T) {
	t.Parallel()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	with := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/1"}, more...)
	}
	instead := func(name, value string) []string {
		f := with()
		f[slices.Index(f, name)+1] = value
		return f
	}
	post := func(more ...string) []string { return append(instead(":method", "POST"), more...) }
	for _, b := range backends(t) {
		t.Run(b.name, func(t *testing.T) {
			address := passTo(t, b.url)
			b.take(t)
			for _, c := range []struct {
				name   string
				fields []string
				data   []string
				saw    string // "" where it is refused
			}{
				{"a request", with("x", "y"), nil, "GET /1 body="},
				{"a body", post(), []string{"ab", "c"}, "POST /1 body=abc"},
				{"a body with its length", post("content-length", "3"), []string{"abc"}, "POST /1 body=abc"},
				{"a body that looks like a request", post(), []string{smuggled}, "POST /1 body=" + smuggled},
				{"no body after all", post("content-length", "0"), []string{""}, "POST /1 body="},
				{"trailers are offered", with("te", "trailers"), nil, "GET /1 body="},
				{"cookies in pieces", with("cookie", "a=b", "cookie", "c=d"), nil, "GET /1 body="},

				{"a body longer than its length", post("content-length", "3"), []string{"abc" + smuggled}, ""},
				{"a body shorter than its length", post("content-length", "300"), []string{"abc"}, ""},
				{"two lengths", post("content-length", "3", "content-length", "4"), []string{"abc"}, ""},
				{"a length that is none", post("content-length", "3x"), []string{"abc"}, ""},
				{"no length", post("content-length", ""), []string{"abc"}, ""},
				{"a length beyond 64 bits", post("content-length", "18446744073709551619"), []string{"abc"}, ""},
				{"a coding", post("transfer-encoding", "chunked"), []string{"0\r\n\r\n" + smuggled}, ""},
				{"a coding and a length", post("transfer-encoding", "chunked", "content-length", "5"), []string{"0\r\n\r\n"}, ""},
				{"Connection", with("connection", "close"), nil, ""},
				{"Connection that names a coding", post("connection", "transfer-encoding", "transfer-encoding", "chunked"), []string{"0\r\n\r\n"}, ""},
				{"an upgrade", with("upgrade", "h2c"), nil, ""},
				{"TE that is more than trailers", with("te", "chunked"), nil, ""},

				{"a line in a value", with("x", "y\r\n\r\n"+smuggled), nil, ""},
				{"a line feed in a value", with("x", "y\nz: w"), nil, ""},
				{"a return in a value", with("x", "y\rz: w"), nil, ""},
				{"NUL in a value", with("x", "y\x00z"), nil, ""},
				{"a line in a name", with("x: y\r\nz", "w"), nil, ""},
				{"a colon in a name", with("x: y", "z"), nil, ""},
				{"a space in a name", with("x y", "z"), nil, ""},
				{"capitals in a name", with("Content-Length", "5"), nil, ""},
				{"no name", with("", "y"), nil, ""},
				{"a pseudo field of nobody's", with(":x", "y"), nil, ""},
				{"a pseudo field of answers", with(":status", "200"), nil, ""},
				{"a pseudo field behind others", append([]string{"x", "y"}, with()...), nil, ""},

				{"two paths", with(":path", "/smuggled"), nil, ""},
				{"two methods", with(":method", "POST"), nil, ""},
				{"no path", instead(":path", ""), nil, ""},
				{"a path that is none", instead(":path", "1"), nil, ""},
				{"a line in the path", instead(":path", "/1 HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled"), nil, ""},
				{"a space in the path", instead(":path", "/1 HTTP/1.1"), nil, ""},
				{"a tab in the path", instead(":path", "/1\tHTTP/1.1"), nil, ""},
				{"a fragment in the path", instead(":path", "/1#2"), nil, ""},
				{"a path with a host", instead(":path", "//b/1"), nil, ""},
				{"a whole URL for a path", instead(":path", "http://b/1"), nil, ""},
				{"a line in the method", instead(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"), nil, ""},
				{"a space in the method", instead(":method", "GET /smuggled"), nil, ""},
				{"no method", instead(":method", ""), nil, ""},
				{"a line in the authority", instead(":authority", "a\r\nx: y"), nil, ""},
				{"a space in the authority", instead(":authority", "a b"), nil, ""},
				{"a host like the authority", with("host", "a"), nil, "GET /1 body="},
				{"a host for the authority", append([]string{":method", "GET", ":scheme", "http", ":path", "/1"}, "host", "a"), nil, "GET /1 body="},
				{"another host than the authority", with("host", "b"), nil, ""},
				{"two hosts", append([]string{":method", "GET", ":scheme", "http", ":path", "/1"}, "host", "a", "host", "b"), nil, ""},
				{"no host", []string{":method", "GET", ":scheme", "http", ":path", "/1"}, nil, "GET /1 body="},
				{"a path in the authority", instead(":authority", "a/b"), nil, ""},
				{"a line in the scheme", instead(":scheme", "http://b/1 HTTP/1.1\r\nx: y\r\n\r\n"), nil, ""},
				{"a tunnel", []string{":method", "CONNECT", ":authority", "b:80"}, nil, ""},
				{"a tunnel to a protocol", with(":protocol", "websocket"), nil, ""},
			} {
				t.Run(c.name, func(t *testing.T) {
					body, refused := dialH2(t, address).ask(t, 1, fields(c.fields...), c.data...)
					var want []string
					if c.saw != "" {
						want = append(want, c.saw)
					}
					if request, _, _ := strings.Cut(c.saw, " body="); refused != (c.saw == "") || !refused && body != request {
						t.Errorf("refused: %t, %q", refused, body)
					}
					for i := range 2 {
						target := fmt.Sprintf("/after-%d", i)
						want = append(want, "GET "+target+" body=")
						if body, refused := dialH2(t, address).ask(t, 1, fields(instead(":path", target)...)); refused || body != "GET "+target {
							t.Errorf("who came after it was answered %q, %t", body, refused)
						}
					}
					if saw := b.take(t); !slices.Equal(saw, want) {
						t.Errorf("the backend saw\n\t%q, want\n\t%q", saw, want)
					}
				})
			}
			t.Run("trailers", func(t *testing.T) {
				c := dialH2(t, address)
				c.frame(t, frameHeaders, endHeaders, 1, fields(post()...))
				c.frame(t, frameData, 0, 1, []byte("abc"))
				c.frame(t, frameHeaders, endHeaders|endStream, 1, fields("content-length", "35", "transfer-encoding", "chunked", "host", "b"))
				body, refused := c.answer(t, 1)
				saw := b.take(t)
				if !refused && (body != "POST /1" || !slices.Equal(saw, []string{"POST /1 body=abc"})) || refused && len(saw) > 0 {
					t.Errorf("refused: %t, %q; the backend saw %q", refused, body, saw)
				}
			})
			t.Run("a header without end", func(t *testing.T) {
				c := dialH2(t, address)
				c.frame(t, frameHeaders, endStream, 1, fields(with()...))
				for range 100 {
					c.frame(t, frameContinuation, 0, 1, fields("x", strings.Repeat("y", 8000)))
				}
				if _, refused := c.answer(t, 1); !refused {
					t.Error("it is accepted")
				}
				if saw := b.take(t); len(saw) > 0 {
					t.Errorf("the backend saw %q", saw)
				}
			})
		})
	}
}
