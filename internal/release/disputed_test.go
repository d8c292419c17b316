package release

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// shadowed is what a shadow's copies gave: pairs spread over buckets, of which so many agree, and who was right in judged ones.
func shadowed(pairs, agreed int, d Disputed) []Segment {
	s := Segment{Share: 0.5, Disputed: &d}
	for i := range pairs {
		s.Candidate.Agreed[i%Buckets].Z++
		if i < agreed {
			s.Candidate.Agreed[i%Buckets].Y++
		}
	}
	return []Segment{s}
}

func TestAShadowsAccuracyIsToldByWhoWasRightWhereTheyDiffer(t *testing.T) {
	for name, p := range map[string]struct {
		margin   float64
		segments []Segment
		want     Outcome
		says     string
	}{
		"nothing judged":                   {0.01, shadowed(1000, 900, Disputed{Neither: 5}), Inconclusive, "no feedback has judged"},
		"a few":                            {0, shadowed(1000, 900, Disputed{Stable: 2, Candidate: 4}), Inconclusive, "not enough to say"},
		"the candidate is right more":      {0, shadowed(1000, 900, Disputed{Stable: 10, Candidate: 60}), Pass, "than stable's"},
		"stable is right more":             {0, shadowed(1000, 900, Disputed{Stable: 60, Candidate: 10}), Fail, "it is shown to be worse"},
		"equal, and they seldom differ":    {0.02, shadowed(10_000, 9_950, Disputed{Stable: 20, Candidate: 20}), Pass, ""},
		"equal, and they often differ":     {0.02, shadowed(10_000, 5_000, Disputed{Stable: 20, Candidate: 20}), Inconclusive, ""},
		"equal, and how often is not told": {0.02, shadowed(0, 0, Disputed{Stable: 20, Candidate: 20}), Inconclusive, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := Metric{Name: "accuracy", Measure: Accuracy, Role: Goal, Versus: true, Margin: p.margin}
			v, err := Judge(m, p.segments, Levels{Fail: 0.01, Pass: 0.05}, new(stat.Evidence))
			if err != nil || v.Outcome != p.want || !strings.Contains(v.Sentence, p.says) {
				t.Errorf("%s, %v: %s", v.Outcome, err, v.Sentence)
			}
			if v.Outcome != Inconclusive && !(v.Low <= v.Value && v.Value <= v.High) {
				t.Errorf("%v is not between %v and %v", v.Value, v.Low, v.High)
			}
		})
	}
}

// A candidate that is right as often as stable fails, or is shown to be better, as seldom as is promised, however often one looks.
func TestAShadowThatIsAsGoodIsSeldomJudged(t *testing.T) {
	const runs, alpha = 300, 0.05
	random := rand.New(rand.NewPCG(3, 4))
	failed, passed := 0, 0
	for range runs {
		d, harm := Disputed{}, false
		for i := range 300 {
			if random.IntN(2) == 0 {
				d.Stable++
			} else {
				d.Candidate++
			}
			if i%5 > 0 {
				continue
			}
			most, err := d.mostOften(alpha)
			if err != nil {
				t.Fatal(err)
			}
			harm = harm || most < 0.5
		}
		m := Metric{Measure: Accuracy, Versus: true}
		f, err := judgeDisputed(&m, shadowed(1000, 500, d), Levels{Fail: alpha, Pass: alpha})
		if err != nil {
			t.Fatal(err)
		}
		if harm {
			failed++
		}
		if f.clear {
			passed++
		}
	}
	most := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha))
	if float64(failed) > most || float64(passed) > most {
		t.Errorf("of %d, %d failed and %d passed", runs, failed, passed)
	}
}
