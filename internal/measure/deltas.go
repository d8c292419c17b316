package measure

import (
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/stat"
)

// Deltas are what a batch of records adds to the figures.
type Deltas struct {
	Minutes map[MinuteKey]*Counts
	Totals  map[TotalKey]uint64 // outcomes by what became of them
	Foreign uint64              // records of kinds that this version does not know

	// Comparisons of shadows in the order of the log, in which they must be merged: sums of scores depend on it.
	Shadows map[ShadowMinute][]*event.Comparison

	Segments map[Segment]*SegmentDelta

	lastKey MinuteKey // tallies of one second are many, and of few keys
	last    *Counts

	lastSegment Segment
	lastDelta   *SegmentDelta
}

// MinuteKey says whose counts they are, and of which minute (see Minute). Outcomes count in the minute of their decision.
type MinuteKey struct {
	Minute int64
	Variant
}

// TotalKey says of which service an outcome is, "" if unknown, and what became of it.
type TotalKey struct {
	Service string
	Status  Status
}

// Counts are those of one variant in one minute.
type Counts struct {
	Requests, Fallbacks, Limited, Shed, FirstErrors uint64

	Errors  [event.NumClasses]uint64
	Micros  uint64 // summed over successful requests
	Latency stat.Sketch
	Labels  map[string]uint64

	Outcomes   map[OutcomeKey]*OutcomeSums
	Confusions map[ConfusionKey]uint64
}

// OutcomeKey is what outcomes of a variant are added up by. Late ones are apart in each class.
type OutcomeKey struct {
	Class Class
	Late  bool
	Kind  string
}

// OutcomeSums add outcomes up. For kinds label and correct, Labelled counts those that say whether the prediction was right, and
// Correct those that say it was. Unmatched are labels whose prediction is not known. Values are those of all, in the order of the
// log, in which they must be added: a sum of floats depends on it, and a batch that is cut in two must come to the same.
type OutcomeSums struct {
	Labelled, Correct, Unmatched uint64
	Values                       []float64
}

// AddTo adds the values to a sum, and their squares to a sum of squares.
func (s *OutcomeSums) AddTo(sum, squares float64) (float64, float64) {
	for _, v := range s.Values {
		sum += v
		squares += v * v
	}
	return sum, squares
}

// ConfusionKey is a cell of the confusion matrix, of outcomes that are not late.
type ConfusionKey struct {
	Class            Class
	Truth, Predicted string
}

// NewDeltas returns empty ones.
func NewDeltas() *Deltas {
	return &Deltas{
		Minutes: map[MinuteKey]*Counts{}, Totals: map[TotalKey]uint64{}, Shadows: map[ShadowMinute][]*event.Comparison{},
		Segments: map[Segment]*SegmentDelta{},
	}
}

func (d *Deltas) counts(key MinuteKey) *Counts {
	if d.last != nil && d.lastKey == key {
		return d.last
	}
	c := d.Minutes[key]
	if c == nil {
		c = &Counts{}
		d.Minutes[key] = c
	}
	d.lastKey, d.last = key, c
	return c
}

// AddTally adds a tally, in the minute in which it began.
func (d *Deltas) AddTally(t *event.Tally) {
	d.addSegment(t)
	c := d.counts(MinuteKey{Minute(t.From), Variant{t.Service, t.Epoch, t.Variant, t.Version}})
	c.Requests += t.Requests
	c.Fallbacks += t.Fallbacks
	c.Limited += t.Limited
	c.Shed += t.Shed
	c.FirstErrors += t.FirstErrors
	c.Micros += t.Micros
	for i, n := range t.Errors {
		c.Errors[i] += n
	}
	c.Latency.Merge(&t.Latency)
	if len(t.Labels) > 0 && c.Labels == nil {
		c.Labels = make(map[string]uint64, len(t.Labels))
	}
	for label, n := range t.Labels {
		c.Labels[NormaliseLabel(label)] += n
	}
}

// AddOutcome adds a settled outcome.
func (d *Deltas) AddOutcome(s Settled) {
	d.Totals[TotalKey{s.Service, s.Status}]++
	if s.Status == Unknown {
		return
	}
	d.addFeedback(&s)
	c := d.counts(MinuteKey{Minute(s.Decided), s.Variant})
	if c.Outcomes == nil {
		c.Outcomes = map[OutcomeKey]*OutcomeSums{}
	}
	key := OutcomeKey{s.Class, s.Status == Late, s.Kind}
	sums := c.Outcomes[key]
	if sums == nil {
		sums = &OutcomeSums{}
		c.Outcomes[key] = sums
	}
	sums.Values = append(sums.Values, s.Value)
	if s.Unmatched {
		sums.Unmatched++
	}
	if !s.Labelled {
		return
	}
	sums.Labelled++
	if s.Correct {
		sums.Correct++
	}
	if s.Status == Late || s.Predicted == "" {
		return
	}
	if c.Confusions == nil {
		c.Confusions = map[ConfusionKey]uint64{}
	}
	c.Confusions[ConfusionKey{s.Class, s.Truth, s.Predicted}]++
}
