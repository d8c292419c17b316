package trees

import (
	"math"
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
	kind            []int32 // 1: a categorical split; absent up to 1.2

	categories     []int32 // of all categorical splits, one after the other
	categoryNodes  []int32 // of each categorical split its node, ...
	categoryStarts []int32 // ... where in categories it begins ...
	categorySizes  []int32 // ... and how many it has
}

const leafChild = -1

// reset empties t, keeping its memory for the next tree.
func (t *xgboostTree) reset() {
	*t = xgboostTree{
		left: t.left[:0], right: t.right[:0], feature: t.feature[:0], split: t.split[:0], defaultLeft: t.defaultLeft[:0], kind: t.kind[:0],
		categories: t.categories[:0], categoryNodes: t.categoryNodes[:0], categoryStarts: t.categoryStarts[:0], categorySizes: t.categorySizes[:0],
	}
}

// check holds the arrays against each other.
func (t *xgboostTree) check() error {
	n := len(t.left)
	switch {
	case n == 0:
		return fault.Invalidf("it has no nodes")
	case t.leafSize > 1:
		return fault.Invalidf("its leaves are vectors (multi_strategy=multi_output_tree), which are not supported").
			WithHint("train with multi_strategy=one_output_per_tree")
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
		{"default_left", len(t.defaultLeft)}, {"split_type", len(t.kind)},
	} {
		if a.n != n && (a.name != "split_type" || a.n != 0) {
			return fault.Invalidf("%s has %d entries for %d nodes", a.name, a.n, n)
		}
	}
	return nil
}

// builder lays trees flat, one after the other, and checks them: what it accepts can be walked without a check.
type builder struct {
	fail    *failure
	f       forest[float32]
	columns int // the largest feature of a split, and one
	widest  int // the tree that has it
	queue   []link
	reached []bool  // of each node of a tree
	split   []int32 // of each node of a tree, its place among the categorical splits and one; 0 for none
	chosen  []int32
}

// link is a node of the file on its way to its place in the forest.
type link struct {
	from int32
	to   uint32
}

// done returns the forest.
func (b *builder) done() *forest[float32] { return &b.f }

// add lays one tree flat, level by level: a node's children lie side by side, behind it.
func (b *builder) add(t *xgboostTree) {
	if b.fail.err != nil {
		return
	}
	if err := b.lay(t); err != nil {
		b.fail.set(fault.New(fault.Invalid, "tree %d: %w", len(b.f.roots), err))
	}
}

func (b *builder) lay(t *xgboostTree) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := b.categorical(t); err != nil {
		return err
	}
	n := len(t.left)
	nodes, root := b.f.nodes, uint32(len(b.f.nodes))
	nodes = append(nodes, node[float32]{})
	b.reached = append(b.reached[:0], make([]bool, n)...)
	b.queue = append(b.queue[:0], link{0, root})
	for at := 0; at < len(b.queue); at++ {
		i, to := b.queue[at].from, b.queue[at].to
		if b.reached[i] {
			return fault.Invalidf("node %d is reached on two ways, so it is no tree", i)
		}
		b.reached[i] = true
		left, right := t.left[i], t.right[i]
		if left == leafChild && right == leafChild {
			if v := t.split[i]; v-v != 0 {
				return fault.Invalidf("node %d: the leaf's value is %v", i, v)
			}
			nodes[to] = node[float32]{split: t.split[i], left: to}
			continue
		}
		if left < 0 || int(left) >= n || right < 0 || int(right) >= n {
			return fault.Invalidf("node %d: children %d and %d are out of range (%d nodes)", i, left, right, n)
		}
		split, err := b.splitOf(t, i)
		if err != nil {
			return fault.Invalidf("node %d: %w", i, err)
		}
		split.left = uint32(len(nodes))
		nodes[to] = split
		nodes = append(nodes, node[float32]{}, node[float32]{})
		b.queue = append(b.queue, link{left, split.left}, link{right, split.left + 1})
	}
	b.f.nodes = nodes
	b.f.roots = append(b.f.roots, root)
	b.f.plain = append(b.f.plain, len(t.categoryNodes) == 0)
	return nil
}

// splitOf makes the inner node i, but for its children.
func (b *builder) splitOf(t *xgboostTree, i int32) (split node[float32], err error) {
	feature := int(t.feature[i])
	if feature < 0 || feature >= maxColumns {
		return split, fault.Invalidf("it splits on feature %d", feature)
	}
	if feature >= b.columns {
		b.columns, b.widest = feature+1, len(b.f.roots)
	}
	split = node[float32]{split: t.split[i], slot: slotOf(feature, t.defaultLeft[i])}
	if len(t.kind) == 0 || t.kind[i] == 0 {
		if math.IsNaN(float64(split.split)) {
			return split, fault.Invalidf("its split is not a number")
		}
		// The first bin of a feature may begin at -Inf, which is also how a row's image marks a missing value that goes left.
		split.split = max(split.split, -math.MaxFloat32)
		return split, nil
	}
	if t.kind[i] != 1 {
		return split, fault.Invalidf("unknown split_type %d", t.kind[i])
	}
	k := int(b.split[i]) - 1
	if k < 0 {
		return split, fault.Invalidf("its split is categorical, but categories_nodes does not list it")
	}
	start, size := t.categoryStarts[k], t.categorySizes[k]
	b.chosen = append(b.chosen[:0], t.categories[start:start+size]...)
	split.split = float32(b.f.sets.add(b.chosen, !t.defaultLeft[i]))
	split.slot |= categorical
	return split, nil
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
