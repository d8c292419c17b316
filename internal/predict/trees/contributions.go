package trees

import "context"

// contributions implements booster.
func (f *forest[F]) contributions(ctx context.Context, rows, out []F) error {
	x, k, width := f.explainer(), f.outputs(), f.features+1
	var w walkthrough
	sums := make([]float64, min(block, len(rows)/f.features)*k*width)
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
				output := i / width % k
				v = x.bias[output] + float64(f.base[output])
			}
			out[from*k*width+i] = F(v)
		}
	})
	if blocks != nil {
		return blocks
	}
	return err
}

// walkthrough is the memory of explainRow.
type walkthrough struct {
	on       []uint8 // of each node, 1 if the row passes all splits of its edge's feature down to it, else 0
	products []quad  // of each node and point
	sums     []quad  // of each node and point, over the leaves below
}

// explainRow adds what one tree contributes for one row to sums, outputs by features and one.
func (f *forest[F]) explainRow(t int, e *explained, w *walkthrough, img []F, stride int, sums []float64) {
	n := len(e.edges)
	if n == 1 {
		return
	}
	if len(w.on) < n {
		w.on = make([]uint8, n)
	}
	if len(w.products) < n*e.quads {
		w.products, w.sums = make([]quad, n*e.quads), make([]quad, n*e.quads)
	}
	f.descend(t, e, w, img, stride)
	width := f.features + 1
	from, to := f.span(t)
	if len(f.vectors) == 0 {
		at := int(f.groups[t]) * width
		for i, node := range f.nodes[from:to] {
			w.leaf(e, i, node.slot == 0, float64(node.split))
		}
		e.ascend(w, sums[at:at+width])
		return
	}
	for output := range f.outputs() {
		for i, d := range f.details[from:to] {
			value := 0.0
			if d.extra > 0 {
				value = float64(f.vector(d.extra)[output])
			}
			w.leaf(e, i, d.extra > 0, value)
		}
		e.ascend(w, sums[output*width:(output+1)*width])
	}
}

// leaf sets what is below a node before it is summed up: of a leaf its value times its products, else nothing.
func (w *walkthrough) leaf(e *explained, i int, is bool, value float64) {
	sums := w.sums[i*e.quads : (i+1)*e.quads]
	if !is {
		clear(sums)
		return
	}
	for q := range sums {
		v := &w.products[i*e.quads+q]
		sums[q] = quad{value * v[0], value * v[1], value * v[2], value * v[3]}
	}
}

// descend computes the products of all nodes, from the root down. Which way the row goes cannot be foretold, so nothing branches on it.
func (f *forest[F]) descend(t int, e *explained, w *walkthrough, img []F, stride int) {
	p, first := e.quads, f.roots[t]
	nodes := f.nodes[first:]
	copy(w.products, e.weight)
	w.on[0] = 1
	for i := range e.edges {
		at := &nodes[i]
		if at.slot == 0 {
			continue
		}
		right := int(bit(f.goesRight(at, img, stride)))
		above := w.products[i*p : (i+1)*p]
		for side := range 2 {
			child := int(at.left-first) + side
			before := w.on[e.edges[child].before] // of the root: 1
			on := before & uint8(1^right^side)
			w.on[child] = on
			here := w.products[child*p:][:len(above)]
			factors := e.factors[(child*states+int(before+on))*p:][:len(above)]
			for q := range above {
				a, b := &above[q], &factors[q]
				here[q] = quad{a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]}
			}
		}
	}
}

func (a *quad) dot(b *quad) float64 { return (a[0]*b[0] + a[1]*b[1]) + (a[2]*b[2] + a[3]*b[3]) }

// ascend sums from the leaves up, and adds what each edge contributes to its feature.
func (e *explained) ascend(w *walkthrough, sums []float64) {
	p := e.quads
	for i := len(e.edges) - 1; i > 0; i-- {
		edge := &e.edges[i]
		below := w.sums[i*p : (i+1)*p]
		parent := w.sums[int(edge.parent)*p:][:len(below)]
		gives := e.gives[(i*2+int(w.on[i]))*p:][:len(below)]
		contribution := 0.0
		for q := range below {
			to, b := &parent[q], &below[q]
			contribution += b.dot(&gives[q])
			to[0], to[1], to[2], to[3] = to[0]+b[0], to[1]+b[1], to[2]+b[2], to[3]+b[3]
		}
		if edge.before != 0 { // which counted these leaves too, with what was known of the feature there
			gives := e.gives[(int(edge.before)*2+int(w.on[edge.before]))*p:][:len(below)]
			for q := range below {
				contribution -= below[q].dot(&gives[q])
			}
		}
		sums[edge.feature] += contribution
	}
}
