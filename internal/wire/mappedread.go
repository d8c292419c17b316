package wire

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// mappedCall is one request and what reading it needs.
type mappedCall struct {
	reading
	m      *Mapped
	b      *binding
	call   Call
	limits Limits
	size   int // of the body

	rows    int     // begun so far
	marks   []int32 // by node: in which row it was met last, from 1
	seen    []int32 // by target: in which row it was filled last, from 1
	data    []cells // by input: all rows
	shared  []cells // by input: one row that holds what is filled once
	request tensor.Request
	scores  []float64 // of the main output, made when first asked for
}

// DecodeCall reads a request for a model of the given signature: its body and, through call, the rest. An error about one field is a
// *FieldError.
func (m *Mapped) DecodeCall(body []byte, call Call, s tensor.Signature, l Limits) (Exchange, error) {
	b, err := m.bind(s)
	if err != nil {
		return nil, fault.Internalf("%w", err) // it is not this request's fault
	}
	c := &mappedCall{m: m, b: b, call: call, limits: l.orDefault(), size: len(body)}
	marks := make([]int32, b.trie.nodes+len(b.targets))
	c.marks, c.seen = marks[:b.trie.nodes], marks[b.trie.nodes:]
	c.data = make([]cells, len(b.inputs))
	if len(b.once) > 0 {
		c.shared = make([]cells, len(b.inputs))
		for i := range c.shared {
			c.shared[i] = cells{kind: b.inputs[i].kind}
			c.shared[i].grow(b.inputs[i].width)
		}
	}
	for i := range c.data {
		c.data[i].kind = b.inputs[i].kind
	}
	c.start(body, s)
	if err := c.read(len(body) == 0 || m.mapping.NoBody); err != nil {
		return nil, err
	}
	c.ask()
	return c, nil
}

// read reads the whole request.
func (c *mappedCall) read(empty bool) error {
	hasRows := c.m.mapping.Rows != ""
	if !hasRows && !c.beginRow() {
		return c.err
	}
	if !empty {
		c.value(c.b.trie.body)
		if err := c.end(); err != nil {
			return err
		}
	}
	if hasRows && c.rows == 0 && c.err == nil {
		c.refuse(c.m.mapping.Rows, "is missing or holds no rows")
	}
	for _, i := range c.b.outside {
		c.beyond(i)
	}
	if hasRows {
		for _, i := range c.b.once {
			c.absent(i, 1)
			c.spread(&c.b.targets[i])
		}
	} else {
		c.endRow()
	}
	return c.err
}

// ask makes the request for the model.
func (c *mappedCall) ask() {
	c.request.Inputs = make([]tensor.Tensor, len(c.b.inputs))
	for i := range c.b.inputs {
		spec := c.b.inputs[i].spec
		c.request.Inputs[i] = tensor.Tensor{Name: spec.Name, Shape: append([]int{c.rows}, spec.Shape[1:]...), Data: c.data[i].slice()}
	}
	c.request.Outputs = c.b.wanted
}

// Request returns what is asked.
func (c *mappedCall) Request() *tensor.Request { return &c.request }

// refuse records an error about a field, unless one came before it.
func (c *mappedCall) refuse(field, format string, args ...any) {
	c.fail(&FieldError{Field: field, Err: fault.Invalidf(format, args...)})
}

// field is what a client calls the place of a node.
func (c *mappedCall) field(n *node, path string) string {
	if n.once || c.m.mapping.Rows == "" {
		if path == "" {
			return itself
		}
		return path
	}
	rows := c.m.mapping.Rows
	if rows == itself {
		rows = ""
	}
	rows += "[" + strconv.Itoa(c.rows-1) + "]"
	if path == "" || path[0] == '[' {
		return rows + path
	}
	return rows + "." + path
}

// value reads what is at a node.
func (c *mappedCall) value(n *node) {
	s := &c.s
	kind := s.Peek()
	below := n.rows || n.fields != nil || n.items != nil
	for i, at := range n.targets {
		if below || i < len(n.targets)-1 {
			c.fillFromCopy(n, at)
		} else {
			c.fillFrom(s, n, at)
		}
	}
	switch {
	case s.Err() != nil:
	case !below && n.targets != nil:
	case kind == jsonscan.Null && n != c.b.trie.body && n != c.b.trie.row:
		s.Null()
	case n.rows:
		c.list(n, kind)
	case n.items != nil:
		c.items(n, kind)
	default:
		c.fields(n, kind)
	}
}

// fillFromCopy reads the value that comes next into a target, and stays before it.
func (c *mappedCall) fillFromCopy(n *node, i int) {
	here := c.s
	c.fillFrom(&here, n, i)
}

// is tells whether a value is of the kind that is needed there, and refuses it if not.
func (c *mappedCall) is(n *node, kind, want jsonscan.Kind) bool {
	switch kind {
	case want:
		return true
	case jsonscan.None:
		c.s.Skip() // which says what is wrong
	default:
		c.refuse(c.field(n, n.path), "is %s where %s should be", describeKind(kind), describeKind(want))
	}
	return false
}

func describeKind(k jsonscan.Kind) string {
	switch k {
	case jsonscan.Object:
		return "an object"
	case jsonscan.Array:
		return "a list"
	case jsonscan.String:
		return "text"
	case jsonscan.Number:
		return "a number"
	case jsonscan.Bool:
		return "true or false"
	}
	return "null"
}

// fields reads an object of which parts are mapped.
func (c *mappedCall) fields(n *node, kind jsonscan.Kind) {
	if !c.is(n, kind, jsonscan.Object) {
		return
	}
	s := &c.s
	next := 0 // in the order of the mapping, which may well be the request's
	s.Object()
	for s.Next() {
		key := s.Key()
		var below *node
		if next < len(n.order) && n.order[next].key == string(key) {
			below = n.order[next]
			next++
		} else {
			below = n.fields[string(key)]
		}
		if below == nil {
			c.unknown(n, step{key: string(key)})
			continue
		}
		row := int32(1)
		if !below.once {
			row = int32(c.rows)
		}
		if c.marks[below.id] == row {
			c.refuse(c.field(below, below.path), "is given twice")
		}
		c.marks[below.id] = row
		c.value(below)
	}
}

// unknown passes over what nothing reads, or refuses it.
func (c *mappedCall) unknown(n *node, s step) {
	if c.m.mapping.Strict && c.s.Err() == nil {
		c.refuse(c.field(n, appendStep(n.path, s)), "is unknown")
	}
	c.s.Skip()
}

// items reads a list of which some positions are mapped.
func (c *mappedCall) items(n *node, kind jsonscan.Kind) {
	if !c.is(n, kind, jsonscan.Array) {
		return
	}
	s := &c.s
	s.Array()
	for i := 0; s.Next(); i++ {
		if below := n.items[i]; below != nil {
			c.value(below)
		} else {
			c.unknown(n, step{index: i, isIndex: true})
		}
	}
}

// list reads the rows.
func (c *mappedCall) list(n *node, kind jsonscan.Kind) {
	if !c.is(n, kind, jsonscan.Array) {
		return
	}
	s := &c.s
	s.Array()
	for s.Next() {
		if !c.beginRow() {
			return
		}
		c.value(c.b.trie.row)
		c.endRow()
	}
}

// beginRow makes room for a row, within the limits.
func (c *mappedCall) beginRow() bool {
	width := 0
	for i := range c.b.inputs {
		width += c.b.inputs[i].width
	}
	switch {
	case c.rows == c.limits.Rows:
		c.refuse(c.m.mapping.Rows, "has more than %d rows; send them in several requests", c.limits.Rows)
	case width > c.limits.Elements/(c.rows+1):
		c.fail(fault.Invalidf("the request has more than %d values; send fewer rows", c.limits.Elements))
	}
	if c.s.Err() != nil {
		return false
	}
	for i := range c.data {
		c.data[i].grow(c.b.inputs[i].width)
	}
	c.rows++
	return true
}

// endRow fills what the row did not say.
func (c *mappedCall) endRow() {
	for i := range c.b.targets {
		if t := &c.b.targets[i]; !t.once {
			c.absent(i, c.rows)
		}
	}
}

// absent fills a target that nothing has filled, or tells that its field is missing.
func (c *mappedCall) absent(i, row int) {
	t := &c.b.targets[i]
	switch {
	case c.seen[i] == int32(row):
	case c.s.Err() != nil || c.err != nil:
	case t.fills:
		c.put(i, t.fill)
	case t.outside:
		c.refuse(t.source.text, "is missing")
	default:
		n := node{once: t.source.once}
		c.refuse(c.field(&n, t.path()), "is missing")
	}
}

// path is where in the row, or in the body, the target's field is.
func (t *target) path() string {
	if t.source.text == itself {
		return ""
	}
	return t.source.text
}

// at returns where a target's cells are.
func (c *mappedCall) at(t *target) (*cells, int) {
	if t.once {
		return &c.shared[t.input], t.at
	}
	return &c.data[t.input], (c.rows-1)*c.b.inputs[t.input].width + t.at
}

// put fills all cells of a target.
func (c *mappedCall) put(i int, v cell) {
	t := &c.b.targets[i]
	to, at := c.at(t)
	for k := range t.width {
		to.set(at+k, v)
	}
	c.mark(i)
}

func (c *mappedCall) mark(i int) {
	c.seen[i] = 1
	if !c.b.targets[i].once {
		c.seen[i] = int32(c.rows)
	}
}

// spread copies what is filled once into every row.
func (c *mappedCall) spread(t *target) {
	from, to, width := &c.shared[t.input], &c.data[t.input], c.b.inputs[t.input].width
	for row := range c.rows {
		for k := range t.width {
			to.set(row*width+t.at+k, from.get(t.at+k))
		}
	}
}

// fillFrom reads the value at s, which is the call's own scanner or a copy of it, into a target.
func (c *mappedCall) fillFrom(s *jsonscan.Scanner, n *node, i int) {
	t := &c.b.targets[i]
	if c.s.Err() != nil {
		return
	}
	var err error
	if t.width > 1 {
		err = c.array(s, i)
	} else {
		var v cell
		if v, err = t.read(s); err == nil {
			c.put(i, v)
		}
	}
	if err == nil && s.Err() != nil {
		err = fault.Invalidf("cannot be read: %w", s.Err())
	}
	if err != nil && c.err == nil {
		c.err = &FieldError{Field: c.field(n, n.path), Err: err}
		c.s.Failf("%w", err) // where s is a copy, the original must stop too
	}
}
