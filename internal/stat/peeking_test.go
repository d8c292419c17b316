package stat

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// wilson returns an interval of the share at z standard errors: for the results of simulations.
func wilson(s Share, z float64) (low, high float64) {
	n, p := float64(s.N), s.Value()
	centre, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return (centre - half) / (1 + z*z/n), (centre + half) / (1 + z*z/n)
}

// firesAtMost fails unless the share of false alarms is at most alpha, the simulation's own error (99.9%) included.
func firesAtMost(t *testing.T, what string, alarms Share, alpha float64) {
	t.Helper()
	_, high := wilson(alarms, 3.09)
	t.Logf("%s: %d false alarms of %d, at most %.4f", what, alarms.Count, alarms.N, high)
	if high > alpha {
		t.Errorf("%s: %d false alarms of %d, at most %.4f; promised is %v", what, alarms.Count, alarms.N, high, alpha)
	}
}

func (s *Share) count(hit bool) {
	s.N++
	if hit {
		s.Count++
	}
}

// The reference is the table of false alarms under peeking: an A/A comparison looked at so many times, by a z-test that ignores it
// and by the sequence.
func TestPeekingDoesNotFoolTheMeanSequence(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	for _, c := range []struct {
		looks, reps     int
		naive, sequence float64
	}{
		{5, 4000, 0.1370, 0.0045}, {10, 4000, 0.195, 0.0085}, {25, 4000, 0.26, 0.013}, {100, 4000, 0.37, 0.015}, {720, 2000, 0.50, 0.017},
	} {
		m := must(NewMeanSequence(0.05, float64(c.looks)))
		width := make([]float64, c.looks+1)
		for look := range width {
			width[look] = m.Multiplier(uint64(look))
		}
		var naive, sequence Share
		for range c.reps {
			sum, fooled, fired := 0.0, false, false
			for look := 1; look <= c.looks; look++ {
				sum += r.NormFloat64()
				z := math.Abs(sum) / math.Sqrt(float64(look))
				fooled = fooled || z > 1.959964
				fired = fired || z > width[look]
			}
			naive.count(fooled)
			sequence.count(fired)
		}
		firesAtMost(t, "mean sequence", sequence, 0.05)
		for want, got := range map[float64]Share{c.naive: naive, c.sequence: sequence} {
			// Both sides are simulated: the table with 2000 to 4000 runs too.
			slack := 3.5 * math.Sqrt(2*want*(1-want)/float64(c.reps))
			if math.Abs(got.Value()-want) > slack+0.005 { // the table is rounded
				t.Errorf("%d looks: %v false alarms, the table has %v", c.looks, got.Value(), want)
			}
		}
	}
}

// Two arms of equal accuracy, 80/20, looked at every 10 labels from 30 per arm on. The normal approximation alone would break the
// promise for accuracies near 1; MinEvents keeps it. The exact difference keeps it anyway.
func TestPeekingDoesNotFoolTheComparisonOfAccuracies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	alphas := [2]float64{0.05, 0.01}
	var means [2]MeanSequence
	var exact [2]ShareSequence
	for i, alpha := range alphas {
		means[i], exact[i] = must(NewMeanSequence(alpha, 2000)), must(NewShareSequence(alpha, 1000))
	}
	plain := func(s Share) Estimate {
		return Estimate{Value: s.Value(), SE: math.Sqrt(s.Value() * (1 - s.Value()) / float64(s.N)), N: s.N}
	}
	without := func(i Interval) bool { return i.Low > 0 || i.High < 0 }
	for _, p := range []float64{0.5, 0.8, 0.9, 0.95, 0.98} {
		var guarded, unguarded, sure [2]Share
		for run := range 2000 {
			var a, b Share
			var fired, firedPlain, firedExact [2]bool
			for label := 1; label <= 4000; label++ {
				arm := &a
				if r.Float64() < 0.2 {
					arm = &b
				}
				arm.count(r.Float64() < p)
				if label%10 > 0 || min(a.N, b.N) < 30 {
					continue
				}
				for i, m := range means {
					fired[i] = fired[i] || without(m.Interval(Difference(a.Estimate(), b.Estimate())))
					firedPlain[i] = firedPlain[i] || without(m.Interval(Difference(plain(a), plain(b))))
					if run < 100 && label%100 == 0 {
						firedExact[i] = firedExact[i] || without(exact[i].Difference(a, b))
					}
				}
			}
			for i := range alphas {
				guarded[i].count(fired[i])
				unguarded[i].count(firedPlain[i])
				if run < 100 {
					sure[i].count(firedExact[i])
				}
			}
		}
		for i, alpha := range alphas {
			low, high := wilson(guarded[i], 3.09)
			t.Logf("accuracy %v, alpha %v: %.4f false alarms (%.4f to %.4f); without MinEvents %.4f", p, alpha, guarded[i].Value(), low, high, unguarded[i].Value())
			if low > alpha || alpha == 0.05 && high > alpha {
				t.Errorf("accuracy %v, alpha %v: %d false alarms of %d", p, alpha, guarded[i].Count, guarded[i].N)
			}
			if low, _ := wilson(unguarded[i], 3.09); p >= 0.95 && low < alpha {
				t.Errorf("accuracy %v, alpha %v: the plain error keeps the promise as well, MinEvents is not needed", p, alpha)
			}
			if sure[i].Count > 5 {
				t.Errorf("accuracy %v, alpha %v: the exact difference gave %d false alarms of %d", p, alpha, sure[i].Count, sure[i].N)
			}
		}
	}
}

// Skewed latencies, 80/20, looked at every 10 requests from MinObservations per arm on.
func TestPeekingDoesNotFoolTheComparisonOfSkewedLatencies(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 2))
	m, strict := must(NewMeanSequence(0.05, 4000)), must(NewMeanSequence(0.01, 4000))
	var alarms, alarmsStrict Share
	for range 2000 {
		var a, b Moments
		var fired, firedStrict bool
		for request := 1; request <= 4000; request++ {
			arm := &a
			if r.Float64() < 0.2 {
				arm = &b
			}
			arm.Add(math.Exp(r.NormFloat64()))
			if request%10 == 0 && min(a.N, b.N) >= MinObservations {
				d := Difference(a.Estimate(), b.Estimate())
				i, j := m.Interval(d), strict.Interval(d)
				fired = fired || i.Low > 0 || i.High < 0
				firedStrict = firedStrict || j.Low > 0 || j.High < 0
			}
		}
		alarms.count(fired)
		alarmsStrict.count(firedStrict)
	}
	firesAtMost(t, "difference of skewed latencies", alarms, 0.05)
	low, high := wilson(alarmsStrict, 3.09)
	t.Logf("at alpha 1%%: %.4f (%.4f to %.4f)", alarmsStrict.Value(), low, high)
	if low > 0.01 {
		t.Errorf("at alpha 1%%: %d false alarms of %d", alarmsStrict.Count, alarmsStrict.N)
	}
}

// Users who send 30 requests each, some of whom always fail half of the time: requests are no independent witnesses.
func TestClusteredErrorsHoldThePromiseThatSingleRequestsBreak(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 2))
	m, strict := must(NewMeanSequence(0.05, 60000)), must(NewMeanSequence(0.01, 60000))
	type bucket struct{ errors, requests float64 }
	var clustered, clusteredStrict, single Share
	for range 1200 {
		var arms [2][64]bucket
		var fired, firedStrict, firedSingle bool
		for range 100 {
			for range 20 { // new users
				errors := 0.0
				if r.Float64() < 0.02 {
					for range 30 {
						errors += float64(r.IntN(2))
					}
				}
				b := &arms[r.IntN(2)][r.IntN(64)]
				b.errors += errors
				b.requests += 30
			}
			var byBucket, byRequest [2]Estimate
			for i := range arms {
				var ratio Ratio
				for _, b := range arms[i] {
					ratio.Add(b.errors, b.requests)
				}
				byBucket[i] = ratio.ShareEstimate()
				byRequest[i] = Share{uint64(ratio.y), uint64(ratio.z)}.Estimate()
			}
			d := Difference(byBucket[0], byBucket[1])
			i, j, k := m.Interval(d), strict.Interval(d), m.Interval(Difference(byRequest[0], byRequest[1]))
			fired = fired || i.Low > 0 || i.High < 0
			firedStrict = firedStrict || j.Low > 0 || j.High < 0
			firedSingle = firedSingle || k.Low > 0 || k.High < 0
		}
		clustered.count(fired)
		clusteredStrict.count(firedStrict)
		single.count(firedSingle)
	}
	firesAtMost(t, "errors clustered by 64 unit buckets", clustered, 0.05)
	firesAtMost(t, "the same at alpha 1%", clusteredStrict, 0.01)
	if low, _ := wilson(single, 3.09); low < 0.3 {
		t.Errorf("counting requests fired %d of %d times: this simulation shows nothing", single.Count, single.N)
	}
}

// The reference is the table of detection: a candidate with 20% of the traffic and so many times the errors.
func TestSplitTestFindsMoreErrorsAsSoonAsPromised(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 2))
	test := must(NewSplitTest(EventsKappa, 80, 20))
	threshold := -math.Log(0.05)
	for _, c := range []struct {
		ratio       float64
		median, p90 float64 // errors over both arms
	}{{1.5, 269, 666}, {2, 80, 176}, {3, 34, 68}, {5, 18, 33}} {
		q := 0.2 * c.ratio / (0.2*c.ratio + 0.8)
		var found, foundMore []int
		for range 300 {
			var n [2]uint64
			at, atMore := 0, 0
			for event := 1; event <= 3000 && (at == 0 || atMore == 0); event++ {
				if r.Float64() < q {
					n[1]++
				} else {
					n[0]++
				}
				if at == 0 && must(test.LogE(n[:]...)) >= threshold {
					at = event
				}
				if atMore == 0 && must(test.LogEMore(1, n[:]...)) >= threshold {
					atMore = event
				}
			}
			if at == 0 || atMore == 0 {
				t.Fatalf("ratio %v not found in 3000 errors", c.ratio)
			}
			found, foundMore = append(found, at), append(foundMore, atMore)
		}
		slices.Sort(found)
		slices.Sort(foundMore)
		median, p90 := float64(found[150]), float64(found[270])
		t.Logf("%v times the errors: median %v, p90 %v; one-sided median %v", c.ratio, median, p90, foundMore[150])
		near(t, "median", median, c.median, 3, 0.2)
		near(t, "p90", p90, c.p90, 5, 0.25)
		if foundMore[150] > found[150] {
			t.Errorf("the one-sided test takes %d errors, the two-sided %d", foundMore[150], found[150])
		}
		if plan := float64(EventsNeeded(0.2, c.ratio, EventsKappa, 0.05)); plan < 0.9*median-2 || plan > 1.35*median+2 {
			t.Errorf("planned are %v errors, the median is %v", plan, median)
		}
	}
}

func TestPeekingDoesNotFoolTheCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 2))
	test := must(NewSplitTest(EventsKappa, 80, 20))
	threshold := -math.Log(0.05)
	var split, more, share, slow Share
	sequence := must(NewShareSequence(0.05, 500))
	for range 600 {
		var n [2]uint64
		var firedSplit, firedMore, firedShare, firedSlow bool
		var errors Share
		for range 500 {
			if r.Float64() < 0.2 {
				n[1]++
			} else {
				n[0]++
			}
			errors.count(r.Float64() < 0.02)
			firedSplit = firedSplit || must(test.LogE(n[:]...)) >= threshold
			firedMore = firedMore || must(test.LogEMore(1, n[:]...)) >= threshold
			firedShare = firedShare || sequence.LogE(errors, 0.02) >= threshold
			firedSlow = firedSlow || sequence.LogEAbove(errors, 0.02) >= threshold
		}
		split.count(firedSplit)
		more.count(firedMore)
		share.count(firedShare)
		slow.count(firedSlow)
	}
	// These are exact tests, which may spend all of alpha: the figure must not be above it beyond chance.
	for what, alarms := range map[string]Share{"split": split, "more in one arm": more, "share": share, "share above": slow} {
		low, high := wilson(alarms, 3.09)
		t.Logf("%s: %.4f (%.4f to %.4f)", what, alarms.Value(), low, high)
		if low > 0.05 {
			t.Errorf("%s: %d false alarms of %d", what, alarms.Count, alarms.N)
		}
	}
}

func TestPeekingDoesNotFoolTheQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 2))
	q := must(NewQuantileSequence(0.9, 0.05, 500))
	truth := math.Log(10) * 1000 // of an exponential distribution with mean 1000
	band := must(NewBand(0.025, 50))
	var single, difference, whole Share
	for range 500 {
		var a, b Sketch
		var missed, missedDifference, missedWhole bool
		for look := range 40 {
			for range 25 {
				a.Add(1000 * r.ExpFloat64())
				b.Add(1000 * r.ExpFloat64())
			}
			i, d := q.Interval(&a), q.Difference(&a, &b)
			missed = missed || i.Low > truth || i.High < truth
			missedDifference = missedDifference || d.Low > 0 || d.High < 0
			for _, p := range []float64{0.1, 0.5, 0.9} {
				w := band.Difference(&a, &b, p)
				missedWhole = missedWhole || w.Low > 0 || w.High < 0
			}
			if i.N != uint64(25*(look+1)) || d.N != 2*i.N {
				t.Fatalf("sample sizes %d and %d", i.N, d.N)
			}
		}
		single.count(missed)
		difference.count(missedDifference)
		whole.count(missedWhole)
	}
	firesAtMost(t, "quantile", single, 0.05)
	firesAtMost(t, "difference of quantiles", difference, 0.05)
	firesAtMost(t, "band", whole, 0.05)
}
