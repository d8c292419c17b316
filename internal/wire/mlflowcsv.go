package wire

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// csvCall is a data frame that came as CSV.
type csvCall struct {
	request tensor.Request
	rows    int
}

// csv reads CSV with a header, quoted as RFC 4180 has it. Cells are read as package rows reads files, so that a row answers alike from a
// file and from here: an empty cell, NA, NaN and null in any case are missing numbers, spaces around numbers and names do not count, a
// byte order mark and blank lines are passed over.
func (MLflow) csv(body []byte, signature tensor.Signature, l Limits) (Exchange, error) {
	t, err := newRowTable("csv", signature, l.orDefault())
	if err != nil {
		return nil, err
	}
	if len(t.inputs) == 0 {
		return nil, fault.Invalidf("the model takes no input")
	}
	if !utf8.Valid(body) {
		return nil, fault.Invalidf("the CSV is not valid UTF-8")
	}
	s := &csvScanner{data: bytes.TrimPrefix(body, []byte("\ufeff")), line: 1}
	names, err := s.header(t.most())
	if err != nil {
		return nil, err
	}
	if numbers(names) {
		return nil, fault.Invalidf("the CSV has no header: its first line holds numbers").WithHint("send the names of the columns first")
	}
	order, err := t.order(names, true)
	if err != nil {
		return nil, fault.Invalidf("the CSV's header: %w", err)
	}
	for i, at := range order {
		if at < 0 { // an input by its own name
			order[i], _ = t.span(^at)
		}
		if at < 0 && t.inputs[^at].width > 1 || t.targets[order[i]].width > 1 {
			return nil, fault.Invalidf("the CSV's header: %.60q is a list of values for the model, which CSV cannot hold", names[i])
		}
	}
	// A row takes a byte for each of its cells, for a comma or the end of the line.
	t.reserve(min(bytes.Count(body, []byte("\n")), len(body)/t.width))
	for s.more() {
		if err := t.record(s, names, order); err != nil {
			return nil, err
		}
	}
	if t.rows == 0 {
		return nil, fault.Invalidf("the CSV has a header and no rows; send at least one")
	}
	return &csvCall{request: tensor.Request{Inputs: t.tensors()}, rows: t.rows}, nil
}

// header reads the names of the columns, at most so many.
func (s *csvScanner) header(most int) (names []string, err error) {
	if !s.more() {
		return nil, fault.Invalidf("the CSV is empty; send a header and at least one row")
	}
	for last := false; !last; {
		var field []byte
		if field, last, err = s.field(); err != nil {
			return nil, err
		}
		if len(names) == most {
			return nil, fault.Invalidf("the CSV's header has more than %d columns", most)
		}
		names = append(names, string(bytes.TrimSpace(field)))
	}
	return names, nil
}

// numbers tells whether a first line is a row rather than a header: all of it is numbers, but not 0, 1, 2, ..., which pandas writes where
// columns have no names.
func numbers(names []string) bool {
	for _, name := range names {
		if _, ok := csvNumber(name); !ok {
			return false
		}
	}
	_, counted := counts(names)
	return !counted || !slices.Contains(names, "0")
}

// record takes a row of a CSV.
func (t *rowTable) record(s *csvScanner, names []string, order []int) error {
	line := s.line
	if err := t.begin(); err != nil {
		return err
	}
	for i, last := 0, false; !last; i++ {
		at := s.line
		var field []byte
		var err error
		if field, last, err = s.field(); err != nil {
			return err
		}
		if i == len(order) {
			return fault.Invalidf("the CSV, line %d: the row has more fields than the header, which has %d", line, len(order))
		}
		if last && i < len(order)-1 {
			return fault.Invalidf("the CSV, line %d: the row has %d fields, the header has %d", line, i+1, len(order))
		}
		v, err := t.inputs[t.targets[order[i]].input].cell.fromCSV(field)
		if err != nil {
			return fault.Invalidf("the CSV, line %d, column %d (%.60q): %w", at, i+1, names[i], err)
		}
		to, place := t.cell(order[i])
		to.set(place, v)
	}
	return nil
}

// fromCSV reads a cell of a CSV.
func (t *target) fromCSV(field []byte) (v cell, err error) {
	switch t.kind {
	case textCells:
		return cell{text: string(field)}, nil
	case wholeCells:
		text := string(bytes.TrimSpace(field))
		if yes := strings.EqualFold(text, "true"); t.dtype == tensor.Bool && (yes || strings.EqualFold(text, "false")) {
			return truth(yes), nil
		}
		if v.whole, err = strconv.ParseInt(text, 10, 64); err != nil || v.whole < t.lo || v.whole > t.hi {
			return v, fault.Invalidf("%.40q is no %v", field, t.dtype)
		}
		return v, nil
	}
	number, ok := csvNumber(string(bytes.TrimSpace(field)))
	if !ok {
		return v, fault.Invalidf("%.40q is not a number", field)
	}
	if t.kind == singleCells && math.IsInf(float64(float32(number)), 0) && !math.IsInf(number, 0) {
		return v, fault.Invalidf("%v does not fit a 32-bit float", number)
	}
	return cell{number: number}, nil
}

// csvNumber reads a number, or a missing value as NaN.
func csvNumber(text string) (v float64, ok bool) {
	if text == "" || strings.EqualFold(text, "na") || strings.EqualFold(text, "null") {
		return math.NaN(), true
	}
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && (strings.IndexByte(text, '_') >= 0 || len(text) > 2 && (text[1]|0x20 == 'x' || text[2]|0x20 == 'x')) {
		return 0, false // 1_000 and 0x1p4 are numbers in Go, and nobody's data
	}
	return v, err == nil
}

// Request returns what is asked.
func (c *csvCall) Request() *tensor.Request { return &c.request }

// Answer writes what MLflow's JSON is answered with.
func (c *csvCall) Answer(dst []byte, _ Meta, resp *tensor.Response) ([]byte, error) {
	return answerMLflow(dst, resp, c.rows)
}
