package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hold makes all instances keep requests until they are let go.
func hold(g *group) *keeper {
	k := &keeper{g: g, release: make(chan struct{})}
	g.all(func(ctx context.Context, r *Request, a *Answer) error {
		select {
		case <-k.release:
			return status(200)(ctx, r, a)
		case <-ctx.Done():
			return &Failure{Why: Gone, Sent: true, Err: ctx.Err()}
		}
	})
	return k
}

// keeper asks in the background.
type keeper struct {
	g       *group
	release chan struct{}
	wait    sync.WaitGroup

	mu    sync.Mutex
	ended []int // which requests ended, in order
	errs  []error
}

// ask asks in the background.
func (k *keeper) ask(ctx context.Context, number int, deadline time.Time) {
	k.wait.Go(func() {
		var a Answer
		err := k.g.Ask(ctx, &Request{Method: "GET", Safe: true, Deadline: deadline}, &a)
		a.Close()
		k.mu.Lock()
		k.ended, k.errs = append(k.ended, number), append(k.errs, err)
		k.mu.Unlock()
	})
	synctest.Wait()
}

// over returns which requests have ended so far, in order.
func (k *keeper) over() []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.ended)
}

// errors returns how they did.
func (k *keeper) errors() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.errs)
}

// real has the group's time be that of the bubble.
func real(o *Options) { o.Now = time.Now }

func TestRequestsBeyondTheConnectionsWaitInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 2, func(o *Options) {
			real(o)
			o.Breaker = Breaker{MaxConnections: 2, MaxPendingRequests: 3, MaxRequests: 100}
		})
		k := hold(g)
		ctx, cancel := context.WithCancel(t.Context())
		k.ask(t.Context(), 1, time.Time{})
		k.ask(t.Context(), 2, time.Time{})
		k.ask(t.Context(), 3, time.Now().Add(4*time.Second)) // of which it waits one at most
		k.ask(ctx, 4, time.Time{})
		k.ask(t.Context(), 5, time.Time{})
		if s := g.Stats(); s.InFlight != 2 || s.Waiting != 3 || g.asked() != 2 {
			t.Fatalf("%+v, asked %d", s, g.asked())
		}
		k.ask(t.Context(), 6, time.Time{}) // has no place
		if len(k.over()) != 1 || whyOf(t, k.errors()[0]) != Full || g.Stats().Refused != 1 {
			t.Fatalf("%v %v", k.over(), k.errors())
		}
		cancel()
		synctest.Wait()
		if len(k.over()) != 2 || k.over()[1] != 4 || whyOf(t, k.errors()[1]) != Gone {
			t.Fatalf("%v %v", k.over(), k.errors())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(k.over()) != 3 || k.over()[2] != 3 || whyOf(t, k.errors()[2]) != Full {
			t.Fatalf("%v %v", k.over(), k.errors())
		}
		k.release <- struct{}{}
		synctest.Wait()
		if s := g.Stats(); s.InFlight != 2 || s.Waiting != 0 || g.asked() != 3 {
			t.Fatalf("%+v, asked %d", s, g.asked())
		}
		close(k.release)
		k.wait.Wait()
		if s := g.Stats(); s.InFlight != 0 || s.Waiting != 0 || len(k.over()) != 6 {
			t.Errorf("%+v", s)
		}
	})
}

func TestThoseWhoWaitAreLetInByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 1, func(o *Options) {
			real(o)
			o.Breaker.MaxConnections = 1
		})
		k := hold(g)
		for i := range 6 {
			k.ask(t.Context(), i, time.Time{})
		}
		for i := range 6 {
			k.release <- struct{}{}
			synctest.Wait()
			if len(k.over()) != i+1 || k.over()[i] != i {
				t.Fatalf("they ended as %v", k.over())
			}
		}
		k.wait.Wait()
	})
}

func TestRequestsBeyondMaxRequestsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		url     string
		breaker Breaker
	}{
		{"less than connections", "http://10.0.0.1", Breaker{MaxRequests: 2}},
		{"h2, whose connections carry many", "h2c://10.0.0.1", Breaker{MaxRequests: 2, MaxConnections: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, 1, func(o *Options) {
					real(o)
					o.Instances, o.Breaker = []string{tt.url}, tt.breaker
				})
				k := hold(g)
				for i := range 3 {
					k.ask(t.Context(), i, time.Time{})
				}
				if len(k.over()) != 1 || k.over()[0] != 2 || whyOf(t, k.errors()[0]) != Full {
					t.Errorf("%v %v", k.over(), k.errors())
				}
				if g.states() != "unchecked" {
					t.Errorf("what was not asked is %s", g.states())
				}
				close(k.release)
				k.wait.Wait()
			})
		})
	}
}

func TestAnAnswerIsWithTheUpstreamUntilItIsClosed(t *testing.T) {
	g := newGroup(t, 1, func(o *Options) { o.Breaker.MaxRequests = 1 })
	var a, b Answer
	if err := g.Ask(t.Context(), &Request{}, &a); err != nil {
		t.Fatal(err)
	}
	if err := g.Ask(t.Context(), &Request{}, &b); whyOf(t, err) != Full {
		t.Errorf("a second request: %v", err)
	}
	a.Close()
	a.Close()
	if err := g.Ask(t.Context(), &Request{}, &b); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
	b.Close()
	if g.Stats().InFlight != 0 {
		t.Errorf("%+v", g.Stats())
	}
}

// TestNeverMoreThanThereIsRoomFor has many come and go at once.
func TestNeverMoreThanThereIsRoomFor(t *testing.T) {
	const room = 3
	var gate gate
	gate.open(Breaker{MaxConnections: room, MaxPendingRequests: 1000, MaxRequests: 1000}, false)
	var in, most, late atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 300 {
				if !gate.tryEnter() {
					left := time.Duration(0)
					if i%4 == 0 {
						left = 20 * time.Microsecond
					}
					if f := gate.wait(context.Background(), left); f != nil {
						if f.Why != Late {
							t.Error(f)
						}
						late.Add(1)
						continue
					}
				}
				n := in.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				in.Add(-1)
				gate.leave()
			}
		})
	}
	all.Wait()
	if most.Load() > room || gate.in.Load() != 0 || gate.waiting.Load() != 0 || len(gate.line) != 0 {
		t.Errorf("%d were in at once; now %d are in and %d wait (%d were late)", most.Load(), gate.in.Load(), gate.waiting.Load(), late.Load())
	}
}

func TestWhoWaitsForTooLongIsLate(t *testing.T) {
	g := newGroup(t, 1, func(o *Options) { o.Breaker.MaxConnections = 1 })
	g.gate.in.Store(1)
	err := g.Ask(t.Context(), &Request{Deadline: g.now.Add(-time.Second)}, new(Answer))
	if whyOf(t, err) != Late {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := g.Ask(ctx, &Request{}, new(Answer)); whyOf(t, err) != Late || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
