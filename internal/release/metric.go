package release

import "time"

// Measure says what a metric is about.
type Measure string

// The measures. Latencies are in seconds, all others are shares or the values of outcomes.
const (
	Latency   Measure = "latency"   // of successful answers: the mean, or Metric.Quantile
	Errors    Measure = "errors"    // requests that failed by our fault, late ones included
	Fallbacks Measure = "fallbacks" // requests that the fallback answered
	Accuracy  Measure = "accuracy"  // labelled predictions that were right
	Value     Measure = "value"     // the mean value of outcomes of Metric.Kind: a rating, a reward, clicks
	Agreement Measure = "agreement" // a shadow's answers that agree with those of stable
)

// Metric is one thing that a release is judged by.
type Metric struct {
	Name     string
	Role     Role
	Measure  Measure
	Kind     string  // of the outcomes, for Value
	Quantile float64 // of Latency, as 0.99; 0 is the mean
	Higher   bool    // of Value: whether more is better. Accuracy and Agreement always are, latency, errors and fallbacks never

	// Against stable, measured at the same time. Margin is by how much the candidate may be worse, in the metric's unit: a pass shows that
	// it is not worse by more. A fail shows that it is worse at all, by more than Tolerate, which is relative for Errors (0.1: a tenth more)
	// and in the metric's unit for all others.
	Versus           bool
	Margin, Tolerate float64

	// Against a limit, which the candidate alone is held to: the largest value where less is better, else the smallest.
	Limit float64

	MinSample uint64        // observations of each arm before anything is said; 0 means DefaultMinSample
	Maturity  time.Duration // of outcomes: only decisions as old as that count
}

// DefaultMinSample is how many observations each arm needs before means are judged. Below, the error of a mean is a guess: see
// stat.MinObservations. Errors, which are counted, need none.
const DefaultMinSample = 300

// better is 1 where more is better, else -1.
func (m Metric) better() float64 {
	switch m.Measure {
	case Accuracy, Agreement:
		return 1
	case Value:
		if m.Higher {
			return 1
		}
	case Latency, Errors, Fallbacks:
	}
	return -1
}

func (m Metric) minSample() uint64 {
	if m.MinSample > 0 {
		return m.MinSample
	}
	return DefaultMinSample
}
