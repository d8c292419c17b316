package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// repeatedHeaders are a request's, by name.
type repeatedHeaders map[string][]string

func (h repeatedHeaders) Lookup(from Origin, name string) (string, int) {
	if values := h[name]; from == Header && len(values) > 0 {
		return values[0], len(values)
	}
	return "", 0
}

// csvDialect reads CSV alone.
type csvDialect struct{ MLflow }

func (d csvDialect) Decode(body []byte, s tensor.Signature, l Limits) (Exchange, error) {
	return d.DecodeCall(body, repeatedHeaders{"Content-Type": {"text/csv"}}, s, l)
}

func TestMLflowReadsFramesAndTensors(t *testing.T) {
	json, table := dialect(MLflow{}), dialect(csvDialect{})
	for _, tt := range []struct {
		dialect     dialect
		model, body string
		want        string // or a part of the error
	}{
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"],"index":[0,1],"data":[[1,2,3],[4,null,6]]}}`, "input FP32 [2,3] [1 2 3 4 NaN 6]"},
		{json, "score", `{"dataframe_split": {"data":[[3,1,true]],"columns":["c","a","b"]}, "params": {}}`, "input FP32 [1,3] [1 1 3]"},
		{json, "score", `{"dataframe_split": {"data":[[1,2,3]]}, "params": null, "inputs": null}`, "input FP32 [1,3] [1 2 3]"},
		{json, "score", `{"dataframe_split": {"columns":[0,1,2],"data":[[1,2,3]]}}`, "input FP32 [1,3] [1 2 3]"},
		{json, "score", `{"dataframe_split": {"columns":["input"],"data":[[[1,2,3]]]}}`, "input FP32 [1,3] [1 2 3]"},
		{json, "plain", `{"dataframe_split": {"columns":["age","of","man"],"data":[[1,2,3]]}}`, "input FP32 [1,3] [1 2 3]"},
		{json, "plain", `{"dataframe_split": {"columns":["f2","f0","f1"],"data":[[3,1,2]]}}`, "input FP32 [1,3] [1 2 3]"},
		{json, "counts", `{"dataframe_split": {"columns":["age","of","man"],"data":[[1,2,3]]}}`, "input FP64 [1,3] [1 2 3]"},
		{json, "counts", `{"dataframe_split": {"columns":["Column_2","Column_0","Column_1"],"data":[[3,1,2]]}}`, "input FP64 [1,3] [1 2 3]"},
		{json, "open", `{"dataframe_split": {"columns":["x1","x2"],"data":[[1,2],[3,4]]}}`, "x FP32 [2,2] [1 2 3 4]"},
		{json, "open", `{"dataframe_split": {"data":[[1,2],[3,4]]}}`, "x FP32 [2,2] [1 2 3 4]"},
		{json, "mixed", `{"dataframe_split": {"columns":["q","p","word","good","stars"],"data":[[2,1,"w",true,-4]]}}`,
			"word BYTES [1] [w]; numbers FP32 [1,2] [1 2]; stars INT64 [1,1] [-4]; good INT64 [1] [1]"},
		{json, "score", `{"dataframe_records": [{"c":3,"a":1,"b":2},{"a":4,"b":null,"c":6}]}`, "input FP32 [2,3] [1 2 3 4 NaN 6]"},
		{json, "plain", `{"dataframe_records": [{"0":1,"1":2,"2":3}]}`, "input FP32 [1,3] [1 2 3]"},
		{json, "text", `{"dataframe_records": [{"review":"fine"},{"review":"not \"fine\""}]}`, `review BYTES [2] [fine not "fine"]`},
		{json, "score", `{"instances": [[1,2,3]]}`, "input FP32 [1,3] [1 2 3]"},
		{json, "score", `{"instances": [{"a":1,"b":2,"c":3}]}`, "input FP32 [1,3] [1 2 3]"},
		{json, "score", `{"inputs": [[1,2,3]]}`, "input FP32 [1,3] [1 2 3]"},
		{json, "score", `{"inputs": {"c":[3,6],"a":[1,4],"b":[2,5]}}`, "input FP32 [2,3] [1 2 3 4 5 6]"},

		{json, "score", `{}`, exactlyOne + "has none"},
		{json, "score", `{"input": [[1,2,3]], "inputs": null}`, exactlyOne + "has none"},
		{json, "score", `[[1,2,3]]`, exactlyOne + "is a list"},
		{json, "score", `{"instances": [[1,2,3]], "inputs": [[1,2,3]]}`, exactlyOne + "has several, inputs among them"},
		{json, "score", ``, "the text ends"},
		{json, "score", `{"inputs": [[1,2,3]], "params": {"temperature": 1}}`, `params has "temperature", but this model takes no parameters`},
		{json, "score", `{"inputs": [[1,2,3]], "params": [1]}`, `an object should be`},
		{json, "score", `{"inputs": 1}`, `"inputs" is a number`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"]}}`, `dataframe_split has no data`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"],"data":[]}}`, `dataframe_split.data holds no rows`},
		{json, "score", `{"dataframe_split": {"data":[],"columns":["a","b","c"]}}`, `dataframe_split.data holds no rows`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"],"data":{}}}`, `"dataframe_split.data" is an object; it should be a list of rows`},
		{json, "score", `{"dataframe_split": {"columns":["a","b"],"data":[[1,2]]}}`, `dataframe_split.columns: the column names are not the model's; missing: "c"`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c","id"],"data":[[1,2,3,4]]}}`, `unknown: "id"`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c","a"],"data":[[1,2,3,4]]}}`, `the column name "a" is given twice`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c","input"],"data":[[1,2,3,4]]}}`, `unknown: "input"`},
		{json, "score", `{"dataframe_split": {"columns":[],"data":[[1,2,3]]}}`, `missing: "a", "b", "c"`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"],"data":[[1,2,3],[1,2]]}}`, `field "dataframe_split.data[1]" has 2 values; 3 are needed`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"],"data":[[1,2,"3"]]}}`, `field "dataframe_split.data[0][2]" is text where a number should be`},
		{json, "score", `{"dataframe_split": {"columns":["a","b","c"],"data":[1]}}`, `field "dataframe_split.data[0]" is a number where a row of 3 values should be`},
		{json, "score", `{"dataframe_split": [1]}`, `an object should be`},
		{json, "plain", `{"dataframe_split": {"columns":["a","b"],"data":[[1,2]]}}`, `dataframe_split.columns: there are 2 columns; the model takes 3`},
		{json, "score", `{"dataframe_records": {"a":1}}`, `"dataframe_records" is an object; it should be a list of rows`},
		{json, "score", `{"dataframe_records": []}`, `dataframe_records holds no rows`},
		{json, "score", `{"dataframe_records": [{"a":1,"b":2}]}`, `field "dataframe_records[0].c" is missing`},
		{json, "several", `{"dataframe_records": [{"a":1}]}`, `leaves open how many values a row has`},
		{json, "nothing", `{"inputs": [1]}`, `the model takes no input`},

		{table, "score", "a,b,c\n1,2,3\n4,,6\n", "input FP32 [2,3] [1 2 3 4 NaN 6]"},
		{table, "score", "\ufeffc, a ,\"b\"\r\n3,1,2\r\n\r\nNA,null,NaN\r\n", "input FP32 [2,3] [1 2 3 NaN NaN NaN]"},
		{table, "score", "a,b,c\n 1 ,+2e0,-inf", "input FP32 [1,3] [1 2 -Inf]"},
		{table, "plain", "x,y,z\n1,2,3\n", "input FP32 [1,3] [1 2 3]"},
		{table, "plain", "2,0,1\n3,1,2\n", "input FP32 [1,3] [1 2 3]"},
		{table, "open", "x,y\n1,2\n3,4\n", "x FP32 [2,2] [1 2 3 4]"},
		{table, "one", "x\n1\n2\n", "x FP64 [2,1] [1 2]"},
		{table, "text", "review\n\"a, \"\"b\"\"\r\nc\"\nplain\n\"\"\n", "review BYTES [3] [a, \"b\"\nc plain ]"},
		{table, "mixed", "word,p,q,stars,good\nw,1,2,-128,True\n,3,4, 5 ,0\n",
			"word BYTES [2] [w ]; numbers FP32 [2,2] [1 2 3 4]; stars INT64 [2,1] [-128 5]; good INT64 [2] [1 0]"},

		{table, "score", "", "the CSV is empty"},
		{table, "score", "\n\n", "the CSV is empty"},
		{table, "score", "a,b,c\n", "the CSV has a header and no rows"},
		{table, "score", "a,b\n1,2\n", `the CSV's header: the column names are not the model's; missing: "c"`},
		{table, "score", "1,2,3\n4,5,6\n", `the CSV has no header`},
		{table, "plain", "5.1,,3\n4,5,6\n", `the CSV has no header`},
		{table, "one", "1\n2\n", `the CSV has no header`},
		{table, "score", "a,b,c\n1,2\n", `the CSV, line 2: the row has 2 fields, the header has 3`},
		{table, "score", "a,b,c\n1,2,3\n\n4,five,6\n", `the CSV, line 4, column 2 ("b"): "five" is not a number`},
		{table, "score", "a,b,c\n1,2,\"3\n", `the CSV, line 3, byte 1: a quote is not closed`},
		{table, "score", "a,b,c\n1,2,3\"\n", `the CSV, line 2, byte 6: a quote in a field that does not begin with one`},
		{table, "score", "a,b,c\n1,\"2\"3,4\n", `the CSV, line 2, byte 6: a quoted field goes on behind its closing quote`},
		{table, "score", "a,b,c\n1,2,3,4\n", `the CSV, line 2: the row has more fields than the header, which has 3`},
		{table, "score", "a,b,c\n1,2,1e39\n", `1e+39 does not fit a 32-bit float`},
		{table, "score", "a,b,c\n1,2,1e999\n", `"1e999" is not a number`},
		{table, "score", "a,b,c\n1,2,1_000\n", `"1_000" is not a number`},
		{table, "score", "a,b,c\n1,2,0x10\n", `"0x10" is not a number`},
		{table, "score", "a,b,c\n1,2,\xff\n", `not valid UTF-8`},
		{table, "score", "input\n1\n", `"input" is a list of values for the model, which CSV cannot hold`},
		{table, "image", "image\n1\n", `"image" is a list of values for the model, which CSV cannot hold`},
		{table, "mixed", "word,p,q,stars,good\nw,1,2,,1\n", `"" is no INT8`},
		{table, "mixed", "word,p,q,stars,good\nw,1,2,1.0,1\n", `"1.0" is no INT8`},
		{table, "mixed", "word,p,q,stars,good\nw,1,2,1,2\n", `"2" is no BOOL`},
		{table, "several", "u,v\n1,2\n", `leaves open how many values a row has`},
		{table, "nothing", "u,v\n1,2\n", `the model takes no input`},
	} {
		x, err := tt.dialect.Decode([]byte(tt.body), v1Models[tt.model], Limits{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s %s: got %v, want %q", tt.model, tt.body, err, tt.want)
			}
			continue
		}
		if err := v1Models[tt.model].Check(x.Request()); err != nil {
			t.Errorf("%s %s does not fit: %v", tt.model, tt.body, err)
			continue
		}
		if got := asked(x); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.model, tt.body, got, tt.want)
		}
	}
}

func TestMLflowReadsWhatTheContentTypeSays(t *testing.T) {
	const asJSON, asCSV = `{"inputs":[[1,2,3]]}`, "a,b,c\n1,2,3\n"
	for _, tt := range []struct {
		types []string
		body  string
		want  string // a part of the error, "" for none
	}{
		{nil, asJSON, ""},
		{[]string{"application/json"}, asJSON, ""},
		{[]string{"Application/JSON; charset=UTF-8"}, asJSON, ""},
		{[]string{`application/json;charset="utf-8";`}, asJSON, ""},
		{[]string{"text/csv"}, asCSV, ""},
		{[]string{"text/csv ; charset=utf-8"}, asCSV, ""},
		{[]string{"text/csv; charset=latin1"}, asCSV, `the charset is "latin1"; only utf-8 is read`},
		{[]string{"text/csv; header=present"}, asCSV, `parameter "header"; charset alone is known`},
		{[]string{"application/json; format=pandas-split"}, asJSON, `parameter "format"`},
		{[]string{"application/x-www-form-urlencoded"}, asJSON, `content type "application/x-www-form-urlencoded"; send application/json or text/csv`},
		{[]string{""}, asJSON, `content type ""`},
		{[]string{"text/csv", "application/json"}, asJSON, `there are 2 Content-Type headers`},
	} {
		x, err := MLflow{}.DecodeCall([]byte(tt.body), repeatedHeaders{"Content-Type": tt.types}, score, Limits{})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.types, err)
		case tt.want == "":
			if got := asked(x); got != "input FP32 [1,3] [1 2 3]" {
				t.Errorf("%q: got %s", tt.types, got)
			}
		case err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, ErrUnsupportedMedia) || fault.KindOf(err) != fault.Invalid:
			t.Errorf("%q: got %v, want %q", tt.types, err, tt.want)
		}
	}
}

// framesAsMLflowHasThem reads a JSON list of [content type, body] and prints, a line each, the bits of the float32 that MLflow's own scoring
// server makes of it, the columns in the order of their names.
const framesAsMLflowHasThem = `
import io, json, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np
from mlflow.pyfunc import scoring_server as s
for kind, body in json.load(sys.stdin):
    if kind == "text/csv":
        data = s.parse_csv_input(io.StringIO(body))
    else:
        data = s.infer_and_parse_data({k: v for k, v in json.loads(body).items() if k in s.SUPPORTED_FORMATS})
    if isinstance(data, dict):
        data = np.column_stack([np.asarray(data[k], dtype=np.float64).reshape(-1) for k in sorted(data)])
    elif hasattr(data, "columns"):
        data = data[sorted(data.columns)].to_numpy(dtype=np.float64)
    print(" ".join(str(b) for b in np.asarray(data).astype(np.float32).reshape(-1).view(np.uint32)))
`

func TestMLflowReadsTheNumbersThatMLflowReads(t *testing.T) {
	frames := [][2]string{
		{"application/json", `{"dataframe_split": {"columns":["c","a","b"],"data":[[3,1.1,2e-7],[null,0.30000001192092896,-1e30]]}}`},
		{"application/json", `{"dataframe_split": {"columns":["a","b","c"],"index":[7,9],"data":[[true,1,2],[false,0,3]]}}`},
		{"application/json", `{"dataframe_records": [{"b":2,"a":1,"c":3},{"c":null,"a":0.1,"b":16777217}]}`},
		{"application/json", `{"instances": [[1,2,3],[0.1,16777217,1e-40]]}`},
		{"application/json", `{"instances": [{"b":2,"a":1,"c":3},{"c":4.5,"a":0.1,"b":16777217}]}`},
		{"application/json", `{"inputs": [[1,2,3]]}`},
		{"application/json", `{"inputs": {"b":[2,5],"a":[1,4.25],"c":[3,6]}, "params": {}}`},
		{"text/csv", "b,c,a\n2,3,1\n5,,0.1\nNA,NaN,null\n"},
		{"text/csv", "a,b,c\r\n\"1\", 2,1e3\r\n\r\n-inf,16777217,0.30000001192092896\r\n"},
	}
	input, _ := json.Marshal(frames)
	cmd := exec.Command(testenv.Python(t, "mlflow"), "-c", framesAsMLflowHasThem)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(input)), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(frames) {
		t.Fatalf("%d lines for %d frames: %s", len(lines), len(frames), stderr.String())
	}
	for i, frame := range frames {
		x, err := MLflow{}.DecodeCall([]byte(frame[1]), repeatedHeaders{"Content-Type": {frame[0]}}, score, Limits{})
		if err != nil {
			t.Errorf("%s: %v", frame[1], err)
			continue
		}
		var bits []string
		for _, v := range x.Request().Inputs[0].Data.([]float32) {
			b := math.Float32bits(v)
			if v != v {
				b = math.Float32bits(float32(math.NaN()))
			}
			bits = append(bits, fmt.Sprint(b))
		}
		if got := strings.Join(bits, " "); got != lines[i] {
			t.Errorf("%s: got %s, MLflow has %s", frame[1], got, lines[i])
		}
	}
}
