package load

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Threshold is a limit that a run has to keep, such as p99<10ms, errors<0.1% or rate>4950.
//
//	p50, p99.9, ...   a percentile of the latency of all requests, where one that failed is slower than any limit
//	max               the slowest, alike
//	mean              of the latency of what was answered as expected
//	errors            how many requests failed; or, as in errors<0.1%, which part of all
//	late              how many waited because as many as may be were in flight; or which part
//	rate              answers as expected, a second
//	lag               the 99th percentile of the generator's own lag
type Threshold struct {
	text  string
	what  string
	upper bool // what is measured has to be less
	equal bool // or equal
	limit float64
	unit  string // "s" of a time, "%" of a part, "" of a number
	rank  float64
}

var thresholdForm = regexp.MustCompile(`^\s*([a-z]+)([0-9.]*)\s*(<=|>=|<|>)\s*(\S+)\s*$`)

// UnmarshalText reads a threshold.
func (t *Threshold) UnmarshalText(text []byte) error {
	const hint = "write it like p99<10ms, mean<5ms, max<1s, errors<0.1%%, late<1%%, rate>4950 or lag<1ms"
	m := thresholdForm.FindStringSubmatch(string(text))
	if m == nil {
		return fault.Invalidf("the threshold %q is none", text).WithHint(hint)
	}
	*t = Threshold{text: strings.TrimSpace(string(text)), what: m[1], upper: m[3][0] == '<', equal: len(m[3]) == 2}
	var err error
	t.rank, err = strconv.ParseFloat(m[2], 64)
	switch {
	case t.what == "p" && (err != nil || t.rank <= 0 || t.rank > 100):
		return fault.Invalidf("the threshold %q has no percentile above 0 and up to 100", text).WithHint(hint)
	case t.what != "p" && m[2] != "":
		return fault.Invalidf("the threshold %q is none", text).WithHint(hint)
	}
	number, part := strings.CutSuffix(m[4], "%")
	switch t.what {
	case "p", "max", "mean", "lag":
		t.unit = "s"
		d, err := time.ParseDuration(m[4])
		if err != nil {
			return fault.Invalidf("the threshold %q has no time as its limit", text).WithHint(hint)
		}
		t.limit = d.Seconds()
		return nil
	case "errors", "late":
		if part {
			t.unit = "%"
		}
	case "rate":
		part = false
		number = m[4]
	default:
		return fault.Invalidf("the threshold %q is about %q, which is not measured", text, t.what).WithHint(hint)
	}
	if t.limit, err = strconv.ParseFloat(number, 64); err != nil || math.IsNaN(t.limit) || part != (t.unit == "%") {
		return fault.Invalidf("the threshold %q has no number as its limit", text).WithHint(hint)
	}
	return nil
}

// String returns the threshold as it was written.
func (t *Threshold) String() string { return t.text }

// Verdict tells whether a threshold was kept.
type Verdict struct {
	Threshold string `json:"threshold"`
	Kept      bool   `json:"kept"`
	Measured  string `json:"measured"`
}

// Check holds a report against the threshold. Where nothing was measured nothing is kept.
func (t *Threshold) Check(r *Report) Verdict {
	v := Verdict{Threshold: t.text}
	if r.Requests == 0 {
		v.Measured = "nothing"
		return v
	}
	value, infinite := 0.0, false
	switch t.what {
	case "p", "max":
		place := r.Requests
		if t.what == "p" {
			place = rank(t.rank, r.Requests)
		}
		if infinite = place > r.Latency.Count; !infinite {
			value = r.Latency.ranked(place).Seconds()
		}
	case "mean":
		infinite = r.Latency.Count == 0
		value = r.Latency.Mean.Seconds()
	case "lag":
		value = r.Lag.P99.Seconds()
	case "errors":
		value = float64(r.Failed)
	case "late":
		value = float64(r.Late)
	case "rate":
		value = r.Rate
	}
	if t.unit == "%" {
		value *= 100 / float64(r.Requests)
	}
	switch {
	case infinite:
		v.Measured = fmt.Sprintf("%d of %d requests failed, which is slower than any limit", r.Failed, r.Requests)
		v.Kept = !t.upper
		return v
	case t.unit == "s":
		v.Measured = millis(time.Duration(value*1e9)) + " ms"
	default:
		v.Measured = strconv.FormatFloat(value, 'g', 6, 64) + t.unit
	}
	v.Kept = t.equal && value == t.limit || t.upper && value < t.limit || !t.upper && value > t.limit
	return v
}
