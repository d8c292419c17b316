package trees

import (
	"bytes"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
)

// source pulls one document out of bytes. XGBoost writes one schema in two syntaxes, JSON and UBJSON; the decoder of the schema
// knows this interface only. Errors go to the failure that the source was made with: after the first one every method does
// nothing, so that the decoder looks at it once, at the end.
type source interface {
	// object reads an object and calls field for each key. field reads the value and returns true, or reads nothing and returns
	// false to have the value dropped. The key is good until field reads. After the outermost object nothing may follow.
	object(field func(key []byte) (known bool))
	// array reads an array and calls item for each element; item must read it.
	array(item func())
	// value reads a value into what dst points to: a string, an int64, or a slice of int32, float32, bool (0 and 1 count) or
	// string, whose memory is used again. A nil dst drops the value.
	value(dst any)
}

// failure keeps the first error.
type failure struct{ err error }

func (f *failure) set(err error) {
	if f.err == nil {
		f.err = err
	}
}

// newSource tells the syntax by the first two bytes: both begin an object with a brace, after which JSON has a quote (or space)
// and UBJSON the type of the length of the first key.
func newSource(data []byte, f *failure) source {
	if len(data) > 1 && data[0] == '{' && bytes.IndexByte([]byte("iUIlL"), data[1]) >= 0 {
		return &ubjson{data: data, fail: f}
	}
	return &jsonSource{scan: jsonscan.New(data).AllowNonFinite(), fail: f}
}

// jsonSource reads JSON. XGBoost writes NaN and Infinity as bare words, in statistics that are dropped here.
type jsonSource struct {
	scan  *jsonscan.Scanner
	fail  *failure
	depth int
}

func (j *jsonSource) ok() bool {
	if err := j.scan.Err(); err != nil {
		j.fail.set(err)
	}
	return j.fail.err == nil
}

func (j *jsonSource) object(field func(key []byte) bool) {
	if !j.ok() {
		return
	}
	j.depth++
	for j.scan.Object(); j.ok() && j.scan.Next(); {
		if key := j.scan.Key(); j.ok() && !field(key) {
			j.scan.Skip()
		}
	}
	if j.depth--; j.depth == 0 && j.ok() {
		j.scan.End()
	}
	j.ok()
}

func (j *jsonSource) array(item func()) {
	if !j.ok() {
		return
	}
	for j.scan.Array(); j.ok() && j.scan.Next(); {
		item()
	}
	j.ok()
}

func (j *jsonSource) value(dst any) {
	if !j.ok() {
		return
	}
	s := j.scan
	switch dst := dst.(type) {
	case nil:
		s.Skip()
	case *string:
		*dst = s.String()
	case *int64:
		*dst = s.Int64()
	case *[]int32:
		*dst = (*dst)[:0]
		for s.Array(); s.Next(); {
			*dst = append(*dst, j.int32())
		}
	case *[]float32:
		*dst = (*dst)[:0]
		for s.Array(); s.Next(); {
			*dst = append(*dst, s.Float32())
		}
	case *[]bool:
		*dst = (*dst)[:0]
		for s.Array(); s.Next(); {
			*dst = append(*dst, j.bool())
		}
	case *[]string:
		*dst = (*dst)[:0]
		for s.Array(); s.Next(); {
			*dst = append(*dst, s.String())
		}
	default:
		j.fail.set(fault.Internalf("no way to read a %T", dst))
	}
	j.ok()
}

func (j *jsonSource) int32() int32 {
	v := j.scan.Int64()
	if v != int64(int32(v)) {
		j.scan.Failf("%d is not a whole number of 32 bits", v)
	}
	return int32(v)
}

// bool reads what was true and false up to XGBoost 1.5 and is 1 and 0 since.
func (j *jsonSource) bool() bool {
	if j.scan.Peek() == jsonscan.Bool {
		return j.scan.Bool()
	}
	v := j.scan.Int64()
	if v != 0 && v != 1 {
		j.scan.Failf("%d where true, false, 1 or 0 should be", v)
	}
	return v == 1
}
