package stat

import (
	"testing"

	"pgregory.net/rapid"
)

// Wherever the edge goes, what is counted above it are the values that are: the edge's cell holds those between its edges.
func TestTailsCountWhatIsAboveTheEdge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := make([][]float64, rapid.IntRange(1, 4).Draw(rt, "sketches"))
		sketches := make([]*Sketch, len(values))
		for i := range values {
			if rapid.IntRange(0, 4).Draw(rt, "nil") == 0 {
				continue
			}
			sketches[i] = new(Sketch)
			values[i] = rapid.SliceOfN(rapid.OneOf(rapid.Just(0.), rapid.Float64Range(1, 2), rapid.Float64Range(0, 1e6)), 0, 20).Draw(rt, "values")
			for _, v := range values[i] {
				sketches[i].Add(v)
			}
		}
		tails := NewTails(sketches)
		cells := rapid.SliceOfN(rapid.IntRange(tails.Lowest()-1, tails.Highest()), 0, 8).Draw(rt, "cells")
		for _, cell := range append([]int{tails.Cell}, cells...) {
			tails.MoveTo(cell)
			low, high := CellEdges(cell)
			for i := range values {
				above, in := 0., 0.
				for _, v := range values[i] {
					if cell < -1 || v >= high {
						above++
					} else if v >= low {
						in++
					}
				}
				if cell >= -1 && tails.In(i) != in || tails.Above[i] != above {
					rt.Fatalf("cell %d (%v to %v) of %v: %v in it and %v above, not %v and %v", cell, low, high, values[i], tails.In(i), tails.Above[i], in, above)
				}
			}
		}
	})
}

func TestTailsOfNothing(t *testing.T) {
	tails := NewTails([]*Sketch{nil, new(Sketch)})
	tails.MoveTo(tails.Lowest() - 1)
	if tails.Above[0] != 0 || tails.Above[1] != 0 || tails.Highest() != -1 {
		t.Errorf("%+v", tails)
	}
}
