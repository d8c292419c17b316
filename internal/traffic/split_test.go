package traffic

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// million is the number of draws of the tests that count; units and seeds are fixed, so that a test always says the same.
const million = 1_000_000

func TestAMillionUnitsAreSharedByTheWeights(t *testing.T) {
	for _, shares := range []string{"stable=80 canary=20", "a=1 b=1 c=1", "a=50% b=49.9% c=0.1%", "a=0.7 b=0.2 c=0.1 d=0"} {
		p := policy(t, shares)
		counts := table(1, len(p.Variants))
		for i := range million {
			counts[0][p.Pick(user("user-"+strconv.Itoa(i)), nil).Variant]++
		}
		independentOf(t, shares, p, counts)
	}
}

func TestAMillionRequestsWithoutAUnitAreSharedByTheWeights(t *testing.T) {
	for name, change := range map[string]func(*Spec, *Options){
		"no header": func(*Spec, *Options) {}, "nothing sticky": func(s *Spec, _ *Options) { s.Sticky = nil },
		"a new signed cookie": signedCookie, "a new plain cookie": plainCookie,
	} {
		p, r := policy(t, "a=50 b=30 c=20", change), random(7)
		counts := table(1, 3)
		for range million / 4 {
			counts[0][p.Pick(facts{}, r).Variant]++
		}
		independentOf(t, name, p, counts)
	}
}

func independentOf(t *testing.T, what string, p *Policy, counts [][]int) {
	t.Helper()
	shares := make([]float64, len(p.Variants))
	df := -1
	for i := range shares {
		shares[i] = p.Weights().Share(p.Variants[i].Name)
		if shares[i] > 0 {
			df++
		} else if counts[0][i] != 0 {
			t.Errorf("%s: %s has weight 0 and got %d", what, p.Variants[i].Name, counts[0][i])
		}
	}
	x, total := 0.0, 0
	for _, n := range counts[0] {
		total += n
	}
	for i, n := range counts[0] {
		if want := shares[i] * float64(total); want > 0 {
			x += (float64(n) - want) * (float64(n) - want) / want
		}
	}
	tail := chiSquareTail(x, df)
	t.Logf("%s: %v, chi-square %.2f with %d degrees of freedom, p = %.4f", what, counts[0], x, df, tail)
	if !(tail > 0.001) {
		t.Errorf("%s: %v, p = %g", what, counts[0], tail)
	}
}

func TestChiSquareTailIsThatOfTheTables(t *testing.T) {
	for _, tt := range []struct {
		x  float64
		df int
		p  float64
	}{ // upper points from the usual tables
		{10.827566, 1, 0.001}, {13.815511, 2, 0.001}, {16.266236, 3, 0.001}, {103.442, 63, 0.001}, {5.991465, 2, 0.05}, {7.814728, 3, 0.05},
	} {
		if got := chiSquareTail(tt.x, tt.df); !near(got, tt.p, tt.p*1e-3) {
			t.Errorf("%v with %d: %v, want %v", tt.x, tt.df, got, tt.p)
		}
	}
}

func TestRaisingFromTenToTwentyPercentMovesTenPercentOfUnits(t *testing.T) {
	before := policy(t, "stable=90 canary=10")
	after := reweigh(t, before, "stable=80 canary=20")
	moved := 0
	for i := range million {
		unit := user("user-" + strconv.Itoa(i))
		a, b := before.Pick(unit, nil).Variant, after.Pick(unit, nil).Variant
		if a == b {
			continue
		}
		moved++
		if after.Variants[b].Name != "canary" {
			t.Fatalf("%v moved off the canary when its weight was raised", unit)
		}
	}
	// Five standard deviations of a binomial share of a million.
	if got := float64(moved) / million; !near(got, 0.1, 5*math.Sqrt(0.1*0.9/million)) {
		t.Errorf("%.4f of the units moved, want 0.1", got)
	} else {
		t.Logf("%.4f of the units moved", got)
	}
}

func TestEpochsServicesBucketsAndFailoverAreIndependentOfTheAssignment(t *testing.T) {
	p := policy(t, "a=50 b=30 c=20")
	next, err := p.With(p.Weights(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	other := policy(t, "a=50 b=30 c=20", func(_ *Spec, o *Options) { o.Service = "movies" })
	epochs, services, failovers, secondEpochs := table(3, 3), table(3, 3), table(3, 3), table(3, 3)
	buckets, bucketCounts := table(3, Buckets), table(1, Buckets)
	var written []byte
	for i := range million {
		unit := user(strconv.Itoa(i))
		c := p.Pick(unit, nil)
		epochs[c.Variant][next.Pick(unit, nil).Variant]++
		services[c.Variant][other.Pick(unit, nil).Variant]++
		failovers[c.Variant][p.PickAmong(c, 0).Variant]++ // nothing excluded: the failover's hash against the assignment's
		secondEpochs[p.PickAmong(c, 0).Variant][next.PickAmong(c, 0).Variant]++
		written = p.AppendUnit(written[:0], c.Unit)
		buckets[c.Variant][Bucket(written)]++
		bucketCounts[0][Bucket(written)]++
	}
	shares := []float64{0.5, 0.3, 0.2}
	independent(t, "two epochs", epochs, shares)
	independent(t, "two services", services, shares)
	independent(t, "assignment and failover", failovers, shares)
	independent(t, "failover of two epochs", secondEpochs, shares)
	even := make([]float64, Buckets)
	for i := range even {
		even[i] = 1.0 / Buckets
	}
	independent(t, "assignment and bucket", buckets, even)
	independent(t, "buckets", bucketCounts, even)
}

func TestFailoverHasExactlyThePropensityThatItSays(t *testing.T) {
	p := policy(t, "a=50 b=30 c=15 d=5")
	for first := range 4 {
		var want [4]float64
		counts := make([]int, 4)
		total := 0
		for i := 0; total < million/20; i++ {
			c := p.Pick(user(strconv.Itoa(i)), nil)
			if c.Variant != first {
				if i > 2*million {
					t.Fatal("too few units")
				}
				continue
			}
			second := p.PickAmong(c, SetOf(c.Variant))
			if second.Reason != ByFailover || second.Unit != c.Unit || second.Variant == first {
				t.Fatalf("%+v after %+v", second, c)
			}
			want[second.Variant] = second.Propensity
			counts[second.Variant]++
			total++
		}
		x := 0.0
		for i, n := range counts {
			if i != first {
				x += math.Pow(float64(n)-want[i]*float64(total), 2) / (want[i] * float64(total))
			}
		}
		if tail := chiSquareTail(x, 2); !(tail > 0.001) || !near(want[0]+want[1]+want[2]+want[3], 1, 1e-12) {
			t.Errorf("after %s: %v of %v, p = %g", p.Variants[first].Name, counts, want, tail)
		}
	}
}

// Properties. A policy of up to six variants is drawn, and what must hold for every unit is held against 50 of them.

func drawWeights(t *rapid.T) Weights {
	w := Weights{}
	for i := range rapid.IntRange(1, 6).Draw(t, "variants") {
		w[string(rune('a'+i))] = drawWeight(t)
	}
	w["a"] = Weight{billionths: max(1, w["a"].billionths)}
	return w
}

func drawWeight(t *rapid.T) Weight {
	n := rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Uint64Range(0, 1_000_000_000), rapid.Uint64Range(0, maxWeight*1e9)).Draw(t, "weight")
	return Weight{billionths: n}
}

var sixNames = []string{"a", "b", "c", "d", "e", "f"}

func compiled(t *rapid.T, base *Policy, w Weights) *Policy {
	p, err := base.With(w, base.Epoch, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func units(t *rapid.T, use func(facts)) {
	prefix := rapid.StringN(0, 40, -1).Draw(t, "prefix")
	for i := range 50 {
		use(user(prefix + strconv.Itoa(i)))
	}
}

func TestOneWeightMovesOnlyTheUnitsItMust(t *testing.T) {
	base := policy(t, "a=1 b=1 c=1 d=1 e=1 f=1")
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeights(t)
		name := rapid.SampledFrom(sixNames).Draw(t, "changed")
		changed := maps.Clone(w)
		changed[name] = drawWeight(t)
		if changed.Check(sixNames) != nil {
			return
		}
		raised := changed[name].billionths > w[name].billionths
		p, q := compiled(t, base, w), compiled(t, base, changed)
		units(t, func(unit facts) {
			a, b := p.Variants[p.Pick(unit, nil).Variant].Name, q.Variants[q.Pick(unit, nil).Variant].Name
			if a != b && (raised && b != name || !raised && a != name) {
				t.Fatalf("%v goes from %s to %s as %s goes from %v to %v", unit, a, b, name, w[name], changed[name])
			}
		})
	})
}

func TestHowSharesAreWrittenAndOrderedChangesNothing(t *testing.T) {
	base := policy(t, "a=1 b=1 c=1 d=1 e=1 f=1")
	backwards := policy(t, "f=1 e=1 d=1 c=1 b=1 a=1")
	rapid.Check(t, func(t *rapid.T) {
		w, scaled := drawWeights(t), Weights{}
		for name := range w {
			w[name] = Weight{billionths: w[name].billionths % 1e9}
			scaled[name] = Weight{billionths: w[name].billionths * 10, percent: true}
		}
		if w.Check(sixNames) != nil {
			return
		}
		p, q, r := compiled(t, base, w), compiled(t, base, scaled), compiled(t, backwards, w)
		units(t, func(unit facts) {
			a, b, c := p.Pick(unit, nil), q.Pick(unit, nil), r.Pick(unit, nil)
			if a != b || r.Variants[c.Variant].Name != p.Variants[a.Variant].Name || c.Propensity != a.Propensity {
				t.Fatalf("%v: %+v, scaled %+v, backwards %+v", unit, a, b, c)
			}
		})
	})
}

func TestWeightZeroGetsNobodyCookieOrNot(t *testing.T) {
	for _, change := range []func(*Spec, *Options){signedCookie, plainCookie} {
		base := policy(t, "a=1 b=1 c=1 d=1 e=1 f=1", change)
		rapid.Check(t, func(t *rapid.T) {
			before, after := compiled(t, base, drawWeights(t)), compiled(t, base, drawWeights(t))
			r := random(rapid.Uint64().Draw(t, "seed"))
			for _, name := range sixNames {
				jar := facts{"cookie:" + base.sticky.Cookie: name} // by hand, in mode plain
				for _, p := range []*Policy{before, after, before} {
					c := jar.visit(p, r)
					second := p.PickAmong(c, SetOf(c.Variant))
					if p.shares[c.Variant] == 0 || c.Propensity == 0 || second.Variant >= 0 && p.shares[second.Variant] == 0 {
						t.Fatalf("%+v and %+v of %v", c, second, p.Variants)
					}
					if (second.Variant < 0) != (p.Live() == SetOf(c.Variant)) || (second.Variant < 0) != (second.Propensity == 0) {
						t.Fatalf("%+v of %v", second, p.Variants)
					}
				}
			}
		})
	}
}

func TestSetsHoldVariants(t *testing.T) {
	s := SetOf(0, 63, -1, 5)
	for _, v := range []int{-1, 0, 1, 5, 62, 63, 64} {
		if want := v == 0 || v == 5 || v == 63; s.Has(v) != want {
			t.Errorf("%d: %t", v, s.Has(v))
		}
	}
	if s.Len() != 3 {
		t.Errorf("%d variants", s.Len())
	}
	p := policy(t, "a=1 b=1 c=0")
	if none := p.PickAmong(p.Pick(user("u"), nil), p.Live()); none.Variant != -1 || none.Propensity != 0 || SetOf(none.Variant) != 0 {
		t.Errorf("%+v", none)
	}
}

func TestPropensityIsTheShare(t *testing.T) {
	p := policy(t, "a=80 b=20 c=0")
	for i := range 100 {
		c := p.Pick(user(fmt.Sprint(i)), nil)
		if want := []float64{0.8, 0.2}[c.Variant]; c.Propensity != want || c.Reason != ByWeights || !c.Unit.Known() {
			t.Fatalf("%+v", c)
		}
	}
	if got := strings.Join([]string{ByWeights.String(), ByMatch.String(), ByFailover.String(), ByHand.String()}, " "); got != "weights match failover byHand" {
		t.Error(got)
	}
}
