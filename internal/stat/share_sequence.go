package stat

import "math"

// ShareSequence gives confidence sequences for a share that is compared with a fixed bar: error rate, share of slow requests,
// accuracy. It is exact from the first observation on, for shares near 0 and 1 too: 0 errors of 100 leave up to 10% possible.
//
// It is the beta-binomial mixture (Robbins; Howard and others, Time-uniform ... confidence sequences, Prop. 7 and confseq), with
// S = (share-p)·n, v = p(1-p)·n, g = p, h = 1-p:
//
//	logM = v/(gh)·ln(g+h) - (v+hS)/(h(g+h))·ln g - (v-gS)/(g(g+h))·ln h
//	       + ln B((r+v-gS)/(g(g+h)), (r+v+hS)/(h(g+h))) - ln B(r/(g(g+h)), r/(h(g+h)))
//
// With g+h = 1 that is the e-process of SplitTest for two arms, and is computed as such. The observations must be independent: for
// requests of sticky users use Ratio.ShareEstimate with MeanSequence, or count users.
type ShareSequence struct {
	threshold, kappa float64
}

// NewShareSequence returns the sequence of error probability alpha that is narrowest at about tune observations.
func NewShareSequence(alpha, tune float64) (ShareSequence, error) {
	if err := checkLevel(alpha, tune); err != nil {
		return ShareSequence{}, err
	}
	return ShareSequence{threshold: -math.Log(alpha), kappa: countKappa(alpha, tune)}, nil
}

// Interval returns the shares that the counts do not refute, 0 to 1 for no counts.
func (q ShareSequence) Interval(s Share) Interval {
	count, n := s.counts()
	return Interval{Estimate: s.Value(), Low: q.lower(count, n), High: 1 - q.lower(n-count, n), N: s.N}
}

// lower returns the lower limit for count of n. A single hit does not refute a share close to 0 (the limit of E is below 1), two do.
func (q ShareSequence) lower(count, n float64) float64 {
	if count <= 1 {
		return 0
	}
	return boundary(0, count/n, func(p float64) bool {
		return p <= 0 || logShareE(count, n, p, q.kappa) > q.threshold
	})
}

// Difference returns b's share less a's, with the limits of two sequences of error probability alpha/2 each (union bound). It is exact
// from the first observation on, and wider than MeanSequence's interval where that one can be had (see MinEvents).
func (q ShareSequence) Difference(a, b Share) Interval {
	q.threshold += math.Ln2
	x, y := q.Interval(a), q.Interval(b)
	return Interval{Estimate: y.Estimate - x.Estimate, Low: y.Low - x.High, High: y.High - x.Low, N: x.N + y.N}
}

// LogE returns ln of the e-value against "the share is p".
func (q ShareSequence) LogE(s Share, p float64) float64 {
	count, n := s.counts()
	return logShareE(count, n, p, q.kappa)
}

// LogEAbove returns ln of the e-value against "the share is at most p": for the error rate under a limit.
func (q ShareSequence) LogEAbove(s Share, p float64) float64 {
	count, n := s.counts()
	return logShareEAbove(count, n, p, q.kappa)
}

// LogEBelow returns ln of the e-value against "the share is at least p": for an accuracy above a bar.
func (q ShareSequence) LogEBelow(s Share, p float64) float64 {
	count, n := s.counts()
	return logShareEAbove(n-count, n, 1-p, q.kappa)
}

// Clean returns the smallest number of observations that, if none of them is a hit, puts the upper limit at or below limit: what a
// promise such as "at most 1% errors" costs at least before it can be shown. It is 0 for a limit of 1 or more, and math.MaxUint64
// for one that no number of observations shows.
func (q ShareSequence) Clean(limit float64) uint64 {
	if limit >= 1 {
		return 0
	}
	return firstCount(func(n float64) bool { return logShareE(0, n, limit, q.kappa) >= q.threshold })
}

// firstCount returns the smallest n >= 1 for which enough holds, if it holds for all larger ones; math.MaxUint64 if there is none
// below 2^53.
func firstCount(enough func(n float64) bool) uint64 {
	high := 1.0
	for !enough(high) {
		if high *= 2; high > 1<<53 {
			return math.MaxUint64
		}
	}
	return uint64(boundary(math.Floor(high/2), high, func(n float64) bool { return !enough(math.Floor(n)) })) + 1
}
