package measure

import (
	"cmp"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/stat"
)

// Alpha is the error probability of all intervals: each holds at all times together with probability 95%, so one may look whenever.
const Alpha = 0.05

// The sample sizes for which intervals are narrowest.
const (
	tuneErrors   = 1000
	tuneAccuracy = 1000
	tuneReward   = 5000
	tuneLatency  = 2000
)

// Totals are the counts of one variant over a time.
type Totals struct {
	Variant

	Requests, Fallbacks, Limited, Shed, FirstErrors uint64

	Errors     [event.NumClasses]uint64
	Micros     uint64 // summed over successful requests
	Latency    stat.Sketch
	Labels     map[string]uint64 // predictions by class
	Outcomes   map[OutcomeKey]Sums
	Confusions map[ConfusionKey]uint64
	Cells      [FalseNegative + 1]uint64 // verified labels, by what the service's classes are called
}

// Sums are OutcomeSums as they are kept.
type Sums struct {
	N, Labelled, Correct uint64
	Sum, Squares         float64
}

// Merge adds what another part of the time, or another epoch, has counted; o is not kept.
func (t *Totals) Merge(o *Totals) {
	t.Requests += o.Requests
	t.Fallbacks += o.Fallbacks
	t.Limited += o.Limited
	t.Shed += o.Shed
	t.FirstErrors += o.FirstErrors
	for i, n := range o.Errors {
		t.Errors[i] += n
	}
	t.Micros += o.Micros
	t.Latency.Merge(&o.Latency)
	if t.Labels == nil {
		t.Labels, t.Outcomes, t.Confusions = map[string]uint64{}, map[OutcomeKey]Sums{}, map[ConfusionKey]uint64{}
	}
	for label, n := range o.Labels {
		t.Labels[label] += n
	}
	for i, n := range o.Cells {
		t.Cells[i] += n
	}
	for key, n := range o.Confusions {
		t.Confusions[key] += n
	}
	for key, s := range o.Outcomes {
		have := t.Outcomes[key]
		t.Outcomes[key] = Sums{have.N + s.N, have.Labelled + s.Labelled, have.Correct + s.Correct, have.Sum + s.Sum, have.Squares + s.Squares}
	}
}

// Summary compares the variants of a service over a time. Outcomes count in the minute of their decision.
type Summary struct {
	Service  string
	From, To time.Time // whole minutes, To not included
	Variants []VariantSummary
	Ratios   []Ratio // of all of each epoch that was seen, not only of the time asked for; newest first
}

// VariantSummary is one variant and version, over all epochs.
type VariantSummary struct {
	Variant, Version string
	Epochs           []uint32

	Requests, Fallbacks, Limited, Shed uint64

	FirstErrors uint64 // units that had an error
	Errors      [event.NumClasses]uint64
	// ErrorRate is the share of requests that failed by our fault, classes Server and Timeout, of those that were not shed; what a limit
	// refused is no request of the variant. Requests of one user depend on each other, which makes the interval narrower than it should be
	// where a few users send most.
	ErrorRate stat.Interval

	Successful    uint64  // requests; latencies are of these
	MeanMicros    float64 // NaN without any
	P50, P95, P99 stat.Interval

	Predictions map[string]uint64
	// By how far the feedback can be believed. Late outcomes are in none of them.
	Verified, Unverified, Attributed, ByHand Feedback

	Late uint64 // outcomes after the attribution window
}

// Feedback is what outcomes of one class say.
type Feedback struct {
	Outcomes uint64
	Accuracy stat.Interval // N is how many were labelled
	Reward   stat.Interval // mean of kind reward
	// Positives and negatives of a binary classifier.
	TruePositives, FalsePositives, TrueNegatives, FalseNegatives uint64
}

// Sequences are the intervals that a Summary uses.
type sequences struct {
	errors, accuracy stat.ShareSequence
	reward           stat.MeanSequence
	quantiles        [3]stat.QuantileSequence
}

func newSequences() (s sequences, err error) {
	if s.errors, err = stat.NewShareSequence(Alpha, tuneErrors); err != nil {
		return s, err
	}
	if s.accuracy, err = stat.NewShareSequence(Alpha, tuneAccuracy); err != nil {
		return s, err
	}
	if s.reward, err = stat.NewMeanSequence(Alpha, tuneReward); err != nil {
		return s, err
	}
	for i, p := range [3]float64{0.5, 0.95, 0.99} {
		if s.quantiles[i], err = stat.NewQuantileSequence(p, Alpha, tuneLatency); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Summarise makes a Summary's variants, in the order of their names and versions.
func Summarise(totals []Totals) ([]VariantSummary, error) {
	s, err := newSequences()
	if err != nil {
		return nil, err
	}
	type name struct{ variant, version string }
	merged, epochs := map[name]*Totals{}, map[name][]uint32{}
	for i := range totals {
		t := &totals[i]
		key := name{t.Variant.Variant, t.Version}
		if merged[key] == nil {
			merged[key] = &Totals{Variant: t.Variant}
		}
		merged[key].Merge(t)
		epochs[key] = append(epochs[key], t.Epoch)
	}
	list := make([]VariantSummary, 0, len(merged))
	for key, t := range merged {
		v := s.variant(t)
		v.Epochs = epochs[key]
		slices.Sort(v.Epochs)
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b VariantSummary) int {
		return cmp.Or(cmp.Compare(a.Variant, b.Variant), cmp.Compare(a.Version, b.Version))
	})
	return list, nil
}

func (s *sequences) variant(t *Totals) VariantSummary {
	asked := t.Requests - min(t.Shed, t.Requests) // who was refused under overload must not make a variant look better
	v := VariantSummary{
		Variant: t.Variant.Variant, Version: t.Version, Requests: t.Requests, Fallbacks: t.Fallbacks, Limited: t.Limited, Shed: t.Shed,
		FirstErrors: t.FirstErrors, Errors: t.Errors, Successful: t.Latency.Count(), Predictions: t.Labels,
		ErrorRate:  s.errors.Interval(stat.Share{Count: min(t.Errors[event.Server]+t.Errors[event.Timeout], asked), N: asked}),
		MeanMicros: float64(t.Micros) / float64(t.Latency.Count()),
		P50:        s.quantiles[0].Interval(&t.Latency),
		P95:        s.quantiles[1].Interval(&t.Latency),
		P99:        s.quantiles[2].Interval(&t.Latency),
	}
	for _, p := range []struct {
		class    Class
		feedback *Feedback
	}{{Verified, &v.Verified}, {Unverified, &v.Unverified}, {Attributed, &v.Attributed}, {ByHand, &v.ByHand}} {
		*p.feedback = s.feedback(t, p.class)
	}
	for key, sums := range t.Outcomes {
		if key.Late {
			v.Late += sums.N
		}
	}
	return v
}

func (s *sequences) feedback(t *Totals, class Class) (f Feedback) {
	var accuracy stat.Share
	for key, sums := range t.Outcomes {
		if key.Late || key.Class != class {
			continue
		}
		f.Outcomes += sums.N
		accuracy.Count += sums.Correct
		accuracy.N += sums.Labelled
	}
	rewards := t.Outcomes[OutcomeKey{Class: class, Kind: KindReward}]
	f.Accuracy = s.accuracy.Interval(accuracy)
	f.Reward = s.reward.Interval(stat.MomentsOf(rewards.N, rewards.Sum, rewards.Squares).Estimate())
	if class == Verified {
		f.TruePositives, f.FalsePositives = t.Cells[TruePositive], t.Cells[FalsePositive]
		f.TrueNegatives, f.FalseNegatives = t.Cells[TrueNegative], t.Cells[FalseNegative]
		return f
	}
	for key, n := range t.Confusions {
		if key.Class != class {
			continue
		}
		switch ConfusionOf(key.Truth, key.Predicted) {
		case TruePositive:
			f.TruePositives += n
		case FalsePositive:
			f.FalsePositives += n
		case TrueNegative:
			f.TrueNegatives += n
		case FalseNegative:
			f.FalseNegatives += n
		}
	}
	return f
}
