package release

import (
	"fmt"
	"math"

	"github.com/serin-ml/serin/internal/stat"
)

// covered is the measure of how many predictions get a label. It is no metric that a plan can have.
const covered Measure = "covered"

// coverageAlpha is the error probability of "labels come back as often in either arm", over all looks together: that of a sample-ratio
// mismatch, which is the same kind of fault.
const coverageAlpha = 0.001

// doubtCoverage takes back what was found of an accuracy where labels come back for other shares of the arms' predictions: the labelled ones
// are then no like samples, and the one arm's may be better for what is missing.
func (f *finding) doubtCoverage(segments []Segment) error {
	m := Metric{Measure: covered}
	both := strata(&m, segments)
	stable, candidate := make([][]stat.Pair, len(both)), make([][]stat.Pair, len(both))
	for i, s := range both {
		stable[i], candidate[i] = s.A, s.B
	}
	if !spread(stable) || !spread(candidate) || few(stable) && few(candidate) {
		return nil
	}
	difference := stat.StratifiedDifference(both)
	a, b := total(stable), total(candidate)
	difference.SE = max(difference.SE, math.Hypot(shareError(a), shareError(b)), errorAsInLarger(both))
	sequence, err := stat.NewMeanSequence(coverageAlpha, tuneMeans)
	if err != nil {
		return err
	}
	if i := sequence.Interval(difference); i.Low <= 0 && i.High >= 0 {
		return nil
	}
	f.harm, f.clear = false, false
	f.why = fmt.Sprintf("labels come back for %.3g%% of the candidate's predictions and for %.3g%% of stable's, so that what is labelled cannot be compared",
		100*b.Y/b.Z, 100*a.Y/a.Z)
	return nil
}
