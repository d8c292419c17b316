package wire

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// v1Row is a row by the names of its columns.
type v1Row map[string]any

// v1Columns are the columns of the models that the properties are about, with what they hold.
var v1Columns = map[string][]string{
	"score": {"a number", "b number", "c number"}, "one": {"x number"}, "text": {"review text"},
	"mixed": {"word text", "p number", "q number", "stars whole", "good truth"},
}

func drawRows(t *rapid.T, columns []string) []v1Row {
	rows := make([]v1Row, rapid.IntRange(1, 6).Draw(t, "rows"))
	for i := range rows {
		rows[i] = v1Row{}
		for _, column := range columns {
			name, kind, _ := strings.Cut(column, " ")
			switch kind {
			case "number":
				if rapid.IntRange(0, 9).Draw(t, "missing") > 0 {
					rows[i][name] = float64(rapid.Float32().Draw(t, name))
				} else {
					rows[i][name] = nil
				}
			case "text":
				rows[i][name] = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "a,b", "\"", "\n", "null", "b64"})).Draw(t, name)
			case "whole":
				rows[i][name] = rapid.Int8().Draw(t, name)
			default:
				rows[i][name] = rapid.Bool().Draw(t, name)
			}
		}
	}
	return rows
}

// v1Forms write rows in every form, the columns in the given order.
var v1Forms = map[string]func(rows []v1Row, model, order []string) (dialect, []byte){
	"instances as lists": func(rows []v1Row, model, _ []string) (dialect, []byte) {
		return V1{}, body(map[string]any{"instances": lists(rows, model)})
	},
	"instances as objects": func(rows []v1Row, _, order []string) (dialect, []byte) {
		return V1{Tensorflow: true}, fmt.Appendf(nil, `{"instances":%s}`, objects(rows, order))
	},
	"inputs by column": func(rows []v1Row, _, order []string) (dialect, []byte) {
		return V1{Tensorflow: true}, byColumn(rows, order)
	},
	"MLflow inputs": func(rows []v1Row, _, order []string) (dialect, []byte) { return MLflow{}, byColumn(rows, order) },
	"records": func(rows []v1Row, _, order []string) (dialect, []byte) {
		return MLflow{}, fmt.Appendf(nil, `{"dataframe_records":%s}`, objects(rows, order))
	},
	"split": func(rows []v1Row, _, order []string) (dialect, []byte) {
		return MLflow{}, body(map[string]any{"dataframe_split": map[string]any{"columns": order, "data": lists(rows, order)}})
	},
	"CSV": func(rows []v1Row, _, order []string) (dialect, []byte) {
		var b strings.Builder
		w := csv.NewWriter(&b)
		w.UseCRLF = len(rows)%2 == 0
		_ = w.Write(order)
		for _, row := range lists(rows, order) {
			fields := make([]string, len(row))
			for i, v := range row {
				switch v := v.(type) {
				case nil:
				case float64:
					fields[i] = strconv.FormatFloat(v, 'g', -1, 64)
				default:
					fields[i] = fmt.Sprint(v)
				}
			}
			if len(fields) == 1 && fields[0] == "" { // else it is a blank line
				w.Flush()
				b.WriteString("\"\"\n")
				continue
			}
			_ = w.Write(fields)
		}
		w.Flush()
		return csvDialect{}, []byte(b.String())
	},
}

func body(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

func lists(rows []v1Row, order []string) [][]any {
	list := make([][]any, len(rows))
	for i, row := range rows {
		for _, name := range order {
			list[i] = append(list[i], row[name])
		}
	}
	return list
}

func objects(rows []v1Row, order []string) string {
	list := make([]string, len(rows))
	for i, row := range rows {
		fields := make([]string, len(order))
		for k, name := range order {
			fields[k] = string(body(name)) + ":" + string(body(row[name]))
		}
		list[i] = "{" + strings.Join(fields, ",") + "}"
	}
	return "[" + strings.Join(list, ",") + "]"
}

func byColumn(rows []v1Row, order []string) []byte {
	fields := make([]string, len(order))
	for k, name := range order {
		var values []any
		for _, row := range rows {
			values = append(values, row[name])
		}
		fields[k] = string(body(name)) + ":" + string(body(values))
	}
	return []byte(`{"inputs":{` + strings.Join(fields, ",") + `}}`)
}

// rowsOf turns a request back into rows.
func rowsOf(x Exchange, s tensor.Signature) []v1Row {
	rows := make([]v1Row, x.Request().Inputs[0].Rows())
	for i := range rows {
		rows[i] = v1Row{}
		for k := range x.Request().Inputs {
			in, p := &x.Request().Inputs[k], s.Inputs[k]
			names := p.Columns
			if names == nil {
				names = []string{p.Name}
			}
			for at, name := range names {
				at += i * len(names)
				if texts, ok := in.Data.([]string); ok {
					rows[i][name] = texts[at]
					continue
				}
				values, _ := in.Float64s()
				switch v := values[at]; {
				case p.DType == tensor.Bool:
					rows[i][name] = v == 1
				case p.DType == tensor.Int8:
					rows[i][name] = int8(v)
				case math.IsNaN(v):
					rows[i][name] = nil
				default:
					rows[i][name] = v
				}
			}
		}
	}
	return rows
}

// TestRowsComeBackFromEveryForm writes rows, reads them, writes what was read and reads that: all are the same.
func TestRowsComeBackFromEveryForm(t *testing.T) {
	for form, write := range v1Forms {
		t.Run(form, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"score", "one", "text", "mixed"}).Draw(t, "model")
				model, columns := v1Models[name], v1Columns[name]
				var names []string
				for _, column := range columns {
					name, _, _ := strings.Cut(column, " ")
					names = append(names, name)
				}
				rows := drawRows(t, columns)
				if form == "CSV" {
					for _, row := range rows {
						for name, v := range row {
							if text, ok := v.(string); ok { // what CSV itself does not keep
								row[name] = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\ufeff", "")
							}
						}
					}
				}
				d, first := write(rows, names, rapid.Permutation(names).Draw(t, "order"))
				x, err := d.Decode(first, model, Limits{})
				if err != nil {
					t.Fatalf("%s: %v", first, err)
				}
				got := rowsOf(x, model)
				if fmt.Sprint(got) != fmt.Sprint(rows) {
					t.Fatalf("%s reads as %v, want %v", first, got, rows)
				}
				d, second := write(got, names, rapid.Permutation(names).Draw(t, "another order"))
				again, err := d.Decode(second, model, Limits{})
				if err != nil || asked(again) != asked(x) {
					t.Fatalf("%s reads as %v, %v, but %s as %s", second, again, err, first, asked(x))
				}
			})
		})
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	for _, tt := range []struct {
		dialect     dialect
		model, body string
	}{
		{V1{}, "score", `{"signature_name":"x","instances":[{"a":[1],"b":{"0":2},"c":null},{"input":[1,2,3]}]}`},
		{V1{}, "mixed", `{"instances":[["w",1.5e3,2,3,true],{"word":{"b64":"aGk="},"numbers":[1,2],"stars":3,"good":false}]}`},
		{V1{Tensorflow: true}, "mixed", `{"inputs":{"good":[true,0],"stars":[[1],[2]],"word":["w\u00e9",{"b64":"aGk="}],"q":[5,6],"p":[3,NaN]}}`},
		{MLflow{}, "score", `{"params":{},"dataframe_split":{"index":[0],"data":[[1,2,3],[4,null,6]],"columns":["c","a","b"]}}`},
		{MLflow{}, "score", `{"dataframe_records":[{"f0":1,"f1":2,"f2":3}]}`},
	} {
		model := v1Models[tt.model]
		if _, err := tt.dialect.Decode([]byte(tt.body), model, Limits{}); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
		for n := range len(tt.body) {
			if _, err := tt.dialect.Decode([]byte(tt.body[:n]), model, Limits{}); err == nil || fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: got %v", tt.body[:n], err)
			}
		}
	}
	const frame = "a,b,c\r\n\"1\",2,3\r\n4,,6\r\n"
	for n := range len(frame) {
		if x, err := (csvDialect{}).Decode([]byte(frame[:n]), score, Limits{}); err == nil {
			wellFormed(t, x, n)
		} else if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: got %v", frame[:n], err)
		}
	}
}

// TestRoomIsMadeForWhatIsThere sends much of little: what is kept must be in proportion.
func TestRoomIsMadeForWhatIsThere(t *testing.T) {
	const n = 20_000
	wide := tensor.Signature{Inputs: []tensor.Spec{spec("input", tensor.Float64, -1, 1000)}}
	for what, tt := range map[string]struct {
		dialect dialect
		model   tensor.Signature
		body    string
	}{
		"empty objects":      {V1{}, wide, `{"instances":[` + strings.Repeat("{},", n) + `{}]}`},
		"empty lists":        {V1{}, wide, `{"instances":[` + strings.Repeat("[],", n) + `[]]}`},
		"one column":         {V1{Tensorflow: true}, score, `{"inputs":{"a":[` + strings.Repeat("1,", n) + `1]}}`},
		"short columns":      {V1{Tensorflow: true}, wide, `{"inputs":{"f0":[` + strings.Repeat("1,", n) + `1],"f1":[1]}}`},
		"records of nothing": {MLflow{}, wide, `{"dataframe_records":[` + strings.Repeat("{},", n) + `{}]}`},
		"many names":         {MLflow{}, wide, `{"dataframe_split":{"columns":[` + strings.Repeat("1,", n) + `1],"data":[]}}`},
		"blank lines":        {csvDialect{}, wide, strings.Repeat("f,", 999) + "f\n" + strings.Repeat("\n", n)},
		"commas":             {csvDialect{}, score, "a,b,c\n" + strings.Repeat(",,\n", n)},
		"many columns":       {csvDialect{}, v1Models["open"], strings.Repeat("x,", 10*n) + "x\n"},
		"many fields":        {csvDialect{}, score, "a,b,c\n" + strings.Repeat(",", 10*n)},
		"open brackets":      {V1{}, score, `{"instances":` + strings.Repeat("[", n)},
	} {
		used := allocated(func() { _, _ = tt.dialect.Decode([]byte(tt.body), tt.model, Limits{}) })
		if limit := uint64(100*len(tt.body) + 1<<20); used > limit {
			t.Errorf("%s: %d bytes were allocated for a body of %d", what, used, len(tt.body))
		}
	}
}

func TestV1AndMLflowKeepTheLimits(t *testing.T) {
	small := Limits{Rows: 4, Elements: 15}
	rows := func(row string, n int) string { return strings.TrimSuffix(strings.Repeat(row+",", n), ",") }
	const named = `{"a":1,"b":2,"c":3}`
	for _, tt := range []struct {
		dialect dialect
		body    string
		limits  Limits
		want    string // "" for none
	}{
		{V1{}, `{"instances":[` + rows("[1,2,3]", 4) + `]}`, small, ""},
		{V1{}, `{"instances":[` + rows("[1,2,3]", 5) + `]}`, small, "more than 4 rows"},
		{V1{}, `{"instances":[` + rows("[1,2,3]", 6) + `]}`, Limits{Rows: 9, Elements: 15}, "more than 15 values"},
		{V1{}, `{"instances":[` + rows(named, 4) + `]}`, small, ""},
		{V1{}, `{"instances":[` + rows(named, 5) + `]}`, small, "more than 4 rows"},
		{V1{}, `{"instances":[` + rows(named, 6) + `]}`, Limits{Rows: 9, Elements: 15}, "more than 15 values"},
		{V1{Tensorflow: true}, `{"inputs":{"a":[1,2,3,4],"b":[1,2,3,4],"c":[1,2,3,4]}}`, small, ""},
		{V1{Tensorflow: true}, `{"inputs":{"a":[1,2,3,4,5],"b":[1,2,3,4,5],"c":[1,2,3,4,5]}}`, small, "inputs.a has 5 rows; a request may have 4"},
		{V1{Tensorflow: true}, `{"inputs":{"a":[1,2,3,4,5,6],"b":[1,2,3,4,5,6],"c":[1,2,3,4,5,6]}}`, Limits{Rows: 9, Elements: 15}, "values"},
		{MLflow{}, `{"dataframe_split":{"data":[` + rows("[1,2,3]", 5) + `]}}`, small, "more than 4 rows"},
		{MLflow{}, `{"dataframe_records":[` + rows(named, 5) + `]}`, small, "more than 4 rows"},
		{csvDialect{}, "a,b,c\n" + strings.Repeat("1,2,3\n", 4), small, ""},
		{csvDialect{}, "a,b,c\n" + strings.Repeat("1,2,3\n", 5), small, "more than 4 rows"},
		{csvDialect{}, "a,b,c\n" + strings.Repeat("1,2,3\n", 6), Limits{Rows: 9, Elements: 15}, "more than 15 values"},
	} {
		_, err := tt.dialect.Decode([]byte(tt.body), score, tt.limits)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.body, err, tt.want)
		}
	}
	x, err := V1{}.Decode([]byte(`{"instances":[1,2,3,4,5]}`), v1Models["one"], small)
	if err == nil || !strings.Contains(err.Error(), `"instances" holds 5 rows; a request may have 4`) {
		t.Errorf("got %v, %v", x, err)
	}
}
