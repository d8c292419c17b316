package jsonscan

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// decode turns the next value into what encoding/json would make of it.
func decode(s *Scanner) any {
	switch s.Peek() {
	case Object:
		m := map[string]any{}
		s.Object()
		for s.Next() {
			k := string(s.Key())
			m[k] = decode(s)
		}
		return m
	case Array:
		a := []any{}
		s.Array()
		for s.Next() {
			a = append(a, decode(s))
		}
		return a
	case String:
		return s.String()
	case Number:
		return s.Float64()
	case Bool:
		return s.Bool()
	}
	s.Null()
	return nil
}

func read(data []byte) (any, error) {
	s := New(data)
	v := decode(s)
	s.End()
	return v, s.Err()
}

// agree holds us against encoding/json. We are stricter in three places only: depth, UTF-8 and lone surrogates.
func agree(t interface{ Fatalf(string, ...any) }, data []byte) {
	got, err := read(data)
	var want any
	wantErr := json.Unmarshal(data, &want)
	switch {
	case err == nil && wantErr != nil:
		t.Fatalf("%q is accepted; encoding/json says %v", data, wantErr)
	case err == nil && !reflect.DeepEqual(got, want):
		t.Fatalf("%q: got %v, encoding/json gives %v", data, got, want)
	case err != nil && wantErr == nil && !stricter(err):
		t.Fatalf("%q is refused (%v); encoding/json gives %v", data, err, want)
	}
	s := New(data)
	s.Skip()
	s.End()
	// Skip checks a number's grammar, not its size.
	if (s.Err() == nil) != (err == nil) && !strings.Contains(err.Error(), "does not fit") {
		t.Fatalf("%q: Skip says %v, reading says %v", data, s.Err(), err)
	}
}

func stricter(err error) bool {
	for _, why := range []string{"nested deeper", "not valid UTF-8", "surrogate"} {
		if strings.Contains(err.Error(), why) {
			return true
		}
	}
	return false
}

var seeds = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `tru`, `0`, `-0`, `01`, `-`, `1.`, `.5`, `1e`, `1e+`, `1E-5`, `1e400`, `1e-400`, `5E-1`, `123456789012345678901234567890`,
	`0.1`, `9007199254740993`, `1.7976931348623157e308`, `4.9e-324`, `2.2250738585072011e-308`, `[]`, `[1,]`, `[,1]`, `[1 2]`, `[1,2`, `{}`, `{"a":1}`, `{"a":1,}`,
	`{"a"}`, `{"a":}`, `{1:2}`, `{"a":1 "b":2}`, `[1}`, `{"a":1]`, `"`, `"a`, `"\u00e9"`, `"é"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\x"`, `"\u12"`, "\"\x01\"",
	"\"\xff\"", "\"\\n\xff\"", `"\"\\\/\b\f\n\r\t"`, `[[[[[]]]]]`, `1 2`, "1\x00", `{"a":[{"b":null},[true,false,"x"]]}`, strings.Repeat("[", 200), strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	`NaN`, `[Infinity]`, "\ufeff1", `{"a":1,"a":2}`, `0.00000000000000000000000000000000000000000000001`, `100000000000000000000000e-20`, `0e99999999999`,
}

func TestAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range seeds {
		agree(t, []byte(text))
	}
}

func FuzzAgreesWithEncodingJSON(f *testing.F) {
	for _, text := range seeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}

func TestNumbersRoundOnceFromTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text string
		switch rapid.IntRange(0, 2).Draw(t, "form") {
		case 0:
			text = strconv.FormatFloat(rapid.Float64Range(-math.MaxFloat32, math.MaxFloat32).Draw(t, "float64"), 'g', -1, 64)
		case 1:
			text = strconv.FormatFloat(float64(rapid.Float32Range(-1e38, 1e38).Draw(t, "float32")), 'E', -1, 32)
		case 2:
			text = rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9])?`).Draw(t, "text")
		}
		want64, _ := strconv.ParseFloat(text, 64)
		want32, _ := strconv.ParseFloat(text, 32)
		if got := New([]byte(text)).Float64(); math.Float64bits(got) != math.Float64bits(want64) {
			t.Fatalf("Float64(%s) = %v, want %v", text, got, want64)
		}
		if got := New([]byte(text)).Float32(); math.Float32bits(got) != math.Float32bits(float32(want32)) {
			t.Fatalf("Float32(%s) = %v, want %v", text, got, float32(want32))
		}
	})
}

func TestInt64(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "-1": -1, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64} {
		s := New([]byte(text))
		if got := s.Int64(); got != want || s.Err() != nil {
			t.Errorf("%s reads as %d, %v", text, got, s.Err())
		}
	}
	for _, text := range []string{"1.0", "1e3", "9223372036854775808", "-9223372036854775809", "123456789012345678901", `"1"`, ""} {
		if s := New([]byte(text)); s.Int64() != 0 || s.Err() == nil {
			t.Errorf("%s is accepted as a whole number", text)
		}
	}
}

func TestNonFiniteOnlyWhereAllowed(t *testing.T) {
	s := New([]byte(`[NaN, Infinity, -Infinity, 1]`)).AllowNonFinite()
	var got []float64
	s.Array()
	for s.Next() {
		got = append(got, s.Float64())
	}
	s.End()
	if s.Err() != nil || len(got) != 4 || !math.IsNaN(got[0]) || !math.IsInf(got[1], 1) || !math.IsInf(got[2], -1) || got[3] != 1 {
		t.Errorf("got %v, %v", got, s.Err())
	}
	for _, text := range []string{"NaN", "-NaN", "Inf", "Infin"} {
		s := New([]byte(text))
		if s.Float64(); s.Err() == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	if s := New([]byte("-NaN")).AllowNonFinite(); s.Float64() != 0 || s.Err() == nil {
		t.Error("-NaN is accepted")
	}
}

func TestErrorsStickAndSayWhere(t *testing.T) {
	s := New([]byte(`{"a": [1, 2, x], "b": 3}`))
	s.Object()
	n := 0
	for s.Next() {
		s.Key()
		s.Skip()
		n++
	}
	s.End()
	if n != 1 || s.Err() == nil || !strings.Contains(s.Err().Error(), `JSON at byte 13: 'x' where a value should be`) {
		t.Errorf("after %d fields: %v", n, s.Err())
	}
}

func TestRawSharesTheInput(t *testing.T) {
	s := New([]byte(` {"x": [1, {"y":2}] }`))
	s.Object()
	s.Next()
	s.Key()
	if got := s.Raw(); !bytes.Equal(got, []byte(`[1, {"y":2}]`)) {
		t.Errorf("Raw = %q", got)
	}
	if s.Next() || s.Err() != nil {
		t.Errorf("the object does not end after Raw: %v", s.Err())
	}
}

func BenchmarkNumbers(b *testing.B) {
	text := []byte("[" + strings.Repeat("-1.2345678E-3,", 9999) + "1]")
	out := make([]float32, 0, 10000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	s := New(text)
	for b.Loop() {
		s.Reset(text)
		out = out[:0]
		s.Array()
		for s.Next() {
			out = append(out, s.Float32())
		}
	}
}
