package strictyaml

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	oracle "go.yaml.in/yaml/v4"
)

// TestWhatIsReadIsWhatAnotherParserReads compares with a parser of another family (a port of libyaml): whatever this package
// takes, that one must take too, with the same values at the same places.
func TestWhatIsReadIsWhatAnotherParserReads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 80000 {
		text := begins[rng.IntN(len(begins))]
		pieces := [][]string{fragments, lines}[rng.IntN(2)]
		for range 1 + rng.IntN(8) {
			text += pieces[rng.IntN(len(pieces))]
		}
		ok, err := agree(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if ok {
			taken++
		}
	}
	if taken < 5000 {
		t.Errorf("only %d texts were taken: the comparison says little", taken)
	}
}

var begins = []string{"", "", "p: 1\nq:\n  r: ", "- a: b\n  ", "{k: "}

// lines make texts that are mostly right, fragments texts that are mostly wrong.
var lines = []string{
	"services:\n", "  - name: a\n", "    variants:\n", "      - model: x\n", "    timeout: 1s # c\n", "\n", "# c\n", "   # c\n",
	"server: {http: \":80\", grpc: 'x'}\n", "server:\n", "  http: \":8080\"\n", "  drain: 5s\n", "k: |\n", "k: >-\n", "  text: a # b\n",
	"  text\n", "\n  text  \n", "list: [1, 2,\n", "  3, 4]\n", "  [a, b]\n", "k: [\n", "]\n", "{a: b,\n", "c: d}\n", "- x\n", "- - x\n",
	"    - y\n", "k: \"a\\nb\"\r\n", "  'it''s': 1\n", "k : v\n", "k:  v  \n", "\"k\": v\n", "k:\n", "  - \n", "- a: 1\n  b: 2\n",
	"- a:\n    - b\n", "é: ü\n", "url: http://x:80/y?z=1#f\n", "m: {a: {b: [1, {c: d}]}, e: }\n",
}

var fragments = []string{
	"a", "b: ", "b:", "- ", "-", "\n", "\n", "\n", "\n  ", "\n  ", "\n    ", " ", "  ", "\t", "{", "}", "[", "]", ", ", ",", ": ",
	"'", "\"", "# c", "#", " # x", " |\n", " >\n", " |-\n", " >+\n", "1", "1.5", "1e3", "0x1", "true", "null", "~", "x y", "\\n", "é",
	"k: v", "k: v", "k: v\n", "k2: [1, 2]\n", "http://x", "''", "\"q\"", "'q'", "1s", "16MiB", "a:b", "-1", "+1", "01", "1_000",
	"x: {a: b}", "&a ", "*a", "!!str ", "!", "---\n", "...", "\r\n", "? ", "<<: ", "%", "@", "`", "\\", "\"\\u00e9\\x41\"", "\n   x\n",
}

// agree compares what this package and the oracle make of text, and tells whether there was something to compare.
func agree(text string) (taken bool, err error) {
	p := &problems{text: newText(text)}
	ours := read(p)
	if ours == nil || len(p.found) > 0 {
		return false, nil
	}
	var doc oracle.Node
	if err := oracle.Unmarshal([]byte(text), &doc); err != nil {
		return true, fmt.Errorf("we take what the oracle refuses: %w", err)
	}
	if doc.Kind == 0 {
		if ours.kind != null {
			return true, errors.New("the oracle sees nothing")
		}
		return true, nil
	}
	return true, same(p.text, ours, doc.Content[0])
}

func same(t *text, n *node, o *oracle.Node) error {
	line, column := t.at(n.at)
	differ := fmt.Errorf("at %d:%d: %s %q; the oracle has %s %q at %d:%d",
		line, column, n.describe(), n.text, o.ShortTag(), o.Value, o.Line, o.Column)
	block := o.Style&(oracle.LiteralStyle|oracle.FoldedStyle) != 0
	if n.kind != null && !block && (line != o.Line || column != o.Column) {
		return differ
	}
	switch n.kind {
	case null:
		if o.ShortTag() != "!!null" {
			return differ
		}
	case scalar:
		if o.Kind != oracle.ScalarNode || n.text != o.Value || !sameType(n, o.ShortTag()) {
			return differ
		}
	case list:
		if o.Kind != oracle.SequenceNode || len(n.items) != len(o.Content) {
			return differ
		}
		for i, item := range n.items {
			if err := same(t, item, o.Content[i]); err != nil {
				return err
			}
		}
	case object:
		if o.Kind != oracle.MappingNode || 2*len(n.keys) != len(o.Content) {
			return differ
		}
		for i, k := range n.keys {
			quoted := o.Content[2*i].Style&(oracle.SingleQuotedStyle|oracle.DoubleQuotedStyle) != 0
			if err := same(t, &node{kind: scalar, at: k.at, text: k.name, quoted: quoted}, o.Content[2*i]); err != nil {
				return err
			}
			if err := same(t, k.value, o.Content[2*i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameType compares what a scalar is. The oracle reads some numbers of YAML 1.1 (0B1, 1_000) that are text in 1.2, and some the
// other way round; this package takes none of them for a number, so only plain decimals must agree.
func sameType(n *node, tag string) bool {
	decimal := finite.MatchString(n.text)
	switch tag {
	case "!!bool":
		return !n.quoted && shape(n.text) == shapeBool
	case "!!int", "!!float":
		return !n.quoted && (shape(n.text) == shapeNumber || !decimal)
	case "!!str", "!!timestamp", "!!merge":
		return n.quoted || shape(n.text) == shapeText || shape(n.text) == shapeNumber && !decimal
	default:
		return false
	}
}
