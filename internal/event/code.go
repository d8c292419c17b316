package event

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"time"
)

// The parts that records are made of.
//
// An unsigned number is a uvarint. A string is a uvarint of 4n + form and its bytes: as they are (form 0, n bytes), lower-case
// hexadecimal digits packed in pairs (form 1, n bytes), a SHA-256 digest in its text form (form 2, n 0, 32 bytes), or a UUID in its
// text form and lower case (form 3, n 0, 16 bytes). A float is a uvarint of 4n for n/10000, the byte 1 and a float32, or the byte 2
// and a float64, whichever says exactly the same first. A time is told by its distance from another: a uvarint of 1 more than the
// zigzag nanoseconds or, if that is far, the byte 0, a varint of seconds since 1970 and a uvarint of nanoseconds.

const (
	formText = iota
	formHex
	formDigest
	formUUID
)

const digestPrefix = "sha256:"

func appendString(dst []byte, s string) []byte {
	switch {
	case len(s) == 36 && isLowerUUID(s):
		id, _ := parseUUID(s)
		return append(append(dst, formUUID), id[:]...)
	case len(s) == len(digestPrefix)+64 && strings.HasPrefix(s, digestPrefix) && isLowerHex(s[len(digestPrefix):]):
		return appendPacked(append(dst, formDigest), s[len(digestPrefix):])
	case len(s) >= 8 && len(s)%2 == 0 && isLowerHex(s):
		return appendPacked(binary.AppendUvarint(dst, uint64(len(s)/2)<<2|formHex), s)
	}
	return append(binary.AppendUvarint(dst, uint64(len(s))<<2), s...) // formText, which is 0
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if nibbles[s[i]] > 15 || s[i] < 'a' && s[i] > '9' {
			return false
		}
	}
	return true
}

func isLowerUUID(s string) bool {
	_, ok := parseUUID(s)
	return ok && strings.IndexFunc(s, func(r rune) bool { return r >= 'A' && r <= 'F' }) < 0
}

// appendPacked appends a byte for each two hexadecimal digits.
func appendPacked(dst []byte, digits string) []byte {
	for i := 0; i < len(digits); i += 2 {
		dst = append(dst, nibbles[digits[i]]<<4|nibbles[digits[i+1]])
	}
	return dst
}

const floatScale = 10_000

func appendFloat(dst []byte, v float64) []byte {
	if scaled := v * floatScale; scaled >= 0 && scaled < 1<<26 {
		n := uint64(scaled + 0.5)
		if math.Float64bits(float64(n)/floatScale) == math.Float64bits(v) {
			return binary.AppendUvarint(dst, n<<2)
		}
	}
	if short := float32(v); float64(short) == v {
		return binary.LittleEndian.AppendUint32(append(dst, 1), math.Float32bits(short))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 2), math.Float64bits(v))
}

// farthest is the greatest distance of a time from its base that is told in nanoseconds: some 36 years.
const farthest = time.Duration(1) << 60

func appendTime(dst []byte, t, base time.Time) []byte {
	// Without the monotonic clock, whose distance may be another.
	if d := t.Round(0).Sub(base.Round(0)); d > -farthest && d < farthest {
		return binary.AppendUvarint(dst, uint64(d<<1^d>>63)+1)
	}
	return binary.AppendUvarint(binary.AppendVarint(append(dst, 0), t.Unix()), uint64(t.Nanosecond()))
}

// decoder takes a record's body apart. After a problem it gives zero values; the first problem is kept.
type decoder struct {
	b       []byte
	at      int
	problem string
}

func (d *decoder) fail(problem string) {
	if d.problem == "" {
		d.problem = problem
	}
}

// bytes returns the next n bytes, which stay the decoder's; nil if there are fewer.
func (d *decoder) bytes(n uint64) []byte {
	if d.problem != "" || n > uint64(len(d.b)-d.at) {
		d.fail("it is cut short")
		return nil
	}
	d.at += int(n)
	return d.b[d.at-int(n) : d.at]
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	if d.problem != "" {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.at:])
	if n <= 0 {
		d.fail("a number is cut short or too large")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) upTo(limit uint64) uint64 {
	v := d.uvarint()
	if v > limit {
		d.fail("a number is too large")
		return 0
	}
	return v
}

func (d *decoder) string() string {
	head := d.uvarint()
	n := head >> 2
	switch head & 3 {
	case formHex:
		return hex.EncodeToString(d.bytes(n))
	case formDigest, formUUID:
		if n != 0 {
			d.fail("a string has no such form")
			return ""
		}
		if head == formDigest {
			var text [len(digestPrefix) + 64]byte
			if b := d.bytes(32); b != nil {
				return string(hex.AppendEncode(append(text[:0], digestPrefix...), b))
			}
			return ""
		}
		if b := d.bytes(16); b != nil {
			return ID(b).String()
		}
		return ""
	}
	return string(d.bytes(n))
}

func (d *decoder) float() float64 {
	head := d.uvarint()
	switch {
	case head&3 == 0:
		return float64(head>>2) / floatScale
	case head == 1:
		if b := d.bytes(4); b != nil {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case head == 2:
		if b := d.bytes(8); b != nil {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
	default:
		d.fail("a float has no such form")
	}
	return 0
}

func (d *decoder) time(base time.Time) time.Time {
	if head := d.uvarint(); head > 0 {
		zigzag := head - 1
		return base.Add(time.Duration(zigzag>>1) ^ -time.Duration(zigzag&1))
	}
	seconds := d.varint()
	return time.Unix(seconds, int64(d.upTo(1e9-1))).UTC()
}
