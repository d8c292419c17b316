package release

import (
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// valued judges the mean value of outcomes, whose sums each bucket tells, against a limit.
func valued(t *testing.T, limit float64, higher bool, sum func(bucket int) float64) Verdict {
	t.Helper()
	s := Segment{Share: 0.5}
	values := new(Pairs)
	for b := range values {
		values[b] = stat.Pair{Y: sum(b), Z: 50}
	}
	s.Candidate.Values = map[string]*Pairs{"reward": values}
	m := Metric{Name: "reward", Measure: Value, Kind: "reward", Limit: limit, Higher: higher}
	v, err := Judge(m, []Segment{s}, Levels{Fail: 0.01, Pass: 0.05}, new(stat.Evidence))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A reward that is nearly always 0 is unknown until enough of the others have come.
func TestAMeanOfFewValuesIsNotKnown(t *testing.T) {
	for _, every := range []int{2, 5} {
		few := func(bucket int) float64 { return one(bucket%every == 0) }
		for _, limit := range []float64{0.03, 0.0001} {
			for _, higher := range []bool{true, false} {
				if v := valued(t, limit, higher, few); v.Outcome != Inconclusive {
					t.Errorf("higher %v, limit %v: %s", higher, limit, v.Sentence)
				}
			}
		}
	}
	all := func(bucket int) float64 { return float64(1 + bucket%2) }
	if v := valued(t, 0.06, false, all); v.Outcome != Pass {
		t.Errorf("%s", v.Sentence)
	}
}

// Where a few large values make much of a mean, it reaches further to the side on which more of them would take it, whatever side is worse.
func TestAMeanLeansToTheSideOfItsLargeValues(t *testing.T) {
	for _, higher := range []bool{true, false} {
		v := valued(t, 1, higher, func(bucket int) float64 {
			if bucket%8 == 0 {
				return 90
			}
			return 10
		})
		even := valued(t, 1, higher, func(bucket int) float64 { return 20 + 26.6*float64(2*(bucket%2)-1) })
		up, down := float64(v.High-v.Value), float64(v.Value-v.Low)
		if evenUp, evenDown := float64(even.High-even.Value), float64(even.Value-even.Low); up < 1.1*evenUp || down > 1.05*evenDown {
			t.Errorf("higher %v: %v up and %v down; without a lean, %v and %v", higher, up, down, evenUp, evenDown)
		}
	}
}
