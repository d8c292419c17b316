package shadow

import (
	"slices"
	"strconv"

	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/payload"
)

// kind is what a JSON value is.
type kind uint8

const (
	null kind = iota
	truth
	number
	text
	array
	object
)

// node is a JSON value.
type node struct {
	kind   kind
	text   string // of a text what it says; of a number or a truth as it is written
	number float64
	items  []node   // of an array, or an object's values
	keys   []string // of an object, in order; its values are the items
}

// mostNodes bounds the values of a JSON text: as nodes they take far more room than as text.
const mostNodes = 100_000

// parse reads a JSON text. NaN and the infinities count as numbers, as Python writes them. An object with a key twice is no JSON here: which
// of the two values holds is anybody's guess. Nor is a text of more than mostNodes values.
func parse(b []byte) (*node, bool) {
	r := reader{Scanner: jsonscan.New(b).AllowNonFinite()}
	n := r.read()
	r.End()
	return &n, r.Err() == nil
}

// reader makes nodes of a JSON text.
type reader struct {
	*jsonscan.Scanner
	nodes int
}

func (s *reader) read() (n node) {
	if s.nodes++; s.nodes > mostNodes {
		s.Failf("more than %d values", mostNodes)
		return n
	}
	switch s.Peek() {
	case jsonscan.Null:
		s.Null()
	case jsonscan.Bool:
		n.kind, n.text = truth, strconv.FormatBool(s.Bool())
	case jsonscan.Number:
		n.kind, n.text = number, string(s.Raw())
		n.number, _ = strconv.ParseFloat(n.text, 64) // one beyond all bounds is an infinity
	case jsonscan.String:
		n.kind, n.text = text, string(s.Bytes())
	case jsonscan.Array:
		n.kind = array
		s.Array()
		for s.Next() {
			n.items = append(n.items, s.read())
		}
	case jsonscan.Object:
		n.kind = object
		s.readMembers(&n)
	default:
		s.Skip() // which tells what is wrong
	}
	return n
}

func (s *reader) readMembers(n *node) {
	type member struct {
		key   string
		value node
	}
	var all []member
	s.Object()
	for s.Next() {
		key := string(s.Key())
		all = append(all, member{key, s.read()})
	}
	slices.SortFunc(all, func(a, b member) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	for i, m := range all {
		if i > 0 && m.key == all[i-1].key {
			s.Failf("the key %.40q is there twice", m.key)
		}
		n.keys, n.items = append(n.keys, m.key), append(n.items, m.value)
	}
}

// texts returns what the path leads to, in the order of the text, each value as a text.
func texts(n *node, path payload.Path) (all []string) {
	if path.Ends(n.kind == array) {
		return n.appendTexts(nil)
	}
	for i := range n.items {
		rest, on := path.Element(i)
		if n.kind == object {
			rest, on = path.Member(n.keys[i])
		}
		if on {
			all = append(all, texts(&n.items[i], rest)...)
		}
	}
	return all
}

// appendTexts appends a value as a text, and of a list each element's. Of an object there is none, nor of a null.
func (n *node) appendTexts(all []string) []string {
	switch n.kind {
	case truth, number, text:
		return append(all, n.text)
	case array:
		for i := range n.items {
			all = n.items[i].appendTexts(all)
		}
	case null, object:
	}
	return all
}

// walk compares two JSON values.
type walk struct {
	comparer *Comparer
	result   *Result
	at       []byte // the place, as a path
}

// compare compares two values, but for what ignore leads to.
func (w *walk) compare(p, s *node, ignore []payload.Path) {
	for _, path := range ignore {
		if path.Ends(p.kind == array) {
			return
		}
	}
	if p.kind != s.kind {
		w.part("")
		return
	}
	switch p.kind {
	case number:
		if !w.comparer.near(w.result, p.number, s.number) || w.comparer.rule.By == ByExact && p.text != s.text {
			w.part("")
		}
	case truth, text:
		if p.text != s.text {
			w.part("")
		}
	case array:
		w.compareArrays(p, s, ignore)
	case object:
		w.compareObjects(p, s, ignore)
	case null:
	}
}

func (w *walk) compareArrays(p, s *node, ignore []payload.Path) {
	if len(p.items) != len(s.items) {
		w.part(": " + strconv.Itoa(len(p.items)) + " elements, and of the shadow " + strconv.Itoa(len(s.items)))
		return
	}
	rest := make([]payload.Path, 0, len(ignore))
	for i := range p.items {
		rest = rest[:0]
		for _, path := range ignore {
			if next, on := path.Element(i); on {
				rest = append(rest, next)
			}
		}
		was := len(w.at)
		w.at = append(strconv.AppendInt(append(w.at, '['), int64(i), 10), ']')
		w.compare(&p.items[i], &s.items[i], rest)
		w.at = w.at[:was]
	}
}

// compareObjects walks along the keys of both, which are in order.
func (w *walk) compareObjects(p, s *node, ignore []payload.Path) {
	for i, j := 0, 0; i < len(p.keys) || j < len(s.keys); {
		inPrimary := i < len(p.keys) && (j == len(s.keys) || p.keys[i] <= s.keys[j])
		inShadow := j < len(s.keys) && (i == len(p.keys) || s.keys[j] <= p.keys[i])
		var key string
		if inPrimary {
			key = p.keys[i]
		} else {
			key = s.keys[j]
		}
		var rest []payload.Path
		for _, path := range ignore {
			if next, on := path.Member(key); on {
				rest = append(rest, next)
			}
		}
		was := len(w.at)
		if was > 0 {
			w.at = append(w.at, '.')
		}
		w.at = append(w.at, key...)
		switch {
		case inPrimary && inShadow:
			w.compare(&p.items[i], &s.items[j], rest)
		case !slices.ContainsFunc(rest, func(path payload.Path) bool { return path.Ends(false) }):
			w.part(map[bool]string{true: " is missing in the shadow's answer", false: " is in the shadow's answer alone"}[inPrimary])
		}
		w.at = w.at[:was]
		if inPrimary {
			i++
		}
		if inShadow {
			j++
		}
	}
}

// part notes where the answers part.
func (w *walk) part(what string) {
	if w.result.Verdict == Disagree {
		return
	}
	at := string(w.at)
	if at == "" {
		at = "the answer"
	}
	w.result.part(at + what)
}
