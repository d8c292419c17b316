package proxy

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// run has an upstream run until the test ends, or until it is stopped.
func run(t *testing.T, u *Upstream) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	synctest.Wait()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// checked has an instance answer checks and requests apart.
func checked(check, request func(context.Context, *Request, *Answer) error) func(context.Context, *Request, *Answer) error {
	return func(ctx context.Context, r *Request, a *Answer) error {
		if r.Target == "/healthz" {
			return check(ctx, r, a)
		}
		return request(ctx, r, a)
	}
}

func TestChecksTakeAnInstanceOutAndBringItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 2, func(o *Options) {
			real(o)
			o.Check = &Check{Path: "/healthz"}
		})
		var seen atomic.Pointer[Request]
		bad := g.order[1]
		bad.behaves(checked(func(ctx context.Context, r *Request, a *Answer) error {
			seen.Store(r)
			return status(500)(ctx, r, a)
		}, status(200)))
		stop := run(t, g.Upstream)
		defer stop()
		after := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := g.states(); got != want {
				t.Fatalf("they are %s, want %s", got, want)
			}
		}
		after(0, "healthy unchecked")
		if last := seen.Load(); last.Method != http.MethodGet || last.Host != "" || last.Header.Get("User-Agent") == "" || !last.Deadline.Equal(time.Now().Add(time.Second)) {
			t.Errorf("it was asked %+v", last)
		}
		after(10*time.Second, "healthy unchecked")
		after(10*time.Second, "healthy failing") // the third
		for range 4 {
			if a, err := g.ask(); err != nil || a.Instance != "http://10.0.0.1:80" {
				t.Error(a.Instance, err)
			}
		}
		if in := g.Instances()[1]; in.Why != "3 checks in a row failed, the last: /healthz answered 500, and 200 to 399 is well" || !in.Until.IsZero() || in.Requests != 0 {
			t.Errorf("%+v", in)
		}
		bad.behaves(checked(status(399), status(200)))
		after(10*time.Second, "healthy failing")
		after(10*time.Second, "healthy healthy") // the second
		bad.behaves(checked(status(400), status(200)))
		after(20*time.Second, "healthy healthy")
		bad.behaves(checked(status(200), status(200)))
		after(10*time.Second, "healthy healthy")
		bad.behaves(checked(hanging, status(200)))
		after(31*time.Second, "healthy failing")
		stop() // nobody looks any more
		after(time.Hour, "healthy unchecked")
	})
}

func TestAllFailingTheirChecksIsNobodyWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Check = &Check{Path: "/healthz", Every: time.Second, Unhealthy: 1}
		})
		g.all(checked(failing(Down, false), status(200)))
		defer run(t, g.Upstream)()
		time.Sleep(time.Hour)
		if _, err := g.ask(); g.Available() || whyOf(t, err) != Down {
			t.Errorf("available %v, %v", g.Available(), err)
		}
	})
}

func TestACheckThatPassesEndsTheWaitButNotTheDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Check = &Check{Path: "/healthz", Every: 10 * time.Second}
		})
		g.all(checked(status(200), status(500)))
		defer run(t, g.Upstream)()
		time.Sleep(time.Second)
		for range 5 {
			_, _ = g.ask()
		}
		if g.states() != "ejected" || g.Available() {
			t.Fatal(g.states())
		}
		time.Sleep(10 * time.Second) // of 30
		synctest.Wait()
		if !g.Available() {
			t.Fatal("a check passed, and it is not tried")
		}
		if a, err := g.ask(); err != nil || a.Status != 500 || g.states() != "ejected" || g.Available() {
			t.Errorf("%v %v, %s", a, err, g.states())
		}
		g.all(status(200))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, err := g.ask(); err != nil || g.states() != "healthy" {
			t.Errorf("%v, %s", err, g.states())
		}
	})
}

func TestSweepsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, real)
		g.all(status(500))
		defer run(t, g.Upstream)()
		for range 5 {
			_, _ = g.ask()
		}
		time.Sleep(30 * time.Second)
		g.all(status(200))
		_, _ = g.ask()
		times := func() int {
			g.Upstream.mu.Lock()
			defer g.Upstream.mu.Unlock()
			return g.Upstream.all[0].backoff
		}
		if g.states() != "healthy" || times() != 1 {
			t.Fatal(g.states(), times())
		}
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if times() != 0 {
			t.Errorf("it is out %d times as long next time", times()+1)
		}
	})
}

func TestACheckThatIsEndedSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Check = &Check{Path: "/healthz", Unhealthy: 1, Timeout: time.Minute}
		})
		g.all(hanging)
		var lines []string
		g.o.Log = logTo(&lines)
		run(t, g.Upstream)()
		if g.states() != "unchecked" || len(lines) > 0 {
			t.Error(g.states(), strings.Join(lines, "\n"))
		}
	})
}
