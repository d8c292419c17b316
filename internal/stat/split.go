package stat

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

// Prior weights for SplitTest, in events.
const (
	// UnitsKappa suits counts of users, where the expected deviation is small (sample-ratio mismatch). GrowthBook takes 10000, which
	// needs more users to find the same mismatch.
	UnitsKappa = 1000
	// EventsKappa suits counts of errors, complaints or disagreements, where twice as many is the question.
	EventsKappa = 10
)

// SplitTest tests whether events fall on arms in given proportions. It may be looked at any time: the multinomial e-process of
// Lindon and Malek (Anytime-valid inference for multinomial count data, 2022; GrowthBook's sequential SRM),
//
//	ln E = ln B(kappa·p + x) - ln B(kappa·p) - sum x·ln p
//
// for counts x and shares p. One test, four uses:
//   - sample-ratio mismatch: x are users per arm, p the weights (UnitsKappa);
//   - error rates: x are errors per arm. While the rates are equal, errors split as the traffic does, whatever the time of day;
//   - complaints and thumbs down per arm: likewise;
//   - paired disagreements (sequential McNemar): both models answer the same input, x are the inputs that only the one and only
//     the other got right, p is ½, ½.
//
// The events must be independent of each other given the arm. Under stickiness count users (with a first error), not requests. Under
// changing weights take one segment of counts per weight setting and multiply: see Evidence.
type SplitTest struct {
	shares []float64
	kappa  float64
}

// NewSplitTest takes the prior's weight and the arms' weights, in any unit. An arm of weight 0 must get nothing: one event there
// refutes the split.
func NewSplitTest(kappa float64, weights ...float64) (SplitTest, error) {
	if !(kappa > 0) || math.IsInf(kappa, 1) {
		return SplitTest{}, fault.Invalidf("a prior weight of %v events is not a positive number", kappa)
	}
	shares, err := sharesOf(weights)
	return SplitTest{shares: shares, kappa: kappa}, err
}

func sharesOf(weights []float64) ([]float64, error) {
	sum := 0.0
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 1) {
			return nil, fault.Invalidf("weight %v of arm %d is not a number from 0 up", w, i)
		}
		sum += w
	}
	if !(sum > 0) || math.IsInf(sum, 1) {
		return nil, fault.Invalidf("the weights of %d arms add up to %v", len(weights), sum).
			WithHint("a test of proportions needs an arm with a weight above 0")
	}
	shares := make([]float64, len(weights))
	for i, w := range weights {
		shares[i] = w / sum
	}
	return shares, nil
}

// LogE returns ln of the e-value of the counts, one per arm. It fails for another number of counts than of arms.
func (t SplitTest) LogE(counts ...uint64) (float64, error) {
	if err := sameArms(counts, t.shares); err != nil {
		return 0, err
	}
	x := make([]float64, len(counts))
	for i, n := range counts {
		x[i] = float64(n)
	}
	return logSplitE(x, t.shares, t.kappa), nil
}

// LogEMore returns ln of the e-value against "the arm has at most its share" of the events of all arms: for harm in one arm. It finds
// harm sooner than LogE and is silent about the contrary.
func (t SplitTest) LogEMore(arm int, counts ...uint64) (float64, error) {
	if err := sameArms(counts, t.shares); err != nil {
		return 0, err
	}
	if arm < 0 || arm >= len(counts) {
		return 0, fault.Invalidf("no arm %d among %d", arm, len(counts))
	}
	n := 0.0
	for _, c := range counts {
		n += float64(c)
	}
	return logShareEAbove(float64(counts[arm]), n, t.shares[arm], t.kappa), nil
}

func sameArms(counts []uint64, shares []float64) error {
	if len(counts) != len(shares) {
		return fault.Invalidf("%d counts for %d arms", len(counts), len(shares))
	}
	return nil
}

// EventsNeeded estimates how many events over both arms it takes to find that one arm with the given share of the traffic has ratio
// times the other's rate, at error probability alpha: the number at which the expected split reaches the threshold of LogE. Chance finds
// small differences earlier, so it is up to a third above the median; LogEMore needs up to a quarter less. It is math.MaxUint64 for a
// ratio that cannot be found (1).
func EventsNeeded(share, ratio, kappa, alpha float64) uint64 {
	q := share * ratio / (share*ratio + 1 - share)
	return firstCount(func(n float64) bool { return logShareE(q*n, n, share, kappa) >= -math.Log(alpha) })
}

// ChiSquare is the result of a fixed chi-square test: valid for a single look.
type ChiSquare struct {
	Statistic float64
	DF        int     // degrees of freedom: the arms with a weight above 0, less one
	P         float64 // probability of a statistic as large by chance
}

// ChiSquareSplit tests counts against weights once: sum (x - e)²/e. The usual alarm for a sample-ratio mismatch is P < 0.001. Arms of
// weight 0 take no part, but one event there makes P = 0. It wants expected counts of 5 or more.
func ChiSquareSplit(counts []uint64, weights []float64) (ChiSquare, error) {
	if err := sameArms(counts, weights); err != nil {
		return ChiSquare{}, err
	}
	shares, err := sharesOf(weights)
	if err != nil {
		return ChiSquare{}, err
	}
	n := 0.0
	for _, c := range counts {
		n += float64(c)
	}
	r := ChiSquare{DF: -1}
	for _, p := range shares {
		if p > 0 {
			r.DF++
		}
	}
	for i, c := range counts {
		if e := shares[i] * n; e > 0 {
			r.Statistic += (float64(c) - e) * (float64(c) - e) / e
		} else if c > 0 {
			r.Statistic = math.Inf(1)
		}
	}
	switch {
	case math.IsInf(r.Statistic, 1):
		r.P = 0
	case r.DF == 0:
		r.P = 1
	default:
		r.P = chiSquareTail(r.Statistic, r.DF)
	}
	return r, nil
}
