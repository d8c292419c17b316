package stat

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func binomial(k, n int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// The defining property, by counting all outcomes: under the null hypothesis an e-value is 1 on average, and at most 1 under each
// share that the one-sided hypothesis allows.
func TestEValuesOfCountsAverageOneUnderTheNull(t *testing.T) {
	for _, p := range []float64{0.003, 0.2, 0.5, 0.95} {
		for _, kappa := range []float64{0.001, 10, 1000} {
			const n = 40
			mean := func(truth float64, logE func(k float64) float64) (sum float64) {
				for k := 0; k <= n; k++ {
					sum += binomial(k, n, truth) * math.Exp(logE(float64(k)))
				}
				return sum
			}
			two := func(k float64) float64 { return logShareE(k, n, p, kappa) }
			above := func(k float64) float64 { return logShareEAbove(k, n, p, kappa) }
			name := fmt.Sprintf("mean of E at p %v, kappa %v", p, kappa)
			near(t, name, mean(p, two), 1, 1e-10, 0)
			near(t, name+", one-sided", mean(p, above), 1, 1e-9, 0)
			if m := mean(p*0.9, above); m > 1+1e-9 {
				t.Errorf("%s: %v at a smaller share", name, m)
			}
			// An e-value of 1 whatever comes would pass so far.
			if all, half := above(n), above(math.Floor(n*p/2)); all < math.Log(1.2)*min(1, n*(1-p)) || half >= 0 {
				t.Errorf("%s: one-sided ln E is %v if all are hits, %v if few are", name, all, half)
			}
			if more, both := above(n), two(n); more <= both {
				t.Errorf("%s: all are hits, and one-sided ln E is %v, two-sided %v", name, more, both)
			}
		}
	}
}

func TestShareIntervalHoldsWhatIsNotRefutedAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 1<<rapid.IntRange(1, 30).Draw(t, "size")).Draw(t, "n")
		s := Share{Count: rapid.Uint64Range(0, n).Draw(t, "count"), N: n}
		alpha := rapid.SampledFrom([]float64{0.2, 0.05, 0.001}).Draw(t, "alpha")
		q := must(NewShareSequence(alpha, rapid.Float64Range(1, 1e6).Draw(t, "tune")))
		i := q.Interval(s)
		if !(i.Low >= 0 && i.Low <= i.Estimate && i.Estimate <= i.High && i.High <= 1) || i.N != n {
			t.Fatalf("%+v", i)
		}
		mirror := q.Interval(Share{n - s.Count, n})
		if math.Abs(1-mirror.High-i.Low) > 1e-15 || math.Abs(1-mirror.Low-i.High) > 1e-15 {
			t.Fatalf("%+v mirrors %+v", mirror, i)
		}
		for k := 1; k < 200; k++ { // no share outside may stand
			p := float64(k) / 200
			refuted := q.LogE(s, p) > -math.Log(alpha)
			if !refuted && (p < i.Low || p > i.High) {
				t.Fatalf("%v is outside %+v and not refuted", p, i)
			}
			if refuted && p > i.Low*(1+1e-9) && p < i.High*(1-1e-9) {
				// Only where a single hit or miss keeps the far end open may the middle be refuted.
				if s.Count > 1 && n-s.Count > 1 {
					t.Fatalf("%v is inside %+v and refuted", p, i)
				}
			}
		}
	})
}

func TestCountsAtTheExtremesGiveNumbers(t *testing.T) {
	q := must(NewShareSequence(0.05, 1000))
	for _, s := range []Share{{0, 1}, {1, 1}, {0, 2}, {2, 2}, {1, 1e9}, {1e9, 1e9}, {0, 1e9}, {1e9 - 1, 1e9}, {5e8, 1e9}, {1 << 50, 1 << 53}} {
		i := q.Interval(s)
		if !(i.Low <= i.Estimate && i.Estimate <= i.High) {
			t.Errorf("%v gives %+v", s, i)
		}
		for _, p := range []float64{0, 5e-324, 1e-300, 1e-12, 0.5, 1 - 1e-12, 1} {
			for _, logE := range []float64{q.LogE(s, p), q.LogEAbove(s, p), q.LogEBelow(s, p)} {
				if math.IsNaN(logE) || math.IsInf(logE, 0) {
					t.Errorf("ln E of %v at %v is %v", s, p, logE)
				}
			}
		}
	}
	for _, kappa := range []float64{1e-3, 1, 1e12} {
		for _, p := range []float64{1e-9, 0.5} {
			if e := logShareE(0, 1<<53, p, kappa); math.IsNaN(e) || math.IsInf(e, 0) {
				t.Errorf("ln E of 0 of 2^53 at %v, kappa %v, is %v", p, kappa, e)
			}
		}
	}
	if i := q.Interval(Share{}); !math.IsNaN(i.Estimate) || i.Low != 0 || i.High != 1 || i.N != 0 {
		t.Errorf("of nothing: %+v", i)
	}
	for _, p := range []float64{0, 0.3, 1} {
		if e := q.LogE(Share{}, p); e != 0 {
			t.Errorf("ln E of nothing at %v is %v", p, e)
		}
	}
	if i := q.Interval(Share{1, 50}); i.Low != 0 {
		t.Errorf("a single hit refutes a share of 0: %+v", i)
	}
	if i := q.Interval(Share{49, 50}); i.High != 1 {
		t.Errorf("a single miss refutes a share of 1: %+v", i)
	}
	half := q
	half.threshold = -math.Log(0.025)
	a, b := half.Interval(Share{30, 100}), half.Interval(Share{500, 1000})
	if d := q.Difference(Share{30, 100}, Share{500, 1000}); math.Abs(d.Low-(b.Low-a.High)) > 1e-12 || math.Abs(d.High-(b.High-a.Low)) > 1e-12 {
		t.Errorf("the difference of %+v and %+v is %+v", a, b, d)
	}
	if a, b := q.Interval(Share{9, 5}), q.Interval(Share{5, 5}); a != b || q.LogE(Share{9, 5}, 0.5) != q.LogE(Share{5, 5}, 0.5) {
		t.Errorf("9 of 5 is %+v, 5 of 5 %+v", a, b)
	}
	if e := (Share{90, 50}).Estimate(); e.Value != 1 || !math.IsInf(e.SE, 1) {
		t.Errorf("90 of 50 is %+v", e)
	}
	if i := q.Interval(Share{1e9, 1e9}); i.Low < 0.99999 {
		t.Errorf("a billion of a billion: %+v", i)
	}
	if n := q.Clean(1); n != 0 {
		t.Errorf("a limit of 1 takes %d", n)
	}
	if n := q.Clean(0); n != math.MaxUint64 {
		t.Errorf("a limit of 0 takes %d", n)
	}
}

func TestOneSidedShareTestsLookInOneDirection(t *testing.T) {
	q := must(NewShareSequence(0.05, 1000))
	high := Share{30, 1000}
	if q.LogEAbove(high, 0.01) < q.LogE(high, 0.01) || q.LogEBelow(high, 0.01) > 0 {
		t.Errorf("3%% against 1%%: above %v, both %v, below %v", q.LogEAbove(high, 0.01), q.LogE(high, 0.01), q.LogEBelow(high, 0.01))
	}
	better := Share{970, 1000}
	if q.LogEAbove(better, 0.9) < q.LogE(better, 0.9) || q.LogEBelow(better, 0.9) > 0 {
		t.Errorf("97%% against 90%%: above %v, both %v, below %v", q.LogEAbove(better, 0.9), q.LogE(better, 0.9), q.LogEBelow(better, 0.9))
	}
	stable := must(NewSplitTest(EventsKappa, 80, 20)) // harm in the arm with most of the traffic
	if more, both := must(stable.LogEMore(0, 98, 2)), must(stable.LogE(98, 2)); more < both || more < 3 {
		t.Errorf("98 of 100 errors in the arm of 80%%: ln E %v, two-sided %v", more, both)
	}
	low := Share{800, 1000}
	if q.LogEBelow(low, 0.9) < 3 || q.LogEAbove(low, 0.9) > 0 {
		t.Errorf("80%% against 90%%: below %v, above %v", q.LogEBelow(low, 0.9), q.LogEAbove(low, 0.9))
	}
}

func TestSplitTestTakesArmsAndRefusesNonsense(t *testing.T) {
	test := must(NewSplitTest(EventsKappa, 2, 0, 2))
	if e := must(test.LogE(5, 0, 5)); e > 0 {
		t.Errorf("an even split has ln E %v", e)
	}
	if e := must(test.LogE(5, 1, 5)); e != impossible {
		t.Errorf("an event in an arm of weight 0 has ln E %v", e)
	}
	if a, b := must(test.LogE(50, 0, 10)), must(must(NewSplitTest(EventsKappa, 1, 1)).LogE(50, 10)); a != b {
		t.Errorf("an arm of weight 0 changes ln E from %v to %v", b, a)
	}
	if e := must(must(NewSplitTest(EventsKappa, 7)).LogE(100)); e != 0 {
		t.Errorf("one arm has ln E %v", e)
	}
	harm, good := must(test.LogEMore(0, 50, 0, 10)), must(test.LogEMore(2, 50, 0, 10))
	if both := must(test.LogE(50, 0, 10)); harm < both || good > 0 {
		t.Errorf("ln E %v of both, %v of harm, %v of the other arm", both, harm, good)
	}
	for _, weights := range [][]float64{nil, {0, 0}, {1, -1}, {1, math.NaN()}, {1, math.Inf(1)}, {math.MaxFloat64, math.MaxFloat64}} {
		if _, err := NewSplitTest(10, weights...); err == nil {
			t.Errorf("weights %v are taken", weights)
		}
		if _, err := ChiSquareSplit(make([]uint64, len(weights)), weights); err == nil {
			t.Errorf("chi-square takes the weights %v", weights)
		}
	}
	for _, kappa := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := NewSplitTest(kappa, 1, 1); err == nil {
			t.Errorf("kappa %v is taken", kappa)
		}
	}
	if _, err := test.LogE(1, 2); err == nil {
		t.Error("two counts are taken for three arms")
	}
	if _, err := test.LogEMore(0, 1, 2); err == nil {
		t.Error("two counts are taken for three arms")
	}
	for _, arm := range []int{-1, 3} {
		if _, err := test.LogEMore(arm, 1, 2, 3); err == nil {
			t.Errorf("arm %d of 3 is taken", arm)
		}
	}
	if _, err := ChiSquareSplit([]uint64{1}, []float64{1, 1}); err == nil {
		t.Error("chi-square takes one count for two arms")
	}
	if n := EventsNeeded(0.2, 1, EventsKappa, 0.05); n != math.MaxUint64 {
		t.Errorf("%d events find no difference", n)
	}
}

func TestChiSquareCountsOnlyArmsWithAWeight(t *testing.T) {
	for _, c := range []struct {
		counts  []uint64
		weights []float64
		df      int
		p       float64
	}{
		{[]uint64{500, 600}, []float64{1, 1}, 1, 0.002568831527022717},
		{[]uint64{500, 600, 0}, []float64{1, 1, 0}, 1, 0.002568831527022717},
		{[]uint64{500, 600, 1}, []float64{1, 1, 0}, 1, 0},
		{[]uint64{100, 100, 130}, []float64{1, 1, 1}, 2, math.Exp(-600. / 110 / 2)}, // two degrees of freedom: exp(-x/2)
		{[]uint64{7}, []float64{3}, 0, 1},
		{[]uint64{0, 0}, []float64{1, 1}, 1, 1},
	} {
		r := must(ChiSquareSplit(c.counts, c.weights))
		if r.DF != c.df {
			t.Errorf("%v: %d degrees of freedom", c.counts, r.DF)
		}
		near(t, fmt.Sprintf("p of %v", c.counts), r.P, c.p, 1e-15, 1e-12)
	}
}

func TestEvidenceMultipliesOverSegmentsAndNeverForgets(t *testing.T) {
	var e Evidence
	if e.P() != 1 || e.Rejects(0.05) {
		t.Errorf("no evidence gives p %v", e.P())
	}
	e.Observe(-3)
	e.Observe(2)
	e.Observe(math.NaN())
	e.EndSegment(1)
	near(t, "p", e.P(), math.Exp(-2), 0, 1e-15)
	e.Observe(1.9)
	if e.Rejects(0.05) {
		t.Error("e^2.9 is below 20")
	}
	e.Observe(2.1)
	e.Observe(-50)
	e.EndSegment(math.NaN())
	if !e.Rejects(0.05) || e.Closed != 1 {
		t.Errorf("e^3.1 is above 20: %+v", e)
	}
	near(t, "p", e.P(), math.Exp(-3.1), 0, 1e-15)
}
