package release

import "time"

// Measure says what a metric is about.
type Measure string

// The measures. Latencies are in seconds; Errors, Fallbacks, Accuracy and Agreement are shares.
const (
	Latency    Measure = "latency"    // of successful answers: the mean, or Metric.Quantile
	Errors     Measure = "errors"     // requests that failed by our fault, late ones included
	Fallbacks  Measure = "fallbacks"  // requests that the fallback answered
	Accuracy   Measure = "accuracy"   // labelled predictions that were right
	Value      Measure = "value"      // the mean value of outcomes of Metric.Kind: a rating, a reward, clicks
	Agreement  Measure = "agreement"  // a shadow's answers that agree with those of stable
	Expression Measure = "expression" // whether Metric.Expr holds; no false alarm rate is promised of it
	Query      Measure = "query"      // what a Prometheus server answers to Metric.Query; no false alarm rate is promised of it
)

// Metric is one thing that a release is judged by.
type Metric struct {
	Name     string  `json:"name"`
	Role     Role    `json:"role"`
	Measure  Measure `json:"measure"`
	Kind     string  `json:"kind,omitempty"`     // of the outcomes, for Value
	Quantile float64 `json:"quantile,omitempty"` // of Latency, as 0.99; 0 is the mean
	Higher   bool    `json:"higher,omitempty"`   // of Value and Query: whether more is better. Accuracy and Agreement always are, latency, errors and fallbacks never

	// Against stable, measured at the same time. Margin is by how much the candidate may be worse, in the metric's unit: a pass shows that
	// it is not worse by more. A fail shows that it is worse at all, by more than Tolerate, which is relative for Errors (0.1: a tenth more)
	// and in the metric's unit for all others.
	Versus   bool    `json:"versus,omitempty"`
	Margin   float64 `json:"margin,omitempty"`
	Tolerate float64 `json:"tolerate,omitempty"`

	// Against a limit, which the candidate alone is held to: the largest value where less is better, else the smallest.
	Limit float64 `json:"limit,omitempty"`

	MinSample uint64        `json:"minSample,omitempty"` // observations of each arm before anything is said; 0 means DefaultMinSample
	Maturity  time.Duration `json:"maturity,omitempty"`  // of outcomes: only decisions as old as that count

	Expr   string        `json:"expr,omitempty"`   // of Expression: a condition in CEL that holds while the candidate is good
	Server string        `json:"server,omitempty"` // of Query: the name of the Prometheus server that is asked
	Query  string        `json:"query,omitempty"`  // of Query, in PromQL: it gives one number, which is held to Limit
	For    time.Duration `json:"for,omitempty"`    // of Expression and Query: for how long they say the same before it counts; 0 means DefaultFor
}

// DefaultMinSample is how many observations each arm needs before means are judged. Below, the error of a mean is a guess: see
// stat.MinObservations. Errors, which are counted, need none.
const DefaultMinSample = 300

// DefaultFor is for how long an expression or a query has to say the same, at every look, before it counts. They know nothing of chance, so a
// single look would end a release.
const DefaultFor = time.Minute

// elsewhere tells whether the metric is not judged from the segments: its verdicts come with a look, in Look.Others.
func (m *Metric) elsewhere() bool { return m.Measure == Expression || m.Measure == Query }

// better is 1 where more is better, else -1.
func (m Metric) better() float64 {
	switch m.Measure {
	case Accuracy, Agreement:
		return 1
	case Value, Query:
		if m.Higher {
			return 1
		}
	case Latency, Errors, Fallbacks, Expression:
	}
	return -1
}

func (m Metric) minSample() uint64 {
	if m.MinSample > 0 {
		return m.MinSample
	}
	return DefaultMinSample
}

// lasting is for how long what the metric says has to last before it counts.
func (m *Metric) lasting() time.Duration {
	if m.For > 0 {
		return m.For
	}
	return DefaultFor
}
