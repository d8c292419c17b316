package rows

import (
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// delimited reads CSV and TSV.
type delimited struct {
	in      *lines
	r       *csv.Reader
	target  []int // for each column of the file, its place in the row, or labelColumn
	label   bool
	header  []string // nil: the file has none
	columns []string // the names of a row's values; nil without a header
	pending bool     // the record read last is a row not yet given
	record  []string // read last
	line    int      // that record starts on
}

// labelColumn is the target of the column that is kept apart.
const labelColumn = -1

func openDelimited(in *lines, format Format, o Options) (d *delimited, width int, err error) {
	d = &delimited{in: in, r: csv.NewReader(in.r)}
	d.r.ReuseRecord = true
	d.r.FieldsPerRecord = -1
	if format == TSV {
		d.r.Comma = '\t'
	}
	switch err := d.read(); {
	case errors.Is(err, io.EOF):
		return d, o.Width, nil
	case err != nil:
		return nil, 0, err
	}
	d.pending = true
	header, err := d.isHeader(o)
	if err != nil {
		return nil, 0, err
	}
	if header {
		d.header, d.pending = slices.Clone(d.record), false
		for i, name := range d.header {
			d.header[i] = strings.TrimSpace(name)
		}
	}
	labelAt, err := d.labelAt(o.Label)
	if err != nil {
		return nil, 0, err
	}
	d.label = labelAt >= 0
	width = len(d.record)
	if d.label {
		width--
	}
	if header && len(o.Columns) > 0 {
		d.columns = slices.Clone(o.Columns)
		err = d.byName(o.Columns, labelAt)
		return d, len(o.Columns), err
	}
	if o.Width > 0 && width != o.Width {
		return nil, 0, d.wrongCount(len(d.record), len(d.record)-width+o.Width)
	}
	if header {
		d.columns = slices.Clone(d.header)
		if d.label {
			d.columns = slices.Delete(d.columns, labelAt, labelAt+1)
		}
	}
	for i := range d.record {
		switch {
		case i == labelAt:
			d.target = append(d.target, labelColumn)
		case d.label && i > labelAt:
			d.target = append(d.target, i-1)
		default:
			d.target = append(d.target, i)
		}
	}
	return d, width, nil
}

func (d *delimited) labelled() bool { return d.label }

// read reads a record.
func (d *delimited) read() error {
	d.in.row()
	from := d.r.InputOffset()
	record, err := d.r.Read()
	switch {
	case err == nil && d.r.InputOffset()-from > int64(d.in.max):
		err = errTooLong
	case err == nil:
		d.record = record
		d.line, _ = d.r.FieldPos(0)
		return nil
	case errors.Is(err, io.EOF):
		return err
	}
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return d.in.invalid(p.Line, "byte %d: %w", p.Column, p.Err)
	}
	return d.in.failed(err, d.line+1) // the reader does not say where; it is after the row before
}

// isHeader tells whether the first record is a header.
func (d *delimited) isHeader(o Options) (bool, error) {
	if o.Header != HeaderAuto {
		return o.Header == HeaderYes, nil
	}
	names := indexOf(o.Columns)
	known, numbers, text := 0, 0, ""
	for _, field := range d.record {
		field = strings.TrimSpace(field)
		if _, ok := names[field]; ok {
			known++
		}
		switch v, ok := parse(field); {
		case !ok:
			text = field
		case v == v:
			numbers++
		}
	}
	switch {
	case len(names) > 0 && known == len(names):
		return true, nil
	case text == "":
		return false, nil
	case numbers > 0 && known == 0:
		return false, d.in.invalid(d.line, "the first row holds numbers, and %.60q, which is none", text).
			WithHint("say whether it is a header")
	}
	return true, nil
}

// labelAt finds the label's column; -1 if none is wanted.
func (d *delimited) labelAt(label string) (int, error) {
	if label == "" {
		return -1, nil
	}
	if i := slices.Index(d.header, label); i >= 0 {
		return i, nil
	}
	i, err := strconv.Atoi(label)
	switch {
	case err == nil && i >= 0 && i < len(d.record):
		return i, nil
	case err == nil:
		return 0, d.in.invalid(d.line, "there is no label column %d in a row of %d fields, counted from 0", i, len(d.record))
	case d.header == nil:
		return 0, d.in.invalid(d.line, "the label column %.60q cannot be found in a file without a header", label).WithHint("give its number, from 0")
	}
	return 0, d.in.invalid(d.line, "the header has no column %.60q for the label; it has %s", label, quoteAll(d.header))
}

// byName matches the header with the model's columns.
func (d *delimited) byName(columns []string, labelAt int) error {
	place := indexOf(columns)
	values := slices.Clone(d.header)
	if labelAt >= 0 {
		values = slices.Delete(values, labelAt, labelAt+1)
	}
	missing, extra := without(columns, values), without(values, columns)
	if len(missing)+len(extra) > 0 {
		message := "the header does not fit the model"
		if len(missing) > 0 {
			message += "; missing: " + quoteAll(missing)
		}
		if len(extra) > 0 {
			message += "; not the model's: " + quoteAll(extra)
		}
		return d.in.invalid(d.line, "%s", message)
	}
	seen := map[string]bool{}
	for i, name := range d.header {
		if i == labelAt {
			d.target = append(d.target, labelColumn)
			continue
		}
		if seen[name] {
			return d.in.invalid(d.line, "the header has the column %.60q twice", name)
		}
		seen[name] = true
		d.target = append(d.target, place[name])
	}
	return nil
}

func (d *delimited) wrongCount(got, want int) error {
	return d.in.invalid(d.line, "the row has %d fields where %d are needed", got, want)
}

func (d *delimited) next(row []float64) (label float64, line int, err error) {
	if !d.pending {
		if err := d.read(); err != nil {
			return 0, 0, err
		}
	}
	d.pending = false
	if len(d.record) != len(d.target) {
		return 0, 0, d.wrongCount(len(d.record), len(d.target))
	}
	label = math.NaN()
	for i, field := range d.record {
		v, ok := parse(field)
		if !ok {
			v, ok = parse(strings.TrimSpace(field))
		}
		if !ok {
			line, _ := d.r.FieldPos(i)
			if d.header != nil {
				return 0, 0, d.in.invalid(line, "column %d (%.60q): %.40q is not a number", i+1, d.header[i], field)
			}
			return 0, 0, d.in.invalid(line, "column %d: %.40q is not a number", i+1, field)
		}
		if t := d.target[i]; t == labelColumn {
			label = v
		} else {
			row[t] = v
		}
	}
	return label, d.line, nil
}
