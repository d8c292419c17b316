package wire

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// binding is a mapping worked out for one signature. It never changes.
type binding struct {
	signature tensor.Signature
	inputs    []boundInput
	targets   []target
	trie      *trie
	outside   []int // targets that are filled from beyond the body
	once      []int // targets that are filled once for all rows
	answer    []part
	wanted    []string
	classed   bool   // the first of them is turned into labels or scores
	classes   Labels // those of the mapping, or of that output
}

// boundInput is an input of the model and how wide one row of it is.
type boundInput struct {
	spec  *tensor.Spec
	kind  cellKind
	width int
}

// cellKind is how the cells of an input are kept: in the type itself or in a wider one, which runtimes convert.
type cellKind uint8

const (
	singleCells cellKind = iota
	doubleCells
	wholeCells
	textCells
)

// target is a column of an input, or a whole one, and what fills it.
type target struct {
	input   int
	at      int // the first cell in the input's row
	width   int // how many cells; more than one are read from a list
	column  string
	kind    cellKind
	dtype   tensor.DType
	lo, hi  int64 // of whole numbers
	source  source
	outside bool // the source is not in the body
	once    bool // filled once for all rows
	fixed   bool // filled by fill, whatever the request says
	fills   bool // fill stands for an absent value
	known   bool // fill stands for a category that values does not list, too
	fill    cell
	values  map[string]cell
	parse   bool
}

// newBinding works a mapping out for a signature, or tells everything that does not fit.
func newBinding(m *Mapped, s tensor.Signature) (*binding, error) {
	b := &binding{signature: s, trie: newTrie(m.rows, m.mapping.Rows != "")}
	w := binder{m: m, b: b}
	for i := range s.Inputs {
		w.input(&s.Inputs[i])
	}
	w.columns()
	for i := range b.targets {
		w.place(i)
	}
	w.contradictions()
	w.outputs()
	if err := w.problems.Err(); err != nil {
		return nil, fault.Invalidf("the route does not fit the model: %s", strings.ReplaceAll(err.Error(), "\n", "; ")).
			WithHint("the model's inputs are %s", describeInputs(s))
	}
	return b, nil
}

type binder struct {
	m        *Mapped
	b        *binding
	problems fault.List
}

// describeInputs lists inputs with their columns.
func describeInputs(s tensor.Signature) string {
	parts := make([]string, len(s.Inputs))
	for i := range s.Inputs {
		parts[i] = few([]string{s.Inputs[i].Name})
		if len(s.Inputs[i].Columns) > 0 {
			parts[i] += " (columns " + few(s.Inputs[i].Columns) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// input takes an input of the model.
func (w *binder) input(spec *tensor.Spec) {
	in := boundInput{spec: spec, width: 1}
	if len(spec.Shape) == 0 || slices.ContainsFunc(spec.Shape[1:], func(d int) bool { return d < 1 }) {
		w.problems.Addf("input %q has the shape %v, which leaves the size of a row open", spec.Name, spec.Shape)
	} else if n, err := tensor.Elements(spec.Shape[1:]); err != nil {
		w.problems.Addf("input %q: %s", spec.Name, err.Error())
	} else {
		in.width = n
	}
	in.kind = kindOf(spec.DType)
	w.b.inputs = append(w.b.inputs, in)
}

// kindOf tells how cells of a type are kept.
func kindOf(d tensor.DType) cellKind {
	switch d {
	case tensor.Float32:
		return singleCells
	case tensor.Float64:
		return doubleCells
	case tensor.Bytes:
		return textCells
	}
	return wholeCells
}

// columns makes a target of every column: those that the mapping names, and then the others by their own names.
func (w *binder) columns() {
	taken := make([][]bool, len(w.b.inputs)) // by input, the columns that are filled
	for i := range w.b.inputs {
		taken[i] = make([]bool, max(1, len(w.b.inputs[i].spec.Columns)))
	}
	for i := range w.m.fields {
		f := &w.m.mapping.Fields[i]
		input, column, why := w.find(f.Target)
		if why != "" {
			w.problems.Addf("%s", why)
			continue
		}
		part := taken[input]
		if column >= 0 {
			part = part[column : column+1]
		}
		if slices.Contains(part, true) {
			w.problems.Addf("request: %q is filled twice: by name of the input and of its column", f.Target)
			continue
		}
		for i := range part {
			part[i] = true
		}
		w.add(input, column, f, w.m.fields[i])
	}
	for i, filled := range taken {
		for column, done := range filled {
			spec := w.b.inputs[i].spec
			switch {
			case done:
			case len(spec.Columns) == 0:
				w.add(i, -1, &MappedField{Target: spec.Name}, w.own(spec.Name))
			default:
				w.add(i, column, &MappedField{Target: spec.Columns[column]}, w.own(spec.Columns[column]))
			}
		}
	}
}

// find finds a column, else an input, by name; column is -1 for an input.
func (w *binder) find(name string) (input, column int, why string) {
	input = -1
	for i := range w.b.inputs {
		at := slices.Index(w.b.inputs[i].spec.Columns, name)
		if at < 0 {
			continue
		}
		if input >= 0 {
			return 0, 0, "request: several inputs of the model have a column " + few([]string{name})
		}
		input, column = i, at
	}
	if input >= 0 {
		return input, column, ""
	}
	input = slices.IndexFunc(w.b.inputs, func(in boundInput) bool { return in.spec.Name == name })
	if input < 0 {
		return 0, 0, "request: the model has no column or input " + few([]string{name})
	}
	return input, -1, ""
}

// own is where a column that the mapping does not name comes from.
func (w *binder) own(name string) source {
	m := &w.m.mapping
	switch {
	case slices.Contains(m.Parameters, name):
		return source{text: "path:" + name, once: true, origin: Path, name: name}
	case m.NoBody:
		return source{text: "query:" + name, once: true, origin: Query, name: name}
	}
	s := step{key: name}
	return source{text: appendStep("", s), body: true, path: []step{s}}
}

// add makes a target.
func (w *binder) add(input, column int, f *MappedField, src source) {
	in := &w.b.inputs[input]
	t := target{
		input: input, at: max(column, 0), width: 1, column: f.Target, kind: in.kind, dtype: in.spec.DType, source: src, outside: !src.body,
		once: src.once && w.m.mapping.Rows != "", fixed: f.Const != nil, parse: f.Parse,
	}
	if column < 0 {
		t.width = in.width
	} else if last := in.spec.Shape[len(in.spec.Shape)-1]; last != in.width {
		w.problems.Addf("%q is a column of input %q, whose rows have more dimensions than columns; map the input itself", f.Target, in.spec.Name)
		return
	}
	t.lo, t.hi = rangeOf(in.spec.DType)
	fill := f.Default
	if t.fixed {
		fill = f.Const
	}
	switch {
	case t.width > 1 && (t.outside || fill != nil || f.Values != nil || f.Parse):
		w.problems.Addf("request: input %q takes a list of %d values, which only a field of the body can be, without a default", f.Target, t.width)
		return
	case fill != nil:
		t.fill, t.fills, t.known = w.cell(&t, fill), true, true
	case f.Missing == NotANumber && t.kind > doubleCells:
		w.problems.Addf("request: %q cannot be missing: the model takes %v there; give a default", f.Target, t.dtype)
	case f.Missing == NotANumber, f.Missing == AsMapping && w.m.mapping.Missing && t.kind <= doubleCells:
		t.fill, t.fills = cell{number: math.NaN()}, true
	}
	if f.Values != nil {
		t.values = make(map[string]cell, len(f.Values))
		for key, v := range f.Values {
			t.values[key] = w.cell(&t, v)
		}
	}
	w.b.targets = append(w.b.targets, t)
}

// rangeOf returns the whole numbers that a type holds. Those of UINT64 beyond INT64 are left out.
func rangeOf(d tensor.DType) (lo, hi int64) {
	switch d {
	case tensor.Bool:
		return 0, 1
	case tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case tensor.Int16:
		return math.MinInt16, math.MaxInt16
	case tensor.Int32:
		return math.MinInt32, math.MaxInt32
	case tensor.Uint8:
		return 0, math.MaxUint8
	case tensor.Uint16:
		return 0, math.MaxUint16
	case tensor.Uint32:
		return 0, math.MaxUint32
	case tensor.Uint64:
		return 0, math.MaxInt64
	}
	return math.MinInt64, math.MaxInt64
}

// cell turns a constant of the mapping into what t is filled with.
func (w *binder) cell(t *target, v any) cell {
	switch v := v.(type) {
	case bool:
		if t.kind != textCells {
			return truth(v)
		}
	case string:
		if t.kind == textCells {
			return cell{text: v}
		}
	case int64:
		if t.kind == wholeCells && v >= t.lo && v <= t.hi || t.kind <= doubleCells {
			return cell{number: float64(v), whole: v}
		}
	case float64:
		if t.kind == doubleCells || t.kind == singleCells && !math.IsInf(float64(float32(v)), 0) {
			return cell{number: v}
		}
	}
	w.problems.Addf("request: %q takes %v, which the constant %v is not", t.column, t.dtype, v)
	return cell{}
}

// truth is what a bool is where numbers are meant.
func truth(v bool) cell {
	if v {
		return cell{number: 1, whole: 1}
	}
	return cell{}
}

// place says where in the reading of a request a target is filled.
func (w *binder) place(i int) {
	t := &w.b.targets[i]
	if t.once {
		w.b.once = append(w.b.once, i)
	}
	if t.outside {
		w.b.outside = append(w.b.outside, i)
		return
	}
	n, err := w.b.trie.add(&t.source)
	if err != nil {
		w.problems.Addf("request: %q: %s", t.column, err.Error())
		return
	}
	n.targets = append(n.targets, i)
}

// contradictions tells of fields whose value cannot be what is below it as well.
func (w *binder) contradictions() {
	var walk func(n *node)
	walk = func(n *node) {
		for _, i := range n.targets {
			if t := &w.b.targets[i]; n.fields != nil || n.items != nil && t.width == 1 {
				w.problems.Addf("request: %q is read from %q, of which other columns read parts", t.column, t.source.text)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(n.fields)) {
			walk(n.fields[key])
		}
		for _, index := range slices.Sorted(maps.Keys(n.items)) {
			walk(n.items[index])
		}
	}
	walk(w.b.trie.body)
	if w.b.trie.row != w.b.trie.body {
		walk(w.b.trie.row)
	}
}
