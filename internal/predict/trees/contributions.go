package trees

import (
	"context"
	"math"
)

// explainer computes exact path-dependent TreeSHAP values (Lundberg, Erion, Lee, arXiv:1802.03888, 2018), but not by algorithm 2 of that
// paper, whose work for each leaf grows with the square of its depth.
//
// Of one leaf with the value v, let each feature on its path have z, the share of training rows that its splits let through, and o: 1 if
// the row itself passes them all, else 0. The Shapley value of feature i is v(o-z) times the mean, over the sizes of coalitions, of the
// mean product of the others' z and o; and since k!(n-1-k)!/n! is the integral of t^k (1-t)^(n-1-k) over 0 to 1, that is
//
//	v (o_i - z_i) * integral over t of the product over j≠i of (z_j (1-t) + o_j t).
//
// The integrand is a polynomial of t, and Gauss-Legendre quadrature with n points is exact up to degree 2n-1. At one point t the product
// over all features goes down the tree with the row, multiplied by one factor at each split, and the sum over the leaves below a split
// comes up; there the split's own factor is divided out. So a tree costs each row as much as it has nodes, times a few points
// (the linear time of Bifet, Read, Xu: Linear TreeShap, 2022, with quadrature in the place of polynomials).
//
// All factors are positive, so nothing cancels out, and all that does not depend on the row is computed once, when it is first asked.
type explainer struct {
	trees []explained
	bias  []float64 // of each output: the mean over the training rows
}

// explained is one tree. Edges are named by their lower node, counted from the root, which has none.
type explained struct {
	points int
	weight []float64 // of each point, the quadrature's
	absent []float64 // of each point, -1/(1-t): what an edge that the row does not follow gives for each unit of the sum below
	edges  []edge
	// Of each edge and point, by what the product is multiplied if the row follows all of the feature's edges so far, if it leaves
	// the path here, and what a followed edge gives.
	follow, leave, present []float64
}

// edge is the link to a node from its parent.
type edge struct {
	parent  int32
	feature int32
	before  int32   // the nearest edge above on the same feature, 0 if there is none
	astray  float64 // by what the product is multiplied if the row has left the path at the feature before
}

// maxPoints bounds the quadrature. Up to 128 features on one path it is exact; beyond, the error stays below 1e-9 of the value.
const maxPoints = 64

// maxExplained is the depth beyond which trees are not explained. Real ones are far from it; a file made to be deep would take long.
const maxExplained = 1024

// covered tells whether the trees hold what contributions need: how many training rows came to each node. Functions in leaves have no
// Shapley values here.
func (f *forest[F]) covered() bool {
	for t, root := range f.roots {
		if f.depths[t] > maxExplained || f.depths[t] > 0 && !(f.details[root].cover > 0) {
			return false
		}
	}
	return len(f.linears) == 0
}

// explainer returns the forest's, made when first asked for.
func (f *forest[F]) explainer() *explainer {
	f.explain.Do(func() {
		f.shap = &explainer{bias: make([]float64, f.outputs())}
		for t := range f.roots {
			f.shap.trees = append(f.shap.trees, f.explained(t, f.shap.bias))
		}
	})
	return f.shap
}

// explained prepares a tree, and adds the mean of its leaves to bias.
func (f *forest[F]) explained(t int, bias []float64) explained {
	from, to := f.span(t)
	n := int(to - from)
	edges, share, paths := make([]edge, n), make([]float64, n), make([]float64, n)
	distinct, most := make([]int32, n), int32(1)
	share[0], paths[0] = 1, 1
	for i := range n {
		at := &f.nodes[int(from)+i]
		if at.slot == 0 {
			f.eachValue(t, from+uint32(i), func(output int, value float64) { bias[output] += value * paths[i] })
			continue
		}
		feature := f.fills[at.slot&^categorical-1].feature
		before := int32(0)
		for up := int32(i); up != 0; up = edges[up].parent {
			if edges[up].feature == feature {
				before = up
				break
			}
		}
		for side := range 2 {
			child := int(at.left-from) + side
			part := f.part(from+uint32(i), at.left+uint32(side))
			edges[child] = edge{parent: int32(i), feature: feature, before: before}
			share[child], paths[child], distinct[child] = part, part*paths[i], distinct[i]
			if before != 0 {
				share[child] *= share[before]
				if share[before] > 0 {
					edges[child].astray = part
				}
			} else {
				distinct[child]++
				most = max(most, distinct[child])
			}
		}
	}
	e := explained{points: min(int(most+1)/2, maxPoints), edges: edges}
	points, weights := gauss(e.points)
	e.weight = weights
	for _, t := range points {
		e.absent = append(e.absent, -1/(1-t))
	}
	e.follow, e.leave, e.present = make([]float64, n*e.points), make([]float64, n*e.points), make([]float64, n*e.points)
	for i := 1; i < n; i++ {
		for q, t := range points {
			z, above := share[i], 1.0
			if before := edges[i].before; before != 0 {
				above = share[before]*(1-t) + t
			}
			at := i*e.points + q
			e.follow[at] = (z*(1-t) + t) / above
			e.leave[at] = z * (1 - t) / above
			e.present[at] = (1 - z) / (z*(1-t) + t)
		}
	}
	return e
}

// part returns which share of the training rows of a node went on to a child of it. Where none came, each child has half.
func (f *forest[F]) part(parent, child uint32) float64 {
	all := f.details[parent].cover
	if !(all > 0) {
		return 0.5
	}
	return f.details[child].cover / all
}

// eachValue calls use for each output that a leaf adds to.
func (f *forest[F]) eachValue(t int, leaf uint32, use func(output int, value float64)) {
	if extra := f.details[leaf].extra; extra > 0 && len(f.vectors) > 0 {
		for i, v := range f.vector(extra) {
			use(i, float64(v))
		}
		return
	}
	use(int(f.groups[t]), float64(f.nodes[leaf].split))
}

// contributions implements booster.
func (f *forest[F]) contributions(ctx context.Context, rows, out []F) error {
	x, k, width := f.explainer(), f.outputs(), f.features+1
	var w walkthrough
	sums := make([]float64, min(block, len(rows)/f.features)*k*width)
	scale := 1.0
	if f.rounds > 0 {
		scale = 1 / float64(f.rounds)
	}
	var err error
	blocks := f.inBlocks(ctx, rows, func(from, to int, imgs []F) {
		sums := sums[:(to-from)*k*width]
		clear(sums)
		for t := range x.trees {
			if err = ctx.Err(); err != nil {
				return
			}
			for i := range to - from {
				img, stride := f.imageOf(imgs, i, to-from)
				f.explainRow(t, &x.trees[t], &w, img, stride, sums[i*k*width:(i+1)*k*width])
			}
		}
		for i, v := range sums {
			if i%width == f.features {
				v = x.bias[i/width%k]
			}
			out[from*k*width+i] = F(v * scale)
			if i%width == f.features {
				out[from*k*width+i] = F(v*scale + float64(f.base[i/width%k]))
			}
		}
	})
	if blocks != nil {
		return blocks
	}
	return err
}

// walkthrough is the memory of explainRow.
type walkthrough struct {
	on       []bool    // of each node, whether the row passes all splits of its edge's feature down to it
	products []float64 // of each node and point
	sums     []float64 // of each node and point, over the leaves below
}

// explainRow adds what one tree contributes for one row to sums, outputs by features and one.
func (f *forest[F]) explainRow(t int, e *explained, w *walkthrough, img []F, stride int, sums []float64) {
	n, p := len(e.edges), e.points
	if n == 1 {
		return
	}
	if len(w.on) < n {
		w.on = make([]bool, n)
	}
	if len(w.products) < n*p {
		w.products, w.sums = make([]float64, n*p), make([]float64, n*p)
	}
	f.descend(t, e, w, img, stride)
	width := f.features + 1
	if first := int(f.roots[t]); len(f.vectors) == 0 {
		for i := range n {
			value := 0.0
			if at := &f.nodes[first+i]; at.slot == 0 {
				value = float64(at.split)
			}
			for q := range p {
				w.sums[i*p+q] = value * w.products[i*p+q]
			}
		}
		at := int(f.groups[t]) * width
		e.ascend(w, sums[at:at+width])
		return
	}
	for output := range f.outputs() {
		clear(w.sums[:n*p])
		for i := range n {
			at := f.roots[t] + uint32(i)
			if extra := f.details[at].extra; extra > 0 {
				value := float64(f.vector(extra)[output])
				for q := range p {
					w.sums[i*p+q] = value * w.products[i*p+q]
				}
			}
		}
		e.ascend(w, sums[output*width:(output+1)*width])
	}
}

// descend computes the products of all nodes, from the root down.
func (f *forest[F]) descend(t int, e *explained, w *walkthrough, img []F, stride int) {
	p, first := e.points, f.roots[t]
	nodes := f.nodes[first:]
	copy(w.products, e.weight)
	w.on[0] = true
	for i := range e.edges {
		at := &nodes[i]
		if at.slot == 0 {
			continue
		}
		right := f.goesRight(at, img, stride)
		above := w.products[i*p : (i+1)*p]
		for side := range 2 {
			child := int(at.left-first) + side
			edge := &e.edges[child]
			here := w.products[child*p : (child+1)*p]
			before := w.on[edge.before] // of the root: true
			w.on[child] = before && right == (side == 1)
			switch {
			case !before:
				for q, v := range above {
					here[q] = v * edge.astray
				}
			case w.on[child]:
				for q, v := range e.follow[child*p : (child+1)*p] {
					here[q] = above[q] * v
				}
			default:
				for q, v := range e.leave[child*p : (child+1)*p] {
					here[q] = above[q] * v
				}
			}
		}
	}
}

// ascend sums from the leaves up, and adds what each edge contributes to its feature.
func (e *explained) ascend(w *walkthrough, sums []float64) {
	p := e.points
	for i := len(e.edges) - 1; i > 0; i-- {
		edge := &e.edges[i]
		below := w.sums[i*p : (i+1)*p]
		parent := w.sums[int(edge.parent)*p : (int(edge.parent)+1)*p]
		gives := e.gives(w, i)
		contribution := 0.0
		for q, v := range below {
			parent[q] += v
			contribution += v * gives[q]
		}
		if edge.before != 0 { // which counted these leaves too, with what was known of the feature there
			for q, v := range e.gives(w, int(edge.before)) {
				contribution -= below[q] * v
			}
		}
		sums[edge.feature] += contribution
	}
}

// gives returns what an edge gives for each unit of the sum below it, at each point.
func (e *explained) gives(w *walkthrough, i int) []float64 {
	if w.on[i] {
		return e.present[i*e.points : (i+1)*e.points]
	}
	return e.absent
}

// gauss returns the points and weights of Gauss-Legendre quadrature over 0 to 1, by Newton's method on the Legendre polynomial.
func gauss(n int) (points, weights []float64) {
	for i := range n {
		x := math.Cos(math.Pi * (float64(i) + 0.75) / (float64(n) + 0.5))
		var slope float64
		for range 100 {
			below, here := 1.0, x
			for k := 2; k <= n; k++ {
				below, here = here, (float64(2*k-1)*x*here-float64(k-1)*below)/float64(k)
			}
			slope = float64(n) * (x*here - below) / (x*x - 1)
			step := here / slope
			if x -= step; math.Abs(step) < 1e-16 {
				break
			}
		}
		points = append(points, (1-x)/2)
		weights = append(weights, 1/((1-x*x)*slope*slope))
	}
	return points, weights
}
