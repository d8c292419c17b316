package shadow

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/serin-ml/serin/internal/tensor"
)

// Answer is one of the two answers to a request: of tensors, where it was asked in a dialect, else a body.
type Answer struct {
	Status  int             // as in HTTP
	Outputs []tensor.Tensor // none: Body is the answer
	Body    []byte
	Labels  []string // of each row, the class that Serin tells; nil or "" where it tells none
	Scored  bool     // the numbers of the first output are scores, and not numbers of classes
	Score   float64  // of a single row; NaN if there is none
}

// label is that of a single row.
func (a *Answer) label() string {
	if len(a.Labels) == 1 {
		return a.Labels[0]
	}
	return ""
}

// Verdict is what comes of a comparison.
type Verdict uint8

// The verdicts.
const (
	Agree Verdict = iota
	Disagree
	Incomparable // neither answer has what is to be compared, or the primary's has not
)

// Result is what a comparison finds.
type Result struct {
	Verdict    Verdict
	Difference float64 // of the scores or, where there are none, the largest of all numbers: the shadow's less the primary's; NaN without any
	Overlap    float64 // of the first k, from 0 to 1, the mean over rows; NaN under other rules
	Primary    string  // the label of the primary's answer, where each answer has one
	Shadow     string  // the shadow's
	Where      string  // where the answers part; "" if they agree. Of bodies it names places, and no values
}

// whereMost bounds Result.Where, in bytes.
const whereMost = 200

// Compare compares a shadow's answer with the primary's. It keeps neither.
func (c *Comparer) Compare(primary, shadow *Answer) Result {
	r := Result{Difference: math.NaN(), Overlap: math.NaN()}
	if primary.Status != shadow.Status {
		r.Verdict, r.Where = Disagree, fmt.Sprintf("status %d, and of the shadow %d", primary.Status, shadow.Status)
		return r
	}
	tensors := len(primary.Outputs) > 0
	switch {
	case tensors != (len(shadow.Outputs) > 0): // of two variants that are asked in one dialect, both have them
		r.Verdict, r.Where = Incomparable, "one of the answers is tensors, the other is none"
	case tensors:
		c.compareTensors(&r, primary, shadow)
	case primary.Status >= 400 && c.rule.By != ByExact: // both refuse; how they word it is another matter
	default:
		c.compareBodies(&r, primary.Body, shadow.Body)
	}
	if len(r.Where) > whereMost {
		r.Where = strings.ToValidUTF8(r.Where[:whereMost], "")
	}
	return r
}

// compareBodies compares two bodies: as JSON, where the primary's is that.
func (c *Comparer) compareBodies(r *Result, primary, shadow []byte) {
	if (c.rule.By == ByExact || c.rule.By == ByNumeric) && bytes.Equal(primary, shadow) {
		return
	}
	p, isJSON := parse(primary)
	if !isJSON {
		if c.rule.By == ByExact {
			r.Verdict, r.Where = Disagree, fmt.Sprintf("byte %d", firstDifference(primary, shadow))
			return
		}
		r.Verdict, r.Where = Incomparable, "the answer is no JSON"
		return
	}
	s, isJSON := parse(shadow)
	if !isJSON {
		r.Verdict, r.Where = Disagree, "the shadow's answer is no JSON"
		return
	}
	switch c.rule.By {
	case ByLabel:
		c.compareTexts(r, texts(p, c.at), texts(s, c.at))
	case ByTopK:
		if c.rule.At == "" && p.kind != array {
			r.Verdict, r.Where = Incomparable, "the answer is no list; at: says where one is"
			return
		}
		c.compareRankings(r, [][]string{c.list(p)}, [][]string{c.list(s)})
	case ByExact, ByNumeric:
		w := walk{comparer: c, result: r}
		w.compare(p, s, c.ignore)
	}
}

// list returns the texts of a ranking.
func (c *Comparer) list(n *node) []string {
	if c.rule.At != "" {
		return texts(n, c.at)
	}
	var all []string
	for i := range n.items {
		all = n.items[i].appendTexts(all)
	}
	return all
}

// compareTexts compares labels, a row each. The primary has to have some.
func (c *Comparer) compareTexts(r *Result, primary, shadow []string) {
	if len(primary) == 0 {
		r.Verdict, r.Where = Incomparable, "the answer has no label"
		return
	}
	if len(primary) != len(shadow) {
		r.Verdict, r.Where = Disagree, fmt.Sprintf("%d labels, and of the shadow %d", len(primary), len(shadow))
		return
	}
	if len(primary) == 1 {
		r.Primary, r.Shadow = primary[0], shadow[0]
	}
	for i := range primary {
		if primary[i] != shadow[i] {
			r.Verdict, r.Where = Disagree, fmt.Sprintf("row %d: %.60q, and of the shadow %.60q", i, primary[i], shadow[i])
			return
		}
	}
}

// compareRankings compares the first k of rankings, a row each.
func (c *Comparer) compareRankings(r *Result, primary, shadow [][]string) {
	r.Overlap = 0
	for i := range primary {
		p := first(primary[i], c.rule.K)
		if len(p) == 0 {
			*r = Result{Verdict: Incomparable, Difference: math.NaN(), Overlap: math.NaN(), Where: "the answer ranks nothing"}
			return
		}
		var s map[string]struct{}
		if i < len(shadow) {
			s = first(shadow[i], c.rule.K)
		}
		both := 0
		for id := range p {
			if _, there := s[id]; there {
				both++
			}
		}
		r.Overlap += float64(both) / float64(max(len(p), len(s))) / float64(len(primary))
	}
	if r.Overlap < c.rule.Overlap-rounding {
		r.Verdict = Disagree
		r.Where = fmt.Sprintf("%.4g%% of the first %d are the same", 100*r.Overlap, c.rule.K)
	}
}

// first returns the first k different ids.
func first(ids []string, k int) map[string]struct{} {
	set := make(map[string]struct{}, min(len(ids), k))
	for _, id := range ids {
		if len(set) == k {
			break
		}
		set[id] = struct{}{}
	}
	return set
}

// rounding is what a sum of shares may be off by.
const rounding = 1e-9

func firstDifference(a, b []byte) int {
	for i := range a {
		if i == len(b) || a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// near tells whether two numbers agree, and notes how far they are from each other.
func (c *Comparer) near(r *Result, primary, shadow float64) bool {
	if primary == shadow || math.IsNaN(primary) && math.IsNaN(shadow) {
		r.note(0)
		return true
	}
	d := shadow - primary
	r.note(d)
	return c.rule.By == ByNumeric && !math.IsInf(primary, 0) && math.Abs(d) <= c.rule.Tolerance+c.rule.Relative*math.Abs(primary)
}

// note keeps the largest difference. What is no number, as one of the two was none or infinite, has no size.
func (r *Result) note(d float64) {
	if math.IsNaN(d) || math.IsInf(d, 0) {
		return
	}
	if math.IsNaN(r.Difference) || math.Abs(d) > math.Abs(r.Difference) {
		r.Difference = d
	}
}

// part notes that the answers part, the first place alone.
func (r *Result) part(where string) {
	if r.Verdict != Disagree {
		r.Verdict, r.Where = Disagree, where
	}
}
