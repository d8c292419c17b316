package strictyaml

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
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
	at     int    // the offset where it begins
	text   string // of a scalar, or of a null that is written out
	quoted bool   // the scalar is text, whatever it looks like
	items  []*node
	keys   []key
}

type key struct {
	name  string
	at    int
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

// builder makes nodes of the parser's tree.
type builder struct {
	*problems
	spans map[*token.Token]span
}

func (b *builder) document(file *ast.File) *node {
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return &node{kind: null}
	}
	root := b.node(file.Docs[0].Body, nil, 0)
	if root.kind == scalar || root.kind == list {
		b.add(root.at, "", fmt.Sprintf("found %s, want a mapping", root.describe()), `write "key: value" lines`)
		return nil
	}
	return root
}

// node makes a node of n, which is at p. A value that is left out is told of at the offset of what it is left out from.
func (b *builder) node(n ast.Node, p *path, owner int) *node {
	at, source := owner, ""
	if n != nil {
		if s, ok := b.spans[n.GetToken()]; ok {
			at, source = s.from, b.text.src[s.from:s.to]
		}
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return &node{kind: null, at: at, text: source}
	case *ast.MappingNode:
		return b.object(n, p, at)
	case *ast.SequenceNode:
		return b.list(n, p, at)
	case *ast.StringNode:
		if quoted(n.Token.Type) {
			return &node{kind: scalar, at: at, text: n.Value, quoted: true}
		}
		return &node{kind: scalar, at: at, text: source}
	case *ast.LiteralNode:
		rest := b.text.src[max(at, b.spans[n.Value.Token].to):]
		if strings.Trim(n.Value.Value, blanks) == "" {
			b.tell(at, p, "a block without text", `write "" for an empty text`)
		} else if strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "\t") { // the scanner may lose them
			b.tell(len(b.text.src)-len(rest), p, "blanks at the end of a block of text", "remove them, or write the text in quotes")
		}
		return &node{kind: scalar, at: at, text: n.Value.Value, quoted: true}
	case *ast.AnchorNode:
		b.tell(at, p, "anchors (&) are not supported", "remove it, and write the value out wherever it is needed")
		return b.node(n.Value, p, at)
	case *ast.TagNode:
		b.tell(at, p, "tags (!) are not supported", "remove it; put text in quotes")
		return b.node(n.Value, p, at)
	case *ast.AliasNode:
		b.tell(at, p, "aliases (*) are not supported", "write the value out, or put text that begins with * in quotes")
		return &node{kind: missing, at: at}
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode, *ast.MergeKeyNode:
		return &node{kind: scalar, at: at, text: source}
	default:
		b.tell(at, p, fmt.Sprintf("%s is not supported here", strings.ToLower(n.Type().YAMLName())), "")
		return &node{kind: missing, at: at}
	}
}

func (b *builder) list(n *ast.SequenceNode, p *path, at int) *node {
	out := &node{kind: list, at: at, items: make([]*node, len(n.Values))}
	for i, value := range n.Values {
		item := b.node(value, p.entry(i), at)
		if n.IsFlowStyle && item.kind == object && b.text.src[item.at] != '{' {
			b.tell(item.at, p.entry(i), "a key inside [ ]", `write {key: value}, or put the text in quotes`)
		} else if !n.IsFlowStyle && i < len(n.Entries) {
			b.indented(item, b.spans[n.Entries[i].Start].from, p.entry(i))
		}
		out.items[i] = item
	}
	return out
}

// indented refuses a value on a later line than its key or "-" that is not to the right of it; the parser takes it. The list of
// a key may begin below the key.
func (b *builder) indented(n *node, owner int, p *path) {
	if n.kind == null && n.text == "" || n.kind == missing || !strings.ContainsAny(b.text.src[owner:n.at], "\r\n") {
		return
	}
	has, needs := len(b.text.lead(n.at)), len(b.text.lead(owner))+1
	if n.kind == list && b.text.src[owner] != '-' && b.text.src[n.at] == '-' {
		needs--
	}
	if has < needs {
		b.tell(n.at, p, "this value is not indented", "indent it under its key")
	}
}

func (b *builder) object(n *ast.MappingNode, p *path, at int) *node {
	out := &node{kind: object, at: at, keys: make([]key, 0, len(n.Values))}
	first := make(map[string]int, len(n.Values))
	for _, pair := range n.Values {
		k := b.node(pair.Key, p, at)
		name := k.text
		switch {
		case k.kind == missing:
			continue
		case pair.Key.IsMergeKey():
			b.tell(k.at, p, "merge keys (<<) are not supported", "write the keys out")
			continue
		case k.kind != scalar || !k.quoted && shape(k.text) != shapeText:
			b.tell(k.at, p, fmt.Sprintf("the key %s is no text", k.describe()), "put it in quotes")
			continue
		}
		if before, twice := first[name]; twice {
			line, _ := b.text.at(before)
			b.tell(k.at, p.key(name), fmt.Sprintf("the key is given twice, first on line %d", line), "remove one")
			continue
		}
		first[name] = k.at
		value := b.node(pair.Value, p.key(name), k.at)
		if !n.IsFlowStyle {
			b.indented(value, k.at, p.key(name))
		} else if value.kind == object && b.text.src[value.at] != '{' {
			b.tell(value.at, p.key(name), "a second key inside { }", "write {key: value}, or put the text in quotes")
		}
		out.keys = append(out.keys, key{name, k.at, value})
	}
	if len(out.keys) > 0 && b.text.src[at] != '{' {
		out.at = out.keys[0].at // the parser says where the first ":" is
	}
	return out
}
