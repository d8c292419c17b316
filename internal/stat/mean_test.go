package stat

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

func TestIntervalsEndWhereTheEvidenceReachesTheThreshold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alpha := rapid.SampledFrom([]float64{0.5, 0.1, 0.05, 0.01, 1e-6}).Draw(t, "alpha")
		m := must(NewMeanSequence(alpha, rapid.Float64Range(1, 1e9).Draw(t, "tune")))
		e := Estimate{
			Value: rapid.Float64Range(-1e6, 1e6).Draw(t, "value"),
			SE:    rapid.Float64Range(1e-3, 1e6).Draw(t, "se"),
			N:     rapid.Uint64Range(1, 1e9).Draw(t, "n"),
		}
		threshold := -math.Log(alpha)
		close := func(what string, logE float64) {
			t.Helper()
			if math.Abs(logE-threshold) > 1e-4*threshold { // value ± SE·B has been rounded
				t.Fatalf("%s: ln E at the limit is %v, the threshold %v", what, logE, threshold)
			}
		}
		i, low, high := m.Interval(e), m.AtLeast(e), m.AtMost(e)
		close("low", m.LogE(e, i.Low))
		close("high", m.LogE(e, i.High))
		close("at least", m.LogEAbove(e, low.Low))
		close("at most", m.LogEBelow(e, high.High))
		if !math.IsInf(low.High, 1) || !math.IsInf(high.Low, -1) {
			t.Fatalf("one-sided: %+v and %+v", low, high)
		}
		if alpha < 0.2 && (low.Low < i.Low || high.High > i.High) && m.rho < float64(e.N) {
			t.Fatalf("one-sided limits %v and %v are wider than %+v", low.Low, high.High, i)
		}
		if m.PValue(e, e.Value) != 1 || m.PValue(e, i.High+(i.High-e.Value)) > alpha {
			t.Fatalf("p is %v at the estimate, %v far outside", m.PValue(e, e.Value), m.PValue(e, i.High+(i.High-e.Value)))
		}
	})
}

// GrowthBook's one-sided interval (eq. 134 of arXiv 2103.06476) is a closed form that lies a little outside the exact root.
func TestOneSidedMultiplierIsJustInsideItsClosedForm(t *testing.T) {
	for _, alpha := range []float64{0.05, 0.01} {
		m := must(NewMeanSequence(alpha, 5000))
		for _, n := range []uint64{50, 1000, 5000, 1e6} {
			t1 := float64(n)
			closed := math.Sqrt(2 * (t1 + m.rhoOne) / t1 * math.Log(1+math.Sqrt((t1+m.rhoOne)/m.rhoOne)/(2*alpha)))
			if exact := m.OneSidedMultiplier(n); exact > closed || exact < 0.97*closed {
				t.Errorf("alpha %v, n %d: %v, the closed form is %v", alpha, n, exact, closed)
			}
		}
	}
}

func TestMSPRTIsTheMeanSequenceWithAnotherTuning(t *testing.T) {
	n, d, variance, tau2 := 1000., 0.15, 2., 0.01
	m := MeanSequence{rho: variance / tau2}
	near(t, "ln E", m.LogE(Estimate{Value: d, SE: math.Sqrt(variance / n), N: 1000}, 0), LogMSPRT(n, d, variance, tau2), 0, 1e-12)
}

func TestNothingIsConcludedFromNothing(t *testing.T) {
	m := must(NewMeanSequence(0.05, 1000))
	var constant Moments
	for range 10 {
		constant.Add(7)
	}
	good := Estimate{Value: 1, SE: 0.1, N: 100}
	for name, e := range map[string]Estimate{
		"no data":             Moments{}.Estimate(),
		"no labels":           Share{}.Estimate(),
		"no pairs":            Ratio{}.Estimate(),
		"no pairs of a share": Ratio{}.ShareEstimate(),
		"one value":           MomentsOf(1, 5, 25).Estimate(),
		"all equal":           constant.Estimate(),
		"one arm empty":       Difference(good, Share{}.Estimate()),
		"a lift over 0":       Lift(Estimate{Value: 0, SE: 1, N: 10}, good),
		"a lift over nothing": Lift(Moments{}.Estimate(), good),
		"an error of 0":       {Value: 1, SE: 0, N: 100},
		"an error of NaN":     {Value: 1, SE: math.NaN(), N: 100},
	} {
		for _, i := range []Interval{m.Interval(e), m.AtLeast(e), m.AtMost(e)} {
			if !math.IsInf(i.Low, -1) || !math.IsInf(i.High, 1) {
				t.Errorf("%s: %+v", name, i)
			}
		}
		if m.LogE(e, 0) != 0 || m.LogEAbove(e, 0) != 0 || m.LogEBelow(e, 0) != 0 || m.PValue(e, 0) != 1 {
			t.Errorf("%s: ln E %v, p %v", name, m.LogE(e, 0), m.PValue(e, 0))
		}
	}
}

func TestMomentsOfTheWholeAreTheMergeOfItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-100, 100), 2, 100).Draw(t, "values")
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		const far = 1e9 // the digits that sums of squares lose
		var a, b Moments
		mean := 0.0
		for i, v := range values {
			if mean += v / float64(len(values)); i < cut {
				a.Add(far + v)
			} else {
				b.Add(far + v)
			}
		}
		variance := 0.0
		for _, v := range values {
			variance += (v - mean) * (v - mean) / float64(len(values)-1)
		}
		a.Merge(b)
		if a.N != uint64(len(values)) || math.Abs(a.Mean-far-mean) > 1e-5 || math.Abs(a.Variance()-variance) > 1e-6*(1+variance) {
			t.Fatalf("got %+v with variance %v, want mean %v and variance %v", a, a.Variance(), far+mean, variance)
		}
	})
}

func TestRatioIsTheDeltaMethod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		n := rapid.IntRange(2, 100).Draw(t, "pairs")
		var ratio, half Ratio
		var ys, zs []float64
		for i := range n {
			z := float64(1 + r.IntN(40))
			y := z*50 + 100*r.Float64()
			ys, zs = append(ys, y), append(zs, z)
			if i%2 == 0 {
				ratio.Add(y, z)
			} else {
				half.Add(y, z)
			}
		}
		ratio.Merge(half)
		mean := func(v []float64) (m float64) {
			for _, x := range v {
				m += x / float64(n)
			}
			return m
		}
		my, mz := mean(ys), mean(zs)
		covariance := func(a, b []float64, ma, mb float64) (c float64) {
			for i := range a {
				c += (a[i] - ma) * (b[i] - mb) / float64(n-1)
			}
			return c
		}
		k := float64(n)
		variance := (my / mz) * (my / mz) *
			(covariance(ys, ys, my, my)/(k*my*my) + covariance(zs, zs, mz, mz)/(k*mz*mz) - 2*covariance(ys, zs, my, mz)/(k*my*mz))
		e := ratio.Estimate()
		if math.Abs(e.Value-my/mz) > 1e-9*e.Value || math.Abs(e.SE*e.SE-variance) > 1e-6*variance+1e-9 || e.N != uint64(math.Round(mz*k)) {
			t.Fatalf("got %+v, want %v ± %v", e, my/mz, math.Sqrt(variance))
		}
	})
}

func TestRatioOfSinglesIsTheMean(t *testing.T) {
	var ratio Ratio
	var moments Moments
	for _, v := range []float64{3, 1, 4, 1, 5, 9, 2, 6} {
		ratio.Add(v, 1)
		moments.Add(v)
	}
	r, m := ratio.Estimate(), moments.Estimate()
	near(t, "value", r.Value, m.Value, 0, 1e-14)
	near(t, "standard error", r.SE, m.SE, 0, 1e-12)
	near(t, "effective pairs", ratio.Effective(), 8, 0, 1e-14)
	if r.N != 8 {
		t.Errorf("N is %d", r.N)
	}
}

func TestSharesThatAllAgreeAreNotCertain(t *testing.T) {
	for _, c := range []struct {
		s     Share
		known bool
	}{{Share{20, 20}, false}, {Share{0, 1e6}, false}, {Share{7, 1e6}, false}, {Share{8, 1e6}, true}, {Share{992, 1000}, true}, {Share{993, 1000}, false}} {
		if e := c.s.Estimate(); math.IsInf(e.SE, 1) == c.known || e.Value != c.s.Value() || e.N != c.s.N {
			t.Errorf("%v: %+v", c.s, e)
		}
	}
	q := must(NewShareSequence(0.05, 100))
	if d := q.Difference(Share{20, 20}, Share{20, 20}); d.Estimate != 0 || d.Low > -0.2 || d.High < 0.2 || d.N != 40 {
		t.Errorf("20 of 20 against 20 of 20: %+v", d)
	}
	if d := q.Difference(Share{60, 60}, Share{0, 60}); d.Estimate != -1 || d.High > -0.3 || d.Low != -1 {
		t.Errorf("60 of 60 against 0 of 60: %+v", d)
	}
	if d := q.Difference(Share{}, Share{60, 60}); d.Low < -1 || d.High != 1 || d.Low > 0 {
		t.Errorf("nothing against 60 of 60: %+v", d)
	}
	var all, oneUser Ratio
	for range 64 {
		all.Add(10, 10) // every user of every bucket is right
		oneUser.Add(0, 10)
	}
	oneUser.Add(500, 1000)
	for name, r := range map[string]Ratio{"no misses": all, "the errors of one user": oneUser} {
		if e := r.ShareEstimate(); !math.IsInf(e.SE, 1) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	even, rest := Ratio{}, Ratio{}
	for range 7 {
		even.Add(9, 10) // no variance among buckets: as good as independent, no better
	}
	if e := even.ShareEstimate(); !math.IsInf(e.SE, 1) {
		t.Errorf("seven buckets: %+v", e)
	}
	for range 57 {
		rest.Add(9, 10)
	}
	even.Merge(rest)
	if e := even.ShareEstimate(); e.Value != 0.9 || e.SE != (Share{576, 640}).Estimate().SE {
		t.Errorf("576 of 640: %+v", e)
	}
	var clumped Ratio // whole buckets are wrong: more error than 640 independent requests would have
	for i := range 64 {
		clumped.Add(float64(10*min(i%8, 1)), 10)
	}
	if e := clumped.ShareEstimate(); e.SE < 2*(Share{560, 640}).Estimate().SE || e.SE != clumped.Estimate().SE {
		t.Errorf("clumped: %+v", e)
	}
	var one Ratio
	one.Add(500, 1000)
	one.Add(0, 0)
	if n := one.Effective(); n != 1 {
		t.Errorf("one user counts as %v", n)
	}
	if n := (Ratio{}).Effective(); n != 0 {
		t.Errorf("nobody counts as %v", n)
	}
}

func TestLiftAndDifferenceLookFromTheFirstArm(t *testing.T) {
	a, b := Estimate{Value: 2, SE: 0.1, N: 10}, Estimate{Value: 3, SE: 0.2, N: 20}
	d := Difference(a, b)
	if d.Value != 1 || d.N != 30 {
		t.Errorf("difference %+v", d)
	}
	near(t, "error of the difference", d.SE, math.Sqrt(0.05), 0, 1e-14)
	l := Lift(a, b)
	near(t, "lift", l.Value, 0.5, 0, 1e-15)
	near(t, "error of the lift", l.SE, math.Sqrt(0.04/4+0.01*9/16), 0, 1e-14)
}

func TestMeanSequenceStandsItsExtremes(t *testing.T) {
	for _, alpha := range []float64{1e-300, 1e-6, 0.05, 0.5, 0.999999} {
		for _, tune := range []float64{1e-3, 1, 1e15} {
			m := must(NewMeanSequence(alpha, tune))
			for _, n := range []uint64{1, 100, 1e9, math.MaxUint64} {
				two, one := m.Multiplier(n), m.OneSidedMultiplier(n)
				if !(two > 0) || !(one >= 0) || math.IsInf(two, 0) || math.IsInf(one, 0) {
					t.Errorf("alpha %v, tune %v, n %d: multipliers %v and %v", alpha, tune, n, two, one)
				}
				for _, value := range []float64{-1e300, -1, 0, 1e-300, 1e300} {
					e := Estimate{Value: value, SE: 1, N: n}
					if math.IsNaN(m.LogE(e, 0)) || math.IsNaN(m.LogEAbove(e, 0)) || math.IsNaN(m.PValue(e, 0)) {
						t.Errorf("alpha %v, tune %v, %+v: ln E %v and %v", alpha, tune, e, m.LogE(e, 0), m.LogEAbove(e, 0))
					}
				}
			}
		}
	}
}

func TestSequencesRefuseImpossibleLevels(t *testing.T) {
	for _, c := range []struct{ alpha, tune float64 }{
		{0, 100}, {1, 100}, {-1, 100}, {math.NaN(), 100}, {0.05, 0}, {0.05, -1}, {0.05, math.Inf(1)}, {0.05, math.NaN()},
	} {
		_, mean := NewMeanSequence(c.alpha, c.tune)
		_, share := NewShareSequence(c.alpha, c.tune)
		_, quantile := NewQuantileSequence(0.5, c.alpha, c.tune)
		_, band := NewBand(c.alpha, c.tune)
		_, ab := QuantileABTest(0.5, c.alpha, c.tune, nil, nil)
		for _, err := range []error{mean, share, quantile, band, ab} {
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Hint == "" {
				t.Errorf("alpha %v, tune %v: %v", c.alpha, c.tune, err)
			}
		}
	}
	for _, p := range []float64{0, 1, 99, -0.5, math.NaN()} {
		if _, err := NewQuantileSequence(p, 0.05, 100); err == nil {
			t.Errorf("quantile %v is taken", p)
		}
	}
	for _, c := range []struct{ alpha, first float64 }{{0.6, 10}, {0.05, 0.5}} {
		if _, err := NewBand(c.alpha, c.first); err == nil {
			t.Errorf("a band of %v from %v on is taken", c.alpha, c.first)
		}
	}
}
