// Package jsonscan reads JSON by pulling it, straight into the caller's own arrays: no tree of values, no reflection, no copy of
// a string without escapes. Requests of thousands of numbers and model files of megabytes go through it; everything else uses
// encoding/json.
//
// A Scanner keeps its first error. After one, every method returns a zero value and Next returns false, so that a loop ends and
// the caller looks at Err once:
//
//	s := jsonscan.New(body)
//	s.Object()
//	for s.Next() {
//		switch string(s.Key()) {
//		case "values":
//			s.Array()
//			for s.Next() {
//				values = append(values, s.Float64())
//			}
//		default:
//			s.Skip()
//		}
//	}
//	s.End()
//	return s.Err()
//
// It is strict (RFC 8259): no comments, no trailing commas, no leading zeros, valid UTF-8 only, numbers that fit. Nesting stops
// at MaxDepth. AllowNonFinite adds the tokens NaN, Infinity and -Infinity, which Python and XGBoost write.
package jsonscan

import (
	"github.com/serin-ml/serin/internal/fault"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 128

// Kind says what value comes next.
type Kind byte

// The kinds of value. None is the end of the input or a byte that starts no value.
const (
	None   Kind = 0
	Object Kind = '{'
	Array  Kind = '['
	String Kind = '"'
	Number Kind = '0' // NaN and Infinity too, where they are allowed
	Bool   Kind = 't'
	Null   Kind = 'n'
)

// Scanner reads one JSON text. Make it with New, or reuse one with Reset.
type Scanner struct {
	data    []byte
	pos     int
	err     error
	stack   [MaxDepth]byte // the closing byte of each open container
	depth   int
	first   bool // just inside a container: no comma comes before the next element
	lax     bool
	scratch []byte
}

// New returns a Scanner over data, which must not change while strings taken from it are in use.
func New(data []byte) *Scanner { return &Scanner{data: data} }

// Reset starts over with data, keeping AllowNonFinite.
func (s *Scanner) Reset(data []byte) {
	s.data, s.pos, s.err, s.depth, s.first = data, 0, nil, 0, false
}

// AllowNonFinite accepts NaN, Infinity and -Infinity as numbers. It returns s.
func (s *Scanner) AllowNonFinite() *Scanner {
	s.lax = true
	return s
}

// Err returns the first error: Invalid, with the byte offset where it was found.
func (s *Scanner) Err() error { return s.err }

// Offset returns how many bytes have been read.
func (s *Scanner) Offset() int { return s.pos }

// Failf records an error of the caller's at the present offset, unless one came before it.
func (s *Scanner) Failf(format string, args ...any) {
	if s.err == nil {
		s.err = fault.Invalidf("JSON at byte %d: %w", s.pos, fault.Invalidf(format, args...))
	}
}

// space skips white space and returns the next byte, 0 at the end.
func (s *Scanner) space() byte {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// Peek tells what value comes next, without reading it.
func (s *Scanner) Peek() Kind {
	if s.err != nil {
		return None
	}
	switch c := s.space(); c {
	case '{', '[', '"', 'n':
		return Kind(c)
	case 't', 'f':
		return Bool
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	case 'N', 'I':
		if s.lax {
			return Number
		}
	}
	return None
}

// Object enters an object; follow it with Next and Key until Next returns false.
func (s *Scanner) Object() { s.open('{', '}', "an object") }

// Array enters an array; follow it with Next and a value until Next returns false.
func (s *Scanner) Array() { s.open('[', ']', "an array") }

func (s *Scanner) open(start, end byte, what string) {
	if s.err != nil {
		return
	}
	if s.space() != start {
		s.unexpected(what)
		return
	}
	if s.depth == MaxDepth {
		s.Failf("nested deeper than %d", MaxDepth)
		return
	}
	s.pos++
	s.stack[s.depth] = end
	s.depth++
	s.first = true
}

// Next moves to the next element of the innermost container, or out of it at its end, and tells which.
func (s *Scanner) Next() bool {
	if s.err != nil {
		return false
	}
	c, end := s.space(), s.stack[s.depth-1]
	if c == end {
		s.pos++
		s.depth--
		s.first = false
		return false
	}
	if s.first {
		s.first = false
		return true
	}
	if c != ',' {
		s.unexpected("a comma or " + string(rune(end)))
		return false
	}
	s.pos++
	if s.space() == end {
		s.unexpected("a value after the comma")
		return false
	}
	return true
}

// Key reads an object's key and its colon. The bytes are good until the next call.
func (s *Scanner) Key() []byte {
	key := s.Bytes()
	if s.err != nil {
		return nil
	}
	if s.space() != ':' {
		s.unexpected("a colon")
		return nil
	}
	s.pos++
	return key
}

// Bool reads true or false.
func (s *Scanner) Bool() bool {
	switch {
	case s.err != nil:
		return false
	case s.space() == 't' && s.literal("true"):
		return true
	case s.err == nil && s.space() == 'f' && s.literal("false"):
		return false
	}
	s.unexpected("true or false")
	return false
}

// Null reads null.
func (s *Scanner) Null() {
	if s.err != nil || s.space() == 'n' && s.literal("null") {
		return
	}
	s.unexpected("null")
}

func (s *Scanner) literal(word string) bool {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return false
	}
	s.pos += len(word)
	return true
}

// Skip reads one value of any kind and drops it, checking it all the same.
func (s *Scanner) Skip() {
	switch s.Peek() {
	case Object:
		s.Object()
		for s.Next() {
			s.Key()
			s.Skip()
		}
	case Array:
		s.Array()
		for s.Next() {
			s.Skip()
		}
	case String:
		s.Bytes()
	case Number:
		s.skipNumber()
	case Bool:
		s.Bool()
	case Null:
		s.Null()
	default:
		s.unexpected("a value")
	}
}

// Raw reads one value of any kind and returns its text, which shares the input.
func (s *Scanner) Raw() []byte {
	if s.err != nil {
		return nil
	}
	s.space()
	from := s.pos
	s.Skip()
	if s.err != nil {
		return nil
	}
	return s.data[from:s.pos]
}

// End checks that only white space is left.
func (s *Scanner) End() {
	if s.err == nil && s.space() != 0 {
		s.Failf("more text after the value")
	} else if s.err == nil && s.pos < len(s.data) {
		s.Failf("a zero byte after the value")
	}
}

func (s *Scanner) unexpected(want string) {
	if s.pos >= len(s.data) {
		s.Failf("the text ends where %s should be", want)
		return
	}
	s.Failf("%q where %s should be", s.data[s.pos], want)
}
