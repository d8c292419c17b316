package strictyaml

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

type kind uint8

const (
	missing kind = iota // refused, and told of already
	null
	scalar
	list
	object
)

// node is a value of the document.
type node struct {
	kind   kind
	at     place
	text   string // of a scalar, or of a null that is written out
	quoted bool   // the scalar is text, whatever it looks like
	items  []*node
	keys   []key
}

type key struct {
	name  string
	at    place
	value *node
}

// get returns the value of a key, nil if there is none.
func (n *node) get(name string) *node {
	for i := range n.keys {
		if n.keys[i].name == name {
			return n.keys[i].value
		}
	}
	return nil
}

var (
	noAnchors = mistake{"anchors (&) are not supported", "remove it, and write the value out wherever it is needed"}
	noAliases = mistake{"aliases (*) are not supported", "write the value out, or put text that begins with * in quotes"}
	noTags    = mistake{"tags (!) are not supported", "remove it; put text in quotes"}
	noTabs    = mistake{"a tab outside of quotes", "use spaces"}
	noMarks   = mistake{`keys written with "?" are not supported`, `write "key: value"`}
	noEnd     = mistake{`the mark "..." is not supported`, "remove this line"}
)

// builder makes nodes of the parser's. It goes through the source beside them, for what they do not tell: marks and tabs between
// them, and where text goes on on another line.
type builder struct {
	*problems
	source source // what follows the nodes that are made
	lost   bool   // it is not clear where the last node ends: there is an anchor, say
}

// document makes the nodes of a document that ends at a place.
func (b *builder) document(doc *yaml.Node, end place) *node {
	root := &node{kind: null, at: place{1, 1}}
	if len(doc.Content) > 0 {
		root = b.node(doc.Content[0], nil, root.at)
	}
	if root.kind == scalar || root.kind == list {
		b.add(root.at, "", fmt.Sprintf("found %s, want a mapping", root.describe()), `write "key: value" lines`)
		return nil
	}
	b.gap(end)
	return root
}

// refused are the characters that may not stand between nodes.
var refused = map[byte]mistake{'\t': noTabs, '?': noMarks, '.': noEnd}

// gap goes on to a place, and tells of the first character on the way that is not supported.
func (b *builder) gap(end place) {
	s := &b.source
	for !b.lost && s.text != "" && s.at.compare(end) < 0 {
		if m, bad := refused[s.text[0]]; bad {
			b.add(s.at, "", m.message, m.hint)
			break
		}
		if s.text[0] == '#' {
			s.skip(lineLen(s.text))
		} else {
			s.next()
		}
	}
	s.to(end)
	b.lost = s.at != end
}

// node makes a node of n, which is at p. A value that is left out is told of at the place of what it is left out from.
func (b *builder) node(n *yaml.Node, p *path, owner place) *node {
	at := place{n.Line, n.Column}
	if n.Tag == "!!null" && n.Value == "" && n.Style == 0 && n.Anchor == "" {
		return &node{kind: null, at: owner}
	}
	b.gap(at)
	if n.Anchor != "" {
		b.refuse(at, p, noAnchors)
	}
	if n.Style&yaml.TaggedStyle != 0 || n.Tag == "!" {
		b.refuse(at, p, noTags)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return b.object(n, p, at)
	case yaml.SequenceNode:
		out := &node{kind: list, at: at, items: make([]*node, len(n.Content))}
		for i, item := range n.Content {
			out.items[i] = b.node(item, p.entry(i), at)
		}
		return out
	case yaml.AliasNode:
		b.refuse(at, p, noAliases)
		return &node{at: at}
	default:
		return b.scalar(n, p, at)
	}
}

// refuse tells a mistake after which it is not clear where the node ends.
func (b *builder) refuse(at place, p *path, m mistake) {
	b.tell(at, p, m.message, m.hint)
	b.lost = true
}

const quotes = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle

// scalar makes a node of text that lies on one line or in a block, and refuses other.
func (b *builder) scalar(n *yaml.Node, p *path, at place) *node {
	out := &node{kind: scalar, at: at, text: n.Value, quoted: n.Style&^yaml.TaggedStyle != 0}
	if !out.quoted && n.Tag == "!!null" {
		out.kind = null
	}
	s := &b.source
	switch {
	case b.lost:
	case n.Style&quotes != 0:
		end := quotedLen(s.text)
		if strings.ContainsAny(s.text[:end], breaks) {
			b.add(at, "", "the text in quotes goes on on the next line", "close the quotes; write text of several lines in a block (|)")
			out.kind = missing
		}
		s.skip(end)
	case out.quoted && strings.Trim(n.Value, blanks) == "":
		b.refuse(at, p, mistake{"a block without text", `write "" for an empty text`})
	case out.quoted:
		end, ok := blockLen(s.text)
		s.skip(end)
		b.lost = !ok
	case !strings.HasPrefix(s.text, n.Value):
		// The parser has put a blank where the line ends.
		s.skip(lineLen(s.text))
		s.skip(len(s.text) - len(strings.TrimLeft(s.text, blanks)))
		b.add(s.at, "", "this continues the text of the line above",
			`a ":" or "-" may be missing, or the indentation is wrong; put text of several lines in a block (|)`)
		out.kind, b.lost = missing, true
	default:
		before, _, tab := strings.Cut(n.Value, "\t")
		s.skip(len(before))
		if tab {
			b.add(s.at, "", noTabs.message, noTabs.hint)
		}
		s.skip(len(n.Value) - len(before))
	}
	return out
}

func (b *builder) object(n *yaml.Node, p *path, at place) *node {
	flow := n.Style&yaml.FlowStyle != 0
	if flow && !b.lost && !strings.HasPrefix(b.source.text, "{") {
		b.tell(at, p, "a key inside [ ]", `write {key: value}, or put the text in quotes`)
	}
	out := &node{kind: object, at: at, keys: make([]key, 0, len(n.Content)/2)}
	first := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		k := b.node(n.Content[i], p, at)
		name := k.text
		if flow && k.kind == scalar && !b.lost && !strings.HasPrefix(strings.TrimLeft(b.source.text, blanks), ":") {
			b.add(k.at, "", `no ":" and blank after this key`, `write "key: value"`)
		}
		value := b.node(n.Content[i+1], p.key(name), k.at)
		line, twice := first[name]
		switch {
		case k.kind == missing:
		case name == "<<" && !k.quoted:
			b.tell(k.at, p, "merge keys (<<) are not supported", "write the keys out")
		case k.kind != scalar || !k.quoted && shape(name) != shapeText:
			b.tell(k.at, p, fmt.Sprintf("the key %s is no text", k.describe()), "put it in quotes")
		case twice:
			b.tell(k.at, p.key(name), fmt.Sprintf("the key is given twice, first on line %d", line), "remove one")
		default:
			if len(name) > MaxKey {
				b.add(k.at, "", fmt.Sprintf("a key of more than %d bytes", MaxKey), "shorten it")
			}
			first[name] = k.at.line
			out.keys = append(out.keys, key{name, k.at, value})
		}
	}
	return out
}
