package jsonscan

import (
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a string.
func (s *Scanner) String() string { return string(s.Bytes()) }

// Bytes reads a string. The bytes share the input, or a buffer that the next call with an escaped string uses again.
func (s *Scanner) Bytes() []byte {
	if s.err != nil {
		return nil
	}
	if s.space() != '"' {
		s.unexpected("a string")
		return nil
	}
	s.pos++
	from, ascii := s.pos, true
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			text := s.data[from:s.pos]
			if !ascii && !utf8.Valid(text) {
				s.Failf("a string that is not valid UTF-8")
				return nil
			}
			s.pos++
			return text
		case c == '\\':
			return s.escaped(from)
		case c < ' ':
			s.Failf("a control character in a string")
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
		s.pos++
	}
	s.unexpected("the end of a string")
	return nil
}

// escaped goes on with a string whose first escape is at pos.
func (s *Scanner) escaped(from int) []byte {
	s.scratch = append(s.scratch[:0], s.data[from:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			if !utf8.Valid(s.scratch) {
				s.Failf("a string that is not valid UTF-8")
				return nil
			}
			s.pos++
			return s.scratch
		case c < ' ':
			s.Failf("a control character in a string")
			return nil
		case c != '\\':
			s.scratch = append(s.scratch, c)
			s.pos++
			continue
		}
		s.pos++
		if !s.escape() {
			return nil
		}
	}
	s.unexpected("the end of a string")
	return nil
}

// escape reads what follows a backslash.
func (s *Scanner) escape() bool {
	if s.pos >= len(s.data) {
		s.unexpected("an escape")
		return false
	}
	c := s.data[s.pos]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		s.pos++
		r, ok := s.hex4()
		if !ok {
			return false
		}
		if utf16.IsSurrogate(r) {
			var low rune
			if s.literal(`\u`) {
				low, ok = s.hex4()
			}
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				s.Failf("half of a surrogate pair in a string")
				return false
			}
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
		return true
	default:
		s.unexpected("an escape")
		return false
	}
	s.scratch = append(s.scratch, c)
	s.pos++
	return true
}

func (s *Scanner) hex4() (r rune, ok bool) {
	for range 4 {
		if s.pos >= len(s.data) {
			s.unexpected("a hexadecimal digit")
			return 0, false
		}
		c := s.data[s.pos]
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			s.unexpected("a hexadecimal digit")
			return 0, false
		}
		r = r<<4 | rune(c)
		s.pos++
	}
	return r, true
}
