package proxy

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTheDefaultsAreEnvoys(t *testing.T) {
	want := Outlier{
		Consecutive5xx: 5, Interval: 10 * time.Second, BaseEjectionTime: 30 * time.Second, MaxEjectionTime: 300 * time.Second, MaxEjectionPercent: 10,
		EnforcingSuccessRate: 100, SuccessRateMinimumHosts: 5, SuccessRateRequestVolume: 100, SuccessRateStdevFactor: 1900,
		FailurePercentageThreshold: 85, FailurePercentageMinimumHosts: 5, FailurePercentageRequestVolume: 50,
	}
	if got := *DefaultOutlier(); got != want {
		t.Errorf("%+v", got)
	}
	if long := (Outlier{BaseEjectionTime: time.Hour}).complete(); long.MaxEjectionTime != time.Hour {
		t.Errorf("the longest ejection is %v where the first is an hour", long.MaxEjectionTime)
	}
}

// envoy is the arithmetic of Envoy's detector for one host, written down from its description: how long it is out, and how that grows and
// shrinks. It knows nothing of the code that it is compared with.
type envoy struct {
	base, longest, interval float64 // seconds
	times                   float64
	ejected                 bool
	at, back                float64
}

func (e *envoy) eject(now float64) {
	e.ejected, e.at = true, now
	if e.times*e.base < e.longest+e.base {
		e.times++
	}
}

func (e *envoy) end() float64 { return e.at + math.Min(e.base*e.times, e.longest) }

func (e *envoy) sweep(now float64) {
	if !e.ejected && e.times > 0 && now-e.back >= e.interval {
		e.times--
	}
}

func TestEjectionsLastAsLongAsEnvoys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		base := rapid.IntRange(1, 60).Draw(rt, "base")
		longest := base * rapid.IntRange(1, 12).Draw(rt, "longest")
		g := newGroup(t, 1, func(o *Options) {
			o.Outlier.BaseEjectionTime, o.Outlier.MaxEjectionTime = time.Duration(base)*time.Second, time.Duration(longest)*time.Second
			o.Outlier.Consecutive5xx = rapid.IntRange(1, 3).Draw(rt, "consecutive")
		})
		e := &envoy{base: float64(base), longest: float64(longest), interval: 10}
		in := g.Upstream.all[0]
		start, row := g.now, 0
		for range rapid.IntRange(5, 80).Draw(rt, "steps") {
			now := g.now.Sub(start).Seconds()
			switch step := rapid.IntRange(0, 5).Draw(rt, "step"); step {
			case 0:
				g.pass(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second)
			case 1:
				g.sweep()
				e.sweep(now)
			default:
				good := step == 2
				if good {
					g.all(status(200))
				} else {
					g.all(status(500))
				}
				before := g.asked()
				_, _ = g.ask()
				if asked, want := g.asked() > before, !e.ejected || now >= e.end(); asked != want {
					rt.Fatalf("at %v s it was asked: %v, where its ejection ends at %v s", now, asked, e.end())
				} else if !asked {
					continue
				}
				switch {
				case good:
					row = 0
					if e.ejected {
						e.ejected, e.back = false, now
					}
				case e.ejected: // the request that tried it
					e.eject(now)
				default:
					if row++; row == g.o.Outlier.Consecutive5xx {
						row = 0
						e.eject(now)
					}
				}
			}
			if in.ejected != e.ejected || float64(in.backoff) != e.times {
				rt.Fatalf("ejected %v, %d times in a row; want %v, %v", in.ejected, in.backoff, e.ejected, e.times)
			}
			if e.ejected {
				if until := g.Instances()[0].Until.Sub(start).Seconds(); until != e.end() && until != now+10 {
					rt.Fatalf("ejected until %v s, want %v s", until, e.end())
				}
			}
		}
	})
}

func TestTheTimetableOfAnInstanceThatAlwaysFails(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.all(status(503))
	var out []string
	ejections := int64(0)
	last := g.now
	for range 4000 { // seconds
		_, _ = g.ask()
		if n := g.Stats().Ejections; n != ejections {
			if ejections > 0 {
				out = append(out, g.now.Sub(last).String())
			}
			ejections, last = n, g.now
		}
		g.pass(time.Second)
	}
	if got := strings.Join(out[:12], " "); got != "30s 1m0s 1m30s 2m0s 2m30s 3m0s 3m30s 4m0s 4m30s 5m0s 5m0s 5m0s" {
		t.Error(got)
	}
	if n := g.asked(); n != 5+int64(len(out)) {
		t.Errorf("it was asked %d times: 5 to find out, and %d to try it", n, len(out))
	}
}

func TestFailuresInARow(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options func(*Outlier)
		does    string // 5: 500, b: 503, x: no answer, l: late, 2: 200, 4: 404
		ejected bool
	}{
		{"five of 500", nil, "55555", true},
		{"four", nil, "5555", false},
		{"with an answer between", nil, "5555255552", false},
		{"a 404 is one", nil, "55554555", false},
		{"of all kinds", nil, "5bxlb", true},
		{"0 is never", func(o *Outlier) { o.Consecutive5xx = 0 }, "5555555555", false},
		{"of gateways", func(o *Outlier) { o.Consecutive5xx, o.ConsecutiveGatewayFailure = 0, 3 }, "bxl", true},
		{"of gateways, with a 500 between", func(o *Outlier) { o.Consecutive5xx, o.ConsecutiveGatewayFailure = 0, 3 }, "bx5bx", false},
		{"of gateways before five", func(o *Outlier) { o.ConsecutiveGatewayFailure = 3 }, "5bbb", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(t, 1, func(o *Options) {
				if tt.options != nil {
					tt.options(o.Outlier)
				}
			})
			for _, what := range tt.does {
				g.all(map[rune]func(context.Context, *Request, *Answer) error{
					'5': status(500), 'b': status(503), 'x': failing(Broken, true), 'l': failing(Late, true), '2': status(200), '4': status(404),
				}[what])
				if g.Stats().Ejections > 0 {
					t.Fatal("it was ejected before")
				}
				_, _ = g.ask()
			}
			if got := g.states() == "ejected"; got != tt.ejected {
				t.Errorf("it is %s", g.states())
			}
		})
	}
}

func TestSomeMayBeEjectedAtOnceAndOneAlways(t *testing.T) {
	for _, tt := range []struct{ n, percent, want int }{
		{1, 10, 1}, {2, 10, 1}, {2, 0, 1}, {10, 10, 1}, {19, 10, 1}, {20, 10, 2}, {3, 50, 1}, {4, 50, 2}, {4, 100, 4}, {3, 67, 2},
	} {
		g := newGroup(t, tt.n, func(o *Options) { o.Outlier.MaxEjectionPercent = tt.percent })
		g.all(status(500))
		for range 20 * tt.n {
			_, _ = g.ask()
		}
		if got := strings.Count(g.states(), "ejected"); got != tt.want {
			t.Errorf("of %d with %d%%: %d are ejected, want %d", tt.n, tt.percent, got, tt.want)
		}
		if over := g.Stats().Overflow > 0; over != (tt.want < tt.n) {
			t.Errorf("of %d with %d%%: overflow %v", tt.n, tt.percent, over)
		}
	}
}

// shares has each of n instances answer requests, a share of them well, and compares them.
func shares(t *testing.T, requests int, good []int, options func(*Outlier)) *group {
	t.Helper()
	g := newGroup(t, len(good), func(o *Options) {
		o.Outlier.Consecutive5xx = 0
		o.Outlier.MaxEjectionPercent = 100
		o.Random = func() uint64 { return ^uint64(0) }
		if options != nil {
			options(o.Outlier)
		}
	})
	for i, f := range g.order {
		n := 0
		f.behaves(func(ctx context.Context, r *Request, a *Answer) error {
			n++
			if n*good[i]/100 == (n-1)*good[i]/100 {
				return status(500)(ctx, r, a)
			}
			return status(200)(ctx, r, a)
		})
	}
	for range requests * len(good) {
		_, _ = g.ask()
	}
	g.sweep()
	return g
}

func TestOutliersBySuccessRate(t *testing.T) {
	const h, e = "healthy", "ejected"
	for _, tt := range []struct {
		name     string
		requests int
		good     []int
		options  func(*Outlier)
		want     string
	}{
		// Envoy's own example: of 50 and four of 100 the mean is 90, the deviation 20, the threshold 52.
		{"the example", 100, []int{50, 100, 100, 100, 100}, nil, join(e, h, h, h, h)},
		{"a little better than the threshold", 100, []int{98, 100, 100, 100, 100}, nil, join(e, h, h, h, h)},
		{"two that are bad widen the deviation", 100, []int{50, 50, 100, 100, 100}, nil, join(h, h, h, h, h)},
		{"too few instances", 100, []int{0, 100, 100, 100}, nil, join(h, h, h, h)},
		{"too few requests", 99, []int{50, 100, 100, 100, 100}, nil, join(h, h, h, h, h)},
		{"a wider factor", 100, []int{50, 100, 100, 100, 100}, func(o *Outlier) { o.SuccessRateStdevFactor = 2000 }, join(h, h, h, h, h)},
		{"a narrower factor", 100, []int{50, 50, 100, 100, 100}, func(o *Outlier) { o.SuccessRateStdevFactor = 1000 }, join(e, e, h, h, h)},
		{"not enforced", 100, []int{50, 100, 100, 100, 100}, func(o *Outlier) { o.EnforcingSuccessRate = 0 }, join(h, h, h, h, h)},
		{"enforced now and then, not now", 100, []int{50, 100, 100, 100, 100}, func(o *Outlier) { o.EnforcingSuccessRate = 10 }, join(h, h, h, h, h)},
		{"all the same", 100, []int{50, 50, 50, 50, 50}, nil, join(h, h, h, h, h)},

		{"by percentage", 50, []int{15, 16, 100, 100, 100}, func(o *Outlier) { o.EnforcingFailurePercentage = 100 }, join(e, h, h, h, h)},
		{"by percentage, not enforced", 50, []int{10, 100, 100, 100, 100}, nil, join(h, h, h, h, h)},
		{"by percentage, too few requests", 49, []int{0, 100, 100, 100, 100}, func(o *Outlier) { o.EnforcingFailurePercentage = 100 }, join(h, h, h, h, h)},
		{"by percentage, all", 50, []int{0, 0, 0, 0, 0}, func(o *Outlier) { o.EnforcingFailurePercentage = 100 }, join(e, e, e, e, e)},
		{"by percentage, of two if that is said", 50, []int{0, 100}, func(o *Outlier) { o.EnforcingFailurePercentage, o.FailurePercentageMinimumHosts = 100, 2 }, join(e, h)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := shares(t, tt.requests, tt.good, tt.options)
			got := strings.ReplaceAll(g.states(), "unchecked", h)
			if got != tt.want {
				t.Errorf("they are %s, want %s: %+v", got, tt.want, g.Instances())
			}
		})
	}
}

func join(states ...string) string { return strings.Join(states, " ") }

func TestASweepLooksAtWhatCameSinceTheLast(t *testing.T) {
	g := shares(t, 99, []int{50, 100, 100, 100, 100}, nil)
	for range 5 {
		_, _ = g.ask()
	}
	g.sweep()
	if strings.Contains(g.states(), "ejected") {
		t.Error("requests of two intervals were added up")
	}
}
