package trees

import (
	"slices"

	"github.com/serin-ml/serin/internal/fault"
)

// xgboostTree is one tree of a file: an entry for each node in each array. A node without a left child is a leaf, whose value stands
// in place of its split.
type xgboostTree struct {
	nodes, leafSize int64 // as the file claims; 0 where it does not
	left, right     []int32
	feature         []int32
	split           []float32
	defaultLeft     []bool
	kind            []int32   // 1: a categorical split; absent up to 1.2
	cover           []float32 // sum_hessian
	leafWeights     []float32 // where leaves are vectors, of each leaf its values; a leaf's number stands as its right child
	nodeWeights     []float32 // the same of each node, until 3.1

	categories     []int32 // of all categorical splits, one after the other
	categoryNodes  []int32 // of each categorical split its node, ...
	categoryStarts []int32 // ... where in categories it begins ...
	categorySizes  []int32 // ... and how many it has
}

// reset empties t, keeping its memory for the next tree.
func (t *xgboostTree) reset() {
	*t = xgboostTree{
		left: t.left[:0], right: t.right[:0], feature: t.feature[:0], split: t.split[:0], defaultLeft: t.defaultLeft[:0], kind: t.kind[:0], cover: t.cover[:0],
		leafWeights: t.leafWeights[:0], nodeWeights: t.nodeWeights[:0],
		categories: t.categories[:0], categoryNodes: t.categoryNodes[:0], categoryStarts: t.categoryStarts[:0], categorySizes: t.categorySizes[:0],
	}
}

// check holds the arrays against each other.
func (t *xgboostTree) check() error {
	n := len(t.left)
	switch {
	case n == 0:
		return fault.Invalidf("it has no nodes")
	case t.leafSize < 0 || t.leafSize > maxOutputs:
		return fault.Invalidf("size_leaf_vector is %d; at most %d outputs are supported", t.leafSize, maxOutputs)
	case t.nodes != 0 && t.nodes != int64(n):
		return fault.Invalidf("num_nodes is %d, but there are %d", t.nodes, n)
	case len(t.categoryStarts) != len(t.categoryNodes) || len(t.categorySizes) != len(t.categoryNodes):
		return fault.Invalidf("categories_nodes, categories_segments and categories_sizes differ in length")
	}
	for _, a := range []struct {
		name string
		n    int
	}{
		{"right_children", len(t.right)}, {"split_indices", len(t.feature)}, {"split_conditions", len(t.split)},
		{"default_left", len(t.defaultLeft)}, {"split_type", len(t.kind)}, {"sum_hessian", len(t.cover)},
	} {
		if a.n != n && (a.n != 0 || a.name != "split_type" && a.name != "sum_hessian") {
			return fault.Invalidf("%s has %d entries for %d nodes", a.name, a.n, n)
		}
	}
	return nil
}

// builder plants the trees of a file.
type builder struct {
	fail  *failure
	f     forest[float32]
	tree  []branch[float32] // built into again and again
	split []int32           // of each node of a tree, its place among the categorical splits and one; 0 for none

	leafSize int64 // how many values a leaf has
}

// done returns the forest.
func (b *builder) done() *forest[float32] { return &b.f }

// add plants one tree.
func (b *builder) add(t *xgboostTree) {
	if b.fail.err != nil {
		return
	}
	if err := b.grow(t); err != nil {
		b.fail.set(fault.New(fault.Invalid, "tree %d: %w", b.f.trees(), err))
		return
	}
	b.fail.set(b.f.plant(b.tree, 0)) // which output it adds to stands behind all trees
}

// grow turns the arrays of the file into branches.
func (b *builder) grow(t *xgboostTree) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := b.categorical(t); err != nil {
		return err
	}
	leaves, err := b.leaves(t)
	if err != nil {
		return err
	}
	b.tree = slices.Grow(b.tree[:0], len(t.left))[:len(t.left)]
	for i := range b.tree {
		n := branch[float32]{left: t.left[i], right: t.right[i], id: int32(i)}
		if len(t.cover) > 0 {
			n.cover = float64(t.cover[i])
		}
		if n.left == none && (n.right == none || leaves != nil) {
			if n.value = t.split[i]; leaves != nil {
				n.value, n.vector = 0, leaves(i)
			}
			n.right = none
			b.tree[i] = n
			continue
		}
		n.feature, n.split = t.feature[i], t.split[i]
		if n.missing = nanRight; t.defaultLeft[i] {
			n.missing = nanLeft
		}
		if len(t.kind) > 0 && t.kind[i] != 0 {
			if t.kind[i] != 1 {
				return fault.Invalidf("node %d: unknown split_type %d", i, t.kind[i])
			}
			k := int(b.split[i]) - 1
			if k < 0 {
				return fault.Invalidf("node %d: its split is categorical, but categories_nodes does not list it", i)
			}
			start, size := t.categoryStarts[k], t.categorySizes[k]
			n.set = int32(b.f.sets.add(t.categories[start:start+size], setOptions{defaultRight: !t.defaultLeft[i]}) + 1)
		}
		b.tree[i] = n
	}
	return nil
}

// leaves returns what finds the values of a leaf, nil where it has one. It holds the lengths against each other: no leaf's values are
// another's.
func (b *builder) leaves(t *xgboostTree) (func(i int) []float32, error) {
	k := max(t.leafSize, 1)
	if b.f.trees() == 0 {
		b.leafSize = k
	}
	if k != b.leafSize {
		return nil, fault.Invalidf("its leaves have %d values, those of the trees before it %d", k, b.leafSize)
	}
	if k == 1 {
		return nil, nil
	}
	number, weights, many := func(i int) int { return i }, t.nodeWeights, len(t.left)
	if len(t.leafWeights) > 0 {
		number, weights, many = func(i int) int { return int(t.right[i]) }, t.leafWeights, 0
		for _, left := range t.left {
			if left == none {
				many++
			}
		}
		met := make([]bool, many)
		for i, left := range t.left {
			if left != none {
				continue
			}
			leaf := number(i)
			if leaf < 0 || leaf >= many || met[leaf] {
				return nil, fault.Invalidf("node %d: its number among the leaves is %d, which is out of range or another's (%d leaves)", i, leaf, many)
			}
			met[leaf] = true
		}
	}
	if want := int64(many) * k; int64(len(weights)) != want {
		return nil, fault.Invalidf("its leaves have %d weights; %d of %d values want %d", len(weights), many, k, want)
	}
	return func(i int) []float32 { return weights[number(i)*int(k) : (number(i)+1)*int(k)] }, nil
}

// categorical checks a tree's categorical splits and notes which node each belongs to.
func (b *builder) categorical(t *xgboostTree) error {
	if len(t.categoryNodes) == 0 {
		b.split = append(b.split[:0], make([]int32, len(t.left))...)
		return nil
	}
	if len(b.f.sets.sets)+len(t.categoryNodes) > maxSets {
		return fault.Invalidf("the model has more than %d categorical splits", maxSets)
	}
	b.split = append(b.split[:0], make([]int32, len(t.left))...)
	var total int64
	for k, i := range t.categoryNodes {
		start, size := int64(t.categoryStarts[k]), int64(t.categorySizes[k])
		switch {
		case i < 0 || int(i) >= len(t.left):
			return fault.Invalidf("categories_nodes names node %d of %d", i, len(t.left))
		case b.split[i] != 0:
			return fault.Invalidf("node %d: categories_nodes names it twice", i)
		case start < 0 || size < 1 || start+size > int64(len(t.categories)):
			return fault.Invalidf("node %d: categories %d to %d are out of range (%d categories)", i, start, start+size, len(t.categories))
		}
		b.split[i] = int32(k + 1)
		total += size
	}
	if total > int64(len(t.categories)) {
		return fault.Invalidf("categorical splits claim %d categories, but there are %d", total, len(t.categories))
	}
	if c := slices.IndexFunc(t.categories, func(c int32) bool { return c < 0 || c >= maxCategory }); c >= 0 {
		return fault.Invalidf("category %d is out of range (0 to %d)", t.categories[c], maxCategory-1)
	}
	return nil
}
