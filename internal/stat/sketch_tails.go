package stat

// Tails counts, in several sketches at once, the values above an edge between two cells, and moves the edge at the cost of the cells that it
// passes: to look for the limits of a quantile is to try many edges close to each other. A cell is a bucket of the sketches; cells are numbered
// upwards, and all sketches have the same. Cell -1 holds what cannot be told from 0.
type Tails struct {
	// Above is how many values of each sketch lie in cells above Cell. It is the caller's to read until the next MoveTo.
	Above    []float64
	Cell     int
	sketches []*Sketch
	low, top int
}

// NewTails starts at the highest cell that has a value, above which there is none. A nil sketch is one without values. The sketches must not
// change while it is in use.
func NewTails(sketches []*Sketch) *Tails {
	t := &Tails{Above: make([]float64, len(sketches)), sketches: sketches, low: bucketCount, top: -1}
	for _, s := range sketches {
		if s == nil || s.count == 0 {
			continue
		}
		if s.zeros > 0 {
			t.low = -1
		}
		if from, to, any := s.occupied(); any {
			t.low, t.top = min(t.low, from), max(t.top, to)
		}
	}
	t.low, t.Cell = min(t.low, t.top), t.top
	return t
}

// Lowest and Highest are the cells between which all values are.
func (t *Tails) Lowest() int { return t.low }

// Highest is the highest cell that has a value.
func (t *Tails) Highest() int { return t.top }

// In returns how many values of sketch i lie in Cell.
func (t *Tails) In(i int) float64 {
	s := t.sketches[i]
	switch {
	case s == nil:
		return 0
	case t.Cell == -1:
		return float64(s.zeros)
	}
	return float64(s.in(t.Cell))
}

// MoveTo makes another cell the one that values are counted above. With a cell below Lowest all are.
func (t *Tails) MoveTo(cell int) {
	from, to, sign := cell+1, t.Cell, 1. // the cells that come to lie above
	if cell > t.Cell {
		from, to, sign = t.Cell+1, cell, -1
	}
	for i, s := range t.sketches {
		if s == nil {
			continue
		}
		var n uint64
		if from <= -1 && to >= -1 {
			n = s.zeros
		}
		for j := max(from-s.first, 0); j <= min(to-s.first, len(s.buckets)-1); j++ {
			n += s.buckets[j]
		}
		t.Above[i] += sign * float64(n)
	}
	t.Cell = cell
}

// CellEdges returns the values between which those of a cell lie: from low on, and below high.
func CellEdges(cell int) (low, high float64) {
	if cell < 0 {
		return 0, MinSketchValue
	}
	return lowerEdge(cell), lowerEdge(cell + 1)
}
