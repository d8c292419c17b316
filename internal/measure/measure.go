// Package measure turns the log into figures: it finds the decision of each outcome, rolls tallies and outcomes up by variant and
// minute, and compares variants. It is pure but for Follower, which reads the log into a Sink; measure/sqlite is one.
//
// Every figure is a function of the log's records in their order, and of nothing else: not of the wall clock, nor of how the records
// were cut into batches. So a sink that was lost, or that stopped anywhere, comes to the same figures from the same log.
//
// Rates come from tallies and outcomes alone. Decisions are detail: they give an outcome its prediction, and units their share. What
// people look at one by one is a sample of them (see Sampler).
package measure

import (
	"time"

	"github.com/serin-ml/serin/internal/event"
)

// Item is a record and its place in the log.
type Item struct {
	At     event.Offset
	Record event.Record
}

// Variant is what figures are kept by: one way to answer, as one version, in one epoch.
type Variant struct {
	Service string // or the experiment's name
	Epoch   uint32
	Variant string // the assigned one
	Version string // the model version's digest, or ""
}

// Known is what is remembered of a decision so that its outcomes find it.
type Known struct {
	Variant
	Label  string // what was predicted, normalised; "" if nothing, or if the service has more than MaxLabels
	ByHand bool   // the client set the cookie itself: left out of comparisons
	Bucket uint8  // see BucketOf
}

// KnownOf says what to remember of a decision.
func KnownOf(d *event.Decision) Known {
	return Known{
		Variant: Variant{Service: d.Service, Epoch: d.Epoch, Variant: d.Assigned, Version: d.Version},
		Label:   NormaliseLabel(d.Label),
		ByHand:  d.Reason == event.ByHand,
		Bucket:  BucketOf(d),
	}
}

// MaxLabels is how many predicted labels of one variant are told apart. A service with more is no classifier: its predictions are
// not joined with labels that come back.
const MaxLabels = 1000

// Wait is how long an outcome waits for its decision, by Clock.
const Wait = 60 * time.Second

// Window is the default attribution window: an outcome received later than that after its decision is late.
const Window = 7 * 24 * time.Hour

// Minute is the start of the minute in which t lies, in minutes since 1970.
func Minute(t time.Time) int64 {
	seconds := t.Unix()
	minute := seconds / 60
	if seconds < 0 && seconds%60 != 0 {
		minute--
	}
	return minute
}
