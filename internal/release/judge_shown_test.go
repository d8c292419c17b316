package release

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/stat"
)

// tolerated is where the worse side of a metric's interval has to be for a fail, and allowed where the other one has to be for a pass.
func tolerated(m *Metric, segments []Segment) (tolerated, allowed float64) {
	switch {
	case !m.Versus:
		return m.Limit, m.Limit
	case m.Measure == Errors:
		sum := stat.Pair{}
		for i := range segments {
			for _, p := range segments[i].Stable.Failed {
				sum.Y, sum.Z = sum.Y+p.Y, sum.Z+p.Z
			}
		}
		return m.Tolerate * sum.Y / max(sum.Z, 1), m.Margin
	}
	return -m.better() * m.Tolerate, -m.better() * m.Margin
}

// Nobody reads "worse" beside an interval that reaches to what is as good, nor "keeps to" beside one that reaches beyond the limit: the verdict
// is what the interval says.
func TestAVerdictAndItsIntervalAgree(t *testing.T) {
	outcomes := map[Outcome]int{}
	rapid.Check(t, func(rt *rapid.T) {
		like := behaviour{
			errors: rapid.SampledFrom([]float64{0.3, 1, 1, 2, 5, 100}).Draw(rt, "errors"), slower: rapid.SampledFrom([]float64{0.7, 1, 1.1, 1.5}).Draw(rt, "slower"),
			right: rapid.SampledFrom([]float64{-0.05, 0, 0.03, 0.2}).Draw(rt, "right"),
		}
		w := newWorld(rapid.Uint64().Draw(rt, "seed"), rapid.SampledFrom([]int{3, 300, 5000}).Draw(rt, "users"), 0.3, rapid.SampledFrom([]float64{0, 0.02, 0.3}).Draw(rt, "bad"))
		for range rapid.SampledFrom([]int{1, 100, 2000, 8000}).Draw(rt, "requests") {
			w.ask(like)
		}
		w.setWeight(rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(rt, "share"))
		for range rapid.SampledFrom([]int{0, 1000}).Draw(rt, "more") {
			w.ask(like)
		}
		kept := stat.Evidence{}
		m := Metric{
			Name: "m", Measure: rapid.SampledFrom([]Measure{Latency, Latency, Errors, Fallbacks, Accuracy}).Draw(rt, "measure"), Versus: rapid.Bool().Draw(rt, "versus"),
			MinSample: rapid.SampledFrom([]uint64{0, 20}).Draw(rt, "least"),
		}
		unit := 1.
		if m.Measure == Latency {
			m.Quantile = rapid.SampledFrom([]float64{0, 0.5, 0.9, 0.99}).Draw(rt, "quantile")
			unit = 0.1
		}
		m.Limit = unit * rapid.SampledFrom([]float64{0.01, 0.03, 0.5, 0.95, 1.3, 4}).Draw(rt, "limit")
		m.Margin = unit * rapid.SampledFrom([]float64{0, 0.01, 0.1}).Draw(rt, "margin")
		m.Tolerate = unit * rapid.SampledFrom([]float64{0, 0, 0.02}).Draw(rt, "tolerate")
		v, err := Judge(m, w.segments, Levels{Fail: rapid.SampledFrom([]float64{0.01, 0.2}).Draw(rt, "fail"), Pass: 0.05}, &kept)
		if err != nil {
			rt.Fatal(err)
		}
		outcomes[v.Outcome]++
		tolerated, allowed := tolerated(&m, w.segments)
		value, low, high := float64(v.Value), float64(v.Low), float64(v.High)
		if low > value || high < value {
			rt.Fatalf("%v is not between %v and %v: %s", value, low, high, v.Sentence)
		}
		worst, best := high, low
		if m.better() > 0 {
			worst, best, tolerated, allowed = -low, -high, -tolerated, -allowed
		}
		const rounding = 1e-12
		switch v.Outcome {
		case Fail:
			if !(best > tolerated-rounding) {
				rt.Fatalf("it fails beside %v to %v: %s", low, high, v.Sentence)
			}
		case Pass:
			if !(worst <= allowed+rounding) {
				rt.Fatalf("it passes beside %v to %v: %s", low, high, v.Sentence)
			}
		case Inconclusive:
			if best > tolerated+rounding || worst < allowed-rounding {
				rt.Fatalf("it is inconclusive beside %v to %v, which is not: %s", low, high, v.Sentence)
			}
		}
	})
	if testing.Short() { // some twenty tries
		return
	}
	if outcomes[Pass] == 0 || outcomes[Fail] == 0 || outcomes[Inconclusive] == 0 {
		t.Errorf("only some outcomes were tried: %v", outcomes)
	}
}

// quantileWorld are the answers of users of either arm, and how long they took, in seconds.
func quantileWorld(seed uint64, n int, times func(r *rand.Rand, candidate bool) float64) (s Segment, stable, candidate []float64) {
	r := rand.New(rand.NewPCG(seed, 5))
	s.Share = 0.5
	for range n {
		arm, all, which := &s.Stable, &stable, r.IntN(2) == 1
		if which {
			arm, all = &s.Candidate, &candidate
		}
		took, b := times(r, which), r.IntN(Buckets)
		if arm.Latencies[b] == nil {
			arm.Latencies[b] = new(stat.Sketch)
		}
		arm.Latencies[b].Add(took * 1e6)
		*all = append(*all, took)
	}
	return s, stable, candidate
}

// The estimate is the difference of the very quantiles, within the sketches' error.
func TestQuantilesAreThoseOfTheAnswers(t *testing.T) {
	s, stable, candidate := quantileWorld(1, 40_000, func(r *rand.Rand, candidate bool) float64 {
		return 0.1 * (1 + 0.2*one(candidate)) * math.Exp(r.NormFloat64()/2)
	})
	for _, p := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		m := Metric{Name: "q", Measure: Latency, Quantile: p, Versus: true, Margin: 1}
		v, err := Judge(m, []Segment{s}, Levels{Fail: 0.01, Pass: 0.05}, &stat.Evidence{})
		if err != nil {
			t.Fatal(err)
		}
		a, b := exactQuantile(stable, p), exactQuantile(candidate, p)
		if slack := 2 * stat.SketchError * (a + b); math.Abs(float64(v.Value)-(b-a)) > slack || !(float64(v.Low) < b-a+slack) || !(float64(v.High) > b-a-slack) {
			t.Errorf("p%v: %v (%v to %v), not %v", 100*p, v.Value, v.Low, v.High, b-a)
		}
		if p > 0.4 && p < 0.99 && v.Outcome != Fail {
			t.Errorf("p%v: a fifth slower is %s: %s", 100*p, v.Outcome, v.Sentence)
		}
		m.Versus, m.Limit = false, b*1.3
		if v, err = Judge(m, []Segment{s}, Levels{Fail: 0.01, Pass: 0.05}, &stat.Evidence{}); err != nil {
			t.Fatal(err)
		}
		if slack := 2 * stat.SketchError * b; math.Abs(float64(v.Value)-b) > slack {
			t.Errorf("p%v: %v, not %v", 100*p, v.Value, b)
		}
		if p <= 0.99 && v.Outcome != Pass {
			t.Errorf("p%v below %v: %s", 100*p, m.Limit, v.Sentence)
		}
	}
}

func exactQuantile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(math.Ceil(p*float64(len(sorted))))-1]
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// By night all is quick and the candidate has little; by day all is slow and it has much. It is as quick as stable at all times.
func TestASlowDayIsNotHeldAgainstWhoHadMoreOfIt(t *testing.T) {
	var segments []Segment
	for i, like := range []struct {
		share, slow float64
		n           int
	}{{0.05, 0.1, 60_000}, {0.8, 1, 60_000}} {
		r := rand.New(rand.NewPCG(uint64(i), 6))
		s := Segment{Share: like.share}
		for range like.n {
			arm := &s.Stable
			if r.Float64() < like.share {
				arm = &s.Candidate
			}
			b, took := r.IntN(Buckets), like.slow*math.Exp(r.NormFloat64()/2)
			if arm.Latencies[b] == nil {
				arm.Latencies[b] = new(stat.Sketch)
			}
			arm.Latencies[b].Add(took * 1e6)
			arm.Took[b].Y += took
			arm.Took[b].Z++
		}
		segments = append(segments, s)
	}
	for _, p := range []float64{0, 0.5, 0.99} {
		m := Metric{Name: "latency", Measure: Latency, Quantile: p, Versus: true, Margin: 0.3}
		v, err := Judge(m, segments, Levels{Fail: 0.05, Pass: 0.05}, &stat.Evidence{})
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome != Pass {
			t.Errorf("p%v: %s: %s", 100*p, v.Outcome, v.Sentence)
		}
	}
}

// All users have had an error when the candidate begins to fail a third of all requests. Counting users sees nothing any more; rates do.
func TestErrorsThatBeginLateAreFound(t *testing.T) {
	w := newWorld(3, 300, 0.3, 0)
	for i := range w.users {
		w.users[i].fails = 0.1
	}
	for range 30_000 {
		w.ask(behaviour{errors: 1, slower: 1})
	}
	m, l := fiveGuardrails[0], LevelsOf(0.05, 0.05, fiveGuardrails)
	kept := stat.Evidence{}
	erred := w.segments[0].Stable.Erred + w.segments[0].Candidate.Erred
	for look := range 100 {
		v, err := Judge(m, w.segments, l, &kept)
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome == Fail {
			if look == 0 || erred != w.segments[0].Stable.Erred+w.segments[0].Candidate.Erred {
				t.Errorf("it was to be found by rates alone: %s", v.Sentence)
			}
			return
		}
		for range 300 {
			w.ask(behaviour{errors: 3, slower: 1})
		}
	}
	t.Error("a candidate that fails three times as often was not found")
}

// One user of stable's who fails all day hides nothing of what a candidate does to many.
func TestAUserWhoFailsAllDayHidesNothing(t *testing.T) {
	s := Segment{Share: 0.2}
	for b := range Buckets {
		s.Stable.Failed[b] = stat.Pair{Y: 0, Z: 100}
		s.Candidate.Failed[b] = stat.Pair{Y: 0, Z: 25}
	}
	s.Stable.Failed[0] = stat.Pair{Y: 5000, Z: 5000}
	s.Stable.Erred = 1
	for b := range 20 {
		s.Candidate.Failed[b].Y = 1
	}
	s.Candidate.Erred = 20
	v, err := Judge(fiveGuardrails[0], []Segment{s}, LevelsOf(0.05, 0.05, fiveGuardrails), &stat.Evidence{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Outcome != Fail || !(v.Low > 0) || !(v.Value >= v.Low) || !strings.Contains(v.Sentence, "20 of 21 users with an error were its own, which has 20% of the traffic") {
		t.Errorf("%s (%v, %v to %v): %s", v.Outcome, v.Value, v.Low, v.High, v.Sentence)
	}
}
