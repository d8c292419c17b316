package measure

import (
	"math"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Status says what became of an outcome. Its names are those of the view outcomes.
type Status uint8

// The statuses.
const (
	Waiting   Status = iota // its decision has not been read yet
	Counted                 // it is in the figures
	Late                    // it came after the attribution window; counted apart
	Unknown                 // no decision was found in time; counted apart
	Duplicate               // it repeats another one: not stored again
	Conflict                // its id had another value before: not stored
)

// String returns the status's name.
func (s Status) String() string {
	return [...]string{"waiting", "counted", "late", "unknown", "duplicate", "conflict"}[s]
}

// Class says how far an outcome can be believed. Figures of one class never include another's.
type Class uint8

// The classes. An outcome has the last one that applies.
const (
	Verified   Class = iota // by its token
	Unverified              // by the id alone
	Attributed              // through the sticky cookie
	ByHand                  // of a unit whose cookie the client set itself
)

// String returns the class's name.
func (c Class) String() string {
	return [...]string{"verified", "unverified", "attributed", "byHand"}[c]
}

// The kinds of outcomes that mean something here. All are counted and summed.
const (
	KindLabel   = "label"   // the truth
	KindCorrect = "correct" // 1 if the prediction was right, else 0
	KindReward  = "reward"
)

// Settled is an outcome with its decision.
type Settled struct {
	Variant
	Status  Status // Counted, Late or Unknown
	Class   Class
	Decided time.Time // when the decision was made, by the server's clock
	Kind    string
	Value   float64 // the number; for a label 1 if it was predicted, else 0

	PolicyVersion uint64 // which weights decided, 0 if that is not known
	Bucket        uint8  // of the decision's unit; NoBucket where it is not known, or says nothing

	Labelled         bool // it says whether the prediction was right
	Correct          bool
	Unmatched        bool   // it is a label, but what was predicted is not known
	Truth, Predicted string // of the confusion matrix; Truth "" if all that is known is that Predicted was wrong
}

// Settle joins an outcome with what is known of its decision; nil if the decision was not found. Without it the outcome's own word
// counts, which comes from its token or from whoever found the decision before; if it has none, the outcome is Unknown. The window is
// how long after its decision an outcome counts.
func Settle(o *event.Outcome, known *Known, window time.Duration) Settled {
	s := Settled{Kind: o.Kind, Class: classOf(o, known), Decided: decidedAt(o, known != nil), PolicyVersion: o.PolicyVersion, Bucket: NoBucket}
	switch {
	case known != nil:
		s.Variant, s.Bucket = known.Variant, known.Bucket
	case o.Service != "":
		s.Variant = Variant{Service: o.Service, Epoch: o.Epoch, Variant: o.Variant, Version: o.Version}
	default:
		s.Status = Unknown
		return s
	}
	s.Status = Counted
	if o.ReceivedAt.Sub(s.Decided) > window {
		s.Status = Late
	}
	predicted := ""
	if known != nil {
		predicted = known.Label
	}
	s.judge(o, predicted)
	return s
}

func classOf(o *event.Outcome, known *Known) Class {
	switch {
	case o.ByHand || known != nil && known.ByHand:
		return ByHand
	case o.Attributed:
		return Attributed
	case !o.Verified:
		return Unverified
	}
	return Verified
}

// decidedAt believes the decision's id, which holds its time, once the id is known to be ours: all outcomes of a decision then agree.
func decidedAt(o *event.Outcome, found bool) time.Time {
	switch {
	case !o.Decision.IsZero() && (found || o.Verified):
		return o.Decision.Time()
	case !o.DecidedAt.IsZero():
		return o.DecidedAt
	}
	return o.ReceivedAt
}

func (s *Settled) judge(o *event.Outcome, predicted string) {
	s.Value = o.Number
	if o.IsText || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
		s.Value = 0
	}
	switch o.Kind {
	case KindLabel:
		s.Value = 0
		if predicted == "" {
			s.Unmatched = true
			return
		}
		s.Truth, s.Predicted = LabelOf(o), predicted
		s.Labelled, s.Correct = true, SameLabel(s.Truth, predicted)
		if s.Correct {
			s.Truth, s.Value = predicted, 1 // one name for one class
		}
	case KindCorrect:
		right, said := Positive(LabelOf(o))
		if !said {
			return
		}
		s.Labelled, s.Correct, s.Predicted = true, right, predicted
		s.Value = 0
		if right {
			s.Truth, s.Value = predicted, 1
		} else {
			s.Truth = Opposite(predicted)
		}
	}
}

// SameOutcome says whether o repeats the earlier outcome with its id: the same decision, slot, kind and value. What the client's
// clock said, and how it proved itself, may differ.
func SameOutcome(o, earlier *event.Outcome) bool {
	return o.Decision == earlier.Decision && o.Slot == earlier.Slot && o.Kind == earlier.Kind && o.IsText == earlier.IsText &&
		(o.IsText && o.Text == earlier.Text ||
			!o.IsText && (o.Number == earlier.Number || math.IsNaN(o.Number) && math.IsNaN(earlier.Number)))
}

// IDOf returns the id by which an outcome is remembered: the caller's, else the hash of decision, slot and kind.
func IDOf(o *event.Outcome) string {
	if o.ID != "" {
		return o.ID
	}
	return event.OutcomeID(o.Decision, o.Slot, o.Kind)
}

// ParseClass reads what Class.String writes.
func ParseClass(name string) (Class, error) {
	for c := Verified; c <= ByHand; c++ {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fault.Invalidf("%.40q is no class of outcomes", name)
}
