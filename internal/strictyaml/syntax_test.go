package strictyaml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/serin-ml/serin/internal/fault"
)

// anyDoc takes every key that the tests of syntax use.
type anyDoc struct {
	A any `yaml:"a"`
	B any `yaml:"b"`
}

func TestWhatIsNotPlainYAMLIsRefused(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"tab as indentation":         {"a:\n\tb: 1\n", "2:1: a tab outside of quotes; use spaces"},
		"tab before a value":         {"a:\t1\n", "1:3: a tab outside of quotes; use spaces"},
		"tab before a comment":       {"a: 1\t# c\n", "1:5: a tab outside of quotes; use spaces"},
		"tab on a line of its own":   {"a: 1\n\t\n", "2:1: a tab outside of quotes; use spaces"},
		"tab after a CR":             {"a: 1\rb: x\ty\r", "2:5: a tab outside of quotes; use spaces"},
		"tab in brackets":            {"a: [x,\n\t1]\n", "2:1: a tab outside of quotes; use spaces"},
		"tab before a second line":   {"a: [x\n\ty]\n", "2:1: a tab outside of quotes; use spaces"},
		"tab in text":                {"a: x\ty\n", "1:5: a tab outside of quotes; use spaces"},
		"several documents":          {"a: 1\n---\nb: 2\n", "2:1: a second document begins here; keep one document a file"},
		"end of document":            {"a: 1\n...\n", "2:1: the mark \"...\" is not supported; remove this line"},
		"directive":                  {"%YAML 1.2\n---\na: 1\n", "1:1: YAML directives (%) are not supported; remove this line, or put the text in quotes"},
		"anchor and alias":           {"a: &x [1]\nb: *x\n", "1:4: a: anchors (&) are not supported; remove it, and write the value out wherever it is needed\n2:4: b: aliases (*) are not supported; write the value out, or put text that begins with * in quotes"},
		"billion laughs":             {"a: &a [x, x]\nb: &b [*a, *a]\n", "1:4: a: anchors (&) are not supported; remove it, and write the value out wherever it is needed\n2:4: b: anchors (&) are not supported; remove it, and write the value out wherever it is needed\n2:8: b[0]: aliases (*) are not supported; write the value out, or put text that begins with * in quotes\n2:12: b[1]: aliases (*) are not supported; write the value out, or put text that begins with * in quotes"},
		"merge key":                  {"a:\n  <<: {x: 1}\n", "2:3: a: merge keys (<<) are not supported; write the keys out"},
		"unknown alias":              {"a: *.csv\n", "1:4: aliases (*) are not supported; write the value out, or put text that begins with * in quotes"},
		"star":                       {"a: *\n", "1:4: aliases (*) are not supported; write the value out, or put text that begins with * in quotes"},
		"ampersand":                  {"a: &\n", "1:4: anchors (&) are not supported; remove it, and write the value out wherever it is needed"},
		"anchor of a key":            {"&x a: 1\n", "1:1: anchors (&) are not supported; remove it, and write the value out wherever it is needed"},
		"block after an anchor":      {"a:\n &x\n  - |\n   t\n  - 'q'\n", "2:2: a: anchors (&) are not supported; remove it, and write the value out wherever it is needed"},
		"mark after a block":         {"a: |\n  x\n\n? b\n: 1\n...\n", "4:1: keys written with \"?\" are not supported; write \"key: value\"\n6:1: the mark \"...\" is not supported; remove this line"},
		"anchor of nothing":          {"a: &x\nb: !!null\n", "1:4: a: anchors (&) are not supported; remove it, and write the value out wherever it is needed\n2:4: b: tags (!) are not supported; remove it; put text in quotes"},
		"tag of no use":              {"a: ! 1\n", "1:4: a: tags (!) are not supported; remove it; put text in quotes"},
		"tag without a name":         {"a: !<\n", "1:4: tags (!) are not supported; remove it; put text in quotes"},
		"tag of a handle":            {"a: !e!x 1\n", "1:4: tags (!) are not supported; remove it; put text in quotes"},
		"all after an anchor":        {"a: &x {c.d?: '.'}\nb: [x\ty]\n...\n", "1:4: a: anchors (&) are not supported; remove it, and write the value out wherever it is needed\n2:6: a tab outside of quotes; use spaces\n3:1: the mark \"...\" is not supported; remove this line"},
		"tag":                        {"a: !!str 1\n", "1:4: a: tags (!) are not supported; remove it; put text in quotes"},
		"unfinished tag":             {"a: 1\nb: !x", "2:4: b: tags (!) are not supported; remove it; put text in quotes"},
		"question mark":              {"? a\n: 1\n", "1:1: keys written with \"?\" are not supported; write \"key: value\""},
		"question mark in braces":    {"a: {? b : 1}\n", "1:5: keys written with \"?\" are not supported; write \"key: value\""},
		"question mark for a value":  {"a: ? b\n", "1:4: keys written with \"?\" are not supported; write \"key: value\""},
		"key that is a number":       {"a: {1: x, true: y, ~: z}\n", "1:5: a: the key the number 1 is no text; put it in quotes\n1:11: a: the key true is no text; put it in quotes\n1:20: a: the key nothing is no text; put it in quotes"},
		"text on two lines":          {"a: x\n  y\n", "2:3: this continues the text of the line above; a \":\" or \"-\" may be missing, or the indentation is wrong; put text of several lines in a block (|)"},
		"forgotten colon":            {"a: 1\nb 2\n", "2:1: this is neither a key nor part of the value above; write \"key: value\", or check the indentation"},
		"quoted text on two lines":   {"a: \"x\n  y\"\n", "1:4: the text in quotes goes on on the next line; close the quotes; write text of several lines in a block (|)"},
		"quote never closed":         {"a: \"x\nb: 1\n", "1:4: a quote is opened and never closed; close it on the same line"},
		"quoted text with wrong end": {"a: 'x\n  y'\nb: 'x''\n", "3:4: a quote is opened and never closed; close it on the same line"},
		"backslash":                  {"a: \"C:\\Users\"\n", "1:9: a \\ that begins no escape; write \\\\, or use single quotes"},
		"comment without a blank":    {"a: 'x'# c\n", "1:7: no blank before this comment; add one, or put the text in quotes"},
		"list on the key's line":     {"a: - b\n", "1:4: a \"-\" where no list can be; begin the list on the next line, or put the text in quotes"},
		"text and keys":              {"a: 1\n  b: 2\n", "2:4: a \":\" where no key can be; put text that holds \": \" in quotes, or check the indentation"},
		"text on two lines twice":    {"a: [x\n  y. ?, 'z']\nb: x\n\n  y\n", "2:3: this continues the text of the line above; a \":\" or \"-\" may be missing, or the indentation is wrong; put text of several lines in a block (|)\n5:3: this continues the text of the line above; a \":\" or \"-\" may be missing, or the indentation is wrong; put text of several lines in a block (|)"},
		"text after quotes":          {"a: \"x\" y\n", "1:8: this does not belong to anything; check the indentation, or put the text in quotes"},
		"second colon":               {"a: b: c\n", "1:5: a \":\" where no key can be; put text that holds \": \" in quotes, or check the indentation"},
		"second colon in braces":     {"a: {b: c: d}\n", "1:9: a second \":\" in one line; put the text in quotes"},
		"no blank after colon":       {"a: {b:c}\n", "1:5: no \":\" and blank after this key; write \"key: value\""},
		"no colon":                   {"a: {b c, d: 1}\n", "1:5: no \":\" and blank after this key; write \"key: value\""},
		"no key":                     {": 1\n", "1:1: the key nothing is no text; put it in quotes"},
		"bracket never closed":       {"a: [1, 2\n", "1:4: [ is opened and never closed; add ]"},
		"brace never closed":         {"a: {b: 1\n", "1:4: { is opened and never closed; add }"},
		"stray bracket":              {"a: ]\n", "1:4: ] closes nothing; remove it, or put the text in quotes"},
		"stray comma":                {"a: , b\n", "1:4: no value before this comma"},
		"comma too many":             {"a: [1,, 2]\n", "1:7: no value before this comma"},
		"comma missing":              {"a: [{b: 1} 2]\n", "1:12: a comma or ] is missing before this"},
		"brace after a bracket":      {"a: [1}\n", "1:6: a comma or ] is missing before this"},
		"stray brace":                {"a: }\n", "1:4: } closes nothing; remove it, or put the text in quotes"},
		"nothing in a bracket":       {"a: [1, [", "1:9: the text ends inside of brackets; add ] or }"},
		"colon in brackets":          {"a: [: : 1]", "1:7: a value is missing before this; put text that begins with a special character in quotes"},
		"percent":                    {"a: %x\n", "1:4: text may not begin with this character; put it in quotes"},
		"at sign":                    {"a: @x\n", "1:4: text may not begin with this character; put it in quotes"},
		"dash in brackets":           {"a: [- 1]\n", "1:5: \"-\" inside brackets; write [a, b], and text in quotes"},
		"key in brackets":            {"a: [b: 1]\n", "1:5: a[0]: a key inside [ ]; write {key: value}, or put the text in quotes"},
		"block in brackets":          {"a: [|\n  x\n]\n", "1:5: text may not begin with this character; put it in quotes"},
		"value not indented":         {"a:\nx\n", "2:1: this is neither a key nor part of the value above; write \"key: value\", or check the indentation"},
		"number not indented":        {"a:\n  b:\n  1\n", "3:3: this is neither a key nor part of the value above; write \"key: value\", or check the indentation"},
		"wrong indentation":          {"a:\n    b: 1\n   c: 2\n", "3:4: this does not belong to anything; check the indentation, or put the text in quotes"},
		"empty block":                {"a: |\nb: 1\n", "1:4: a: a block without text; write \"\" for an empty text"},
		"block without a line":       {"a: |x\n  y\n", "1:4: this begins no block of text; write | or >, or |- or >- without a newline at the end"},
		"a list":                     {"- 1\n", "1:1: found a list, want a mapping; write \"key: value\" lines"},
		"a scalar":                   {"x\n", "1:1: found the text \"x\", want a mapping; write \"key: value\" lines"},
		"no UTF-8":                   {"a: é\nb: \"\xff\"\n", "2:5: this byte is no UTF-8 text; save the file as UTF-8"},
		"control character":          {"a: \"é\x00\"\n", "1:6: the control character U+0000 is not allowed; remove it"},
		"no character":               {"a: \uffff\n", "1:4: the control character U+FFFF is not allowed; remove it"},
		"columns beside wide quotes": {"a: \"éé\"   \nb: {x: \"ü\", x: 1}  \n", "2:13: b.x: the key is given twice, first on line 2; remove one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Decode("", []byte(tt.text), &anyDoc{})
			if err == nil {
				t.Fatal("taken")
			}
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("kind is %v", fault.KindOf(err))
			}
			if diff := cmp.Diff(strings.Split(tt.want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBlocksAndCommentsAreReadAsTheyStand(t *testing.T) {
	tests := map[string]struct {
		text string
		want any
	}{
		"blanks at the end":       {"a: |-\n  x \n", "x "},
		"all newlines":            {"a: |+\n  x\n\n", "x\n\n"},
		"folded":                  {"a: >\n  x\n  y\n\n  z\n", "x y\nz\n"},
		"indentation by a number": {"a: |1\n   x?\n\n  .\nb: 1\n", "  x?\n\n .\n"},
		"marks and tabs":          {"a: |-\n\n   ? x.\t'\n    \ty\n  # c\n# ?\t.\nb: 1\n", "\n? x.\t'\n \ty"},
		"lines end with CR":       {"a: |-\r  x\r  y?\rb: 'x'\r", "x\ny?"},
		"within lists":            {"a:\n- - |-\n    x\n  - |-\n   y?\n- 'z'\n", []any{[]any{"x", "y?"}, "z"}},
		"comments":                {"# a?\t.\na: # 'x\n  - x # ?\t.\n\n  # [\n  - 'y' #\n# ...\n", []any{"x", "y"}},
		"comments in brackets":    {"a: [x, # ?\t.\n  # ]\n  y\n]", []any{"x", "y"}},
		"null":                    {"a:\nb: ~\n", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got anyDoc
			if err := Decode("", []byte(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.A); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatTheParserMisplacesIsTakenAsItIs(t *testing.T) {
	for _, style := range []yaml.Style{0, yaml.DoubleQuotedStyle, yaml.LiteralStyle} {
		b := builder{problems: &problems{}, source: newSource("a: x")}
		n := b.node(&yaml.Node{Kind: yaml.ScalarNode, Value: "x", Style: style, Line: 9, Column: 9}, nil, place{1, 1})
		if n.text != "x" || len(b.found) > 0 {
			t.Errorf("got %+v, %v", n, b.found)
		}
	}
}

func TestAThousandGoldenRowsAreWithinTheBounds(t *testing.T) {
	text := "a:\n" + strings.Repeat("  - {\"x\": ["+strings.Repeat("-0.123456, ", 55)+"1]}\n", 1000)
	var got struct {
		A []map[string][]float64 `yaml:"a"`
	}
	if err := Decode("", []byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.A) != 1000 || len(got.A[999]["x"]) != 56 || got.A[999]["x"][54] != -0.123456 {
		t.Errorf("%d rows were read", len(got.A))
	}
}

func TestBoundsAreChecked(t *testing.T) {
	many := strings.Repeat
	tests := map[string]struct{ text, want string }{
		"bytes":       {"a: " + many("x", MaxBytes), "at most 1048576 are read"},
		"brackets":    {"a: " + many("[", 50000), "1:36: more than 32 lists and mappings inside each other"},
		"braces":      {"a: " + many("{a: ", 40000), "more than 32 lists and mappings inside each other"},
		"dashes":      {"a:\n  " + many("- ", 500000), "2:65: more than 32 lists and mappings inside each other"},
		"questions":   {many("? ", 500000), "1:65: more than 32 lists and mappings inside each other"},
		"indentation": {staircase(40), "33:34: more than 32 lists and mappings inside each other"},
		"keys":        {many("a:\n", 60000), "50001:2: more than 100000 lines, commas, colons and opening brackets"},
		"entries":     {"a:\n" + many("-\n", 500000), "more than 100000 lines"},
		"values":      {"a: [" + many("1,", 500000) + "]", "1:200002: more than 100000 lines"},
		"comments":    {many("#\r", 500000), "more than 100000 lines"},
		"documents":   {many("---\n", 50000), "2:1: a second document begins here"},
		"directives":  {many("%TAG !a! x\n", 50000), "1:1: YAML directives (%) are not supported"},
		"key":         {many("k", 129) + ": 1", "1:1: a key of more than 128 bytes"},
		"problems":    {"a: &x [" + many("*x,", 1000) + "]", "and 901 more mistakes; mend these first"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := Decode("", []byte(tt.text), &anyDoc{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v", err)
			}
		})
	}
	within := "a: {" + many("k", MaxKey) + ": " + many("[", 20) + many("1, ", 80000) + many("]", 20) + "}\nb:\n" + many("- x\n", 9000)
	if err := Decode("", []byte(within), &anyDoc{}); err != nil {
		t.Errorf("within the bounds: %v", err)
	}
}

func staircase(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
