package rows

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/testenv"
)

// all reads every row there is, in batches of n.
func all[F float32 | float64](r *Reader, n int) (Batch[F], error) {
	var sum, b Batch[F]
	for {
		err := b.Read(r, n)
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		if len(b.Values) != b.Rows*b.Width || len(b.Lines) != b.Rows || b.Rows < 1 || b.Rows > n || len(b.Labels) != 0 && len(b.Labels) != b.Rows {
			return sum, fmt.Errorf("a batch of %d rows of %d has %d values, %d lines and %d labels", b.Rows, b.Width, len(b.Values), len(b.Lines), len(b.Labels))
		}
		x := b.Tensor("input")
		if err := x.Check(); err != nil {
			return sum, err
		}
		sum.Rows += b.Rows
		sum.Width = b.Width
		sum.Values = append(sum.Values, b.Values...)
		sum.Labels = append(sum.Labels, b.Labels...)
		sum.Lines = append(sum.Lines, b.Lines...)
	}
}

func read(text string, f Format, o Options) (Batch[float64], error) {
	r, err := Open(strings.NewReader(text), f, o)
	if err != nil {
		return Batch[float64]{}, err
	}
	return all[float64](r, 2)
}

// show writes a batch as text: rows apart by "|", a label before its row.
func show(b Batch[float64]) string {
	var parts []string
	for i := range b.Rows {
		row := strings.Trim(fmt.Sprint(b.Values[i*b.Width:(i+1)*b.Width]), "[]")
		if len(b.Labels) > 0 {
			row = fmt.Sprint(b.Labels[i]) + ": " + row
		}
		parts = append(parts, row)
	}
	return strings.Join(parts, " | ")
}

var abc = []string{"a", "b", "c"}

func TestReads(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		format     Format
		options    Options
		want       string
	}{
		{"libsvm", "1 0:1.5 2:-3e2\n0 1:4\n", LibSVM, Options{Width: 3}, "1: 1.5 NaN -300 | 0: NaN 4 NaN"},
		{"libsvm without labels", "0:1 2:3\n1:4", LibSVM, Options{Columns: abc}, "1 NaN 3 | NaN 4 NaN"},
		{"libsvm whose absent values are zeros", "1 0:1.5 2:-3e2\n0 1:nan\n0\n", LibSVM, Options{Width: 3, AbsentZero: true}, "1: 1.5 0 -300 | 0: 0 NaN 0 | 0: 0 0 0"},
		{"jsonl objects are not sparse", `{"c":3,"a":1}`, JSONL, Options{Columns: abc, AbsentZero: true}, "1 NaN 3"},
		{"csv is not sparse", "1,,3", CSV, Options{Width: 3, AbsentZero: true}, "1 NaN 3"},
		{"libsvm with everything", "\n# a comment\n2 qid:7 1:nan 0:inf # 2:9\r\n\t-1   2:5\t0:6  \n  \n3\n", LibSVM, Options{Width: 3}, "2: +Inf NaN NaN | -1: 6 NaN 5 | 3: NaN NaN NaN"},
		{"csv", "1,2,3\n4,,NaN\r\n NA , null ,\"6\"\n", CSV, Options{Width: 3}, "1 2 3 | 4 NaN NaN | NaN NaN 6"},
		{"csv of unknown width", "1,2\n3,4", CSV, Options{}, "1 2 | 3 4"},
		{"csv with infinities", "Infinity,-inf\n+1,-0", CSV, Options{}, "+Inf -Inf | 1 -0"},
		{"csv with a header", "c, a ,\"b\"\n3,1,2\n", CSV, Options{Columns: abc}, "1 2 3"},
		{"csv with a header and no model names", "x,y,z\n1,2,3\n", CSV, Options{Width: 3}, "1 2 3"},
		{"csv with a header of numbers", "2,1,0\n3,2,1\n", CSV, Options{Columns: []string{"0", "1", "2"}}, "1 2 3"},
		{"csv with a header of numbers, said", "2,1,0\n3,2,1\n", CSV, Options{Header: HeaderYes}, "3 2 1"},
		{"csv with a byte order mark", "\ufeffa,b,c\n1,2,3\n", CSV, Options{Columns: abc}, "1 2 3"},
		{"csv with a label by name", "c,a,y,b\n3,1,9,2\n", CSV, Options{Columns: abc, Label: "y"}, "9: 1 2 3"},
		{"csv with a label by number", "9,1,2\n8,3,4\n", CSV, Options{Width: 2, Label: "0"}, "9: 1 2 | 8: 3 4"},
		{"csv with a label by number and a header", "a,y,b,c\n1,9,2,3\n", CSV, Options{Columns: abc, Label: "1"}, "9: 1 2 3"},
		{"csv without rows", "a,b,c\n", CSV, Options{Columns: abc}, ""},
		{"csv of missing values", ",,\n", CSV, Options{Columns: abc}, "NaN NaN NaN"},
		{"csv with a quoted line break", "a,\"b\n\",c\n1,2,3", CSV, Options{Columns: abc}, "1 2 3"},
		{"tsv", "1\t2\t3\n\t\t6\n", TSV, Options{Width: 3}, "1 2 3 | NaN NaN 6"},
		{"tsv with a header", "b\tc\ta\n2\t3\t1\n", TSV, Options{Columns: abc}, "1 2 3"},
		{"jsonl arrays", "[1,null,NaN]\n\n [true, false, -Infinity] \n", JSONL, Options{Width: 3}, "1 NaN NaN | 1 0 -Inf"},
		{"jsonl of unknown width", "[1,[],2]", JSONL, Options{Width: 0}, "!"},
		{"jsonl of unknown width", "[1,2]\n[3,4]", JSONL, Options{}, "1 2 | 3 4"},
		{"jsonl objects", `{"c":3,"a":1}` + "\n" + `{"b":null,"a":2}` + "\n{}\n[7,8,9]", JSONL, Options{Columns: abc}, "1 NaN 3 | 2 NaN NaN | NaN NaN NaN | 7 8 9"},
		{"jsonl with a label", `{"y":9,"a":1}` + "\n" + `{"b":4}`, JSONL, Options{Columns: abc, Label: "y"}, "9: 1 NaN NaN | NaN: NaN 4 NaN"},
		{"jsonl with a label by number", "[1,9,2]\n[3,null,4]", JSONL, Options{Label: "1"}, "9: 1 2 | NaN: 3 4"},
		{"nothing", "", CSV, Options{Width: 3}, ""},
		{"nothing", "\n\n", LibSVM, Options{Width: 3}, ""},
		{"nothing", "", JSONL, Options{}, ""},
		{"detected", "[1,2]", "", Options{}, "1 2"},
		{"detected", "1 0:5", "", Options{Width: 1}, "1: 5"},
		{"detected", "1\t5", "", Options{}, "1 5"},
		{"detected", "", "", Options{}, ""},
	} {
		b, err := read(tt.text, tt.format, tt.options)
		if tt.want == "!" {
			if err == nil {
				t.Errorf("%s: %q is accepted", tt.name, tt.text)
			}
			continue
		}
		if got := show(b); err != nil || got != tt.want {
			t.Errorf("%s: %q reads as %s, %v, want %s", tt.name, tt.text, got, err, tt.want)
		}
	}
}

func TestRefusesAndSaysWhere(t *testing.T) {
	for _, tt := range []struct {
		text    string
		format  Format
		options Options
		want    string
	}{
		{"1 0:1\n1 3:1", LibSVM, Options{Width: 3, Name: "x.libsvm"}, "x.libsvm: line 2: column 3: index 3 is beyond the model's 3 columns"},
		{"1 0:1 0:1", LibSVM, Options{Width: 3}, "line 1: column 7: index 0 is given twice"},
		{"1 -1:1", LibSVM, Options{Width: 3}, `column 3: "-1" is not an index`},
		{"1 +1:1", LibSVM, Options{Width: 3}, `"+1" is not an index`},
		{"1 99999999999999999999:1", LibSVM, Options{Width: 3}, "is not an index"},
		{"1 :1", LibSVM, Options{Width: 3}, `"" is not an index`},
		{"1 1:", LibSVM, Options{Width: 3}, `column 5: the value "" is not a number`},
		{"1 1:x", LibSVM, Options{Width: 3}, `the value "x" is not a number`},
		{"1 1:1:1", LibSVM, Options{Width: 3}, `the value "1:1" is not a number`},
		{"1 1:0x1p4", LibSVM, Options{Width: 3}, `the value "0x1p4" is not a number`},
		{"1 1:1_0", LibSVM, Options{Width: 3}, `the value "1_0" is not a number`},
		{"1 2", LibSVM, Options{Width: 3}, `column 3: "2" is not index:value`},
		{"yes 1:1", LibSVM, Options{Width: 3}, `the label "yes" is not a number`},
		{"1 1:1\n1:1 2:1", LibSVM, Options{Width: 3}, "line 2: the row has no label, though those before it have a label"},
		{"1:1\n1 2:1", LibSVM, Options{Width: 3}, "line 2: the row has a label, though those before it have no label"},
		{"1 1:1", LibSVM, Options{}, "libsvm rows need the model's number of columns"},
		{"1 1:1", LibSVM, Options{Width: 3, Label: "0"}, "libsvm marks its own label"},
		{"1,2\n1,2,3", CSV, Options{}, "input: line 2: the row has 3 fields where 2 are needed"},
		{"1,2", CSV, Options{Width: 3}, "line 1: the row has 2 fields where 3 are needed"},
		{"1,2\n\n3,x", CSV, Options{}, `line 3: column 2: "x" is not a number`},
		{"a,b\n1,2\n3,x", CSV, Options{}, `line 3: column 2 ("b"): "x" is not a number`},
		{"1,1e400", CSV, Options{Header: HeaderNo}, `"1e400" is not a number`},
		{"1,x", CSV, Options{Header: HeaderNo}, `"x" is not a number`},
		{"1,x\n1,2", CSV, Options{}, `line 1: the first row holds numbers, and "x", which is none`},
		{"a,b,x\n1,2,3", CSV, Options{Columns: abc}, `the header does not fit the model; missing: "c"; not the model's: "x"`},
		{"a,b\n1,2", CSV, Options{Columns: abc}, `missing: "c"`},
		{"a,b,c,d\n1,2,3,4", CSV, Options{Columns: abc}, `not the model's: "d"`},
		{"a,b,c,a\n1,2,3,4", CSV, Options{Columns: abc}, `the header has the column "a" twice`},
		{"a,1,2,3,4,5,6,7,8,9\n", CSV, Options{Columns: abc}, `"8" and 1 more`},
		{"a,b\n1", CSV, Options{}, "line 2: the row has 1 fields where 2 are needed"},
		{"1,\"2\n3,4", CSV, Options{}, `line 2: byte 4: extraneous or missing " in quoted-field`},
		{"1,2\"\n", CSV, Options{}, `line 1: byte 4: bare " in non-quoted-field`},
		{"1,2", CSV, Options{Label: "y"}, "cannot be found in a file without a header"},
		{"a,b\n1,2", CSV, Options{Label: "y"}, `the header has no column "y" for the label; it has "a", "b"`},
		{"1,2", CSV, Options{Label: "2"}, "there is no label column 2 in a row of 2 fields"},
		{"1\t2\n1\n", TSV, Options{}, "line 2: the row has 1 fields"},
		{"[1,2]\n[1,2,3]", JSONL, Options{}, "line 2: the row has 3 values where 2 are needed"},
		{"[1]", JSONL, Options{Width: 2}, "line 1: the row has 1 values where 2 are needed"},
		{"[1,\"2\"]", JSONL, Options{}, `line 1: JSON at byte 6: the string "2" where a number should be`},
		{"[1,2", JSONL, Options{}, "line 1: JSON at byte 4: the text ends"},
		{"[1,2] 3", JSONL, Options{}, "more text after the value"},
		{"[1,1e999]", JSONL, Options{}, "does not fit a 64-bit float"},
		{"7", JSONL, Options{Width: 1}, "where an array should be"},
		{`{"a":1}`, JSONL, Options{}, "a row of named values needs a model with column names"},
		{`{"a":1}`, JSONL, Options{Width: 1}, "a row of named values needs a model with column names"},
		{"[1,2,3]\n" + `{"x":1} x`, JSONL, Options{Columns: abc}, `line 2: "x" is not a column of the model, which has "a", "b", "c"`},
		{`{"a":1,"a":1}`, JSONL, Options{Columns: abc}, `the key "a" is given twice`},
		{`{"y":1,"y":1}`, JSONL, Options{Columns: abc, Label: "y"}, `the key "y" is given twice`},
		{`[1,2,3]`, JSONL, Options{Columns: abc, Label: "y"}, `the label column "y" is no place in an array of 4 values`},
		{`[1,2]`, JSONL, Options{Label: "2"}, "the row has 2 values where 3 are needed"},
		{`[1,2]`, JSONL, Options{Width: 2, Label: "3"}, `the label column "3" is no place in an array of 3 values`},
		{"1;2", "", Options{}, "input: the format of the rows cannot be told"},
		{"1", "xls", Options{}, `unknown format "xls"`},
		{"1,2\n" + strings.Repeat("1", 100) + ",2", CSV, Options{MaxLine: 50}, "line 2 is longer than 50 bytes"},
		{"1,2\n3,\"" + strings.Repeat("1\n", 100000), CSV, Options{MaxLine: 50}, "line 2 is longer than 50 bytes"},
		{"[1]\n[" + strings.Repeat(" ", 100) + "1]\n[2]", JSONL, Options{MaxLine: 50}, "line 2 is longer than 50 bytes"},
		{"[1]\n[" + strings.Repeat(" ", 200000) + "1]\n[2]", JSONL, Options{MaxLine: 50}, "line 2 is longer than 50 bytes"},
	} {
		_, err := read(tt.text, tt.format, tt.options)
		if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80q: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestDetect(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		want       Format
	}{
		{"x.csv", "[1]", CSV},
		{"X.TSV", "", TSV},
		{"a/b.jsonl", "", JSONL},
		{"b.ndjson", "", JSONL},
		{"b.svm", "1,2", LibSVM},
		{"b.libsvm", "", LibSVM},
		{"b.txt", "", LibSVM},
		{"b.txt", "1", LibSVM},
		{"b.txt", "1 1:2 3:4\n", LibSVM},
		{"b.txt", "1,2\n", CSV},
		{"b.txt", "1\t2\n", TSV},
		{"x.test", "# text\n\n0 1:1 9:1", LibSVM},
		{"x.test", "0 qid:3 1:1 9:1 # a", LibSVM},
		{"x.test", "1:1\t9:1", LibSVM},
		{"x.data", "1,2,?", CSV},
		{"x", "12:30,1", CSV},
		{"x", "\ufeff1", CSV},
		{"x", "", CSV},
		{"-", `{"a":1}`, JSONL},
		{"x", "1 " + strings.Repeat("7:1 ", bufferSize/4), LibSVM},
		{"x", "a b c", ""},
		{"x", "1 2 3", ""},
	} {
		got, err := Detect(tt.name, []byte(tt.head))
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s, %.20q: %q, %v, want %q", tt.name, tt.head, got, err, tt.want)
		}
	}
}

// TestEveryFormatReadsBackWhatWasWritten writes random rows in every format, through readers that give odd portions.
func TestEveryFormatReadsBackWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, count := rapid.IntRange(1, 12).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "rows")
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1}))
		values := rapid.SliceOfN(value, width*count, width*count).Draw(t, "values")
		columns := make([]string, width)
		for i := range columns {
			columns[i] = "column, \"" + strconv.Itoa(i)
		}
		order := rapid.Permutation(columns).Draw(t, "order")
		named := rapid.Bool().Draw(t, "named")
		for format, text := range written(values, columns, order, named) {
			in := io.Reader(strings.NewReader(text))
			if rapid.Bool().Draw(t, "slow") {
				in = iotest.OneByteReader(in)
			}
			r, err := Open(in, format, Options{Columns: columns})
			if err != nil {
				t.Fatalf("%s: %v\n%s", format, err, text)
			}
			b, err := all[float64](r, rapid.IntRange(1, 7).Draw(t, "batch"))
			if err != nil || b.Rows != count {
				t.Fatalf("%s: %d rows, %v\n%s", format, b.Rows, err, text)
			}
			for i, v := range b.Values {
				if math.Float64bits(v) != math.Float64bits(values[i]) && (v == v || values[i] == values[i]) {
					t.Fatalf("%s: value %d reads as %v\n%s", format, i, v, text)
				}
			}
		}
	})
}

// written returns rows in every format, with the columns in the given order where they are named.
func written(values []float64, columns, order []string, named bool) map[Format]string {
	width := len(columns)
	if !named {
		order = columns
	}
	place := indexOf(columns)
	var svm, lines strings.Builder
	delimited := map[Format]*bytes.Buffer{CSV: {}, TSV: {}}
	for format, buf := range delimited {
		w := csv.NewWriter(buf)
		if format == TSV {
			w.Comma = '\t'
		}
		if named {
			_ = w.Write(order)
		}
		for at := 0; at < len(values); at += width {
			var fields []string
			for _, name := range order {
				fields = append(fields, strconv.FormatFloat(values[at+place[name]], 'g', -1, 64))
			}
			_ = w.Write(fields)
		}
		w.Flush()
	}
	for at := 0; at < len(values); at += width {
		svm.WriteString("1")
		var parts []string
		for _, name := range order {
			v := values[at+place[name]]
			text := strconv.FormatFloat(v, 'g', -1, 64)
			if v == v {
				fmt.Fprintf(&svm, " %d:%s", place[name], text)
			}
			switch {
			case v != v:
				text = "null"
			case math.IsInf(v, 0):
				text = strings.TrimPrefix(text, "+") + "inity"
			}
			if named {
				key, _ := json.Marshal(name)
				text = string(key) + ": " + text
			}
			parts = append(parts, text)
		}
		svm.WriteString("\n")
		if named {
			lines.WriteString("{" + strings.Join(parts, ", ") + "}\n")
		} else {
			lines.WriteString("[" + strings.Join(parts, ", ") + "]\n")
		}
	}
	return map[Format]string{CSV: delimited[CSV].String(), TSV: delimited[TSV].String(), LibSVM: svm.String(), JSONL: lines.String()}
}

func TestRowsBeforeAMistakeAreGiven(t *testing.T) {
	r, err := Open(strings.NewReader("1,2\n3,4\n5,x\n7,8\n"), CSV, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch[float32]
	if err := b.Read(r, 100); err != nil || b.Rows != 2 || b.Values[3] != 4 || b.Lines[1] != 2 {
		t.Errorf("got %+v, %v", b, err)
	}
	for range 2 {
		if err := b.Read(r, 100); fault.KindOf(err) != fault.Invalid || b.Rows != 0 {
			t.Errorf("after the mistake: %+v, %v", b, err)
		}
	}
}

func TestFloat32RoundsADoubleAndRefusesWhatDoesNotFit(t *testing.T) {
	// Just above the middle between 1 and the float32 after it: as a double it is the middle, which rounds to even.
	r, err := Open(strings.NewReader("1.000000059604644775390625000001,inf\n3,1e39\n"), CSV, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch[float32]
	if err := b.Read(r, 9); err != nil || b.Rows != 1 || b.Values[0] != 1 || !math.IsInf(float64(b.Values[1]), 1) || len(b.Values) != 2 {
		t.Errorf("got %+v, %v", b, err)
	}
	if err := b.Read(r, 9); err == nil || !strings.Contains(err.Error(), "line 2: value 1, 1e+39, does not fit a 32-bit float") {
		t.Errorf("got %v", err)
	}
}

func TestAFailureToReadIsNotTheEnd(t *testing.T) {
	broken := errors.New("the disk is gone")
	for format, text := range map[Format]string{CSV: "1,2\n3,4\n5,6", TSV: "1\t2\n3\t4\n5\t6", JSONL: "[1,2]\n[3,4]\n[5,6", LibSVM: "1 0:1\n1 0:2\n1 0:3"} {
		for _, detect := range []bool{true, false} {
			want := format
			if detect {
				want = ""
			}
			r, err := Open(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), want, Options{Width: 2})
			if err != nil {
				t.Fatal(err)
			}
			b, err := all[float64](r, 10)
			if !errors.Is(err, broken) || fault.KindOf(err) != fault.Internal || b.Rows != 2 || !strings.Contains(err.Error(), "after line 2") {
				t.Errorf("%s: %d rows, %v", format, b.Rows, err)
			}
		}
	}
	for _, format := range []Format{CSV, JSONL, ""} {
		if _, err := Open(iotest.ErrReader(broken), format, Options{}); !errors.Is(err, broken) {
			t.Errorf("%q opens with %v", format, err)
		}
	}
}

// TestOpenWaitsForNoMoreThanItNeeds opens a pipe that has one line and stays open.
func TestOpenWaitsForNoMoreThanItNeeds(t *testing.T) {
	for _, line := range []string{"1,2,3\n", "[1,2,3]\n", "1\t2\t3\n", "1 0:1 1:2 2:3\n"} {
		in, out := io.Pipe()
		go func() { _, _ = io.WriteString(out, line) }()
		r, err := Open(in, "", Options{Width: 3})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch[float32]
		if err := b.Read(r, 1); err != nil || b.Rows != 1 || b.Values[2] != 3 {
			t.Errorf("%q: %+v, %v", line, b, err)
		}
		out.Close()
	}
}

func TestFilesOfOtherProjects(t *testing.T) {
	for _, tt := range []struct {
		path        string
		options     Options
		format      Format
		rows, width int
		want        string // the first row's first values
	}{
		{"trees/xgboost/agaricus.txt.test", Options{Width: 127}, LibSVM, 1611, 127, "[NaN 1 NaN"},
		{"trees/leaves/iris_test.libsvm", Options{Width: 4}, LibSVM, 30, 4, "[5.8 2.8 5.1 2.4]"},
		{"trees/treelite/dermatology/dermatology.test", Options{Width: 33}, LibSVM, 110, 33, "[2 1 1 NaN 1"},
		{"trees/leaves/breast_cancer_test.tsv", Options{Width: 30}, TSV, 57, 30, "[13.4 20.52 88.64"},
		{"trees/leaves/multiclass_test.tsv", Options{Label: "0"}, TSV, 500, 28, "[0.109 1.261 -0.274"},
		{"trees/leaves/genlin_fmtp_tweedie_PurePremium_features.tsv", Options{Width: 9}, TSV, 1000, 9, "[6 3 0 4"},
		{"trees/xgboost/rank.test.csv", Options{Label: "0"}, CSV, 66, 4, "[10.0229017899 7.30178495562"},
		{"trees/xgboost/veterans_lung_cancer.csv", Options{}, CSV, 137, 13, "[72 72 69 60"},
	} {
		f, err := os.Open(testenv.Data(t, strings.Split(tt.path, "/")...))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tt.options.Name = tt.path
		r, err := Open(f, "", tt.options)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		b, err := all[float64](r, 64)
		if err != nil || r.Format() != tt.format || b.Rows != tt.rows || b.Width != tt.width || r.Width() != tt.width ||
			!strings.HasPrefix(fmt.Sprint(b.Values[:b.Width]), tt.want) {
			t.Errorf("%s: %s, %d rows of %d, %.60s, %v", tt.path, r.Format(), b.Rows, b.Width, fmt.Sprint(b.Values), err)
		}
	}
	f, err := os.Open(testenv.Data(t, "trees", "xgboost", "dermatology.data"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Open(f, "", Options{Name: "dermatology.data"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := all[float32](r, 64); b.Rows != 33 || err == nil || !strings.Contains(err.Error(), `dermatology.data: line 34: column 34: "?" is not a number`) {
		t.Errorf("%d rows, %v", b.Rows, err)
	}
}

func BenchmarkRead(b *testing.B) {
	values := make([]float64, 56*1000)
	columns := make([]string, 56)
	for i := range values {
		values[i] = float64(float32(math.Sin(float64(i))))
		columns[i%56] = "f" + strconv.Itoa(i%56)
	}
	for format, text := range written(values, columns, columns, false) {
		b.Run(string(format)+"/1000x56", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var batch Batch[float32]
			for b.Loop() {
				r, err := Open(strings.NewReader(text), format, Options{Width: 56})
				for n := 0; err == nil; n += batch.Rows {
					err = batch.Read(r, 256)
				}
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestColumnsAreThoseOfTheHeader(t *testing.T) {
	for _, tt := range []struct {
		text   string
		format Format
		o      Options
		want   []string
	}{
		{"a, b ,c\n1,2,3\n", CSV, Options{}, []string{"a", "b", "c"}},
		{"a,y,c\n1,2,3\n", CSV, Options{Label: "y"}, []string{"a", "c"}},
		{"c\ta\tb\n1\t2\t3\n", TSV, Options{Columns: []string{"a", "b", "c"}}, []string{"a", "b", "c"}},
		{"1,2,3\n", CSV, Options{}, nil},
		{"1,2,3\n", CSV, Options{Columns: []string{"a", "b", "c"}}, nil},
		{"[1,2,3]\n", JSONL, Options{}, nil},
		{"", CSV, Options{}, nil},
	} {
		r, err := Open(strings.NewReader(tt.text), tt.format, tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Columns(); !slices.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%q: %q, not %q", tt.text, got, tt.want)
		}
	}
}
