package trees

import "math"

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
	quads  int    // points of the quadrature, in fours
	weight []quad // of each point, the quadrature's
	edges  []edge
	// Of each edge, state and point, by what the product is multiplied there.
	factors []quad
	// Of each edge, whether the row is off or on it, and point, what it gives for each unit of the sum below.
	gives []quad
}

// What a row is at an edge: off the feature's path already further up, off it from here on, or on it.
const (
	stray = iota
	leaving
	following
	states
)

// quad is numbers of four points, worked on together.
type quad [4]float64

// edge is the link to a node from its parent.
type edge struct {
	parent  int32
	feature int32
	before  int32 // the nearest edge above on the same feature, 0 if there is none
}

// maxPoints bounds the quadrature. Up to 128 features on one path it is exact; beyond, the error stays below 1e-9 of the value.
const maxQuads = 16

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
			} else {
				distinct[child]++
				most = max(most, distinct[child])
			}
		}
	}
	e := explained{quads: min(int(most+7)/8, maxQuads), edges: edges}
	points, weights := gauss(4 * e.quads)
	e.weight, e.factors, e.gives = make([]quad, e.quads), make([]quad, n*states*e.quads), make([]quad, n*2*e.quads)
	for q, t := range points {
		e.weight[q/4][q%4] = weights[q]
		for i := 1; i < n; i++ {
			z, above, part := share[i], 1.0, 0.0
			if before := edges[i].before; before != 0 {
				above = share[before]*(1-t) + t
				if share[before] > 0 {
					part = z / share[before]
				}
			}
			at := i*states*e.quads + q/4
			e.factors[at+stray*e.quads][q%4] = part
			e.factors[at+leaving*e.quads][q%4] = z * (1 - t) / above
			e.factors[at+following*e.quads][q%4] = (z*(1-t) + t) / above
			at = i*2*e.quads + q/4
			e.gives[at][q%4] = -1 / (1 - t)
			e.gives[at+e.quads][q%4] = (1 - z) / (z*(1-t) + t)
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
