package stat

import "math"

// The usual choices for stitched bounds: the exponent of the error spent per epoch, the growth of the epochs, and the grid of
// quantiles in units of the first epoch's deviation.
const (
	stitchExponent = 1.4
	stitchGrowth   = 2.
	stitchGrid     = 0.5
)

// PolyStitching returns the polynomial stitched bound (Howard, Ramdas, McAuliffe and Sekhon, eq. 10) on a sub-gamma sum of scale c at
// intrinsic time v, valid at all v together with error probability alpha and tight from vMin on:
//
//	sqrt(k1²·v·l + k2²·c²·l²) + k2·c·l,  l = s·ln ln(eta·v/vMin) + ln(zeta(s)/(alpha·ln^s eta)),  s = 1.4, eta = 2
//
// A stitched bound is made of pieces, one per epoch of doubling length. It grows like sqrt(v·ln ln v), the slowest there is, but the
// mixtures are closer at the sample sizes one meets: verdicts use those, and these are for comparison.
func PolyStitching(v, alpha, vMin, c float64) float64 {
	v = max(v, vMin)
	return stitchRadius(v, c, stitchLog(v/vMin)+math.Log(zeta(stitchExponent)/alpha))
}

// DoubleStitching returns the double stitched bound (Howard and Ramdas, Sequential estimation of quantiles, theorem 3) on the number
// of n values at or below quantile p, less the n·p expected: valid for all p and all n together with error probability alpha, and
// tight from first values on.
func DoubleStitching(p, n, alpha, first float64) float64 {
	n = max(n, first)
	logit := math.Log(p / (1 - p))
	r := p
	if p < 0.5 {
		r = min(0.5, 1/(1+math.Exp(-logit-2*stitchGrid*math.Sqrt(first*stitchGrowth/n))))
	}
	variance := r * (1 - r)
	grid := math.Sqrt(n/first)*math.Abs(logit)/(2*stitchGrid) + 1
	z := zeta(stitchExponent)
	l := stitchLog(n/first) + stitchExponent*math.Log(grid) + math.Log(2*z*(2*z+1)/alpha)
	return stitchGrid*math.Sqrt(stitchGrowth*n*variance/first) + stitchRadius(variance*n, (1-2*p)/3, l)
}

// stitchLog returns s·ln ln(eta·ratio) - s·ln ln eta.
func stitchLog(ratio float64) float64 {
	return stitchExponent * math.Log(math.Log(stitchGrowth*ratio)/math.Log(stitchGrowth))
}

func stitchRadius(v, c, l float64) float64 {
	k1 := (math.Pow(stitchGrowth, 0.25) + math.Pow(stitchGrowth, -0.25)) / math.Sqrt2
	second := (math.Sqrt(stitchGrowth) + 1) / 2 * c * l
	return math.Sqrt(k1*k1*v*l+second*second) + second
}
