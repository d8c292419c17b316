package wire

import (
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// jsonData reads jsonData: an array or an object for each input of the model, or what its only input gets.
func (c *seldonCall) jsonData() {
	switch kind := c.s.Peek(); {
	case len(c.model.Inputs) > 1:
		c.inputs()
	case kind == jsonscan.Object:
		c.object()
	case kind == jsonscan.Array && c.holdsObjects():
		c.records()
	case kind == jsonscan.Array:
		c.nested("jsonData")
	default:
		c.one(c.single(0))
	}
}

// single reads one value that is no array.
func (c *seldonCall) single(input int) any {
	if c.model.Inputs[input].DType == tensor.Bytes {
		return []string{c.s.String()}
	}
	return []float64{c.number()}
}

// number reads a number, or what stands for one.
func (c *seldonCall) number() float64 {
	if c.s.Peek() == jsonscan.Number {
		return c.s.Float64()
	}
	return c.array.odd()
}

// holdsObjects tells whether the array that comes next begins with an object.
func (c *seldonCall) holdsObjects() bool {
	ahead := c.s // a copy, which reads on for itself
	ahead.Array()
	return ahead.Next() && ahead.Peek() == jsonscan.Object
}

// inputs reads an object with the values of each input.
func (c *seldonCall) inputs() {
	s := &c.s
	if kind := s.Peek(); kind != jsonscan.Object {
		c.fail(fault.Invalidf("jsonData for a model of several inputs must be an object; this one takes %s", inputNames(c.model)).
			WithHint(`send {"jsonData": {NAME: [...], ...}}`))
		return
	}
	c.named = true
	c.request.Inputs = make([]tensor.Tensor, 0, len(c.model.Inputs))
	left := c.limits.Elements
	for s.Object(); s.Next(); {
		name := s.Key()
		at := slices.IndexFunc(c.model.Inputs, func(p tensor.Spec) bool { return p.Name == string(name) })
		if s.Err() == nil && at < 0 {
			c.fail(fault.Invalidf("jsonData: unknown input %.60q; the model takes %s", name, inputNames(c.model)))
			return
		}
		if s.Err() != nil {
			return
		}
		known := c.model.Inputs[at].Name
		if slices.ContainsFunc(c.request.Inputs, func(t tensor.Tensor) bool { return t.Name == known }) {
			s.Failf("the key %q is given twice", known)
			return
		}
		in := c.namedInput(at, left)
		left -= in.Len()
		c.request.Inputs = append(c.request.Inputs, in)
	}
}

// namedInput reads the values of one input, at most as many as may come. A flat list for an input of one column has a value for each row.
func (c *seldonCall) namedInput(input, most int) tensor.Tensor {
	spec := &c.model.Inputs[input]
	t := tensor.Tensor{Name: spec.Name}
	if most < 1 {
		c.fail(fault.Invalidf("jsonData has more than %d values; send the rows in several requests", c.limits.Elements))
		return t
	}
	if c.s.Peek() != jsonscan.Array {
		t.Data = c.single(input)
		t.Shape = slices.Repeat([]int{1}, min(len(spec.Shape), maxRank))
		return t
	}
	c.array.max = most
	c.array.unshaped(1)
	t.Data = c.array.data(c.elements(input))
	if err := c.s.Err(); err != nil {
		c.err = c.array.wrap(err, "jsonData, input "+strconv.Quote(spec.Name))
		return t
	}
	t.Shape = slices.Clone(c.array.shape())
	if len(t.Shape) == 1 && len(spec.Shape) == 2 && spec.Shape[1] == 1 {
		t.Shape = append(t.Shape, 1)
		if t.Shape[0] > c.limits.Rows {
			c.fail(fault.Invalidf("jsonData, input %q has %d rows; a request may have %d", spec.Name, t.Shape[0], c.limits.Rows))
		}
	}
	return t
}

// object reads an object for a model of one input: the input by its name, or its columns by theirs.
func (c *seldonCall) object() {
	spec := &c.model.Inputs[0]
	ahead := c.s
	if ahead.Object(); ahead.Next() && string(ahead.Key()) == spec.Name && !slices.Contains(spec.Columns, spec.Name) {
		c.inputs()
		return
	}
	t, ok := c.table()
	if !ok {
		return
	}
	s := &c.s
	for s.Object(); s.Next(); {
		at := t.column(s.Key())
		if s.Peek() != jsonscan.Array {
			t.cell(at)
			continue
		}
		for s.Array(); s.Next(); {
			t.cell(at)
		}
	}
	t.whole()
	t.end()
}

// records reads an array of objects, one for each row, with the values of the row by column.
func (c *seldonCall) records() {
	t, ok := c.table()
	if !ok {
		return
	}
	s := &c.s
	t.list = true
	for s.Array(); s.Next(); t.row++ {
		if t.row == c.limits.Rows {
			s.Failf("jsonData has more than %d rows; send them in several requests", c.limits.Rows)
			return
		}
		t.filled = 0
		for s.Object(); s.Next(); {
			t.cell(t.column(s.Key()))
		}
		t.whole()
	}
	t.end()
}

// table is jsonData by column.
type table struct {
	c      *seldonCall
	spec   *tensor.Spec
	cells  []tableColumn
	index  map[string]int // of the columns, once they come in another order than the model's
	next   int            // the column that comes next if they come in the model's order
	list   bool           // it is an array of objects
	row    int            // of that
	filled int            // columns of the present object
	count  int            // cells of all columns
}

// tableColumn is a column of a table, whose cells are all numbers or all texts.
type tableColumn struct {
	numbers []float64
	texts   []string
	filled  int // the number of the last object, from 1, that had it
}

// table begins a table of the model's columns. It is an error where the model has none of them named.
func (c *seldonCall) table() (*table, bool) {
	spec := &c.model.Inputs[0]
	if len(spec.Columns) == 0 || len(spec.Shape) != 2 {
		c.fail(fault.Invalidf("jsonData names columns, but those of input %q have no names", spec.Name).
			WithHint(`send {"jsonData": [[...], ...]}`))
		return nil, false
	}
	c.named = true
	return &table{c: c, spec: spec, cells: make([]tableColumn, len(spec.Columns))}, true
}

// place names the present object for an error.
func (t *table) place() string {
	if !t.list {
		return "jsonData"
	}
	return "jsonData, row " + strconv.Itoa(t.row)
}

// column finds the column of a key, -1 after an error.
func (t *table) column(key []byte) int {
	if t.c.s.Err() != nil {
		return -1
	}
	if t.next == len(t.cells) {
		t.next = 0
	}
	at, ok := t.next, t.spec.Columns[t.next] == string(key)
	if !ok {
		if t.index == nil {
			t.index = make(map[string]int, len(t.spec.Columns))
			for i, name := range t.spec.Columns {
				t.index[name] = i
			}
		}
		at, ok = t.index[string(key)]
	}
	if !ok {
		t.c.fail(fault.Invalidf("%s: the model has no column %.60q", t.place(), key).
			WithHint("send the model's columns, in any order"))
		return -1
	}
	if t.cells[at].filled == t.row+1 {
		t.c.fail(fault.Invalidf("%s: the column %.60q is given twice", t.place(), key))
		return -1
	}
	t.next = at + 1
	t.cells[at].filled = t.row + 1
	t.filled++
	return at
}

// cell reads a value of a column.
func (t *table) cell(at int) {
	s := &t.c.s
	if at < 0 || s.Err() != nil {
		return
	}
	column := &t.cells[at]
	row := max(t.row, len(column.numbers)+len(column.texts))
	if t.count++; t.count > t.c.limits.Elements {
		s.Failf("jsonData has more than %d values; send the rows in several requests", t.c.limits.Elements)
		return
	}
	if t.spec.DType == tensor.Bytes {
		column.texts = append(column.texts, s.String())
	} else {
		column.numbers = append(column.numbers, t.c.number())
	}
	if err := s.Err(); err != nil {
		t.c.err = fault.Invalidf("jsonData, row %d, column %.60q: %w", row, t.spec.Columns[at], err)
	}
}

// whole checks that the object that has ended had every column.
func (t *table) whole() {
	if t.c.s.Err() != nil || t.filled == len(t.cells) {
		return
	}
	var missing []string
	for i, name := range t.spec.Columns {
		if t.cells[i].filled != t.row+1 {
			missing = append(missing, name)
		}
	}
	t.c.fail(fault.Invalidf("%s: missing columns: %s", t.place(), few(missing)).
		WithHint("send null for a number that is missing"))
}

// end makes the table the input, row by row.
func (t *table) end() {
	if t.c.s.Err() != nil {
		return
	}
	rows, width := len(t.cells[0].numbers)+len(t.cells[0].texts), len(t.cells)
	for i := range t.cells {
		if n := len(t.cells[i].numbers) + len(t.cells[i].texts); n != rows {
			t.c.fail(fault.Invalidf("jsonData: the column %.60q has %d values, the column %.60q has %d", t.spec.Columns[i], n, t.spec.Columns[0], rows))
			return
		}
	}
	if rows > t.c.limits.Rows {
		t.c.fail(fault.Invalidf("jsonData has %d rows; a request may have %d", rows, t.c.limits.Rows))
		return
	}
	in := tensor.Tensor{Shape: []int{rows, width}}
	if t.spec.DType == tensor.Bytes {
		in.Data = byRow(t.cells, rows, func(c *tableColumn) []string { return c.texts })
	} else {
		in.Data = byRow(t.cells, rows, func(c *tableColumn) []float64 { return c.numbers })
	}
	t.c.input[0] = in
}

// byRow puts the cells of columns, each of so many rows, in one slice, row by row.
func byRow[T tensor.Element](columns []tableColumn, rows int, cells func(*tableColumn) []T) []T {
	out := make([]T, rows*len(columns))
	for i := range columns {
		for row, v := range cells(&columns[i]) {
			out[row*len(columns)+i] = v
		}
	}
	return out
}
