package release

import (
	"fmt"
	"math"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/stat"
)

// Levels are the error probabilities of one metric, over all looks together.
type Levels struct {
	Fail float64 // that it fails although the candidate is as good as it must be
	Pass float64 // that it passes although the candidate is worse than it may be
}

// LevelsOf shares out the probability that a release is rolled back although nothing is wrong: each metric that can roll back gets an equal
// part (Bonferroni). A promotion needs all of them to pass, so each may be wrong with the whole of pass. Expressions and queries get no part,
// as they keep no promise that it could be a part of.
func LevelsOf(falseRollback, pass float64, metrics []Metric) Levels {
	n := 0
	for i := range metrics {
		if m := &metrics[i]; (m.Role == Guardrail || m.Role == Goal) && !m.elsewhere() {
			n++
		}
	}
	return Levels{Fail: falseRollback / float64(max(n, 1)), Pass: pass}
}

// sample sizes for which intervals are narrowest. Far from there they are valid all the same.
const (
	tuneMeans  = 5000
	tuneShares = 1000
)

// finding is what the data say of one metric.
type finding struct {
	shown stat.Interval // the value, as people see it: its limits are those that harm and clear rest on
	n     uint64

	harm  bool   // it is shown to be worse by more than is tolerated
	clear bool   // it is shown not to be worse by more than the margin
	why   string // nothing is shown
	how   string // harm is shown, besides the limits
}

// settle concludes from how much worse the candidate is, at least and at most. Both are one-sided limits, low at Levels.Fail and high at
// Levels.Pass, and they are what people see: a fail beside an interval that reaches to what is tolerated, or a pass beside one that reaches
// beyond the margin, cannot be.
func (f *finding) settle(m *Metric, low, high, tolerate, margin float64) {
	f.harm, f.clear = low > tolerate, high <= margin
	f.shown.Low, f.shown.High = m.mirror(low, high)
}

// Judge says how a metric stands. The segments are those since the release began; kept is the evidence of the looks before, which Judge
// carries on: what was shown once stays shown.
func Judge(m Metric, segments []Segment, l Levels, kept *stat.Evidence) (Verdict, error) {
	if !(l.Fail > 0 && l.Fail < 1) || !(l.Pass > 0 && l.Pass < 1) {
		return Verdict{}, fault.Internalf("metric %s: error probabilities %v and %v are not between 0 and 1", m.Name, l.Fail, l.Pass)
	}
	var f finding
	var err error
	switch {
	case m.Measure == Accuracy && m.Versus && disputed(segments) != nil:
		f, err = judgeDisputed(&m, segments, l)
	case m.Quantile > 0:
		f, err = judgeQuantile(&m, segments, l)
	case m.Versus && m.Measure == Errors:
		f, err = judgeErrors(&m, segments, l, kept)
	case m.Versus:
		f, err = judgeVersus(&m, segments, l)
	default:
		f, err = judgeLimit(&m, segments, l)
	}
	if err != nil {
		return Verdict{}, fault.New(fault.KindOf(err), "metric %s: %w", m.Name, err)
	}
	if m.Measure == Accuracy && m.Versus {
		if err := f.doubtCoverage(segments); err != nil {
			return Verdict{}, err
		}
	}
	v := Verdict{
		Metric: m.Name, Role: m.Role, Outcome: Inconclusive, N: f.n, Limit: Number(m.Limit),
		Value: Number(f.shown.Estimate), Low: Number(f.shown.Low), High: Number(f.shown.High),
	}
	if m.Versus {
		v.Limit = Number(-m.better() * m.Margin)
	}
	switch {
	case f.harm:
		v.Outcome = Fail
	case f.clear:
		v.Outcome = Pass
	}
	v.Sentence = sentence(&m, &v, &f)
	return v, nil
}

// judgeVersus holds the candidate's mean or share against stable's of the same time.
func judgeVersus(m *Metric, segments []Segment, l Levels) (f finding, err error) {
	both := strata(m, segments)
	stable, candidate := make([][]stat.Pair, len(both)), make([][]stat.Pair, len(both))
	for i, s := range both {
		stable[i], candidate[i] = s.A, s.B
	}
	difference := stat.StratifiedDifference(both)
	a, b := total(stable), total(candidate)
	f.unknown(difference, a.Z+b.Z)
	switch least := float64(m.minSample()); {
	case min(a.Z, b.Z) < least:
		f.why = waiting(m, min(a.Z, b.Z))
		return f, nil
	case !spread(stable) || !spread(candidate):
		f.why = tooFewUsers
		return f, nil
	case m.isShare() && (few(stable) || few(candidate)):
		return f, f.exactly(m, stable, candidate, l)
	case m.isShare():
		difference.SE = max(difference.SE, math.Hypot(shareError(a), shareError(b)))
	}
	difference.SE = max(difference.SE, errorAsInLarger(both))
	tolerate := m.Tolerate
	if m.Measure == Errors {
		tolerate *= a.Y / a.Z
	}
	cautious := difference.SE
	if m.isShare() {
		cautious = m.atMargin(difference.SE, a, b)
	}
	return f, f.approximately(m, difference, cautious, 0, tolerate, m.Margin, l)
}

// judgeLimit holds the candidate's mean or share against a limit.
func judgeLimit(m *Metric, segments []Segment, l Levels) (f finding, err error) {
	arms := candidate(m, segments)
	sum, mean := total(arms), stat.StratifiedMean(arms)
	f.unknown(mean, sum.Z)
	switch least := float64(m.minSample()); {
	case sum.Z < least:
		f.why = waiting(m, sum.Z)
		return f, nil
	case !spread(arms):
		f.why = tooFewUsers
		return f, nil
	case m.isShare() && few(arms):
		return f, f.exactly(m, nil, arms, l)
	case m.isShare():
		mean.SE = max(mean.SE, shareError(sum))
	}
	limit := -m.better() * m.Limit
	if !m.isShare() && sparse(arms) {
		f.why = "nearly all values are 0, and too few others make the mean to say how far it can be off"
		return f, nil
	}
	if !m.isShare() {
		return f, f.approximately(m, mean, mean.SE, skewOf(arms), limit, limit, l)
	}
	if err := f.approximately(m, mean, mean.SE, 0, limit, limit, l); err != nil {
		return f, err
	}
	return f, f.cautiously(m, sum, mean.SE, l)
}

// unknown is what is found before anything can be said.
func (f *finding) unknown(e stat.Estimate, n float64) {
	f.n = uint64(math.Round(n))
	f.shown = stat.Interval{Estimate: e.Value, Low: math.Inf(-1), High: math.Inf(1), N: f.n}
}

const tooFewUsers = "too few users carry the figures to say how far they can be off"

func waiting(m *Metric, have float64) string {
	return fmt.Sprintf("%.0f observations in the smaller arm, judged from %d on", have, m.minSample())
}

// approximately judges by the central limit theorem: e is the candidate's value, or how much larger it is than stable's. A pass rests on
// passSE. Skew is that of the estimate's error: see skewOf.
func (f *finding) approximately(m *Metric, e stat.Estimate, passSE, skew, tolerate, margin float64, l Levels) error {
	pass, err := stat.NewMeanSequence(l.Pass, tuneMeans)
	if err != nil {
		return err
	}
	fail, err := stat.NewMeanSequence(l.Fail, tuneMeans)
	if err != nil {
		return err
	}
	if math.IsInf(e.SE, 1) {
		f.why = tooFewUsers
		return nil
	}
	f.shown.Estimate, f.shown.N = e.Value, e.N
	e.Value *= -m.better()
	skew *= -m.better()
	low := fail.AtLeast(e).Low - e.SE*further(-skew, fail.OneSidedMultiplier(e.N))
	e.SE = passSE
	high := pass.AtMost(e).High + e.SE*further(skew, pass.OneSidedMultiplier(e.N))
	f.settle(m, low, high, tolerate, margin)
	return nil
}
