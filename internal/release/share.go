package release

import (
	"fmt"
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// isShare tells whether the metric counts hits among observations.
func (m *Metric) isShare() bool {
	switch m.Measure {
	case Errors, Fallbacks, Accuracy, Agreement, covered:
		return true
	case Latency, Value, Expression, Query:
	}
	return false
}

// few tells whether so few groups of users have a hit, or have a miss, that their spread says little of how far a share can be off.
func few(arms [][]stat.Pair) bool {
	hits, misses := carriers(arms)
	return min(hits, misses) < stat.MinEvents
}

// spread tells whether enough groups of users carry the figures to say anything.
func spread(arms [][]stat.Pair) bool {
	var r stat.Ratio
	for _, p := range byBucket(arms) {
		r.Add(p.Y, p.Z)
	}
	return r.Effective() >= stat.MinClusters
}

// shareError is the standard error of a share of independent observations, below which that of users never is.
func shareError(p stat.Pair) float64 {
	share := (p.Y + 0.5) / (p.Z + 1)
	return math.Sqrt(share * (1 - share) / p.Z)
}

// errorAsInLarger is the standard error of a difference whose arms both spread as the larger one does; 0 where that is not known. A small arm
// may have none of the few users who fail always, or are slow, and then spreads too little to say how far it is off: one of 5% of the traffic
// let 8% of equal candidates fail, of a stated 5%.
func errorAsInLarger(both []stat.Stratum) float64 {
	var arms [2][][]stat.Pair
	var z [2]float64
	sum := 0.0
	for _, s := range both {
		a, b := total([][]stat.Pair{s.A}).Z, total([][]stat.Pair{s.B}).Z
		if weight := a * b / (a + b); weight > 0 {
			sum += weight
			z[0], z[1] = z[0]+a, z[1]+b
			arms[0], arms[1] = append(arms[0], s.A), append(arms[1], s.B)
		}
	}
	larger := 0
	if z[1] > z[0] {
		larger = 1
	}
	own := stat.StratifiedMean(arms[larger])
	if math.IsInf(own.SE, 1) {
		return 0
	}
	return own.SE * math.Sqrt(z[larger]/sum) // strata weigh a·b/(a+b), and that weight times 1/a + 1/b is 1
}

// counts are the observations, each of them one.
func counts(arms [][]stat.Pair) stat.Share {
	sum := total(arms)
	return stat.Share{Count: uint64(math.Round(sum.Y)), N: uint64(math.Round(sum.Z))}
}

// usersBehind are about as many users, each with one observation, as the observations are worth if all that one user sends is one and the same:
// (Σz)²/Σz² of users with z observations each (Kish). As a user falls on one of the buckets by chance, Σz² of users shows in that of buckets,
// whose expectation is Σz² + ((Σz)² - Σz²)/Buckets; its standard error is some 18%.
func usersBehind(arms [][]stat.Pair) float64 {
	var sum, squares float64
	for _, p := range byBucket(arms) {
		sum += p.Z
		squares += p.Z * p.Z
	}
	if sum == 0 {
		return 0
	}
	own := (squares - sum*sum/Buckets) / (1 - 1./Buckets)
	return sum * sum / max(own, sum)
}

// byUsers are the observations as far as users are behind them, with the worse of them rounded up or down to a whole one.
func (m *Metric) byUsers(arms [][]stat.Pair, round func(float64) float64) stat.Share {
	sum, n := total(arms), math.Floor(usersBehind(arms))
	if n >= sum.Z {
		return counts(arms)
	}
	worse := sum.Y
	if m.better() > 0 {
		worse = sum.Z - sum.Y
	}
	worse = round(worse / sum.Z * n)
	if m.better() > 0 {
		worse = n - worse
	}
	return stat.Share{Count: uint64(worse), N: uint64(n)}
}

// groups are the buckets, each of them one observation whose value is its share: what holds though all that a bucket's user sends is one
// and the same. A value between 0 and 1 is less of an extreme than a hit or a miss, so the law of counts holds for it.
func groups(arms [][]stat.Pair) stat.Share {
	var sum, n float64
	for _, p := range byBucket(arms) {
		if p.Z > 0 {
			sum += p.Y / p.Z
			n++
		}
	}
	return stat.Share{Count: uint64(math.Round(sum)), N: uint64(n)}
}

// exactly judges shares of which one is nearly 0 or nearly 1, by the exact law of counts. Harm is concluded from groups of users, so that a
// single one who sends many requests that fail harms nobody's release; a pass from users, as a candidate that fails one user in fifty at all
// times answers the thousand requests of some thirty others.
func (f *finding) exactly(m *Metric, stable, candidate [][]stat.Pair, l Levels) error {
	pass, err := stat.NewShareSequence(l.Pass, tuneShares)
	if err != nil {
		return err
	}
	fail, err := stat.NewShareSequence(l.Fail, Buckets)
	if err != nil {
		return err
	}
	var counted, grouped stat.Interval
	bound, tolerate := m.Margin, m.Tolerate
	if m.Versus {
		if m.Measure == Errors {
			tolerate *= counts(stable).Value()
		}
		counted = pass.Difference(m.byUsers(stable, math.Floor), m.byUsers(candidate, math.Ceil))
		counted.Estimate = counts(candidate).Value() - counts(stable).Value()
		grouped = fail.Difference(groups(stable), groups(candidate))
	} else {
		counted, grouped = pass.Interval(m.byUsers(candidate, math.Ceil)), fail.Interval(groups(candidate))
		counted.Estimate = counts(candidate).Value()
		bound, tolerate = -m.better()*m.Limit, -m.better()*m.Limit
	}
	f.shown.Estimate = counted.Estimate
	value, _ := m.mirror(counted.Estimate, counted.Estimate)
	low, _ := m.mirror(grouped.Low, grouped.High)
	_, high := m.mirror(counted.Low, counted.High)
	f.settle(m, min(low, value), high, tolerate, bound)
	f.why = "so few that failed, or that did not, that only large differences show"
	if n, sum := usersBehind(candidate), total(candidate).Z; n < sum/2 {
		f.why = fmt.Sprintf("%s; what the candidate answered is worth that of %.0f users", f.why, n)
	}
	return nil
}

// cautiously takes the better side of a share's interval from the exact law of counts, for as many observations as tell as much as those of
// users do. The central limit theorem takes the spread of what was seen, and of few errors that is too little: of shares just as bad as the limit
// it let 8% pass in 80 looks, where 5% were promised.
func (f *finding) cautiously(m *Metric, sum stat.Pair, se float64, l Levels) error {
	pass, err := stat.NewShareSequence(l.Pass, tuneShares)
	if err != nil {
		return err
	}
	asMany := math.Pow(shareError(sum)/se, 2)
	exact := pass.Interval(stat.Share{Count: uint64(math.Round(sum.Y * asMany)), N: uint64(math.Round(sum.Z * asMany))})
	low, high := m.mirror(f.shown.Low, f.shown.High)
	_, exactHigh := m.mirror(exact.Low, exact.High)
	limit := -m.better() * m.Limit
	f.settle(m, low, max(high, exactHigh), limit, limit)
	return nil
}

// atMargin is the standard error of a difference of shares half way between what was seen and what it is if the candidate is worse than stable
// by just the margin, where that is larger: see cautiously. With what was seen alone 6.8% of such candidates passed, with all of it 1.8%.
func (m *Metric) atMargin(se float64, a, b stat.Pair) float64 {
	seen := shareError(b)
	worse := (a.Y+0.5)/(a.Z+1) - m.better()*m.Margin
	if !(worse > 0 && worse < 1) {
		return se
	}
	more := worse*(1-worse)/b.Z - seen*seen
	if more <= 0 {
		return se
	}
	many := se / math.Hypot(shareError(a), seen) // by how much users who ask often widen it
	return math.Hypot(se, many*math.Sqrt(more/2))
}

// mirror turns the limits of a value into those of how much worse it is, and back: the same where less is better, else negative.
func (m *Metric) mirror(low, high float64) (worseLow, worseHigh float64) {
	if m.better() > 0 {
		return -high, -low
	}
	return low, high
}
