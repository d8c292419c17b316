package trees

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

const maxFinite = math.MaxFloat64

// number is the arithmetic of a forest: XGBoost computes in float32, LightGBM in float64.
type number interface{ float32 | float64 }

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

// forest is trees laid flat, ready to walk. Every format is turned into one; it knows none of them.
type forest[F number] struct {
	nodes    []node[F]
	roots    []uint32 // of each tree, in the order in which their leaves are added up
	groups   []uint32 // of each tree, the output it adds to
	plain    []bool   // of each tree, whether it has no categorical split
	sets     sets
	base     []F  // the base score of each output
	baseLast bool // the base score is added after the trees, not before: float32 sums depend on it
	features int
}

func (f *forest[F]) outputs() int { return len(f.base) }

// imageLen is the length of a row's image.
func (f *forest[F]) imageLen() int { return 2*f.features + 1 }

// image lays out a row for walking: for each feature its value twice. A missing value (NaN) becomes -Inf in the first slot and
// +Inf in the second; nodes look at the first if missing goes left and at the second if it goes right, and so need not ask. An
// infinity in the row, which would be taken for that, is refused: image returns its column, else -1.
func (f *forest[F]) image(img, row []F) int {
	img = img[:f.imageLen()]
	img[0] = F(math.Inf(-1))
	pairs := img[1:]
	for i, v := range row[:f.features] {
		if v-v != 0 { // NaN or infinite
			if !math.IsNaN(float64(v)) {
				return i
			}
			pairs[2*i], pairs[2*i+1] = F(math.Inf(-1)), F(math.Inf(1))
			continue
		}
		pairs[2*i], pairs[2*i+1] = v, v
	}
	return -1
}

// slotOf returns the slot of a feature for a node that sends missing values left or right.
func slotOf(feature int, defaultLeft bool) uint32 {
	slot := uint32(2*feature + 1)
	if !defaultLeft {
		slot++
	}
	return slot
}

// startFromBase sets rows of outputs to the base scores.
func (f *forest[F]) startFromBase(out []F) {
	k := f.outputs()
	for i := range out {
		out[i] = f.base[i%k]
	}
}

// addBase adds the base scores to rows of outputs.
func (f *forest[F]) addBase(out []F) {
	k := f.outputs()
	for i := range out {
		out[i] += f.base[i%k]
	}
}

// addOne adds every tree's leaf for one image to out, tree by tree: float32 sums depend on the order. Four trees are walked
// at a time, because a walk spends its time waiting for the next node.
func (f *forest[F]) addOne(img, out []F) {
	nodes, roots := f.nodes, f.roots
	t := 0
	for ; t+4 <= len(roots); t += 4 {
		r := roots[t : t+4 : t+4]
		if !f.plain[t] || !f.plain[t+1] || !f.plain[t+2] || !f.plain[t+3] {
			for i := range r {
				out[f.groups[t+i]] += f.walk(r[i], img)
			}
			continue
		}
		a, b, c, d := r[0], r[1], r[2], r[3]
		for {
			na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
			if na.slot|nb.slot|nc.slot|nd.slot == 0 {
				g := f.groups[t : t+4 : t+4]
				out[g[0]] += na.split
				out[g[1]] += nb.split
				out[g[2]] += nc.split
				out[g[3]] += nd.split
				break
			}
			a = na.left + bit(img[na.slot] >= na.split)
			b = nb.left + bit(img[nb.slot] >= nb.split)
			c = nc.left + bit(img[nc.slot] >= nc.split)
			d = nd.left + bit(img[nd.slot] >= nd.split)
		}
	}
	for ; t < len(roots); t++ {
		out[f.groups[t]] += f.walk(roots[t], img)
	}
}

// addFour is addOne for four rows, each tree walked by all of them at once; images and outputs lie one after the other.
func (f *forest[F]) addFour(t int, imgs, out []F) {
	nodes, root, g, k, n := f.nodes, f.roots[t], int(f.groups[t]), f.outputs(), f.imageLen()
	ia, ib, ic, id := imgs[:n], imgs[n:2*n], imgs[2*n:3*n], imgs[3*n:4*n]
	if !f.plain[t] {
		out[g] += f.walk(root, ia)
		out[k+g] += f.walk(root, ib)
		out[2*k+g] += f.walk(root, ic)
		out[3*k+g] += f.walk(root, id)
		return
	}
	a, b, c, d := root, root, root, root
	for {
		na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
		if na.slot|nb.slot|nc.slot|nd.slot == 0 {
			out[g] += na.split
			out[k+g] += nb.split
			out[2*k+g] += nc.split
			out[3*k+g] += nd.split
			return
		}
		a = na.left + bit(ia[na.slot] >= na.split)
		b = nb.left + bit(ib[nb.slot] >= nb.split)
		c = nc.left + bit(ic[nc.slot] >= nc.split)
		d = nd.left + bit(id[nd.slot] >= nd.split)
	}
}

// addRows adds the trees' leaves for rows of images to out: tree by tree, so that a tree stays in the cache for all rows.
func (f *forest[F]) addRows(imgs, out []F) {
	k, n := f.outputs(), f.imageLen()
	rows := len(imgs) / n
	fours := rows / 4 * 4
	for t := range f.roots {
		for r := 0; r < fours; r += 4 {
			f.addFour(t, imgs[r*n:(r+4)*n], out[r*k:(r+4)*k])
		}
	}
	for r := fours; r < rows; r++ {
		f.addOne(imgs[r*n:(r+1)*n], out[r*k:(r+1)*k])
	}
}

// walk goes from a root to a leaf, through splits of any kind, and returns the leaf's value.
func (f *forest[F]) walk(at uint32, img []F) F {
	for {
		n := &f.nodes[at]
		switch {
		case n.slot == 0:
			return n.split
		case n.slot&categorical != 0:
			at = n.left + bit(f.sets.right(int(n.split), float64(img[n.slot&^categorical])))
		default:
			at = n.left + bit(img[n.slot] >= n.split)
		}
	}
}

// bit is 1 for true; the compiler makes it a flag, not a branch.
func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// keep drops all trees but the first n.
func (f *forest[F]) keep(n int) {
	f.roots, f.groups, f.plain = f.roots[:n], f.groups[:n], f.plain[:n]
}

// weigh multiplies the leaves of each tree by its weight.
func (f *forest[F]) weigh(weights []F) error {
	for t, root := range f.roots {
		end := len(f.nodes)
		if t+1 < len(f.roots) {
			end = int(f.roots[t+1])
		}
		for i := int(root); i < end; i++ {
			if f.nodes[i].slot == 0 {
				f.nodes[i].split *= weights[t]
				if v := f.nodes[i].split; v-v != 0 {
					return fault.Invalidf("tree %d: its weight %v makes a leaf %v", t, weights[t], v)
				}
			}
		}
	}
	return nil
}
