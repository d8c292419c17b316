package release

import (
	"math"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// What is foreseen is what happens: a candidate as good as stable passes after about as many requests, of users who ask once each.
func TestWhatIsForeseenHappens(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulation, which has nothing for the race detector")
	}
	const share = 0.3
	l := Levels{Fail: 0.01, Pass: 0.05}
	past := newWorld(1, 200_000, 0, 0)
	for range 50_000 {
		past.ask(behaviour{})
	}
	arm := &past.segments[0].Stable
	latency := new(stat.Sketch)
	squares := 0.0
	for _, s := range arm.Latencies {
		latency.Merge(s)
	}
	for q := 0.0005; q < 1; q += 0.001 {
		squares += math.Pow(latency.Quantile(q)/1e6, 2) / 1000
	}
	mean := latency.Mean() / 1e6
	errors := total([][]stat.Pair{arm.Failed[:]})
	for name, c := range map[string]struct {
		m Metric
		b Before
	}{
		"errors against stable":  {Metric{Measure: Errors, Versus: true, Margin: 0.01}, Before{Value: errors.Y / errors.Z}},
		"latency against stable": {Metric{Measure: Latency, Versus: true, Margin: 0.01}, Before{Value: mean, Variance: squares - mean*mean}},
		"latency below":          {Metric{Measure: Latency, Limit: mean * 1.05}, Before{Value: mean, Variance: squares - mean*mean}},
		"p95 against stable": {
			Metric{Measure: Latency, Quantile: 0.95, Versus: true, Margin: 0.1}, Before{Value: latency.Quantile(0.95) / 1e6, Latency: latency},
		},
		"p95 below": {Metric{Measure: Latency, Quantile: 0.95, Limit: 1.2 * latency.Quantile(0.95) / 1e6}, Before{Value: latency.Quantile(0.95) / 1e6, Latency: latency}},
	} {
		t.Run(name, func(t *testing.T) {
			foreseen, err := Foresee(c.m, c.b, share, l)
			if err != nil {
				t.Fatal(err)
			}
			var took []float64
			for seed := range uint64(5) {
				w, asked := newWorld(seed, 200_000, share, 0), 0.
				for v := (Verdict{}); v.Outcome != Pass && asked < 8*foreseen; asked += 250 {
					for range 250 {
						w.ask(behaviour{errors: 1, slower: 1})
					}
					if v, err = Judge(c.m, w.segments, l, new(stat.Evidence)); err != nil {
						t.Fatal(err)
					}
				}
				took = append(took, asked)
			}
			slices.Sort(took)
			t.Logf("foreseen %.0f, was %v", foreseen, took)
			if middle := took[len(took)/2]; middle > 2*foreseen+500 || middle < foreseen/2-500 {
				t.Errorf("foreseen %.0f requests, took %v", foreseen, took)
			}
		})
	}
}
