package proxy

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRetriesAreAFifthOfTheRequestsAtMost has everything fail, at all rates, and counts what instances see.
func TestRetriesAreAFifthOfTheRequestsAtMost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := newGroup(t, 4, func(o *Options) {
			o.Outlier, o.MaxFails = nil, 0
			o.Retry.Attempts = rapid.IntRange(2, 4).Draw(rt, "attempts")
		})
		pause := time.Duration(rapid.IntRange(0, 300).Draw(rt, "milliseconds")) * time.Millisecond
		healthy := rapid.IntRange(0, 300).Draw(rt, "answered before")
		for range healthy {
			g.pass(pause)
			_, _ = g.ask()
		}
		g.all(failing(Broken, true))
		failed := rapid.IntRange(100, 1000).Draw(rt, "failed")
		for range failed {
			g.pass(pause)
			_, _ = g.ask()
		}
		all := float64(healthy + failed)
		least := 3.0 // and three in each window that has so few requests
		if pause > 0 && window/pause <= 15 {
			least += 3 * float64(time.Duration(healthy+failed)*pause/window)
		}
		if got := float64(g.asked()); got > 1.2*all+least {
			rt.Fatalf("of %v requests %v were sent", all, got)
		}
		if s := g.Stats(); s.Retries != g.asked()-s.Requests || s.Denied == 0 && healthy == 0 {
			rt.Fatalf("%+v, and %d were sent", s, g.asked())
		}
	})
}

func TestRetriesAreKeptForTenSeconds(t *testing.T) {
	var b budget
	b.open(Retry{Budget: 20, MinConcurrency: 3})
	take := func(asked int64, at time.Duration) (n int) {
		for b.take(asked, at) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		asked int64
		at    time.Duration
		want  int
	}{
		{1, 0, 3},
		{100, time.Second, 20}, // 20.2 with what was left
		{100, 2 * time.Second, 0},
		{1100, 5 * time.Second, 200},
		{1100, 11 * time.Second, 0},               // the window was busy: nothing is given away
		{1100, 22 * time.Second, 3},               // nobody asks: a few
		{1100, 23 * time.Second, 0},               // but not each second
		{1_001_100, 1022 * time.Second, 2000},     // 1,000 a second: ten seconds of them
		{1_001_100, 1023 * time.Second, 0},        //
		{1_001_110, 100_000 * time.Second, 3},     // next to nothing in a day
		{1_002_110, 100_001 * time.Second, 200},   //
		{1_002_110, 100_000_000 * time.Second, 3}, //
	} {
		if got := take(step.asked, step.at); got != step.want {
			t.Errorf("after %d requests at %v there are %d retries, want %d", step.asked, step.at, got, step.want)
		}
	}
}

func TestARetryThatNobodyCouldTakeIsGivenBack(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.all(status(503))
	for range 4 { // a fifth would eject it
		if a, err := g.ask(); err != nil || a.Status != 503 {
			t.Fatal(err)
		}
	}
	if s := g.Stats(); s.Retries != 0 || s.Denied != 0 || g.budget.left < 3 {
		t.Errorf("%+v, %v left", s, g.budget.left)
	}
}

// TestNoSafeRequestIsLostWhenAnInstanceDies has one of three instances hang up on all that are with it at once.
func TestNoSafeRequestIsLostWhenAnInstanceDies(t *testing.T) {
	g := newGroup(t, 3, nil)
	for range 1000 {
		_, _ = g.ask()
	}
	const with = 90 // with all three
	die := make(chan struct{})
	var inside, all sync.WaitGroup
	inside.Add(with)
	for i, f := range g.order {
		f.behaves(func(ctx context.Context, r *Request, a *Answer) error {
			select {
			case <-die:
				return status(200)(ctx, r, a)
			default:
			}
			inside.Done()
			<-die
			if i == 0 {
				return failing(Broken, true)(ctx, r, a)
			}
			return status(200)(ctx, r, a)
		})
	}
	for range with {
		all.Go(func() {
			if a, err := g.ask(); err != nil || a.Status != 200 {
				t.Error(err)
			}
		})
	}
	inside.Wait()
	close(die)
	all.Wait()
	if s := g.Stats(); s.Retries != with/3 {
		t.Errorf("%+v", s)
	}
}
