package event

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
)

// Reason says why a variant was to answer.
type Reason uint8

// The reasons.
const (
	Weights  Reason = iota // it was drawn by the weights
	Match                  // a rule on the request named it
	Failover               // the one that was drawn could not be asked
	Fallback               // none could; the fallback answered
	Holdout                // the unit is held out of the experiment
	ByHand                 // the client set the cookie itself; left out of comparisons
)

var reasonNames = [...]string{"weights", "match", "failover", "fallback", "holdout", "byHand"}

// String returns the reason's name, as config and API write it.
func (r Reason) String() string { return nameOf(reasonNames[:], uint8(r), "reason") }

// ParseReason reads what String writes.
func ParseReason(name string) (Reason, error) {
	for i, known := range reasonNames {
		if name == known {
			return Reason(i), nil
		}
	}
	return 0, fault.Invalidf("%.40q is no reason of a decision", name).
		WithHint("the reasons are weights, match, failover, fallback, holdout and byHand")
}

// nameOf returns names[i], or what and the number for one that has no name.
func nameOf(names []string, i uint8, what string) string {
	if int(i) < len(names) && names[i] != "" {
		return names[i]
	}
	return what + " " + strconv.Itoa(int(i))
}
