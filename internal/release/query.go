package release

import (
	"fmt"
	"math"
)

// QueryVerdict judges what a Prometheus server answered to a metric's query: a number, or why there is none. No number is inconclusive, never a
// pass. An answer has no interval: what it is worth, only who wrote the query knows.
func QueryVerdict(m *Metric, value float64, unanswered error) Verdict {
	v := Verdict{
		Metric: m.Name, Role: m.Role, Outcome: Inconclusive, Value: Number(math.NaN()), Low: Number(math.NaN()), High: Number(math.NaN()), Limit: Number(m.Limit),
	}
	if unanswered == nil && (math.IsNaN(value) || math.IsInf(value, 0)) {
		unanswered = fmt.Errorf("the answer is %v", value)
	}
	if unanswered != nil {
		v.Sentence = fmt.Sprintf("the query of %s gives no number: %v", m.Name, unanswered)
		return v
	}
	v.Value = Number(value)
	limit, kept := "at most", value <= m.Limit
	if m.better() > 0 {
		limit, kept = "at least", value >= m.Limit
	}
	v.Outcome, v.Sentence = Fail, fmt.Sprintf("the query of %s gives %.6g, which is to be %s %.6g: it is not", m.Name, value, limit, m.Limit)
	if kept {
		v.Outcome, v.Sentence = Pass, fmt.Sprintf("the query of %s gives %.6g, %s %.6g as it is to be", m.Name, value, limit, m.Limit)
	}
	return v
}
