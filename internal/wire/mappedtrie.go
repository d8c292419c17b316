package wire

import (
	"github.com/serin-ml/serin/internal/fault"
)

// trie is what of a body is read: the paths of all fields, so that one pass finds them.
type trie struct {
	body  *node
	row   *node // the root of a row; the body's own where it is one row
	nodes int
}

// node is one place in a body. What it is read as follows from what is below it.
type node struct {
	id      int
	path    string // from the body, or from the row
	once    bool   // outside the rows
	rows    bool   // the list of the rows
	targets []int  // what the value itself fills
	key     string // of the object that holds it
	fields  map[string]*node
	order   []*node // the fields, as they were added
	items   map[int]*node
}

// newTrie makes a trie that reads nothing yet but the list of the rows, if there is one.
func newTrie(rows []step, hasRows bool) *trie {
	t := &trie{}
	t.body = t.node("", hasRows)
	t.row = t.body
	if !hasRows {
		return t
	}
	n := t.body
	for _, s := range rows {
		n, _ = t.below(n, s) // the first path cannot contradict another
	}
	n.rows = true
	t.row = t.node("", false)
	return t
}

func (t *trie) node(path string, once bool) *node {
	t.nodes++
	return &node{id: t.nodes - 1, path: path, once: once}
}

// below returns the node a step below n, a new one if there is none.
func (t *trie) below(n *node, s step) (*node, error) {
	if s.isIndex && n.fields != nil || !s.isIndex && n.items != nil {
		return nil, fault.Invalidf("%q is read as a list by one field and as an object by another", n.path).WithHint("mend one of the paths")
	}
	if s.isIndex {
		if n.items == nil {
			n.items = map[int]*node{}
		}
		if n.items[s.index] == nil {
			n.items[s.index] = t.node(appendStep(n.path, s), n.once)
		}
		return n.items[s.index], nil
	}
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	if n.fields[s.key] == nil {
		one := t.node(appendStep(n.path, s), n.once)
		one.key = s.key
		n.fields[s.key] = one
		n.order = append(n.order, one)
	}
	return n.fields[s.key], nil
}

// add makes the trie read a field, and returns its node.
func (t *trie) add(src *source) (*node, error) {
	n := t.row
	if src.once {
		n = t.body
	}
	for i := 0; ; i++ {
		if n.rows {
			return nil, fault.Invalidf("%q is the list of the rows, or in it", src.text).
				WithHint("name the field as it is in a row, without body:")
		}
		if i == len(src.path) {
			return n, nil
		}
		var err error
		if n, err = t.below(n, src.path[i]); err != nil {
			return nil, err
		}
	}
}
