package release

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// crowd is users who ask once each, of one kind.
type crowd struct {
	random *rand.Rand
	share  float64 // of them that the candidate gets
	p      float64 // that a hit is
	worse  float64 // by how much the candidate's is larger
	both   Segment
}

// ask lets so many more users ask.
func (c *crowd) ask(m *Metric, n int) {
	for range n {
		arm, p := &c.both.Stable, c.p
		if c.random.Float64() < c.share {
			arm, p = &c.both.Candidate, c.p+c.worse
		}
		b := c.random.IntN(Buckets)
		switch m.Measure {
		case Latency:
			took := math.Exp(c.random.NormFloat64()*0.5) * p
			arm.Took[b].Y += took
			arm.Took[b].Z++
			if arm.Latencies[b] == nil {
				arm.Latencies[b] = &stat.Sketch{}
			}
			arm.Latencies[b].Add(took * 1e6)
		case Errors:
			if c.random.Float64() < p {
				arm.Failed[b].Y++
				arm.Erred++
			}
			arm.Failed[b].Z++
		case Accuracy:
			if c.random.Float64() < p {
				arm.Right[b].Y++
			}
			arm.Right[b].Z++
		case Fallbacks, Value, Agreement, Expression, Query:
			panic("a crowd knows nothing of " + m.Measure)
		}
	}
}

// until returns after how many users a metric has the outcome, and most if it has it not by then.
func (c *crowd) until(t *testing.T, m Metric, o Outcome, l Levels, most int) float64 {
	t.Helper()
	var kept stat.Evidence
	c.both = Segment{Share: c.share}
	for n, step := 0, 50; n < most; step = max(50, n/12) {
		c.ask(&m, step)
		n += step
		v, err := Judge(m, []Segment{c.both}, l, &kept)
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome == o {
			return float64(n)
		}
	}
	return float64(most)
}

// before is what is known of a crowd that has nobody asking the candidate.
func (c *crowd) before(m *Metric) Before {
	alone := *c
	alone.share, alone.both = 0, Segment{}
	alone.ask(m, 20_000)
	if m.Measure != Latency {
		sum := total([][]stat.Pair{alone.both.Stable.pairs(m)[:]})
		return Before{Value: sum.Y / sum.Z}
	}
	var all stat.Sketch
	for _, s := range alone.both.Stable.Latencies {
		all.Merge(s)
	}
	b := Before{Value: all.Mean() / 1e6, Latency: &all}
	if m.Quantile > 0 {
		b.Value = all.Quantile(m.Quantile) / 1e6
	}
	b.Variance = b.Value * b.Value * (math.Exp(0.25) - 1) // of a log-normal one with sigma 0.5
	return b
}

var foreseen = []struct {
	metric Metric
	p      float64
}{
	{Metric{Name: "latency below a limit", Measure: Latency, Limit: 0.3}, 0.25},
	{Metric{Name: "latency beside stable", Measure: Latency, Versus: true, Margin: 0.02, Tolerate: 0.02}, 0.25},
	{Metric{Name: "p90 below a limit", Measure: Latency, Quantile: 0.9, Limit: 0.55}, 0.25},
	{Metric{Name: "errors beside stable", Measure: Errors, Versus: true, Margin: 0.01}, 0.02},
	{Metric{Name: "few errors beside stable", Measure: Errors, Versus: true, Margin: 0.02}, 0.001},
	{Metric{Name: "errors below a limit", Measure: Errors, Limit: 0.05}, 0.03},
	{Metric{Name: "accuracy beside stable", Measure: Accuracy, Versus: true, Margin: 0.05, Tolerate: 0.05}, 0.8},
	{Metric{Name: "accuracy above a limit", Measure: Accuracy, Limit: 0.85}, 0.9},
}

// What is foreseen is what Judge comes to: the median of seeded runs lies within a factor of two.
func TestWhatIsForeseenComes(t *testing.T) {
	const share, runs, most = 0.2, 15, 400_000
	l := Levels{Fail: 0.01, Pass: 0.05}
	for i, tt := range foreseen {
		t.Run(tt.metric.Name, func(t *testing.T) {
			t.Parallel()
			c := &crowd{random: rand.New(rand.NewPCG(uint64(i), 7)), share: share, p: tt.p}
			b := c.before(&tt.metric)
			want, err := Foresee(tt.metric, b, share, l)
			if err != nil || !(want > 0 && want < most/2) {
				t.Fatalf("%v observations are foreseen, %v", want, err)
			}
			var took []float64
			for range runs {
				took = append(took, c.until(t, tt.metric, Pass, l, most))
			}
			slices.Sort(took)
			median := took[runs/2]
			t.Logf("foreseen %.0f, median %.0f", want, median)
			if median < want/2 || median > want*2 {
				t.Errorf("it passes after %.0f observations, and %.0f were foreseen", median, want)
			}
		})
	}
}

// A candidate with the harm that is foreseen to be found in time is found in time, about half of the times.
func TestTheHarmThatIsForeseenIsFound(t *testing.T) {
	const share, runs = 0.2, 15
	l := Levels{Fail: 0.01, Pass: 0.05}
	for i, tt := range foreseen {
		if tt.metric.Quantile > 0 {
			continue // is not foreseen
		}
		t.Run(tt.metric.Name, func(t *testing.T) {
			t.Parallel()
			c := &crowd{random: rand.New(rand.NewPCG(uint64(i), 8)), share: share, p: tt.p}
			b := c.before(&tt.metric)
			const n = 20_000
			harm, err := Harm(tt.metric, b, share, n, l)
			if err != nil || !(harm > 0) {
				t.Fatalf("harm of %v is foreseen, %v", harm, err)
			}
			c.worse = -tt.metric.better() * harm
			if !tt.metric.Versus { // beyond the limit
				c.worse += tt.metric.Limit - b.Value
			}
			if tt.metric.Measure == Latency {
				c.worse /= b.Value / tt.p // of the median, which p is
			}
			var took []float64
			for range runs {
				took = append(took, c.until(t, tt.metric, Fail, l, 10*n))
			}
			slices.Sort(took)
			median := took[runs/2]
			t.Logf("harm of %.3g within %d, median %.0f", harm, n, median)
			if median < n/4 || median > 3*n {
				t.Errorf("harm of %v is found after %.0f observations, and %d were foreseen", harm, median, n)
			}
		})
	}
}

func TestWhatIsNotKnownIsNotForeseen(t *testing.T) {
	l := Levels{Fail: 0.01, Pass: 0.05}
	errors := Metric{Measure: Errors, Versus: true, Margin: 0.01}
	known := Before{Value: 0.01}
	for name, tt := range map[string]struct {
		metric Metric
		before Before
		share  float64
	}{
		"nothing before":  {errors, Before{Value: math.NaN()}, 0.2},
		"no share":        {errors, known, 0},
		"the whole share": {errors, known, 1},
		"an expression":   {Metric{Measure: Expression}, known, 0.2},
	} {
		n, err := Foresee(tt.metric, tt.before, tt.share, l)
		harm, failed := Harm(tt.metric, tt.before, tt.share, 1000, l)
		if !math.IsNaN(n) || !math.IsNaN(harm) || err != nil || failed != nil {
			t.Errorf("%s: %v, %v; %v, %v", name, n, harm, err, failed)
		}
	}
	for name, tt := range map[string]struct {
		metric Metric
		before Before
	}{
		"stable does not keep the limit": {Metric{Measure: Errors, Limit: 0.005}, known},
		"no margin":                      {Metric{Measure: Accuracy, Versus: true}, Before{Value: 0.8}},
		"a quantile without a sketch":    {Metric{Measure: Latency, Quantile: 0.9, Limit: 1}, Before{Value: 0.1}},
	} {
		if n, err := Foresee(tt.metric, tt.before, 0.2, l); !math.IsInf(n, 1) || err != nil {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
	if harm, err := Harm(errors, known, 0.2, 0, l); !math.IsNaN(harm) || err != nil {
		t.Errorf("without observations: %v, %v", harm, err)
	}
}
