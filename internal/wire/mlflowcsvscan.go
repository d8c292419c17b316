package wire

import (
	"bytes"

	"github.com/serin-ml/serin/internal/fault"
)

// csvScanner reads CSV a field at a time, as RFC 4180 has it and encoding/csv reads it. Unlike that it holds one field and not a record: a
// line of millions of commas costs nothing.
type csvScanner struct {
	data []byte
	pos  int
	line int // from 1
	from int // where the line begins
	text []byte
}

// more passes over blank lines and tells whether a record follows.
func (s *csvScanner) more() bool {
	for s.pos < len(s.data) && s.newline() {
	}
	return s.pos < len(s.data)
}

// newline passes over the end of a line, or of the input behind a carriage return, and tells whether it was there.
func (s *csvScanner) newline() bool {
	switch rest := s.data[s.pos:]; {
	case len(rest) > 0 && rest[0] == '\n':
		s.pos++
	case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
		s.pos += 2
	case len(rest) == 1 && rest[0] == '\r':
		s.pos++
		return true
	default:
		return false
	}
	s.line++
	s.from = s.pos
	return true
}

// field reads a field, and tells whether it is the record's last. Its bytes are good until the next one is read.
func (s *csvScanner) field() (field []byte, last bool, err error) {
	if s.pos < len(s.data) && s.data[s.pos] == '"' {
		s.pos++
		return s.quoted()
	}
	start := s.pos
	for ; s.pos < len(s.data); s.pos++ {
		switch s.data[s.pos] {
		case ',':
			s.pos++
			return s.data[start : s.pos-1], false, nil
		case '"':
			return nil, false, s.wrong("a quote in a field that does not begin with one")
		case '\n', '\r':
			if end := s.pos; s.newline() {
				return s.data[start:end], true, nil
			}
		}
	}
	return s.data[start:], true, nil
}

// quoted reads on behind the opening quote.
func (s *csvScanner) quoted() (field []byte, last bool, err error) {
	s.text = s.text[:0]
	for {
		n := bytes.IndexAny(s.data[s.pos:], "\"\r\n")
		if n < 0 {
			s.pos = len(s.data)
			return nil, false, s.wrong("a quote is not closed")
		}
		s.text = append(s.text, s.data[s.pos:s.pos+n]...)
		s.pos += n
		switch c := s.data[s.pos]; {
		case c != '"' && s.newline():
			s.text = append(s.text, '\n')
			continue
		case c != '"':
			s.text = append(s.text, c)
			s.pos++
			continue
		}
		s.pos++
		switch {
		case s.pos == len(s.data) || s.newline():
			return s.text, true, nil
		case s.data[s.pos] == ',':
			s.pos++
			return s.text, false, nil
		case s.data[s.pos] != '"':
			return nil, false, s.wrong("a quoted field goes on behind its closing quote")
		}
		s.text = append(s.text, '"')
		s.pos++
	}
}

func (s *csvScanner) wrong(what string) error {
	return fault.Invalidf("the CSV, line %d, byte %d: %s", s.line, s.pos-s.from+1, what)
}
