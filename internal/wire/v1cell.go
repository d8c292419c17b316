package wire

import (
	"encoding/base64"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// fill reads the value at s into what a name stands for: a target, or ^i for the whole input i.
func (t *rowTable) fill(s *jsonscan.Scanner, at int) error {
	if at < 0 {
		return t.whole(s, ^at)
	}
	return t.read(s, at)
}

// read reads the value at s into a target of the present row. The error is about the value; what is wrong with the JSON is left in s.
func (t *rowTable) read(s *jsonscan.Scanner, i int) error {
	g := &t.targets[i]
	if err := t.mark(i); err != nil {
		return err
	}
	if g.width > 1 || t.nests(s, g.input) {
		return t.list(s, g.input)
	}
	v, err := t.inputs[g.input].cell.loose(s)
	if err != nil {
		return err
	}
	to, at := t.cell(i)
	to.set(at, v)
	return nil
}

// whole reads a list into all columns of an input.
func (t *rowTable) whole(s *jsonscan.Scanner, input int) error {
	first, end := t.span(input)
	for i := first; i < end; i++ {
		if err := t.mark(i); err != nil {
			return err
		}
	}
	if t.inputs[input].width > 1 || t.open || t.nests(s, input) {
		return t.list(s, input)
	}
	v, err := t.inputs[input].cell.loose(s)
	if err != nil {
		return err
	}
	to, at := t.cell(first)
	to.set(at, v)
	return nil
}

// nests tells whether a list of lists may come for the one value of a row.
func (t *rowTable) nests(s *jsonscan.Scanner, input int) bool {
	return len(t.inputs[input].spec.Shape) > 2 && s.Peek() == jsonscan.Array
}

// list reads a list into the present row of an input.
func (t *rowTable) list(s *jsonscan.Scanner, input int) error {
	in := &t.inputs[input]
	if kind := s.Peek(); kind == jsonscan.None {
		s.Skip() // which says what is wrong
		return nil
	} else if kind != jsonscan.Array {
		return fault.Invalidf("is %s where a list should be", describeKind(kind))
	}
	shape := in.spec.Shape[1:]
	if t.open {
		shape = []int{in.width}
	}
	a := array{s: s, size: s.Offset() + 2*in.width, rows: in.width, max: in.width, plain: true}
	a.shaped(shape, in.width)
	data := a.data(in.cell.reads())
	if s.Err() != nil {
		return a.wrap(s.Err(), "does not fit")
	}
	return in.cell.store(&t.data[input], (t.rows-1)*in.width, data)
}

// loose reads one value as the v1 protocols and pandas write it: by itself, as a list of one, or as an object whose one key is a row's
// number. Bytes may be {"b64": "..."}.
func (t *target) loose(s *jsonscan.Scanner) (v cell, err error) {
	kind := s.Peek()
	switch {
	case kind == jsonscan.Object && t.kind == textCells && startsB64(*s):
		return cell{text: readB64(s)}, nil
	case kind == jsonscan.Array:
		s.Array()
	case kind == jsonscan.Object:
		s.Object()
	default:
		return t.read(s)
	}
	if !s.Next() {
		if s.Err() == nil {
			err = fault.Invalidf("holds no value")
		}
		return v, err
	}
	if kind == jsonscan.Object {
		s.Key()
	}
	if v, err = t.read(s); err == nil && s.Next() {
		err = fault.Invalidf("holds several values where one belongs")
	}
	return v, err
}

// startsB64 tells whether an object that comes next is {"b64": ...}.
func startsB64(s jsonscan.Scanner) bool {
	s.Object()
	return s.Next() && string(s.Key()) == "b64"
}

// readB64 reads {"b64": "..."}, the form in which the v1 protocols have bytes that are no text.
func readB64(s *jsonscan.Scanner) string {
	s.Object()
	if !s.Next() || string(s.Key()) != "b64" {
		s.Failf(`an object where text or {"b64": ...} should be`)
		return ""
	}
	text := s.Bytes()
	data, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		s.Failf("b64 holds no base64: %w", err)
	}
	if s.Next() {
		s.Failf(`an object with more than "b64" where text should be`)
	}
	return string(data)
}
