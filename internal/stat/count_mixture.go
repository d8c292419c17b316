package stat

import "math"

// impossible is the ln E of an event in an arm that can have none. It is finite, so that it can be added up and written down.
const impossible = 1e9

// logSplitE returns ln E of the Dirichlet-multinomial mixture: x are counts, p the shares under the null hypothesis (their sum is 1),
// kappa the weight of the prior Dirichlet(kappa·p), in events:
//
//	ln E = ln B(kappa·p + x) - ln B(kappa·p) - sum x·ln p
//
// It is written by Stirling's formula, in which all large terms cancel on paper rather than in float64: the error stays
// below 1e-11 for counts of 1e9, where the difference of log-gammas is off by 1e-5.
func logSplitE(x, p []float64, kappa float64) float64 {
	n := 0.0
	for _, v := range x {
		n += v
	}
	total := kappa + n
	logE := math.Log1p(n/kappa)/2 - stirlingRest(total) + stirlingRest(kappa)
	for i, v := range x {
		prior := kappa * p[i]
		if prior < 1e-280 { // v/prior would overflow
			if v > 0 {
				return impossible
			}
			continue
		}
		beyond := math.FMA(-n, p[i], v) / (total * p[i]) // (prior+v)/(total·p) - 1, without rounding the difference
		logOdds := math.Log1p(beyond)
		if beyond < -0.5 {
			logOdds = math.Log((prior + v) / (total * p[i]))
		}
		logE += (prior+v)*logOdds - math.Log1p(v/prior)/2 + stirlingRest(prior+v) - stirlingRest(prior)
	}
	return logE
}

// logShareE is logSplitE for count of n against the share p.
func logShareE(count, n, p, kappa float64) float64 {
	return logSplitE([]float64{count, n - count}, []float64{p, 1 - p}, kappa)
}

// logShareEAbove is the mixture over shares above p only: an e-value against every share of at most p (each likelihood ratio q/p with
// q > p has an expectation of at most 1 there). It is the two-sided one times P(Q > p) after the data over the same before.
func logShareEAbove(count, n, p, kappa float64) float64 {
	switch {
	case n == 0 || p >= 1:
		return 0
	case p <= 0:
		return logShareE(count, n, 0, kappa)
	}
	if floor := 1e-9 / kappa; p < floor { // P(Q > p) before the data would drown in the rounding of 1
		if floor >= 1 {
			return 0
		}
		p = floor // evidence against a larger share is evidence against this one
	}
	a, b := kappa*p, kappa*(1-p)
	return logShareE(count, n, p, kappa) + logBetaTail(p, a+count, b+(n-count)) - logBetaTail(p, a, b)
}

// countKappa tunes the prior weight to the sample size, as confseq's beta-binomial mixture does: there the prior is
// Beta(r/h, r/g) with r = max(rho(p(1-p)·tune, alpha) - gh, 0.001·gh), g = p, h = 1-p, which is Beta(kappa·p, kappa·(1-p)).
func countKappa(alpha, tune float64) float64 { return max(bestRho(tune, alpha)-1, 1e-3) }
