package trees

import "math"

// lanes is how many walks go on at a time. A walk waits for its next node most of the time; eight keep the processor busy.
const lanes = 8

// stretch is how many levels are walked before looking whether all lanes have arrived: most trees are no deeper.
const stretch = 6

// fill says how a slot of a row's image is filled.
type fill[F number] struct {
	feature int32
	absent  F // what stands for NaN
	bound   F // numbers no farther from 0 than that are zeroes; -1: none is
	zero    F // what stands for them
	top     F // what stands for a number above it
}

// imageLen is the length of a row's image: a slot for each feature and each way in which splits on it treat missing values, behind the
// one that leaves look at.
func (f *forest[F]) imageLen() int { return len(f.fills) + 1 }

// imageOf returns where the image of row i among so many begins, and how far apart its slots are. The rows of a full group of lanes
// have theirs interleaved, so that a walk of all finds them from one address; what is left over lies one after the other.
func (f *forest[F]) imageOf(imgs []F, i, rows int) (img []F, stride int) {
	n := f.imageLen()
	if i < rows/lanes*lanes {
		return imgs[i/lanes*lanes*n+i%lanes : (i/lanes+1)*lanes*n], lanes
	}
	return imgs[i*n : (i+1)*n], 1
}

// image lays out a row for walking. A missing value becomes -Inf where it goes left and +Inf where it goes right, so that nodes need
// not ask. No finite split is beyond them, and where infinities are values they go the same way.
func (f *forest[F]) image(img []F, stride int, row []F) {
	img[0] = F(math.Inf(-1))
	at := stride
	for i := range f.fills {
		fill := &f.fills[i]
		v := row[fill.feature]
		switch {
		case v != v:
			v = fill.absent
		case !f.bounded:
		case max(v, -v) <= fill.bound:
			v = fill.zero
		case v > fill.top:
			v = fill.top
		}
		img[at] = v
		at += stride
	}
}

// addRows adds the trees' leaves for rows to out: tree by tree, so that a tree stays in the cache for all rows.
func (f *forest[F]) addRows(imgs, rows, out []F) {
	k, n := f.outputs(), f.imageLen()
	count := len(imgs) / n
	full := count / lanes * lanes
	if full > 0 {
		for t := range f.roots {
			for r := 0; r < full; r += lanes {
				f.addLanes(t, imgs[r*n:(r+lanes)*n], rows[r*f.features:], out[r*k:(r+lanes)*k])
			}
		}
	}
	for r := full; r < count; r++ {
		f.addOne(imgs[r*n:(r+1)*n], rows[r*f.features:(r+1)*f.features], out[r*k:(r+1)*k])
	}
}

// addLanes adds one tree's leaves for as many rows as there are lanes.
func (f *forest[F]) addLanes(t int, img, rows, out []F) {
	nodes, root, g, k := f.nodes, f.roots[t], int(f.groups[t]), f.outputs()
	if !f.plain[t] {
		for i := range lanes {
			f.addLeaf(t, f.walk(root, img[i:], lanes), rows[i*f.features:(i+1)*f.features], out[i*k:(i+1)*k])
		}
		return
	}
	a, b, c, d, e, h, i, j := root, root, root, root, root, root, root, root
	for levels := f.depths[t]; levels > 0; levels -= stretch {
		for range min(levels, stretch) {
			n := &nodes[a]
			a = n.left + bit(img[n.slot*lanes] >= n.split)
			n = &nodes[b]
			b = n.left + bit(img[n.slot*lanes+1] >= n.split)
			n = &nodes[c]
			c = n.left + bit(img[n.slot*lanes+2] >= n.split)
			n = &nodes[d]
			d = n.left + bit(img[n.slot*lanes+3] >= n.split)
			n = &nodes[e]
			e = n.left + bit(img[n.slot*lanes+4] >= n.split)
			n = &nodes[h]
			h = n.left + bit(img[n.slot*lanes+5] >= n.split)
			n = &nodes[i]
			i = n.left + bit(img[n.slot*lanes+6] >= n.split)
			n = &nodes[j]
			j = n.left + bit(img[n.slot*lanes+7] >= n.split)
		}
		if nodes[a].slot|nodes[b].slot|nodes[c].slot|nodes[d].slot|nodes[e].slot|nodes[h].slot|nodes[i].slot|nodes[j].slot == 0 {
			break
		}
	}
	out[g] += nodes[a].split
	out[k+g] += nodes[b].split
	out[2*k+g] += nodes[c].split
	out[3*k+g] += nodes[d].split
	out[4*k+g] += nodes[e].split
	out[5*k+g] += nodes[h].split
	out[6*k+g] += nodes[i].split
	out[7*k+g] += nodes[j].split
}

// addOne adds every tree's leaf for one row to out, in the order of the trees: sums depend on it. A lane is a tree here.
func (f *forest[F]) addOne(img, row, out []F) {
	nodes := f.nodes
	t := 0
	for ; t+lanes <= len(f.roots); t += lanes {
		r, g, depths := f.roots[t:t+lanes:t+lanes], f.groups[t:t+lanes:t+lanes], f.depths[t:t+lanes:t+lanes]
		if !allTrue(f.plain[t : t+lanes]) {
			for i := range r {
				f.addLeaf(t+i, f.walk(r[i], img, 1), row, out)
			}
			continue
		}
		levels := max(depths[0], depths[1], depths[2], depths[3], depths[4], depths[5], depths[6], depths[7])
		a, b, c, d, e, h, i, j := r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]
		for ; levels > 0; levels -= stretch {
			for range min(levels, stretch) {
				n := &nodes[a]
				a = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[b]
				b = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[c]
				c = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[d]
				d = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[e]
				e = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[h]
				h = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[i]
				i = n.left + bit(img[n.slot] >= n.split)
				n = &nodes[j]
				j = n.left + bit(img[n.slot] >= n.split)
			}
			if nodes[a].slot|nodes[b].slot|nodes[c].slot|nodes[d].slot|nodes[e].slot|nodes[h].slot|nodes[i].slot|nodes[j].slot == 0 {
				break
			}
		}
		out[g[0]] += nodes[a].split
		out[g[1]] += nodes[b].split
		out[g[2]] += nodes[c].split
		out[g[3]] += nodes[d].split
		out[g[4]] += nodes[e].split
		out[g[5]] += nodes[h].split
		out[g[6]] += nodes[i].split
		out[g[7]] += nodes[j].split
	}
	for ; t < len(f.roots); t++ {
		f.addLeaf(t, f.walk(f.roots[t], img, 1), row, out)
	}
}

func allTrue(flags []bool) bool {
	for _, v := range flags {
		if !v {
			return false
		}
	}
	return true
}

// walk goes from a root to a leaf, through splits of any kind, and returns the leaf.
func (f *forest[F]) walk(at uint32, img []F, stride int) uint32 {
	for f.nodes[at].slot != 0 {
		at = f.nodes[at].left + bit(f.goesRight(&f.nodes[at], img, stride))
	}
	return at
}

// goesRight tells which child of an inner node comes next.
func (f *forest[F]) goesRight(n *node[F], img []F, stride int) bool {
	if n.slot&categorical != 0 {
		return f.sets.right(int(n.split), float64(img[int(n.slot&^categorical)*stride]))
	}
	return img[int(n.slot)*stride] >= n.split
}

// addLeaf adds what the leaf of a tree of any kind gives to one row's outputs.
func (f *forest[F]) addLeaf(t int, leaf uint32, row, out []F) {
	extra := f.details[leaf].extra
	switch {
	case extra == 0:
		out[f.groups[t]] += f.nodes[leaf].split
	case len(f.vectors) > 0:
		for i, v := range f.vector(extra) {
			out[i] += v
		}
	default:
		out[f.groups[t]] += f.linears[extra-1].of(row, f.nodes[leaf].split)
	}
}

// of returns the function's value, or otherwise where a feature of it is missing. Functions are LightGBM's, to which what is nearly zero
// is zero.
func (l *linear[F]) of(row []F, otherwise F) F {
	sum := l.constant
	for i, feature := range l.features {
		v := row[feature]
		if v != v {
			return otherwise
		}
		if float64(v) <= zeroBound && float64(v) >= -zeroBound {
			continue
		}
		product := F(l.factors[i] * v) //nolint:unconvert // it rounds: the library does not fuse the operations
		sum += product
	}
	return sum
}

// bit is 1 for true; the compiler makes it a flag, not a branch.
func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
