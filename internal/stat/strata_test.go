package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

// In one stratum with clusters that hold one observation each, it is the difference of two independent means.
func TestStratifiedDifferenceOfOneStratumIsTheDifferenceOfMeans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const clusters = 400
	s := Stratum{A: make([]Pair, clusters), B: make([]Pair, clusters)}
	var a, b Moments
	for i := range clusters {
		v := 3 + r.NormFloat64()
		if i%4 == 0 {
			v += 0.5
			s.B[i] = Pair{v, 1}
			b.Add(v)
		} else {
			s.A[i] = Pair{v, 1}
			a.Add(v)
		}
	}
	got, want := StratifiedDifference([]Stratum{s}), Difference(a.Estimate(), b.Estimate())
	if math.Abs(got.Value-want.Value) > 1e-12 || math.Abs(got.SE/want.SE-1) > 0.01 || got.N != clusters {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The time with more candidate traffic is slower for everybody: pooled means differ, strata do not.
func TestStrataAreNotFooledByTheTimeOfDay(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	strata := make([]Stratum, 2)
	for k, level := range []float64{10, 30} {
		share := []float64{0.1, 0.5}[k]
		strata[k] = Stratum{A: make([]Pair, 64), B: make([]Pair, 64)}
		for range 20000 {
			cluster, v := r.IntN(64), level+r.ExpFloat64()
			arm := strata[k].A
			if r.Float64() < share {
				arm = strata[k].B
			}
			arm[cluster].Y += v
			arm[cluster].Z++
		}
	}
	e := StratifiedDifference(strata)
	if math.Abs(e.Value) > 4*e.SE || e.SE > 0.05 {
		t.Errorf("the arms are the same, and differ by %v ± %v", e.Value, e.SE)
	}
	pooled := sumOf(append(append([]Pair{}, strata[0].B...), strata[1].B...)).Y/sumOf(append(append([]Pair{}, strata[0].B...), strata[1].B...)).Z -
		sumOf(append(append([]Pair{}, strata[0].A...), strata[1].A...)).Y/sumOf(append(append([]Pair{}, strata[0].A...), strata[1].A...)).Z
	if pooled < 3 {
		t.Errorf("the example shows nothing: pooled means differ by %v", pooled)
	}
}

// A hundred users, each with their own level and a hundred requests in each stratum: the error is that of a hundred witnesses.
func TestStrataKnowThatUsersStayWhoTheyAre(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const runs, users, requests = 400, 640, 40
	var inside Share
	for range runs {
		strata := []Stratum{{A: make([]Pair, 64), B: make([]Pair, 64)}, {A: make([]Pair, 64), B: make([]Pair, 64)}}
		for range users {
			level, place, bucket := r.NormFloat64(), r.Float64(), r.IntN(64)
			for k, share := range []float64{0.2, 0.5} {
				arm := strata[k].A
				if place < share {
					arm = strata[k].B
				}
				arm[bucket].Y += level*requests + math.Sqrt(requests)*0.1*r.NormFloat64()
				arm[bucket].Z += requests
			}
		}
		e := StratifiedDifference(strata)
		inside.count(math.Abs(e.Value) <= 1.96*e.SE)
	}
	if low, _ := wilson(inside, 3.09); low > 0.95 || inside.Value() < 0.91 {
		t.Errorf("%d of %d differences lie within 1.96 standard errors of 0", inside.Count, inside.N)
	}
}

func TestStrataThatSayNothing(t *testing.T) {
	few := Stratum{A: make([]Pair, 64), B: make([]Pair, 64)}
	for i := range 10 {
		few.A[i], few.B[i] = Pair{float64(i), 100}, Pair{float64(i) + 1, 100}
	}
	for name, c := range map[string]struct {
		strata []Stratum
		value  float64
	}{
		"none":            {nil, math.NaN()},
		"one arm alone":   {[]Stratum{{A: []Pair{{1, 1}, {2, 1}}, B: []Pair{{}, {}}}}, math.NaN()},
		"too few buckets": {[]Stratum{few}, 0.01},
	} {
		e := StratifiedDifference(c.strata)
		if !math.IsInf(e.SE, 1) || math.IsNaN(e.Value) != math.IsNaN(c.value) || e.Value-c.value > 1e-9 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
