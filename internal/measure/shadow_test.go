package measure

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/stat"
)

// crowd sends pairs, as users do: each has a bucket and a sign of its own, and sends on average so many requests, all with the same answer.
type crowd struct {
	random *rand.Rand
	counts event.Comparison
	agree  float64 // the share of users for whom the two versions agree
	each   int     // requests of a user, on average
	heavy  bool    // a tenth of all requests are one user's
	users  []user
}

type user struct {
	bucket uint8
	lean   int64
	agrees bool
}

func (c *crowd) newUser() user {
	u := user{uint8(c.random.IntN(64)), 1, c.random.Float64() < c.agree}
	if c.random.IntN(2) == 0 {
		u.lean = -1
	}
	c.users = append(c.users, u)
	return u
}

// pair is the next request.
func (c *crowd) pair() {
	var u user
	switch {
	case len(c.users) == 0, c.random.IntN(c.each) == 0:
		u = c.newUser()
	case c.heavy && c.random.IntN(10) == 0:
		u = c.users[0]
	default:
		u = c.users[c.random.IntN(len(c.users))]
	}
	b := c.counts.Bucket(u.bucket)
	b.Pairs++
	b.Lean += u.lean
	if u.agrees {
		b.Agreed++
	}
}

// TestUsersWithManyRequestsDoNotNarrowTheInterval looks at the interval of agreement over and over while users come, whose requests are all
// alike, and counts how often it ever misses the truth. It may in 5% of the runs. Taking requests for independent misses far more often.
func TestUsersWithManyRequestsDoNotNarrowTheInterval(t *testing.T) {
	const runs, pairs, every = 300, 3000, 60
	naive, err := stat.NewShareSequence(Alpha, tuneAgreement)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		agree float64
		each  int
		heavy bool
	}{{0.9, 1, false}, {0.9, 5, false}, {0.9, 30, false}, {0.99, 5, false}, {0.5, 10, false}, {0.9, 5, true}} {
		name := fmt.Sprintf("agreement %v, %d requests each, heavy %v", tt.agree, tt.each, tt.heavy)
		missed, naiveMissed, width := 0, 0, 0.0
		for run := range runs {
			c := &crowd{random: rand.New(rand.NewPCG(uint64(run), 7)), agree: tt.agree, each: tt.each, heavy: tt.heavy}
			once, onceNaive := false, false
			for i := 1; i <= pairs; i++ {
				c.pair()
				if i%every != 0 {
					continue
				}
				s, err := SummariseShadow(Shadow{}, &c.counts)
				if err != nil {
					t.Fatal(err)
				}
				once = once || tt.agree < s.Agreement.Low || tt.agree > s.Agreement.High
				simple := naive.Interval(stat.Share{Count: s.Agreed, N: s.Pairs})
				onceNaive = onceNaive || tt.agree < simple.Low || tt.agree > simple.High
				if i == pairs {
					width += (s.Agreement.High - s.Agreement.Low) / runs
				}
			}
			if once {
				missed++
			}
			if onceNaive {
				naiveMissed++
			}
		}
		t.Logf("%s: missed in %.1f%% of runs, by requests alone in %.1f%%; width %.3f in the end", name, 100*float64(missed)/runs, 100*float64(naiveMissed)/runs, width)
		if share := float64(missed) / runs; share > Alpha+3*math.Sqrt(Alpha*(1-Alpha)/runs) {
			t.Errorf("%s: missed in %.1f%% of the runs", name, 100*share)
		}
		if tt.each >= 30 && naiveMissed < runs/4 {
			t.Errorf("%s: by requests alone it is missed in %d of %d runs only: the test tests nothing", name, naiveMissed, runs)
		}
	}
}

func TestOneUserIsOneWitness(t *testing.T) {
	c := &event.Comparison{}
	*c.Bucket(5) = event.ComparisonBucket{Bucket: 5, Pairs: 10_000, Agreed: 10_000, Lean: -10_000}
	s, err := SummariseShadow(Shadow{}, c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Users != 1 || s.Agreement.Low != 0 || s.Agreement.High != 1 || s.Agreement.Estimate != 1 || s.Agreement.N != 10_000 {
		t.Errorf("%v users, %+v", s.Users, s.Agreement)
	}
}

func TestWithoutPairsThereIsNoData(t *testing.T) {
	s, err := SummariseShadow(Shadow{}, &event.Comparison{Drops: [event.NumDrops]uint64{3}})
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(i stat.Interval) bool { return math.IsNaN(i.Estimate) && i.N == 0 }
	if !nothing(s.Agreement) || !nothing(s.Latency) || !nothing(s.Score) || !nothing(s.Overlap) || s.Pairs != 0 {
		t.Errorf("%+v", s)
	}
}

func TestMeansAreOfPairs(t *testing.T) {
	c := &event.Comparison{}
	for b := range uint8(64) {
		*c.Bucket(b) = event.ComparisonBucket{Bucket: b, Pairs: 100, Agreed: 90, Lean: 10, Micros: 100 * (500 + int64(b)), Overlap: 80, Scored: 50, Score: -5}
	}
	s, err := SummariseShadow(Shadow{Rule: "topK, k 5"}, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		got  stat.Interval
		want float64
		n    uint64
	}{"agreement": {s.Agreement, 0.9, 6400}, "latency": {s.Latency, 531.5, 6400}, "overlap": {s.Overlap, 0.8, 6400}, "score": {s.Score, -0.1, 3200}} {
		if math.Abs(tt.got.Estimate-tt.want) > 1e-9 || tt.got.N != tt.n || tt.got.Low > tt.want || tt.got.High < tt.want {
			t.Errorf("%s: %+v", name, tt.got)
		}
	}
	if s.Latency.Low < 500 || s.Latency.High > 563 {
		t.Errorf("the latencies are known better than %+v", s.Latency)
	}
}

func TestScoresAreSortedIntoPowersOfTen(t *testing.T) {
	c := &event.Comparison{ScoreSame: 4}
	for _, d := range []float64{0.5, 0.05, 0.005, 0.0001} {
		c.ScoreAbove.Add(d)
	}
	c.ScoreBelow.AddN(0.002, 3)
	inf := math.Inf(1)
	want := []Bin{
		{-inf, -0.1, 0}, {-0.1, -0.01, 0}, {-0.01, -0.001, 3}, {-0.001, 0, 0}, {0, 0, 4}, {0, 0.001, 1}, {0.001, 0.01, 1}, {0.01, 0.1, 1}, {0.1, inf, 1},
	}
	if diff := cmp.Diff(want, ScoreBins(c), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Error(diff)
	}
	if bins := ScoreBins(&event.Comparison{}); bins != nil {
		t.Errorf("%v", bins)
	}
	if bins := ScoreBins(&event.Comparison{ScoreSame: 2}); len(bins) != 1 || bins[0].N != 2 {
		t.Errorf("%v", bins)
	}
}

func TestDisagreementsAreTriedByTheirFirstWitness(t *testing.T) {
	says := func(unit, primary, shadow, truth string) Judged {
		return Judged{Unit: unit, Primary: primary, Shadow: shadow, Outcome: &event.Outcome{Kind: KindLabel, Text: truth, IsText: true}}
	}
	var judged []Judged
	for i := range 30 {
		judged = append(judged, says(fmt.Sprint(i), "ham", "spam", "spam"))
	}
	judged = append(judged, says("0", "ham", "spam", "ham"), says("", "ham", "spam", "ham"), says("", "ham", "spam", "ham"), says("x", "ham", "spam", "eggs"),
		says("y", "spam", "spam ", "spam"), Judged{Unit: "z", Primary: "1", Shadow: "0", Outcome: &event.Outcome{Kind: KindCorrect, Number: 0}},
		Judged{Unit: "w", Primary: "ham", Shadow: "spam", Outcome: &event.Outcome{Kind: KindCorrect, Number: 0}}, // who then?
		Judged{Unit: "v", Primary: "ham", Shadow: "spam", Outcome: &event.Outcome{Kind: KindCorrect, Number: 1}})
	trial, err := Try(judged)
	if err != nil || trial.PrimaryRight != 3 || trial.ShadowRight != 31 || trial.NeitherRight != 1 || trial.P > 1e-4 {
		t.Errorf("%+v, %v", trial, err)
	}
	if none, err := Try(nil); err != nil || none.P != 1 {
		t.Errorf("%+v, %v", none, err)
	}
}
