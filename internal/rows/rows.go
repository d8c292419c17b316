// Package rows reads files of rows into tensors, a batch at a time and in bounded memory: libsvm, CSV, TSV and JSON lines.
//
// What the formats share: values are read to the nearest float64 and, into a Batch of float32, rounded from there, as wire reads a
// request; so a row answers alike from a file and over the network, and as it did from numpy. A number that does not fit is refused.
// Infinities are read where the format has them; whether they make sense is the model's to say. A missing value is NaN. Blank lines are
// skipped, except within quotes. A byte order mark at the start is dropped.
//
// XGBoost's own reader of text files is a little off: it rounds the whole part of a number and its fraction to float32 each, and then
// their sum. One value in fifty of twelve digits comes out one float32 away from the nearest. That is not imitated: models trained on
// arrays would then see other numbers than they were trained on.
//
//	format   a row                                       missing
//	libsvm   [label] [qid:n] index:value ... [# text]    nan, and an index that is absent where Options.AbsentZero does not make it 0
//	csv, tsv fields, quoted as RFC 4180 has it, header   an empty field, NA, NaN, null in any case
//	jsonl    [v, ...] or {"column": v, ...}              null, NaN, a key that is absent
package rows

import (
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// Format names a format of rows.
type Format string

// The formats.
const (
	LibSVM Format = "libsvm"
	CSV    Format = "csv"
	TSV    Format = "tsv"
	JSONL  Format = "jsonl"
)

// Header says whether the first row of a CSV or TSV file names the columns.
type Header uint8

// The answers. HeaderAuto takes a first row for a header if it holds the model's column names, or text and no number. A first row with
// text and numbers is refused: it may be a row with a mistake.
const (
	HeaderAuto Header = iota
	HeaderYes
	HeaderNo
)

// Options say what the rows are for. The zero value reads any CSV, TSV or JSON array rows; libsvm needs a width.
type Options struct {
	Name    string   // the file's name, for errors and to detect the format; "input" where empty
	Width   int      // how many values a row has for the model; 0: that of the first row, or of Columns
	Columns []string // the model's column names; files that name columns may have them in another order
	Header  Header   // for CSV and TSV
	Label   string   // a column to keep apart from the values: its name, or its number from 0; "": none. libsvm marks its own
	MaxLine int      // the most bytes of a line, or of a quoted row; 0: 64 MiB

	// AbsentZero makes an index that a row of libsvm leaves out 0, as it is to LightGBM; else it is missing, as it is to XGBoost. The other
	// formats are no sparse ones: a key that an object of JSON leaves out is missing, as it is to the data frames that both take.
	AbsentZero bool
}

const defaultMaxLine = 64 << 20

// Reader reads rows. It is made by Open and used through Batch.Read. It is not safe for concurrent use.
type Reader struct {
	format Format
	name   string
	width  int
	src    source
	row    []float64
	err    error // found after rows that were still good
}

// source reads one row of a format. next fills row, whose length is the width, and returns the row's label (NaN if it has none) and
// line. It returns io.EOF after the last.
type source interface {
	next(row []float64) (label float64, line int, err error)
	labelled() bool
}

// Open makes a Reader of r. An empty format is detected, from o.Name and the first line. It reads what it needs to know the format, the
// header and the width, and finds mistakes in those. The errors of Open and of Batch.Read are Invalid and name file and line, but for a
// failure of r itself, which is Internal. r stays the caller's to close.
func Open(r io.Reader, format Format, o Options) (*Reader, error) {
	if o.Name == "" {
		o.Name = "input"
	}
	if o.MaxLine <= 0 {
		o.MaxLine = defaultMaxLine
	}
	if len(o.Columns) > 0 {
		o.Width = len(o.Columns)
	}
	in := newLines(r, o.Name, o.MaxLine)
	if format == "" {
		var err error
		if format, err = Detect(o.Name, in.head()); err != nil {
			return nil, err
		}
	}
	x := &Reader{format: format, name: o.Name, width: o.Width}
	var err error
	switch format {
	case CSV, TSV:
		x.src, x.width, err = openDelimited(in, format, o)
	case JSONL:
		x.src, x.width, err = openJSONL(in, o)
	case LibSVM:
		x.src, err = openLibSVM(in, o)
	default:
		err = fault.Invalidf("unknown format %q", string(format)).WithHint("use libsvm, csv, tsv or jsonl")
	}
	if err != nil {
		return nil, err
	}
	x.row = make([]float64, x.width)
	return x, nil
}

// Format returns the format of the rows.
func (r *Reader) Format() Format { return r.format }

// Width returns how many values a row has; 0 for a file without rows where Options did not say.
func (r *Reader) Width() int { return r.width }

// Columns returns the names of a row's values where the rows are CSV or TSV with a header, in the rows' order: that of Options.Columns
// where those were given, else the file's. Otherwise nil.
func (r *Reader) Columns() []string {
	if d, ok := r.src.(*delimited); ok {
		return d.columns
	}
	return nil
}

// Batch holds rows. Its memory is used again by every Read.
type Batch[F float32 | float64] struct {
	Rows   int
	Width  int
	Values []F       // row-major, Rows × Width
	Labels []float64 // one for each row; empty if the file has none
	Lines  []int     // the line that each row starts on, from 1
}

// Tensor returns the rows as a tensor of shape [Rows, Width]. It shares Values: it is good until the next Read.
func (b *Batch[F]) Tensor(name string) tensor.Tensor {
	return tensor.New(name, []int{b.Rows, b.Width}, b.Values)
}

// Read replaces what b holds by the next rows of r, at most n, at least one. It returns io.EOF where none are left. The rows before a
// mistake are given first, and the error by the call after them and by every later one.
func (b *Batch[F]) Read(r *Reader, n int) error {
	b.Rows, b.Width, b.Values, b.Labels, b.Lines = 0, r.width, b.Values[:0], b.Labels[:0], b.Lines[:0]
	for b.Rows < max(n, 1) && r.err == nil {
		label, line, err := r.src.next(r.row)
		if err == nil {
			err = b.add(r, line)
		}
		if err != nil {
			r.err = err
			break
		}
		b.Rows++
		b.Lines = append(b.Lines, line)
		if r.src.labelled() {
			b.Labels = append(b.Labels, label)
		}
	}
	if b.Rows == 0 && r.err != nil {
		return r.err
	}
	return nil
}

// add appends r's present row.
func (b *Batch[F]) add(r *Reader, line int) error {
	for i, v := range r.row {
		f := F(v)
		if math.IsInf(float64(f), 0) && !math.IsInf(v, 0) {
			b.Values = b.Values[:b.Rows*b.Width]
			return fault.Invalidf("%s: line %d: value %d, %v, does not fit a 32-bit float", r.name, line, i, v)
		}
		b.Values = append(b.Values, f)
	}
	return nil
}

// parse reads a number, or a missing value as NaN.
func parse(text string) (v float64, ok bool) {
	switch text {
	case "", "NA", "null":
		return math.NaN(), true
	}
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && (strings.IndexByte(text, '_') >= 0 || len(text) > 2 && (text[1]|0x20 == 'x' || text[2]|0x20 == 'x')) {
		return 0, false // 1_000 and 0x1p4 are numbers in Go, and nobody's data
	}
	if err != nil && (strings.EqualFold(text, "na") || strings.EqualFold(text, "null")) {
		return math.NaN(), true
	}
	return v, err == nil
}

// indexOf maps names to their places.
func indexOf(names []string) map[string]int {
	m := make(map[string]int, len(names))
	for i, name := range names {
		m[name] = i
	}
	return m
}

// quoteAll lists names for a message, the first eight of them.
func quoteAll(names []string) string {
	var list []byte
	for i, name := range names[:min(len(names), 8)] {
		if i > 0 {
			list = append(list, ", "...)
		}
		list = strconv.AppendQuote(list, name[:min(len(name), 60)])
	}
	if more := len(names) - 8; more > 0 {
		list = append(list, " and "+strconv.Itoa(more)+" more"...)
	}
	return string(list)
}

// without returns the names that are not in others.
func without(names, others []string) []string {
	in := indexOf(others)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, ok := in[name]; return ok })
}
