package wire

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// rowTable gathers rows cell by cell, for a model of any inputs: rows that call their values by name, and rows that have them in order.
type rowTable struct {
	what    string       // what the client calls the rows: "instances", "dataframe_split.data"
	limits  Limits       // none is 0
	inputs  []tableInput // of the model
	targets []spot       // in the model's order: one for each column, or one for an input whose rows have no single dimension
	open    bool         // the model leaves the number of its columns open
	width   int          // cells of a row, in all inputs

	data []cells // by input
	rows int     // begun
	seen []int32 // by target: the row in which it was filled last, from 1

	byName map[string]int // of a target, or ^i of the whole input i
	twice  string         // a column that several inputs have: it names none
}

// tableInput is an input of the model, and how one of its cells is read.
type tableInput struct {
	spec  *tensor.Spec
	width int // cells of a row
	cell  target
}

// spot is a place in the rows that a name stands for.
type spot struct {
	input  int
	at     int // in the input's row
	width  int // cells; more than one are read from a list
	column string
}

// newRowTable makes an empty table for a model.
func newRowTable(what string, signature tensor.Signature, l Limits) (*rowTable, error) {
	t := &rowTable{what: what, limits: l, inputs: make([]tableInput, len(signature.Inputs)), data: make([]cells, len(signature.Inputs))}
	for i := range signature.Inputs {
		spec := &signature.Inputs[i]
		in := &t.inputs[i]
		*in = tableInput{spec: spec, width: 1, cell: cellTarget(spec.DType)}
		t.data[i].kind = in.cell.kind
		switch {
		case len(signature.Inputs) == 1 && len(spec.Shape) == 2 && spec.Shape[1] < 1:
			t.open, in.width = true, max(1, len(spec.Columns))
		case len(spec.Shape) == 0 || slices.ContainsFunc(spec.Shape[1:], func(d int) bool { return d < 1 }):
			return nil, fault.Invalidf("%s: input %q has the shape %v, which leaves open how many values a row has", what, spec.Name, spec.Shape).
				WithHint("send the input as a whole, as lists, over the Open Inference Protocol")
		default:
			var err error
			if in.width, err = tensor.Elements(spec.Shape[1:]); err != nil || in.width > l.Elements {
				return nil, fault.Invalidf("%s: a row of input %q has more values than a request may hold (%d)", what, spec.Name, l.Elements)
			}
		}
	}
	t.aim()
	if len(t.inputs) > 1 {
		t.find("") // learns which names are ambiguous
	}
	return t, nil
}

// aim makes the targets.
func (t *rowTable) aim() {
	t.targets, t.width, t.byName = t.targets[:0], 0, nil
	for i := range t.inputs {
		in := &t.inputs[i]
		t.width += in.width
		one := spot{input: i, width: 1, column: in.spec.Name}
		if in.width == 1 && len(in.spec.Columns) == 0 || len(in.spec.Shape) > 2 {
			one.width = in.width
			t.targets = append(t.targets, one)
			continue
		}
		for one.at = range in.width {
			one.column = ""
			if one.at < len(in.spec.Columns) {
				one.column = in.spec.Columns[one.at]
			}
			t.targets = append(t.targets, one)
		}
	}
	t.seen = make([]int32, len(t.targets))
}

// cellTarget is what reads one cell of a type.
func cellTarget(d tensor.DType) target {
	t := target{width: 1, kind: kindOf(d), dtype: d}
	t.lo, t.hi = rangeOf(d)
	return t
}

// maxOpenColumns is how many columns a request may name for a model that leaves their number open.
const maxOpenColumns = 1 << 16

// most is how many names are read of a request before they are too many: enough to tell which of them are wrong.
func (t *rowTable) most() int {
	if t.open {
		return maxOpenColumns
	}
	return len(t.targets) + 1000
}

// widen gives an open model as many columns as a request has.
func (t *rowTable) widen(n int) {
	if in := &t.inputs[0]; t.open && n != in.width && len(in.spec.Columns) == 0 && n > 0 && n <= min(maxOpenColumns, t.limits.Elements) {
		in.width = n
		t.aim()
	}
}

// find returns what a name stands for.
func (t *rowTable) find(name string) (at int, known bool) {
	if t.byName == nil {
		t.byName = make(map[string]int, len(t.targets)+len(t.inputs))
		for i := range t.inputs {
			t.byName[t.inputs[i].spec.Name] = ^i
		}
		for i := range t.targets {
			label := t.targets[i].column
			if before, ok := t.byName[label]; ok && (before >= 0 || before == ambiguous) {
				t.byName[label], t.twice = ambiguous, label
			} else if label != "" {
				t.byName[label] = i
			}
		}
	}
	at, known = t.byName[name]
	return at, known && at != ambiguous
}

// ambiguous is what a name stands for that several columns have.
const ambiguous = math.MinInt

// labels returns what each target is called; nil where one of them has no name.
func (t *rowTable) labels() []string {
	labels := make([]string, len(t.targets))
	for i := range t.targets {
		if labels[i] = t.targets[i].column; labels[i] == "" {
			return nil
		}
	}
	return labels
}

// order tells what each of a row's values is for, by their names: a target, or ^i for the whole input i. Names that only count (f0, f1,
// ... in any order) stand for positions where the model has none of them. Where tabular, the names must cover the row, and other names
// tell nothing to a model whose own columns have no names or only count: its runtime took columns in order when it was trained.
func (t *rowTable) order(names []string, tabular bool) ([]int, error) {
	if tabular {
		t.widen(len(names))
	}
	order, known := make([]int, len(names)), 0
	for i, name := range names {
		at, ok := t.find(name)
		if order[i] = at; ok && (at >= 0 || len(names) == 1 || len(t.inputs) > 1) { // beside others, the only input's name is a column's
			known++
		}
	}
	labels := t.labels()
	if known == len(names) && (!tabular || t.covers(order)) {
		return order, nil
	}
	if known == 0 && len(names) > 0 {
		places, counted := counts(names)
		_, counting := counts(labels)
		switch {
		case counted && len(names) == len(t.targets):
			return places, nil
		case tabular && (labels == nil || counting):
			if len(names) != len(t.targets) {
				return nil, fault.Invalidf("there are %d columns; the model takes %d", len(names), len(t.targets))
			}
			for i := range order {
				order[i] = i
			}
			return order, nil
		}
	}
	if labels != nil {
		if _, err := columnOrder(names, labels); err != nil {
			return nil, t.unclear(err)
		}
	}
	return nil, fault.Invalidf("the names %s are not those of the model, whose columns have none", few(names)).
		WithHint("send each row as a list, in the model's order, or name the inputs: %s", t.inputNames())
}

// covers tells whether an order fills every target once.
func (t *rowTable) covers(order []int) bool {
	n, filled := 0, make([]bool, len(t.targets))
	for _, at := range order {
		from, to := at, at+1
		if at < 0 {
			from, to = t.span(^at)
		}
		for i := from; i < to; i++ {
			if filled[i] {
				return false
			}
			filled[i] = true
			n++
		}
	}
	return n == len(t.targets)
}

// span tells which targets are of an input.
func (t *rowTable) span(input int) (from, to int) {
	for from < len(t.targets) && t.targets[from].input < input {
		from++
	}
	for to = from; to < len(t.targets) && t.targets[to].input == input; {
		to++
	}
	return from, to
}

// unclear says that a column's name stands for several.
func (t *rowTable) unclear(err error) error {
	if t.twice == "" {
		return err
	}
	return fault.Invalidf("several inputs of the model have a column %.60q: %w", t.twice, err).
		WithHint("send each input as a list by its own name: %s", t.inputNames())
}

func (t *rowTable) inputNames() string {
	names := make([]string, len(t.inputs))
	for i := range t.inputs {
		names[i] = t.inputs[i].spec.Name
	}
	return few(names)
}

// counts tells whether names are a common prefix and the numbers from 0 or 1 on in any order, and at which position each of them counts.
func counts(names []string) (places []int, counted bool) {
	sorted := slices.Clone(names)
	slices.SortFunc(sorted, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	if !positional(sorted) {
		return nil, false
	}
	at := make(map[string]int, len(sorted))
	for i, name := range sorted {
		at[name] = i
	}
	places = make([]int, len(names))
	for i, name := range names {
		places[i] = at[name]
	}
	return places, true
}

// begin makes room for a row, within the limits.
func (t *rowTable) begin() error {
	switch {
	case t.rows == t.limits.Rows:
		return fault.Invalidf("%s holds more than %d rows; send them in several requests", t.what, t.limits.Rows)
	case t.width > t.limits.Elements/(t.rows+1):
		return fault.Invalidf("the request has more than %d values; send fewer rows", t.limits.Elements)
	}
	for i := range t.data {
		t.data[i].grow(t.inputs[i].width)
	}
	t.rows++
	return nil
}

// reserve makes room for so many rows at once. It must not be more than the body can hold.
func (t *rowTable) reserve(rows int) {
	rows = min(rows, t.limits.Rows, t.limits.Elements/max(t.width, 1))
	for i := range t.data {
		c := &t.data[i]
		c.grow(rows * t.inputs[i].width)
		c.clear()
	}
}

// mark notes that a target is filled in the present row, once.
func (t *rowTable) mark(i int) error {
	if t.seen[i] == int32(t.rows) {
		return fault.Invalidf("is given twice")
	}
	t.seen[i] = int32(t.rows)
	return nil
}

// end checks that the row is whole.
func (t *rowTable) end() error {
	for i := range t.targets {
		if t.seen[i] != int32(t.rows) {
			return &FieldError{t.place(t.label(i)), fault.Invalidf("is missing").WithHint("send null for a value that is not known")}
		}
	}
	return nil
}

// label is what a target is called in errors.
func (t *rowTable) label(i int) string {
	if i < 0 {
		return t.inputs[^i].spec.Name
	}
	if label := t.targets[i].column; label != "" {
		return label
	}
	return "[" + strconv.Itoa(t.targets[i].at) + "]"
}

// place names a field of the present row: "" is the row itself.
func (t *rowTable) place(field string) string {
	row := t.what + "[" + strconv.Itoa(max(0, t.rows-1)) + "]"
	if field == "" || field[0] == '[' {
		return row + field
	}
	return row + "." + field[:min(len(field), 80)]
}

// cell returns where a target of the present row is.
func (t *rowTable) cell(i int) (*cells, int) {
	in := t.targets[i].input
	return &t.data[in], (t.rows-1)*t.inputs[in].width + t.targets[i].at
}

// tensors returns what was gathered, one tensor for each input of the model.
func (t *rowTable) tensors() []tensor.Tensor {
	list := make([]tensor.Tensor, len(t.inputs))
	for i := range t.inputs {
		spec := t.inputs[i].spec
		shape := append([]int{t.rows}, spec.Shape[1:]...)
		if t.open {
			shape[1] = t.inputs[i].width
		}
		list[i] = tensor.Tensor{Name: spec.Name, Shape: shape, Data: t.data[i].slice()}
	}
	return list
}
