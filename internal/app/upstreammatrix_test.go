package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/testenv"
	"github.com/serin-ml/serin/internal/wire"
)

// installs is the example's model: its columns, and rows of it.
type installs struct {
	columns []string
	rows    [][]any // numbers, or nil
	sources []api.Source
}

// newInstalls reads the example. To its rows others are added, with numbers that no decimal of a few digits is.
func newInstalls(t *testing.T) *installs {
	t.Helper()
	folder := filepath.Join(testenv.Root(t), "examples", "installs")
	m := &installs{}
	for _, name := range []string{"model.ubj", "model.yaml"} {
		m.sources = append(m.sources, api.Source{Path: name, Open: func() (io.ReadCloser, error) { return os.Open(filepath.Join(folder, "model", name)) }})
	}
	text, err := os.ReadFile(filepath.Join(folder, "rows.csv"))
	must(t, err)
	sheet, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	must(t, err)
	m.columns = sheet[0]
	r := rand.New(rand.NewPCG(7, 8))
	for _, line := range sheet[1:] {
		plain, odd := make([]any, len(line)), make([]any, len(line))
		for i, cell := range line {
			if v, err := strconv.ParseFloat(cell, 64); err == nil && !math.IsNaN(v) {
				plain[i], odd[i] = v, float64(float32(v*(0.5+r.Float64())))
			}
		}
		m.rows = append(m.rows, plain, odd)
	}
	if len(m.rows) < 10 || len(m.columns) != 56 {
		t.Fatalf("%d rows of %d", len(m.rows), len(m.columns))
	}
	return m
}

// serve starts a server of one service, which is called installs. The file is that of the service's variants; it has a route as well.
func (m *installs) serve(t *testing.T, dir, variants string) *running {
	t.Helper()
	var request strings.Builder
	for i, column := range m.columns {
		fmt.Fprintf(&request, "%s%q: {from: %q}", []string{"", ", "}[min(i, 1)], column, "user.x"+strconv.Itoa(i))
	}
	text := fmt.Sprintf("services:\n  - name: installs\n    timeout: 30s\n    %s\n    routes: [{path: /score, rows: users, request: {%s}, response: {scores: prediction}}]\n", variants, &request)
	c, err := config.Read("serin.yaml", []byte(text))
	must(t, err)
	onAnyPort(c)
	r := startWith(t, options(dir), c)
	r.until(t, "the service is ready", func(all []api.Service) bool { return len(all) == 1 && all[0].State == "ready" })
	return r
}

// formed is a request for predictions, over HTTP or, where kind is "grpc", over that.
type formed struct {
	path, kind string
	body       []byte
	header     []string
}

// questions are the same rows in every form of every dialect.
func (m *installs) questions(t *testing.T, files *protoregistry.Files, rows [][]any) map[string]formed {
	t.Helper()
	shuffled := rand.New(rand.NewPCG(9, 9)).Perm(len(m.columns))
	names, turned := make([]string, len(shuffled)), make([][]any, len(rows))
	for i, at := range shuffled {
		names[i] = m.columns[at]
	}
	var flat []any
	var raw []byte
	var doubles []any
	objects, users := make([]map[string]any, len(rows)), make([]any, len(rows))
	frame := [][]string{names}
	for k, row := range rows {
		objects[k] = map[string]any{}
		user := map[string]any{}
		var line []string
		for i, v := range row {
			objects[k][m.columns[i]], user["x"+strconv.Itoa(i)] = v, v
			number, text := math.NaN(), any("NaN")
			if v != nil {
				number, text = v.(float64), v
			}
			raw, doubles = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(number))), append(doubles, text)
		}
		for _, at := range shuffled {
			turned[k] = append(turned[k], row[at])
			text := ""
			if v, ok := row[at].(float64); ok {
				text = strconv.FormatFloat(v, 'g', -1, 64)
			}
			line = append(line, text)
		}
		flat, frame, users[k] = append(flat, row...), append(frame, line), map[string]any{"user": user}
	}
	object := func(fields ...any) []byte {
		o := map[string]any{}
		for i := 0; i < len(fields); i += 2 {
			o[fields[i].(string)] = fields[i+1]
		}
		body, err := json.Marshal(o)
		must(t, err)
		return body
	}
	var sheet bytes.Buffer
	must(t, csv.NewWriter(&sheet).WriteAll(frame))
	shape := []int{len(rows), len(m.columns)}
	in := func(datatype string) []any {
		return []any{map[string]any{"name": "input", "datatype": datatype, "shape": shape, "data": flat}}
	}
	head := object("id", "7", "inputs", []any{map[string]any{"name": "input", "datatype": "FP32", "shape": shape, "parameters": map[string]any{"binary_data_size": len(raw)}}},
		"parameters", map[string]any{"binary_data_output": true})
	encoded := func(name protoreflect.FullName, body []byte) []byte {
		return []byte(encode(t, files, name, string(body)))
	}
	const v2, seldon, v1, mlflow = "/v2/models/installs/infer", "/seldon/installs/api/v1.0/predictions", "/v1/models/installs:predict", "/invocations"
	plain := func(path string, body []byte) formed { return formed{path, "application/json", body, nil} }
	return map[string]formed{
		"v2, single floats": plain(v2, object("id", "7", "inputs", in("FP32"))),
		"v2, doubles":       plain(v2, object("inputs", in("FP64"))),
		"v2, binary":        {v2, "application/octet-stream", append(head, raw...), []string{wire.HeaderLength, strconv.Itoa(len(head))}},
		"v2, gRPC": {"/inference.GRPCInferenceService/ModelInfer", "grpc", encoded("inference.ModelInferRequest", object("model_name", "installs", "id", "7",
			"inputs", []any{map[string]any{"name": "input", "datatype": "FP32", "shape": shape}}, "raw_input_contents", []any{raw})), nil},
		"Seldon, nested, columns in another order": plain(seldon, object("meta", map[string]any{"puid": "7"}, "data", map[string]any{"names": names, "ndarray": turned})),
		"Seldon, flat":           plain(seldon, object("data", map[string]any{"tensor": map[string]any{"shape": shape, "values": doubles}})),
		"Seldon, by column":      plain("/api/v1.0/predictions", object("jsonData", objects)),
		"Seldon, gRPC":           {"/seldon.protos.Seldon/Predict", "grpc", encoded("seldon.protos.SeldonMessage", object("data", map[string]any{"tensor": map[string]any{"shape": shape, "values": doubles}})), []string{"seldon", "installs"}},
		"v1, lists":              plain(v1, object("instances", rows)),
		"v1, objects":            plain(v1, object("instances", objects)),
		"MLflow, a frame":        plain(mlflow, object("dataframe_split", map[string]any{"columns": names, "data": turned})),
		"MLflow, records":        plain(mlflow, object("dataframe_records", objects)),
		"MLflow, lists":          plain(mlflow, object("inputs", rows)),
		"MLflow, CSV":            {mlflow, "text/csv", sheet.Bytes(), nil},
		"a route of the service": plain("/score", object("users", users)),
	}
}

// answerTo asks, and returns what of the answer does not depend on who gives it: neither the version nor the decision.
func (r *running) answerTo(t *testing.T, files *protoregistry.Files, q formed) string {
	t.Helper()
	var text []byte
	if q.kind == "grpc" {
		text = r.answerOverRPC(t, files, q)
	} else {
		code, body := r.send(t, http.MethodPost, "http://"+r.HTTP+q.path, string(q.body), append([]string{"Content-Type", q.kind}, q.header...)...)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", q.path, code, body)
		}
		text = []byte(body)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // so that numbers are compared by their text
	var answer map[string]any
	if err := decoder.Decode(&answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	rest := text[decoder.InputOffset():]
	delete(answer, "model_version")
	delete(answer, "modelVersion")
	if meta, ok := answer["meta"].(map[string]any); ok {
		delete(meta, "requestPath")
		if meta["puid"] != "7" {
			delete(meta, "puid")
		}
	}
	same, err := json.Marshal(answer)
	must(t, err)
	return fmt.Sprintf("%s%x", same, bytes.TrimSpace(rest))
}

// answerOverRPC returns the message that answers, as JSON.
func (r *running) answerOverRPC(t *testing.T, files *protoregistry.Files, q formed) []byte {
	t.Helper()
	conn, err := grpc.NewClient(r.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), q.header...), time.Minute)
	defer cancel()
	question, answer := message(q.body), message{}
	must(t, conn.Invoke(ctx, q.path, &question, &answer, grpc.ForceCodec(&message{})))
	name := protoreflect.FullName("seldon.protos.SeldonMessage")
	if strings.Contains(q.path, "inference") {
		name = "inference.ModelInferResponse"
	}
	d, err := files.FindDescriptorByName(name)
	must(t, err)
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	must(t, proto.Unmarshal(answer, m))
	text, err := protojson.Marshal(m)
	must(t, err)
	return text
}

// upstreamDialects are those that an upstream can be asked in.
var upstreamDialects = []string{"seldon", "v2", "v1", "mlflow"}

// TestEveryDialectReachesAnUpstreamOfEveryOther serves a model in one server, and stands another in front of it for each dialect that it can be
// asked in. Whatever clients ask, and however they do, the answer is the one that the first server gives: the same numbers, digit by digit.
func TestEveryDialectReachesAnUpstreamOfEveryOther(t *testing.T) {
	m := newInstalls(t)
	dir := t.TempDir()
	o := options(dir)
	o.Create = true
	writer, err := Writer(t.Context(), o)
	must(t, err)
	_, err = writer.Import(t.Context(), "installs", api.ImportOptions{By: "test"}, m.sources)
	must(t, err)
	must(t, writer.Close())
	direct := m.serve(t, dir, `variants: [{model: installs}]`)
	files := protoFiles(t)

	fronts := map[string]*running{}
	for _, d := range upstreamDialects {
		fronts[d] = m.serve(t, t.TempDir(), fmt.Sprintf("variants: [{upstream: %q, dialect: %s}]", "http://"+direct.HTTP, d))
	}
	for _, rows := range [][][]any{m.rows[:1], m.rows[1:2], m.rows} {
		for name, q := range m.questions(t, files, rows) {
			want := direct.answerTo(t, files, q)
			for _, d := range upstreamDialects {
				if got := fronts[d].answerTo(t, files, q); got != want {
					t.Errorf("%d rows, %s, over %s: %s, want %s", len(rows), name, d, got, want)
				}
			}
		}
	}

	t.Run("outputs on demand are asked of those that can be asked for them", func(t *testing.T) {
		body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{"name": "input", "datatype": "FP64", "shape": []int{2, 56}, "data": m.rows[:2]}},
			"outputs": []any{map[string]any{"name": "margin"}, map[string]any{"name": "contributions"}, map[string]any{"name": "prediction"}}})
		must(t, err)
		q := formed{"/v2/models/installs/infer", "application/json", body, nil}
		if got, want := fronts["v2"].answerTo(t, files, q), direct.answerTo(t, files, q); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		for _, d := range []string{"seldon", "v1", "mlflow"} {
			if code, text := fronts[d].send(t, http.MethodPost, "http://"+fronts[d].HTTP+q.path, string(body)); code != 400 || !strings.Contains(text, `unknown output \"margin\"; the model gives \"prediction\"`) {
				t.Errorf("%s: %d %s", d, code, text)
			}
		}
		explain, err := json.Marshal(map[string]any{"instances": m.rows[:2]})
		must(t, err)
		q = formed{"/v1/models/installs:explain", "application/json", explain, nil}
		if got, want := fronts["v2"].answerTo(t, files, q), direct.answerTo(t, files, q); got != want {
			t.Errorf("explained: got %s, want %s", got, want)
		}
	})

	t.Run("what the model refuses is told to the client", func(t *testing.T) {
		raw := make([]byte, 4*56)
		binary.LittleEndian.PutUint32(raw, math.Float32bits(float32(math.Inf(1))))
		head := []byte(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,56],"parameters":{"binary_data_size":224}}]}`)
		body, header := string(append(slices.Clone(head), raw...)), []string{wire.HeaderLength, strconv.Itoa(len(head))}
		for d, want := range map[string]string{"v2": "the upstream refuses the request: row 0: column 0", "v1": "is +Inf, which JSON cannot carry"} {
			if code, text := fronts[d].send(t, http.MethodPost, "http://"+fronts[d].HTTP+"/v2/models/installs/infer", body, header...); code != 400 || !strings.Contains(text, want) {
				t.Errorf("%s: %d %s", d, code, text)
			}
		}
	})
}

// TestAnUpstreamThatNobodyHasDescribedAnswersAsItDoes asks a server of MLflow's that says nothing of itself, over every dialect.
func TestAnUpstreamThatNobodyHasDescribedAnswersAsItDoes(t *testing.T) {
	upstream := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/invocations" || string(body) != `{"instances":[[1.0,2.5],[3.0,4.0]]}` {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "%s %s", r.URL, body)
			return
		}
		_, _ = io.WriteString(w, `{"predictions":[{"label":"no","p":0.25},{"label":"yes","p":1}]}`)
	}))
	f := startFile(t, fmt.Sprintf("services: [{name: other, default: true, variants: [{upstream: %q, dialect: mlflow}]}]", upstream.URL()))
	for _, tt := range []struct{ path, body, want string }{
		{"/v2/models/other/infer", `{"inputs":[{"name":"input","datatype":"FP64","shape":[2,2],"data":[1,2.5,3,4]}]}`,
			`"outputs":[{"name":"label","shape":[2],"datatype":"BYTES","data":["no","yes"]},{"name":"p","shape":[2],"datatype":"FP64","data":[0.25,1.0]}]`},
		{"/v2/models/other/infer", `{"inputs":[{"name":"input","datatype":"FP64","shape":[2,2],"data":[1,2.5,3,4]}],"outputs":[{"name":"p"}]}`,
			`"outputs":[{"name":"p","shape":[2],"datatype":"FP64","data":[0.25,1.0]}]`},
		{"/v2/models/other/infer", `{"inputs":[{"name":"input","datatype":"FP64","shape":[2,2],"data":[1,2.5,3,4]}],"outputs":[{"name":"x"}]}`,
			`{"error":"the upstream (mlflow): there is no output \"x\"; those of this model are \"label\", \"p\""}`},
		{"/v1/models/other:predict", `{"instances":[[1,2.5],[3,4]]}`, `{"predictions":[{"label":"no","p":0.25},{"label":"yes","p":1.0}]}`},
		{"/seldon/other/api/v1.0/predictions", `{"data":{"ndarray":[[1,2.5],[3,4]]}}`, `{"data":{"names":[],"ndarray":["no","yes"]}`},
		{"/invocations", `{"dataframe_split":{"columns":["x","y"],"data":[[1,2.5],[3,4]]}}`, `{"predictions":[{"label":"no","p":0.25},{"label":"yes","p":1.0}]}`},
		{"/invocations", `{"inputs":[["a","b"]]}`, `"error_code":"BAD_REQUEST"`},
	} {
		if _, text := f.send(t, http.MethodPost, "http://"+f.HTTP+tt.path, tt.body); !strings.Contains(text, tt.want) {
			t.Errorf("%s %s: got %s, want %s", tt.path, tt.body, text, tt.want)
		}
	}
	for _, path := range []string{"/v2/models/other", "/v2/models/other/config", "/seldon/other/api/v1.0/metadata", "/v1/models/other/metadata", "/openapi.json", "/v2/models/other/stats"} {
		if code, text := f.get(t, path); code != 200 || !json.Valid([]byte(text)) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

// TestAPathInTheURLStandsAboveTheDialectsOwn asks a deployment behind a gateway of Seldon's, where the path names it.
func TestAPathInTheURLStandsAboveTheDialectsOwn(t *testing.T) {
	upstream := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/seldon/ns/m/api/v1.0/metadata":
			_, _ = io.WriteString(w, `{"name":"m","graphinputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"graphoutputs":[{"name":"y","datatype":"FP64","shape":[-1,1]}]}`)
		case "/seldon/ns/m/api/v1.0/predictions":
			_, _ = io.WriteString(w, `{"data":{"names":["t:0"],"ndarray":[[7]]}}`)
		default:
			http.NotFound(w, r)
		}
	}))
	f := startFile(t, fmt.Sprintf("services: [{name: other, variants: [{upstream: %q, dialect: seldon}]}]", upstream.URL()+"/seldon/ns/m/api/v1.0/predictions"))
	code, text := f.send(t, http.MethodPost, "http://"+f.HTTP+"/v2/models/other/infer", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`)
	if code != 200 || !strings.Contains(text, `"outputs":[{"name":"y","shape":[1,1],"datatype":"FP64","data":[7.0]}]`) {
		t.Errorf("%d %s", code, text)
	}
	if in := f.instances(t, "stable"); len(in) != 1 || in[upstream.URL()].Requests == 0 {
		t.Errorf("got %v", in)
	}
}

// TestRequestsAreFoundInTheLogOfTheUpstream follows ids: a client's own goes along, and else the decision's, which no answer echoes.
func TestRequestsAreFoundInTheLogOfTheUpstream(t *testing.T) {
	ids := make(chan string, 10)
	upstream := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			ids <- r.Header.Get("X-Request-Id")
			_, _ = io.WriteString(w, `{"predictions":[7]}`)
		}
	}))
	f := startFile(t, fmt.Sprintf("services: [{name: other, default: true, variants: [{upstream: %q, dialect: mlflow, %s}]}]", upstream.URL(),
		"signature: {inputs: [{name: x, datatype: FP32, shape: [-1, 2]}], outputs: [{name: y, datatype: FP64, shape: [-1]}]}"))
	const given = "018f-of-the-client"
	for _, tt := range []struct {
		path, body string
		own        bool
		header     []string
	}{
		{"/v2/models/other/infer", `{"id":"` + given + `","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`, true, nil},
		{"/v2/models/other/infer", `{"id":"","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`, false, nil},
		{"/v1/models/other:predict", `{"instances":[[1,2]]}`, false, nil},
		{"/api/v1.0/predictions", `{"meta":{"puid":"` + given + `"},"data":{"ndarray":[[1,2]]}}`, true, nil},
		{"/api/v1.0/predictions", `{"data":{"ndarray":[[1,2]]}}`, true, []string{"Seldon-Puid", given}},
		{"/api/v1.0/predictions", `{"data":{"ndarray":[[1,2]]}}`, false, nil},
	} {
		code, text := f.send(t, http.MethodPost, "http://"+f.HTTP+tt.path, tt.body, tt.header...)
		if code != 200 {
			t.Fatalf("%d %s", code, text)
		}
		id := <-ids
		if (id == given) != tt.own || len(id) < 10 {
			t.Errorf("%s %s: the upstream is told %q", tt.path, tt.body, id)
		}
		if seldon := strings.HasPrefix(tt.path, "/api"); strings.Contains(text, id) != (tt.own || seldon) { // Seldon's answers always have an id
			t.Errorf("%s %s: %s, where the upstream is told %q", tt.path, tt.body, text, id)
		}
	}
}

// TestWhoIsToldWhatAnUpstreamSays has an upstream refuse in several ways: what is the client's fault is told to it, what is not counts
// against the variant, and is in the log alone.
func TestWhoIsToldWhatAnUpstreamSays(t *testing.T) {
	var answer atomic.Pointer[func(w http.ResponseWriter)]
	upstream := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w) }))
	f := startFile(t, fmt.Sprintf("services: [{name: other, variants: [{upstream: %q, dialect: v1, outlier: {consecutive5xx: 0}, %s}]}]", upstream.URL(),
		"signature: {inputs: [{name: x, datatype: FP32, shape: [-1, 2]}], outputs: [{name: y, datatype: FP64, shape: [-1]}]}"))
	says := func(status int, body string, header ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		says   func(http.ResponseWriter)
		status int
		told   string // to the client
		again  string
		logged string // "": the same
	}{
		{says(400, `{"error":"x[1] must be positive"}`), 400, `{"error":"the upstream refuses the request: x[1] must be positive"}`, "", ""},
		{says(429, `slow down`, "Retry-After", "7"), 503, `{"error":"the upstream is not available now (429)"}`, "7", "slow down"},
		{says(401, `{"error":"token of 10.0.0.7 expired"}`), 500, `{"error":"the model failed on this request"}`, "", "the upstream answers 401: token of 10.0.0.7 expired"},
		{says(404, `{"error":"no model other"}`), 500, `{"error":"the model failed on this request"}`, "", "the upstream answers 404: no model other"},
		{says(200, `{"predictions":[1,2]}`), 500, `{"error":"the model failed on this request"}`, "", "has 2 rows where 1 were asked about"},
		{says(200, `{"predictions":[7]}`), 200, `{"predictions":[7.0]}`, "", ""},
	} {
		answer.Store(&tt.says)
		resp, err := http.Post("http://"+f.HTTP+"/v1/models/other:predict", "application/json", strings.NewReader(`{"instances":[[1,2]]}`))
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != tt.status || string(body) != tt.told || resp.Header.Get("Retry-After") != tt.again {
			t.Errorf("%d %s, again %q; want %d %s, %q", resp.StatusCode, body, resp.Header.Get("Retry-After"), tt.status, tt.told, tt.again)
		}
		if tt.logged != "" {
			f.eventually(t, "the log says "+tt.logged, func() bool { return strings.Contains(f.logged.String(), tt.logged) })
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
