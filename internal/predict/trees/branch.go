package trees

import (
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
)

// number is the arithmetic of a forest: XGBoost computes in float32, LightGBM in float64.
type number interface{ float32 | float64 }

// branch is one node of a tree as a reader of some format gives it to plant. Branch 0 of a tree is its root.
type branch[F number] struct {
	left, right int32 // the children's places among the tree's branches; none and none for a leaf
	feature     int32
	split       F // a value at or above it goes right
	missing     missing
	set         int32 // the number of a categorical split's set, as sets.add gave it, and one; 0: the split is numerical
	value       F     // of a leaf
	id          int32 // of a leaf: its number where the library itself predicts leaves
	cover       float64
	vector      []F        // of a leaf with a value for each output, instead of value
	linear      *linear[F] // of a leaf that is a linear function; its value answers where a feature of the function is missing
}

// none stands for a child that is not there.
const none = -1

// missing says which values are missing at a split, and where they go.
type missing uint8

const (
	nanLeft missing = iota // NaN is missing and goes left
	nanRight
	zeroLeft // NaN and zero are missing and go left
	zeroRight
	nanIsZero // nothing is missing: NaN counts as 0
)

// zeroBound is the largest number that LightGBM takes for zero: 1e-35 as a float32, a little above that.
const zeroBound = float64(float32(1e-35))

// linear is a function of a row: constant + sum of factors times features.
type linear[F number] struct {
	constant F
	features []int32
	factors  []F
}

// planting is the memory of plant, used again for each tree.
type planting struct {
	queue   []seat
	reached []bool            // of each branch of a tree
	slots   map[uint64]uint32 // of each feature and kind of missing, its slot
}

// seat is a branch on its way to its place in the forest.
type seat struct {
	from  int32
	to    uint32
	depth int32
}

// plant checks a tree and lays it flat behind the others, level by level: a node's children lie side by side, behind it. What it accepts
// can be walked without a check. output is the one that the tree's leaves add to, if they are not vectors.
func (f *forest[F]) plant(tree []branch[F], output int) error {
	if err := f.lay(tree, output); err != nil {
		return fault.New(fault.Invalid, "tree %d: %w", f.trees(), err)
	}
	return nil
}

func (f *forest[F]) lay(tree []branch[F], output int) error {
	if len(tree) == 0 {
		return fault.Invalidf("it has no nodes")
	}
	p := &f.planting
	root, depth, plain := uint32(len(f.nodes)), int32(0), true
	nodes, details := double(f.nodes, len(tree)), double(f.details, len(tree))
	nodes, details = append(nodes, node[F]{}), append(details, detail{})
	p.reached = append(p.reached[:0], make([]bool, len(tree))...)
	p.queue = append(p.queue[:0], seat{0, root, 0})
	for at := 0; at < len(p.queue); at++ {
		here := p.queue[at]
		b := &tree[here.from]
		if p.reached[here.from] {
			return fault.Invalidf("node %d is reached on two ways, so it is no tree", here.from)
		}
		p.reached[here.from], depth = true, here.depth
		details[here.to] = detail{cover: b.cover, id: b.id}
		if b.left == none && b.right == none {
			extra, err := f.leaf(b)
			if err != nil {
				return fault.Invalidf("node %d: %w", here.from, err)
			}
			plain = plain && extra == 0
			nodes[here.to], details[here.to].extra = node[F]{split: b.value, left: here.to}, extra
			continue
		}
		if n := int32(len(tree)); b.left < 0 || b.left >= n || b.right < 0 || b.right >= n {
			return fault.Invalidf("node %d: children %d and %d are out of range (%d nodes)", here.from, b.left, b.right, n)
		}
		split, err := f.split(b)
		if err != nil {
			return fault.Invalidf("node %d: %w", here.from, err)
		}
		plain = plain && b.set == 0
		split.left = uint32(len(nodes))
		nodes[here.to] = split
		nodes, details = append(nodes, node[F]{}, node[F]{}), append(details, detail{}, detail{})
		p.queue = append(p.queue, seat{b.left, split.left, here.depth + 1}, seat{b.right, split.left + 1, here.depth + 1})
	}
	f.nodes, f.details = nodes, details
	f.roots, f.groups = append(f.roots, root), append(f.groups, uint32(output))
	f.depths, f.plain = append(f.depths, depth), append(f.plain, plain)
	return nil
}

// double makes room for n more. Where there is none, it doubles: append's smaller steps would copy a large forest many times.
func double[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s
	}
	return slices.Grow(s, max(n, len(s)))
}

// split makes an inner node, but for its children.
func (f *forest[F]) split(b *branch[F]) (node[F], error) {
	feature := int(b.feature)
	if feature < 0 || feature >= maxColumns {
		return node[F]{}, fault.Invalidf("it splits on feature %d", feature)
	}
	if feature >= f.columns {
		f.columns, f.widest = feature+1, f.trees()
	}
	slot := f.slot(b.feature, b.missing, b.split > F(-lowest(b.split)))
	if b.set > 0 {
		return node[F]{split: F(b.set - 1), slot: slot | categorical}, nil
	}
	if b.split != b.split {
		return node[F]{}, fault.Invalidf("its split is not a number")
	}
	// The first bin of a feature may begin at -Inf, which is also how a row's image marks a missing value that goes left.
	return node[F]{split: max(b.split, F(lowest(b.split))), slot: slot}, nil
}

// lowest returns the least finite number of v's type.
func lowest[F number](v F) float64 {
	if _, short := any(v).(float32); short {
		return -math.MaxFloat32
	}
	return -math.MaxFloat64
}

// slot returns the slot of a feature for nodes that take the same for missing, and makes it when it is met first. Below an infinite split
// is every number, and an infinity in the row too: its slot holds no infinity but that of a missing value.
func (f *forest[F]) slot(feature int32, m missing, infinite bool) uint32 {
	key := uint64(feature)<<8 | uint64(m)<<1 | uint64(bit(infinite))
	slot, known := f.planting.slots[key]
	if !known {
		slot = uint32(len(f.fills) + 1)
		if f.planting.slots == nil {
			f.planting.slots = map[uint64]uint32{}
		}
		f.planting.slots[key] = slot
		fill := fill[F]{feature: feature, bound: -1, top: F(math.Inf(1))}
		switch m {
		case nanRight, zeroRight:
			fill.absent = F(math.Inf(1))
		case nanLeft, zeroLeft:
			fill.absent = F(math.Inf(-1))
		case nanIsZero:
		}
		if f.nearZero || m == zeroLeft || m == zeroRight {
			fill.bound = F(zeroBound)
		}
		if m == zeroLeft || m == zeroRight {
			fill.zero = fill.absent
		}
		if infinite {
			fill.top = -F(lowest(fill.top))
		}
		f.bounded = f.bounded || infinite || fill.bound >= 0
		f.fills = append(f.fills, fill)
	}
	return slot
}

// leaf keeps what a leaf has beyond one value, and returns where.
func (f *forest[F]) leaf(b *branch[F]) (extra int32, err error) {
	switch {
	case b.vector != nil:
		for _, v := range b.vector {
			if v-v != 0 {
				return 0, fault.Invalidf("the leaf's values are %v", b.vector)
			}
		}
		f.vectors = append(f.vectors, b.vector...)
		return int32(len(f.vectors) / len(b.vector)), nil
	case b.value-b.value != 0:
		return 0, fault.Invalidf("the leaf's value is %v", b.value)
	case b.linear == nil:
		return 0, nil
	}
	l := *b.linear
	for i, feature := range l.features {
		if feature < 0 || feature >= maxColumns {
			return 0, fault.Invalidf("its function is of feature %d", feature)
		}
		if int(feature) >= f.columns {
			f.columns, f.widest = int(feature)+1, f.trees()
		}
		if v := l.factors[i]; v-v != 0 {
			return 0, fault.Invalidf("its function has the factor %v", v)
		}
	}
	if l.constant-l.constant != 0 {
		return 0, fault.Invalidf("its function has the constant %v", l.constant)
	}
	f.linears = append(f.linears, l)
	return int32(len(f.linears)), nil
}
