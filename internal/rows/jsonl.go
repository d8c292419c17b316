package rows

import (
	"errors"
	"io"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// jsonl reads a JSON array or object a line. Objects need the model's column names.
type jsonl struct {
	in       *lines
	s        *jsonscan.Scanner
	columns  map[string]int
	names    []string
	label    string
	labelAt  int   // the label's place in an array, or -1
	seenOn   []int // for each column, the line that set it last
	first    []byte
	hasFirst bool
}

func openJSONL(in *lines, o Options) (s *jsonl, width int, err error) {
	s = &jsonl{in: in, s: jsonscan.New(nil).AllowNonFinite(), columns: indexOf(o.Columns), names: o.Columns, label: o.Label, labelAt: -1}
	if i, err := strconv.Atoi(o.Label); err == nil && i >= 0 {
		s.labelAt = i
	}
	width = o.Width
	if width == 0 {
		if width, err = s.measure(); err != nil {
			return nil, 0, err
		}
	}
	s.seenOn = make([]int, width)
	return s, width, nil
}

func (s *jsonl) labelled() bool { return s.label != "" }

// measure counts the values of the first row, which must be an array, and keeps that row for next.
func (s *jsonl) measure() (width int, err error) {
	line, err := s.in.next()
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	s.first, s.hasFirst = line, true
	s.s.Reset(line)
	if s.s.Peek() != jsonscan.Array {
		return 0, s.in.invalid(s.in.line, "a row of named values needs a model with column names").WithHint("send arrays")
	}
	s.s.Array()
	for s.s.Next() {
		s.s.Skip()
		width++
	}
	if s.labelAt >= 0 && s.labelAt < width {
		width--
	}
	return width, nil // a mistake in the row is found when it is read
}

func (s *jsonl) next(row []float64) (label float64, line int, err error) {
	text := s.first
	if !s.hasFirst {
		if text, err = s.in.next(); err != nil {
			return 0, 0, err
		}
	}
	s.hasFirst = false
	s.s.Reset(text)
	label = math.NaN()
	for i := range row {
		row[i] = math.NaN()
	}
	if s.s.Peek() == jsonscan.Object {
		err = s.object(row, &label)
	} else {
		err = s.array(row, &label)
	}
	if err == nil {
		s.s.End()
	}
	if s.s.Err() != nil { // the cause of any other
		err = s.s.Err()
	}
	if err != nil {
		return 0, 0, s.in.invalid(s.in.line, "%w", err)
	}
	return label, s.in.line, nil
}

// array reads a row by position.
func (s *jsonl) array(row []float64, label *float64) error {
	want := len(row)
	if s.label != "" {
		if s.labelAt < 0 || s.labelAt > len(row) {
			return fault.Invalidf("the label column %q is no place in an array of %d values", s.label, len(row)+1)
		}
		want++
	}
	n, at := 0, 0
	s.s.Array()
	for ; s.s.Next(); n++ {
		v := s.value()
		switch {
		case s.label != "" && n == s.labelAt:
			*label = v
		case at < len(row):
			row[at] = v
			at++
		}
	}
	if n != want {
		return fault.Invalidf("the row has %d values where %d are needed", n, want)
	}
	return nil
}

// object reads a row by name. A column that is absent is missing.
func (s *jsonl) object(row []float64, label *float64) error {
	if len(s.columns) == 0 {
		return fault.Invalidf("a row of named values needs a model with column names")
	}
	labelled := false
	s.s.Object()
	for s.s.Next() {
		key := s.s.Key()
		i, ok := s.columns[string(key)]
		switch {
		case s.label != "" && string(key) == s.label:
			if labelled {
				return fault.Invalidf("the key %.60q is given twice", key)
			}
			labelled = true
			*label = s.value()
		case !ok:
			return fault.Invalidf("%.60q is not a column of the model, which has %s", key, quoteAll(s.names))
		case s.seenOn[i] == s.in.line:
			return fault.Invalidf("the key %.60q is given twice", key)
		default:
			s.seenOn[i] = s.in.line
			row[i] = s.value()
		}
	}
	return nil
}

// value reads a number, null as missing, true as 1 and false as 0.
func (s *jsonl) value() float64 {
	switch s.s.Peek() {
	case jsonscan.Null:
		s.s.Null()
		return math.NaN()
	case jsonscan.Bool:
		if s.s.Bool() {
			return 1
		}
		return 0
	case jsonscan.String:
		s.s.Failf("the string %.40q where a number should be", s.s.Bytes())
		return 0
	}
	return s.s.Float64()
}
