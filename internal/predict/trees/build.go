package trees

import (
	"math"

	"github.com/serin-ml/serin/internal/fault"
)

type builder struct {
	fail *failure
	f    forest[float32]
	maxF int32
	perm []uint32
}

func (b *builder) tree(t *xgbTree) {
	if b.fail.err != nil {
		return
	}
	no := len(b.f.roots)
	bad := func(format string, args ...any) {
		b.fail.set(fault.Invalidf("tree %d: %w", no, fault.Invalidf(format, args...)))
	}
	n := len(t.left)
	if n == 0 || len(t.right) != n || len(t.feature) != n || len(t.split) != n || len(t.defaultLeft) != n || (len(t.splitType) != 0 && len(t.splitType) != n) {
		bad("arrays differ in length")
		return
	}
	if t.leafVector > 1 {
		bad("vector leaves are not supported")
		return
	}
	catOf := map[int32]int{}
	for i, node := range t.catNodes {
		catOf[node] = i
	}
	root := uint32(len(b.f.nodes))
	b.f.nodes = append(b.f.nodes, node[float32]{})
	plain := true
	type item struct {
		src int32
		dst uint32
	}
	seen := make([]bool, n)
	queue := []item{{0, root}}
	for len(queue) > 0 {
		it := queue[0]
		queue = queue[1:]
		i := it.src
		if i < 0 || int(i) >= n || seen[i] {
			bad("bad link to node %d", i)
			return
		}
		seen[i] = true
		if t.left[i] == -1 {
			v := t.split[i]
			if v-v != 0 {
				bad("node %d: leaf is %v", i, v)
				return
			}
			b.f.nodes[it.dst] = node[float32]{split: v, slot: 0, left: it.dst}
			continue
		}
		if t.feature[i] < 0 {
			bad("node %d feature %d", i, t.feature[i])
			return
		}
		b.maxF = max(b.maxF, t.feature[i]+1)
		left := uint32(len(b.f.nodes))
		b.f.nodes = append(b.f.nodes, node[float32]{}, node[float32]{})
		nd := node[float32]{split: t.split[i], slot: slotOf(int(t.feature[i]), t.defaultLeft[i]), left: left}
		if len(t.splitType) == n && t.splitType[i] == 1 {
			k, ok := catOf[i]
			if !ok || k >= len(t.catSegments) || k >= len(t.catSizes) {
				bad("node %d: no categories", i)
				return
			}
			from, size := t.catSegments[k], t.catSizes[k]
			if from < 0 || size <= 0 || int(from)+int(size) > len(t.cats) {
				bad("node %d: categories out of range", i)
				return
			}
			chosen := append([]int32{}, t.cats[from:from+size]...)
			for _, c := range chosen {
				if c < 0 || c >= maxCategory {
					bad("node %d: category %d", i, c)
					return
				}
			}
			nd.split = float32(b.f.sets.add(chosen, !t.defaultLeft[i]))
			nd.slot |= categorical
			plain = false
		} else if math.IsNaN(float64(nd.split)) {
			bad("node %d: NaN", i)
			return
		}
		b.f.nodes[it.dst] = nd
		queue = append(queue, item{t.left[i], left}, item{t.right[i], left + 1})
	}
	b.f.roots = append(b.f.roots, root)
	b.f.plain = append(b.f.plain, plain)
}
