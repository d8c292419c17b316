package wire

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// maxRank is how many dimensions a tensor may have.
const maxRank = 16

// noElement says that reading is between elements.
const noElement = -1

// anySize stands for a dimension that the first array at its depth will set.
const anySize = -1

// array reads one JSON array, flat or nested, into a slice of elements. Set the fields up to hint, then call data.
type array struct {
	s      *jsonscan.Scanner
	size   int          // of the whole body: no more than one element fits in two bytes of it
	rows   int          // the most rows
	max    int          // the most elements
	proto  bool         // numbers may also be what protobuf's JSON makes of them: "NaN", "Infinity", "-Infinity", true, false
	plain  bool         // floats may also be true and false, and texts {"b64": "..."}, as the v1 protocols have them
	hint   int          // about how many elements will come, where shape does not tell
	dtype  tensor.DType // of the elements, for error texts
	lo, hi int64        // the range of a whole number

	dims   [maxRank]int // the size of each dimension, or anySize
	leaf   int          // the depth of the innermost arrays, or anySize
	free   bool         // dims and leaf are found while reading, not given
	path   [maxRank]int // where the present array is in the arrays around it
	ragged bool         // the error is about the shape, not about an element
	count  int          // the element being read, or noElement
}

// shaped makes the array expect a shape; elements must be its size. Flat data is welcome too.
func (a *array) shaped(shape []int, elements int) {
	a.free, a.leaf, a.hint = false, len(shape)-1, elements
	copy(a.dims[:], shape)
}

// unshaped makes the array find its shape while it reads.
func (a *array) unshaped(hint int) {
	a.free, a.leaf, a.hint = true, anySize, hint
	for i := range a.dims {
		a.dims[i] = anySize
	}
}

// shape returns the shape that was found.
func (a *array) shape() []int { return a.dims[: a.leaf+1 : a.leaf+1] }

// left returns how many elements the rest of the body can hold at most.
func (a *array) left() int { return (a.size-a.s.Offset())/2 + 1 }

// data reads the array and returns a slice of the Go type of dtype. After an error its content means nothing.
func (a *array) data(d tensor.DType) any {
	a.dtype, a.count, a.ragged = d, noElement, false
	switch d {
	case tensor.Float32:
		return read(a, floats[float32])
	case tensor.Float64:
		return read(a, floats[float64])
	case tensor.Bytes:
		return read(a, texts)
	case tensor.Bool:
		return read(a, bools)
	case tensor.Uint64:
		return read(a, uint64s)
	case tensor.Int64:
		a.lo, a.hi = math.MinInt64, math.MaxInt64
		return read(a, ints[int64])
	case tensor.Int32:
		a.lo, a.hi = math.MinInt32, math.MaxInt32
		return read(a, ints[int32])
	case tensor.Int16:
		a.lo, a.hi = math.MinInt16, math.MaxInt16
		return read(a, ints[int16])
	case tensor.Int8:
		a.lo, a.hi = math.MinInt8, math.MaxInt8
		return read(a, ints[int8])
	case tensor.Uint32:
		a.lo, a.hi = 0, math.MaxUint32
		return read(a, ints[uint32])
	case tensor.Uint16:
		a.lo, a.hi = 0, math.MaxUint16
		return read(a, ints[uint16])
	default:
		a.lo, a.hi = 0, math.MaxUint8
		return read(a, ints[uint8])
	}
}

// wrap adds to err, an error of reading, which element of what it is about, counted from 0.
func (a *array) wrap(err error, what string) error {
	switch {
	case a.ragged || a.count == noElement:
		return fault.Invalidf("%s: %w", what, err)
	case a.leaf == 1 && a.dims[1] > 0:
		return fault.Invalidf("%s, row %d, value %d: %w", what, a.count/a.dims[1], a.count%a.dims[1], err)
	}
	return fault.Invalidf("%s, element %d: %w", what, a.count, err)
}

// read reads the whole array. row reads the elements of an innermost array that has been entered, to its end: what costs a call is
// a row and not an element.
func read[T tensor.Element](a *array, row func(*array, []T) []T) []T {
	out := make([]T, 0, min(a.hint, a.left(), a.max))
	if a.free {
		return nested(a, 0, out, row)
	}
	a.s.Array()
	if a.s.Peek() == jsonscan.Array {
		return elements(a, 0, out, row)
	}
	out = row(a, out)
	if a.s.Err() == nil && len(out) != a.hint {
		a.fail("it has %d values, but shape %v needs %d", len(out), a.shape(), a.hint)
	}
	return out
}

// nested reads one array at the given depth, with all it holds.
func nested[T tensor.Element](a *array, depth int, out []T, row func(*array, []T) []T) []T {
	a.s.Array()
	return elements(a, depth, out, row)
}

// elements reads on after the bracket.
func elements[T tensor.Element](a *array, depth int, out []T, row func(*array, []T) []T) []T {
	n, before := 0, len(out)
	if a.s.Peek() != jsonscan.Array {
		out = row(a, out)
		a.close(depth, len(out)-before, true)
		return out
	}
	if !a.mayNest(depth) {
		return out
	}
	for a.s.Next() {
		if depth == 0 && n == a.rows {
			a.fail("it has more than %d rows; send them in several requests", a.rows)
			return out
		}
		a.path[depth] = n
		from := a.s.Offset()
		out = nested(a, depth+1, out, row)
		if n++; n == 1 && depth == 0 && a.free && a.s.Err() == nil {
			// Rows are about as long as the first one.
			more := (a.size - a.s.Offset()) / (a.s.Offset() - from) * (len(out) - before)
			out = slices.Grow(out, max(0, min(more+more/16, a.left(), a.max-len(out))))
		}
	}
	a.close(depth, n, false)
	return out
}

// mayNest tells whether arrays may stand in an array at depth.
func (a *array) mayNest(depth int) bool {
	switch {
	case a.s.Err() != nil:
		return false
	case depth+1 == maxRank:
		a.fail("it has more than %d dimensions", maxRank)
	case a.free && a.leaf == anySize, depth < a.leaf:
		return true
	case a.free:
		a.fail("%s is nested deeper than what came before", a.where(depth))
	default:
		a.fail("%s is nested deeper than shape %v", a.where(depth), a.shape())
	}
	return false
}

// close checks the size of an array at depth that has ended.
func (a *array) close(depth, n int, leaf bool) {
	if a.s.Err() != nil {
		return
	}
	a.count = noElement
	switch {
	case leaf && a.leaf == anySize && a.free:
		a.leaf = depth
	case leaf && a.leaf != depth && (n > 0 || a.dims[depth] != 0):
		a.fail("%s holds values where arrays should be", a.where(depth))
		return
	}
	switch want := a.dims[depth]; {
	case want == anySize:
		a.dims[depth] = n
	case want == n:
	case !a.free:
		a.fail("%s has %d values, but shape %v needs %d", a.where(depth), n, a.shape(), want)
	case depth == 1:
		a.fail("row %d has %d values, row 0 has %d", a.path[0], n, want)
	default:
		a.fail("%s has %d values, those before it have %d", a.where(depth), n, want)
	}
}

// where names the present array at depth.
func (a *array) where(depth int) string {
	switch depth {
	case 0:
		return "it"
	case 1:
		return "row " + strconv.Itoa(a.path[0])
	}
	return strings.ReplaceAll(fmt.Sprint(a.path[:depth]), " ", "][")
}

// fail records an error about the shape.
func (a *array) fail(format string, args ...any) {
	if a.s.Err() == nil {
		a.ragged = true
		a.s.Failf(format, args...)
	}
}
