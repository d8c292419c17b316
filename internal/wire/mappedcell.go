package wire

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// cell is the value of one cell; which of its fields counts is told by the kind of the cells.
type cell struct {
	number float64
	whole  int64
	text   string
}

// cells are those of one input, row by row.
type cells struct {
	kind    cellKind
	singles []float32
	doubles []float64
	wholes  []int64
	texts   []string
}

// grow adds n cells of zero.
func (c *cells) grow(n int) {
	switch c.kind {
	case singleCells:
		c.singles = slices.Grow(c.singles, n)[:len(c.singles)+n]
	case doubleCells:
		c.doubles = slices.Grow(c.doubles, n)[:len(c.doubles)+n]
	case wholeCells:
		c.wholes = slices.Grow(c.wholes, n)[:len(c.wholes)+n]
	default:
		c.texts = slices.Grow(c.texts, n)[:len(c.texts)+n]
	}
}

// clear drops all cells and keeps their room.
func (c *cells) clear() {
	c.singles, c.doubles, c.wholes, c.texts = c.singles[:0], c.doubles[:0], c.wholes[:0], c.texts[:0]
}

func (c *cells) set(i int, v cell) {
	switch c.kind {
	case singleCells:
		c.singles[i] = float32(v.number)
	case doubleCells:
		c.doubles[i] = v.number
	case wholeCells:
		c.wholes[i] = v.whole
	default:
		c.texts[i] = v.text
	}
}

func (c *cells) get(i int) cell {
	switch c.kind {
	case singleCells:
		return cell{number: float64(c.singles[i])}
	case doubleCells:
		return cell{number: c.doubles[i]}
	case wholeCells:
		return cell{whole: c.wholes[i]}
	}
	return cell{text: c.texts[i]}
}

// slice returns the cells as a tensor's data.
func (c *cells) slice() any {
	switch c.kind {
	case singleCells:
		return c.singles
	case doubleCells:
		return c.doubles
	case wholeCells:
		return c.wholes
	}
	return c.texts
}

// read reads the value at s for a target of one cell. The error is about the value; what is wrong with the JSON is left in s.
func (t *target) read(s *jsonscan.Scanner) (cell, error) {
	kind := s.Peek()
	switch {
	case kind == jsonscan.None:
		s.Skip() // which says what is wrong
		return cell{}, nil
	case kind == jsonscan.Null && (t.fills || t.kind <= doubleCells):
		s.Null()
		return t.none(), nil
	case t.values != nil && kind == jsonscan.String:
		return t.category(string(s.Bytes()))
	case t.values != nil && kind == jsonscan.Number:
		return t.category(string(s.Number()))
	case t.values != nil && kind == jsonscan.Bool:
		return t.category(strconv.FormatBool(s.Bool()))
	case kind == jsonscan.String && t.kind == textCells:
		return cell{text: s.String()}, nil
	case kind == jsonscan.String && t.parse:
		return t.parsed(string(s.Bytes()))
	case kind == jsonscan.Number && t.kind != textCells, kind == jsonscan.Bool && t.kind != textCells:
		return t.number(s, kind)
	}
	want := jsonscan.Number
	if t.kind == textCells || t.values != nil {
		want = jsonscan.String
	}
	return cell{}, fault.Invalidf("is %s where %s should be", describeKind(kind), describeKind(want))
}

// none is what a value stands for that says that there is none: the default, else a missing value.
func (t *target) none() cell {
	if t.fills {
		return t.fill
	}
	return cell{number: math.NaN()}
}

// number reads a number or a bool.
func (t *target) number(s *jsonscan.Scanner, kind jsonscan.Kind) (v cell, err error) {
	if kind == jsonscan.Bool {
		return truth(s.Bool()), nil
	}
	if t.kind == wholeCells {
		return t.whole(s)
	}
	v.number = s.Float64()
	switch {
	case math.IsNaN(v.number):
		return t.none(), nil
	case t.kind == singleCells && math.IsInf(float64(float32(v.number)), 0) && !math.IsInf(v.number, 0):
		return v, fault.Invalidf("is %v, which does not fit a 32-bit float", v.number)
	}
	return v, nil
}

// whole reads a whole number.
func (t *target) whole(s *jsonscan.Scanner) (v cell, err error) {
	before := *s // the scanner is a value: a copy of it reads the same again
	if v.whole = s.Int64(); s.Err() != nil {
		return v, fault.Invalidf("is %.40q, which is no whole number that %v holds", before.Number(), t.dtype)
	}
	if v.whole < t.lo || v.whole > t.hi {
		return v, fault.Invalidf("is %d, which does not fit %v", v.whole, t.dtype)
	}
	return v, nil
}

// parsed reads a number, true or false from text, all of it. The text is the client's, and shown in part.
func (t *target) parsed(text string) (v cell, err error) {
	s := jsonscan.New([]byte(text)).AllowNonFinite()
	kind := s.Peek()
	if kind != jsonscan.Number && kind != jsonscan.Bool {
		return v, fault.Invalidf("is the text %.40q where a number should be", text)
	}
	if v, err = t.number(s, kind); err != nil {
		return v, err
	}
	if s.End(); s.Err() != nil {
		return v, fault.Invalidf("is the text %.40q where a number should be", text)
	}
	return v, nil
}

// category looks up what a text stands for.
func (t *target) category(text string) (cell, error) {
	v, ok := t.values[text]
	switch {
	case ok:
		return v, nil
	case t.known:
		return t.fill, nil
	}
	names := slices.Sorted(maps.Keys(t.values))
	return v, fault.Invalidf("is %.40q, which is none of %s", text, few(names))
}

// beyond fills a target from a constant, the path, the query or a header.
func (c *mappedCall) beyond(i int) {
	t := &c.b.targets[i]
	if t.fixed {
		c.put(i, t.fill)
		return
	}
	text, times := c.call.Lookup(t.source.origin, t.source.name)
	if times > 1 {
		c.refuse(t.source.text, "is given %d times", times)
	}
	if times != 1 {
		return
	}
	v, err := t.fromText(text)
	if err != nil {
		c.fail(&FieldError{Field: t.source.text, Err: err})
		return
	}
	c.put(i, v)
}

// fromText reads a value where all values are text.
func (t *target) fromText(text string) (cell, error) {
	switch {
	case t.values != nil:
		return t.category(text)
	case t.kind == textCells:
		return cell{text: text}, nil
	}
	return t.parsed(text)
}

// array reads a list into a target of several cells. A null stands for no list.
func (c *mappedCall) array(s *jsonscan.Scanner, i int) error {
	t := &c.b.targets[i]
	switch kind := s.Peek(); kind {
	case jsonscan.None:
		s.Skip() // which says what is wrong
		return nil
	case jsonscan.Null:
		s.Null()
		return nil
	case jsonscan.Array:
	default:
		return fault.Invalidf("is %s where a list should be", describeKind(kind))
	}
	a := array{s: s, size: c.size, rows: t.width, max: t.width}
	a.shaped(c.b.inputs[t.input].spec.Shape[1:], t.width)
	data := a.data(t.reads())
	if s.Err() != nil {
		return a.wrap(s.Err(), "does not fit")
	}
	to, at := c.at(t)
	if err := t.store(to, at, data); err != nil {
		return err
	}
	c.mark(i)
	return nil
}

// reads is the type that a list for the target is read into.
func (t *target) reads() tensor.DType {
	if t.kind == wholeCells && t.dtype != tensor.Bool {
		return tensor.Int64
	}
	return t.dtype
}

// store puts what was read for a target into the cells from at on. Whole numbers come as bools or int64.
func (t *target) store(to *cells, at int, data any) error {
	switch data := data.(type) {
	case []float32:
		copy(to.singles[at:], data)
	case []float64:
		copy(to.doubles[at:], data)
	case []string:
		copy(to.texts[at:], data)
	case []bool:
		for k, v := range data {
			to.wholes[at+k] = truth(v).whole
		}
	case []int64:
		for k, v := range data {
			if v < t.lo || v > t.hi {
				return fault.Invalidf("does not fit, element %d: %d is no %v", k, v, t.dtype)
			}
		}
		copy(to.wholes[at:], data)
	}
	return nil
}
