package measure

// Running are the totals of one variant since the log began. Records only add to them, and retention takes nothing away: they can be
// shown as counters.
type Running struct {
	Variant

	Predictions          uint64 // rows that were predicted to be of a class
	Positives, Negatives uint64 // of them, where there are two classes

	// Predictions that verified outcomes, which were not late, held against the truth.
	TruePositives, FalsePositives, TrueNegatives, FalseNegatives uint64

	Labelled [ByHand + 1]uint64 // outcomes that say whether the prediction was right, by Class; none that were late
	Correct  uint64             // verified ones that say it was
}

// Running adds what the deltas say to the totals of each variant, which of finds; classes are the variant's.
func (d *Deltas) Running(classes func(Variant) Classes, of func(Variant) (*Running, error)) error {
	known := map[Variant]Classes{} // of one variant there are many minutes
	for key, counts := range d.Minutes {
		c, ok := known[key.Variant]
		if !ok {
			c = classes(key.Variant)
			known[key.Variant] = c
		}
		r, err := of(key.Variant)
		if err != nil {
			return err
		}
		r.add(counts, c)
	}
	return nil
}

func (r *Running) add(counts *Counts, classes Classes) {
	for label, n := range counts.Labels {
		r.Predictions += n
		switch positive, binary := classes.Positive(label); {
		case positive:
			r.Positives += n
		case binary:
			r.Negatives += n
		}
	}
	for key, sums := range counts.Outcomes {
		if key.Late {
			continue
		}
		r.Labelled[key.Class] += sums.Labelled
		if key.Class == Verified {
			r.Correct += sums.Correct
		}
	}
	for key, n := range counts.Confusions {
		if key.Class != Verified {
			continue
		}
		switch classes.Confusion(key.Truth, key.Predicted) {
		case TruePositive:
			r.TruePositives += n
		case FalsePositive:
			r.FalsePositives += n
		case TrueNegative:
			r.TrueNegatives += n
		case FalseNegative:
			r.FalseNegatives += n
		}
	}
}

// Merge adds what another epoch has counted.
func (r *Running) Merge(o *Running) {
	r.Predictions += o.Predictions
	r.Positives += o.Positives
	r.Negatives += o.Negatives
	r.TruePositives += o.TruePositives
	r.FalsePositives += o.FalsePositives
	r.TrueNegatives += o.TrueNegatives
	r.FalseNegatives += o.FalseNegatives
	for class, n := range o.Labelled {
		r.Labelled[class] += n
	}
	r.Correct += o.Correct
}
