package strictyaml

import (
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// text is a document's bytes with the offsets where lines begin.
type text struct {
	src   string
	lines []int // the offset of each line's first byte
}

func newText(src string) *text {
	t := &text{src: src, lines: []int{0}}
	for i := range len(src) {
		if src[i] == '\n' || src[i] == '\r' && !strings.HasPrefix(src[i+1:], "\n") {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// at returns the place of a byte offset, counted from 1, columns in characters.
func (t *text) at(offset int) (line, column int) {
	line = sort.SearchInts(t.lines, offset+1) // the first line that begins after offset, counted from 0
	return line, utf8.RuneCountInString(t.src[t.lines[line-1]:offset]) + 1
}

// lead returns what stands before offset on its line.
func (t *text) lead(offset int) string {
	return t.src[t.lines[sort.SearchInts(t.lines, offset+1)-1]:offset]
}

const blanks = " \t\r\n"

// span is where a token's text lies, blanks around it left out.
type span struct{ from, to int }

// place finds every token in the source, by following the tokens' own texts through it: the scanner's positions are wrong
// beside trailing blanks. The scanner may drop blanks and nothing else; where it dropped more, ok is false and lost is the
// offset of what it dropped.
func (t *text) place(tokens token.Tokens) (spans []span, lost int, ok bool) {
	spans = make([]span, len(tokens))
	pos := 0
	for i, tok := range tokens {
		s := span{-1, pos}
		escape := false
		for j := 0; j < len(tok.Origin); j++ {
			if strings.IndexByte(blanks, tok.Origin[j]) >= 0 {
				escape = false
				continue
			}
			for pos < len(t.src) && strings.IndexByte(blanks, t.src[pos]) >= 0 {
				pos++
			}
			if pos == len(t.src) || t.src[pos] != tok.Origin[j] {
				return nil, pos, false
			}
			if s.from < 0 {
				s.from = pos
			}
			pos++
			if escape = tok.Type == token.DoubleQuoteType && tok.Origin[j] == '\\' && !escape; escape {
				n := coded(t.src[pos:])
				pos += n
				escape = n == 0
			}
			s.to = pos
		}
		if s.from < 0 {
			s.from = s.to
		}
		spans[i] = s
	}
	rest := strings.TrimLeft(t.src[pos:], blanks)
	return spans, len(t.src) - len(rest), rest == ""
}

// coded returns how many bytes of src, which follows a backslash in double quotes, are a character by its number: the scanner
// reads those (\x41, \u00e9, \U0001f600, pairs of surrogates), but leaves them out of the token's own text.
func coded(src string) int {
	n := 0
	switch {
	case strings.HasPrefix(src, "x"):
		n = 3
	case strings.HasPrefix(src, "ud"), strings.HasPrefix(src, "uD"):
		if n = 5; len(src) > 2 && strings.IndexByte("89abAB", src[2]) >= 0 {
			n = 11
		}
	case strings.HasPrefix(src, "u"):
		n = 5
	case strings.HasPrefix(src, "U"):
		n = 9
	}
	return min(n, len(src))
}

// tab returns the offset of the first tab between tokens or in text without quotes, or -1.
func (t *text) tab(tokens token.Tokens, spans []span) int {
	end := 0
	for i, s := range spans {
		inBlock := i > 0 && block(tokens[i-1].Type)
		if !isPlain(tokens[i].Type) || inBlock {
			if at := strings.IndexByte(t.src[end:s.from], '\t'); at >= 0 {
				return end + at
			}
			end = s.to
		}
	}
	if at := strings.IndexByte(t.src[end:], '\t'); at >= 0 {
		return end + at
	}
	return -1
}
