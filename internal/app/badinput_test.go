package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
)

// startStrict serves the model m, which takes two numbers, as m (the default), as tf (TensorFlow Serving's v1) and as empty, for which
// there is no model.
func startStrict(t *testing.T) *running {
	t.Helper()
	r := start(t, t.TempDir(), func(c *config.Config) {
		read, err := config.Read("serin.yaml", []byte(`
services:
  - {name: m, default: true, variants: [{model: m}], limits: {bodyBytes: 64KiB, rows: 100}}
  - {name: tf, variants: [{model: m}], v1: tensorflow, limits: {bodyBytes: 64KiB, rows: 100}}
  - {name: empty, variants: [{model: nothing}]}
`))
		if err != nil {
			t.Fatal(err)
		}
		c.Services = read.Services
		c.Server.Limits.HeaderBytes = 8 << 10
	})
	r.importStump(t, 1)
	r.until(t, "all but one are live", func(s []api.Service) bool {
		return len(s) == 3 && s[0].State == "ready" && s[1].State == "ready" && s[2].State == "failed"
	})
	return r
}

// spoken is a dialect over REST.
type spoken struct {
	name   string
	path   string // %s is the service
	before string // what stands before the rows of a good request, which are the rest of it with after
	after  string
	tells  func(status int, body []byte) (string, error) // what an error in the dialect's form says
}

// ask is the body that asks for rows in the dialect, count rows of width values.
func (d *spoken) ask(rows string, count, width int) string {
	return strings.NewReplacer("COUNT", fmt.Sprint(count), "WIDTH", fmt.Sprint(width)).Replace(d.before) + rows + d.after
}

// exactly reads a JSON object that has the keys of v and no other.
func exactly(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func tellsError(_ int, body []byte) (string, error) {
	var e struct {
		Error string `json:"error"`
	}
	err := exactly(body, &e)
	return e.Error, err
}

func tellsSeldon(status int, body []byte) (string, error) {
	var e struct {
		Status struct {
			Code                 int `json:"code"`
			Info, Reason, Status string
		} `json:"status"`
	}
	err := exactly(body, &e)
	if err == nil && (e.Status.Code != status || e.Status.Status != "FAILURE" || e.Status.Reason == "") {
		err = fmt.Errorf("the status is %+v", e.Status)
	}
	return e.Status.Info, err
}

func tellsMLflow(_ int, body []byte) (string, error) {
	var e struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	err := exactly(body, &e)
	if err == nil && e.Code == "" {
		err = fmt.Errorf("it has no error_code")
	}
	return e.Message, err
}

var spokens = []spoken{
	{"openinference", "/v2/models/%s/infer", `{"inputs":[{"name":"input","datatype":"FP32","shape":[COUNT,WIDTH],"data":`, `}]}`, tellsError},
	{"seldon", "/seldon/prod/%s/api/v1.0/predictions", `{"data":{"ndarray":`, `}}`, tellsSeldon},
	{"v1", "/v1/models/%s:predict", `{"instances":`, `}`, tellsError},
	{"tensorflow", "/v1/models/%s:predict", `{"signature_name":"serving_default","instances":`, `}`, tellsError},
	{"mlflow", "/invocations", `{"inputs":`, `}`, tellsMLflow},
}

// told is an answer over REST.
type told struct {
	status int
	header http.Header
	body   []byte
}

func (r *running) call(t *testing.T, client *http.Client, method, path, body string, header http.Header) told {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return told{resp.StatusCode, resp.Header, text}
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	must(t, err)
	must(t, w.Close())
	return b.String()
}

func isJSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

func encoded(how string) http.Header {
	h := isJSON()
	h.Set("Content-Encoding", how)
	return h
}

// bad is one way in which a request may be wrong: its body, and what else is not as usual.
type bad struct {
	name   string
	body   func(d *spoken) string
	status int
	says   string // an expression that matches the error's text
	header http.Header
	method string // "": POST
	to     string // another service
}

func asking(rows string, count, width int) func(*spoken) string {
	return func(d *spoken) string { return d.ask(rows, count, width) }
}

func always(s string) func(*spoken) string { return func(*spoken) string { return s } }

func TestBadInputIsToldInEachDialectsOwnForm(t *testing.T) {
	r := startStrict(t)
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	fine := func(d *spoken) string { return d.ask("[[1,2]]", 1, 2) }
	bomb := zipped(t, strings.Repeat(" ", 8<<20))
	for _, c := range []bad{
		{name: "good", body: fine, status: 200},
		{name: "NaN is a missing value", body: asking("[[NaN,2]]", 1, 2), status: 200},
		{name: "null is a missing value", body: asking("[[null,2]]", 1, 2), status: 200},

		{name: "empty", body: always(""), status: 400, says: `byte 0: the text ends where an object`},
		{name: "no JSON", body: always("hello"), status: 400, says: `byte 0: 'h' where an object`},
		{name: "a list", body: always("[1]"), status: 400, says: `object|dictionary`},
		{name: "cut off", body: func(d *spoken) string { b := fine(d); return b[:len(b)-len(d.after)-1] }, status: 400, says: `JSON at byte \d+: the text ends where`},
		{name: "more behind", body: func(d *spoken) string { return fine(d) + "x" }, status: 400, says: `more text after the value`},
		{name: "a key twice", body: func(d *spoken) string { b := fine(d); return b[:len(b)-1] + "," + b[1:] }, status: 400, says: `is given twice`},
		{name: "no UTF-8", body: always("{\"\xff\":1}"), status: 400, says: `UTF-8`},
		{name: "nothing asked", body: always("{}"), status: 400, says: `no inputs \(send|no data \(send|expected "instances"|exactly one of`},
		{name: "nested without end", body: asking(strings.Repeat("[", 30_000), 1, 2), status: 400, says: `nested deeper|dimensions`},
		{name: "nested where nobody looks", body: func(d *spoken) string { return `{"other":` + strings.Repeat("[", 30_000) }, status: 400, says: `nested deeper than 128`},

		{name: "text for a number", body: asking(`[["x",2]]`, 1, 2), status: 400, says: `the string "x" where a number should be`},
		{name: "an object for a number", body: asking(`[[{},2]]`, 1, 2), status: 400, says: `'\{' where a number should be|its names|object`},
		{name: "too large a number", body: asking(`[[1e999,2]]`, 1, 2), status: 400, says: `"1e999" does not fit`},
		{name: "infinity", body: asking(`[[Infinity,2]]`, 1, 2), status: 400, says: `row 0: column 0.* is infinite; a missing value is`},
		{name: "minus infinity", body: asking(`[[1,-Infinity]]`, 1, 2), status: 400, says: `column 1.* is infinite`},
		{name: "a column is missing", body: asking(`[[1]]`, 1, 1), status: 400, says: `\[1 1\]; the model takes \[-1 2\]`},
		{name: "a column too many", body: asking(`[[1,2,3]]`, 1, 3), status: 400, says: `\[1 3\]; the model takes \[-1 2\]`},
		{name: "too deep", body: asking(`[[[1,2]]]`, 1, 2), status: 400, says: `the model takes \[-1 2\]|nested deeper than shape`},
		{name: "rows of several lengths", body: asking(`[[1,2],[3]]`, 2, 2), status: 400, says: `row 1`},
		{name: "no rows", body: asking(`[]`, 0, 2), status: 400, says: `send at least one`},
		{name: "an empty row", body: asking(`[[]]`, 1, 0), status: 400, says: `send at least one|the model takes`},
		{name: "too many rows", body: asking("[[1,2]"+strings.Repeat(",[1,2]", 100)+"]", 101, 2), status: 400, says: `more than 100 rows|101 rows; a request may have 100`},

		{name: "too large", body: always(strings.Repeat(" ", 64<<10+1)), status: 413, says: `larger than 65536 bytes \(send less`},
		{name: "gzip that is too large", body: always(bomb), header: encoded("gzip"), status: 413, says: `larger than 65536 bytes \(send less`},
		{name: "gzip cut off", body: func(d *spoken) string { z := zipped(t, fine(d)); return z[:len(z)-9] }, header: encoded("gzip"), status: 400, says: `cannot be read as gzip`},
		{name: "no gzip", body: fine, header: encoded("gzip"), status: 400, says: `cannot be read as gzip`},
		{name: "an unknown encoding", body: fine, header: encoded("br"), status: 415, says: `"br" is not supported \(send`},
		{name: "a wrong content type", body: fine, header: http.Header{"Content-Type": {"application/xml"}}, status: 415, says: `"application/xml".*send application/json`},
		{name: "GET", body: always(""), method: http.MethodGet, status: 405, says: `with POST`},
		{name: "PUT", body: fine, method: http.MethodPut, status: 405, says: `with POST`},
		{name: "an unknown model", body: fine, to: "x", status: 404, says: `no service named "x"`},
		{name: "no model is ready", body: fine, to: "empty", status: 503, says: `no model ready`},
	} {
		for i := range spokens {
			d := &spokens[i]
			service := "m"
			switch {
			case c.to != "" && !strings.Contains(d.path, "%s"):
				continue // MLflow's path names no service
			case c.to != "":
				service = c.to
			case d.name == "tensorflow":
				service = "tf"
			}
			path := d.path
			if strings.Contains(path, "%s") {
				path = fmt.Sprintf(path, service)
			}
			header, method := c.header, c.method
			if header == nil {
				header = isJSON()
			}
			if method == "" {
				method = http.MethodPost
			}
			got := r.call(t, client, method, path, c.body(d), header)
			checkTold(t, d.name+", "+c.name, got, c.status, c.says, d.tells)
		}
	}
}

// checkTold holds an answer against what it should be. What an error says must have the dialect's own form.
func checkTold(t *testing.T, name string, got told, status int, says string, tells func(int, []byte) (string, error)) {
	t.Helper()
	if got.status != status || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d %s %.300s, want %d", name, got.status, got.header.Get("Content-Type"), got.body, status)
		return
	}
	if status == http.StatusOK {
		return
	}
	said, err := tells(got.status, got.body)
	if err != nil {
		t.Errorf("%s: the form is not the dialect's: %v: %.300s", name, err, got.body)
	} else if !regexp.MustCompile(says).MatchString(said) {
		t.Errorf("%s: it says %q, want %s", name, said, says)
	}
	if allow := got.header.Get("Allow"); (status == http.StatusMethodNotAllowed) != (allow == http.MethodPost) {
		t.Errorf("%s: Allow is %q", name, allow)
	}
	if again := got.header.Get("Retry-After"); (status == http.StatusServiceUnavailable) != (again != "") {
		t.Errorf("%s: Retry-After is %q", name, again)
	}
}

func TestBadInputOfOneDialectAlone(t *testing.T) {
	r := startStrict(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	input := func(fields string) string { return `{"inputs":[{"name":"input",` + fields + `}]}` }
	const binary = `"datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}`
	half := func(length, mime string) http.Header {
		return http.Header{"Inference-Header-Content-Length": {length}, "Content-Type": {mime}}
	}
	split := half(fmt.Sprint(len(input(binary))), "application/octet-stream")
	csv := http.Header{"Content-Type": {"text/csv"}}
	v2, seldon, v1, tf, mlflow := &spokens[0], &spokens[1], &spokens[2], &spokens[3], &spokens[4]
	for _, c := range []struct {
		d                *spoken
		name, path, body string
		header           http.Header
		status           int
		says             string
	}{
		{v2, "an unknown version", "/v2/models/m/versions/9/infer", question, nil, 404, `version "9" is not served; version 1 is`},
		{v2, "a version that is no number", "/v2/models/m/versions/new/infer", question, nil, 404, `version "new" is not served`},
		{v2, "a path that is not", "/v2/models/m/infers", question, nil, 404, `nothing is served at`},
		{v2, "an unknown datatype", "", input(`"datatype":"FP99","shape":[1,2],"data":[1,2]`), nil, 400, `"FP99" \(use one of`},
		{v2, "another datatype", "", input(`"datatype":"BYTES","shape":[1,2],"data":["a","b"]`), nil, 400, `holds BYTES; the model takes FP32`},
		{v2, "an inexact number", "", input(`"datatype":"INT64","shape":[1,2],"data":[0.5,1]`), nil, 400, `"0.5" is not a whole number`},
		{v2, "a shape that does not fit", "", input(`"datatype":"FP32","shape":[2,2],"data":[1,2]`), nil, 400, `2 values, but shape \[2 2\] needs 4`},
		{v2, "a negative shape", "", input(`"datatype":"FP32","shape":[-1,2],"data":[1,2]`), nil, 400, `-1 cannot be the size`},
		{v2, "a shape that overflows", "", input(`"datatype":"FP32","shape":[4611686018427387904,4],"data":[1,2]`), nil, 400, `cannot be the size`},
		{v2, "an unknown input", "", strings.Replace(question, `"input"`, `"other"`, 1), nil, 400, `unknown input "other"; the model takes "input"`},
		{v2, "an input twice", "", `{"inputs":[` + strings.TrimSuffix(question[11:], "]}") + `,` + question[11:], nil, 400, `"input" is given twice`},
		{v2, "an input too many", "", `{"inputs":[` + strings.Replace(strings.TrimSuffix(question[11:], "]}"), `"input"`, `"more"`, 1) + `,` + question[11:], nil, 400, `unknown input "more"`},
		{v2, "no inputs", "", `{"inputs":[]}`, nil, 400, `no input given; the model takes "input"`},
		{v2, "an unknown output", "", `{"outputs":[{"name":"x"}],` + question[1:], nil, 400, `unknown output "x"; the model gives`},
		{v2, "binary", "", input(binary) + "12345678", split, 200, ``},
		{v2, "binary cut off", "", input(binary) + "1234567", split, 400, `binary_data_size is 8, but 7 bytes are left`},
		{v2, "binary too long", "", input(binary) + "123456789", split, 400, `1 bytes of binary data belong to no input`},
		{v2, "binary infinity", "", input(binary) + "\x00\x00\x80\x7f\x00\x00\x80\xff", split, 400, `is infinite`},
		{v2, "binary of another size", "", input(strings.Replace(binary, "8", "4", 1)) + "12345678", split, 400, `4 bytes of binary data, but 2 values of FP32 take 8`},
		{v2, "a length beyond the body", "", question, half("99999", "application/json"), 400, `99999 bytes are JSON, but the body has`},
		{v2, "a length that is none", "", question, half("-1", "application/json"), 400, `"-1", not the number`},

		{seldon, "a path that is not", "/seldon/prod/m/api/v1.0/guess", question, nil, 404, `nothing is served at`},
		{seldon, "a tensor that does not fit its shape", "", `{"data":{"tensor":{"shape":[2,2],"values":[1,2]}}}`, nil, 400, `2 values, but shape \[2 2\] needs 4`},
		{seldon, "a tensor without a shape", "", `{"data":{"tensor":{"values":[1,2]}}}`, nil, 400, `has no shape`},
		{seldon, "two forms at once", "", `{"data":{"ndarray":[[1,2]]},"strData":"x"}`, nil, 400, `both data.ndarray and strData; send one`},
		{seldon, "text", "", `{"strData":"x"}`, nil, 400, `takes numbers, FP32 \(send data.tensor or data.ndarray`},
		{seldon, "bytes", "", `{"binData":"eA=="}`, nil, 400, `takes numbers, FP32 \(send data.tensor or data.ndarray`},
		{seldon, "too few names", "", `{"data":{"names":["a"],"ndarray":[[1,2]]}}`, nil, 400, `1 names, but a row has 2 values`},
		{seldon, "a message of its own", "", `{"customData":{"@type":"x"}}`, nil, 400, `customData is not supported`},

		{v1, "instances and inputs", "", `{"instances":[[1,2]],"inputs":[[1,2]]}`, nil, 400, `both "instances" and "inputs"; send one`},
		{v1, "an object for rows", "", `{"instances":{"a":1}}`, nil, 400, `should be a list of rows`},
		{v1, "a verb that is none", "/v1/models/m:guess", `{}`, nil, 404, `"guess" is neither`},
		{tf, "a signature that is none", "", `{"signature_name":"x","instances":[[1,2]]}`, nil, 400, `no signature "x"; it has "serving_default" alone`},
		{tf, "an unknown version", "/v1/models/tf/versions/9:predict", `{"instances":[[1,2]]}`, nil, 404, `version "9" is not served`},
		{tf, "an unknown label", "/v1/models/tf/labels/new:predict", `{"instances":[[1,2]]}`, nil, 404, `"new"`},

		{mlflow, "two forms at once", "", `{"inputs":[[1,2]],"instances":[[1,2]]}`, nil, 400, `exactly one of the input fields`},
		{mlflow, "parameters", "", `{"inputs":[[1,2]],"params":{"a":1}}`, nil, 400, `params has "a".*leave params out`},
		{mlflow, "a frame without rows", "", `{"dataframe_split":{"columns":["a","b"]}}`, nil, 400, `has no data`},
		{mlflow, "CSV that is empty", "", "", csv, 400, `the CSV is empty; send a header`},
		{mlflow, "CSV with an open quote", "", "\"a", csv, 400, `line 1.*a quote is not closed`},
		{mlflow, "CSV with a row too short", "", "a,b\n1\n", csv, 400, `line 2|columns|names`},
	} {
		path := c.path
		switch {
		case path != "":
		case c.d == mlflow:
			path = c.d.path
		case c.d == tf:
			path = fmt.Sprintf(c.d.path, "tf")
		default:
			path = fmt.Sprintf(c.d.path, "m")
		}
		header := c.header
		if header == nil {
			header = isJSON()
		}
		got := r.call(t, client, http.MethodPost, path, c.body, header)
		checkTold(t, c.d.name+", "+c.name, got, c.status, c.says, c.d.tells)
	}

	// Headers are read before the path is looked at, so that their bound is told in no dialect's form.
	long := isJSON()
	long.Set("X-Long", strings.Repeat("x", 16<<10))
	for i := range spokens {
		if got := r.call(t, client, http.MethodPost, strings.Replace(spokens[i].path, "%s", "m", 1), question, long); got.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s, headers that are too large: %d %s", spokens[i].name, got.status, got.body)
		}
	}

	// No label of a metric comes from a request.
	_, metrics := r.send(t, http.MethodGet, "http://"+r.Control+"/metrics", "")
	for line := range strings.SplitSeq(metrics, "\n") {
		for _, sent := range []string{`"x"`, `"new"`, `"9"`, "guess", "infers", "prod"} {
			if strings.Contains(line, sent) {
				t.Errorf("a request made the metric %s", line)
			}
		}
	}
}
