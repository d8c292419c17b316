package proxy

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestTurnsAreFair(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(rt, "instances")
		bad := rapid.IntRange(0, n-1).Draw(rt, "ejected")
		g := newGroup(t, n, func(o *Options) {
			o.Outlier.MaxEjectionPercent = 100
			o.Random = func() uint64 { return rapid.Uint64().Draw(rt, "begin") }
		})
		for i := range bad {
			g.order[i].behaves(status(500))
		}
		for range 10 * n {
			_, _ = g.ask()
		}
		before := make([]int64, n)
		for i, f := range g.order {
			before[i] = f.asked.Load()
		}
		const rounds = 7
		for range rounds * (n - bad) {
			_, _ = g.ask()
		}
		for i, f := range g.order {
			want := int64(rounds)
			if i < bad {
				want = 0
			}
			if got := f.asked.Load() - before[i]; got != want {
				rt.Fatalf("instance %d of %d, of which %d are ejected, got %d requests, want %d", i, n, bad, got, want)
			}
		}
	})
}

// TestOneThatIsStuckIsPassedOverAndTheOthersShareItsTurns never ends a request of one instance, and looks at who gets the others by a
// chi-square test.
func TestOneThatIsStuckIsPassedOverAndTheOthersShareItsTurns(t *testing.T) {
	for n := 2; n <= 8; n++ {
		g := newGroup(t, n, nil)
		stuck, got := g.Upstream.all[0], map[*instance]int{}
		const requests = 4000
		for range requests {
			g.gate.tryEnter()
			in, _ := g.pick(0, &Request{}, nil, true)
			if got[in]++; in != stuck {
				in.done()
			}
		}
		if most := slack + muchBusier + 1; got[stuck] > most {
			t.Errorf("of %d instances, the one that is stuck got %d requests, want at most %d", n, got[stuck], most)
		}
		squares, mean := 0.0, float64(requests-got[stuck])/float64(n-1)
		for _, in := range g.Upstream.all[1:] {
			squares += math.Pow(float64(got[in])-mean, 2) / mean
		}
		if limit := float64(n-1) + 3.1*math.Sqrt(2*float64(n-1)); squares > limit { // chance alone stays below it 999 times of 1000
			t.Errorf("of %d instances, the others' shares are uneven: chi-square %v, where %v would be much", n, squares, limit)
		}
	}
}

func TestOneThatIsSlowGetsWhatItCanDo(t *testing.T) {
	g := newGroup(t, 2, nil)
	slow := g.Upstream.all[0]
	const requests = 1000
	for i := range requests {
		g.gate.tryEnter()
		in, _ := g.pick(0, &Request{}, nil, true)
		if in != slow {
			in.done()
		}
		if i%4 == 0 && slow.inFlight.Load() > 0 { // it ends one where the other ends three
			slow.done()
		}
	}
	if n := slow.inFlight.Load(); n > slack+muchBusier+1 {
		t.Errorf("%d requests are with the slow one", n)
	}
	if g.gate.in.Load() != slow.inFlight.Load() {
		t.Errorf("%d are in, of which %d with the slow one", g.gate.in.Load(), slow.inFlight.Load())
	}
}
