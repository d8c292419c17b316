package strictyaml

import (
	"strconv"
	"strings"
)

// path says where a value lies in the document; nil is the document itself. It is spelt out only for what is told: on a long list
// that would be slow.
type path struct {
	parent  *path
	name    string // of a key
	index   int    // of a list entry
	isIndex bool
}

func (p *path) key(name string) *path { return &path{parent: p, name: name} }
func (p *path) entry(i int) *path     { return &path{parent: p, index: i, isIndex: true} }

// String returns the path as Doc.At takes it, but for very long keys, which are cut.
func (p *path) String() string {
	if p == nil {
		return ""
	}
	parent := p.parent.String()
	switch {
	case p.isIndex:
		return parent + "[" + strconv.Itoa(p.index) + "]"
	case !plainKey(p.name):
		return parent + "[" + quote(p.name) + "]"
	case parent == "":
		return p.name
	default:
		return parent + "." + p.name
	}
}

func plainKey(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && c != '_' && (c < '0' || '9' < c) && (c|0x20 < 'a' || 'z' < c|0x20) {
			return false
		}
	}
	return s != "" && len(s) <= maxShown
}

// find returns the node at path, or the nearest one around it.
func (d *Doc) find(path string) *node {
	n := d.root
	for path != "" {
		var next *node
		next, path = n.step(path)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// step follows the first step of path from n and returns what is left of the path. The node is nil where there is no such value.
func (n *node) step(path string) (next *node, rest string) {
	inner, isIndex := strings.CutPrefix(path, "[")
	if !isIndex {
		path = strings.TrimPrefix(path, ".")
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		return n.get(path[:end]), path[end:]
	}
	if quoted, err := strconv.QuotedPrefix(inner); err == nil {
		key, _ := strconv.Unquote(quoted)
		return n.get(key), strings.TrimPrefix(inner[len(quoted):], "]")
	}
	number, rest, _ := strings.Cut(inner, "]")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(n.items) {
		return nil, rest
	}
	return n.items[i], rest
}

// maxShown is how many bytes of a value or key a message shows.
const maxShown = 60

// quote returns s in quotes, cut to a length that fits a message.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.Quote(strings.ToValidUTF8(s[:maxShown], "") + "...")
	}
	return strconv.Quote(s)
}
