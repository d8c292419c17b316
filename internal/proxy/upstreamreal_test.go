package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// upstreamOf returns an upstream of real instances, which ends with the test.
func upstreamOf(t testing.TB, change func(*Options), servers ...*proxytest.Server) *Upstream {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL())
	}
	o := Defaults(urls...)
	if change != nil {
		change(&o)
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// aSecond is a request that may be asked again, with a second.
func aSecond() *Request {
	return &Request{Method: http.MethodGet, Target: "/", Safe: true, Deadline: time.Now().Add(time.Second), Hold: 64 << 10}
}

func TestWhatMisbehavesIsMadeUpForByAnother(t *testing.T) {
	for _, tt := range []struct {
		name    string
		behave  proxytest.Behaviour
		failing bool
	}{
		{"resets", proxytest.ResetBeforeAnswer, true},
		{"resets in the middle, of what is held", proxytest.ResetMidBody, true},
		{"too short", proxytest.Short, true},
		{"chunks that are too short", proxytest.ShortChunks, true},
		{"garbage", proxytest.Garbage, true},
		{"closes what was kept", proxytest.ClosesKept, false},
		{"more than it said", proxytest.Long, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good, bad := proxytest.Serve(t, nil), proxytest.Misbehave(t, tt.behave)
			u := upstreamOf(t, nil, good, bad)
			for range 20 {
				var a Answer
				if err := u.Ask(t.Context(), aSecond(), &a); err != nil {
					t.Fatal(err)
				}
				if b := whole(t, &a); a.Status != 200 || b != "ok" && b != "hello" {
					t.Errorf("answered %d %q", a.Status, b)
				}
			}
			if state := u.Instances()[1].State; (state == Failing) != tt.failing {
				t.Errorf("it is %s: %+v", state, u.Instances())
			}
			if bad.Requests() == 0 {
				t.Error("it was never asked")
			}
		})
	}
}

func TestWhatHangsIsLateAndThenLeftOut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behave proxytest.Behaviour
	}{
		{"after it accepted", proxytest.HangAfterAccept},
		{"after the head", proxytest.HangAfterHead},
		{"it drips its head", proxytest.DripHead(100 * time.Millisecond)},
		{"it drips its body", proxytest.DripBody(100 * time.Millisecond)},
		{"it never reads", proxytest.NeverReads},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good, bad := proxytest.Serve(t, nil), proxytest.Misbehave(t, tt.behave)
			u := upstreamOf(t, nil, good, bad)
			late := 0
			for range 20 {
				r := aSecond()
				r.Deadline = time.Now().Add(150 * time.Millisecond)
				var a Answer
				err := u.Ask(t.Context(), r, &a)
				a.Close()
				var f *Failure
				if errors.As(err, &f) && f.Why == Late {
					late++
				} else if err != nil {
					t.Error(err)
				}
			}
			if late != 1 || u.Instances()[1].State != Failing {
				t.Errorf("%d were late: %+v", late, u.Instances())
			}
		})
	}
}

func TestManyRequestsAtOneThatHangsAllEndAndLeaveNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	bad := proxytest.Misbehave(t, proxytest.HangAfterAccept)
	u := upstreamOf(t, func(o *Options) { o.Outlier = nil }, bad)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			r := aSecond()
			r.Deadline = time.Now().Add(100 * time.Millisecond)
			if err := u.Ask(t.Context(), r, new(Answer)); whyOf(t, err) != Late && whyOf(t, err) != Full {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if in := u.Instances()[0]; in.Open != 0 || in.InFlight != 0 || u.Stats().InFlight != 0 || in.Lost[Late]+u.Stats().Refused != 200 {
		t.Errorf("%+v, %+v", in, u.Stats())
	}
	u.Close()
	bad.Stop()
	goleak.VerifyNone(t, before)
}

// overH2 has the instances be spoken to over h2.
func overH2(o *Options) {
	for i, url := range o.Instances {
		o.Instances[i] = strings.Replace(url, "http:", "h2c:", 1)
	}
}

// load asks over and over from many sides until it is stopped.
type load struct {
	stop     chan struct{}
	end      func() // stops and waits
	wait     sync.WaitGroup
	answered atomic.Int64
}

func startLoad(t *testing.T, u *Upstream, clients int, body func(i int) *Request) *load {
	l := &load{stop: make(chan struct{})}
	l.end = sync.OnceFunc(func() {
		close(l.stop)
		l.wait.Wait()
	})
	t.Cleanup(l.end)
	for range clients {
		l.wait.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				r := body(i)
				var a Answer
				if err := u.Ask(t.Context(), r, &a); err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				if a.Status != 200 {
					t.Errorf("answered %d", a.Status)
				}
				if a.Rest != nil {
					if _, err := io.Copy(io.Discard, a.Rest); err != nil {
						t.Errorf("an answer broke off: %v", err)
					}
				}
				a.Close()
				l.answered.Add(1)
			}
		})
	}
	return l
}

// more waits until so many more requests were answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	for want, end := l.answered.Load()+n, time.Now().Add(20*time.Second); l.answered.Load() < want; {
		if t.Failed() || time.Now().After(end) {
			t.Fatalf("%d were answered, of %d", l.answered.Load(), want)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestNoSafeRequestIsLostWhileInstancesAreStoppedAndStarted kills and drains instances, one after the other, under load.
func TestNoSafeRequestIsLostWhileInstancesAreStoppedAndStarted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		stop    func(*proxytest.Server)
		options func(*Options)
		found   bool // one that is started is asked again soon
	}{
		{"killed", (*proxytest.Server).Stop, func(o *Options) { o.FailTimeout, o.Outlier = 20*time.Millisecond, nil }, true},
		{"drained", (*proxytest.Server).Drain, func(o *Options) { o.FailTimeout, o.Outlier = 20*time.Millisecond, nil }, true},
		{"killed faster than they are tried again", (*proxytest.Server).Stop, nil, false},
		{"drained faster than they are tried again", (*proxytest.Server).Drain, nil, false},
		{"killed, over h2", (*proxytest.Server).Stop, overH2, false},
		{"drained, over h2", (*proxytest.Server).Drain, overH2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slowly := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Millisecond) // so that there is always something under way
				_, _ = io.WriteString(w, "ok")
			})
			servers := []*proxytest.Server{proxytest.Serve(t, slowly), proxytest.Serve(t, slowly)}
			u := upstreamOf(t, func(o *Options) {
				o.Retry.Attempts = 10 // where the machine is slow, one request may live to see several of them go
				if tt.options != nil {
					tt.options(o)
				}
			}, servers...)
			l := startLoad(t, u, 16, func(int) *Request {
				r := aSecond()
				r.Deadline = time.Now().Add(10 * time.Second)
				return r
			})
			l.more(t, 500)
			for round := range 6 {
				s := servers[round%len(servers)]
				tt.stop(s)
				l.more(t, 100)
				s.Start()
				for before := s.Requests(); tt.found && s.Requests() == before; {
					l.more(t, 50)
				}
			}
			l.end()
			if n := u.Stats(); n.InFlight != 0 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// TestAnUpstreamIsReplacedUnderLoad closes upstreams while they are asked, as reloads do.
func TestAnUpstreamIsReplacedUnderLoad(t *testing.T) {
	server := proxytest.Serve(t, nil)
	var current atomic.Pointer[Upstream]
	current.Store(upstreamOf(t, nil, server))
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				u := current.Load()
				time.Sleep(10 * time.Microsecond) // the reload comes between
				var a Answer
				if err := u.Ask(t.Context(), &Request{Method: http.MethodPost, Target: "/", Body: []byte("x")}, &a); err != nil {
					t.Error(err)
					return
				}
				a.Close()
			}
		})
	}
	for range 100 {
		time.Sleep(time.Millisecond)
		current.Swap(upstreamOf(t, nil, server)).Close()
	}
	close(stop)
	all.Wait()
	current.Load().Close()
	for end := time.Now().Add(10 * time.Second); server.Open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are left", server.Open())
		}
	}
}

func TestChecksAreMadeOverTheInstancesConnections(t *testing.T) {
	server := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || r.Method != http.MethodGet || r.Host != r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }).String() {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	u := upstreamOf(t, func(o *Options) { o.Check = &Check{Path: "/healthz", Every: 5 * time.Millisecond} }, server)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- u.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); server.Requests() < 5; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there are no checks")
		}
	}
	if in := u.Instances()[0]; in.State != Healthy || in.Requests != 0 || server.Conns() != 1 {
		t.Errorf("%+v, over %d connections", in, server.Conns())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOneThatIsStartedAnewIsAskedSoon stops the only instance until it is ejected for half a minute.
func TestOneThatIsStartedAnewIsAskedSoon(t *testing.T) {
	server := proxytest.Serve(t, nil)
	u := upstreamOf(t, nil, server)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- u.Run(ctx) }()
	server.Stop()
	for u.Available() {
		if err := u.Ask(t.Context(), aSecond(), new(Answer)); whyOf(t, err) != Down {
			t.Fatal(err)
		}
	}
	if in := u.Instances()[0]; in.State != Ejected || time.Until(in.Until) < 20*time.Second {
		t.Fatalf("%+v", in)
	}
	server.Start()
	for end := time.Now().Add(15 * time.Second); !u.Available(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not tried again")
		}
	}
	var a Answer
	if err := u.Ask(t.Context(), aSecond(), &a); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if in := u.Instances()[0]; in.State != Healthy {
		t.Errorf("%+v", in)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestKnockingSaysNothingOfOneThatIsNotThere(t *testing.T) {
	server := proxytest.Serve(t, nil)
	u := upstreamOf(t, nil, server)
	server.Stop()
	for u.Available() {
		_ = u.Ask(t.Context(), aSecond(), new(Answer))
	}
	var all sync.WaitGroup
	for range 3 {
		u.knock(t.Context(), &all)
		all.Wait()
	}
	if in := u.Instances()[0]; u.Available() || in.Requests != 5 || in.Open != 0 {
		t.Errorf("%+v", in)
	}
}

// TestANameThatIsLookedUpIsStillWhoTheCertificateIsFor asks an instance over TLS at an address that its certificate does not name.
func TestANameThatIsLookedUpIsStillWhoTheCertificateIsFor(t *testing.T) {
	var host atomic.Pointer[string]
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host.Store(&r.Host) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	at := netip.MustParseAddrPort(server.Listener.Addr().String())
	for _, scheme := range []string{"https", "h2"} {
		o := Defaults(fmt.Sprintf("%s://example.com:%d", scheme, at.Port()))
		o.TLS, o.Resolve = &tls.Config{RootCAs: roots}, time.Hour
		o.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{at.Addr()}, nil }
		u, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- u.Run(ctx) }()
		for end := time.Now().Add(10 * time.Second); !strings.Contains(u.Instances()[0].Address, "127.0.0.1"); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the name is not looked up")
			}
		}
		var a Answer
		if err := u.Ask(t.Context(), aSecond(), &a); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if got, want := *host.Load(), fmt.Sprintf("example.com:%d", at.Port()); got != want {
			t.Errorf("over %s the Host is %s, want %s", scheme, got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		u.Close()
	}
}

func TestAddressesThatAreDeniedAreNotAsked(t *testing.T) {
	server := proxytest.Serve(t, nil)
	u := upstreamOf(t, func(o *Options) { o.Deny = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }, server)
	err := u.Ask(t.Context(), aSecond(), new(Answer))
	if whyOf(t, err) != Down || !strings.Contains(err.Error(), "denied") || server.Conns() != 0 {
		t.Errorf("%v, over %d connections", err, server.Conns())
	}
	if in := u.Instances()[0]; in.State == Healthy || in.Lost[Down] != 1 {
		t.Errorf("%+v", in)
	}
}
