package shadow

import (
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/payload"
)

// By says what of two answers has to be the same.
type By string

// What can be compared.
const (
	ByExact   By = "exact"   // status and content, to the digit
	ByNumeric By = "numeric" // the same, but numbers may differ a little
	ByLabel   By = "label"   // the predicted classes
	ByTopK    By = "topK"    // the first of a ranking
)

// Rule says when two answers agree.
type Rule struct {
	By By // "" means ByNumeric

	// Of ByNumeric: numbers agree where |shadow - primary| <= Tolerance + Relative·|primary|, as numpy.allclose has it with the primary as its
	// reference. A NaN agrees with a NaN, an infinity with itself.
	Tolerance, Relative float64

	K       int     // of ByTopK: how many of the first are compared; 0 means DefaultK
	Overlap float64 // of ByTopK: the share of them that has to be the same, whatever their order; 0 means all

	// At is where to look. In a JSON answer it is a path such as recommendations[].id; of an answer of tensors it is an output's name. Left out,
	// ByLabel compares the classes that Serin tells, and ByTopK the first output, or a JSON answer that is a list itself.
	At string

	Ignore []string // paths of JSON answers, or names of outputs, that are not compared: ids, times
}

// Defaults and bounds of a Rule.
const (
	DefaultK  = 10
	MostK     = 1000
	MostPaths = 64
	ruleText  = 200 // bytes of its text
)

// Comparer compares answers by a rule. It is safe for concurrent use.
type Comparer struct {
	rule   Rule
	at     payload.Path // of rule.At
	ignore []payload.Path
	text   string
}

// NewComparer checks a rule. What is wrong is Invalid and begins with the rule's key: "k: ...".
func NewComparer(r Rule) (*Comparer, error) {
	c := &Comparer{rule: r}
	if c.rule.By == "" {
		c.rule.By = ByNumeric
	}
	if c.rule.K == 0 {
		c.rule.K = DefaultK
	}
	if c.rule.Overlap == 0 {
		c.rule.Overlap = 1
	}
	if err := c.rule.check(); err != nil {
		return nil, err
	}
	if r.At != "" {
		path, err := payload.ParsePath(r.At)
		if err != nil {
			return nil, fault.Invalidf("at: %w", err)
		}
		c.at = path
	}
	if len(r.Ignore) > MostPaths {
		return nil, fault.Invalidf("ignore: %d paths; at most %d are taken", len(r.Ignore), MostPaths)
	}
	for i, text := range r.Ignore {
		path, err := payload.ParsePath(text)
		if err != nil {
			return nil, fault.Invalidf("ignore[%d]: %w", i, err)
		}
		c.ignore = append(c.ignore, path)
	}
	c.text = c.rule.String()
	return c, nil
}

// check checks r, whose defaults are filled in.
func (r *Rule) check() error {
	number := func(key string, v float64) error {
		if !(v >= 0) || math.IsInf(v, 1) {
			return fault.Invalidf("%s: %v is no distance", key, v).WithHint("give a number from 0 up, such as 1e-6")
		}
		return nil
	}
	switch r.By {
	case ByExact, ByNumeric, ByLabel, ByTopK:
	default:
		return fault.Invalidf("by: %.40q is no way to compare", string(r.By)).WithHint("use exact, numeric, label or topK")
	}
	if err := number("tolerance", r.Tolerance); err != nil {
		return err
	}
	if err := number("relative", r.Relative); err != nil {
		return err
	}
	if (r.Tolerance != 0 || r.Relative != 0) && r.By != ByNumeric {
		return fault.Invalidf("tolerance: it is for by: numeric, not for by: %s", r.By)
	}
	if r.K < 1 || r.K > MostK {
		return fault.Invalidf("k: %d is out of range", r.K).WithHint("give 1 to %d", MostK)
	}
	if !(r.Overlap > 0 && r.Overlap <= 1) {
		return fault.Invalidf("overlap: %v is no share", r.Overlap).WithHint("give a number above 0, up to 1")
	}
	if r.At != "" && r.By != ByLabel && r.By != ByTopK {
		return fault.Invalidf("at: it is for by: label and by: topK, not for by: %s", r.By).WithHint("ignore leaves paths out of the comparison")
	}
	return nil
}

// Text says what the rule is, in a few words that are the same for the same rule and differ for another.
func (c *Comparer) Text() string { return c.text }

// By returns what is compared.
func (c *Comparer) By() By { return c.rule.By }

// String returns the rule in words, such as "numeric, within 1e-06, without id". One that is long is cut and ends with its hash.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString(string(r.By))
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch r.By {
	case ByNumeric:
		if r.Tolerance > 0 {
			b.WriteString(", within " + number(r.Tolerance))
		}
		if r.Relative > 0 {
			b.WriteString(", within " + number(100*r.Relative) + "%")
		}
	case ByTopK:
		b.WriteString(", k " + strconv.Itoa(r.K))
		if r.Overlap < 1 {
			b.WriteString(", overlap " + number(100*r.Overlap) + "%")
		}
	case ByExact, ByLabel:
	}
	if r.At != "" {
		b.WriteString(", at " + r.At)
	}
	if len(r.Ignore) > 0 {
		b.WriteString(", without " + strings.Join(r.Ignore, " "))
	}
	text := b.String()
	if len(text) <= ruleText {
		return text
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // it never fails
	end := " #" + strconv.FormatUint(h.Sum64(), 16)
	return strings.ToValidUTF8(text[:ruleText-len(end)], "") + end
}
