package trees

import (
	"context"
	"math"
	"sync"

	"github.com/serin-ml/serin/internal/fault"
)

const maxFinite = math.MaxFloat64

// node is one node of a tree, 12 bytes in float32. Siblings are neighbours, so that one index leads to both.
//
// A leaf is a node whose slot is 0 and whose left child is itself. Slot 0 of every row's image holds -Inf, which is less than any
// leaf's value: a walk that has arrived stays where it is, without a branch to tell leaves apart.
type node[F number] struct {
	split F      // values below it go left; of a leaf its value; of a categorical split the number of its set
	slot  uint32 // the slot of the row's image to look at, and the categorical flag; 0 marks a leaf
	left  uint32 // the left child; the right one follows it
}

// categorical marks a node whose split is a set.
const categorical = 1 << 31

// detail is what a node has that margins do not need, or seldom.
type detail struct {
	cover float64 // the weight of the training rows that came here
	id    int32   // of a leaf: its number in the library
	extra int32   // of a leaf that is more than a value: the number of its vector or linear function, and one
}

// forest is trees laid flat, ready to walk. Every format is turned into one; it knows none of them.
type forest[F number] struct {
	nodes   []node[F]
	details []detail // of each node
	roots   []uint32 // of each tree, in the order in which their leaves are added up
	groups  []uint32 // of each tree, the output it adds to
	depths  []int32  // of each tree, the links from its root to its deepest leaf
	plain   []bool   // of each tree, whether it has neither categorical splits nor leaves that are more than a value
	sets    sets
	vectors []F // of leaves that are vectors, one after the other
	linears []linear[F]
	fills   []fill[F] // of each slot but the first

	nearZero bool // numbers within zeroBound of 0 are 0
	bounded  bool // some slots of a row's image look at more than whether the number is NaN
	features int
	base     []F  // the base score of each output
	baseLast bool // the base score is added after the trees, not before: sums depend on it

	columns  int // the largest feature that is used, and one
	widest   int // the tree that uses it
	planting planting

	images  sync.Pool // of *[]F, the images of a block of rows
	explain sync.Once
	shap    *explainer
}

var (
	_ booster[float32] = (*forest[float32])(nil)
	_ booster[float64] = (*forest[float64])(nil)
)

func (f *forest[F]) trees() int { return len(f.roots) }

func (f *forest[F]) outputs() int { return len(f.base) }

func (f *forest[F]) size() (features, outputs, trees int) { return f.features, f.outputs(), f.trees() }

// keep drops all trees but the first n.
func (f *forest[F]) keep(n int) {
	if n < len(f.roots) {
		f.nodes, f.details = f.nodes[:f.roots[n]], f.details[:f.roots[n]]
	}
	f.roots, f.groups, f.depths, f.plain = f.roots[:n], f.groups[:n], f.depths[:n], f.plain[:n]
}

// weigh multiplies the leaves of each tree by its weight.
func (f *forest[F]) weigh(weights []F) error {
	for t := range f.roots {
		from, to := f.span(t)
		for i := from; i < to; i++ {
			if f.nodes[i].slot != 0 {
				continue
			}
			values := []F{f.nodes[i].split}
			if extra := f.details[i].extra; extra > 0 && len(f.vectors) > 0 {
				values = f.vector(extra)
			}
			for k := range values {
				if values[k] *= weights[t]; values[k]-values[k] != 0 {
					return fault.Invalidf("tree %d: its weight %v makes a leaf %v", t, weights[t], values[k])
				}
			}
			f.nodes[i].split = values[0]
		}
	}
	return nil
}

// span returns where the nodes of a tree begin and end.
func (f *forest[F]) span(t int) (from, to uint32) {
	if t+1 < len(f.roots) {
		return f.roots[t], f.roots[t+1]
	}
	return f.roots[t], uint32(len(f.nodes))
}

// vector returns the values of a leaf, by the number in its detail.
func (f *forest[F]) vector(extra int32) []F {
	k := f.outputs()
	return f.vectors[int(extra-1)*k : int(extra)*k]
}

// block is how many rows are walked together: enough to keep a tree in the cache for many, few enough for their images to stay there.
const block = 64

// margins implements booster.
func (f *forest[F]) margins(ctx context.Context, rows, out []F) error {
	k := f.outputs()
	for i := range out {
		out[i] = 0
		if !f.baseLast {
			out[i] = f.base[i%k]
		}
	}
	if err := f.inBlocks(ctx, rows, func(from, to int, imgs []F) {
		f.addRows(imgs, rows[from*f.features:to*f.features], out[from*k:to*k])
	}); err != nil {
		return err
	}
	for i := range out {
		if f.baseLast {
			out[i] += f.base[i%k]
		}
	}
	return nil
}

// leaves implements booster.
func (f *forest[F]) leaves(ctx context.Context, rows []F, out []int32) error {
	trees := f.trees()
	return f.inBlocks(ctx, rows, func(from, to int, imgs []F) {
		for i := from; i < to; i++ {
			img, stride := f.imageOf(imgs, i-from, to-from)
			for t, root := range f.roots {
				out[i*trees+t] = f.details[f.walk(root, img, stride)].id
			}
		}
	})
}

// inBlocks calls use for blocks of rows with their images.
func (f *forest[F]) inBlocks(ctx context.Context, rows []F, use func(from, to int, imgs []F)) error {
	images, ok := f.images.Get().(*[]F)
	if !ok {
		images = new([]F)
	}
	defer f.images.Put(images)
	n := len(rows) / f.features
	if need := min(n, block) * f.imageLen(); cap(*images) < need {
		*images = make([]F, need)
	}
	for from := 0; from < n; from += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+block, n)
		imgs := (*images)[:(to-from)*f.imageLen()]
		for i := from; i < to; i++ {
			img, stride := f.imageOf(imgs, i-from, to-from)
			f.image(img, stride, rows[i*f.features:(i+1)*f.features])
		}
		use(from, to, imgs)
	}
	return nil
}
