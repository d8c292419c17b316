package trees

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

// lightgbmTree is one tree of a text file. A tree of n leaves has n-1 splits; a child that is not negative is a split, -1 is leaf 0, -2
// is leaf 1, and so on.
type lightgbmTree struct {
	leaves, categorical int64 // as the file claims: the number of leaves, and of categorical splits
	linear              int64

	left, right, feature []int32
	threshold            []float64 // values up to it go left; of a categorical split the number of its set
	decision             []int32   // bits: see the constants
	splitCount           []int64   // the training rows that came to a split
	leafValue            []float64
	leafCount            []int64

	setStarts []int32 // of each set, where it begins in words, and the end
	words     []uint32

	constants []float64 // of each leaf's linear function ...
	sizes     []int32   // ... how many features it has ...
	features  []int32   // ... which, all leaves' one after the other ...
	factors   []float64 // ... and what each is multiplied by
}

// Bits of a split's decision_type, and the two bits above them: what is missing at the split.
const (
	decisionCategorical = 1 << 0
	decisionLeft        = 1 << 1 // what is missing goes left
	decisionMissing     = 2      // how far the bits are to be shifted

	missingNone = 0
	missingZero = 1
	missingNaN  = 2
)

// reset empties t, keeping its memory for the next tree.
func (t *lightgbmTree) reset() {
	*t = lightgbmTree{
		left: t.left[:0], right: t.right[:0], feature: t.feature[:0], threshold: t.threshold[:0], decision: t.decision[:0],
		splitCount: t.splitCount[:0], leafValue: t.leafValue[:0], leafCount: t.leafCount[:0], setStarts: t.setStarts[:0], words: t.words[:0],
		constants: t.constants[:0], sizes: t.sizes[:0], features: t.features[:0], factors: t.factors[:0],
	}
}

// check holds the arrays against each other. Counts may be absent, as files that were made by hand have none.
func (t *lightgbmTree) check() error {
	leaves := len(t.leafValue)
	if t.leaves < 1 || t.leaves != int64(leaves) {
		return fault.Invalidf("leaf_value has %d numbers, but num_leaves is %d", leaves, t.leaves)
	}
	splits := leaves - 1
	for _, a := range []struct {
		name    string
		n, want int
		absent  bool // it may be
	}{
		{"split_feature", len(t.feature), splits, false},
		{"threshold", len(t.threshold), splits, false},
		{"decision_type", len(t.decision), splits, true},
		{"left_child", len(t.left), splits, false},
		{"right_child", len(t.right), splits, false},
		{"internal_count", len(t.splitCount), splits, true},
		{"leaf_count", len(t.leafCount), leaves, true},
	} {
		if a.n != a.want && (a.n != 0 || !a.absent) {
			return fault.Invalidf("%s has %d numbers, but num_leaves is %d", a.name, a.n, leaves)
		}
	}
	if err := t.checkSets(); err != nil {
		return err
	}
	return t.checkLinear()
}

// maxSetWords is how many words a set may have: beyond are no categories of 32 bits.
const maxSetWords = 1 << 26

func (t *lightgbmTree) checkSets() error {
	if t.categorical < 0 || t.categorical == 0 && len(t.setStarts) != 0 || t.categorical > 0 && t.categorical != int64(len(t.setStarts)-1) {
		return fault.Invalidf("cat_boundaries has %d numbers, but num_cat is %d", len(t.setStarts), t.categorical)
	}
	end := int32(0)
	for i, start := range t.setStarts {
		if start < end || start-end > maxSetWords || i == 0 && start != 0 || int(start) > len(t.words) {
			return fault.Invalidf("cat_boundaries goes from %d to %d at %d, with %d numbers in cat_threshold", end, start, i, len(t.words))
		}
		end = start
	}
	if int(end) != len(t.words) {
		return fault.Invalidf("cat_boundaries ends at %d, but cat_threshold has %d numbers", end, len(t.words))
	}
	return nil
}

func (t *lightgbmTree) checkLinear() error {
	if t.linear == 0 {
		return nil
	}
	if len(t.constants) != len(t.leafValue) || len(t.sizes) != len(t.leafValue) {
		return fault.Invalidf("leaf_const has %d and num_features %d numbers, but num_leaves is %d", len(t.constants), len(t.sizes), t.leaves)
	}
	sum := 0
	for i, n := range t.sizes {
		if n < 0 || int(n) > len(t.features)-sum {
			return fault.Invalidf("num_features is %d at leaf %d, with %d numbers in leaf_features", n, i, len(t.features))
		}
		sum += int(n)
	}
	if sum != len(t.features) || sum != len(t.factors) {
		return fault.Invalidf("num_features adds up to %d, but leaf_features has %d and leaf_coeff %d numbers", sum, len(t.features), len(t.factors))
	}
	return nil
}

// lightgbmPlanter turns trees into branches, for one forest.
type lightgbmPlanter struct {
	f        *forest[float64]
	perRound int
	branches []branch[float64] // of one tree, filled again and again
	chosen   []int32           // of one set of a dump
}

// add plants a tree of a text file.
func (p *lightgbmPlanter) add(t *lightgbmTree) error {
	err := t.check()
	if err == nil {
		err = p.grow(t)
	}
	if err != nil {
		return fault.New(fault.Invalid, "tree %d: %w", p.f.trees(), err)
	}
	return p.plant()
}

// plant plants the branches as the next tree.
func (p *lightgbmPlanter) plant() error { return p.f.plant(p.branches, p.f.trees()%p.perRound) }

// grow turns the arrays of the file into branches: the splits first, the leaves behind them.
func (p *lightgbmPlanter) grow(t *lightgbmTree) error {
	firstSet := int32(len(p.f.sets.sets))
	for i := range int(t.categorical) {
		p.f.sets.addBits(t.words[t.setStarts[i]:t.setStarts[i+1]], setOptions{chosenLeft: true})
	}
	p.branches = p.branches[:0]
	for i := range t.left {
		b, err := p.split(t, i, firstSet)
		if err != nil {
			return fault.Invalidf("split %d: %w", i, err)
		}
		p.branches = append(p.branches, b)
	}
	at := 0
	for i, value := range t.leafValue {
		b := branch[float64]{left: none, right: none, value: value, id: int32(i)}
		if len(t.leafCount) > 0 {
			b.cover = float64(t.leafCount[i])
		}
		if t.linear != 0 {
			n := int(t.sizes[i])
			if err := p.function(&b, t.constants[i], t.features[at:at+n], t.factors[at:at+n]); err != nil {
				return fault.Invalidf("leaf %d: %w", i, err)
			}
			at += n
		}
		p.branches = append(p.branches, b)
	}
	return nil
}

// split makes the branch of an inner node.
func (p *lightgbmPlanter) split(t *lightgbmTree, i int, firstSet int32) (b branch[float64], err error) {
	if b.left, err = t.place(t.left[i]); err != nil {
		return b, err
	}
	if b.right, err = t.place(t.right[i]); err != nil {
		return b, err
	}
	if b.feature, err = p.column(t.feature[i]); err != nil {
		return b, err
	}
	if len(t.splitCount) > 0 {
		b.cover = float64(t.splitCount[i])
	}
	decision := int32(0)
	if len(t.decision) > 0 {
		decision = t.decision[i]
	}
	if decision&decisionCategorical != 0 {
		if set := t.threshold[i]; !(set >= 0 && set < float64(t.categorical)) {
			return b, fault.Invalidf("it goes by categories of set %v, but num_cat is %d", set, t.categorical)
		}
		b.set = firstSet + int32(t.threshold[i]) + 1
		return b, nil
	}
	b.split = above(t.threshold[i])
	b.missing, err = lightgbmMissing(decision>>decisionMissing, decision&decisionLeft != 0)
	return b, err
}

// place returns where a child is among the branches.
func (t *lightgbmTree) place(child int32) (int32, error) {
	leaves := int32(len(t.leafValue))
	if child < -leaves || child >= leaves-1 {
		return 0, fault.Invalidf("child %d is out of range (num_leaves is %d)", child, leaves)
	}
	if child < 0 {
		return leaves - 2 - child, nil
	}
	return child, nil
}

func (p *lightgbmPlanter) column(feature int32) (int32, error) {
	if feature < 0 || int(feature) >= p.f.features {
		return 0, fault.Invalidf("it uses feature %d, but max_feature_idx is %d", feature, p.f.features-1)
	}
	return feature, nil
}

// function gives a leaf its linear function. One without features is a constant, and not the leaf's value.
func (p *lightgbmPlanter) function(b *branch[float64], constant float64, features []int32, factors []float64) error {
	if len(features) == 0 {
		b.value = constant
		return nil
	}
	for _, feature := range features {
		if _, err := p.column(feature); err != nil {
			return err
		}
	}
	b.linear = &linear[float64]{constant: constant, features: append([]int32(nil), features...), factors: append([]float64(nil), factors...)}
	return nil
}

// above returns the least number above a threshold: LightGBM sends left what is not above it, forests what is below their split. A
// threshold may be infinite: only what is missing goes right of it.
func above(threshold float64) float64 { return math.Nextafter(threshold, math.Inf(1)) }

// lightgbmMissing says what is missing at a split, and where it goes.
func lightgbmMissing(kind int32, left bool) (missing, error) {
	switch {
	case kind == missingNone:
		return nanIsZero, nil
	case kind == missingZero && left:
		return zeroLeft, nil
	case kind == missingZero:
		return zeroRight, nil
	case kind == missingNaN && left:
		return nanLeft, nil
	case kind == missingNaN:
		return nanRight, nil
	}
	return 0, fault.Invalidf("its decision_type has a kind of missing values, %d, that does not exist", kind)
}
