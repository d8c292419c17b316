package limit_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/limit"
)

func newLimiter(t interface{ Fatal(...any) }, o limit.Options) *limit.Limiter {
	l, err := limit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// let are the times at which one key was let through: the oracle that knows everything and forgets nothing.
type let []time.Duration

// since counts those that are less than window old.
func (l let) since(at, window time.Duration) (n int) {
	for _, then := range l {
		if at-then < window {
			n++
		}
	}
	return n
}

// steps draws times that go on: at once, in bursts, and after pauses of the window's size.
func steps(window time.Duration) *rapid.Generator[time.Duration] {
	return rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Map(rapid.Int64Range(0, int64(window)/20), toDuration),
		rapid.Map(rapid.Int64Range(int64(window)*9/10, int64(window)*11/10), toDuration), rapid.Just(window), rapid.Just(window-1))
}

func toDuration(n int64) time.Duration { return time.Duration(n) }

func TestUpTo128RequestsInASecondTheLimitIsTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 6), rapid.IntRange(7, 128)).Draw(t, "n")
		window := time.Duration(rapid.Int64Range(int64(time.Millisecond), 1<<30).Draw(t, "window"))
		l := newLimiter(t, limit.Options{Requests: n, Window: window})
		known := map[limit.Key]let{}
		at := time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "start"))
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			at += steps(window).Draw(t, "step")
			k := limit.Key(rapid.Uint64Range(0, 2).Draw(t, "key") * 64)
			before := known[k]
			want := limit.Verdict{Allowed: before.since(at, window) < n}
			if peek := l.Peek(k, at); peek.Allowed != want.Allowed || peek.Remaining != n-before.since(at, window) {
				t.Fatalf("peek at %v: %+v, after %v", at, peek, before)
			}
			if want.Allowed {
				known[k] = append(before, at)
			}
			want.Remaining = n - known[k].since(at, window)
			oldest := slices.IndexFunc(known[k], func(then time.Duration) bool { return at-then < window })
			want.Reset = known[k][oldest] + window - at
			if got := l.Take(k, at); got != want {
				t.Fatalf("at %v: %+v, want %+v, after %v", at, got, want, before)
			}
		}
	})
}

// Longer windows are counted in ticks, and more requests in runs. What is promised then is checked as it is promised.
func TestNoWindowEverSeesMoreAndNoneMuchLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 128), rapid.IntRange(129, 400)).Draw(t, "n")
		window := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(limit.MaxWindow)).Draw(t, "window"))
		late := 2 * (window/(1<<30) + 1)
		if n > 128 {
			late = window/128 + 128
		}
		l := newLimiter(t, limit.Options{Requests: n, Window: window})
		var passed let
		var at time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "moments") {
			at += steps(window).Draw(t, "step")
			for range rapid.OneOf(rapid.IntRange(1, 3), rapid.IntRange(1, n+1)).Draw(t, "at once") {
				v := l.Take(0, at)
				if !v.Allowed && passed.since(at, window+late) < n {
					t.Fatalf("refused at %v, with %d in the window", at, passed.since(at, window))
				}
				if v.Allowed {
					passed = append(passed, at)
				}
				if got := passed.since(at, window); got > n {
					t.Fatalf("%d in the window at %v", got, at)
				}
				if used := n - v.Remaining; used < passed.since(at, window) || used > passed.since(at, window+late) {
					t.Fatalf("%d are said to be left, with %d in the window", v.Remaining, passed.since(at, window))
				}
			}
		}
	})
}

// bucket is the oracle of GCRA in its other form, a bucket of tokens: tokens drip in, and overflow.
type bucket struct {
	interval, depth, level, at time.Duration // a token is an interval
}

func (b *bucket) take(at time.Duration) limit.Verdict {
	b.level = min(b.depth, b.level+at-b.at)
	b.at = at
	v := limit.Verdict{Allowed: b.level >= b.interval}
	if v.Allowed {
		b.level -= b.interval
	}
	v.Remaining = int(b.level / b.interval)
	if b.level < b.depth {
		v.Reset = b.interval - b.level%b.interval
	}
	return v
}

func TestABurstIsABucketOfTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := limit.Options{
			Requests: rapid.IntRange(1, 1000).Draw(t, "n"), Burst: rapid.IntRange(1, 40).Draw(t, "burst"),
			Window: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "window")),
		}
		interval := time.Duration((int64(o.Window) + int64(o.Requests) - 1) / int64(o.Requests))
		b := bucket{interval: interval, depth: interval * time.Duration(o.Burst), level: interval * time.Duration(o.Burst)}
		l := newLimiter(t, o)
		var at time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			at += steps(interval*time.Duration(o.Burst)).Draw(t, "step")
			peek := l.Peek(0, at)
			want := b.take(at)
			if got := l.Take(0, at); got != want || peek.Allowed != want.Allowed {
				t.Fatalf("at %v: %+v, want %+v", at, got, want)
			}
		}
	})
}

func TestWhatAVerdictSaysComesTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := limit.Options{
			Requests: rapid.OneOf(rapid.IntRange(1, 10), rapid.IntRange(100, 300)).Draw(t, "n"),
			Burst:    rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(t, "burst"), Window: time.Duration(rapid.Int64Range(1e6, 1e13).Draw(t, "window")),
		}
		// The same history, to see what comes of it in three ways.
		three := [3]*limit.Limiter{newLimiter(t, o), newLimiter(t, o), newLimiter(t, o)}
		var at time.Duration
		var v limit.Verdict
		for range rapid.IntRange(1, 400).Draw(t, "requests") {
			at += steps(o.Window/10).Draw(t, "step")
			for _, l := range three {
				v = l.Take(0, at)
			}
		}
		for range v.Remaining {
			if !three[0].Take(0, at).Allowed {
				t.Fatalf("fewer than %d are left", v.Remaining)
			}
		}
		if three[0].Take(0, at).Allowed {
			t.Fatalf("more than %d are left", v.Remaining)
		}
		if got := three[1].Peek(0, at+v.Reset-1).Remaining; got != v.Remaining {
			t.Fatalf("%d are left before it is time, of %d", got, v.Remaining)
		}
		if got := three[2].Peek(0, at+v.Reset).Remaining; got <= v.Remaining {
			t.Fatalf("%d are left when it is time, as %v before", got, v.Reset)
		}
	})
}

func TestALimiterTakesAnEarlierTimeForTheLatest(t *testing.T) {
	for _, burst := range []int{0, 2} {
		l := newLimiter(t, limit.Options{Requests: 2, Window: time.Second, Burst: burst})
		l.Take(0, time.Hour)
		l.Take(0, time.Minute)
		if v := l.Take(0, 0); v.Allowed || v.Reset > time.Second {
			t.Errorf("burst %d, a clock that went back an hour: %+v", burst, v)
		}
		if v := l.Take(0, time.Hour+time.Second); !v.Allowed {
			t.Errorf("burst %d, a second later: %+v", burst, v)
		}
	}
}

func TestRequestsAtOnceShareOneLimit(t *testing.T) {
	const n, clients, each = 100, 8, 50
	l := newLimiter(t, limit.Options{Requests: n, Window: time.Hour})
	start := time.Now()
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range each {
				if l.Take(l.Text("all"), time.Since(start)).Allowed {
					passed.Add(1)
				}
				l.Take(l.Text(strings.Repeat("x", i)), time.Since(start))
				l.Count(time.Since(start))
			}
		})
	}
	wg.Wait()
	if passed.Load() != n {
		t.Errorf("%d were let through, want %d", passed.Load(), n)
	}
}

func TestCountTellsWhoIsAboveAndForgetsWhoIsGone(t *testing.T) {
	for _, burst := range []int{0, 15} {
		l := newLimiter(t, limit.Options{Requests: 20, Window: time.Minute, Burst: burst, Above: 3})
		for k := range limit.Key(100) { // k of them each
			for range min(k, 10) {
				l.Take(k, time.Duration(k)*time.Second/100)
			}
		}
		for _, c := range []struct {
			at          time.Duration
			keys, above int
		}{{time.Second, 99, 96}, {time.Minute + time.Second/2, 50, 50}, {time.Hour, 0, 0}} {
			if got := l.Count(c.at); got.Keys != c.keys || got.Above != c.above || got.Forgotten != 0 {
				t.Errorf("burst %d, after %v: %+v, want %d and %d", burst, c.at, got, c.keys, c.above)
			}
		}
		if v := l.Take(7, 2*time.Hour); !v.Allowed {
			t.Errorf("burst %d, later: %+v", burst, v)
		}
	}
}

func TestALimitThatCannotBeKeptIsRefused(t *testing.T) {
	for _, c := range []struct {
		o    limit.Options
		want string
	}{
		{limit.Options{Window: time.Second}, "0 requests"},
		{limit.Options{Requests: limit.MaxRequests + 1, Window: time.Second}, "4194305 requests"},
		{limit.Options{Requests: 1}, "window of 0s"},
		{limit.Options{Requests: 1, Window: time.Microsecond}, "window of 1µs"},
		{limit.Options{Requests: 1, Window: limit.MaxWindow + 1}, "window of"},
		{limit.Options{Requests: 1, Window: time.Second, Burst: -1}, "burst of -1"},
		{limit.Options{Requests: 1, Window: time.Second, Burst: limit.MaxRequests}, "burst of 4194304"},
		{limit.Options{Requests: 1, Window: 24 * time.Hour, Burst: 367}, "within a year"},
		{limit.Options{Requests: 1, Window: time.Second, Keys: -1}, "-1 keys"},
		{limit.Options{Requests: 5, Window: time.Second, Above: 5}, "more than 5"},
	} {
		_, err := limit.New(c.o)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}
