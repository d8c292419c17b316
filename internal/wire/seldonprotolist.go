package wire

import (
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/tensor"
)

// listReader reads a google.protobuf.ListValue, nested to equal lengths, into a flat slice.
type listReader struct {
	limits  Limits
	text    bool // of texts, not of numbers
	numbers []float64
	texts   []string
	dims    [maxRank]int // the size of each dimension, or anySize
	leaf    int          // the depth of the innermost lists, or anySize
	path    [maxRank]int // where the present list is in the lists around it
	count   int          // the element of it that is read
}

// ndarray reads nested lists.
func (c *seldonProtoCall) ndarray(list []byte) error {
	l := listReader{limits: c.limits, text: c.elements(0) == tensor.Bytes, leaf: anySize}
	for i := range l.dims {
		l.dims[i] = anySize
	}
	const smallestNumber = 11 // bytes, with its tag and length
	if l.text {
		l.texts = make([]string, 0, 1)
	} else {
		l.numbers = make([]float64, 0, len(list)/smallestNumber)
	}
	if err := l.list(list, 0); err != nil {
		return err
	}
	shape := c.shape[:l.leaf+1]
	copy(shape, l.dims[:])
	c.input[0] = tensor.Tensor{Shape: shape, Data: l.numbers}
	if l.text {
		c.input[0].Data = l.texts
	}
	return nil
}

// list reads one list with all that it holds.
func (l *listReader) list(list []byte, depth int) error {
	f := protoFields{message: "google.protobuf.ListValue", left: list}
	n := 0
	for tag := f.next(); tag != 0; tag = f.next() {
		if tag != 1<<3|delimited {
			continue
		}
		l.count = n
		v, err := readValue(f.bytes)
		switch {
		case err != nil:
			return err
		case v.kind == jsonscan.Array:
			l.path[depth] = n
			err = l.mayNest(n, depth)
			if err == nil {
				err = l.list(v.bytes, depth+1)
			}
		case l.leaf == anySize:
			l.leaf = depth
			err = l.value(v)
		case l.leaf != depth:
			err = fault.Invalidf("%s holds values where lists should be", l.where(depth))
		default:
			err = l.value(v)
		}
		if err != nil {
			return err
		}
		n++
	}
	if f.err != nil {
		return f.err
	}
	return l.close(n, depth)
}

// mayNest tells what is wrong with list number n in a list at depth.
func (l *listReader) mayNest(n, depth int) error {
	switch {
	case l.leaf != anySize && depth >= l.leaf:
		return fault.Invalidf("%s is nested deeper than what came before", l.where(depth))
	case depth+1 == maxRank:
		return fault.Invalidf("data.ndarray has more than %d dimensions", maxRank)
	case depth == 0 && n == l.limits.Rows:
		return fault.Invalidf("data.ndarray has more than %d rows; send them in several requests", l.limits.Rows)
	}
	return nil
}

// close checks the size of a list that has ended.
func (l *listReader) close(n, depth int) error {
	if l.leaf == anySize { // it is empty
		l.leaf = depth
	}
	switch want := l.dims[depth]; {
	case depth > l.leaf || n == 0 && depth < l.leaf:
		return fault.Invalidf("%s is empty where others are not", l.where(depth))
	case want == anySize:
		l.dims[depth] = n
	case want != n:
		return fault.Invalidf("%s has %d values, those before it have %d", l.where(depth), n, want)
	}
	return nil
}

// where names the present list at depth.
func (l *listReader) where(depth int) string {
	switch depth {
	case 0:
		return "data.ndarray"
	case 1:
		return "data.ndarray, row " + strconv.Itoa(l.path[0])
	}
	name := "data.ndarray, list "
	for _, i := range l.path[:depth] {
		name += "[" + strconv.Itoa(i) + "]"
	}
	return name
}

// value reads a number or a text.
func (l *listReader) value(v protoValue) error {
	if len(l.numbers)+len(l.texts) == l.limits.Elements {
		return fault.Invalidf("data.ndarray has more than %d values; send the rows in several requests", l.limits.Elements)
	}
	number, ok := v.number, true
	switch {
	case l.text && v.kind == jsonscan.String:
		l.texts = append(l.texts, string(v.bytes))
		return nil
	case l.text:
		ok = false
	case v.kind == jsonscan.Null:
		number = math.NaN()
	case v.kind == jsonscan.Bool && v.truth:
		number = 1
	case v.kind == jsonscan.Bool:
		number = 0
	case v.kind == jsonscan.String:
		number, ok = notFinite(v.bytes)
	case v.kind != jsonscan.Number:
		ok = false
	}
	if !ok {
		return l.unfit(v)
	}
	l.numbers = append(l.numbers, number)
	return nil
}

// notFinite reads the texts that stand for numbers in protobuf's JSON.
func notFinite(text []byte) (float64, bool) {
	switch string(text) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// unfit says what stands where something else should.
func (l *listReader) unfit(v protoValue) error {
	want := "a number"
	if l.text {
		want = "a text"
	}
	have := map[jsonscan.Kind]string{jsonscan.Null: "null", jsonscan.Bool: "a bool", jsonscan.Object: "an object"}[v.kind]
	switch v.kind {
	case jsonscan.String:
		have = "the string " + strconv.Quote(string(v.bytes[:min(len(v.bytes), 40)]))
	case jsonscan.Number:
		have = "the number " + strconv.FormatFloat(v.number, 'g', -1, 64)
	}
	return fault.Invalidf("%s, value %d: %s where %s should be", l.where(l.leaf), l.count, have, want)
}
