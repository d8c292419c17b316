package event

import (
	"time"

	"github.com/serin-ml/serin/internal/stat"
)

// Kind says what a record is. It is the first byte of its binary form.
type Kind uint8

// The kinds of records.
const (
	KindDecision Kind = 1
	KindTally    Kind = 2
	KindOutcome  Kind = 3

	KindComparison   Kind = 4
	KindDisagreement Kind = 5
)

// String returns the kind's name, or "kind N" for one that this version does not know.
func (k Kind) String() string { return nameOf(kindNames[:], uint8(k), "kind") }

var kindNames = [...]string{"", "decision", "tally", "outcome", "comparison", "disagreement"}

// Record is what a log holds: exactly one of its fields is set.
type Record struct {
	Decision *Decision
	Tally    *Tally
	Outcome  *Outcome

	Comparison   *Comparison
	Disagreement *Disagreement

	Unknown *Unknown
}

// Unknown is a record of a kind, or of a version of a kind, that this program does not know, as a later one wrote it. Consumers
// count it and go on; it is written as it was read.
type Unknown struct {
	Kind    Kind
	Version uint8
	Body    []byte // what follows kind and version
}

// Kind returns the record's kind, 0 if no field or more than one is set.
func (r Record) Kind() Kind {
	kind, set := Kind(0), 0
	if r.Decision != nil {
		kind, set = KindDecision, set+1
	}
	if r.Tally != nil {
		kind, set = KindTally, set+1
	}
	if r.Outcome != nil {
		kind, set = KindOutcome, set+1
	}
	if r.Comparison != nil {
		kind, set = KindComparison, set+1
	}
	if r.Disagreement != nil {
		kind, set = KindDisagreement, set+1
	}
	if r.Unknown != nil {
		kind, set = r.Unknown.Kind, set+1
	}
	if set != 1 {
		return 0
	}
	return kind
}

// Slot is one place of a ranking: which arm it shows, and with which probability that arm came to be there.
type Slot struct {
	Slot       uint8
	Arm        string
	Position   uint8
	Propensity float64
}

// Decision is one answer: what was asked, which variant was to answer it and which did, and why. It is detail, which may be dropped;
// counts come from tallies.
type Decision struct {
	ID      ID
	At      time.Time // the server's clock
	Rank    bool      // the kind: a ranking of arms, else the choice of a variant
	Service string    // the service's name; of a ranking, the experiment's

	Epoch         uint32 // the service's assignmentEpoch
	PolicyVersion uint64 // which weights or posterior snapshot decided
	Generation    uint64 // fences consumers

	Unit      string // a keyed hash in hexadecimal digits; plain only if configured; "" if unknown
	Alone     bool   // the unit was drawn for this request and never comes back
	RequestID string // the client's own; never a key

	Assigned   string // the variant that was to answer; analysis goes by it
	Answered   string // the one that did, or "fallback"
	Version    string // the digest of the version that answered, "" if there is none
	Reason     Reason
	Propensity float64 // the probability that this choice was made with

	Status         uint16 // of the answer, as in HTTP
	Micros         uint32 // how long the answer took
	UpstreamMicros uint32 // how much of it an upstream took

	Label   string
	Score   float64 // NaN if there is none
	Slots   []Slot  // of a ranking
	Payload string  // the reference of the captured payload, "" if there is none
}

// ErrorClass says who failed when a request did.
type ErrorClass uint8

// The classes of errors. They index Tally.Errors.
const (
	Client  ErrorClass = iota // 4xx
	Server                    // 5xx
	Timeout                   // no answer in time
	Gone                      // the client hung up
	NumClasses
)

// String returns the class's name.
func (c ErrorClass) String() string { return nameOf(classNames[:], uint8(c), "class") }

var classNames = [...]string{"client", "server", "timeout", "gone"}

// Tally is exact counts of one interval (a second) for one service, epoch, policy, variant, version and bucket of units. Tallies are added up
// by whoever reads them.
type Tally struct {
	From, To         time.Time
	Service          string
	Epoch            uint32
	PolicyVersion    uint64 // which weights decided; 0 where a rule or the client chose the variant, and in records of version 1
	Variant, Version string
	Bucket           uint8 // 0 to 63, by a hash of the unit that assignment does not use

	Requests    uint64
	Fallbacks   uint64
	Limited     uint64             // refused because of a limit: 429
	Shed        uint64             // refused under overload
	FirstErrors uint64             // units whose first error this was
	Errors      [NumClasses]uint64 // by class

	Micros  uint64            // summed over successful requests, for means
	Latency stat.Sketch       // of successful requests, in microseconds
	Labels  map[string]uint64 // predictions by class
}

// Outcome is what came back for a decision.
type Outcome struct {
	ID       string // the caller's, else OutcomeID; the first with an id wins
	Decision ID
	Slot     uint8
	Kind     string // impression, click, label, correct, rating, reward, ...

	Number float64 // the value, unless IsText
	Text   string  // the value, if IsText: a label
	IsText bool

	At         time.Time // the client's clock, stored and never trusted; zero if it did not say
	ReceivedAt time.Time // the server's clock
	Verified   bool      // by a token

	// What the token says of the decision or, if it was found, the decision.
	DecidedAt        time.Time
	Service          string
	Epoch            uint32
	Variant, Version string
	PolicyVersion    uint64
	Propensity       float64
	Unit             string

	Attributed bool // the decision was found through the sticky cookie, not through an id
	ByHand     bool // the client set that cookie itself: left out of comparisons
}
