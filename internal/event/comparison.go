package event

import (
	"time"

	"github.com/serin-ml/serin/internal/stat"
)

// Drop says why a request that was drawn for a shadow was not copied to it.
type Drop uint8

// The reasons. They index Comparison.Drops.
const (
	DropQueue       Drop = iota // as many copies wait as may
	DropBytes                   // the copies that wait hold as many bytes as they may
	DropTooLarge                // the request or its answer is larger than what is copied
	DropStreaming               // the request or its answer comes bit by bit, and was not here whole
	DropDraining                // the server is about to stop, or the shadow's settings have changed
	DropUnavailable             // the shadow has no version, or no instance, that could be asked
	DropMethod                  // the request may change something: its method is none of those that are copied
	NumDrops
)

var dropNames = [...]string{"queue", "bytes", "tooLarge", "streaming", "draining", "unavailable", "method"}

// String returns the reason's name, as metrics and API tell it.
func (d Drop) String() string { return nameOf(dropNames[:], uint8(d), "drop") }

// Unpaired says why a copy that was sent gave no two answers to compare. None of these is ever an agreement.
type Unpaired uint8

// The reasons. They index Comparison.Unpaired.
const (
	PrimaryFailed Unpaired = iota // the shadow answered, and the variant that it shadows did not
	ShadowFailed                  // the other way round
	BothFailed
	ShadowLate   // the shadow did not answer within its own time
	Incomparable // both answered, and neither answer has what is to be compared
	NumUnpaired
)

var unpairedNames = [...]string{"primaryFailed", "shadowFailed", "bothFailed", "timeout", "incomparable"}

// String returns the reason's name, as metrics and API tell it.
func (u Unpaired) String() string { return nameOf(unpairedNames[:], uint8(u), "unpaired") }

// Comparison is exact counts of one interval (a second): how the answers of a shadow were beside those of the variant that answered. It
// is to comparisons what a Tally is to answers, and is added up likewise.
type Comparison struct {
	From, To                time.Time
	Service                 string
	Shadow, ShadowVersion   string // the variant that was sent copies, and its version
	Primary, PrimaryVersion string // the one that answered
	Rule                    string // what agreement means, in words: figures of two rules do not add up

	Drops    [NumDrops]uint64
	Unpaired [NumUnpaired]uint64
	Buckets  []ComparisonBucket // those with pairs, in order

	PrimaryLatency, ShadowLatency stat.Sketch // of pairs, in microseconds

	// How far the shadow's score is above the primary's, or below it, of pairs that have one; ScoreSame counts those without a difference.
	ScoreSame              uint64
	ScoreAbove, ScoreBelow stat.Sketch
}

// ComparisonBucket is the pairs of one bucket of units. Requests of one unit are all in one bucket, so that buckets are independent of
// each other where requests are not.
type ComparisonBucket struct {
	Bucket        uint8 // 0 to 63, as in a Tally
	Pairs, Agreed uint64
	// Lean adds up +1 or -1 for each pair, by a hash of its unit. Its square is, on average, the sum of the squares of the units' numbers of
	// pairs, which tells how unevenly the pairs are spread over units (Alon, Matias and Szegedy, 1996).
	Lean    int64
	Micros  int64   // the shadow's latency less the primary's, summed
	Overlap float64 // of the first k, from 0 to 1, summed; 0 under other rules
	Scored  uint64  // pairs with a score
	Score   float64 // the shadow's score less the primary's, summed over them
}

// Totals adds the buckets up.
func (c *Comparison) Totals() (pairs, agreed uint64) {
	for i := range c.Buckets {
		pairs += c.Buckets[i].Pairs
		agreed += c.Buckets[i].Agreed
	}
	return pairs, agreed
}

// Merge adds what another interval has counted; the interval is then from the earlier beginning to the later end. Both are of the same
// service, variants, versions and rule. The order of merges matters to the last digits of sums of scores alone.
func (c *Comparison) Merge(o *Comparison) {
	if c.From.IsZero() || !o.From.IsZero() && o.From.Before(c.From) {
		c.From = o.From
	}
	if o.To.After(c.To) {
		c.To = o.To
	}
	for i, n := range o.Drops {
		c.Drops[i] += n
	}
	for i, n := range o.Unpaired {
		c.Unpaired[i] += n
	}
	for i := range o.Buckets {
		c.Bucket(o.Buckets[i].Bucket).add(&o.Buckets[i])
	}
	c.PrimaryLatency.Merge(&o.PrimaryLatency)
	c.ShadowLatency.Merge(&o.ShadowLatency)
	c.ScoreSame += o.ScoreSame
	c.ScoreAbove.Merge(&o.ScoreAbove)
	c.ScoreBelow.Merge(&o.ScoreBelow)
}

// Bucket returns the bucket of that number, made if it is not there. It is good until the next call.
func (c *Comparison) Bucket(number uint8) *ComparisonBucket {
	at := len(c.Buckets)
	for at > 0 && c.Buckets[at-1].Bucket > number {
		at--
	}
	if at > 0 && c.Buckets[at-1].Bucket == number {
		return &c.Buckets[at-1]
	}
	c.Buckets = append(c.Buckets, ComparisonBucket{})
	copy(c.Buckets[at+1:], c.Buckets[at:])
	c.Buckets[at] = ComparisonBucket{Bucket: number}
	return &c.Buckets[at]
}

func (b *ComparisonBucket) add(o *ComparisonBucket) {
	b.Pairs += o.Pairs
	b.Agreed += o.Agreed
	b.Lean += o.Lean
	b.Micros += o.Micros
	b.Overlap += o.Overlap
	b.Scored += o.Scored
	b.Score += o.Score
}

// Disagreement is one pair of answers that do not agree. It is detail: no more than some a second are written, and rates come from
// Comparisons. Which are written does not depend on who was right.
type Disagreement struct {
	Decision                ID // of the primary's answer: what comes back for it says who was right
	At                      time.Time
	Service                 string
	Shadow, ShadowVersion   string
	Primary, PrimaryVersion string
	Rule                    string

	PrimaryStatus, ShadowStatus uint16
	PrimaryMicros, ShadowMicros uint32
	PrimaryLabel, ShadowLabel   string  // "" if there is none
	PrimaryScore, ShadowScore   float64 // NaN if there is none
	Difference                  float64 // the largest, the shadow's less the primary's; NaN if nothing was measured
	Overlap                     float64 // of the first k; NaN under other rules

	Where                       string // the place in the answers where they part, and how
	PrimaryAnswer, ShadowAnswer string // cut; "" where they may not be kept
}
