package wire

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// readsSoundly holds a dialect to what decodes asks of it, for a model of columns and for one of every type.
func readsSoundly(t *testing.T, d dialect, body []byte) {
	decodes(t, d, body)
	x, err := d.Decode(body, v1Models["mixed"], Limits{})
	if err != nil {
		if fault.KindOf(err) != fault.Invalid {
			t.Fatalf("%q: the error is of kind %v: %v", body, fault.KindOf(err), err)
		}
		return
	}
	wellFormed(t, x, len(body))
	if err := v1Models["mixed"].Check(x.Request()); err != nil {
		t.Fatalf("%q is read, and does not fit: %v", body, err)
	}
}

func FuzzV1Decode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte, tensorflow bool) { readsSoundly(t, V1{Tensorflow: tensorflow}, body) })
}

func FuzzMLflowDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { readsSoundly(t, MLflow{}, body) })
}

func FuzzMLflowCSVDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) { readsSoundly(t, csvDialect{}, body) })
}

// FuzzCSVIsReadAsTheStandardLibraryReadsIt holds the scanner against encoding/csv.
func FuzzCSVIsReadAsTheStandardLibraryReadsIt(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		r := csv.NewReader(bytes.NewReader(text))
		r.FieldsPerRecord = -1
		s := &csvScanner{data: text, line: 1}
		for {
			want, wantErr := r.Read()
			if !s.more() {
				if !errors.Is(wantErr, io.EOF) {
					t.Fatalf("%q ends for us; encoding/csv has %q, %v", text, want, wantErr)
				}
				return
			}
			line := s.line
			got, err := record(s)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%q: got %q, %v; encoding/csv has %q, %v", text, got, err, want, wantErr)
			}
			if err != nil {
				return
			}
			if first, _ := r.FieldPos(0); !reflect.DeepEqual(got, want) || first != line {
				t.Fatalf("%q: got %q of line %d; encoding/csv has %q of line %d", text, got, line, want, first)
			}
		}
	})
}

func record(s *csvScanner) (fields []string, err error) {
	for {
		field, last, err := s.field()
		if err != nil {
			return nil, err
		}
		if fields = append(fields, string(field)); last {
			return fields, nil
		}
	}
}

func BenchmarkV1Decode(b *testing.B) {
	columns := make([]string, 56)
	for i := range columns {
		columns[i] = "feature_" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	model := tensor.Signature{Inputs: []tensor.Spec{named(spec("input", tensor.Float32, -1, 56), columns...)}, Outputs: score.Outputs}
	for _, rows := range []int{1, 1000} {
		all := make([]v1Row, rows)
		for i := range all {
			all[i] = v1Row{}
			for k, column := range columns {
				all[i][column] = float64(float32(i+k) * 0.37)
			}
		}
		shuffled := slices.Concat(columns[28:], columns[:28])
		for _, form := range []string{"instances as lists", "instances as objects", "split", "records", "CSV"} {
			d, body := v1Forms[form](all, columns, shuffled)
			b.Run(strings.ReplaceAll(form, " ", "-")+map[bool]string{true: "/1x56", false: "/1000x56"}[rows == 1], func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Decode(body, model, Limits{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
