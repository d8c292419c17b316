package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clocked has a test say what time it is in a transport's pool.
func clocked(tr *transport) *atomic.Int64 {
	var now atomic.Int64
	tr.pool.now = func() time.Duration { return time.Duration(now.Load()) }
	return &now
}

func post(body string) *Request {
	r := get()
	r.Method, r.Body = "POST", []byte(body)
	return r
}

func TestAConnectionThatWasClosedMeanwhileIsNotUsed(t *testing.T) {
	for name, pause := range map[string]time.Duration{"seen by a look": time.Hour, "seen by what the kernel has acknowledged": 0} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			var seen atomic.Int64
			tr := to(t, standIn(t, func(c *peer, n int) {
				for c.request() != nil {
					seen.Add(1)
					c.say(okay)
					if n == 0 {
						c.Close()
						closed <- struct{}{}
						return
					}
				}
			}), transportOptions{IdleTimeout: 24 * time.Hour})
			now := clocked(tr)
			mustAnswer(t, tr, post("a"))
			<-closed
			now.Add(int64(pause))
			if status, body := mustAnswer(t, tr, post("b")); status != 200 || body != "ok" {
				t.Errorf("%d %q", status, body)
			}
			if open, idle := tr.stats(); seen.Load() != 2 || open != 1 || idle != 1 {
				t.Errorf("%d requests, %d connections, %d idle", seen.Load(), open, idle)
			}
		})
	}
}

func TestARequestThatWasHadIsRepeatedOnlyIfItIsSafe(t *testing.T) {
	for _, safe := range []bool{false, true} {
		var seen atomic.Int64
		tr := to(t, standIn(t, func(c *peer, n int) {
			for c.request() != nil {
				if seen.Add(1) == 2 {
					return
				}
				c.say(okay)
			}
		}), transportOptions{})
		mustAnswer(t, tr, post("a"))
		r := post("b")
		r.Safe = safe
		var a Answer
		err := tr.exchange(context.Background(), r, &a)
		a.Close()
		var f *Failure
		if safe && (err != nil || a.Status != 200 || seen.Load() != 3) {
			t.Errorf("safe: %v, %+v, %d requests", err, a, seen.Load())
		}
		if !safe && (!errors.As(err, &f) || f.Why != Broken || !f.Sent || seen.Load() != 2) {
			t.Errorf("not safe: %v, %d requests", err, seen.Load())
		}
	}
}

func TestAConnectionMadeForARequestIsItsOnlyOne(t *testing.T) {
	var seen atomic.Int64
	tr := to(t, standIn(t, func(c *peer, n int) { c.request(); seen.Add(1) }), transportOptions{})
	r := get()
	r.Safe = true
	if f := failure(t, context.Background(), tr, r); f.Why != Broken || seen.Load() != 1 {
		t.Errorf("%v, %d requests", f, seen.Load())
	}
}

func TestWhatCameUnaskedIsNoAnswer(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, test := range map[string]struct {
		method string
		pause  time.Duration
	}{
		"later":                          {"GET", time.Hour},
		"right behind an answer to HEAD": {"HEAD", 0},
	} {
		t.Run(name, func(t *testing.T) {
			said := make(chan struct{})
			tr := to(t, standIn(t, func(c *peer, n int) {
				for {
					r := c.request()
					if r == nil {
						return
					}
					if r.URL.Path == "/victim" {
						c.say(okay)
						continue
					}
					c.say(strings.TrimSuffix(okay, "ok"))
					if r.Method == http.MethodGet {
						c.say("ok")
					}
					said <- struct{}{}
					c.say(evil)
					said <- struct{}{}
				}
			}), transportOptions{IdleTimeout: 24 * time.Hour})
			now := clocked(tr)
			r := get()
			r.Method = test.method
			var a Answer
			if err := tr.exchange(context.Background(), r, &a); err != nil {
				t.Fatal(err)
			}
			a.Close()
			<-said
			<-said
			now.Add(int64(test.pause))
			r = get()
			r.Target = "/victim"
			if _, body := mustAnswer(t, tr, r); body != "ok" {
				t.Errorf("%q", body)
			}
		})
	}
}

func TestIdleConnectionsGo(t *testing.T) {
	closed := make(chan struct{}, 10)
	tr := to(t, standIn(t, func(c *peer, n int) {
		for c.request() != nil {
			c.say(okay)
			if n == 1 {
				c.Close()
				break
			}
		}
		closed <- struct{}{}
	}), transportOptions{IdleTimeout: time.Hour})
	now := clocked(tr)
	mustAnswer(t, tr, get())
	now.Add(int64(30 * time.Minute))
	tr.pool.mu.Lock() // the first is out of the way, so that there are two
	first := tr.pool.idle
	tr.pool.idle = nil
	tr.pool.mu.Unlock()
	mustAnswer(t, tr, get())
	<-closed
	tr.pool.idle = append(first, tr.pool.idle...)
	now.Add(int64(15 * time.Minute))
	tr.pool.sweep()
	if open, idle := tr.stats(); open != 1 || idle != 1 {
		t.Errorf("the one that the instance has closed: %d connections, %d idle", open, idle)
	}
	now.Add(int64(15 * time.Minute))
	tr.pool.sweep()
	<-closed
	if open, idle := tr.stats(); open != 0 || idle != 0 || tr.pool.running {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}

func TestOnlySoManyIdleConnectionsAreKept(t *testing.T) {
	release := make(chan struct{})
	tr := transportTo(t, transportOptions{MaxIdle: 3}, func(w http.ResponseWriter, r *http.Request) { <-release })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { mustAnswer(t, tr, get()) })
	}
	for open := 0; open < 8; open, _ = tr.stats() {
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if open, idle := tr.stats(); open != 3 || idle != 3 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}

func TestConnectionsAreBoundedAndRequestsWaitForThem(t *testing.T) {
	var at, most atomic.Int64
	release := make(chan struct{})
	tr := transportTo(t, transportOptions{MaxConnections: 2, MaxPending: 6}, func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), at.Add(1)))
		<-release
		at.Add(-1)
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
	})
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			r := get()
			if n%2 == 0 {
				r.Target = "/close"
			}
			mustAnswer(t, tr, r)
		})
	}
	waiting := func() int {
		tr.pool.mu.Lock()
		defer tr.pool.mu.Unlock()
		return len(tr.pool.waiting)
	}
	for waiting() < 6 {
		runtime.Gosched()
	}
	if f := failure(t, context.Background(), tr, get()); f.Why != Full || f.Sent {
		t.Error(f)
	}
	close(release)
	wg.Wait()
	if open, idle := tr.stats(); open != idle || open > 2 || most.Load() > 2 {
		t.Errorf("%d connections, %d idle; %d requests at once", open, idle, most.Load())
	}
}

func TestAWaitForAConnectionEnds(t *testing.T) {
	release := make(chan struct{})
	tr := transportTo(t, transportOptions{MaxConnections: 1, MaxPending: 2}, func(w http.ResponseWriter, r *http.Request) { <-release })
	var wg sync.WaitGroup
	wg.Go(func() { mustAnswer(t, tr, get()) })
	for open := 0; open < 1; open, _ = tr.stats() {
		runtime.Gosched()
	}
	r := get()
	r.Deadline = in(20 * time.Millisecond)
	if f := failure(t, context.Background(), tr, r); f.Why != Late || f.Sent {
		t.Error(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if f := failure(t, ctx, tr, get()); f.Why != Gone || f.Sent {
		t.Error(f)
	}
	close(release)
	wg.Wait()
	mustAnswer(t, tr, get())
}

func TestAClosedTransportFinishesWhatIsUnderWay(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	tr := transportTo(t, transportOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(asked)
			<-release
		}
		io.WriteString(w, "ok")
	})
	mustAnswer(t, tr, get())
	done := make(chan string)
	go func() {
		r := get()
		r.Target = "/slow"
		_, body := mustAnswer(t, tr, r)
		done <- body
	}()
	<-asked
	tr.close()
	if open, idle := tr.stats(); open != 1 || idle != 0 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
	close(release)
	if body := <-done; body != "ok" {
		t.Errorf("%q", body)
	}
	if open, idle := tr.stats(); open != 0 || idle != 0 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}

func TestAnIdleConnectionEndsWithoutAReset(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		ended := make(chan error, 1)
		tr := overBoth(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			c, in, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			in.ReadByte() // the body
			io.WriteString(c, okay)
			_, err = in.ReadByte()
			ended <- err
		})
		mustAnswer(t, tr, post("a"))
		tr.close()
		if err := <-ended; err != io.EOF { //nolint:errorlint // TLS has an error of its own for an end without a word
			t.Errorf("%s: %v", scheme, err)
		}
	}
}
