package release

import (
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// skewOf is the skew of the error of one arm's mean, by buckets. It is above 0 where a few large values make much of the mean: while some of
// them have not come yet, the mean is too small, and its standard error is, too. That of a difference needs none, as the arms lean alike.
func skewOf(arms [][]stat.Pair) float64 {
	sum := total(arms)
	var squares, cubes float64
	for _, p := range byBucket(arms) {
		off := p.Y - sum.Y/sum.Z*p.Z
		squares += off * off
		cubes += off * off * off
	}
	if squares == 0 {
		return 0
	}
	return cubes / math.Pow(squares, 1.5)
}

// sparse tells whether so few values are not 0 that a quarter of the groups of users have none: the next one may double the mean.
func sparse(arms [][]stat.Pair) bool {
	some, any := 0, 0
	for _, p := range byBucket(arms) {
		if p.Z > 0 {
			any++
		}
		if p.Y != 0 {
			some++
		}
	}
	return 4*some < 3*any
}

// further is by how many standard errors a limit that is so many of them away has to be further because of the skew, on the side on which that
// makes it too near (after Johnson, Modified t tests and confidence intervals for asymmetrical populations, 1978). The other side stays.
func further(skew, away float64) float64 {
	return max(skew, 0) * (1 + 2*away*away) / 6
}
