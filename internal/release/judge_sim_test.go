package release

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// world is a public that asks a service with two variants.
type world struct {
	random   *rand.Rand
	share    float64 // of the candidate
	users    []user
	segments []Segment
}

type user struct {
	bucket int
	place  float64 // is the candidate's while it is below the share
	fails  float64
	speed  float64
	right  float64
	erred  bool
}

// behaviour is how a variant differs from stable.
type behaviour struct{ errors, slower, right float64 }

func newWorld(seed uint64, users int, share, bad float64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 99)), users: make([]user, users)}
	for i := range w.users {
		u := user{bucket: w.random.IntN(Buckets), place: w.random.Float64(), fails: 0.01, speed: math.Exp(0.3 * w.random.NormFloat64()), right: 0.9 + 0.1*w.random.Float64() - 0.05}
		if w.random.Float64() < bad {
			u.fails = 0.5
		}
		w.users[i] = u
	}
	w.setWeight(share)
	return w
}

func (w *world) setWeight(share float64) {
	w.share = share
	w.segments = append(w.segments, Segment{Share: share})
}

// ask lets one user ask.
func (w *world) ask(c behaviour) {
	u := &w.users[w.random.IntN(len(w.users))]
	s := &w.segments[len(w.segments)-1]
	arm, b := &s.Stable, behaviour{errors: 1, slower: 1}
	if u.place < w.share {
		arm, b = &s.Candidate, c
	}
	i := u.bucket
	arm.Failed[i].Z++
	arm.Fellback[i].Z++
	if w.random.Float64() < u.fails*b.errors {
		arm.Failed[i].Y++
		arm.Fellback[i].Y++
		if !u.erred {
			u.erred = true
			arm.Erred++
		}
		return
	}
	took := 0.1 * u.speed * b.slower * math.Exp(w.random.NormFloat64()/2)
	arm.Took[i].Y += took
	arm.Took[i].Z++
	if arm.Latencies[i] == nil {
		arm.Latencies[i] = new(stat.Sketch)
	}
	arm.Latencies[i].Add(took * 1e6)
	if w.random.Float64() < 0.2 {
		arm.Right[i].Z++
		if w.random.Float64() < u.right-b.right {
			arm.Right[i].Y++
		}
	}
}

var fiveGuardrails = []Metric{
	{Name: "errors", Role: Guardrail, Measure: Errors, Versus: true, Margin: 0.01},
	{Name: "latency", Role: Guardrail, Measure: Latency, Versus: true, Margin: 0.05},
	{Name: "p99", Role: Guardrail, Measure: Latency, Quantile: 0.99, Versus: true, Margin: 0.1},
	{Name: "fallbacks", Role: Guardrail, Measure: Fallbacks, Versus: true, Margin: 0.01},
	{Name: "accuracy", Role: Guardrail, Measure: Accuracy, Versus: true, Margin: 0.02},
}

// run judges after every so many requests and returns the name of the first metric that fails, "" if none does, and after how many looks.
func (w *world) run(t *testing.T, looks, each int, c behaviour, at map[int]float64) (string, int) {
	t.Helper()
	kept := make([]stat.Evidence, len(fiveGuardrails))
	l := LevelsOf(0.05, 0.05, fiveGuardrails)
	for look := 1; look <= looks; look++ {
		if share, ok := at[look]; ok {
			w.setWeight(share)
		}
		for range each {
			w.ask(c)
		}
		for i, m := range fiveGuardrails {
			v, err := Judge(m, w.segments, l, &kept[i])
			if err != nil {
				t.Fatal(err)
			}
			if v.Outcome == Fail {
				return m.Name, look
			}
		}
	}
	return "", looks
}

func TestAGoodCandidateIsSeldomRolledBack(t *testing.T) {
	runs := 15
	if testing.Short() {
		runs = 4
	}
	for _, perUser := range []int{1, 5, 30} {
		fired := map[string]int{}
		all := 0
		const looks, each = 60, 600
		for run := range runs {
			w := newWorld(uint64(run), looks*each/perUser, 0.2, 0.02)
			if name, _ := w.run(t, looks, each, behaviour{errors: 1, slower: 1}, map[int]float64{20: 0.5}); name != "" {
				fired[name]++
				all++
			}
		}
		t.Logf("%d requests per user: %d of %d rolled back %v", perUser, all, runs, fired)
		if all > 2 {
			t.Errorf("%d requests per user: %d of %d good candidates were rolled back: %v", perUser, all, runs, fired)
		}
	}
}

// errorsUntilFound counts the errors of both arms until a candidate whose error rate is so many times stable's is found out.
func errorsUntilFound(t *testing.T, seed uint64, times float64, l Levels) uint64 {
	t.Helper()
	w := newWorld(seed, 200_000, 0.2, 0)
	var kept stat.Evidence
	m := fiveGuardrails[0]
	for look := 0; look < 2000; look++ {
		for range 200 {
			w.ask(behaviour{errors: times, slower: 1})
		}
		v, err := Judge(m, w.segments, l, &kept)
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome == Fail {
			break
		}
	}
	return w.segments[0].Stable.Erred + w.segments[0].Candidate.Erred
}

func TestTwiceTheErrorsAreFoundSoon(t *testing.T) {
	l := LevelsOf(0.05, 0.05, fiveGuardrails)
	var all []uint64
	for seed := range uint64(41) {
		all = append(all, errorsUntilFound(t, seed, 2, l))
	}
	slices.Sort(all)
	t.Logf("errors until found: median %d, p90 %d", all[20], all[36])
	if all[20] > 130 {
		t.Errorf("it took a median of %d errors to find twice the error rate", all[20])
	}
}
