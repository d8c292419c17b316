package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// read turns the text into nodes. It returns nil, with the reason in p, when the text is no YAML.
func read(p *problems, text string) *node {
	if !legible(p, text) {
		return nil
	}
	first, second, err := load(text)
	if err != nil {
		syntaxError(p, text, err)
		return nil
	}
	end := place{line: len(text) + 2} // beyond all lines
	if second.Kind != 0 {
		end = place{second.Line, second.Column}
		p.add(end, "", "a second document begins here", "keep one document a file")
	}
	b := builder{problems: p, source: newSource(text)}
	return b.document(&first, end)
}

// load parses the first two documents of the text. The kind of one that is not there is 0.
func load(text string) (first, second yaml.Node, err error) {
	// The parser panics on purpose where it finds a mistake of its own, which is no reason for a crash of ours.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML parser failed: %v", r)
		}
	}()
	l, err := yaml.NewLoader(strings.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(MaxDepth))))
	for _, doc := range []*yaml.Node{&first, &second} {
		if err == nil {
			err = l.Load(doc)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first, second, err
}

// explained are the parser's messages in plainer words, each with what to do. What is looked for may end with the character that the
// parser stopped at, in quotes; "" is the end of the text. Opening tells to show where the thing begins that is wrong.
var explained = []struct {
	theirs string
	mistake
	opening bool
}{
	{"tab character", noTabs, false},
	{`any token "\t"`, noTabs, false},
	{"an anchor", noAnchors, true},
	{"an alias", noAliases, true},
	{"unknown anchor", noAliases, false},
	{"a tag", noTags, true},
	{"tag handle", noTags, true},
	{"mapping keys are not allowed", noMarks, false},
	{"any token", mistake{"text may not begin with this character", "put it in quotes"}, false},
	{`content ","`, mistake{"no value before this comma", ""}, false},
	{`content "]"`, mistake{"] closes nothing", "remove it, or put the text in quotes"}, false},
	{`content "}"`, mistake{"} closes nothing", "remove it, or put the text in quotes"}, false},
	{`content "-"`, mistake{`"-" inside brackets`, "write [a, b], and text in quotes"}, false},
	{`content ""`, mistake{"the text ends inside of brackets", "add ] or }"}, false},
	{"node content", mistake{"a value is missing before this", "put text that begins with a special character in quotes"}, false},
	{"expected ':'", mistake{"this is neither a key nor part of the value above", `write "key: value", or check the indentation`}, true},
	{`' ":"`, mistake{`a second ":" in one line`, "put the text in quotes"}, false},
	{`',' or ']' ""`, mistake{"[ is opened and never closed", "add ]"}, true},
	{`',' or '}' ""`, mistake{"{ is opened and never closed", "add }"}, true},
	{"',' or ']'", mistake{"a comma or ] is missing before this", ""}, false},
	{"',' or '}'", mistake{"a comma or } is missing before this", ""}, false},
	{"found unexpected", mistake{"a quote is opened and never closed", "close it on the same line"}, true},
	{"quoted scalar", mistake{`a \ that begins no escape`, `write \\, or use single quotes`}, false},
	{"mapping values are", mistake{`a ":" where no key can be`, `put text that holds ": " in quotes, or check the indentation`}, false},
	{"entries are not allowed", mistake{`a "-" where no list can be`, "begin the list on the next line, or put the text in quotes"}, false},
	{"block scalar", mistake{"this begins no block of text", "write | or >, or |- or >- without a newline at the end"}, true},
	{"did not find expected", mistake{"this does not belong to anything", "check the indentation, or put the text in quotes"}, false},
	{"preceding whitespace", mistake{"no blank before this comment", "add one, or put the text in quotes"}, false},
	{"max depth", mistake{fmt.Sprintf("more than %d lists and mappings inside each other", MaxDepth), ""}, false},
}

// syntaxError reports what the parser did not like.
func syntaxError(p *problems, text string, err error) {
	at, m := place{1, 1}, mistake{err.Error(), "check quotes, brackets and indentation"}
	var located *yaml.LoadError
	if errors.As(err, &located) && located.Mark.Line > 0 {
		s := newSource(text)
		s.to(place{located.Mark.Line, located.Mark.Column})
		at, m.message = s.at, located.Message // the parser's end of the text is on a line of its own
		_, size := utf8.DecodeRuneInString(s.text)
		theirs := fmt.Sprintf("%s: %s %q", located.ContextMsg, located.Message, s.text[:size])
		for _, e := range explained {
			if strings.Contains(theirs, e.theirs) {
				m = e.mistake
				if e.opening && located.ContextMark.Line > 0 {
					at = place{located.ContextMark.Line, located.ContextMark.Column}
				}
				break
			}
		}
	}
	p.add(at, "", m.message, m.hint)
}
