package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// precision says how numbers are written: the size of the float that a float32 is written as, and what is done with what JSON has no
// number for.
type precision int

const (
	singles precision = 32 // the shortest decimal that reads back as the same float32
	doubles precision = 64 // the double it equals, as the shortest decimal that reads back as that

	nulls  precision = 1 << 8 // NaN is null, a missing value; in a request, whose inputs errors speak of
	texted precision = 1 << 9 // NaN is "NaN", as protobuf's JSON has it; likewise
)

func (p precision) bits() int { return int(p & 127) }

// missing is what stands for NaN, "" if nothing does.
func (p precision) missing() string {
	switch {
	case p&nulls != 0:
		return "null"
	case p&texted != 0:
		return `"NaN"`
	}
	return ""
}

// refuse says that an element of t cannot be written: in an answer that is the model's fault, in a request that of who asks.
func (p precision) refuse(t *tensor.Tensor, element int, why string) error {
	if p.missing() == "" {
		return fault.Internalf("output %q, element %d%s", t.Name, element, why)
	}
	return fault.Invalidf("input %q, element %d%s", t.Name, element, why).
		WithHint("it could be carried as binary data alone, which the server that is asked does not take")
}

// appendFlat writes all elements of t as one array. t must have passed its Check.
func appendFlat(dst []byte, t *tensor.Tensor, p precision) ([]byte, error) {
	return appendElements(dst, t, 0, t.Len(), p)
}

// appendNested writes t as arrays within arrays. t must have passed its Check. A scalar becomes an array of one.
func appendNested(dst []byte, t *tensor.Tensor, p precision) ([]byte, error) {
	if len(t.Shape) < 2 || t.Len() == 0 {
		return appendFlat(dst, t, p)
	}
	return appendLevel(dst, t, t.Shape, 0, t.Len(), p)
}

func appendLevel(dst []byte, t *tensor.Tensor, shape []int, from, to int, p precision) ([]byte, error) {
	if len(shape) == 1 {
		return appendElements(dst, t, from, to, p)
	}
	var err error
	step := (to - from) / shape[0]
	for c := byte('['); from < to && err == nil; from, c = from+step, ',' {
		dst, err = appendLevel(append(dst, c), t, shape[1:], from, from+step, p)
	}
	return append(dst, ']'), err
}

// appendElements writes the elements from..to as one array.
func appendElements(dst []byte, t *tensor.Tensor, from, to int, p precision) ([]byte, error) {
	at := -1 // the element that cannot be written
	switch data := t.Data.(type) {
	case []float32:
		dst, at = appendFloats(dst, data[from:to], p.bits(), p.missing())
	case []float64:
		dst, at = appendFloats(dst, data[from:to], 64, p.missing())
	case []string:
		dst = append(dst, '[')
		for i, text := range data[from:to] {
			var err error
			if dst, err = appendString(comma(dst, i), text); err != nil {
				return dst, p.refuse(t, from+i, ": "+err.Error())
			}
		}
		dst = append(dst, ']')
	case []bool:
		dst = append(dst, '[')
		for i, v := range data[from:to] {
			dst = strconv.AppendBool(comma(dst, i), v)
		}
		dst = append(dst, ']')
	case []uint64:
		dst = append(dst, '[')
		for i, v := range data[from:to] {
			dst = strconv.AppendUint(comma(dst, i), v, 10)
		}
		dst = append(dst, ']')
	case []int64:
		dst = appendInts(dst, data[from:to])
	case []int32:
		dst = appendInts(dst, data[from:to])
	case []int16:
		dst = appendInts(dst, data[from:to])
	case []int8:
		dst = appendInts(dst, data[from:to])
	case []uint32:
		dst = appendInts(dst, data[from:to])
	case []uint16:
		dst = appendInts(dst, data[from:to])
	case []uint8:
		dst = appendInts(dst, data[from:to])
	}
	if at >= 0 {
		values, _ := t.Float64s()
		return dst, p.refuse(t, from+at, fmt.Sprintf(" is %v, which JSON cannot carry", values[from+at]))
	}
	return dst, nil
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

func appendInts[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](dst []byte, data []I) []byte {
	dst = append(dst, '[')
	for i, v := range data {
		dst = strconv.AppendInt(comma(dst, i), int64(v), 10)
	}
	return append(dst, ']')
}

// appendFloats writes floats and returns -1, or the index of the first that cannot be written: an infinity, or a NaN if nothing stands
// for it.
func appendFloats[F float32 | float64](dst []byte, data []F, bits int, missing string) ([]byte, int) {
	dst = append(dst, '[')
	for i, v := range data {
		d := float64(v)
		if d-d != 0 { // it is not finite
			if math.IsInf(d, 0) || missing == "" {
				return dst, i
			}
			dst = append(comma(dst, i), missing...)
			continue
		}
		dst = appendFloat(comma(dst, i), d, bits)
	}
	return append(dst, ']'), -1
}

// roundedTwice is the one float32 whose shortest decimal, 7.038531e-26, is another float32 to those who read it as a double first, as this
// package and most clients do. All of them have been tried.
const roundedTwice = 0x1.5c87fap-84

// appendFloat writes a finite float in the form Python writes it: always with a point or an exponent, so that a reader without types
// takes it for a float.
func appendFloat(dst []byte, v float64, bits int) []byte {
	a := math.Abs(v)
	if a == roundedTwice {
		bits = 64
	}
	if a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	}
	dst = strconv.AppendFloat(dst, v, 'f', -1, bits)
	if v == math.Trunc(v) {
		dst = append(dst, ".0"...)
	}
	return dst
}

// appendShape writes whole numbers as an array.
func appendShape(dst []byte, shape []int) []byte {
	dst = append(dst, '[')
	for i, d := range shape {
		dst = strconv.AppendInt(comma(dst, i), int64(d), 10)
	}
	return append(dst, ']')
}

// appendString writes a JSON string. Text that is not valid UTF-8 has no JSON form: to replace what is wrong would be another text.
func appendString(dst []byte, text string) ([]byte, error) {
	if !utf8.ValidString(text) {
		return dst, fault.Internalf("text that is not valid UTF-8 cannot be written as JSON")
	}
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, text[from:]...)
	return append(dst, '"'), nil
}

// appendText writes a string of ours, a name or a message, for a person: what is not UTF-8 in it is replaced.
func appendText(dst []byte, text string) []byte {
	dst, _ = appendString(dst, validText(text)) // valid now
	return dst
}

// validText replaces what is not UTF-8 in a text of ours.
func validText(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// explain is what an error says to a client: what is wrong, and what to do where that is known.
func explain(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}
