package release

import (
	"math"
	"math/rand/v2"
	"slices"
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
		s.Candidate.Latencies[b], s.Stable.Latencies[b] = new(stat.Sketch), new(stat.Sketch)
		s.Candidate.Latencies[b].AddN(100_000, 5940)
		s.Candidate.Latencies[b].AddN(200_000, 60)
		s.Stable.Latencies[b].AddN(100_000, 297)
		s.Stable.Latencies[b].AddN(200_000, uint64(2+b%3))
		if b%4 == 0 {
			s.Candidate.Latencies[b].AddN(900_000, 300)
		}
	}
	return []Segment{s}
}

// A small arm may have none of the users that make the large one what it is: how little it spreads is no evidence.
func TestASmallArmIsAsUncertainAsTheLargeOneSpreads(t *testing.T) {
	for _, m := range []Metric{
		{Name: "p99", Measure: Latency, Quantile: 0.99, Versus: true},
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

// byThirty are clean requests of so many users with thirty each, who fall on buckets by chance.
func byThirty(seed uint64, users int) (p Pairs) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range users {
		p[r.IntN(Buckets)].Z += 30
	}
	return p
}

// Three thousand clean requests of a hundred users do not show that one user in a hundred is not failed at all times.
func TestAPassOfAShareRestsOnUsers(t *testing.T) {
	for _, test := range []struct {
		users int
		want  Outcome
	}{{100, Inconclusive}, {300, Inconclusive}, {3000, Pass}} {
		for _, versus := range []bool{true, false} {
			s := Segment{Share: 0.5}
			s.Stable.Failed, s.Candidate.Failed = byThirty(1, test.users), byThirty(2, test.users)
			m := Metric{Name: "errors", Measure: Errors, Versus: versus, Margin: 0.01, Limit: 0.01}
			var kept stat.Evidence
			v, err := Judge(m, []Segment{s}, Levels{Fail: 0.01, Pass: 0.05}, &kept)
			if err != nil {
				t.Fatal(err)
			}
			if v.Outcome != test.want || v.N < 3000 {
				t.Errorf("%d users: %s", test.users, v.Sentence)
			}
		}
	}
}

func TestUsersAreCountedByHowTheyFallOnBuckets(t *testing.T) {
	for _, users := range []int{0, 1, 20, 300, 10_000} {
		var ratios []float64
		for seed := range uint64(25) {
			p := byThirty(seed, users)
			n := usersBehind([][]stat.Pair{p[:]})
			if users < 2 {
				if math.Abs(n-float64(users)) > 1e-6 {
					t.Errorf("%v of %d", n, users)
				}
				continue
			}
			ratios = append(ratios, n/float64(users))
		}
		if slices.Sort(ratios); users >= 2 && (ratios[12] < 0.8 || ratios[12] > 1.25) {
			t.Errorf("of %d users there are %.2f times as many", users, ratios[12])
		}
	}
	var single Pairs // requests that are nobody's again, and spread as evenly as can be
	for b := range single {
		single[b].Z = 1000
	}
	if n := usersBehind([][]stat.Pair{single[:]}); n != 64_000 {
		t.Errorf("%v", n)
	}
}
