package release

import (
	"testing"

	"github.com/serin-ml/serin/internal/stat"
)

// lopsided is what an equal candidate looks like that has nearly all users: those few for whom much fails are its own, as there is hardly
// anybody else. One request in a hundred fails for all others.
func lopsided() []Segment {
	s := Segment{Share: 0.95}
	for b := range Buckets {
		candidate, stable := stat.Pair{Y: 60, Z: 6000}, stat.Pair{Y: float64(2 + b%3), Z: 300}
		if b%5 == 0 {
			candidate.Y += 300
		}
		s.Candidate.Fellback[b], s.Stable.Fellback[b] = candidate, stable
		s.Candidate.Right[b], s.Stable.Right[b] = stat.Pair{Y: candidate.Z - candidate.Y, Z: candidate.Z}, stat.Pair{Y: stable.Z - stable.Y, Z: stable.Z}
		s.Candidate.Took[b], s.Stable.Took[b] = candidate, stable
	}
	return []Segment{s}
}

// A small arm may have none of the users that make the large one what it is: how little it spreads is no evidence.
func TestASmallArmIsAsUncertainAsTheLargeOneSpreads(t *testing.T) {
	for _, m := range []Metric{
		{Name: "fallbacks", Measure: Fallbacks, Versus: true}, {Name: "accuracy", Measure: Accuracy, Versus: true}, {Name: "latency", Measure: Latency, Versus: true},
	} {
		for _, swapped := range []bool{false, true} {
			segments := lopsided()
			if s := &segments[0]; swapped { // the candidate seems better, which is as little shown
				s.Share, s.Stable, s.Candidate = 1-s.Share, s.Candidate, s.Stable
			}
			var kept stat.Evidence
			v, err := Judge(m, segments, Levels{Fail: 0.01, Pass: 0.05}, &kept)
			if err != nil {
				t.Fatal(err)
			}
			if v.Outcome != Inconclusive {
				t.Errorf("%s: %s", m.Name, v.Sentence)
			}
		}
	}
}
