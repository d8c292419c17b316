package release

import (
	"math"
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// A candidate that is just as bad as it may be, of users who ask ten times and of whom some fail always, passes as seldom as is promised, though
// one looks eighty times; and of one that is just as slow as it may be none fails.
func TestWhatIsJustAsBadAsItMayBeSeldomPasses(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulation, which has nothing for the race detector")
	}
	const alpha, runs = 0.05, 60
	whole := func(like behaviour) (p99, fails float64) {
		w := newWorld(99, 50_000, 1, 0.02)
		for range 300_000 {
			w.ask(like)
		}
		a := &w.segments[0].Candidate
		var all stat.Sketch
		for _, s := range a.Latencies {
			all.Merge(s)
		}
		sum := total([][]stat.Pair{a.Failed[:]})
		return all.Quantile(0.99) / 1e6, sum.Y / sum.Z
	}
	base, double, slow := behaviour{errors: 1, slower: 1}, behaviour{errors: 1.5, slower: 1}, behaviour{errors: 1, slower: 1.2}
	p99, fails := whole(base)
	_, more := whole(double)
	for name, c := range map[string]struct {
		m     Metric
		like  behaviour
		fails bool // it may: worse than stable is what it is
	}{
		"errors at the limit":           {Metric{Measure: Errors, Limit: fails}, base, false},
		"errors worse by the margin":    {Metric{Measure: Errors, Versus: true, Margin: more - fails}, double, true},
		"fallbacks worse by the margin": {Metric{Measure: Fallbacks, Versus: true, Margin: more - fails}, double, true},
		"p99 at the limit":              {Metric{Measure: Latency, Quantile: 0.99, Limit: p99}, base, false},
		"p99 worse by what is tolerated": {
			Metric{Measure: Latency, Quantile: 0.99, Versus: true, Margin: 0.2 * p99, Tolerate: 0.2 * p99}, slow, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			failed, passed := 0, 0
			for seed := range runs {
				w := newWorld(uint64(seed), 2000, 0.3, 0.02)
				var kept stat.Evidence
				var fail, pass bool
				for range 80 {
					for range 250 {
						w.ask(c.like)
					}
					v, err := Judge(c.m, w.segments, Levels{Fail: alpha, Pass: alpha}, &kept)
					if err != nil {
						t.Fatal(err)
					}
					fail, pass = fail || v.Outcome == Fail, pass || v.Outcome == Pass
				}
				failed += int(one(fail))
				passed += int(one(pass))
			}
			n := float64(runs)
			t.Logf("of %d, %d failed and %d passed", runs, failed, passed)
			if most := alpha*n + 3*math.Sqrt(alpha*(1-alpha)*n); float64(passed) > most || !c.fails && float64(failed) > most {
				t.Errorf("of %d, %d failed and %d passed, at most %.1f may", runs, failed, passed, most)
			}
		})
	}
}
