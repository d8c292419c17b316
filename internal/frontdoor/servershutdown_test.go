package frontdoor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestShutdownWaitsForAnswers(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			asked <- struct{}{}
			<-goOn
		}
		fmt.Fprint(w, "hello")
	}), func(h *http.Server) { h.ReadHeaderTimeout = 40 * time.Millisecond })
	waits, rests, works := dial(t, s.address), dial(t, s.address), dial(t, s.address)
	rests.send(get)
	rests.answer()
	until(t, "one rests", func() bool { return s.in(rested) == 1 })
	waits.send(get)
	waits.answer()
	works.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-asked
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	if rest := waits.ends() + rests.ends(); rest != "" {
		t.Errorf("who waits is told %q", rest)
	}
	if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	s.ended <- http.ErrServerClosed // for the cleanup
	if c, err := net.Dial("tcp", s.address); err == nil {
		c.Close()
		t.Error("it listens yet")
	}
	select {
	case err := <-down:
		t.Errorf("Shutdown does not wait: %v", err)
	default:
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown without time: %v", err)
	}
	close(goOn)
	resp, err := http.ReadResponse(works.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); string(text) != "hello" || err != nil || !resp.Close {
		t.Errorf("%q, %v; closes: %t", text, err, resp.Close)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if rest := works.ends(); rest != "" {
		t.Errorf("after it: %q", rest)
	}
}

func TestCloseCutsOff(t *testing.T) {
	asked := make(chan struct{})
	ended := make(chan struct{})
	s := openOurs(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		close(ended)
	}), nil)
	l := dial(t, s.address)
	l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na")
	<-asked
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	if rest := l.ends(); rest != "" {
		t.Errorf("it is told %q", rest)
	}
}

func TestATakenConnectionIsGoneForTheServer(t *testing.T) {
	taken := make(chan *bufio.ReadWriter, 1)
	conns := make(chan net.Conn, 1)
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("a write after it: %v", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("once more: %v", err)
		}
		conns <- c
		taken <- rw
	}), func(h *http.Server) { h.ReadHeaderTimeout, h.IdleTimeout = 20*time.Millisecond, 40*time.Millisecond })
	l := dial(t, s.address)
	l.send(get + "early") // which comes with the request
	c, rw := <-conns, <-taken
	defer c.Close()
	if n := rw.Reader.Buffered(); n != len("early") {
		t.Errorf("%d bytes are buffered", n)
	}
	// It outlives the server, and the server's times.
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	l.send("late\n")
	if text, err := rw.ReadString('\n'); text != "earlylate\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := io.WriteString(c, "answer"); err != nil {
		t.Error(err)
	}
	c.Close()
	if text := l.ends(); text != "answer" {
		t.Errorf("%q", text)
	}
}

func TestAConnectionWithABodyToComeIsNotTaken(t *testing.T) {
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			t.Error("it is taken")
		}
	}), nil)
	l := dial(t, s.address)
	l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na")
	if code, _ := l.answer(); code != http.StatusOK {
		t.Errorf("%d", code)
	}
}

func TestOptionsOfTheServerAreNobodys(t *testing.T) {
	s := openOurs(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a handler sees it") }), nil)
	l := dial(t, s.address)
	l.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
	if code, body := l.answer(); code != http.StatusOK || body != "" {
		t.Errorf("%d %q", code, body)
	}
}

func BenchmarkAsk(b *testing.B) {
	for name, address := range map[string]string{"nethttp": openTheirs(b, hello), "ours": openOurs(b, hello, nil).address} {
		b.Run(name, func(b *testing.B) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			buffer := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.WriteString(c, get); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
