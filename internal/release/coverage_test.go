package release

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// labelledArms are predictions of many users, of which the given shares get a label; all labelled ones of the candidate are right a bit more often.
func labelledArms(seed uint64, stable, candidate float64, users int) []Segment {
	random := rand.New(rand.NewPCG(seed, 7))
	s := Segment{Share: 0.5}
	for range users {
		arm, share, right := &s.Stable, stable, 0.8
		if random.IntN(2) == 1 {
			arm, share, right = &s.Candidate, candidate, 0.95
		}
		b := random.IntN(Buckets)
		arm.Covered[b].Z++
		if random.Float64() >= share {
			continue
		}
		arm.Covered[b].Y++
		arm.Right[b].Z++
		if random.Float64() < right {
			arm.Right[b].Y++
		}
	}
	return []Segment{s}
}

func TestAccuraciesAreComparedOnlyWhereLabelsComeBackEvenly(t *testing.T) {
	m := Metric{Name: "accuracy", Measure: Accuracy, Role: Goal, Versus: true}
	judge := func(segments []Segment) Verdict {
		t.Helper()
		v, err := Judge(m, segments, Levels{Fail: 0.01, Pass: 0.05}, new(stat.Evidence))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, p := range map[string]struct {
		stable, candidate float64
		want              Outcome
	}{
		"half of either":         {0.5, 0.5, Pass},
		"all of either":          {1, 1, Pass},
		"few of either":          {0.05, 0.05, Pass},
		"fewer of the candidate": {0.5, 0.4, Inconclusive},
		"none of stable":         {0, 0.5, Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(labelledArms(1, p.stable, p.candidate, 20_000))
			if v.Outcome != p.want {
				t.Errorf("%s: %s", v.Outcome, v.Sentence)
			}
			if told := strings.Contains(v.Sentence, "labels come back for"); told != (p.want == Inconclusive) {
				t.Error(v.Sentence)
			}
		})
	}
}

// The promise is that at most one in a thousand even arms are ever doubted; 400 runs with 20 looks each would see many of a test that breaks it.
func TestEvenLabelsAreSeldomDoubted(t *testing.T) {
	doubted := 0
	for seed := range uint64(400) {
		for n := 500; n <= 10_000; n += 500 {
			f := finding{clear: true}
			if err := f.doubtCoverage(labelledArms(seed, 0.3, 0.3, n)); err != nil {
				t.Fatal(err)
			}
			if !f.clear {
				doubted++
				break
			}
		}
	}
	if doubted > 4 {
		t.Errorf("%d of 400", doubted)
	}
}
