package rows

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

// reads holds a format to what it promises for any bytes: sound batches, the same whatever their size, or an Invalid error, in memory in
// proportion to the input.
func reads(t *testing.T, data []byte, f Format, o Options) {
	o.Name = "" // the extension decides nothing
	one, err := run(t, data, f, o, 1)
	many, manyErr := run(t, data, f, o, 1000)
	if fmt.Sprint(one, err) != fmt.Sprint(many, manyErr) {
		t.Fatalf("%q: a row at a time %v, %v; all at once %v, %v", data, one, err, many, manyErr)
	}
	if err != nil && fault.KindOf(err) != fault.Invalid {
		t.Fatalf("%q: an error of kind %v: %v", data, fault.KindOf(err), err)
	}
}

func run(t *testing.T, data []byte, f Format, o Options, n int) (Batch[float32], error) {
	r, err := Open(bytes.NewReader(data), f, o)
	if err != nil {
		return Batch[float32]{}, err
	}
	if r.Width() > len(data)+1+len(o.Columns)+o.Width {
		t.Fatalf("%q: a width of %d", data, r.Width())
	}
	return all[float32](r, n)
}

func fuzz(f *testing.F, format Format) {
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range []Options{{Columns: abc}, {Width: 3}, {}, {Columns: abc, Label: "1"}, {Label: "y"}, {Columns: abc, Header: HeaderYes}, {MaxLine: 8}} {
			if format == LibSVM && o.Width == 0 && o.Columns == nil {
				o.Width = 3
			}
			if format == LibSVM {
				o.Label = ""
			}
			reads(t, data, format, o)
		}
	})
}

func FuzzLibSVM(f *testing.F) { fuzz(f, LibSVM) }
func FuzzCSV(f *testing.F)    { fuzz(f, CSV) }
func FuzzTSV(f *testing.F)    { fuzz(f, TSV) }
func FuzzJSONL(f *testing.F)  { fuzz(f, JSONL) }

func FuzzDetect(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) { reads(t, data, "", Options{Width: 3}) })
}
