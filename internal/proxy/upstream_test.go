package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fake stands in for a transport.
type fake struct {
	address string
	asked   atomic.Int64
	closed  atomic.Bool

	mu sync.Mutex
	do func(ctx context.Context, r *Request, a *Answer) error
}

func (f *fake) exchange(ctx context.Context, r *Request, a *Answer) error {
	f.asked.Add(1)
	f.mu.Lock()
	do := f.do
	f.mu.Unlock()
	return do(ctx, r, a)
}

func (f *fake) close()                  { f.closed.Store(true) }
func (f *fake) stats() (open, idle int) { return 3, 1 }

// behaves sets what it does from now on.
func (f *fake) behaves(do func(ctx context.Context, r *Request, a *Answer) error) {
	f.mu.Lock()
	f.do = do
	f.mu.Unlock()
}

// status answers with a status.
func status(code int) func(context.Context, *Request, *Answer) error {
	return func(_ context.Context, _ *Request, a *Answer) error {
		*a = Answer{Status: code, Length: 2, Body: []byte("ok")}
		return nil
	}
}

// fails gives no answer.
func failing(why Why, sent bool) func(context.Context, *Request, *Answer) error {
	return func(context.Context, *Request, *Answer) error {
		return &Failure{Why: why, Sent: sent, Err: errors.New("for a test")}
	}
}

// hanging gives no answer until it is let go, or the deadline.
func hanging(ctx context.Context, r *Request, _ *Answer) error {
	var late <-chan time.Time
	if !r.Deadline.IsZero() {
		timer := time.NewTimer(time.Until(r.Deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-late:
		return &Failure{Why: Late, Sent: true, Err: errors.New("late")}
	case <-ctx.Done():
		return &Failure{Why: Gone, Sent: true, Err: ctx.Err()}
	}
}

// group is an upstream of fakes, whose time stands still unless it is moved.
type group struct {
	*Upstream
	mu    sync.Mutex
	fakes map[string]*fake // by address
	order []*fake
	now   time.Time
}

func (g *group) pass(d time.Duration) {
	g.mu.Lock()
	g.now = g.now.Add(d)
	g.mu.Unlock()
}

// newGroup returns a group of n instances, 10.0.0.1:80 and on, that answer 200.
func newGroup(t testing.TB, n int, change func(*Options)) *group {
	t.Helper()
	var urls []string
	for i := range n {
		urls = append(urls, fmt.Sprintf("http://10.0.0.%d", i+1))
	}
	g := &group{fakes: map[string]*fake{}, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	o := Defaults(urls...)
	o.Now = func() time.Time {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.now
	}
	o.Random = func() uint64 { return 0 }
	if change != nil {
		change(&o)
	}
	u, err := newUpstream(o, func(_ *endpoint, address string) exchanger {
		f := &fake{address: address, do: status(200)}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.fakes[address] = f
		g.order = append(g.order, f)
		return f
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Upstream = u
	return g
}

// all sets what all instances do.
func (g *group) all(do func(context.Context, *Request, *Answer) error) {
	for _, f := range g.fakes {
		f.behaves(do)
	}
}

// ask asks for something that may be asked again, and closes the answer.
func (g *group) ask() (Answer, error) {
	return g.askFor(&Request{Method: "GET", Target: "/", Safe: true})
}

func (g *group) askFor(r *Request) (Answer, error) {
	var a Answer
	err := g.Ask(context.Background(), r, &a)
	a.Close()
	return a, err
}

// states returns the instances' states by the last number of their addresses.
func (g *group) states() string {
	var s []string
	for _, in := range g.Instances() {
		s = append(s, in.State.String())
	}
	return strings.Join(s, " ")
}

// whyOf returns why there is no answer.
func whyOf(t testing.TB, err error) Why {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("the error is %T: %v", err, err)
	}
	return f.Why
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"none", Options{}, "no instances"},
		{"no URL", Defaults("::"), "no URL"},
		{"no scheme", Defaults("127.0.0.1:80"), "no URL"},
		{"unknown scheme", Defaults("ftp://a"), "scheme"},
		{"no host", Defaults("http://:80"), "no host"},
		{"credentials, which are not told", Defaults("http://me:secret@a"), `"http://a": it holds credentials`},
		{"a path", Defaults("http://a/b"), "more than"},
		{"a query", Defaults("http://a?b"), "more than"},
		{"twice", Defaults("http://a", "http://A:80/"), "twice"},
		{"two protocols", Defaults("http://a", "grpc://b"), "speaks h2"},
		{"a zone", Defaults("http://[fe80::1%25eth0]"), "zone"},
		{"nothing to retry on", Options{Instances: []string{"http://a"}, Retry: Retry{On: []string{"200"}}}, "retry on"},
		{"below 0", Options{Instances: []string{"http://a"}, MaxFails: -1}, "max fails"},
		{"a check without a path", Options{Instances: []string{"http://a"}, Check: &Check{Path: "x"}}, "path of a health check"},
		{"ejections", Options{Instances: []string{"http://a"}, Outlier: &Outlier{BaseEjectionTime: time.Hour, MaxEjectionTime: 1}}, "shorter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestURLsSayWhatIsDialled(t *testing.T) {
	for _, tt := range []struct{ url, name, host string }{
		{"http://127.0.0.1:8082", "http://127.0.0.1:8082", "127.0.0.1:8082"},
		{"HTTP://Example.com/", "http://example.com:80", "example.com"},
		{"https://example.com", "https://example.com:443", "example.com"},
		{"grpc://a:9000", "h2c://a:9000", "a:9000"},
		{"grpcs://a", "h2://a:443", "a"},
		{"http://[::1]:80", "http://[::1]:80", "[::1]:80"},
		{"http://[::1]", "http://[::1]:80", "[::1]"},
	} {
		var host string
		u, err := newUpstream(Defaults(tt.url), func(e *endpoint, _ string) exchanger {
			host = e.host
			return &fake{}
		})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if got := u.Instances()[0].Address; got != tt.name || host != tt.host {
			t.Errorf("%s is dialled as %s with Host %s, want %s, %s", tt.url, got, host, tt.name, tt.host)
		}
	}
}

func TestAnAnswerSaysWhoGaveIt(t *testing.T) {
	g := newGroup(t, 2, nil)
	a, err := g.ask()
	if err != nil || a.Status != 200 || a.Attempts != 1 || a.Instance == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	f := g.fakes[strings.TrimPrefix(a.Instance, "http://")]
	if f == nil || f.asked.Load() != 1 {
		t.Errorf("%s was not asked", a.Instance)
	}
	if s := g.Stats(); s.Requests != 1 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFailover(t *testing.T) {
	type do = func(context.Context, *Request, *Answer) error
	down, broken, unsentBroken, full := failing(Down, false), failing(Broken, true), failing(Broken, false), failing(Full, false)
	stream := func(r *Request) { r.Stream, r.Length = strings.NewReader("x"), 1 }
	unsafe := func(r *Request) { r.Safe = false }
	for _, tt := range []struct {
		name     string
		first    do // the one that is asked first; the others answer as in rest
		rest     do
		request  func(*Request)
		options  func(*Options)
		status   int // 0: a failure
		why      Why
		sent     bool
		attempts int64
	}{
		{"the first answers", status(200), nil, nil, nil, 200, 0, false, 1},
		{"its 404 is an answer", status(404), nil, nil, nil, 404, 0, false, 1},
		{"its 500 is an answer", status(500), nil, nil, nil, 500, 0, false, 1},
		{"down", down, status(200), nil, nil, 200, 0, false, 2},
		{"down, not safe", down, status(200), unsafe, nil, 200, 0, false, 2},
		{"down, a stream", down, status(200), stream, nil, 200, 0, false, 2},
		{"full", full, status(200), nil, nil, 200, 0, false, 2},
		{"hung up", broken, status(200), nil, nil, 200, 0, false, 2},
		{"hung up before it was sent, not safe", unsentBroken, status(200), unsafe, nil, 200, 0, false, 2},
		{"hung up, not safe", broken, status(200), unsafe, nil, 0, Broken, true, 1},
		{"hung up, a stream", broken, status(200), stream, nil, 0, Broken, true, 1},
		{"503", status(503), status(200), nil, nil, 200, 0, false, 2},
		{"503, not safe", status(503), status(200), unsafe, nil, 503, 0, false, 1},
		{"503, then 502", status(503), status(502), nil, nil, 502, 0, false, 2},
		{"503, then down", status(503), down, nil, nil, 0, Down, true, 4},
		{"all down", down, down, nil, nil, 0, Down, false, 4},
		{"all hang up", broken, broken, nil, nil, 0, Broken, true, 2},
		{"three attempts", broken, broken, nil, func(o *Options) { o.Retry.Attempts = 3 }, 0, Broken, true, 3},
		{"no retries", down, status(200), nil, func(o *Options) { o.Retry.Attempts = 1 }, 0, Down, false, 1},
		{"no retries of what is down", down, status(200), nil, func(o *Options) { o.Retry.On = []string{"reset"} }, 0, Down, false, 1},
		{"no retries of what hung up", broken, status(200), nil, func(o *Options) { o.Retry.On = []string{"connect"} }, 0, Broken, true, 1},
		{"no budget", broken, status(200), nil, func(o *Options) { o.Retry.Budget, o.Retry.MinConcurrency = 0, 0 }, 0, Broken, true, 1},
		{"no budget, down", down, status(200), nil, func(o *Options) { o.Retry.Budget, o.Retry.MinConcurrency = 0, 0 }, 200, 0, false, 2},
		{"gone", failing(Gone, true), status(200), nil, nil, 0, Gone, true, 1},
		{"late", failing(Late, true), status(200), nil, nil, 0, Late, true, 1},
		{"late, not sent", failing(Late, false), status(200), nil, nil, 0, Late, false, 1},
		{"an error of another kind", func(context.Context, *Request, *Answer) error { return errors.New("odd") }, status(200), nil, nil, 200, 0, false, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(t, 4, tt.options)
			var asked []*Request
			first := true
			for _, f := range g.fakes {
				f.behaves(func(ctx context.Context, r *Request, a *Answer) error {
					asked = append(asked, r)
					if first {
						first = false
						return tt.first(ctx, r, a)
					}
					return tt.rest(ctx, r, a)
				})
			}
			r := &Request{Method: "GET", Target: "/", Safe: true}
			if tt.request != nil {
				tt.request(r)
			}
			a, err := g.askFor(r)
			switch {
			case int64(len(asked)) != tt.attempts:
				t.Errorf("%d instances were asked, want %d", len(asked), tt.attempts)
			case tt.status != 0:
				if err != nil || a.Status != tt.status || int64(a.Attempts) != tt.attempts {
					t.Errorf("answered %+v, %v, want %d", a, err, tt.status)
				}
			default:
				var f *Failure
				if !errors.As(err, &f) || f.Why != tt.why || f.Sent != tt.sent {
					t.Errorf("failed with %+v, want %v, sent %v", err, tt.why, tt.sent)
				}
			}
			for _, f := range g.fakes {
				if f.asked.Load() > 1 {
					t.Errorf("%s was asked %d times for one request", f.address, f.asked.Load())
				}
			}
			if s := g.Stats(); s.InFlight != 0 {
				t.Errorf("%d requests are in flight when all are over", s.InFlight)
			}
			for _, in := range g.Instances() {
				if in.InFlight != 0 {
					t.Errorf("%s has %d requests when all are over", in.Address, in.InFlight)
				}
			}
		})
	}
}

func TestNothingIsAskedAfterTheDeadline(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.all(func(ctx context.Context, r *Request, a *Answer) error {
		g.pass(600 * time.Millisecond)
		return failing(Broken, true)(ctx, r, a)
	})
	_, err := g.askFor(&Request{Safe: true, Deadline: g.now.Add(500 * time.Millisecond)})
	if got := g.asked(); whyOf(t, err) != Broken || got != 1 {
		t.Errorf("%d instances were asked, and it ended with %v", got, err)
	}
	g.pass(time.Hour)
	before := g.asked()
	_, err = g.askFor(&Request{Safe: true, Deadline: g.now.Add(1000 * time.Millisecond)})
	if got := g.asked() - before; whyOf(t, err) != Broken || got != 2 {
		t.Errorf("%d instances were asked, and it ended with %v", got, err)
	}
}

// asked returns how many requests all instances saw.
func (g *group) asked() (n int64) {
	for f := range maps.Values(g.fakes) {
		n += f.asked.Load()
	}
	return n
}

func TestAnUpstreamAnswersAfterItWasClosed(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.Close()
	g.Close()
	for f := range maps.Values(g.fakes) {
		if !f.closed.Load() {
			t.Errorf("%s was not closed", f.address)
		}
	}
	if _, err := g.ask(); err != nil || !g.Available() {
		t.Errorf("after Close: %v", err)
	}
}

func TestInstancesTellWhatTheyDid(t *testing.T) {
	g := newGroup(t, 1, func(o *Options) { o.Outlier = nil })
	f := g.fakes["10.0.0.1:80"]
	for _, code := range []int{200, 204, 301, 404, 500, 503} {
		f.behaves(status(code))
		_, _ = g.ask()
	}
	for _, why := range []Why{Down, Late, Broken, Gone} {
		f.behaves(failing(why, true))
		_, _ = g.ask()
	}
	in := g.Instances()[0]
	want := InstanceState{
		Address: "http://10.0.0.1:80", State: Healthy, Since: g.now, Open: 3, Idle: 1, Requests: 10, Failures: 5,
		Codes: [6]int64{0, 0, 2, 1, 1, 2}, Lost: [5]int64{1, 1, 1, 0, 1},
	}
	if in != want {
		t.Errorf("told %+v,\nwant %+v", in, want)
	}
}

func TestTextsOfStates(t *testing.T) {
	got := []string{Unchecked.String(), Healthy.String(), Failing.String(), Ejected.String()}
	if !slices.Equal(got, []string{"unchecked", "healthy", "failing", "ejected"}) {
		t.Error(got)
	}
}

func TestGRPCCallsAreJudgedByWhatTheyEndedWith(t *testing.T) {
	for _, tt := range []struct {
		name    string
		header  http.Header
		trailer http.Header
		ejected bool
	}{
		{"fine", nil, http.Header{"Grpc-Status": {"0"}}, false},
		{"not found", nil, http.Header{"Grpc-Status": {"5"}}, false},
		{"unavailable", nil, http.Header{"Grpc-Status": {"14"}}, true},
		{"internal, without a body", http.Header{"Grpc-Status": {"13"}}, nil, true},
		{"not read to its end", nil, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(t, 1, func(o *Options) { o.Instances = []string{"grpc://10.0.0.1:80"} })
			header := http.Header{"Content-Type": {"application/grpc+proto"}}
			maps.Copy(header, tt.header)
			g.all(func(_ context.Context, _ *Request, a *Answer) error {
				*a = Answer{Status: 200, Header: header, Trailer: tt.trailer}
				return nil
			})
			for range 5 {
				if _, err := g.ask(); err != nil {
					t.Fatal(err)
				}
			}
			if want := map[bool]string{true: "ejected", false: "healthy"}[tt.ejected]; g.states() != want {
				t.Errorf("it is %s, want %s", g.states(), want)
			}
			if !tt.ejected {
				return
			}
			g.pass(30 * time.Second)
			g.all(func(_ context.Context, _ *Request, a *Answer) error {
				*a = Answer{Status: 200, Header: http.Header{"Content-Type": {"application/grpc"}}, Trailer: http.Header{"Grpc-Status": {"0"}}}
				return nil
			})
			if _, err := g.ask(); err != nil || g.states() != "healthy" {
				t.Errorf("tried again and well, it is %s, %v", g.states(), err)
			}
		})
	}
}

// logTo returns a logger that writes what it is told, a line each, without times.
func logTo(lines *[]string) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter{lines}, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type lineWriter struct{ lines *[]string }

func (w lineWriter) Write(p []byte) (int, error) {
	line := strings.TrimSuffix(strings.NewReplacer("level=", "", "msg=", "", `"`, "").Replace(string(p)), "\n")
	*w.lines = append(*w.lines, line)
	return len(p), nil
}
