package wire

import (
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// columnar reads columns, all rows of each together: an object with a list for each input or column by its name, or the only input alone.
func (c *rowsCall) columnar(key string) {
	in := c.signature.Inputs
	at := c.s
	switch kind := c.s.Peek(); {
	case kind == jsonscan.None:
		c.s.Skip() // which says what is wrong
	case kind == jsonscan.Object && !c.isB64(&at):
		c.byName(key)
	case len(in) != 1:
		c.fail(fault.Invalidf("%q is %s; the model takes %d inputs: send an object with each by its name: %s", key, describeKind(kind), len(in), inputNames(c.signature)))
	case kind == jsonscan.Array:
		c.lists(key)
	default:
		c.notList(key, kind)
	}
}

// column is what came under one name.
type column struct {
	data any
	rows int
}

// columns are gathered before they are put together: no room is made for rows of which only one value has come.
type columns struct {
	table  *rowTable
	whole  []tensor.Tensor // by input; without a shape: it has not come
	single []column        // by target; without data: it has not come
	first  string          // the name that came first
	rows   int             // of it; 0: none has come
	left   int             // values that may still come
}

// byName reads an object of columns and whole inputs.
func (c *rowsCall) byName(key string) {
	t, err := newRowTable(key, c.signature, c.limits)
	if err != nil {
		t, err = c.inputsOnly(key, err)
	}
	if err != nil {
		c.fail(err)
		return
	}
	g := columns{table: t, whole: make([]tensor.Tensor, len(t.inputs)), single: make([]column, len(t.targets)), left: c.limits.Elements}
	start := c.s
	s := &c.s
	s.Object()
	for s.Next() {
		name := string(s.Key()) // looking ahead uses the scanner's buffer again
		at := c.find(t, name, start)
		if s.Err() != nil {
			return
		}
		c.column(&g, name, at)
	}
	if s.Err() == nil {
		c.join(&g)
	}
}

// inputsOnly is a table without columns, for a model that leaves the size of its rows open: its inputs have names all the same.
func (c *rowsCall) inputsOnly(key string, why error) (*rowTable, error) {
	t := &rowTable{what: key, limits: c.limits, byName: map[string]int{}}
	for i := range c.signature.Inputs {
		if len(c.signature.Inputs[i].Columns) > 0 {
			return nil, why
		}
		t.inputs = append(t.inputs, tableInput{spec: &c.signature.Inputs[i]})
		t.byName[c.signature.Inputs[i].Name] = ^i
	}
	return t, nil
}

// column reads what came under a name: at is what it stands for.
func (c *rowsCall) column(g *columns, name string, at int) {
	what := g.table.what + "." + name[:min(len(name), 80)]
	input := ^at
	if at >= 0 {
		input = g.table.targets[at].input
	}
	whole := at < 0 || g.table.inputs[input].width == g.table.targets[at].width
	spec := g.table.inputs[input].spec
	if whole && g.whole[input].Data != nil || !whole && g.single[at].data != nil {
		c.fail(fault.Invalidf("%s is given twice", what))
		return
	}
	if !whole {
		spec = &tensor.Spec{Name: name, DType: g.table.inputs[input].cell.reads(), Shape: []int{-1}}
	}
	v, ok := c.one(what, spec, g)
	if !ok {
		return
	}
	rows := v.Rows()
	if g.rows == 0 {
		g.first, g.rows = name, rows
	}
	switch {
	case g.rows != rows:
		c.fail(fault.Invalidf("%s has %d rows, %.60q has %d", what, rows, g.first, g.rows))
		return
	case rows > c.limits.Rows:
		c.fail(fault.Invalidf("%s has %d rows; a request may have %d", what, rows, c.limits.Rows))
		return
	}
	g.left -= v.Len()
	if whole {
		g.whole[input] = v
	} else {
		g.single[at] = column{v.Data, rows}
	}
}

// one reads a list, or a bare value that stands for a list of one.
func (c *rowsCall) one(what string, spec *tensor.Spec, g *columns) (tensor.Tensor, bool) {
	s := &c.s
	if kind := s.Peek(); kind != jsonscan.Array && kind != jsonscan.None {
		t := cellTarget(spec.DType)
		one := cells{kind: t.kind}
		one.grow(1)
		v, err := t.loose(s)
		if err != nil || s.Err() != nil {
			if err == nil {
				err = fault.Invalidf("cannot be read: %w", s.Err())
			}
			if c.err == nil {
				c.err = &FieldError{what, err}
				s.Failf("%w", err)
			}
			return tensor.Tensor{}, false
		}
		one.set(0, v)
		shape, err := fitRows([]int{1}, spec.Shape)
		if err != nil {
			c.fail(fault.Invalidf("%s: %w", what, err))
			return tensor.Tensor{}, false
		}
		return tensor.Tensor{Name: spec.Name, Shape: shape, Data: one.slice()}, true
	}
	v, ok := c.tensor(what, spec, g.left)
	v.Shape = slices.Clone(v.Shape) // the next column is read with the same array
	return v, ok
}

// join puts columns together into inputs.
func (c *rowsCall) join(g *columns) {
	t := g.table
	t.rows = g.rows
	for k := range t.targets {
		switch i := t.targets[k].input; {
		case g.single[k].data == nil && g.whole[i].Data == nil:
			c.fail(fault.Invalidf("%s has no %q", t.what, t.label(k)))
			return
		case g.single[k].data != nil && g.whole[i].Data != nil:
			c.fail(fault.Invalidf("%s has %q as a whole, and its column %q too", t.what, t.inputs[i].spec.Name, t.label(k)))
			return
		}
	}
	for i := range t.inputs {
		if from, to := t.span(i); from == to && g.whole[i].Data == nil {
			c.fail(fault.Invalidf("%s has no %q", t.what, t.inputs[i].spec.Name))
			return
		}
	}
	if g.rows == 0 {
		c.fail(fault.Invalidf("%q holds no rows; send at least one", t.what))
		return
	}
	for i := range t.inputs {
		if g.whole[i].Data != nil {
			c.request.Inputs = append(c.request.Inputs, g.whole[i])
			continue
		}
		spec := t.inputs[i].spec
		t.data[i].grow(g.rows * t.inputs[i].width)
		for k, to := t.span(i); k < to; k++ {
			if err := t.spread(k, g.single[k]); err != nil {
				c.fail(err)
				return
			}
		}
		c.request.Inputs = append(c.request.Inputs, tensor.Tensor{Name: spec.Name, Shape: append([]int{g.rows}, spec.Shape[1:]...), Data: t.data[i].slice()})
	}
}

// spread copies a column into the rows.
func (t *rowTable) spread(k int, from column) error {
	g := &t.targets[k]
	to, width := &t.data[g.input], t.inputs[g.input].width
	for row := range from.rows {
		at := row*width + g.at
		switch data := from.data.(type) {
		case []float32:
			to.singles[at] = data[row]
		case []float64:
			to.doubles[at] = data[row]
		case []string:
			to.texts[at] = data[row]
		case []bool:
			to.wholes[at] = truth(data[row]).whole
		case []int64:
			if v, in := data[row], &t.inputs[g.input].cell; v < in.lo || v > in.hi {
				return fault.Invalidf("%s.%s: %d does not fit %v", t.what, t.label(k), v, in.dtype)
			}
			to.wholes[at] = data[row]
		}
	}
	return nil
}
