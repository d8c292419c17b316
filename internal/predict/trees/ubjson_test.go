package trees

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// appendJSON writes what a doc holds, keys sorted, floats as Python does: NaN is a bare word.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case doc:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(strconv.AppendQuote(b, key), ':')
			b = appendJSON(b, v[key])
		}
		return append(b, '}')
	case string:
		return strconv.AppendQuote(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float32:
		switch {
		case math.IsInf(float64(v), 0):
			return append(b, strings.Replace(fmt.Sprint(v), "+", "", 1)+"inity"...)
		default:
			return strconv.AppendFloat(b, float64(v), 'G', -1, 32)
		}
	case float64:
		return strconv.AppendFloat(b, v, 'G', -1, 64)
	case bool:
		return strconv.AppendBool(b, v)
	case nil:
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, e := range elements(v) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, e)
	}
	return append(b, ']')
}

// elements returns an array's elements: whole numbers as int64.
func elements(v any) (all []any) {
	switch v := v.(type) {
	case []any:
		return v
	case []float32:
		for _, e := range v {
			all = append(all, e)
		}
	case []int32:
		for _, e := range v {
			all = append(all, int64(e))
		}
	case []int64:
		for _, e := range v {
			all = append(all, e)
		}
	case []uint8:
		for _, e := range v {
			all = append(all, int64(e))
		}
	default:
		panic(fmt.Sprintf("no array: %T", v))
	}
	return all
}

// dialect says how UBJSON is written, for there are several ways.
type dialect struct {
	typed   bool // arrays of numbers with a type and a count, else each element with a type
	counted bool // other arrays with a count, else with an end
	whole   byte // the type of each whole number that stands alone: 0 for the smallest that holds it
	length  byte // the type of lengths
}

// typedArrays is how XGBoost writes; its plain arrays are counted.
var typedArrays = dialect{typed: true, counted: true, whole: 0, length: 'L'}

// appendUBJSON writes what a doc holds.
func appendUBJSON(b []byte, v any, d dialect) []byte {
	switch v := v.(type) {
	case doc:
		b = append(b, '{')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b = append(d.size(b, len(key)), key...)
			b = appendUBJSON(b, v[key], d)
		}
		return append(b, '}')
	case string:
		return append(d.size(append(b, 'S'), len(v)), v...)
	case int64:
		m := d.whole
		if m == 0 {
			m = smallest(v)
		}
		return appendWhole(append(b, m), m, v)
	case float32:
		return binary.BigEndian.AppendUint32(append(b, 'd'), math.Float32bits(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'D'), math.Float64bits(v))
	case bool:
		if v {
			return append(b, 'T')
		}
		return append(b, 'F')
	case nil:
		return append(b, 'Z')
	}
	all := elements(v)
	b = append(b, '[')
	if marker := elementType(v); d.typed && marker != 0 {
		b = d.size(append(b, '$', marker, '#'), len(all))
		for _, e := range all {
			if f, ok := e.(float32); ok {
				b = binary.BigEndian.AppendUint32(b, math.Float32bits(f))
			} else {
				b = appendWhole(b, marker, e.(int64))
			}
		}
		return b
	}
	if d.counted {
		b = d.size(append(b, '#'), len(all))
	}
	for _, e := range all {
		b = appendUBJSON(b, e, d)
	}
	if !d.counted {
		b = append(b, ']')
	}
	return b
}

func (d dialect) size(b []byte, n int) []byte {
	m := d.length
	if limit := map[byte]int{'i': math.MaxInt8, 'U': math.MaxUint8, 'I': math.MaxInt16}[m]; limit != 0 && n > limit {
		m = 'l'
	}
	return appendWhole(append(b, m), m, int64(n))
}

func elementType(v any) byte {
	switch v.(type) {
	case []float32:
		return 'd'
	case []int32:
		return 'l'
	case []int64:
		return 'L'
	case []uint8:
		return 'U'
	}
	return 0
}

func smallest(v int64) byte {
	switch {
	case v >= math.MinInt8 && v <= math.MaxInt8:
		return 'i'
	case v >= 0 && v <= math.MaxUint8:
		return 'U'
	case v >= math.MinInt16 && v <= math.MaxInt16:
		return 'I'
	case v >= math.MinInt32 && v <= math.MaxInt32:
		return 'l'
	}
	return 'L'
}

func appendWhole(b []byte, m byte, v int64) []byte {
	switch m {
	case 'i', 'U':
		return append(b, byte(v))
	case 'I':
		return binary.BigEndian.AppendUint16(b, uint16(v))
	case 'l':
		return binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return binary.BigEndian.AppendUint64(b, uint64(v))
}

// dialects are ways of writing that must all read the same.
var dialects = map[string]dialect{
	"as XGBoost writes":         typedArrays,
	"plain arrays":              {length: 'L'},
	"counted arrays":            {counted: true, length: 'l'},
	"typed arrays, short sizes": {typed: true, counted: true, length: 'U'},
	"lengths of one byte":       {length: 'i'},
	"lengths of two bytes":      {typed: true, length: 'I'},
	"numbers of two bytes":      {whole: 'I', length: 'U'},
	"numbers of four bytes":     {whole: 'l', length: 'i'},
	"numbers of eight bytes":    {whole: 'L', length: 'l'},
}

func TestEveryWayToWriteUBJSONReadsTheSame(t *testing.T) {
	rows := sparseRows(t, grove, 200)
	want, wantMargin := answersTo(t, mustOpen(t, grove.json(), nil), rows)
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) {
			file := grove.doc()
			if d.whole == 'I' { // the root's parent needs four bytes
				for i := range grove.trees {
					put(file, fmt.Sprintf("learner/gradient_booster/model/trees/%d/parents", i), []int32{})
				}
			}
			got, margin := answersTo(t, mustOpen(t, appendUBJSON(nil, file, d), nil), rows)
			if !sameBits(got, want) || !sameBits(margin, wantMargin) {
				t.Errorf("got %v, want %v", got.Data, want.Data)
			}
		})
	}
}

func TestBooleansMayBeTruthValues(t *testing.T) { // as XGBoost wrote default_left up to 1.5
	file := grove.doc()
	rows := sparseRows(t, grove, 200)
	want, _ := answersTo(t, mustOpen(t, grove.json(), nil), rows)
	for i := range grove.trees {
		path := fmt.Sprintf("learner/gradient_booster/model/trees/%d/default_left", i)
		truth := []any{}
		for _, v := range elements(get(file, path)) {
			truth = append(truth, v.(int64) == 1)
		}
		put(file, path, truth)
	}
	for name, data := range map[string][]byte{"json": appendJSON(nil, file), "ubjson": appendUBJSON(nil, file, typedArrays)} {
		if got, _ := answersTo(t, mustOpen(t, data, nil), rows); !sameBits(got, want) {
			t.Errorf("%s: got %v, want %v", name, got.Data, want.Data)
		}
	}
}

func TestWhatAReaderDoesNotKnowIsDropped(t *testing.T) {
	rows := sparseRows(t, grove, 50)
	want, _ := answersTo(t, mustOpen(t, grove.json(), nil), rows)
	file := grove.doc()
	extra := doc{
		"": "", "null": nil, "yes": true, "no": false, "float": float32(1.5), "double": 1e300, "nan": float32(math.NaN()), "text": "é",
		"whole": int64(-1), "short": int64(300), "long": int64(1 << 40), "list": []any{int64(1), "a", []any{}, doc{}}, "typed": []float32{1, float32(math.Inf(-1))},
		"bytes": []uint8{1, 2, 255}, "int64s": []int64{math.MinInt64}, "int32s": []int32{-1}, "object": doc{"a": doc{"b": []any{doc{}}}},
	}
	for _, path := range []string{"", "learner", "learner/learner_model_param", "learner/objective", "learner/gradient_booster", "learner/gradient_booster/model", "learner/gradient_booster/model/gbtree_model_param",
		"learner/gradient_booster/model/trees/0", "learner/gradient_booster/model/trees/4/tree_param"} {
		for k, v := range extra {
			put(file, strings.TrimPrefix(path+"/extra "+k, "/"), v)
		}
	}
	if got, _ := answersTo(t, mustOpen(t, appendJSON(nil, file), nil), rows); !sameBits(got, want) {
		t.Errorf("json: got %v, want %v", got.Data, want.Data)
	}
	for name, d := range dialects {
		if d.whole == 'I' {
			continue // cannot hold the numbers above
		}
		if got, _ := answersTo(t, mustOpen(t, appendUBJSON(nil, file, d), nil), rows); !sameBits(got, want) {
			t.Errorf("ubjson, %s: got %v, want %v", name, got.Data, want.Data)
		}
	}
}

// claim makes a UBJSON object whose first key holds the bytes given.
func claim(key, value string) []byte {
	return []byte("{L\x00\x00\x00\x00\x00\x00\x00" + string(rune(len(key))) + key + value)
}

func TestUBJSONClaimsAreNotTrusted(t *testing.T) {
	const huge = "L\x10\x00\x00\x00\x00\x00\x00\x00" // 2^60
	inLearner := func(value string) []byte {
		return append(claim("learner", ""), append([]byte("{i\x0dfeature_names"), value...)...)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"a key of 2^60 bytes", append(claim("learner", "{"), huge...), "a length of"},
		{"a string of 2^60 bytes", inLearner("[S" + huge), "a length of"},
		{"a list of 2^60", inLearner("[#" + huge), "a length of"},
		{"a negative list", inLearner("[#i\xff"), "a length of -1"},
		{"2^60 floats, dropped", append(claim("learner", "{i\x01x"), "[$d#"+huge...), "a length of"},
		{"2^62 doubles, dropped", append(claim("learner", "{i\x01x"), "[$D#L\x40\x00\x00\x00\x00\x00\x00\x00"...), "a length of"},
		{"a typed list without a count", inLearner("[$d\x00\x00\x00\x00]"), "without a count"},
		{"a dropped typed list without a count", append(claim("learner", "{i\x01x"), "[$d\x00\x00\x00\x00]"...), "without a count"},
		{"a typed list of strings", inLearner("[$S#i\x01i\x01a"), "type of an array"},
		{"a typed list of nothings", append(claim("learner", "{i\x01x"), "[$Z#"+huge...), "type of an array"},
		{"floats where names should be", inLearner("[$d#i\x01\x00\x00\x00\x00"), "an array of type"},
		{"a length that is a float", inLearner("[#d\x00\x00\x00\x00"), "the type of a length"},
		{"a marker that is none", inLearner("[?"), "where a string should be"},
		{"a name that is no UTF-8", inLearner("[Si\x01\xff]"), "UTF-8"},
		{"lists without end", append(claim("learner", "{i\x01x"), strings.Repeat("[", 100_000)...), "nested deeper"},
		{"objects without end", append(claim("learner", "{i\x01x"), strings.Repeat("{i\x01x", 100_000)...), "nested deeper"},
		{"more after the end", append(grove.ubjson(), '}'), "more data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			allocated, m, err := openCounting(tt.data)
			if m != nil {
				t.Fatal("it opens")
			}
			mentions(t, err, "model: UBJSON at byte", tt.want)
			if limit := allowance(tt.data); allocated > limit {
				t.Errorf("%d bytes were allocated for a file of %d, want at most %d", allocated, len(tt.data), limit)
			}
		})
	}
}
