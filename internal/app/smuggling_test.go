package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// serveHandler runs the data plane's server with a handler in the gateway's place, or with a gateway, and returns its address.
func serveHandler(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	l, err := listen(t.Context(), "http", "127.0.0.1:0")
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serveHTTP(ctx, l, dataServer(h, config.Default().Server.Limits, log), func() time.Duration { return time.Second }, log)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// passTo serves a gateway that passes everything on to an upstream.
func passTo(t *testing.T, url string, change ...func(*gateway.ServiceOptions, *proxy.Options)) (address string) {
	t.Helper()
	o := proxy.Options{Instances: []string{url}, FailOpen: true}
	s := gateway.ServiceOptions{Name: "up", Prefixes: []gateway.Prefix{{Path: "/"}}, Timeout: 5 * time.Second}
	for _, c := range change {
		c(&s, &o)
	}
	up, err := proxy.New(o)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- up.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		up.Close()
	})
	s.Variants = []gateway.VariantOptions{{Name: "stable", Upstream: up, Passed: true}}
	service := gateway.NewService(s)
	service.Variants()[0].Swap(&gateway.Live{Name: "upstream", Digest: url, Runtime: "upstream"})
	g := gateway.New(gateway.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	g.SetServices([]*gateway.Service{service})
	return serveHandler(t, g)
}

// Whatever clients send, each request is refused, or seen by what is behind Serin exactly once and as it was meant; and those who come
// after it on the same connections get answers of their own.
func TestNothingIsSmuggledToWhatIsBehind(t *testing.T) {
	t.Parallel()
	for _, b := range backends(t) {
		t.Run(b.name, func(t *testing.T) {
			address := passTo(t, b.url)
			b.take(t)
			for _, c := range append(framings(), passedFramings()...) {
				t.Run(c.name, func(t *testing.T) { c.pass(t, b, address) })
			}
		})
	}
}

// pass sends a case through Serin.
func (c *framing) pass(t *testing.T, b *backend, address string) {
	status, answers := converse(t, address, c.send+next)
	expected := c.saw
	switch {
	case slices.Equal(status, c.status):
	case len(c.send) > 256<<10 && slices.Equal(status, c.status[:1]): // passed on while it came: its answer may come first, and end the connection
		expected = expected[:1]
	default:
		t.Errorf("the statuses are %v, want %v: %.300q", status, c.status, answers)
	}
	var want []string
	for _, line := range expected {
		if line = passedOn(line); line != "" {
			want = append(want, line)
		}
	}
	// Those who come after it are answered, each with what it asked for: a connection to the backend that is out of step would show.
	for i := range 4 {
		line := fmt.Sprintf("POST /after-%d", i)
		resp, err := http.Post("http://"+address+fmt.Sprintf("/after-%d", i), "text/plain", strings.NewReader("after"))
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(text) != line {
			t.Errorf("who came after it was answered %s %q, %v", resp.Status, text, err)
		}
		want = append(want, line+" body=after")
	}
	if saw := b.take(t); !slices.Equal(saw, want) {
		t.Errorf("the backend saw\n\t%.300q, want\n\t%.300q", saw, want)
	}
}

// passedOn turns what the handler of framings saw into what a backend sees; "" is nothing.
func passedOn(line string) string {
	request, body, _ := strings.Cut(line, " body=")
	if strings.HasSuffix(body, " broken") { // it never got further than Serin
		return ""
	}
	method, target, _ := strings.Cut(request, " ")
	target, _, _ = strings.Cut(target, " ")
	if u, err := url.Parse(target); err == nil && u.Host != "" && !strings.HasPrefix(target, "/") {
		target = u.RequestURI()
	}
	return method + " " + target + " body=" + body
}

// passedFramings are further cases, which tell only once something is behind.
func passedFramings() []framing {
	get := func(target, headers string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n"
	}
	post := func(headers, body string) string { return "POST /1 HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body }
	const chunks = "Transfer-Encoding: chunked\r\n"
	seenNext := "GET /next host=a body="
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	large := strings.Repeat("x", 300<<10) // that is passed on while it comes
	return []framing{
		// Fields that name framing.
		{"Connection names the length", post("Connection: Content-Length\r\nContent-Length: 35\r\n", smuggled), []int{200, 200}, sees("POST /1 host=a body="+smuggled, seenNext)},
		{"Connection names the coding", post("Connection: Transfer-Encoding\r\n"+chunks, "3\r\nabc\r\n0\r\n\r\n"), []int{200, 200}, sees("POST /1 host=a body=abc", seenNext)},
		{"Connection names the host", get("/1", "Connection: Host\r\n"), []int{200, 200}, sees("GET /1 host=a body=", seenNext)},
		{"underscores for hyphens", post("Content_Length: 35\r\nTransfer_Encoding: chunked\r\n", ""), []int{200, 200}, sees("POST /1 host=a body=", seenNext)},
		{"a length of nothing", get("/1", "Content-Length: 0\r\n"), []int{200, 200}, sees("GET /1 host=a body=", seenNext)},
		{"a trailer that names the length", post(chunks+"Trailer: Content-Length\r\n", "3\r\nabc\r\n0\r\nContent-Length: 35\r\n\r\n"), []int{400}, nil},
		{"a trailer that has a length and a host", post(chunks, "3\r\nabc\r\n0\r\nContent-Length: 35\r\nHost: b\r\nTransfer-Encoding: x\r\n\r\n"), []int{200, 200}, sees("POST /1 host=a body=abc", seenNext)},
		{"TE and a trailer", post("TE: trailers, chunked\r\nTrailer: X\r\n"+chunks, "3\r\nabc\r\n0\r\nX: y\r\n\r\n"), []int{200, 200}, sees("POST /1 host=a body=abc", seenNext)},
		{"100-continue in chunks", post("Expect: 100-continue\r\n"+chunks, "3\r\nabc\r\n0\r\n\r\n"), []int{100, 200, 200}, sees("POST /1 host=a body=abc", seenNext)},
		{"an upgrade that nobody takes", get("/1", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"), []int{200, 200}, sees("GET /1 host=a body=", seenNext)},
		{"an upgrade with a body", post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 35\r\n", smuggled), []int{200, 200}, sees("POST /1 host=a body="+smuggled, seenNext)},

		// Bodies that are passed on while they come.
		{"a large body", post(fmt.Sprintf("Content-Length: %d\r\n", len(large)), large), []int{200, 200}, sees("POST /1 host=a body="+large, seenNext)},
		{"a large body in chunks", post(chunks, fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n", len(large), large)), []int{200, 200}, sees("POST /1 host=a body="+large, seenNext)},
		{"a large body that looks like requests", post("Content-Length: 350000\r\n", strings.Repeat(smuggled, 10000)), []int{200, 200}, sees("POST /1 host=a body="+strings.Repeat(smuggled, 10000), seenNext)},

		// Targets.
		{"a host in the target without a path", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}, sees("GET / host=b body=", seenNext)},
		{"a host in the target with a query alone", "GET http://b?x=y HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}, sees("GET /?x=y host=b body=", seenNext)},
		{"a user in the target", "GET http://user:word@b/1 HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}, sees("GET /1 host=b body=", seenNext)},
		{"a host in the target that is none", "GET http://b/1\x7f HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
		{"another scheme", "GET ftp://b/1 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400, 200}, sees(seenNext)},
		{"a host in place of a path", "GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400, 200}, sees(seenNext)},
		{"a star that is no OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", []int{400, 200}, sees(seenNext)},
		{"the server itself", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}, sees(seenNext)},
		{"a tunnel", "CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n", []int{405, 200}, sees(seenNext)},
		{"a tunnel to a path", "CONNECT /1 HTTP/1.1\r\nHost: b:80\r\n\r\n", []int{405, 200}, sees(seenNext)},
		{"a trace", "TRACE /1 HTTP/1.1\r\nHost: a\r\n\r\n", []int{405, 200}, sees(seenNext)},
		{"a fragment", get("/1#2", ""), []int{400, 200}, sees(seenNext)},
		{"a line break that is escaped", get("/1%0d%0aX:%20y", ""), []int{400, 200}, sees(seenNext)},
		{"a line break that is escaped in the query", get("/1?%0d%0aX:%20y", ""), []int{200, 200}, sees("GET /1?%0d%0aX:%20y host=a body=", seenNext)},
		{"a return in the query", get("/1?\rX", ""), []int{400}, nil},
		{"a method of letters", "PURGE /1 HTTP/1.1\r\nHost: a\r\n\r\n", []int{200, 200}, sees("PURGE /1 host=a body=", seenNext)},
	}
}

// An upstream may answer before it has a body whole. What the client still sends of it is no request, and the client gets the answer.
func TestWhatIsLeftOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	const wanted, sent, smuggled = 260 << 10, 300 << 10, "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	var mu sync.Mutex
	var saw []string
	early := proxytest.Misbehave(t, func(c *proxytest.Conn) {
		r, err := c.Head()
		if err != nil {
			return
		}
		mu.Lock()
		saw = append(saw, r.Method+" "+r.RequestURI)
		mu.Unlock()
		_, _ = io.CopyN(io.Discard, r.Body, wanted)
		status, _, _ := strings.Cut(strings.TrimPrefix(r.RequestURI, "/"), "/")
		_ = c.Say("HTTP/1.1 %s Early\r\nContent-Length: 2\r\n\r\nok", status)
		c.Hang()
	})
	address := passTo(t, early.URL(), func(s *gateway.ServiceOptions, _ *proxy.Options) { s.Body = 1 << 20 })
	for _, status := range []int{200, 413} {
		for _, left := range []int{len(smuggled), 200 << 10, 700 << 10} {
			for _, chunked := range []bool{false, true} {
				c, err := net.Dial("tcp", address)
				must(t, err)
				must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
				framed := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", sent+left, strings.Repeat("x", sent))
				if chunked {
					framed = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n", sent, strings.Repeat("x", sent), left)
				}
				_, err = fmt.Fprintf(c, "POST /%d/%d HTTP/1.1\r\nHost: a\r\n%s", status, left, framed)
				must(t, err)
				in := bufio.NewReader(c)
				answer, err := http.ReadResponse(in, nil)
				must(t, err)
				text, err := io.ReadAll(answer.Body)
				if err != nil || answer.StatusCode != status || string(text) != "ok" || !answer.Close {
					t.Errorf("%d, %d left, chunked %t: %v %q %v", status, left, chunked, answer, text, err)
				}
				_, _ = io.WriteString(c, strings.Repeat(smuggled, left/len(smuggled))) // it may be refused
				if rest, _ := io.ReadAll(in); len(rest) > 0 {
					t.Errorf("%d, %d left, chunked %t: then came %q", status, left, chunked, rest)
				}
				c.Close()
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(saw) != 12 || slices.ContainsFunc(saw, func(line string) bool { return !strings.HasPrefix(line, "POST ") }) {
		t.Errorf("the upstream saw %q", saw)
	}
}

// bodiesOf returns the bodies of answers.
func bodiesOf(answers string) (bodies []string) {
	for r := bufio.NewReader(strings.NewReader(answers)); ; {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return bodies
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			body = append(body, " broken"...)
		}
		bodies = append(bodies, string(body))
	}
}
