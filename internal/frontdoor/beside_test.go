package frontdoor

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// A handler that ends what is read, so that somebody who waits for the end of the request's context goes on.
func TestATimeThatIsOverEndsTheContext(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Time{})
		go func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }()
		<-r.Context().Done()
		fmt.Fprint(w, "over")
	})
	for what, address := range map[string]string{"net/http": openTheirs(t, handler), "ours": openOurs(t, handler, nil).address} {
		for _, request := range []string{get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"} {
			l := dial(t, address)
			l.send(request)
			if _, text := l.answer(); text != "over" {
				t.Errorf("%s: %q", what, text)
			}
		}
	}
}

// The connection of a request whose handler has set a deadline is as good as any other.
func TestADeadlineOfAHandlerEndsWithIt(t *testing.T) {
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}), nil)
	l := dial(t, s.address)
	for range 3 {
		l.send(get)
		l.answer()
	}
}

func TestAHandlerMayGiveABodyMoreTimeThanTheServer(t *testing.T) {
	reading := make(chan struct{})
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		close(reading)
		text, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(text), err)
	}), func(h *http.Server) { h.ReadTimeout = 20 * time.Millisecond })
	l := dial(t, s.address)
	l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
	<-reading
	before := s.clock.Load()
	until(t, "its time is over", func() bool { return s.clock.Load()-before > int64(60*time.Millisecond) })
	l.send("b")
	if _, text := l.answer(); text != "ab<nil>" {
		t.Error(text)
	}
}

// The deadline for writing holds whatever is set for reading, in whichever order.
func TestTheDeadlinesOfAHandlerDoNotTouchEachOther(t *testing.T) {
	failed := make(chan error, 1)
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		_ = control.SetReadDeadline(time.Time{})
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				failed <- err
				<-r.Context().Done() // there is no client any more
				return
			}
		}
	}), nil)
	dial(t, s.address).send(get)
	if err := <-failed; !os.IsTimeout(err) {
		t.Error(err)
	}
}

// A body that is read beside the handler, as it is where it is passed on: what its client is told meanwhile is told in one piece.
func TestWhoReadsBesideTheHandlerNeverWritesIntoTheAnswer(t *testing.T) {
	s := openOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(io.Discard, r.Body)
		}()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		<-read
	}), nil)
	for range 200 {
		l := dial(t, s.address)
		l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		rest := l.ends()
		rest = strings.Replace(rest, "HTTP/1.1 100 Continue\r\n\r\n", "", 1)
		rest = strings.Replace(rest, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "", 1)
		if !strings.HasPrefix(rest, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(rest, "\r\n\r\nhello") || strings.Contains(rest, "100") {
			t.Fatalf("%q", rest)
		}
		l.Close()
	}
}

// A handler that panics leaves nobody behind who reads into a buffer that is somebody else's by then.
func TestWhoReadsBesideAHandlerThatPanicsHasEnded(t *testing.T) {
	var body *requestBody // written before the session ends
	done := make(chan struct{})
	s := openOurs(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body = r.Body.(*requestBody)
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, r.Body)
		}()
		until(t, "it is read", func() bool {
			if !body.mu.TryLock() {
				return true
			}
			body.mu.Unlock()
			return false
		})
		panic(http.ErrAbortHandler)
	}), nil)
	l := dial(t, s.address)
	l.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
	if rest := l.ends(); rest != "" {
		t.Errorf("%q", rest)
	}
	until(t, "the session has ended", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.sessions) == 0 })
	if !body.mu.TryLock() {
		t.Fatal("it is read yet")
	}
	closed := body.closed
	body.mu.Unlock()
	<-done
	if !closed {
		t.Error("it could be read yet")
	}
}

// The end of line that old clients send behind a form is one however it comes.
func TestAnEndOfLineBehindAForm(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, string(text))
	})
	s := openOurs(t, echo, func(h *http.Server) { h.ReadHeaderTimeout = 20 * time.Second })
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
	for _, pieces := range [][]string{{"\r\n" + get}, {"\r", "\n" + get}} {
		l := dial(t, s.address)
		l.send(post)
		l.answer()
		for i, p := range pieces {
			l.send(p)
			if i < len(pieces)-1 {
				until(t, "it is read", func() bool { return s.in(heading) == 1 })
			}
		}
		if status, text := l.answer(); status != 200 || text != "GET" {
			t.Errorf("%q: %d %q", pieces, status, text)
		}
		l.Close()
		until(t, "the session has ended", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.sessions) == 0 })
	}
}
