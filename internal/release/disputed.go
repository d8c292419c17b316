package release

import (
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// disputed adds up who was right where a shadow and stable differ; nil where no segment is a shadow's.
func disputed(segments []Segment) (sum *Disputed) {
	for i := range segments {
		if d := segments[i].Disputed; d != nil {
			if sum == nil {
				sum = new(Disputed)
			}
			sum.Stable += d.Stable
			sum.Candidate += d.Candidate
			sum.Neither += d.Neither
		}
	}
	return sum
}

// judgeDisputed judges the accuracy of a shadow against stable's. Both answer the same requests, so where they predict the same class neither
// is better, and all that tells them apart is how often the one or the other is right where they differ (McNemar, 1947). With the share p of
// those that the candidate was right in, and d the share of predictions that differ, its accuracy is larger by (2p-1)·d, of those where
// one of them was right.
func judgeDisputed(m *Metric, segments []Segment, l Levels) (f finding, err error) {
	d := disputed(segments)
	wins := stat.Share{Count: d.Candidate, N: d.Stable + d.Candidate}
	f.n = wins.N + d.Neither
	f.shown = stat.Interval{Estimate: math.NaN(), Low: math.Inf(-1), High: math.Inf(1), N: f.n}
	if wins.N == 0 {
		f.why = "no feedback has judged a prediction that the two differ in"
		return f, nil
	}
	// Two limits hold together: of p, and of d.
	p := stat.Interval{Estimate: wins.Value()}
	if p.High, err = d.mostOften(l.Fail); err != nil {
		return f, err
	}
	if p.Low, err = d.leastOften(l.Pass / 2); err != nil {
		return f, err
	}
	differ, err := differing(segments, l.Pass/2)
	if err != nil {
		return f, err
	}
	low, high := 2*p.Low-1, 2*p.High-1
	if low < 0 {
		low *= differ.High
	} else {
		low *= differ.Low
	}
	if high < 0 {
		high *= differ.Low
	} else {
		high *= differ.High
	}
	f.shown.Estimate = (2*p.Estimate - 1) * differ.Estimate
	f.settle(m, -high, -low, m.Tolerate, m.Margin)
	return f, nil
}

// leastOften returns the largest share of the answers where one of the two was right of which it is shown that the candidate's is larger, by
// the test that finds harm: 0 if there is none.
func (d *Disputed) leastOften(alpha float64) (float64, error) {
	return d.limit(1, alpha)
}

// mostOften returns the smallest share of which it is shown that the candidate's is smaller: 1 if there is none.
func (d *Disputed) mostOften(alpha float64) (float64, error) {
	p, err := d.limit(0, alpha)
	return 1 - p, err
}

// limit returns the largest share of which it is shown that the one's (0 is stable) is larger.
func (d *Disputed) limit(who int, alpha float64) (low float64, err error) {
	high := 1.0
	for range 40 {
		middle := (low + high) / 2
		larger, err := d.larger(who, middle, alpha)
		switch {
		case err != nil:
			return 0, err
		case larger:
			low = middle
		default:
			high = middle
		}
	}
	return low, nil
}

// larger tells whether one of the two is shown to be right in more than a share of those where one was.
func (d *Disputed) larger(who int, share, alpha float64) (bool, error) {
	shares := [2]float64{1 - share, 1 - share}
	shares[who] = share
	test, err := stat.NewSplitTest(stat.EventsKappa, shares[:]...)
	if err != nil {
		return false, err
	}
	e, err := test.LogEMore(who, d.Stable, d.Candidate)
	return e >= -math.Log(alpha), err
}

// differing returns the share of a shadow's answers that do not agree with stable's.
func differing(segments []Segment, alpha float64) (stat.Interval, error) {
	m := Metric{Measure: Agreement}
	arms := candidate(&m, segments)
	exact, err := stat.NewShareSequence(alpha, tuneShares)
	if err != nil {
		return stat.Interval{}, err
	}
	agreed := exact.Interval(m.byUsers(arms, math.Ceil))
	agreed.Estimate = counts(arms).Value()
	if !few(arms) && spread(arms) {
		means, err := stat.NewMeanSequence(alpha, tuneMeans)
		if err != nil {
			return stat.Interval{}, err
		}
		e := stat.StratifiedMean(arms)
		e.SE = max(e.SE, shareError(total(arms)))
		agreed = means.Interval(e)
	}
	return stat.Interval{Estimate: 1 - agreed.Estimate, Low: max(1-agreed.High, 0), High: min(1-agreed.Low, 1), N: agreed.N}, nil
}
