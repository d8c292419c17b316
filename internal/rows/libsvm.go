package rows

import (
	"bytes"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
)

// libsvm reads lines of "label index:value ...". Indices count from 0, as XGBoost takes them by default (indexing_mode 0); files made
// for other tools count from 1, and a model trained on such a file has a column 0 that is always absent. A first field without a colon
// is the label, and either every row has one or none has: a file where that varies may mean label:weight, which is not read.
type libsvm struct {
	in     *lines
	label  bool
	known  bool    // label is decided, by the first row
	absent float64 // the value of an index that a row leaves out
	seenOn []int   // for each column, the line that set it last
}

func openLibSVM(in *lines, o Options) (*libsvm, error) {
	if o.Width <= 0 {
		return nil, fault.Invalidf("%s: libsvm rows need the model's number of columns, which its signature leaves open", o.Name)
	}
	if o.Label != "" {
		return nil, fault.Invalidf("%s: libsvm marks its own label; a label column cannot be chosen", o.Name)
	}
	s := &libsvm{in: in, absent: math.NaN(), seenOn: make([]int, o.Width)}
	if o.AbsentZero {
		s.absent = 0
	}
	return s, nil
}

func (s *libsvm) labelled() bool { return s.label }

func (s *libsvm) next(row []float64) (label float64, number int, err error) {
	var line []byte
	for len(line) == 0 {
		if line, err = s.in.next(); err != nil {
			return 0, 0, err
		}
		line, _, _ = bytes.Cut(line, []byte("#"))
		line = bytes.TrimRight(line, " \t\r")
	}
	for i := range row {
		row[i] = s.absent
	}
	label = math.NaN()
	fields, labelled := 0, false
	for at := 0; ; fields++ {
		for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
			at++
		}
		if at == len(line) {
			break
		}
		from := at
		for at < len(line) && line[at] != ' ' && line[at] != '\t' {
			at++
		}
		field := line[from:at]
		colon := bytes.IndexByte(field, ':')
		switch {
		case colon < 0 && fields == 0:
			v, ok := parse(string(field))
			if !ok {
				return 0, 0, s.in.invalid(s.in.line, "column %d: the label %.40q is not a number", from+1, field)
			}
			label, labelled = v, true
		case colon < 0:
			return 0, 0, s.in.invalid(s.in.line, "column %d: %.40q is not index:value", from+1, field)
		case string(field[:colon]) == "qid":
		default:
			if err := s.set(row, field, colon, from+1); err != nil {
				return 0, 0, err
			}
		}
	}
	if s.known && s.label != labelled {
		has := map[bool]string{true: "a label", false: "no label"}
		return 0, 0, s.in.invalid(s.in.line, "the row has %s, though those before it have %s", has[labelled], has[s.label])
	}
	s.label, s.known = labelled, true
	return label, s.in.line, nil
}

// set reads one index:value.
func (s *libsvm) set(row []float64, field []byte, colon, column int) error {
	i, ok := index(field[:colon])
	if !ok {
		return s.in.invalid(s.in.line, "column %d: %.40q is not an index", column, field[:colon])
	}
	if i >= len(row) {
		return s.in.invalid(s.in.line, "column %d: index %d is beyond the model's %d columns, which count from 0", column, i, len(row))
	}
	if s.seenOn[i] == s.in.line {
		return s.in.invalid(s.in.line, "column %d: index %d is given twice", column, i)
	}
	s.seenOn[i] = s.in.line
	text := field[colon+1:]
	v, ok := parse(string(text))
	if !ok || len(text) == 0 {
		return s.in.invalid(s.in.line, "column %d: the value %.40q is not a number", column+colon+1, text)
	}
	row[i] = v
	return nil
}

// index reads a whole number of at most nine digits.
func index(text []byte) (int, bool) {
	if len(text) == 0 || len(text) > 9 || text[0]-'0' > 9 {
		return 0, false
	}
	i, err := strconv.Atoi(string(text))
	return i, err == nil
}
