package load

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ready completes options that a test leaves short.
func ready(t interface{ Fatal(...any) }, o Options) *Options {
	if o.URL == "" {
		o.URL = "http://localhost/"
	}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	return &o
}

// simulate runs a desk against a server of so many lanes, with a clock that jumps from event to event. serve tells how long the server
// takes for a request that is sent at that time; lag, how much later than it should the generator looks at the clock.
func simulate(o *Options, serve func(n int, sent time.Duration) time.Duration, lag func() time.Duration) *ledger {
	type flight struct {
		t    ticket
		sent time.Duration
		done time.Duration
	}
	d, l := newDesk(o, 0, o.InFlight), newLedger(o)
	var flying []flight
	now := time.Duration(0)
	for {
		for {
			t, ok := d.take(now)
			if !ok {
				break
			}
			flying = append(flying, flight{t, now, now + serve(t.n, now)})
		}
		slices.SortFunc(flying, func(a, b flight) int { return int(a.done - b.done) })
		due, more := d.due()
		switch {
		case !more && len(flying) == 0:
			return l
		case len(flying) > 0 && (!more || len(flying) == o.InFlight || flying[0].done <= due):
			f := flying[0]
			flying = flying[1:]
			now = max(now, f.done)
			l.add(f.t, timing{sent: f.sent, done: f.done}, result{status: 200})
			d.release(now)
		default:
			now = max(now, due) + lag()
		}
	}
}

func onTime() time.Duration { return 0 }

func reportOf(o *Options, l *ledger) *Report {
	r := &Report{InFlight: o.InFlight}
	l.report(r)
	r.judge(o)
	return r
}

// TestAServerThatStandsStillShows is what this package is for: a server that does nothing for a second is seen by everything that was due
// in that second, not by the few requests that could be sent.
func TestAServerThatStandsStillShows(t *testing.T) {
	const from, to = 2 * time.Second, 3 * time.Second
	stalls := func(_ int, sent time.Duration) time.Duration {
		const usual = 100 * time.Microsecond
		if sent >= from && sent < to {
			return to - sent + usual
		}
		return usual
	}
	o := ready(t, Options{Rate: 1000, Duration: 10 * time.Second, InFlight: 8})
	open := reportOf(o, simulate(o, stalls, onTime))
	// Requests are due every millisecond; those due in the first half of the stall wait for half a second or more. After it the server
	// needs 13 ms for what has gathered.
	if n := open.Latency.Over(500 * time.Millisecond); n < 500 || n > 510 {
		t.Errorf("%d requests took more than half a second, where 500 are due in the stall's first half", n)
	}
	if n := open.Latency.Over(time.Millisecond); n < 1000 || n > 1015 {
		t.Errorf("%d requests took longer than usual, where 1000 are due in the stall", n)
	}
	if open.Requests != 10_000 || open.Latency.P99 < 850*time.Millisecond || open.Latency.P99 > 950*time.Millisecond {
		t.Errorf("%d requests, p99 %v, where 10000 and about 900 ms are right", open.Requests, open.Latency.P99)
	}
	if open.Late < 992 || open.Late > 1010 {
		t.Errorf("%d were late, where all but 8 of the stall found no lane free", open.Late)
	}
	if open.Lag.Max != 0 || len(open.Invalid) > 0 {
		t.Errorf("the generator blames itself for the server's stall: lag %v, %q", open.Lag.Max, open.Invalid)
	}

	o = ready(t, Options{Duration: 10 * time.Second, InFlight: 8})
	closed := reportOf(o, simulate(o, stalls, onTime))
	if n := closed.Latency.Over(500 * time.Millisecond); n != 8 {
		t.Errorf("a closed loop of 8 saw the stall %d times: this test does not show what it means to", n)
	}
}

func TestEveryRequestIsCountedAndWaitsAsAQueueDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := ready(t, Options{
			Rate: rapid.Float64Range(10, 5000).Draw(t, "rate"), Arrivals: rapid.SampledFrom([]Arrivals{Constant, Poisson}).Draw(t, "arrivals"),
			Count: rapid.IntRange(1, 300).Draw(t, "count"), InFlight: rapid.IntRange(1, 5).Draw(t, "lanes"), Seed: 3, Timeout: time.Hour,
		})
		takes := rapid.SliceOfN(rapid.Int64Range(1, 5e7), o.Count, o.Count).Draw(t, "takes")
		r := reportOf(o, simulate(o, func(n int, _ time.Duration) time.Duration { return time.Duration(takes[n]) }, onTime))

		// The same queue, as a textbook has it: each request goes to the lane that is free first.
		a, free := newArrivals(o, 0), make([]time.Duration, o.InFlight)
		late, sum, longest := 0, time.Duration(0), time.Duration(0)
		for n := range o.Count {
			due := a.next()
			i := slices.Index(free, slices.Min(free))
			begin := max(due, free[i])
			free[i] = begin + time.Duration(takes[n])
			if begin > due {
				late++
			}
			sum += free[i] - due
			longest = max(longest, free[i]-due)
		}
		if r.Requests != o.Count || r.Failed != 0 || r.Late != late || r.Latency.Max != longest || r.Latency.Mean != sum/time.Duration(o.Count) {
			t.Fatalf("%d requests, %d late, max %v, mean %v; a queue has %d, %d, %v, %v", r.Requests, r.Late, r.Latency.Max, r.Latency.Mean,
				o.Count, late, longest, sum/time.Duration(o.Count))
		}
		if r.Lag.Max != 0 {
			t.Fatalf("waiting for the server counts as lag: %v", r.Lag.Max)
		}
	})
}

func TestTheGeneratorsOwnLagIsToldFromTheServers(t *testing.T) {
	fast := func(int, time.Duration) time.Duration { return 50 * time.Microsecond }
	for _, tt := range []struct {
		name  string
		lag   time.Duration
		every int
		valid bool
	}{
		{"on time", 0, 1, true},
		{"a little late each time", 900 * time.Microsecond, 1, true},
		{"too late each time", 1100 * time.Microsecond, 1, false},
		{"too late for one of a hundred", 4 * time.Millisecond, 20, false}, // four more are due meanwhile: 5 %
		{"too late for few", 1500 * time.Microsecond, 500, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := ready(t, Options{Rate: 1000, Duration: 10 * time.Second})
			n := 0
			r := reportOf(o, simulate(o, fast, func() time.Duration {
				if n++; n%tt.every == 0 {
					return tt.lag
				}
				return 0
			}))
			if valid := len(r.Invalid) == 0; valid != tt.valid {
				t.Errorf("valid is %v: lag %v, %q", valid, r.Lag.P99, r.Invalid)
			}
			if r.Late != 0 {
				t.Errorf("%d requests are said to have waited for the server", r.Late)
			}
			if r.Lag.Max < tt.lag || r.Latency.Max < tt.lag {
				t.Errorf("the lag is %v and the latency %v, where the generator was %v late", r.Lag.Max, r.Latency.Max, tt.lag)
			}
		})
	}
}

func TestARunWhoseRateIsMissedIsInvalid(t *testing.T) {
	for _, tt := range []struct {
		takes time.Duration // of one lane at 1000/s
		valid bool
	}{{900 * time.Microsecond, true}, {time.Millisecond, true}, {1009 * time.Microsecond, true}, {1020 * time.Microsecond, false}, {5 * time.Millisecond, false}} {
		o := ready(t, Options{Rate: 1000, Duration: 10 * time.Second, InFlight: 1, Timeout: time.Hour})
		r := reportOf(o, simulate(o, func(int, time.Duration) time.Duration { return tt.takes }, onTime))
		if valid := len(r.Invalid) == 0; valid != tt.valid || r.Requests != 10_000 {
			t.Errorf("a server that takes %v: valid is %v, %.1f of %.1f, %q", tt.takes, valid, r.SentRate, r.AskedRate, r.Invalid)
		}
	}
}

func TestTheWarmUpIsSentAndNotCounted(t *testing.T) {
	takes := func(n int, _ time.Duration) time.Duration { return time.Millisecond }
	for _, tt := range []struct {
		name     string
		o        Options
		sent     int
		measured int
	}{
		{"duration", Options{Rate: 100, WarmUp: time.Second, Duration: 2 * time.Second}, 300, 200},
		{"count", Options{Rate: 100, WarmUp: time.Second, Count: 50}, 150, 50},
		{"duration before count", Options{Rate: 100, WarmUp: time.Second, Count: 500, Duration: time.Second}, 200, 100},
		{"ramp", Options{Rate: 100, Ramp: 2 * time.Second, WarmUp: time.Second, Duration: time.Second}, 300, 100},
		{"closed, duration", Options{InFlight: 2, WarmUp: 10 * time.Millisecond, Duration: 100 * time.Millisecond}, 220, 200},
		{"closed, count", Options{InFlight: 2, WarmUp: 10 * time.Millisecond, Count: 7}, 27, 7},
		{"nothing", Options{Rate: 0.1, WarmUp: time.Second, Duration: time.Second}, 1, 0},
	} {
		o := ready(t, tt.o)
		l := simulate(o, takes, onTime)
		r := reportOf(o, l)
		if l.all != tt.sent || r.Requests != tt.measured {
			t.Errorf("%s: %d were sent and %d measured, not %d and %d", tt.name, l.all, r.Requests, tt.sent, tt.measured)
		}
		if (len(r.Invalid) > 0) != (tt.measured == 0) {
			t.Errorf("%s: %q", tt.name, r.Invalid)
		}
	}
}

func TestThreadsShareACount(t *testing.T) {
	o := ready(t, Options{Rate: 1000, Count: 10, Threads: 3, InFlight: 3})
	seen := map[int]bool{}
	for thread := range o.Threads {
		d := newDesk(o, thread, 10)
		for {
			ticket, ok := d.take(time.Hour)
			if !ok {
				break
			}
			if seen[ticket.n] {
				t.Errorf("request %d is sent twice", ticket.n)
			}
			seen[ticket.n] = true
		}
	}
	for n := range 10 {
		if !seen[n] {
			t.Errorf("request %d is not sent", n)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d requests are sent, not 10", len(seen))
	}
}
