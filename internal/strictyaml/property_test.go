package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
)

// TestWhatIsWrittenIsRead writes random values with the encoder of another package, in any style that this package takes, and
// reads them back.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, written := anyValue(t, 0)
		root := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{plain("!!str", "a"), written}}
		text, err := yaml.Dump(root, yaml.WithLineWidth(-1), yaml.WithIndent(rapid.IntRange(2, 9).Draw(t, "indent")))
		if err != nil {
			t.Fatal(err)
		}
		var got anyDoc
		if err := Decode("", text, &got); err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if diff := cmp.Diff(want, got.A); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
		doc, err := Parse("", text)
		if err != nil {
			t.Fatal(err)
		}
		if err := pointsAtText(string(text), doc.root); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	})
}

// anyValue draws a value, and a node that stands for it.
func anyValue(t *rapid.T, depth int) (any, *yaml.Node) {
	kinds := []string{"null", "bool", "int", "float", "text", "text", "list", "object"}
	if depth == 4 {
		kinds = kinds[:6]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "null":
		return nil, plain("!!null", rapid.SampledFrom([]string{"null", "~"}).Draw(t, "null"))
	case "bool":
		v := rapid.Bool().Draw(t, "bool")
		return v, plain("!!bool", strconv.FormatBool(v))
	case "int":
		v := rapid.Int64().Draw(t, "int")
		return v, plain("!!int", strconv.FormatInt(v, 10))
	case "float":
		v := rapid.Float64().Draw(t, "float")
		return v, plain("!!float", strconv.FormatFloat(v, 'e', -1, 64))
	case "text":
		v := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("ab1 .:-?#&*!|>'\"%@`,[]{}\\~<\n\té")))).Draw(t, "text")
		return v, textNode(t, v)
	case "list":
		n, values := collection(t, yaml.SequenceNode), []any{}
		for range rapid.IntRange(0, 4).Draw(t, "len") {
			value, node := anyValue(t, depth+1)
			values, n.Content = append(values, value), append(n.Content, node)
		}
		return values, n
	default:
		n, values := collection(t, yaml.MappingNode), map[string]any{}
		oneLine := rapid.StringN(0, 10, MaxKey).Filter(func(s string) bool { return !strings.ContainsAny(s, newlines) })
		for _, name := range rapid.SliceOfNDistinct(oneLine, 0, 4, rapid.ID).Draw(t, "keys") {
			value, node := anyValue(t, depth+1)
			k := textNode(t, name)
			if k.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
				k.Style = yaml.DoubleQuotedStyle
			}
			if n.Style == 0 {
				k.HeadComment = rapid.SampledFrom([]string{"", "# a?\t...: '\""}).Draw(t, "comment")
			}
			values[name], n.Content = value, append(n.Content, k, node)
		}
		return values, n
	}
}

func collection(t *rapid.T, kind yaml.Kind) *yaml.Node {
	return &yaml.Node{Kind: kind, Style: rapid.SampledFrom([]yaml.Style{0, yaml.FlowStyle}).Draw(t, "style")}
}

func plain(tag, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

// newlines are what the encoder takes for such. It writes a key that holds one with "?".
const newlines = "\n\r\u0085\u2028\u2029"

// textNode makes a node of text in a random style that this package takes for it: the encoder writes text of several lines as such
// in quotes too, and does not know some of the numbers.
func textNode(t *rapid.T, text string) *yaml.Node {
	styles := []yaml.Style{yaml.DoubleQuotedStyle}
	if !strings.ContainsAny(text, newlines) {
		styles = append(styles, yaml.SingleQuotedStyle)
		if shape(text) == shapeText && !strings.Contains(text, "\t") {
			styles = append(styles, 0)
		}
	}
	if strings.TrimSpace(text) != "" && !strings.ContainsAny(text, strings.Trim(newlines, "\n")) {
		styles = append(styles, yaml.LiteralStyle, yaml.FoldedStyle)
	}
	n := plain("!!str", text)
	n.Style = rapid.SampledFrom(styles).Draw(t, "style")
	return n
}

// pointsAtText checks that the place of every value and key is that of its text.
func pointsAtText(text string, n *node) error {
	begins := []string{n.text}
	switch {
	case n.quoted:
		begins = []string{`"`, "'", "|", ">"}
	case n.kind == list:
		begins = []string{"[", "-"}
	case n.kind == object && len(n.keys) == 0:
		begins = []string{"{"}
	case n.kind == object:
		begins = []string{"{", `"`, "'", n.keys[0].name}
	}
	if err := pointsAt(text, n.at, begins); err != nil {
		return fmt.Errorf("%s: %w", n.describe(), err)
	}
	for _, item := range n.items {
		if err := pointsAtText(text, item); err != nil {
			return err
		}
	}
	for _, k := range n.keys {
		if err := pointsAt(text, k.at, []string{k.name, `"`, "'"}); err != nil {
			return fmt.Errorf("the key %q: %w", k.name, err)
		}
		if err := pointsAtText(text, k.value); err != nil {
			return err
		}
	}
	return nil
}

func pointsAt(text string, at place, begins []string) error {
	s := newSource(text)
	s.to(at)
	if s.at != at || !slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(s.text, begin) }) {
		return fmt.Errorf("%.20q is at %v, want one of %q", s.text, at, begins)
	}
	return nil
}

// FuzzDecode looks for panics, for problems that are not where the text is, and for values that are not.
func FuzzDecode(f *testing.F) {
	f.Add("name: x\nparts:\n  - {name: a, sizes: [1, 2]}\n  - name: |\n      b\n")
	f.Add("a: &x [1, *x]\n<<: !!str 'y'\n")
	f.Add("rows: [[1.5, null], []]\nfree: \"\\u00e9\" # c\n")
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := Parse("f.yaml", []byte(text))
		if err == nil && doc.Err() == nil {
			if err := pointsAtText(strings.TrimPrefix(text, "\uFEFF"), doc.root); err != nil {
				t.Error(err)
			}
		}
		if err == nil {
			err = doc.Decode(&sample{})
			doc.At("parts[0].sizes[1]")
		}
		var all *Problems
		if err == nil {
			return
		}
		if fault.KindOf(err) != fault.Invalid || !errors.As(err, &all) {
			t.Fatalf("got %v: %q", fault.KindOf(err), err)
		}
		for _, p := range all.List {
			at := place{p.Line, p.Column}
			if err := pointsAt(strings.TrimPrefix(text, "\uFEFF"), at, []string{""}); err != nil || p.Message == "" {
				t.Errorf("%s: %v", p, err)
			}
		}
	})
}
