package measure

// Classes are the normalised names of a classifier's classes, by class number. None mean that the names are not known: then two
// classes are told by what they are usually called (see Positive).
type Classes []string

// NewClasses normalises names.
func NewClasses(names []string) Classes {
	c := make(Classes, len(names))
	for i, name := range names {
		c[i] = NormaliseLabel(name)
	}
	return c
}

// Positive says whether a normalised label names the positive class, which is the second of two, and whether it names one of two
// classes at all.
func (c Classes) Positive(label string) (positive, binary bool) {
	switch {
	case len(c) == 0:
		return Positive(label)
	case len(c) != 2:
		return false, false
	case SameLabel(label, c[1]):
		return true, true
	}
	return false, SameLabel(label, c[0])
}

// Confusion is ConfusionOf for these classes. Where a prediction is known to be wrong and no more, the truth is the other one of two.
func (c Classes) Confusion(truth, predicted string) Confusion {
	p, binary := c.Positive(predicted)
	t, both := c.Positive(truth)
	if truth == "" && len(c) == 2 {
		t, both = !p, true
	}
	return confusion(t, p, binary && both)
}

func confusion(truth, predicted, binary bool) Confusion {
	switch {
	case !binary:
		return NotBinary
	case truth && predicted:
		return TruePositive
	case predicted:
		return FalsePositive
	case truth:
		return FalseNegative
	}
	return TrueNegative
}
