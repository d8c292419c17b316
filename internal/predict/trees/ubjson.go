package trees

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// ubjson reads Universal Binary JSON (https://ubjson.org, draft 12) as XGBoost writes it: big-endian numbers, lengths of any
// integer type, arrays that are plain, counted ("[#") or counted and typed ("[$d#"), and plain objects. A length is a claim:
// it is held against the bytes that are left before anything is made that large.
type ubjson struct {
	data  []byte
	pos   int
	depth int
	fail  *failure
}

// widths holds the size in bytes of the numbers that a typed array may hold.
var widths = [256]int{'i': 1, 'U': 1, 'I': 2, 'l': 4, 'L': 8, 'd': 4, 'D': 8}

func (u *ubjson) failf(format string, args ...any) {
	u.fail.set(fault.Invalidf("UBJSON at byte %d: %w", u.pos, fault.Invalidf(format, args...)))
}

func (u *ubjson) ok() bool { return u.fail.err == nil }

// peek returns the next byte without taking it, 0 at the end: no marker is 0.
func (u *ubjson) peek() byte {
	if !u.ok() || u.pos >= len(u.data) {
		return 0
	}
	return u.data[u.pos]
}

// take returns the next n bytes, nil if there are not as many.
func (u *ubjson) take(n int) []byte {
	if !u.ok() {
		return nil
	}
	if n > len(u.data)-u.pos {
		u.failf("the data ends where %d more bytes should be", n)
		return nil
	}
	u.pos += n
	return u.data[u.pos-n : u.pos]
}

func (u *ubjson) marker() byte {
	if b := u.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (u *ubjson) unexpected(got byte, want string) {
	if u.ok() {
		u.pos--
		u.failf("%q where %s should be", got, want)
	}
}

// number reads a number of the type that marker m names.
func (u *ubjson) number(m byte) (whole int64, real float64) {
	b := u.take(widths[m])
	if b == nil {
		return 0, 0
	}
	switch m {
	case 'i':
		whole = int64(int8(b[0]))
	case 'U':
		whole = int64(b[0])
	case 'I':
		whole = int64(int16(binary.BigEndian.Uint16(b)))
	case 'l':
		whole = int64(int32(binary.BigEndian.Uint32(b)))
	case 'L':
		whole = int64(binary.BigEndian.Uint64(b))
	case 'd':
		return 0, float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	case 'D':
		return 0, math.Float64frombits(binary.BigEndian.Uint64(b))
	}
	return whole, float64(whole)
}

func isInteger(m byte) bool { return widths[m] > 0 && m != 'd' && m != 'D' }

// length reads a length or count of things that take at least size bytes each.
func (u *ubjson) length(size int) int {
	m := u.marker()
	if !isInteger(m) {
		u.unexpected(m, "the type of a length")
		return 0
	}
	n, _ := u.number(m)
	if u.ok() && (n < 0 || n > int64((len(u.data)-u.pos)/size)) {
		u.failf("a length of %d, but %d bytes are left", n, len(u.data)-u.pos)
	}
	if !u.ok() {
		return 0
	}
	return int(n)
}

func (u *ubjson) text() []byte { return u.take(u.length(1)) }

func (u *ubjson) string() string {
	if m := u.marker(); m != 'S' {
		u.unexpected(m, "a string")
		return ""
	}
	text := u.text()
	if !utf8.Valid(text) {
		u.failf("a string that is not valid UTF-8")
		return ""
	}
	return string(text)
}

func (u *ubjson) deeper() bool {
	if u.depth == jsonscan.MaxDepth {
		u.failf("nested deeper than %d", jsonscan.MaxDepth)
	}
	u.depth++
	return u.ok()
}

func (u *ubjson) object(field func(key []byte) bool) {
	if m := u.marker(); m != '{' {
		u.unexpected(m, "an object")
	}
	if !u.ok() || !u.deeper() {
		return
	}
	for u.ok() && u.peek() != '}' {
		if key := u.text(); u.ok() && !field(key) {
			u.value(nil)
		}
	}
	u.marker()
	if u.depth--; u.depth == 0 && u.ok() && u.pos < len(u.data) {
		u.failf("more data after the object")
	}
}

func (u *ubjson) array(item func()) {
	u.elements(func(typed byte) {
		if typed != 0 {
			u.failf("an array of type %q where objects should be", typed)
			return
		}
		item()
	})
}

// elements enters an array and calls item for each element, with the type that all of them share, or 0 where each brings its own
// marker.
func (u *ubjson) elements(item func(typed byte)) {
	if m := u.marker(); m != '[' {
		u.unexpected(m, "an array")
	}
	if !u.ok() || !u.deeper() {
		return
	}
	var typed byte
	size := 1
	if u.peek() == '$' {
		u.pos++
		typed = u.marker()
		if size = widths[typed]; size == 0 {
			u.unexpected(typed, "the type of an array's numbers")
		}
		if u.ok() && u.peek() != '#' {
			u.failf("a typed array without a count")
		}
	}
	if u.peek() == '#' {
		u.pos++
		for range u.length(max(size, 1)) {
			if item(typed); !u.ok() {
				break
			}
		}
	} else {
		for u.ok() && u.peek() != ']' {
			item(0)
		}
		u.marker()
	}
	u.depth--
}

func (u *ubjson) value(dst any) {
	if !u.ok() {
		return
	}
	switch dst := dst.(type) {
	case nil:
		u.skip()
	case *string:
		*dst = u.string()
	case *int64:
		*dst = u.whole(0)
	case *[]int32:
		*dst = (*dst)[:0]
		u.elements(func(typed byte) { *dst = append(*dst, u.int32(typed)) })
	case *[]float32:
		*dst = (*dst)[:0]
		u.elements(func(typed byte) { *dst = append(*dst, float32(u.real(typed))) })
	case *[]bool:
		*dst = (*dst)[:0]
		u.elements(func(typed byte) { *dst = append(*dst, u.bool(typed)) })
	case *[]string:
		*dst = (*dst)[:0]
		u.array(func() { *dst = append(*dst, u.string()) })
	default:
		u.fail.set(fault.Internalf("no way to read a %T", dst))
	}
}

// whole reads a whole number, of the type given or with a marker of its own.
func (u *ubjson) whole(typed byte) int64 {
	m := typed
	if m == 0 {
		m = u.marker()
	}
	if !isInteger(m) {
		u.unexpected(m, "a whole number")
		return 0
	}
	n, _ := u.number(m)
	return n
}

func (u *ubjson) int32(typed byte) int32 {
	n := u.whole(typed)
	if n != int64(int32(n)) {
		u.failf("%d is not a whole number of 32 bits", n)
	}
	return int32(n)
}

func (u *ubjson) real(typed byte) float64 {
	m := typed
	if m == 0 {
		m = u.marker()
	}
	if widths[m] == 0 {
		u.unexpected(m, "a number")
		return 0
	}
	_, v := u.number(m)
	return v
}

func (u *ubjson) bool(typed byte) bool {
	if typed == 0 && (u.peek() == 'T' || u.peek() == 'F') {
		return u.marker() == 'T'
	}
	n := u.whole(typed)
	if n != 0 && n != 1 {
		u.failf("%d where true, false, 1 or 0 should be", n)
	}
	return n == 1
}

// skip drops a value of any kind. A typed array is jumped over at once.
func (u *ubjson) skip() {
	switch m := u.peek(); m {
	case '{':
		u.object(func([]byte) bool { return false })
	case '[':
		if rest := u.data[u.pos:]; len(rest) > 3 && rest[1] == '$' && widths[rest[2]] > 0 && rest[3] == '#' {
			u.pos += 4
			u.take(u.length(widths[rest[2]]) * widths[rest[2]])
			return
		}
		u.elements(func(byte) { u.skip() })
	case 'S':
		u.string()
	case 'Z', 'T', 'F':
		u.marker()
	default:
		u.real(0)
	}
}
