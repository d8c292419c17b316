package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// standIn starts a server that does with each connection, numbered from 0, what a test says.
func standIn(t testing.TB, serve func(c *peer, n int)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(&peer{TCPConn: c.(*net.TCPConn), in: bufio.NewReader(c), ended: ended}, n)
			})
		}
	})
	t.Cleanup(func() { close(ended); l.Close(); wg.Wait() })
	return l.Addr().String()
}

// peer is the instance's end of a connection.
type peer struct {
	*net.TCPConn
	in    *bufio.Reader
	ended chan struct{} // closed at the test's end
}

// request reads a request with its body; nil: there is none any more.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return r
}

// head reads no more than a request's head.
func (p *peer) head() bool {
	_, err := http.ReadRequest(p.in)
	return err == nil
}

func (p *peer) say(s string) { io.WriteString(p, s) }

// gone waits until the other end hangs up.
func (p *peer) gone() { io.Copy(io.Discard, p.in) }

// reset closes the connection so that the other end is told of an error.
func (p *peer) reset() {
	p.SetLinger(0)
	p.Close()
}

// to returns a transport to an address.
func to(t testing.TB, address string, o transportOptions) *transport {
	t.Helper()
	o.Address = address
	tr := newTransport(o)
	t.Cleanup(tr.close)
	return tr
}

// get is a request for which nothing may be sent twice unless the test says so.
func get() *Request {
	return &Request{Method: "GET", Target: "/", Host: "h", Hold: 1 << 20, Deadline: soon()}
}

// mustAnswer asks, and returns the status and the body.
func mustAnswer(t testing.TB, tr *transport, r *Request) (int, string) {
	t.Helper()
	var a Answer
	if err := tr.exchange(context.Background(), r, &a); err != nil {
		t.Fatal(err)
	}
	return a.Status, whole(t, &a)
}

// failure asks, and returns the failure.
func failure(t testing.TB, ctx context.Context, tr *transport, r *Request) *Failure {
	t.Helper()
	var a Answer
	err := tr.exchange(ctx, r, &a)
	if err == nil {
		t.Fatalf("answered: %+v", a)
	}
	if a.held != nil {
		t.Error("a failed exchange holds something")
	}
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("%T is no Failure", err)
	}
	return f
}

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// shortly is until a deadline that a test waits for, and that leaves a busy machine time for what has to come before.
const shortly = 400 * time.Millisecond

// in returns a deadline.
func in(d time.Duration) time.Time { return time.Now().Add(d) }

func TestWhatHangsEndsByTheDeadline(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 32<<20)
	for name, test := range map[string]struct {
		serve func(c *peer)
		body  []byte
		sent  bool
	}{
		"says nothing":              {func(c *peer) { c.gone() }, nil, true},
		"reads nothing":             {func(c *peer) { <-c.ended }, body, true},
		"reads the head alone":      {func(c *peer) { c.head(); <-c.ended }, body, true},
		"ends in the status":        {func(c *peer) { c.request(); c.say("HTTP/1.1 2"); c.gone() }, nil, true},
		"ends in the head":          {func(c *peer) { c.request(); c.say(ok + "A: b\r\n"); c.gone() }, nil, true},
		"ends in the body":          {func(c *peer) { c.request(); c.say(ok + "Content-Length: 5\r\n\r\nabc"); c.gone() }, nil, true},
		"ends in a chunk":           {func(c *peer) { c.request(); c.say(ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"); c.gone() }, nil, true},
		"ends without the end":      {func(c *peer) { c.request(); c.say(ok + "\r\nabc"); c.gone() }, nil, true},
		"continues, and no more":    {func(c *peer) { c.request(); c.say("HTTP/1.1 100 Continue\r\n\r\n"); c.gone() }, nil, true},
		"answers early without end": {func(c *peer) { c.head(); c.say(ok + "Content-Length: 5\r\n\r\nabc"); <-c.ended }, body, true},
		"drips the head":            {func(c *peer) { c.request(); drip(c, ok+"A: "+strings.Repeat("b", 1<<20)) }, nil, true},
		"drips the body":            {func(c *peer) { c.request(); drip(c, ok+"Content-Length: 1000000\r\n\r\n"+strings.Repeat("b", 1<<20)) }, nil, true},
		"drips chunks of extensions": {func(c *peer) {
			c.request()
			drip(c, ok+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1;a=b\r\nx\r\n", 1<<16))
		}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := to(t, standIn(t, func(c *peer, _ int) { test.serve(c) }), transportOptions{})
			r := get()
			r.Method, r.Body, r.Deadline = "POST", test.body, in(shortly)
			if f := failure(t, context.Background(), tr, r); f.Why != Late || f.Sent != test.sent || time.Now().Before(r.Deadline) {
				t.Errorf("%v, sent %v", f, f.Sent)
			}
			if open, _ := tr.stats(); open != 0 {
				t.Errorf("%d connections are left", open)
			}
		})
	}
}

// drip says something byte by byte, for as long as it is heard.
func drip(c *peer, s string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range len(s) {
		if _, err := io.WriteString(c, s[i:i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

func TestWhatHangsEndsWhenTheAskerGoesAway(t *testing.T) {
	for name, serve := range map[string]func(c *peer){
		"says nothing":     func(c *peer) { c.gone() },
		"reads nothing":    func(c *peer) { <-c.ended },
		"ends in the body": func(c *peer) { c.head(); c.say(ok + "Content-Length: 5\r\n\r\nabc"); <-c.ended },
	} {
		t.Run(name, func(t *testing.T) {
			for _, wait := range []time.Duration{0, 10 * time.Millisecond, 3 * glance} {
				tr := to(t, standIn(t, func(c *peer, _ int) { serve(c) }), transportOptions{})
				ctx, cancel := context.WithCancelCause(context.Background())
				cause := errors.New("gone")
				time.AfterFunc(wait, func() { cancel(cause) })
				r := get()
				r.Method, r.Body = "POST", bytes.Repeat([]byte("x"), 32<<20)
				if f := failure(t, ctx, tr, r); f.Why != Gone || !errors.Is(f, cause) {
					t.Errorf("%v: %v", wait, f)
				}
				if open, _ := tr.stats(); open != 0 {
					t.Errorf("%d connections are left", open)
				}
			}
		})
	}
}

func TestADeadlineOfTheContextIsOneToo(t *testing.T) {
	tr := to(t, standIn(t, func(c *peer, _ int) { c.gone() }), transportOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	r := get()
	r.Deadline = time.Time{}
	if f := failure(t, ctx, tr, r); f.Why != Late {
		t.Error(f)
	}
}

func TestAnInstanceThatIsNotThereIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, scheme := range []string{"http", "https", "h2", "h2c"} {
		tr := to(t, l.Addr().String(), transportOptions{Scheme: scheme})
		if f := failure(t, context.Background(), tr, get()); f.Why != Down || f.Sent || !errors.Is(f, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, sent %v", scheme, f, f.Sent)
		}
		if open, _ := tr.stats(); open != 0 {
			t.Errorf("%d connections are left", open)
		}
	}
}

func TestAResetIsAFailure(t *testing.T) {
	for name, said := range map[string]string{"before": "", "in the head": ok, "in the body": ok + "Content-Length: 5\r\n\r\nabc"} {
		tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); c.say(said); c.reset() }), transportOptions{})
		if f := failure(t, context.Background(), tr, get()); f.Why != Broken || !f.Sent {
			t.Errorf("%s: %v, sent %v", name, f, f.Sent)
		}
	}
}

func TestWhatCannotBecomeAnAnswerIsNotWaitedFor(t *testing.T) {
	for _, said := range []string{"SSH-2.0-OpenSSH_9.2\r\n", "<html>", ok[:len(ok)-2] + "\nContent-Length: 2\n\nok", ok + "A: b\nC", ok + "Transfer-Encoding: chunked\r\n\r\nx",
		ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nab"} {
		tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); c.say(said); c.gone() }), transportOptions{})
		r := get()
		r.Deadline = time.Time{}
		if f := failure(t, context.Background(), tr, r); f.Why != Broken {
			t.Errorf("%q: %v", said, f)
		}
	}
}

func TestWhatIsNotHeldMayBreak(t *testing.T) {
	for name, serve := range map[string]func(c *peer){
		"the length is a lie": func(c *peer) { c.say(ok + "Content-Length: 1000\r\n\r\nabc") },
		"chunks do not end":   func(c *peer) { c.say(ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") },
		"chunks are none":     func(c *peer) { c.say(ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n") },
		"reset":               func(c *peer) { c.say(ok + "Content-Length: 1000\r\n\r\nabc"); c.reset() },
	} {
		for _, copied := range []bool{false, true} {
			tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); serve(c) }), transportOptions{})
			r := get()
			r.Hold = 2
			var a Answer
			if err := tr.exchange(context.Background(), r, &a); err != nil {
				continue // the reset was seen first
			}
			read := func() error { _, err := io.ReadAll(a.Rest); return err }
			if copied {
				read = func() error { _, err := io.Copy(&bytes.Buffer{}, a.Rest); return err }
			}
			err := read()
			var f *Failure
			if !errors.As(err, &f) || f.Why != Broken {
				t.Errorf("%s: %v", name, err)
			}
			if again := read(); again == nil {
				t.Errorf("%s: the end after an error", name)
			}
			a.Close()
			if open, _ := tr.stats(); open != 0 {
				t.Errorf("%s: %d connections are left", name, open)
			}
		}
	}
}

func TestTheDeadlineEndsWhatFollowsToo(t *testing.T) {
	for _, said := range []string{ok + "Content-Length: 1000\r\n\r\nabc", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", ok + "\r\nabc"} {
		for _, copied := range []bool{false, true} {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); c.say(said); c.gone() }), transportOptions{})
				r := get()
				r.Hold, r.Deadline = 2, in(shortly)
				var a Answer
				if err := tr.exchange(context.Background(), r, &a); err != nil {
					t.Fatal(err)
				}
				var err error
				if copied {
					_, err = io.Copy(&bytes.Buffer{}, a.Rest)
				} else {
					_, err = io.ReadAll(a.Rest)
				}
				var f *Failure
				if !errors.As(err, &f) || f.Why != Late {
					t.Errorf("%q: %v", said, err)
				}
				a.Close()
			})
		}
	}
}

func TestAnAnswerMayBeClosedBeforeItsEnd(t *testing.T) {
	heard := make(chan struct{}, 10)
	tr := to(t, standIn(t, func(c *peer, _ int) {
		c.request()
		c.say(ok + "Content-Length: 1000\r\n\r\nabc")
		c.gone()
		heard <- struct{}{}
	}), transportOptions{})
	r := get()
	r.Hold = 2
	var a Answer
	if err := tr.exchange(context.Background(), r, &a); err != nil {
		t.Fatal(err)
	}
	rest := a.Rest
	a.Close()
	a.Close()
	<-heard
	if _, err := rest.Read(make([]byte, 10)); err == nil {
		t.Error("what follows is read after Close")
	}
	if open, _ := tr.stats(); open != 0 {
		t.Errorf("%d connections are left", open)
	}
}

func TestAStreamOutlivesTheDeadline(t *testing.T) {
	for _, kind := range []string{"Content-Type: text/event-stream", "Content-Type: Text/Event-Stream; charset=utf-8", "Content-Type: application/x-ndjson",
		"X-Accel-Buffering: no"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			more := make(chan struct{})
			tr := to(t, standIn(t, func(c *peer, _ int) {
				for c.request() != nil {
					c.say(ok + kind + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
					<-more
					c.say("3\r\ndef\r\n0\r\n\r\n")
				}
			}), transportOptions{})
			for range 2 {
				r := get()
				r.Deadline = in(shortly)
				var a Answer
				if err := tr.exchange(context.Background(), r, &a); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Until(r.Deadline) + time.Millisecond)
				more <- struct{}{}
				if !a.Stream || a.Length != -1 {
					t.Errorf("%+v", a)
				}
				if got := whole(t, &a); got != "abcdef" {
					t.Errorf("%q", got)
				}
			}
			if open, idle := tr.stats(); open != 1 || idle != 1 {
				t.Errorf("%d connections, %d idle", open, idle)
			}
		})
	}
}

func TestAStreamEndsWhenItIsSilentOrTheAskerGoesAway(t *testing.T) {
	serve := func(c *peer, _ int) {
		c.request()
		drip(c, ok+"Content-Type: text/event-stream\r\n\r\nabc")
		c.gone()
	}
	tr := to(t, standIn(t, serve), transportOptions{StreamTimeout: shortly})
	var a Answer
	if err := tr.exchange(context.Background(), get(), &a); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(a.Rest)
	var f *Failure
	if string(a.Body)+string(got) != "abc" || !errors.As(err, &f) || f.Why != Late {
		t.Errorf("%q%q, %v", a.Body, got, err)
	}
	a.Close()

	tr = to(t, standIn(t, serve), transportOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	if err := tr.exchange(ctx, get(), &a); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := io.Copy(io.Discard, a.Rest); !errors.As(err, &f) || f.Why != Gone {
		t.Error(err)
	}
	a.Close()
	if open, _ := tr.stats(); open != 0 {
		t.Errorf("%d connections are left", open)
	}
}

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(d)
}

// settled waits until what a count counts is no more than before.
func settled(t *testing.T, what string, before int, count func() int) {
	t.Helper()
	for end := soon(); count() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d %s, and before there were %d", count(), what, before)
		}
	}
}

func TestWhateverHappensNothingIsLeft(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	t.Run("all", func(t *testing.T) {
		body := bytes.Repeat([]byte("x"), 8<<20)
		answers := []func(c *peer){
			func(c *peer) { c.gone() },
			func(c *peer) { <-c.ended },
			func(c *peer) { c.reset() },
			func(c *peer) { c.head(); c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"); c.reset() },
			func(c *peer) { c.head(); c.say(okay); <-c.ended },
			func(c *peer) { c.request(); c.say(okay); c.gone() },
			func(c *peer) { c.request(); c.say(ok + "Content-Length: 100\r\n\r\nabc"); c.gone() },
			func(c *peer) { c.request(); c.say(ok + "Content-Type: text/event-stream\r\n\r\nabc"); c.gone() },
			func(c *peer) { c.request(); c.say("nonsense") },
		}
		tr := to(t, standIn(t, func(c *peer, n int) { answers[n%len(answers)](c) }), transportOptions{})
		var wg sync.WaitGroup
		for n := range 8 * len(answers) {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				r := get()
				r.Method, r.Deadline, r.Hold = "POST", in(80*time.Millisecond), n%3
				switch n % 4 {
				case 0:
					r.Body = body
				case 1:
					r.Stream, r.Length = bytes.NewReader(body), int64(len(body))
				case 2:
					r.Stream, r.Length = bytes.NewReader(body), -1
				}
				time.AfterFunc(time.Duration(n)*2*time.Millisecond, cancel)
				var a Answer
				if tr.exchange(ctx, r, &a) == nil && a.Rest != nil {
					io.Copy(io.Discard, a.Rest)
				}
				a.Close()
			})
		}
		wg.Wait()
	})
	settled(t, "goroutines", goroutines, runtime.NumGoroutine)
	settled(t, "files", files, func() int { return descriptors(t) })
}
