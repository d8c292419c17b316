package jsonscan

import (
	"math"
	"strconv"
	"unsafe"
)

// literal is a number as it stands in the text: mant × 10^exp, where exact says that mant holds every digit.
type literal struct {
	text  []byte
	mant  uint64
	exp   int
	neg   bool
	exact bool
	frac  bool // has a point or an exponent
	odd   float64
	isOdd bool // NaN or an infinity: odd holds it
}

// maxExponent bounds the exponent while it is read, so that a long one cannot overflow; no float has more digits.
const maxExponent = 100_000

// number reads a number by RFC 8259's grammar.
func (s *Scanner) number() (n literal) {
	if s.err != nil {
		return n
	}
	s.space()
	start, d, i := s.pos, s.data, s.pos
	if i < len(d) && d[i] == '-' {
		n.neg = true
		i++
	}
	if s.lax && i < len(d) && (d[i] == 'N' || d[i] == 'I') {
		return s.odd(start, i, n.neg)
	}
	digits, from := 0, i
	for ; i < len(d) && d[i]-'0' < 10; i++ {
		if digits < 19 {
			n.mant = n.mant*10 + uint64(d[i]-'0')
		} else {
			n.exp++
		}
		if n.mant != 0 {
			digits++
		}
	}
	if i == from || d[from] == '0' && i-from > 1 {
		s.pos = from
		s.unexpected("a number")
		return n
	}
	if i < len(d) && d[i] == '.' {
		n.frac = true
		i++
		point := i
		for ; i < len(d) && d[i]-'0' < 10; i++ {
			if digits < 19 {
				n.mant = n.mant*10 + uint64(d[i]-'0')
				n.exp--
			}
			if n.mant != 0 {
				digits++
			}
		}
		if i == point {
			s.pos = i
			s.unexpected("a digit")
			return n
		}
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		n.frac = true
		i++
		minus := i < len(d) && d[i] == '-'
		if i < len(d) && (d[i] == '-' || d[i] == '+') {
			i++
		}
		e, point := 0, i
		for ; i < len(d) && d[i]-'0' < 10; i++ {
			e = min(e*10+int(d[i]-'0'), maxExponent)
		}
		if i == point {
			s.pos = i
			s.unexpected("a digit")
			return n
		}
		if minus {
			e = -e
		}
		n.exp += e
	}
	n.exact = digits <= 19
	n.text = d[start:i]
	s.pos = i
	return n
}

// odd reads what AllowNonFinite allows, from the letter at i.
func (s *Scanner) odd(start, i int, neg bool) (n literal) {
	s.pos = i
	switch {
	case !neg && s.literal("NaN"):
		n.odd = math.NaN()
	case s.literal("Infinity"):
		n.odd = math.Inf(1)
		if neg {
			n.odd = math.Inf(-1)
		}
	default:
		s.unexpected("a number")
		return n
	}
	n.isOdd = true
	n.text = s.data[start:s.pos]
	return n
}

// pow10 holds the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Float64 reads a number, rounded to nearest. One that no float64 can hold is an error.
func (s *Scanner) Float64() float64 {
	n := s.number()
	if s.err != nil || n.isOdd {
		return n.odd
	}
	if v, ok := n.fast(); ok {
		return v
	}
	return s.parse(n, 64)
}

// fast is Clinger's fast path: where mantissa and power of ten are both exact, one rounding remains.
func (n *literal) fast() (v float64, ok bool) {
	if !n.exact || n.mant >= 1<<53 || n.exp < -22 || n.exp > 22 {
		return 0, false
	}
	v = float64(n.mant)
	if n.exp < 0 {
		v /= pow10[-n.exp]
	} else {
		v *= pow10[n.exp]
	}
	if n.neg {
		v = -v
	}
	return v, true
}

// Float32 reads a number, rounded once, from the text, to the nearest float32. One that no float32 can hold is an error.
func (s *Scanner) Float32() float32 {
	n := s.number()
	if s.err != nil || n.isOdd {
		return float32(n.odd)
	}
	if v, ok := n.fast(); ok && (n.mant == 0 || roundsOnce(v)) {
		return float32(v)
	}
	return float32(s.parse(n, 32))
}

// roundsOnce tells whether rounding v, itself rounded from the text, gives the float32 nearest to the text. It may not when v lies
// halfway between two float32 (the text may lie to either side), or beyond the normal ones.
func roundsOnce(v float64) bool {
	const below = 1<<29 - 1 // the bits of a float64's mantissa that a float32 drops
	a := math.Abs(v)
	return math.Float64bits(v)&below != 1<<28 && a >= 0x1p-126 && a < 0x1p127
}

func (s *Scanner) parse(n literal, bits int) float64 {
	//nolint:gosec // the text outlives the call, and ParseFloat keeps none of it but in an error, which is dropped
	text := unsafe.String(unsafe.SliceData(n.text), len(n.text))
	v, err := strconv.ParseFloat(text, bits)
	if err != nil {
		s.pos -= len(n.text)
		s.Failf("%.40q does not fit a %d-bit float", n.text, bits)
		return 0
	}
	return v
}

// Int64 reads a whole number without point or exponent. One that no int64 can hold is an error.
func (s *Scanner) Int64() int64 {
	if v, ok := s.shortInt(); ok {
		return v
	}
	n := s.number()
	limit := uint64(math.MaxInt64)
	if n.neg {
		limit++
	}
	if s.err == nil && (n.isOdd || n.frac || !n.exact || n.exp != 0 || n.mant > limit) {
		s.pos -= len(n.text)
		s.Failf("%.40q is not a whole number of 64 bits", n.text)
	}
	if s.err != nil {
		return 0
	}
	if n.neg {
		return -int64(n.mant)
	}
	return int64(n.mant)
}

// shortInt reads a whole number of at most 18 digits, which is nearly every one. Of anything else it reads nothing.
func (s *Scanner) shortInt() (v int64, ok bool) {
	if s.err != nil {
		return 0, false
	}
	s.space()
	d, i := s.data, s.pos
	neg := i < len(d) && d[i] == '-'
	if neg {
		i++
	}
	from := i
	for ; i < len(d) && d[i]-'0' < 10 && i-from < 19; i++ {
		v = v*10 + int64(d[i]-'0')
	}
	n := i - from
	if n == 0 || n > 18 || n > 1 && d[from] == '0' || i < len(d) && (d[i] == '.' || d[i]|0x20 == 'e') {
		return 0, false
	}
	s.pos = i
	if neg {
		v = -v
	}
	return v, true
}

// skipNumber reads a number by its grammar alone.
func (s *Scanner) skipNumber() {
	d, i := s.data, s.pos
	if i < len(d) && d[i] == '-' {
		i++
	}
	from := i
	i = digits(d, i)
	short := i == from || d[from] == '0' && i-from > 1
	if i < len(d) && d[i] == '.' {
		point := i + 1
		i = digits(d, point)
		short = short || i == point
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		i++
		if i < len(d) && (d[i] == '-' || d[i] == '+') {
			i++
		}
		exponent := i
		i = digits(d, i)
		short = short || i == exponent
	}
	if short {
		s.number() // which says what is wrong, or that it is no finite number
		return
	}
	s.pos = i
}

// digits returns where the digits from i on end.
func digits(d []byte, i int) int {
	for i < len(d) && d[i]-'0' < 10 {
		i++
	}
	return i
}

// Number reads a number and returns its text, which shares the input.
func (s *Scanner) Number() []byte { return s.number().text }
