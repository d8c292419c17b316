package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shop is an instance that works on so many requests at once, each for so long; the others stand in line, those who left as well.
type shop struct {
	workers int
	each    time.Duration
	random  *rand.Rand // nil: each takes as long; else as long in the mean, and each time forgets how long it took already

	mu   sync.Mutex
	free []time.Time // when each worker is done with what it has
}

func (s *shop) exchange(ctx context.Context, r *Request, a *Answer) error {
	s.mu.Lock()
	for len(s.free) < s.workers {
		s.free = append(s.free, time.Time{})
	}
	first := 0
	for i := range s.free {
		if s.free[i].Before(s.free[first]) {
			first = i
		}
	}
	if now := time.Now(); s.free[first].Before(now) {
		s.free[first] = now
	}
	each := s.each
	if s.random != nil {
		each = time.Duration(s.random.ExpFloat64() * float64(each))
	}
	s.free[first] = s.free[first].Add(each)
	done := s.free[first]
	s.mu.Unlock()
	if done.After(r.Deadline) {
		time.Sleep(time.Until(r.Deadline))
		return &Failure{Why: Late, Sent: true, Err: errors.New("late")}
	}
	time.Sleep(time.Until(done))
	*a = Answer{Status: 200}
	return nil
}

// tallied is what came of requests.
type tallied struct{ answered, refused, late, other int }

// crowd sends requests at a rate for so long, whatever comes of them, and tells what came of those after the first while.
func crowd(t *testing.T, g *group, rate float64, long, skip time.Duration) (n tallied) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	begin := time.Now()
	for i := 0; ; i++ {
		at := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if at.Sub(begin) >= long {
			break
		}
		time.Sleep(time.Until(at))
		all.Go(func() {
			start := time.Now()
			var a Answer
			err := g.Ask(t.Context(), &Request{Safe: true, Deadline: start.Add(time.Second)}, &a)
			a.Close()
			if start.Sub(begin) < skip {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			var f *Failure
			switch {
			case err == nil:
				n.answered++
			case errors.As(err, &f) && f.Why == Full:
				n.refused++
				if skip > 0 && time.Since(start) > 0 {
					t.Errorf("refused after %v", time.Since(start))
				}
			case errors.As(err, &f) && f.Why == Late:
				n.late++
			default:
				n.other++
			}
		})
	}
	all.Wait()
	return n
}

func TestWhatIsTooMuchIsRefusedAndTheRestIsInTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		workers int
		each    time.Duration
		times   float64 // its capacity
	}{
		{"five times", 8, 10 * time.Millisecond, 5},
		{"one worker, twice", 1, 50 * time.Millisecond, 2},
		{"one worker, five times", 1, 50 * time.Millisecond, 5},
		{"many that are slow, five times", 100, 200 * time.Millisecond, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, 1, func(o *Options) {
					real(o)
					o.Outlier = nil
				})
				s := &shop{workers: tt.workers, each: tt.each}
				g.all(s.exchange)
				can := float64(tt.workers) / tt.each.Seconds()
				crowd(t, g, can/2, 2*time.Second, 0)
				all := crowd(t, g, tt.times*can, 30*time.Second, 0)
				if got := float64(all.answered); got < 0.75*30*can {
					t.Errorf("from the beginning: it answered %.0f%% of what it can: %+v, bound %d", 100*got/(30*can), all, g.Instances()[0].Bound)
				}
				settled := crowd(t, g, tt.times*can, 10*time.Second, 5*time.Second)
				if got := float64(settled.answered); got < 0.9*5*can || settled.late > settled.answered/20 {
					t.Errorf("once settled: it answered %.0f%% of what it can: %+v", 100*got/(5*can), settled)
				}
				after := crowd(t, g, can/2, 10*time.Second, 5*time.Second)
				if after.refused+after.late+after.other > 0 {
					t.Errorf("five seconds after: %+v", after)
				}
			})
		})
	}
}

// TestWhoIsPutAsideForHavingTooMuchIsNotAskedMore has one instance, which stands still for a while, so that outlier detection puts it aside,
// and which is asked all the same, as there is no other.
func TestWhoIsPutAsideForHavingTooMuchIsNotAskedMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.FailOpen = true
		})
		still := time.Now().Add(2 * time.Second)
		s := &shop{workers: 8, each: 10 * time.Millisecond, free: slices.Repeat([]time.Time{still}, 8)}
		g.all(s.exchange)
		const can = 800
		all := crowd(t, g, 5*can, 20*time.Second, 0)
		if got := float64(all.answered); got < 0.75*20*can {
			t.Errorf("it answered %.0f%% of what it can: %+v", 100*got/(20*can), all)
		}
		if g.Instances()[0].Ejections == 0 {
			t.Error("the test does not test: it was never put aside")
		}
	})
}

// TestTooMuchForUnequalInstances has two instances, one three times as fast, that take as long as chance has it. Outlier
// detection is off: one that answers nothing for a second, as it is overrun, is one that hangs for all that can be seen from here.
func TestTooMuchForUnequalInstances(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, 2, func(o *Options) {
					real(o)
					o.Outlier = nil
				})
				random := rand.New(rand.NewPCG(seed, 1))
				fast := &shop{workers: 6, each: 10 * time.Millisecond, random: random}
				slow := &shop{workers: 2, each: 10 * time.Millisecond, random: rand.New(rand.NewPCG(seed, 2))}
				g.order[0].behaves(fast.exchange)
				g.order[1].behaves(slow.exchange)
				defer run(t, g.Upstream)()
				const can = 800
				crowd(t, g, can/2, 2*time.Second, 0)
				crowd(t, g, 3*can, 10*time.Second, 0)
				n := crowd(t, g, 3*can, 20*time.Second, 5*time.Second)
				if got := float64(n.answered); got < 0.9*15*can || n.late > n.answered/20 {
					t.Errorf("it answered %.0f%% of what it can: %+v, %s", 100*got/(15*can), n, g.states())
				}
				if after := crowd(t, g, can/2, 10*time.Second, 5*time.Second); after.answered != 5*can/2 {
					t.Errorf("five seconds after: %+v, %s", after, g.states())
				}
			})
		})
	}
}

func TestWhatIsSlowByItselfIsNotRefused(t *testing.T) {
	for _, each := range []time.Duration{500 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			g := newGroup(t, 1, real)
			g.all((&shop{workers: 1000, each: each}).exchange)
			n := crowd(t, g, 100, time.Minute, 0)
			if n.refused > 6000/20 || n.late+n.other > 0 {
				t.Errorf("of an upstream that takes %v whatever there is to do: %+v", each, n)
			}
		})
	}
}

func TestABurstIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, real)
		g.all((&shop{workers: 8, each: 10 * time.Millisecond}).exchange)
		for range 10 {
			if n := crowd(t, g, 1e6, 500*time.Microsecond, 0); n.answered != 500 {
				t.Errorf("%+v", n)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestSomeThatAreSlowAreNotHeldAgainstTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, real)
		slow, quick := &shop{workers: 1000, each: 900 * time.Millisecond}, &shop{workers: 8, each: 10 * time.Millisecond}
		i := 0
		var mu sync.Mutex
		g.all(func(ctx context.Context, r *Request, a *Answer) error {
			mu.Lock()
			i++
			third := i%3 == 0
			mu.Unlock()
			if third {
				return slow.exchange(ctx, r, a)
			}
			return quick.exchange(ctx, r, a)
		})
		if n := crowd(t, g, 300, 30*time.Second, 0); n.answered != 9000 {
			t.Errorf("%+v", n)
		}
	})
}

func TestOneThatHangsHasFewRequestsAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Outlier = nil
		})
		g.all((&shop{workers: 8, each: 10 * time.Millisecond}).exchange)
		crowd(t, g, 400, 5*time.Second, 0)
		g.all(hanging)
		n := crowd(t, g, 400, 20*time.Second, 10*time.Second)
		if n.late > 100 || n.refused < 3800 {
			t.Errorf("while it hangs: %+v", n)
		}
		g.all((&shop{workers: 8, each: 10 * time.Millisecond}).exchange)
		n = crowd(t, g, 400, 10*time.Second, 3*time.Second)
		if n.answered != 2800 {
			t.Errorf("three seconds after: %+v", n)
		}
	})
}
