package stat

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestQuantileIntervalHoldsTheRanksThatAreNotRefuted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]float64{0.01, 0.5, 0.9, 0.99}).Draw(t, "p")
		q := must(NewQuantileSequence(p, 0.05, rapid.SampledFrom([]float64{10, 500, 20000}).Draw(t, "tune")))
		n := rapid.Uint64Range(1, 1500).Draw(t, "n")
		low, high := q.ranks(n)
		for k := uint64(0); k <= n; k++ { // the oracle tries all
			if refuted := logShareE(float64(k), float64(n), p, q.kappa) > q.threshold; refuted != (k < low || k > high) {
				t.Fatalf("%d of %d is refuted: %v, and the ranks are %d to %d", k, n, refuted, low, high)
			}
		}
		var s Sketch
		value := func(rank uint64) float64 { return math.Pow(1.02, float64(rank)) } // one bucket each
		for i := range n {
			s.Add(value(i + 1))
		}
		i := q.Interval(&s)
		if low == 0 && i.Low != 0 || low > 0 && !(i.Low <= value(low) && i.Low > value(low-1)) {
			t.Fatalf("low limit %v of rank %d", i.Low, low)
		}
		if high == n && !math.IsInf(i.High, 1) || high < n && !(i.High >= value(high+1) && i.High < value(high+2)) {
			t.Fatalf("high limit %v of rank %d", i.High, high+1)
		}
		if (n < q.MinSamples()) != math.IsInf(i.High, 1) {
			t.Fatalf("n %d, MinSamples %d, high limit %v", n, q.MinSamples(), i.High)
		}
	})
}

func TestQuantilesOfAnEmptySketchAreOpen(t *testing.T) {
	q := must(NewQuantileSequence(0.99, 0.05, 2000))
	band := must(NewBand(0.025, 100))
	var none Sketch
	some := sketchOf([]float64{1, 2, 3})
	for name, i := range map[string]Interval{"sequence": q.Interval(&none), "band": band.Interval(&none, 0.99)} {
		if !math.IsNaN(i.Estimate) || i.Low != 0 || !math.IsInf(i.High, 1) || i.N != 0 {
			t.Errorf("%s: %+v", name, i)
		}
	}
	for name, i := range map[string]Interval{"sequence": q.Difference(&none, some), "band": band.Difference(&none, some, 0.99)} {
		if !math.IsInf(i.Low, -1) || !math.IsInf(i.High, 1) || i.N != 3 {
			t.Errorf("difference, %s: %+v", name, i)
		}
	}
	if p := q.PValue(&none, some); p != 1 {
		t.Errorf("p is %v", p)
	}
	if p := must(QuantileABTest(0.5, 0.05, 100, nil, []float64{1})); p != 1 {
		t.Errorf("p is %v", p)
	}
}

func TestABTestOnSketchesNeverClaimsMoreThanOnValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		p := rapid.SampledFrom([]float64{0.1, 0.5, 0.95}).Draw(t, "p")
		shift := rapid.Float64Range(0.2, 5).Draw(t, "shift")
		step := rapid.SampledFrom([]float64{0.001, 50}).Draw(t, "step") // ties or none
		var a, b []float64
		for range rapid.IntRange(1, 500).Draw(t, "n") {
			a = append(a, step*math.Round(1000/step*r.ExpFloat64()))
		}
		for range rapid.IntRange(1, 500).Draw(t, "m") {
			b = append(b, step*math.Round(shift*1000/step*r.ExpFloat64()))
		}
		before := slices.Clone(a)
		exact := must(QuantileABTest(p, 0.05, 300, a, b))
		sketched := must(NewQuantileSequence(p, 0.05, 300)).PValue(sketchOf(a), sketchOf(b))
		if sketched < exact*(1-1e-9) {
			t.Fatalf("p is %v on sketches, %v on values", sketched, exact)
		}
		if math.Log(sketched) > 0.75*math.Log(exact)+1 {
			t.Fatalf("p is %v on sketches, %v on values: too weak", sketched, exact)
		}
		if !slices.Equal(a, before) {
			t.Fatal("the values were sorted in place")
		}
		if turned := must(QuantileABTest(p, 0.05, 300, b, a)); math.Abs(turned-exact) > 1e-12 {
			t.Fatalf("p is %v, with the arms turned round %v", exact, turned)
		}
	})
}

func TestQuantileDifferenceFindsASlowerArm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	var a, b Sketch
	for range 5000 {
		a.Add(1000 * r.ExpFloat64())
		b.Add(2000 * r.ExpFloat64())
	}
	q := must(NewQuantileSequence(0.9, 0.05, 5000))
	truth := 1000 * math.Log(10)
	d := q.Difference(&a, &b)
	if !(d.Low > 0 && d.Low < truth && truth < d.High && d.High < 2*truth) {
		t.Errorf("got %+v, the truth is %v", d, truth)
	}
	half := q
	half.threshold = -math.Log(0.025)
	x, y := half.Interval(&a), half.Interval(&b)
	if d.Low != y.Low-x.High || d.High != y.High-x.Low {
		t.Errorf("the difference of %+v and %+v is %+v", x, y, d)
	}
	if alpha := q.threshold; alpha != -math.Log(0.05) {
		t.Error("Difference changed the sequence")
	}
	if p := q.PValue(&a, &b); p > 1e-6 {
		t.Errorf("p is %v", p)
	}
	w := must(NewBand(0.025, 100)).Difference(&a, &b, 0.9)
	if !(w.Low < d.Low && w.High > d.High && w.Low > 0) {
		t.Errorf("the band says %+v, the sequence %+v", w, d)
	}
}

func TestBandNarrowsAndStartsWhereItWasToldTo(t *testing.T) {
	b := must(NewBand(0.05, 100))
	if r := b.Radius(99); r != 1 {
		t.Errorf("before its first size the radius is %v", r)
	}
	last := 1.0
	for _, n := range []uint64{100, 101, 1000, 1e5, 1e9, math.MaxUint64} {
		r := b.Radius(n)
		if !(r > 0 && r < last) {
			t.Errorf("radius %v at %d, before it was %v", r, n, last)
		}
		last = r
	}
	for _, alpha := range []float64{1e-12, 0.5} { // C exists for all levels
		if e := bandError(bandConstant(alpha)); math.Abs(e-alpha) > 1e-9*alpha {
			t.Errorf("alpha %v: the error bound is %v", alpha, e)
		}
	}
}

func TestStitchedBoundsAreWiderThanTheMixtureNearItsTuning(t *testing.T) {
	threshold := -math.Log(0.025)
	rho := bestRho(1000, 0.05)
	for _, v := range []float64{300, 1000, 10000} {
		stitched, mixture := PolyStitching(v, 0.025, 10, 0), normalBoundOneSided(v, rho, threshold)
		if stitched < mixture || stitched > 2*mixture {
			t.Errorf("v %v: stitched %v, mixture %v", v, stitched, mixture)
		}
	}
	if PolyStitching(1, 0.05, 10, 3) != PolyStitching(10, 0.05, 10, 3) {
		t.Error("before vMin the bound is not that of vMin")
	}
	for _, p := range []float64{1e-6, 0.001, 0.5, 0.999, 1 - 1e-6} {
		for _, n := range []float64{1, 100, 1e9} {
			if d := DoubleStitching(p, n, 0.05, 100); !(d > 0) || math.IsInf(d, 0) {
				t.Errorf("p %v, n %v: %v", p, n, d)
			}
		}
	}
}

func TestWorstCaseCountsWhatHasNoLabelBothWays(t *testing.T) {
	for _, c := range []struct {
		coverage            Coverage
		correct             uint64
		estimate, low, high float64
	}{
		{Coverage{Labelled: 50, Mature: 100}, 45, 0.9, 0.45, 0.95}, // [c·acc, c·acc + 1 - c]
		{Coverage{Labelled: 100, Mature: 100}, 90, 0.9, 0.9, 0.9},
		{Coverage{Labelled: 0, Mature: 10}, 0, math.NaN(), 0, 1},
		{Coverage{}, 0, math.NaN(), 0, 1},
	} {
		i := c.coverage.WorstCase(c.correct)
		if math.IsNaN(i.Estimate) != math.IsNaN(c.estimate) || !math.IsNaN(c.estimate) && i.Estimate != c.estimate {
			t.Errorf("%+v: estimate %v, want %v", c.coverage, i.Estimate, c.estimate)
		}
		near(t, "low", i.Low, c.low, 1e-15, 0)
		near(t, "high", i.High, c.high, 1e-15, 0)
		if i.N != c.coverage.Mature {
			t.Errorf("N is %d", i.N)
		}
	}
	if s := (Coverage{25, 100}).Share(); s != 0.25 {
		t.Errorf("coverage %v", s)
	}
}

// "An 80/20 split costs 1.6 to 1.7 times the labels of 50/50."
func TestUnevenSplitsCostMore(t *testing.T) {
	ratio := PlanShares(0.05, 0.2, 0.9, 0.87).Observations(0.03) / PlanShares(0.05, 0.5, 0.9, 0.87).Observations(0.03)
	if ratio < 1.6 || ratio > 1.7 {
		t.Errorf("80/20 costs %v times", ratio)
	}
}
