package main

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// minutes of a hundred requests, of which so many fail; -1 is one without requests.
func minutes(errors ...int) (all []window) {
	for _, e := range errors {
		if e < 0 {
			all = append(all, window{})
			continue
		}
		all = append(all, window{requests: 100, errors: e})
	}
	return all
}

func TestThresholdsEndWhereTheirControllersDo(t *testing.T) {
	for name, c := range map[string]struct {
		minutes       []window
		flagger, argo int
	}{
		"one in a hundred is allowed":            {minutes(1, 1, 1, 1, 1, 1), 0, 0},
		"failures are never forgotten":           {minutes(2, 0, 2, 0, 2, 0, 2, 0, 2, 0), 9, 1},
		"four are not five":                      {minutes(0, 9, 9, 9, 9, 0), 0, 2},
		"no data fails, or has to last":          {minutes(-1, -1, -1, -1, -1), 5, 5},
		"no data that does not last":             {minutes(-1, -1, -1, -1, 0, -1, -1, -1, -1, 0), 6, 0},
		"nothing ever came":                      {nil, 0, 0},
		"what fails counts beside what is empty": {minutes(0, -1, 2, -1, 2, -1), 6, 3},
	} {
		if f, a := flagger.ends(c.minutes), argo.ends(c.minutes); f != c.flagger || a != c.argo {
			t.Errorf("%s: after %d and %d minutes, not %d and %d", name, f, a, c.flagger, c.argo)
		}
	}
}

func TestATunedRuleKeepsItsPromiseAndIsTheStrictestThatDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	releases := make([][]window, 200)
	for i := range releases {
		for range 50 {
			releases[i] = append(releases[i], window{requests: 1000, errors: poisson(r, 20)})
		}
	}
	for _, rule := range []threshold{flagger, argo} {
		ended := func(rule threshold) (n int) {
			for _, m := range releases {
				if rule.ends(m) > 0 {
					n++
				}
			}
			return n
		}
		tuned := rule.tuned(releases, 0.05)
		stricter := tuned
		stricter.share -= 0.001
		if n, more := ended(tuned), ended(stricter); n > 10 || more <= 10 {
			t.Errorf("%s at %v ends %d of 200, and a little stricter %d", rule.name, tuned.share, n, more)
		}
	}
}

func TestCountsHaveTheMeanAndTheVarianceOfPoisson(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, mean := range []float64{0, 0.3, 12, 75.5, 1000} {
		const draws = 20_000
		sum, squares := 0., 0.
		for range draws {
			n := float64(poisson(r, mean))
			sum += n
			squares += (n - mean) * (n - mean)
		}
		if off := math.Abs(sum/draws - mean); off > 5*math.Sqrt(mean/draws) {
			t.Errorf("mean %v, not %v", sum/draws, mean)
		}
		if off := math.Abs(squares/draws - mean); off > 0.1*mean {
			t.Errorf("variance %v, not %v", squares/draws, mean)
		}
	}
}

func TestASimulationIsTheSameEachTime(t *testing.T) {
	run := func() []found {
		results, err := simulate(t.Context(), 4, func(seed uint64) (found, error) {
			return find(seed, public{rate: aaRate, perUser: 5, errors: 0.01}, candidate{errors: 10, fallbacks: 1, slower: 1})
		})
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	one, two := run(), run()
	if !slices.Equal(one, two) || one[0] == one[1] {
		t.Errorf("%v and %v", one, two)
	}
	for _, f := range one {
		if f.guardrail != "errors" {
			t.Errorf("a candidate that fails ten times as often: %+v", f)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulate(ctx, 4, func(uint64) (int, error) { return 0, nil }); err == nil {
		t.Error("it goes on where nobody wants it any more")
	}
}

func TestIntervalsOfRatesAndMedians(t *testing.T) {
	// Wilson's interval of 10 in 100 is 0.0552 to 0.1744 (R: prop.test(10, 100, correct=FALSE)).
	if got := (share{10, 100}).String(); got != "10.0% (5.5 to 17.4)" {
		t.Error(got)
	}
	counts := make([]int, 100)
	for i := range counts {
		counts[99-i] = i
	}
	if got := medianOf(counts); got != "50 (40 to 59)" {
		t.Error(got)
	}
}
