package frontdoor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// answered is what a client reads of an answer.
type answered struct {
	Status  string
	Proto   string
	Header  http.Header // Date tells only whether it is there
	Length  int64
	Chunked bool
	Body    string
	Trailer http.Header
	Broken  bool
}

// readAnswers reads what a server answers to requests, to the connection's end.
func readAnswers(t rapid.TB, address, method string, requests ...string) (all []answered) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, strings.Join(requests, "")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	for i := range requests {
		asked := method
		if i > 0 {
			asked = http.MethodGet
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: asked})
		if err != nil {
			if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
				t.Fatal("neither an answer nor the end")
			}
			break
		}
		a := answered{Status: resp.Status, Proto: resp.Proto, Header: resp.Header, Length: resp.ContentLength, Chunked: len(resp.TransferEncoding) > 0}
		body, err := io.ReadAll(resp.Body)
		a.Body, a.Broken, a.Trailer = string(body), err != nil, resp.Trailer
		if a.Header.Get("Date") != "" {
			a.Header["Date"] = []string{"told"}
		}
		all = append(all, a)
	}
	return all
}

// TestAnswersAreThoseOfNetHTTP holds the answers of handlers against those of net/http, with whatever a handler may do.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	write := func(w io.Writer, parts ...string) {
		for _, p := range parts {
			if n, err := io.WriteString(w, p); err == nil && n != len(p) {
				t.Errorf("%d of %d bytes were written", n, len(p))
			}
		}
	}
	long := strings.Repeat("0123456789", 5000)
	handlers := map[string]http.HandlerFunc{
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"a text":       func(w http.ResponseWriter, _ *http.Request) { write(w, "hello") },
		"html":         func(w http.ResponseWriter, _ *http.Request) { write(w, "<html><body>hello") },
		"a typed text": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "a/b"); write(w, "hello") },
		"an encoded text": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "x")
			write(w, "hello")
		},
		"no type":          func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; write(w, "hello") },
		"a status":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound); write(w, "gone") },
		"a status of ours": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) },
		"two statuses": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusNotFound)
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", "y")
			w.WriteHeader(http.StatusNoContent)
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", "y")
			w.WriteHeader(http.StatusNotModified)
		},
		"headers too late":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK); w.Header().Set("X", "y") },
		"no date":             func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; write(w, "a") },
		"many values":         func(w http.ResponseWriter, _ *http.Request) { w.Header()["X"] = []string{"a", " b ", "c\r\nd: e", ""} },
		"a name that is none": func(w http.ResponseWriter, _ *http.Request) { w.Header()["X y"] = []string{"a"}; write(w, "a") },
		"long":                func(w http.ResponseWriter, _ *http.Request) { write(w, long) },
		"long, in parts":      func(w http.ResponseWriter, _ *http.Request) { write(w, long, "a", long[:1500], long[:1500], "b") },
		"parts":               func(w http.ResponseWriter, _ *http.Request) { write(w, "a", "", "b", "c") },
		"flushed":             func(w http.ResponseWriter, _ *http.Request) { write(w, "a"); w.(http.Flusher).Flush(); write(w, "b") },
		"flushed before":      func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"flushed twice": func(w http.ResponseWriter, _ *http.Request) {
			write(w, "a")
			w.(http.Flusher).Flush()
			w.(http.Flusher).Flush()
		},
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			write(w, "hel", "lo")
		},
		"a long length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50000")
			write(w, long)
		},
		"a length, flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			write(w, "a")
			w.(http.Flusher).Flush()
			write(w, "b")
		},
		"less than told": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5"); write(w, "hel") },
		"more than told": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			write(w, "hello")
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("more than told: %v", err)
			}
		},
		"a length of 0": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"close":         func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close"); write(w, "a") },
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "A, B")
			write(w, "a")
			w.Header().Set("A", "1")
			w.Header().Set("C", "3")
		},
		"trailers of late": func(w http.ResponseWriter, _ *http.Request) {
			write(w, "a")
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"A", "1")
		},
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
			write(w, "a")
		},
		"the body":  func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		"read from": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader(long)) },
		"read, a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50000")
			w.Header().Set("Content-Type", "a/b")
			_, _ = io.Copy(w, io.LimitReader(strings.NewReader(long), 50000))
		},
		"a panic":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a panic midway":  func(w http.ResponseWriter, _ *http.Request) { write(w, "a"); w.(http.Flusher).Flush(); panic("oh") },
		"the body closed": func(w http.ResponseWriter, r *http.Request) { r.Body.Close(); write(w, "a") },
		"what it is": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Method, r.URL, r.Proto, r.Header, r.ContentLength, r.TransferEncoding, r.Close, r.Host, r.Form, r.Trailer, r.RequestURI, r.TLS == nil,
				r.RemoteAddr != "", r.Context().Value(http.LocalAddrContextKey) != nil, r.Context().Value(http.ServerContextKey) != nil)
		},
	}
	const next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for name, h := range handlers {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/next" {
				fmt.Fprint(w, "next")
				return
			}
			h(w, r)
		})
		theirs, ours := openTheirs(t, handler), openOurs(t, handler, nil).address
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			for _, proto := range []string{"HTTP/1.1", "HTTP/1.0", "HTTP/1.1, close", "HTTP/1.0, keep-alive"} {
				version, option, _ := strings.Cut(proto, ", ")
				if name == "early hints" && version == "HTTP/1.0" {
					continue // they are not for such clients (RFC 9110, section 15.2), and net/http sends them
				}
				request := method + " /a?b=c " + version + "\r\nHost: a\r\nX-Y: z\r\n"
				if option != "" {
					request += "Connection: " + option + "\r\n"
				}
				if method == "POST" {
					request += "Content-Length: 5\r\n\r\nhello"
				} else {
					request += "\r\n"
				}
				want, got := readAnswers(t, theirs, method, request, next), readAnswers(t, ours, method, request, next)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s, %s %s: net/http (-), ours (+): %s", name, method, proto, diff)
				}
			}
		}
	}
}

// TestHeadsAreReadAsByNetHTTP holds what is made of heads against what net/http makes of them.
func TestHeadsAreReadAsByNetHTTP(t *testing.T) {
	target := rapid.SampledFrom([]string{"/", "/a/b?c=d&e", "/a%20b/%2e%2E", "*", "http://h/x?y", "/?", "//a//b", "/a;b", "/%zz", "a", "", "http://", "/é", "/a\\b", "/a#b", "/a b"})
	name := rapid.SampledFrom([]string{"Host", "host", "HOST", "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Pragma", "Cache-Control", "Expect", "x-a",
		"X_b", "Accept", "X:", "X ", " X", "", "Étag", "Keep-Alive", "sec-websocket-key"})
	value := rapid.SampledFrom([]string{"a", "", " b\t", "close", "keep-alive, Close", "no-cache", "chunked", "5", "0", "100-continue", "X-Sum, b", "Content-Length", "é",
		"\x7f", "a\tb", "a:b", "[::1]:80", "a b", "a/b"})
	taken, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		head := rapid.SampledFrom([]string{"GET", "POST", "CONNECT", "OPTIONS", "get", "G@T", "", "PRI"}).Draw(t, "method") + " " + target.Draw(t, "target") + " " +
			rapid.SampledFrom([]string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/3.0", "http/1.1", "HTTP/1.10", ""}).Draw(t, "proto") + "\r\n"
		if rapid.Bool().Draw(t, "host") {
			head += "Host: a\r\n"
		}
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			head += name.Draw(t, "name") + ":" + value.Draw(t, "value") + "\r\n"
		}
		var g guard
		if g.scan([]byte(head+"\r\n")) < len(head)+2 {
			return // the guard refuses it
		}
		if strings.HasPrefix(head, "OPTIONS * ") {
			return // no handler sees it
		}
		var ours http.Request
		problem := parse(&ours, head)
		want := seenByNetHTTP(head)
		switch {
		case want == nil && problem == nil:
			t.Fatalf("%q is taken, and not by net/http", head)
		case want != nil && problem != nil:
			t.Fatalf("%q: %d %s, and net/http takes it", head, problem.status, problem.text)
		case want == nil:
			refused++
			return
		}
		taken++
		ours.Body, want.Body = nil, nil
		if diff := cmp.Diff(asText(want), asText(&ours)); diff != "" {
			t.Errorf("%q: net/http (-), ours (+): %s", head, diff)
		}
	})
	if taken == 0 || refused == 0 {
		t.Errorf("%d heads were taken and %d refused: the test compares nothing", taken, refused)
	}
}

// seenByNetHTTP is the request that a handler behind net/http's server sees, nil if none.
func seenByNetHTTP(head string) (saw *http.Request) {
	client, server := net.Pipe()
	defer client.Close()
	l := newHandover()
	s := limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		saw = r
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			c.Close()
		}
	}))
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	l.give(server)
	go func() { _, _ = io.WriteString(client, head+"\r\n0\r\n\r\n     ") }()
	_, _ = io.Copy(io.Discard, client)
	client.Close()
	s.Close()
	<-ended
	return saw
}

// asText is what is to be the same of two requests.
func asText(r *http.Request) map[string]any {
	var u url.URL
	if r.URL != nil {
		u = *r.URL
	}
	return map[string]any{
		"method": r.Method, "url": u.String(), "path": u.Path, "raw path": u.RawPath, "query": u.RawQuery, "url's host": u.Host, "proto": r.Proto,
		"version": [2]int{r.ProtoMajor, r.ProtoMinor}, "header": r.Header, "close": r.Close, "length": r.ContentLength, "coding": r.TransferEncoding, "host": r.Host,
		"target": r.RequestURI, "trailer": r.Trailer,
	}
}

func TestBodiesInChunksComeWithTheirTrailer(t *testing.T) {
	for what, address := range map[string]string{"net/http": openTheirs(t, trailerEcho), "ours": openOurs(t, trailerEcho, nil).address} {
		got := readAnswers(t, address, "POST", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\nConnection: close\r\n\r\n"+
			"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nSum: 11\r\nOther: 1\r\n\r\n")
		if len(got) != 1 || got[0].Body != "hello world map[Other:[1] Sum:[11]]" {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

var trailerEcho = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	if _, err := io.Copy(&b, r.Body); err != nil {
		fmt.Fprint(w, err)
	}
	fmt.Fprint(w, b.String(), " ", r.Trailer)
})

// What a head takes is in proportion to it, and little of it stays with the connection.
func TestManyAndLongLinesTakeNoMoreThanTheirShare(t *testing.T) {
	const lines = 10_000
	var r http.Request
	text := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A:\r\n", lines)
	if problem := parse(&r, text); problem != nil || len(r.Header["A"]) != lines {
		t.Fatalf("%+v, %d", problem, len(r.Header["A"]))
	}
	once := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = parse(new(http.Request), text)
		}
	})
	if most := int64(32 * len(text)); once.AllocedBytesPerOp() > most {
		t.Errorf("%d bytes are allocated for a head of %d", once.AllocedBytesPerOp(), len(text))
	}
	var many strings.Builder
	for i := range lines {
		fmt.Fprintf(&many, "A%d: %d\r\n", i, i)
	}
	fields, problem := parseFields(many.String())
	if problem != nil || len(fields) != lines || fields.Get("A9999") != "9999" || fields.Get("A33") != "33" {
		t.Errorf("%+v, %d fields", problem, len(fields))
	}
	var g guard
	long := "GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("x", 1<<20)
	if g.scan([]byte(long)) != len(long) || g.scan([]byte("\r\n\r\n")) != 4 || cap(g.line) > keptLine {
		t.Errorf("%d bytes are kept", cap(g.line))
	}
}
