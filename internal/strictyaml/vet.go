package strictyaml

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// vet looks at the tokens before they are parsed. It refuses a document beyond the bounds, and reports what the parser would let
// pass. It returns false when parsing makes no sense, or might not end in good time.
func (s *syntax) vet() bool {
	v := vetter{syntax: s}
	for i, tok := range s.tokens {
		if !v.bounded(i, tok) {
			return false
		}
		switch tok.Type {
		case token.DirectiveType:
			s.add(s.spans[i].from, "", "YAML directives (%) are not supported", "remove this line, or put the text in quotes")
			return false
		case token.DocumentHeaderType:
			if i > 0 {
				s.add(s.spans[i].from, "", "a second document begins here", "keep one document a file")
				return false
			}
		case token.DocumentEndType:
			s.add(s.spans[i].from, "", `the mark "..." is not supported`, "remove this line")
			return false
		case token.MappingKeyType:
			s.add(s.spans[i].from, "", `keys written with "?" are not supported`, `write "key: value"`)
			return false
		case token.MappingValueType:
			v.colon(i)
		case token.CollectEntryType:
			if i == 0 || s.tokens[i-1].Type == token.CollectEntryType || opens(s.tokens[i-1].Type) {
				v.refuse(i, "no value before this comma", "")
			}
		case token.SequenceEntryType, token.LiteralType, token.FoldedType:
			if v.flow > 0 {
				v.refuse(i, fmt.Sprintf("%q inside brackets", s.source(i)), "write [a, b], and text in quotes")
			} else if block(tok.Type) && !blockHeader.MatchString(s.text.src[s.spans[i].from:]) {
				v.refuse(i, "this begins no block of text", "write | or >, or |- or >- without a newline at the end")
			}
		case token.SingleQuoteType, token.DoubleQuoteType:
			if strings.ContainsAny(s.source(i), "\r\n") {
				v.refuse(i, "the text in quotes goes on on the next line", "close the quotes; write text of several lines in a block (|)")
			}
		default:
			if isPlain(tok.Type) && (i == 0 || !introduces(s.tokens[i-1].Type)) {
				v.plain(i)
			}
		}
	}
	return !v.broken
}

var blockHeader = regexp.MustCompile(`^[|>][-+]?[ \t]*([ \t]#[^\r\n]*)?([\r\n]|$)`)

// introduces tells whether the text after a token of type t is no value of its own: the lines of a block, or a name.
func introduces(t token.Type) bool {
	return block(t) || t == token.AnchorType || t == token.AliasType
}

func block(t token.Type) bool { return t == token.LiteralType || t == token.FoldedType }

func (s *syntax) source(i int) string { return s.text.src[s.spans[i].from:s.spans[i].to] }

type vetter struct {
	*syntax
	marks   int
	flow    int   // how many brackets are open
	indents []int // the columns of the lists and mappings that are open
	line    int   // where the line begins that the tokens before were on
	openers int   // tokens on this line that open something inside which the next one lies
	broken  bool
}

// bounded counts marks and depth. Depth is counted generously: what a line opens, within what its indentation leaves open.
func (v *vetter) bounded(i int, tok *token.Token) bool {
	from := v.spans[i].from
	lead := v.text.lead(from)
	if begin := from - len(lead); begin != v.line || i == 0 {
		v.line, v.openers = begin, 0
		for len(v.indents) > 0 && v.indents[len(v.indents)-1] >= len(lead) {
			v.indents = v.indents[:len(v.indents)-1]
		}
		if v.flow == 0 {
			v.indents = append(v.indents, len(lead))
		}
	}
	switch tok.Type {
	case token.MappingStartType, token.SequenceStartType:
		v.flow++
	case token.MappingEndType, token.SequenceEndType:
		v.flow = max(0, v.flow-1) // what closes nothing must not make room
	case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
		v.marks++
		v.openers++
	case token.MappingValueType, token.AliasType:
		v.marks++
	}
	if v.flow+v.openers+len(v.indents) > MaxDepth {
		v.add(from, "", fmt.Sprintf("more than %d lists and mappings inside each other", MaxDepth), "")
		return false
	}
	if i >= MaxTokens {
		v.add(from, "", fmt.Sprintf("more than %d values and marks", MaxTokens), "split the file")
		return false
	}
	if v.marks > MaxMarks {
		v.add(from, "", fmt.Sprintf("more than %d keys and list entries", MaxMarks), "split the file, or write lists as [a, b, c]")
		return false
	}
	return true
}

// colon wants a short key on the same line before the ":", and a blank after it if the key has no quotes; the parser takes {a:b}
// for {a: b}.
func (v *vetter) colon(i int) {
	if i == 0 || structural(v.tokens[i-1].Type) || strings.ContainsAny(v.text.src[v.spans[i-1].from:v.spans[i].from], "\r\n") {
		v.refuse(i, `no key before ":"`, "put text that begins with : in quotes")
		return
	}
	if v.spans[i-1].to-v.spans[i-1].from > MaxKey {
		v.refuse(i-1, fmt.Sprintf("a key of more than %d bytes", MaxKey), "shorten it")
	}
	end := v.spans[i].to
	if end < len(v.text.src) && strings.IndexByte(blanks, v.text.src[end]) < 0 && !quoted(v.tokens[i-1].Type) {
		v.refuse(i, `no blank after ":"`, `write "key: value"`)
	}
}

// isPlain tells whether tokens of type t are scalars without quotes, of which goccy has many kinds.
func isPlain(t token.Type) bool {
	switch t {
	case token.StringType, token.BoolType, token.NullType, token.IntegerType, token.BinaryIntegerType, token.OctetIntegerType,
		token.HexIntegerType, token.FloatType, token.InfinityType, token.NanType, token.MergeKeyType:
		return true
	}
	return false
}

func opens(t token.Type) bool { return t == token.MappingStartType || t == token.SequenceStartType }

// structural tells whether tokens of type t are no values.
func structural(t token.Type) bool {
	switch t {
	case token.MappingValueType, token.SequenceEntryType, token.CollectEntryType, token.DocumentHeaderType,
		token.MappingStartType, token.MappingEndType, token.SequenceStartType, token.SequenceEndType:
		return true
	}
	return false
}

func quoted(t token.Type) bool { return t == token.SingleQuoteType || t == token.DoubleQuoteType }

// plain refuses text without quotes that goes on on another line, or holds what has a meaning of its own in YAML.
func (v *vetter) plain(i int) {
	text := v.source(i)
	const hint = "put the text in quotes"
	switch {
	case text == "":
	case strings.ContainsAny(text, "\r\n"):
		next := strings.TrimLeft(text[strings.IndexAny(text, "\r\n"):], blanks)
		v.add(v.spans[i].to-len(next), "", "this continues the text of the line above",
			`a ":" or "-" may be missing, or the indentation is wrong; put text of several lines in a block (|)`)
		v.broken = true
	case strings.IndexByte(",[]{}#&*!|>'\"%@`", text[0]) >= 0,
		strings.IndexByte("-?:", text[0]) >= 0 && (len(text) == 1 || text[1] == ' '):
		v.refuse(i, fmt.Sprintf("text may not begin with %q", text[:1]), hint)
	case strings.Contains(text, ": ") || strings.HasSuffix(text, ":"):
		v.refuse(i, `a second ":" in one line`, hint)
	case v.flow > 0 && (strings.ContainsAny(text, ",[]{}") || strings.Contains(text+" ", "? ")):
		v.refuse(i, "text inside brackets may not hold any of , [ ] { } ?", hint)
	}
}

func (v *vetter) refuse(i int, message, hint string) {
	v.add(v.spans[i].from, "", message, hint)
	v.broken = true
}
