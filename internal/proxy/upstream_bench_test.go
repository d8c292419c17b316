package proxy

import (
	"context"
	"testing"
	"time"
)

// nothing answers at once: what is left is Ask's own work.
type nothing struct{}

func (nothing) exchange(_ context.Context, _ *Request, a *Answer) error {
	a.Status, a.Rest = 200, nil
	return nil
}
func (nothing) close()            {}
func (nothing) stats() (int, int) { return 0, 0 }

func ofNothing(tb testing.TB) *Upstream {
	u, err := newUpstream(Defaults("http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3"), func(*endpoint, string) exchanger { return nothing{} })
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func askNothing(tb testing.TB, u *Upstream) (ask func()) {
	r := &Request{Method: "GET", Target: "/", Safe: true, Deadline: time.Now().Add(time.Hour)}
	a := new(Answer)
	ctx := context.Background()
	return func() {
		if err := u.Ask(ctx, r, a); err != nil {
			tb.Fatal(err)
		}
		a.Close()
	}
}

func BenchmarkAsk(b *testing.B) {
	ask := askNothing(b, ofNothing(b))
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

func BenchmarkAskFromMany(b *testing.B) {
	u := ofNothing(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ask := askNothing(b, u)
		for pb.Next() {
			ask()
		}
	})
}

// BenchmarkNow is what of BenchmarkAsk goes to looking at the clock, which it does twice.
func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}

func TestAskAllocatesNothing(t *testing.T) {
	ask := askNothing(t, ofNothing(t))
	if n := testing.AllocsPerRun(1000, ask); n != 0 {
		t.Errorf("Ask makes %v allocations", n)
	}
}
