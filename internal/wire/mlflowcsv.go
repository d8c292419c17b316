package wire

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
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
	t, err := newTable("csv", signature, l.orDefault())
	if err != nil {
		return nil, err
	}
	if len(t.inputs) == 0 {
		return nil, fault.Invalidf("the model takes no input")
	}
	if !utf8.Valid(body) {
		return nil, fault.Invalidf("the CSV is not valid UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	r.ReuseRecord, r.FieldsPerRecord = true, -1
	header, err := r.Read()
	if err != nil {
		return nil, csvError(err, "the CSV is empty; send a header and at least one row")
	}
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = strings.TrimSpace(name)
	}
	order, err := t.order(names, true)
	if err != nil {
		return nil, fault.Invalidf("the CSV's header: %w", err)
	}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, csvError(err, "")
		}
		if err := t.record(r, names, order, fields); err != nil {
			return nil, err
		}
	}
	if t.rows == 0 {
		return nil, fault.Invalidf("the CSV has a header and no rows; send at least one")
	}
	return &csvCall{request: tensor.Request{Inputs: t.tensors()}, rows: t.rows}, nil
}

// csvError tells where the reader stopped; empty is what the end of the input means.
func csvError(err error, empty string) error {
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return fault.Invalidf("the CSV, line %d, byte %d: %w", p.Line, p.Column, p.Err)
	}
	if errors.Is(err, io.EOF) {
		return fault.Invalidf("%s", empty)
	}
	return fault.Invalidf("the CSV: %w", err)
}

// record takes a row of a CSV.
func (t *v1Table) record(r *csv.Reader, names []string, order []int, fields []string) error {
	line, _ := r.FieldPos(0)
	if len(fields) != len(order) {
		return fault.Invalidf("the CSV, line %d: the row has %d fields, the header has %d", line, len(fields), len(order))
	}
	if err := t.begin(); err != nil {
		return err
	}
	for i, field := range fields {
		at, wide := order[i], false
		if at < 0 { // an input by its own name
			wide = t.inputs[^at].width > 1
			at, _ = t.span(^at)
		}
		if wide || t.targets[at].width > 1 {
			return fault.Invalidf("the CSV's header: %.60q is a list of values for the model, which CSV cannot hold", names[i])
		}
		v, why := t.inputs[t.targets[at].input].cell.fromCSV(field)
		if why != nil {
			line, _ := r.FieldPos(i)
			return fault.Invalidf("the CSV, line %d, column %d (%.60q): %w", line, i+1, names[i], why)
		}
		to, place := t.cell(at)
		to.set(place, v)
	}
	return nil
}

// fromCSV reads a cell of a CSV.
func (t *target) fromCSV(field string) (v cell, err error) {
	switch {
	case t.kind == textCells:
		return cell{text: field}, nil
	case t.kind == wholeCells:
		text := strings.TrimSpace(field)
		if t.dtype == tensor.Bool && (strings.EqualFold(text, "true") || strings.EqualFold(text, "false")) {
			return truth(strings.EqualFold(text, "true")), nil
		}
		if v.whole, err = strconv.ParseInt(text, 10, 64); err != nil || v.whole < t.lo || v.whole > t.hi {
			return v, fault.Invalidf("%.40q is no %v", field, t.dtype)
		}
		return v, nil
	}
	number, ok := csvNumber(field)
	if !ok {
		number, ok = csvNumber(strings.TrimSpace(field))
	}
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
