package wire

import (
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// word is what a leaf of an answer tells.
type word uint8

const (
	tellsText word = iota + 1 // text that stands for itself
	tellsPrediction
	tellsOutput
	tellsLabel
	tellsScore
	tellsDecision
	tellsDecisionID
	tellsModel
	tellsVersion
	tellsVariant
)

// part is a piece of an answer: text as it is, and then what a word tells, or a list of rows.
type part struct {
	text   []byte
	word   word   // 0: nothing
	all    bool   // of every row, as a list
	output int    // of wanted, that the word tells
	scalar bool   // a row of it is one value
	each   []part // of each row
}

// outputs works out what is asked of the model and how it is written.
func (w *binder) outputs() {
	b, s := w.b, w.b.signature
	at := slices.IndexFunc(s.Outputs, func(o tensor.Spec) bool { return !o.OnDemand })
	if at < 0 {
		w.problems.Addf("the model gives no output unless asked for one, or nobody has said which")
		return
	}
	main := s.Outputs[at].Name
	template := w.m.mapping.Answer
	if template == nil {
		template = &Template{Object: []Member{}}
		for _, o := range s.Outputs {
			if !o.OnDemand {
				template.Object = append(template.Object, Member{o.Name, Template{Word: "output:" + o.Name}})
			}
		}
	}
	b.wanted, b.classes = []string{main}, w.m.mapping.Labels // always the prediction, and first: it is counted by class
	if b.classes.Classes == nil {
		b.classes.Classes = s.Outputs[at].Labels
	}
	t := writer{w: w, main: main}
	t.template(template, w.m.mapping.Rows == "")
	b.answer = t.parts(nil)
}

// writer turns a template into parts.
type writer struct {
	w    *binder
	main string
	done []part
	text []byte // what comes before the next part
}

// parts ends with p, or with text alone, and returns all.
func (t *writer) parts(p *part) []part {
	if p != nil {
		p.text, t.text = t.text, nil
		t.done = append(t.done, *p)
	} else if len(t.text) > 0 {
		t.done = append(t.done, part{text: t.text})
	}
	return t.done
}

func (t *writer) template(from *Template, inRow bool) {
	switch {
	case from.Object != nil:
		t.text = append(t.text, '{')
		for i := range from.Object {
			t.text = appendText(comma(t.text, i), from.Object[i].Key)
			t.text = append(t.text, ':')
			t.template(&from.Object[i].Value, inRow)
		}
		t.text = append(t.text, '}')
	case from.Each != nil:
		row := writer{w: t.w, main: t.main}
		row.template(from.Each, true)
		t.parts(&part{each: row.parts(nil)})
	case from.Const != nil:
		t.text = appendConstant(t.text, from.Const)
	default:
		t.word(from.Word, inRow)
	}
}

// appendConstant writes a constant of a template, which has been checked.
func appendConstant(dst []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return appendFloat(dst, v, 64)
	case string:
		return appendText(dst, v)
	}
	return append(dst, "null"...)
}

func (t *writer) word(leaf string, inRow bool) {
	kind, name := parseWord(leaf)
	p := part{word: kind, all: !inRow}
	switch kind {
	case tellsText:
		t.text = appendText(t.text, name)
		return
	case tellsPrediction:
		p.word, name = tellsOutput, t.main
		fallthrough
	case tellsOutput:
		if p.output, p.scalar = t.want(name); p.output < 0 {
			t.w.problems.Addf("response: the model has no output %s", few([]string{name}))
		}
	case tellsLabel, tellsScore:
		p.output, p.scalar = t.want(t.main)
		t.w.b.classed = true
		t.w.labels(kind)
	}
	t.parts(&p)
}

// want adds an output to those asked for.
func (t *writer) want(name string) (at int, scalar bool) {
	s := t.w.b.signature
	i := slices.IndexFunc(s.Outputs, func(o tensor.Spec) bool { return o.Name == name })
	if i < 0 {
		return -1, false
	}
	if at = slices.Index(t.w.b.wanted, name); at < 0 {
		at = len(t.w.b.wanted)
		t.w.b.wanted = append(t.w.b.wanted, name)
	}
	shape := s.Outputs[i].Shape
	return at, len(shape) < 2 || !slices.ContainsFunc(shape[1:], func(d int) bool { return d != 1 })
}

// labels tells whether the main output can be turned into labels, or scores.
func (w *binder) labels(kind word) {
	spec := w.b.signature.Outputs[slices.IndexFunc(w.b.signature.Outputs, func(o tensor.Spec) bool { return !o.OnDemand })]
	classes, width := len(w.b.classes.Classes), 1
	for _, d := range spec.Shape[min(1, len(spec.Shape)):] {
		width *= max(d, 0) // 0: left open
	}
	switch {
	case !spec.DType.Numeric() && kind == tellsScore:
		w.problems.Addf("response: output %q is text, which is no score", spec.Name)
	case !spec.DType.Numeric() && width != 1:
		w.problems.Addf("response: output %q has not one text for each row, which would be a label", spec.Name)
	case !spec.DType.Numeric() || kind == tellsScore:
	case width == 1 && classes < 2:
		w.problems.Addf("response: the classes of output %q have no names for label; set the service's labels.classes", spec.Name)
	case width > 1 && classes > 0 && classes != width:
		w.problems.Addf("response: output %q has %d numbers for each row, but %d classes are named", spec.Name, width, classes)
	}
}

// Of tells which class a row of numbers means, and the number that says so. A single number from 0 to 1 means the second of two classes
// from the threshold on, and is the class number itself where there are more; of several numbers, one for each class, the first of the
// largest counts. The class is -1 where the row means none.
func (l Labels) Of(row []float64) (class int, tellsScore float64) {
	switch {
	case len(row) > 1:
		for i, v := range row {
			if v > row[class] || math.IsNaN(row[class]) {
				class = i
			}
		}
		if math.IsNaN(row[class]) {
			return -1, row[class]
		}
		return class, row[class]
	case len(row) == 0:
		return -1, math.NaN()
	case len(l.Classes) == 2 && row[0] >= l.Threshold && row[0] <= 1:
		return 1, row[0]
	case len(l.Classes) == 2 && row[0] >= 0 && row[0] < l.Threshold:
		return 0, row[0]
	case len(l.Classes) > 2 && row[0] >= 0 && row[0] < float64(len(l.Classes)) && row[0] == math.Trunc(row[0]):
		return int(row[0]), row[0]
	}
	return -1, row[0]
}

// Answer writes the mapping's form. A float32 is written as the shortest decimal that reads back as the same float32. What Meta does not
// know is null.
func (c *mappedCall) Answer(dst []byte, m Meta, resp *tensor.Response) ([]byte, error) {
	if len(resp.Outputs) != len(c.b.wanted) {
		return dst, fault.Internalf("the model gave %d outputs where %d were asked for", len(resp.Outputs), len(c.b.wanted))
	}
	for i := range resp.Outputs {
		o := &resp.Outputs[i]
		if err := o.Check(); err != nil {
			return dst, fault.Internalf("the model's answer: %s", err.Error())
		}
		if len(o.Shape) == 0 || o.Shape[0] != c.rows {
			return dst, fault.Internalf("output %q has the shape %v for %d rows", o.Name, o.Shape, c.rows)
		}
	}
	if c.b.classed && resp.Outputs[0].DType().Numeric() {
		c.scores, _ = resp.Outputs[0].Float64s() // numbers can be had as such
	}
	return c.appendParts(dst, &m, resp, c.b.answer, 0)
}

// appendParts writes parts, of one row where they are a row's.
func (c *mappedCall) appendParts(dst []byte, m *Meta, resp *tensor.Response, parts []part, row int) (_ []byte, err error) {
	for i := range parts {
		p := &parts[i]
		dst = append(dst, p.text...)
		switch {
		case p.each != nil:
			dst = append(dst, '[')
			for row := range c.rows {
				if dst, err = c.appendParts(comma(dst, row), m, resp, p.each, row); err != nil {
					return dst, err
				}
			}
			dst = append(dst, ']')
		case p.word == tellsOutput, p.word == tellsLabel, p.word == tellsScore:
			dst, err = c.appendRows(dst, resp, p, row)
		case p.word != 0:
			dst = appendMeta(dst, m, p.word)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendMeta(dst []byte, m *Meta, w word) []byte {
	text := ""
	switch w {
	case tellsDecision:
		text = m.Token
	case tellsDecisionID:
		text = m.DecisionID
	case tellsModel:
		text = m.Model
	case tellsVersion:
		text = m.Version
	case tellsVariant:
		text = m.Variant
	}
	if text == "" {
		return append(dst, "null"...)
	}
	return appendText(dst, text)
}

// appendRows writes what a part tells of a row, or of all rows as a list.
func (c *mappedCall) appendRows(dst []byte, resp *tensor.Response, p *part, row int) (_ []byte, err error) {
	if !p.all {
		return c.appendRow(dst, resp, p, row)
	}
	dst = append(dst, '[')
	for row := range c.rows {
		if dst, err = c.appendRow(comma(dst, row), resp, p, row); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func (c *mappedCall) appendRow(dst []byte, resp *tensor.Response, p *part, row int) ([]byte, error) {
	o := &resp.Outputs[p.output]
	width := o.Len() / c.rows
	from, to := row*width, (row+1)*width
	switch {
	case p.scalar && width != 1:
		return dst, fault.Internalf("output %q has the shape %v, which is not the one that was promised", o.Name, o.Shape)
	case p.word == tellsScore && p.scalar, p.word == tellsOutput && p.scalar, c.scores == nil && p.word == tellsLabel: // text is its own label
		return appendOne(dst, o, from)
	case p.word == tellsOutput && width == 0:
		return append(dst, "[]"...), nil
	case p.word == tellsOutput:
		return appendLevel(dst, o, o.Shape[1:], from, to, singles)
	}
	names := c.b.classes.Classes
	class, _ := c.b.classes.Of(c.scores[from:to])
	switch {
	case class < 0 || p.word == tellsLabel && names != nil && class >= len(names):
		return dst, fault.Internalf("output %q says %v of row %d, which is no class", o.Name, c.scores[from:to], row)
	case p.word == tellsScore:
		return appendOne(dst, o, from+class)
	case names == nil:
		return appendText(dst, strconv.Itoa(class)), nil
	}
	return appendText(dst, names[class]), nil
}

// appendOne writes one element.
func appendOne(dst []byte, o *tensor.Tensor, at int) ([]byte, error) {
	start := len(dst)
	dst, err := appendElements(dst, o, at, at+1, singles)
	if err != nil {
		return dst, err
	}
	return append(dst[:start], dst[start+1:len(dst)-1]...), nil // without the brackets of an array of one
}

// Error appends {"error": {"message": ..., "field": ...}}; the field is left out where the error is about none. It never fails.
func (*Mapped) Error(dst []byte, _ int, err error) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = appendText(dst, explain(err))
	if field, ok := errors.AsType[*FieldError](err); ok {
		dst = append(dst, `,"field":`...)
		dst = appendText(dst, field.Field)
	}
	return append(dst, "}}"...)
}
