package strictyaml

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// place is where a character stands, counted from 1; columns count characters, as the parser does.
type place struct{ line, column int }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// source is the text that is not yet passed, and the place where it begins.
type source struct {
	text string
	at   place
}

func newSource(text string) source { return source{text, place{1, 1}} }

// next passes one character.
func (s *source) next() rune {
	c, size := utf8.DecodeRuneInString(s.text)
	s.text = s.text[size:]
	if c == '\n' || c == '\r' && !strings.HasPrefix(s.text, "\n") {
		s.at = place{s.at.line + 1, 1}
	} else {
		s.at.column++
	}
	return c
}

// skip passes n bytes.
func (s *source) skip(n int) {
	for end := len(s.text) - n; len(s.text) > end; {
		s.next()
	}
}

// to passes what lies before a place.
func (s *source) to(at place) {
	for s.text != "" && s.at.compare(at) < 0 {
		s.next()
	}
}

const (
	breaks = "\r\n"
	blanks = " \t" + breaks
)

// lineLen is the length of the first line of s, with its end.
func lineLen(s string) int {
	i := strings.IndexAny(s, breaks)
	switch {
	case i < 0:
		return len(s)
	case strings.HasPrefix(s[i:], "\r\n"):
		return i + 2
	default:
		return i + 1
	}
}

// quotedLen is the length of the text in quotes that s begins with.
func quotedLen(s string) int {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"', s[i] == quote && quote == '\'' && strings.HasPrefix(s[i+1:], "'"):
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// blockLen is the length of the block of text that s begins with: the line of the "|", and all that follow and are empty or have the
// indentation of the first one that is not. It is not known (ok is false) when the block gives a number of its own for that.
func blockLen(s string) (n int, ok bool) {
	n = lineLen(s)
	header, _, _ := strings.Cut(s[:n], "#")
	indent := -1
	for n < len(s) {
		line := s[n : n+lineLen(s[n:])]
		text := strings.TrimLeft(line, " ")
		if before := len(line) - len(text); strings.Trim(text, breaks) != "" {
			if indent < 0 {
				indent = before
			}
			if before < indent {
				break
			}
		}
		n += len(line)
	}
	return n, !strings.ContainsAny(header, "123456789")
}

// legible refuses what is no text, what has too many marks, and directives: the parser's time grows with the square of their number.
func legible(p *problems, text string) bool {
	marks := 0
	for s := newSource(text); s.text != ""; {
		at, left := s.at, len(s.text)
		c := s.next()
		switch {
		case c == utf8.RuneError && left-len(s.text) == 1:
			p.add(at, "", "this byte is no UTF-8 text", "save the file as UTF-8")
			return false
		case !strings.ContainsRune("\t\r\n", c) && unicode.IsControl(c), strings.ContainsRune("\u2028\u2029\uFEFF\uFFFE\uFFFF", c):
			p.add(at, "", fmt.Sprintf("the control character %U is not allowed", c), "remove it")
			return false
		case c == '%' && at.column == 1:
			p.add(at, "", "YAML directives (%) are not supported", "remove this line, or put the text in quotes")
			return false
		case strings.ContainsRune("\n\r,:[{", c):
			if marks++; marks > MaxMarks {
				p.add(at, "", fmt.Sprintf("more than %d lines, commas, colons and opening brackets", MaxMarks), "split the file")
				return false
			}
		}
	}
	return true
}
