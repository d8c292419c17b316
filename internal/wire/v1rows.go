package wire

import (
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// rowsCall is a request of a protocol that sends rows, or columns, rather than tensors: what V1 and MLflow have in common.
type rowsCall struct {
	reading
	limits  Limits
	size    int // of the body
	request tensor.Request
	single  [1]tensor.Tensor
}

func (c *rowsCall) begin(body []byte, signature tensor.Signature, l Limits) {
	c.start(body, signature)
	c.limits, c.size = l.orDefault(), len(body)
}

// Request returns what is asked.
func (c *rowsCall) Request() *tensor.Request { return &c.request }

// rows returns how many rows the request has, once it is read.
func (c *rowsCall) rows() int { return c.request.Inputs[0].Rows() }

// instances reads a list of rows: lists in the model's order, objects by name, or bare values for a model of one column.
func (c *rowsCall) instances(key string) {
	if kind := c.s.Peek(); kind != jsonscan.Array {
		c.notList(key, kind)
		return
	}
	at := c.s // the scanner is a value: a copy of it looks ahead
	at.Array()
	some := at.Next()
	first := at.Peek()
	inner := jsonscan.None
	if first == jsonscan.Array {
		if at.Array(); at.Next() {
			inner = at.Peek()
		}
	}
	switch binary := c.isB64(&at); {
	case at.Err() != nil && first == jsonscan.None:
		c.s.Skip() // which says what is wrong
	case !some:
		c.fail(fault.Invalidf("%q holds no rows; send at least one", key))
	case (first == jsonscan.Object || inner == jsonscan.Object) && !binary, len(c.signature.Inputs) != 1:
		c.table(key)
	default:
		c.lists(key)
	}
}

// isB64 tells whether what comes at s is a value {"b64": ...} of the model's only input rather than a row.
func (c *rowsCall) isB64(s *jsonscan.Scanner) bool {
	in := c.signature.Inputs
	return s.Peek() == jsonscan.Object && len(in) == 1 && in[0].DType == tensor.Bytes && startsB64(*s)
}

func (c *rowsCall) notList(key string, kind jsonscan.Kind) {
	if kind == jsonscan.None {
		c.s.Skip() // which says what is wrong
		return
	}
	c.fail(fault.Invalidf("%q is %s; it should be a list of rows", key, describeKind(kind)))
}

// lists reads rows of the model's only input, as lists of equal lengths.
func (c *rowsCall) lists(key string) {
	t, ok := c.tensor(key, &c.signature.Inputs[0], c.limits.Elements)
	if !ok {
		return
	}
	if rows := t.Rows(); rows > c.limits.Rows {
		c.fail(fault.Invalidf("%q holds %d rows; a request may have %d", key, rows, c.limits.Rows))
		return
	}
	c.single[0] = t
	c.request.Inputs = c.single[:]
}

// tensor reads a value into an input: lists within lists, or a bare value.
func (c *rowsCall) tensor(what string, spec *tensor.Spec, most int) (tensor.Tensor, bool) {
	a := &c.array
	*a = array{s: &c.s, size: c.size, rows: c.limits.Rows, max: most, plain: true}
	hint := 1
	if n, err := tensor.Elements(spec.Shape[min(1, len(spec.Shape)):]); err == nil {
		hint = n
	}
	a.unshaped(hint)
	data := a.data(spec.DType)
	if err := c.s.Err(); err != nil {
		if c.err == nil {
			c.err = a.wrap(err, what)
		}
		return tensor.Tensor{}, false
	}
	shape, why := fitRows(a.shape(), spec.Shape)
	if why != nil {
		c.fail(fault.Invalidf("%s: %w", what, why))
		return tensor.Tensor{}, false
	}
	return tensor.Tensor{Name: spec.Name, Shape: shape, Data: data}, true
}

// fitRows gives rows of one value the rank that the model has, and refuses others of another rank: a list of values is not one row, for it
// would be answered with one prediction where one for each value is meant.
func fitRows(got, want []int) ([]int, error) {
	one := func(shape []int) bool {
		for _, d := range shape[1:] {
			if d != 1 && d != -1 {
				return false
			}
		}
		return true
	}
	switch {
	case got[0] == 0:
		return nil, fault.Invalidf("it holds no rows; send at least one")
	case len(got) == len(want):
		return got, nil
	case len(want) == 0:
		return nil, fault.Invalidf("it holds rows; the model takes a single value")
	case len(got) == 1 && one(want):
		shape := []int{got[0]}
		for range want[1:] {
			shape = append(shape, 1)
		}
		return shape, nil
	case len(want) == 1 && one(got):
		return got[:1], nil
	}
	return nil, fault.Invalidf("it has the shape %v; the model takes %v (-1: any number)", got, want).WithHint("send a list of rows, even for one row")
}

// table reads rows of any form for any model.
func (c *rowsCall) table(key string) {
	t, err := newRowTable(key, c.signature, c.limits)
	if err != nil {
		c.fail(err)
		return
	}
	s := &c.s
	s.Array()
	for s.Next() {
		if err := t.begin(); err != nil {
			c.fail(err)
			return
		}
		c.row(t)
		if s.Err() == nil {
			if err := t.end(); err != nil {
				c.fail(err)
			}
		}
	}
	c.take(t)
}

// take makes the request of what t has gathered.
func (c *rowsCall) take(t *rowTable) {
	switch {
	case c.s.Err() != nil:
	case t.rows == 0:
		c.fail(fault.Invalidf("%s holds no rows; send at least one", t.what))
	default:
		c.request.Inputs = t.tensors()
	}
}

// row reads a row: an object, a list of objects that together name its values, a list of values, or a bare value.
func (c *rowsCall) row(t *rowTable) {
	s := &c.s
	switch kind := s.Peek(); kind {
	case jsonscan.None:
		s.Skip() // which says what is wrong
	case jsonscan.Object:
		if at := *s; len(t.targets) == 1 && t.inputs[0].cell.kind == textCells && startsB64(at) {
			c.values(t, nil)
			return
		}
		c.object(t)
	case jsonscan.Array:
		at := *s
		if at.Array(); at.Next() && at.Peek() == jsonscan.Object && !c.isB64(&at) {
			s.Array()
			for s.Next() {
				c.object(t)
			}
			return
		}
		c.values(t, nil)
	default:
		c.values(t, nil)
	}
}

// object reads values by name.
func (c *rowsCall) object(t *rowTable) {
	s := &c.s
	start := c.s
	if kind := s.Peek(); kind != jsonscan.Object {
		c.at(t, "", fault.Invalidf("is %s where an object should be", describeKind(kind)))
		return
	}
	next := 0 // the columns in the model's order, which may well be the request's
	s.Object()
	for s.Next() {
		key := s.Key()
		at := next
		if next < len(t.targets) && t.byName == nil && t.targets[next].column == string(key) {
			next++
		} else if at = c.find(t, string(key), start); s.Err() != nil {
			return
		}
		if err := t.fill(s, at); err != nil || s.Err() != nil {
			c.at(t, t.label(at), err)
			return
		}
	}
}

// find returns what a name in the object that begins at start stands for, or fails.
func (c *rowsCall) find(t *rowTable, name string, start jsonscan.Scanner) int {
	at, known := t.find(name)
	if !known && c.s.Err() == nil {
		c.learn(t, start)
		if at, known = t.find(name); !known && c.s.Err() == nil {
			c.at(t, name, fault.Invalidf("is unknown to the model"))
		}
	}
	return at
}

// learn looks at all names of an object, from its start on, for what they may mean to a model that knows none of them.
func (c *rowsCall) learn(t *rowTable, s jsonscan.Scanner) {
	var names []string
	s.Object()
	for s.Next() {
		if len(names) == t.most() {
			c.fail(fault.Invalidf("%s has more than %d names", t.place(""), len(names)))
			return
		}
		names = append(names, string(s.Key()))
		s.Skip()
	}
	if s.Err() != nil {
		c.s = s // it stands where the error is
		return
	}
	order, err := t.order(names, false)
	if err != nil {
		c.fail(fault.Invalidf("%s: %w", t.place(""), err))
		return
	}
	for i, name := range names {
		t.byName[name] = order[i]
	}
}

// at records an error about a field of the present row: err, or what is wrong with the JSON there.
func (c *rowsCall) at(t *rowTable, field string, err error) {
	if err == nil {
		err = fault.Invalidf("cannot be read: %w", c.s.Err())
	}
	if c.err == nil {
		c.err = &FieldError{t.place(field), err}
		c.s.Failf("%w", err)
	}
}

// values reads a row of values in the given order, or in the model's where it is nil.
func (c *rowsCall) values(t *rowTable, order []int) {
	s := &c.s
	want := len(t.targets)
	if order != nil {
		want = len(order)
	}
	if s.Peek() != jsonscan.Array {
		if want != 1 {
			c.at(t, "", fault.Invalidf("is %s where a row of %d values should be", describeKind(s.Peek()), want))
		} else if err := t.read(s, 0); err != nil || s.Err() != nil {
			c.at(t, "", err)
		}
		return
	}
	n := 0
	s.Array()
	for s.Next() {
		at := n
		switch n++; {
		case n > want:
			s.Skip() // it is counted below
			continue
		case order != nil:
			at = order[n-1]
		}
		if err := t.fill(s, at); err != nil || s.Err() != nil {
			c.at(t, "["+strconv.Itoa(n-1)+"]", err)
			return
		}
	}
	if s.Err() == nil && n != want {
		c.at(t, "", fault.Invalidf("has %d values; %d are needed", n, want))
	}
}
