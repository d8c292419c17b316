package stat

import "math"

// Pair is what one cluster (a bucket of whole users) gave in one arm: z observations, and y their sum, or how many of them have a property.
type Pair struct{ Y, Z float64 }

// Stratum is a time within which the arms' shares of the traffic did not change: the pairs of arm A and of arm B, the same cluster at the
// same place in both. Both have the same length in all strata that are put together.
type Stratum struct{ A, B []Pair }

// StratifiedDifference estimates how much larger sum(y)/sum(z) is in arm B than in arm A, where the arms' shares changed over time: each
// stratum is compared within itself, so that a time of day with other traffic and other shares cannot look like a difference between the
// arms (Simpson's paradox). Strata weigh zA·zB/(zA+zB), as after Mantel and Haenszel: what they hold, whatever they say; one in which an arm
// has nothing weighs nothing.
//
// The variance is clustered by the sum of each cluster's influence over all strata and both arms, as users stay who they are:
//
//	Var = C/(C-1) · sum over clusters ( sum over strata w/W · [ (yB - rB·zB)/ZB - (yA - rA·zA)/ZA ] )²
//
// It is not known (+Inf) while fewer than MinClusters clusters of equal weight carry an arm. N is all observations of the strata that weigh
// something.
func StratifiedDifference(strata []Stratum) Estimate {
	out := Estimate{Value: math.NaN(), SE: math.Inf(1)}
	var total, value, n float64
	var influence, inA, inB []float64
	for _, s := range strata {
		a, b := sumOf(s.A), sumOf(s.B)
		w := a.Z * b.Z / (a.Z + b.Z)
		if !(w > 0) {
			continue
		}
		if influence == nil {
			influence, inA, inB = make([]float64, len(s.A)), make([]float64, len(s.A)), make([]float64, len(s.A))
		}
		rA, rB := a.Y/a.Z, b.Y/b.Z
		total += w
		value += w * (rB - rA)
		n += a.Z + b.Z
		for i := range s.A {
			influence[i] += w * ((s.B[i].Y-rB*s.B[i].Z)/b.Z - (s.A[i].Y-rA*s.A[i].Z)/a.Z)
			inA[i] += s.A[i].Z
			inB[i] += s.B[i].Z
		}
	}
	if total == 0 {
		return out
	}
	out.Value, out.N = value/total, uint64(math.Round(n))
	if min(effective(inA), effective(inB)) < MinClusters {
		return out
	}
	squares := 0.0
	for _, v := range influence {
		squares += v * v
	}
	clusters := float64(len(influence))
	out.SE = known(math.Sqrt(squares*clusters/(clusters-1)) / total)
	return out
}

// StratifiedMean estimates sum(y)/sum(z) of one arm over all strata together, clustered in the same way.
func StratifiedMean(arms [][]Pair) Estimate {
	var r Ratio
	if len(arms) == 0 {
		return r.Estimate()
	}
	for i := range arms[0] {
		var p Pair
		for _, arm := range arms {
			p.Y += arm[i].Y
			p.Z += arm[i].Z
		}
		r.Add(p.Y, p.Z)
	}
	e := r.Estimate()
	if r.Effective() < MinClusters {
		e.SE = math.Inf(1)
	}
	return e
}

// MinClusters is the fewest clusters of equal weight from which their spread tells a standard error.
const MinClusters = 20

func sumOf(pairs []Pair) (s Pair) {
	for _, p := range pairs {
		s.Y += p.Y
		s.Z += p.Z
	}
	return s
}

// effective returns how many clusters of equal weight would tell as much (Kish).
func effective(z []float64) float64 {
	var sum, squares float64
	for _, v := range z {
		sum += v
		squares += v * v
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / squares
}
