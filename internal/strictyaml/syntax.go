package strictyaml

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// read turns the text into nodes. It returns nil, with the reason in p, when the text is no YAML.
func read(p *problems) *node {
	if !legible(p) {
		return nil
	}
	s := &syntax{problems: p}
	tokens, err := tokenize(p.text.src)
	if err != nil {
		s.syntaxError(err)
		return nil
	}
	if !s.place(tokens) || !s.vet() {
		return nil
	}
	file, err := s.parse()
	if err != nil {
		s.syntaxError(err)
		return nil
	}
	b := builder{problems: p, spans: make(map[*token.Token]span, len(s.tokens))}
	for i, tok := range s.tokens {
		b.spans[tok] = s.spans[i]
	}
	return b.document(file)
}

// legible refuses what is no text.
func legible(p *problems) bool {
	t := p.text
	for i, c := range t.src {
		if c == utf8.RuneError && !strings.HasPrefix(t.src[i:], "\uFFFD") {
			p.add(i, "", "this byte is no UTF-8 text", "save the file as UTF-8")
			return false
		}
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f || c == '\u2028' || c == '\u2029' || c == '\u0085' || c == '\uFEFF' {
			p.add(i, "", fmt.Sprintf("the control character %U is not allowed", c), "remove it")
			return false
		}
	}
	return true
}

// syntax holds the tokens of a text, each with its span in the source.
type syntax struct {
	*problems
	tokens token.Tokens
	spans  []span
}

// tokenize splits the text into tokens.
func tokenize(src string) (tokens token.Tokens, err error) {
	defer guard(&err)
	tokens = lexer.Tokenize(src)
	if bad := tokens.InvalidToken(); bad != nil {
		return nil, &scanError{bad}
	}
	return tokens, nil
}

// guard makes an error of a panic of the scanner or the parser: their bug is no reason for a crash of ours.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the YAML parser failed: %v", r)
	}
}

// place finds the tokens in the text, and keeps all but the comments.
func (s *syntax) place(tokens token.Tokens) bool {
	spans, lost, ok := s.text.place(tokens)
	if !ok {
		s.add(lost, "", "this cannot be read as YAML", "put text that begins with a special character in quotes")
		return false
	}
	if tab := s.text.tab(tokens, spans); tab >= 0 {
		s.add(tab, "", "a tab outside of quotes", "use spaces")
		return false
	}
	for i, tok := range tokens {
		if tok.Type != token.CommentType {
			s.tokens, s.spans = append(s.tokens, tok), append(s.spans, spans[i])
		}
	}
	return true
}

type scanError struct{ tok *token.Token }

func (e *scanError) Error() string          { return e.tok.Error }
func (e *scanError) GetMessage() string     { return e.tok.Error }
func (e *scanError) GetToken() *token.Token { return e.tok }

// parse makes a tree of the tokens.
func (s *syntax) parse() (file *ast.File, err error) {
	defer guard(&err)
	return parser.Parse(s.tokens, 0, parser.AllowDuplicateMapKey())
}

// explained are the parser's messages in plainer words, each with what to do.
var explained = []struct{ theirs, message, hint string }{
	{"'\t' that cannot start", "a tab outside of quotes", "use spaces"},
	{"mapping value is not allowed", `a second ":" on this line`, "put text that holds \": \" in quotes"},
	{"value is not allowed in this context", "this does not belong to anything", "check the indentation, or put the text in quotes"},
	{"non-map value is specified", "this is neither a key nor part of the value above", `write "key: value", or check the indentation`},
	{"unexpected key name", "this is no key", `write "key: value"; keys are on one line`},
	{"could not find end character", "a quote is opened and never closed", "close it on the same line"},
	{"sequence end token", "[ is opened and never closed", "add ]"},
	{"flow mapping end token", "{ is opened and never closed", "add }"},
	{"could not find '['", "] closes nothing", "remove it, or put the text in quotes"},
	{"could not find '{'", "} closes nothing", "remove it, or put the text in quotes"},
	{"',' or ']'", "a comma or ] is missing before this", ""},
	{"',' or '}'", "a comma or } is missing before this", ""},
	{"is a reserved character", "text may not begin with this character", "put it in quotes"},
}

// syntaxError reports what the scanner or the parser did not like.
func (s *syntax) syntaxError(err error) {
	message, hint, at := err.Error(), "check quotes, brackets and indentation", 0
	var located interface {
		error
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &located) {
		message = located.GetMessage()
		at = s.offset(located.GetToken())
	}
	for _, e := range explained {
		if strings.Contains(message, e.theirs) {
			message, hint = e.message, e.hint
			break
		}
	}
	s.add(at, "", message, hint)
}

// offset returns where a token begins: where it was placed, or else where the scanner says, as far as that is in the text.
func (s *syntax) offset(tok *token.Token) int {
	if tok == nil {
		return 0
	}
	for i, t := range s.tokens {
		if t == tok {
			return s.spans[i].from
		}
	}
	if tok.Position == nil || tok.Position.Line < 1 || tok.Position.Line > len(s.text.lines) {
		return len(s.text.src)
	}
	offset, column := s.text.lines[tok.Position.Line-1], 1
	for i := range s.text.src[offset:] {
		if column >= tok.Position.Column {
			return offset + i
		}
		column++
	}
	return offset
}
