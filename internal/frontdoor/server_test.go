package frontdoor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line is a connection to a server under test.
type line struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, address string) *line {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &line{t, c, bufio.NewReader(c)}
}

func (l *line) send(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l, text); err != nil {
		l.t.Fatal(err)
	}
}

// answer reads an answer with a body.
func (l *line) answer() (status int, body string) {
	l.t.Helper()
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// ends reads until the server closes, which it has to.
func (l *line) ends() (rest string) {
	l.t.Helper()
	text, err := io.ReadAll(l.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.t.Fatalf("the server does not close; it has said %q", text)
	}
	return string(text)
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })

// until waits for something that the server's clock brings about.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if reached() {
			return
		}
	}
	t.Fatalf("not reached: %s", what)
}

// in counts the sessions in a phase.
func (s *Server) in(p phase) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sessions {
		if phase(c.word.Load()%int64(phases)) == p {
			n++
		}
	}
	return n
}

func TestClientsThatAreSlowAreLeft(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded), r.Context().Err() != nil)
	})
	s := openOurs(t, echo, func(h *http.Server) {
		h.ReadHeaderTimeout, h.ReadTimeout, h.IdleTimeout = 50*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond
	})
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
	for name, c := range map[string]struct{ send, want string }{
		"says nothing":                     {"", ""},
		"half a head":                      {"GET / HTTP/1.1\r\n", ""},
		"half the preface of h2":           {"PRI * HT", ""},
		"idle":                             {get, "200 false false"},
		"half a head behind a request":     {get + "GET / HTTP", "200 false false"},
		"half a body":                      {head + "ab", "200 true true"},
		"half a body behind a request":     {get + head + "ab", "200 false false, 200 true true"},
		"no chunk":                         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5", "200 true true"},
		"no body although it waits for it": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "200 true true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := dial(t, s.address)
			l.send(c.send)
			rest, got := strings.TrimPrefix(l.ends(), "HTTP/1.1 100 Continue\r\n\r\n"), []string(nil)
			r := bufio.NewReader(strings.NewReader(rest))
			for {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					break
				}
				body, _ := io.ReadAll(resp.Body)
				got = append(got, fmt.Sprintf("%d %s", resp.StatusCode, body))
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("the answers are %q, want %q", text, c.want)
			}
		})
	}
}

func TestAConnectionThatHasRestedGoesOn(t *testing.T) {
	s := openOurs(t, hello, func(h *http.Server) { h.ReadHeaderTimeout = 40 * time.Millisecond })
	l := dial(t, s.address)
	for range 3 {
		l.send(get)
		if code, body := l.answer(); code != 200 || body != "hello" {
			t.Fatalf("%d %q", code, body)
		}
		until(t, "it rests", func() bool { return s.in(rested) == 1 })
	}
	l.send(get + get)
	l.answer()
	l.answer()
	l.Close()
	until(t, "its end is seen", func() bool { return s.in(rested)+s.in(idle) == 0 })
}

// Requests come at every moment at which the clock may put connections to rest, or look after their clients.
func TestNoRequestIsLostToTheClock(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			select {
			case <-r.Context().Done():
				t.Error("the context ends although the client is there")
			case <-time.After(12 * time.Millisecond): // long enough to be looked after
			}
		}
		fmt.Fprint(w, "hello")
	})
	s := openOurs(t, slow, func(h *http.Server) { h.ReadHeaderTimeout = 20 * time.Millisecond }) // looks every 5 ms
	var clients sync.WaitGroup
	for client := range 20 {
		l := dial(t, s.address)
		clients.Go(func() {
			for n := range 30 {
				path := "/"
				if (n+client)%3 == 0 {
					path = "/slow"
				}
				if _, err := io.WriteString(l, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
					t.Error(err)
					return
				}
				resp, err := http.ReadResponse(l.r, nil)
				if err != nil {
					t.Errorf("request %d of client %d: %v", n, client, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				time.Sleep(time.Duration((n*7+client*3)%13) * time.Millisecond) // some go to rest, some nearly
			}
		})
	}
	clients.Wait()
}

func TestTheContextEndsWithTheClient(t *testing.T) {
	ended := make(chan error, 1)
	s := openOurs(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}), func(h *http.Server) { h.ReadHeaderTimeout = 40 * time.Millisecond })
	for name, request := range map[string]string{
		"no body":     get,
		"a body":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
		"half a body": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na",
	} {
		l := dial(t, s.address)
		l.send(request)
		l.Close()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheContextEndsWithTheHandler(t *testing.T) {
	contexts := make(chan context.Context, 1)
	s := openOurs(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { contexts <- r.Context() }), nil)
	l := dial(t, s.address)
	l.send(get)
	l.answer()
	<-(<-contexts).Done()
}

func TestABodyThatIsLeft(t *testing.T) {
	leave := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		if r.URL.Path == "/later" { // somebody reads it yet when the handler has returned
			go func() { _, _ = io.Copy(io.Discard, r.Body) }()
			until(t, "it waits for more", func() bool {
				b := r.Body.(*requestBody)
				if !b.mu.TryLock() {
					return true
				}
				b.mu.Unlock()
				return false
			})
		}
	})
	s := openOurs(t, leave, nil)
	little := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	much := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 2*mostDrained, strings.Repeat("x", mostDrained))
	chunks := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("5\r\nhello\r\n", 10)
	for name, c := range map[string]struct {
		send  string
		again bool
	}{
		"little":            {little, true},
		"much":              {much, false},
		"chunks":            {chunks + "0\r\n\r\n", true},
		"chunks in doubt":   {chunks + "x\r\n\r\n", false},
		"it is not sent":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", false},
		"somebody has it":   {strings.Replace(little[:len(little)-2], "/", "/later", 1), false},
		"more than one can": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("5\r\nhello\r\n", mostDrained/5+100), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := dial(t, s.address)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(l, c.send)
				if c.again {
					_, _ = io.WriteString(l, get)
				}
			}()
			if code, _ := l.answer(); code != http.StatusTeapot {
				t.Errorf("it is answered with %d", code)
			}
			if c.again {
				if code, _ := l.answer(); code != http.StatusTeapot {
					t.Errorf("the next is answered with %d", code)
				}
			} else if rest := l.ends(); rest != "" {
				t.Errorf("what follows is %q", rest)
			}
			l.Close()
			<-sent
		})
	}
}

func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	failed := make(chan error, 1)
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		}
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				failed <- err
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	}), nil)
	dial(t, s.address).send(get)
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that does not read: %v", err)
	}
	l := dial(t, s.address)
	l.send("GET /for-ever HTTP/1.1\r\nHost: a\r\n\r\n")
	l.Close()
	if err := <-failed; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that is gone: %v", err)
	}
}

func TestH2IsServed(t *testing.T) {
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }), nil)
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &h2, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		return &dribbling{Conn: c}, err
	}}
	defer transport.CloseIdleConnections()
	for range 2 {
		resp, err := (&http.Client{Transport: transport}).Get("http://" + s.address)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(text) != "HTTP/2.0" {
			t.Errorf("%q, %v", text, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// dribbling writes its first bytes one by one.
type dribbling struct {
	net.Conn
	written int
}

func (d *dribbling) Write(p []byte) (int, error) {
	for i := range p {
		if d.written++; d.written > 30 {
			n, err := d.Conn.Write(p[i:])
			return i + n, err
		}
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
