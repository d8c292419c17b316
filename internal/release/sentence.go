package release

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// sentence tells a verdict to people.
func sentence(m *Metric, v *Verdict, f *finding) string {
	var b strings.Builder
	what := m.words()
	switch {
	case math.IsNaN(float64(v.Value)):
		fmt.Fprintf(&b, "nothing is known of %s yet", what)
	case m.Versus:
		fmt.Fprintf(&b, "%s of the candidate is %s than stable's", what, m.more(float64(v.Value)))
	default:
		fmt.Fprintf(&b, "%s of the candidate is %s", what, m.value(float64(v.Value)))
	}
	if v.N > 0 && !math.IsNaN(float64(v.Value)) {
		b.WriteString(m.between(float64(v.Low), float64(v.High)))
	}
	fmt.Fprintf(&b, " (%d observations)", v.N)
	switch v.Outcome {
	case Pass:
		switch {
		case m.Versus && m.Margin == 0:
			b.WriteString(": it is shown not to be worse")
		case m.Versus:
			fmt.Fprintf(&b, ": it is shown to be worse by no more than %s", m.amount(m.Margin))
		default:
			fmt.Fprintf(&b, ": it is shown to keep to %s", m.value(m.Limit))
		}
	case Fail:
		if m.Versus {
			b.WriteString(": it is shown to be worse" + f.how)
		} else {
			fmt.Fprintf(&b, ": it is shown not to keep to %s", m.value(m.Limit))
		}
	case Inconclusive:
		if f.why != "" {
			b.WriteString(": " + f.why)
		} else {
			b.WriteString(": not enough to say")
		}
	}
	return b.String()
}

// Words says what the metric is about, for the beginning or the middle of a sentence.
func (m *Metric) Words() string { return m.words() }

// Text writes a value in the metric's unit.
func (m *Metric) Text(v float64) string { return m.value(v) }

// Difference writes how far two values are apart: shares in percentage points.
func (m *Metric) Difference(v float64) string { return m.amount(v) }

func (m *Metric) words() string {
	switch m.Measure {
	case Latency:
		if m.Quantile > 0 {
			return fmt.Sprintf("the p%g of the latency", math.Round(m.Quantile*1e6)/1e4)
		}
		return "the mean latency"
	case Errors:
		return "the error rate"
	case Fallbacks:
		return "the share of fallbacks"
	case Accuracy:
		return "the accuracy"
	case Agreement:
		return "the agreement"
	case Value:
		return "the mean " + m.Kind
	case Expression, Query:
	}
	return m.Name
}

// value writes a number in the metric's unit.
func (m *Metric) value(v float64) string {
	switch {
	case m.Measure == Latency:
		return time.Duration(math.Round(v*1e6) * 1e3).String()
	case m.isShare():
		return fmt.Sprintf("%.3g%%", v*100)
	}
	return fmt.Sprintf("%.4g", v)
}

// more tells a difference from stable.
func (m *Metric) more(v float64) string {
	if v < 0 {
		return m.amount(-v) + " lower"
	}
	return m.amount(v) + " higher"
}

// amount writes a difference: that of two shares in points, as 1% more of 2% may be 3% or 2.02%.
func (m *Metric) amount(v float64) string {
	if m.isShare() {
		if text := fmt.Sprintf("%.3g", v*100); text != "1" {
			return text + " percentage points"
		}
		return "1 percentage point"
	}
	return m.value(v)
}

// between tells the limits, as far as there are any.
func (m *Metric) between(low, high float64) string {
	tell := m.value
	if m.Versus {
		tell = m.more
	}
	below, above := math.IsInf(low, 0) || math.IsNaN(low), math.IsInf(high, 0) || math.IsNaN(high)
	switch {
	case below && above:
		return ""
	case m.Versus && above && low < 0: // at most so much lower
		return ", at most " + tell(low)
	case above:
		return ", at least " + tell(low)
	case m.Versus && below && high < 0:
		return ", at least " + tell(high)
	case below:
		return ", at most " + tell(high)
	case m.Versus && high < 0: // the nearer first
		return fmt.Sprintf(", between %s and %s", m.amount(-high), tell(low))
	case m.Versus && low >= 0:
		return fmt.Sprintf(", between %s and %s", m.amount(low), tell(high))
	}
	return fmt.Sprintf(", between %s and %s", tell(low), tell(high))
}
