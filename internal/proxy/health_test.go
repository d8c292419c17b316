package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// noOutlier leaves passive health alone.
func noOutlier(o *Options) { o.Outlier = nil }

func TestPassiveHealth(t *testing.T) {
	// Each step is a word: an instance's number and what it does from now on (1=down, 2=ok), "ask", "+5s", or what states there are now.
	for _, tt := range []struct {
		name    string
		n       int
		options func(*Options)
		steps   string
	}{
		{"one failure puts aside for ten seconds", 3, nil,
			"1=down ask ask ask failing,healthy,healthy 1=ok +9s ask ask ask failing,healthy,healthy +1s ask healthy,healthy,healthy"},
		{"one that fails again waits anew", 2, nil,
			"1=down ask ask failing,healthy +10s ask failing,healthy +9s 1=ok ask failing,healthy +1s ask healthy,healthy"},
		{"of one instance nothing is held against it", 1, nil, "1=down ask ask ask unchecked 1=ok ask healthy"},
		{"0 is never", 2, func(o *Options) { o.MaxFails = 0 }, "1=down ask ask ask ask unchecked,healthy"},
		{"two failures within the time", 2, func(o *Options) { o.MaxFails = 2 },
			"1=down ask ask unchecked,healthy 1=ok ask ask healthy,healthy +5s 1=down ask ask failing,healthy"},
		{"two failures with more than the time between them", 2, func(o *Options) { o.MaxFails = 2 },
			"1=down ask ask unchecked,healthy 1=ok +11s ask ask healthy,healthy 1=down ask ask healthy,healthy ask ask failing,healthy"},
		{"statuses are answers", 2, nil, "1=503 2=503 ask ask ask ask healthy,healthy"},
		{"who went away says nothing", 2, nil, "1=gone ask ask ask unchecked,healthy"},
		{"a time of its own", 2, func(o *Options) { o.FailTimeout = time.Minute }, "1=down ask ask failing,healthy 1=ok +59s ask ask failing,healthy +1s ask healthy,healthy"},
		{"all fail, and are asked at once again", 2, nil, "1=down 2=down ask failing,failing 1=ok 2=ok ask healthy,failing ask ask healthy,failing +10s ask healthy,healthy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(t, tt.n, func(o *Options) {
				noOutlier(o)
				o.Random = func() uint64 { return ^uint64(0) } // the first has the first turn
				if tt.options != nil {
					tt.options(o)
				}
			})
			for i, step := range strings.Fields(tt.steps) {
				who, what, sets := strings.Cut(step, "=")
				switch {
				case sets:
					f := g.order[who[0]-'1']
					f.behaves(map[string]func(context.Context, *Request, *Answer) error{
						"down": failing(Down, false), "gone": failing(Gone, true), "503": status(503), "ok": status(200),
					}[what])
				case step == "ask":
					_, _ = g.ask()
				case step[0] == '+':
					d, err := time.ParseDuration(step[1:])
					if err != nil {
						t.Fatal(err)
					}
					g.pass(d)
				default:
					if got := strings.ReplaceAll(g.states(), " ", ","); got != step {
						t.Fatalf("step %d: they are %s, want %s", i, got, step)
					}
				}
			}
		})
	}
}

func TestOneRequestFindsOutWhetherAnInstanceIsWellAgain(t *testing.T) {
	g := newGroup(t, 2, noOutlier)
	g.all(failing(Down, false))
	bad := g.order[1]
	g.order[0].behaves(status(200))
	_, _ = g.ask()
	_, _ = g.ask()
	if g.states() != "healthy failing" {
		t.Fatal(g.states())
	}
	g.pass(10 * time.Second)
	asked := bad.asked.Load()
	var inside int64
	bad.behaves(func(ctx context.Context, r *Request, a *Answer) error {
		for range 20 { // while it is being tried
			if a, err := g.ask(); err != nil || a.Instance != "http://10.0.0.1:80" {
				t.Errorf("answered by %s, %v", a.Instance, err)
			}
		}
		inside = bad.asked.Load() - asked
		return status(200)(ctx, r, a)
	})
	if a, err := g.ask(); err != nil || a.Instance != "http://10.0.0.2:80" {
		t.Errorf("the one that was due was not tried: %s, %v", a.Instance, err)
	}
	if inside != 1 || g.states() != "healthy healthy" {
		t.Errorf("%d requests tried it, and then they are %s", inside, g.states())
	}
}

func TestWhatCannotBeAskedAgainIsNotSentToTryAnInstance(t *testing.T) {
	g := newGroup(t, 2, noOutlier)
	g.order[1].behaves(failing(Down, false))
	_, _ = g.ask()
	_, _ = g.ask()
	g.pass(15 * time.Second)
	g.order[1].behaves(status(200))
	post := &Request{Method: "POST", Target: "/"}
	for range 4 {
		if a, err := g.askFor(post); err != nil || a.Instance != "http://10.0.0.1:80" {
			t.Fatalf("answered by %s, %v", a.Instance, err)
		}
	}
	g.pass(5 * time.Second) // nobody else came for so long
	if a, err := g.askFor(post); err != nil || a.Instance != "http://10.0.0.2:80" || g.states() != "healthy healthy" {
		t.Errorf("answered by %s, %v", a.Instance, err)
	}
}

func TestWhereAllFailEachHasOneRequestAtATime(t *testing.T) {
	g := newGroup(t, 2, func(o *Options) { o.Outlier, o.Retry.Attempts = nil, 1 })
	g.all(failing(Broken, true))
	_, _ = g.ask()
	_, _ = g.ask()
	if g.states() != "failing failing" {
		t.Fatal(g.states())
	}
	depth, refused := 0, 0
	with := map[*fake]int{}
	for _, f := range g.order {
		f.behaves(func(ctx context.Context, r *Request, a *Answer) error {
			depth++
			with[f]++
			if with[f] > 1 {
				t.Errorf("%s has %d requests", f.address, with[f])
			}
			if depth < 10 {
				if _, err := g.ask(); whyOf(t, err) == Down {
					refused++
				}
			}
			with[f]--
			return failing(Broken, true)(ctx, r, a)
		})
	}
	_, _ = g.ask()
	if refused == 0 {
		t.Error("nobody was refused while each had a request")
	}
	if !g.Available() {
		t.Error("with nothing in flight they may be asked")
	}
}

func TestAnAnswerTooLateIsHeldAgainstWhoeverHadTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		waited  time.Duration // before it was asked, of the second that there is
		others  int           // answers that the instance gave meanwhile
		usual   time.Duration // time of requests
		failing bool
	}{
		{"alone, and from the beginning", 0, 0, 0, true},
		{"alone, with half of the time", 500 * time.Millisecond, 0, 0, true},
		{"with less than half of the time", 501 * time.Millisecond, 0, 0, false},
		{"it answered another", 0, 1, 0, false},
		{"half of the usual time", 0, 0, 2 * time.Second, true},
		{"less than half of the usual time", 0, 0, 2001 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(t, 2, func(o *Options) { o.Outlier.Consecutive5xx, o.Timeout = 1, tt.usual })
			deadline := g.now.Add(time.Second)
			g.all(func(_ context.Context, r *Request, _ *Answer) error {
				g.all(func(_ context.Context, r *Request, _ *Answer) error { // the second that is asked
					for range tt.others {
						g.all(status(200))
						_, _ = g.ask()
						_, _ = g.ask()
					}
					g.pass(deadline.Sub(g.now))
					return &Failure{Why: Late, Sent: true, Err: errors.New("late")}
				})
				g.pass(tt.waited)
				return &Failure{Why: Full, Err: errors.New("full")}
			})
			_, err := g.askFor(&Request{Safe: true, Deadline: deadline})
			if whyOf(t, err) != Late {
				t.Fatal(err)
			}
			if got := strings.Contains(g.states(), "ejected"); got != tt.failing {
				t.Errorf("they are %s", g.states())
			}
		})
	}
}

func TestNobodyWellIsToldAtOnceAndWithReasons(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.all(status(500))
	for range 5 {
		if a, err := g.ask(); err != nil || a.Status != 500 {
			t.Fatal(a, err)
		}
	}
	if g.Available() {
		t.Error("it is available")
	}
	_, err := g.ask()
	if whyOf(t, err) != Down || !strings.Contains(err.Error(), "10.0.0.1:80 is ejected (5 failures in a row, the last: it answered 500)") {
		t.Error(err)
	}
	if g.asked() != 5 || g.Stats().Nobody != 1 {
		t.Errorf("%d were asked, %+v", g.asked(), g.Stats())
	}
	in := g.Instances()[0]
	if !in.Until.Equal(g.now.Add(30*time.Second)) || in.Ejections != 1 || !in.Since.Equal(g.now) {
		t.Errorf("%+v", in)
	}
}

func TestFailOpenAsksWhereNobodyIsWell(t *testing.T) {
	g := newGroup(t, 3, func(o *Options) { o.FailOpen, o.Outlier.MaxEjectionPercent = true, 100 })
	g.all(status(500))
	for range 15 {
		_, _ = g.ask()
	}
	if g.states() != "ejected ejected ejected" || !g.Available() {
		t.Fatal(g.states())
	}
	seen := map[string]int{}
	for range 6 {
		a, err := g.ask()
		if err != nil || a.Status != 500 {
			t.Fatal(err)
		}
		seen[a.Instance]++
	}
	if len(seen) != 3 || g.states() != "ejected ejected ejected" {
		t.Errorf("asked were %v, and they are %s", seen, g.states())
	}
	g.all(status(200))
	g.pass(30 * time.Second)
	for range 3 {
		_, _ = g.ask()
	}
	if g.states() != "healthy healthy healthy" {
		t.Error(g.states())
	}
}

func TestAnAnswerThatBreaksOffIsAFailure(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&Failure{Why: Broken, Sent: true, Err: errors.New("cut")}, "failing healthy"},
		{&Failure{Why: Late, Sent: true, Err: errors.New("who reads it takes his time")}, "healthy healthy"},
		{&Failure{Why: Gone, Sent: true, Err: errors.New("nobody reads it")}, "healthy healthy"},
		{nil, "healthy healthy"},
	} {
		g := newGroup(t, 2, func(o *Options) { o.Random = func() uint64 { return ^uint64(0) } })
		g.order[0].behaves(func(_ context.Context, _ *Request, a *Answer) error {
			*a = Answer{Status: 200, Rest: &rest{err: tt.err}}
			return nil
		})
		for range 2 {
			if _, err := g.ask(); err != nil {
				t.Fatal(err)
			}
		}
		if g.states() != tt.want {
			t.Errorf("after %v they are %s, want %s", tt.err, g.states(), tt.want)
		}
	}
}

// TestNobodyWhoIsNotWellIsAskedWhileAnotherIs drives groups at random, and looks at every single choice.
func TestNobodyWhoIsNotWellIsAskedWhileAnotherIs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "instances")
		attempts := rapid.IntRange(1, 4).Draw(rt, "attempts")
		g := newGroup(t, n, func(o *Options) {
			o.MaxFails = rapid.IntRange(0, 3).Draw(rt, "max fails")
			o.Outlier.MaxEjectionPercent = rapid.SampledFrom([]int{0, 10, 50, 100}).Draw(rt, "percent")
			o.Outlier.ConsecutiveGatewayFailure = rapid.IntRange(0, 3).Draw(rt, "gateway failures")
			o.Retry.Attempts = attempts
			o.FailOpen = rapid.Bool().Draw(rt, "fail open")
		})
		var before []InstanceState
		var asked []string
		sends := 0
		choose := func(name string) {
			asked = append(asked, name)
			someone := false
			for _, in := range before {
				someone = someone || (in.State == Healthy || in.State == Unchecked) && !contains(asked[:len(asked)-1], in.Address)
			}
			for i, in := range before {
				if in.Address != name || in.State == Healthy || in.State == Unchecked {
					continue
				}
				due := !in.Until.IsZero() && !g.now.Before(in.Until)
				if someone && !due {
					rt.Fatalf("%s was asked, which is %s until %v, while others are well: %+v", name, in.State, in.Until, before)
				}
				if mute := g.Upstream.all[i].mute; !due && !g.o.FailOpen && in.State == Ejected && (!mute || n == 1) {
					rt.Fatalf("%s was asked before its ejection was over", name)
				}
			}
			before = g.Instances()
		}
		kinds := []struct {
			sent bool
			do   func(context.Context, *Request, *Answer) error
		}{
			{true, status(200)}, {true, status(500)}, {true, status(503)}, {false, failing(Down, false)}, {true, failing(Broken, true)},
			{true, failing(Late, true)}, {true, failing(Gone, true)}, {false, failing(Full, false)},
		}
		set := func(f *fake) {
			kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
			f.behaves(func(ctx context.Context, r *Request, a *Answer) error {
				choose("http://" + f.address)
				if kind.sent {
					sends++
				}
				return kind.do(ctx, r, a)
			})
		}
		for _, f := range g.order {
			set(f)
		}
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				g.pass(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			case 1, 2:
				set(rapid.SampledFrom(g.order).Draw(rt, "who"))
			case 3:
				g.sweep()
			default:
				before, asked, sends = g.Instances(), nil, 0
				available := g.Available()
				safe := rapid.Bool().Draw(rt, "safe")
				_, err := g.askFor(&Request{Safe: safe, Method: "GET"})
				if sends > attempts || !safe && sends > 1 || attempts == 1 && len(asked) > 1 {
					rt.Fatalf("it was sent to %d instances of %v, and may go to %d (safe: %v)", sends, asked, attempts, safe)
				}
				if repeated(asked) {
					rt.Fatalf("an instance was asked twice: %v", asked)
				}
				if available != (len(asked) > 0) {
					rt.Fatalf("available is %v, and asked were %v: %v", available, asked, err)
				}
			}
		}
		if s := g.Stats(); s.InFlight != 0 {
			rt.Fatalf("in flight when all is over: %d", s.InFlight)
		}
	})
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func repeated(list []string) bool {
	for i := range list {
		if contains(list[:i], list[i]) {
			return true
		}
	}
	return false
}

func TestWhatHappensToInstancesIsLogged(t *testing.T) {
	var lines []string
	g := newGroup(t, 2, func(o *Options) { o.Log = logTo(&lines) })
	g.order[1].behaves(failing(Down, false))
	for range 4 {
		_, _ = g.ask()
	}
	g.pass(10 * time.Second)
	g.order[1].behaves(status(200))
	_, _ = g.ask()
	got := strings.Join(lines, "\n")
	want := strings.Join([]string{
		"WARN an upstream's instance is put aside instance=http://10.0.0.2:80 state=failing why=down: for a test for=10s",
		"INFO an upstream's instance is well again instance=http://10.0.0.2:80",
	}, "\n")
	if got != want {
		t.Errorf("logged\n%s\nwant\n%s", got, want)
	}
}

func TestARequestThatComesTooLateIsNotSent(t *testing.T) {
	g := newGroup(t, 1, nil)
	for _, deadline := range []time.Time{g.now, g.now.Add(-time.Second)} {
		if _, err := g.askFor(&Request{Deadline: deadline}); whyOf(t, err) != Late || g.asked() != 0 {
			t.Errorf("%v, %d were asked", err, g.asked())
		}
	}
}
