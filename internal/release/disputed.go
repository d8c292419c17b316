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
	if f.harm, err = moreOften(0, d, l.Fail); err != nil {
		return f, err
	}
	// Two intervals hold together: of p, and of d.
	shares, err := stat.NewShareSequence(l.Pass/2, tuneShares)
	if err != nil {
		return f, err
	}
	p := shares.Interval(wins)
	differ, err := differing(segments, l.Pass/2)
	if err != nil {
		return f, err
	}
	f.shown.Estimate = (2*p.Estimate - 1) * differ.Estimate
	if f.shown.Low = 2*p.Low - 1; f.shown.Low < 0 {
		f.shown.Low *= differ.High
	} else {
		f.shown.Low *= differ.Low
	}
	if f.shown.High = 2*p.High - 1; f.shown.High < 0 {
		f.shown.High *= differ.Low
	} else {
		f.shown.High *= differ.High
	}
	f.clear = f.shown.Low >= -m.Margin
	return f, nil
}

// moreOften tells whether one of the two (0 is stable) is shown to be right more often than the other.
func moreOften(who int, d *Disputed, alpha float64) (bool, error) {
	test, err := stat.NewSplitTest(stat.EventsKappa, 1, 1)
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
	agreed := exact.Interval(counts(arms))
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
