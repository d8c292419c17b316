package stat

import "math"

// Coverage is how many of the decisions that are old enough have got their label. Coverage is a metric itself: whether it is equal
// between arms is tested by SplitTest on the labelled counts; where it differs, accuracies are not comparable and WorstCase shows
// what remains certain.
type Coverage struct{ Labelled, Mature uint64 }

// Share returns the labelled share, NaN of nothing.
func (c Coverage) Share() float64 { return float64(c.Labelled) / float64(c.Mature) }

// WorstCase returns the limits of the accuracy over all mature decisions if nothing is known of those without a label:
// [c·acc, c·acc + 1 - c] for coverage c (Manski's bounds). The Estimate is the accuracy of the labelled.
func (c Coverage) WorstCase(correct uint64) Interval {
	i := Interval{Estimate: float64(correct) / float64(c.Labelled), Low: 0, High: 1, N: c.Mature}
	if c.Mature > 0 {
		n := float64(c.Mature)
		i.Low = float64(correct) / n
		i.High = (float64(correct) + float64(c.Mature) - float64(c.Labelled)) / n
	}
	return i
}

// Plan answers, before an experiment starts, what a comparison of two arms by MeanSequence can show.
type Plan struct {
	Alpha float64
	Share float64 // the candidate's share of the observations, between 0 and 1
	// The variance of one observation in either arm: p(1-p) for a share.
	StableVariance, CandidateVariance float64
}

// PlanShares returns the plan for two shares, such as accuracies.
func PlanShares(alpha, candidateShare, stable, candidate float64) Plan {
	return Plan{Alpha: alpha, Share: candidateShare, StableVariance: stable * (1 - stable), CandidateVariance: candidate * (1 - candidate)}
}

// Observations returns how many observations over both arms make the interval of the difference reach gap to either side, if the
// sequence is tuned for that number: B²·(varS/(1-share) + varC/share)/gap². Round it up. A true difference of gap is then
// found half of the time, one of 1.5 times gap nine times in ten. An 80/20 split costs 1.6 times the observations of 50/50.
func (p Plan) Observations(gap float64) float64 {
	b := tunedMultiplier(p.Alpha)
	return b * b * p.variance() / (gap * gap)
}

// Gap is the inverse of Observations: what difference n observations can show.
func (p Plan) Gap(n float64) float64 {
	return tunedMultiplier(p.Alpha) * math.Sqrt(p.variance()/n)
}

func (p Plan) variance() float64 { return p.StableVariance/(1-p.Share) + p.CandidateVariance/p.Share }

// tunedMultiplier is MeanSequence.Multiplier(n) for a sequence tuned for n: it does not depend on n. 3.0352 for alpha 0.05.
func tunedMultiplier(alpha float64) float64 {
	return normalBound(1, bestRho(1, alpha), -math.Log(alpha))
}
