package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
	"github.com/serin-ml/serin/internal/wire"
)

// shaped is a model of any signature. It answers with the number of the row in every cell.
type shaped struct {
	signature tensor.Signature
	asked     *atomic.Int64
}

func (m shaped) Signature() tensor.Signature { return m.signature }

func (m shaped) Predict(_ context.Context, r *tensor.Request) (*tensor.Response, error) {
	m.asked.Add(1)
	rows := r.Inputs[0].Rows()
	resp := &tensor.Response{}
	for _, name := range m.signature.Wanted(r) {
		p := m.signature.Outputs[slices.IndexFunc(m.signature.Outputs, func(o tensor.Spec) bool { return o.Name == name })]
		shape := append([]int{rows}, p.Shape[1:]...)
		n, err := tensor.Elements(shape)
		if err != nil {
			return nil, err
		}
		o := tensor.Tensor{Name: name, Shape: shape, Data: make([]float32, n)}
		if p.DType == tensor.Bytes {
			o.Data = slices.Repeat([]string{"yes"}, n)
		}
		resp.Outputs = append(resp.Outputs, o)
	}
	return resp, nil
}

func specOf(name string, d tensor.DType, shape ...int) tensor.Spec {
	return tensor.Spec{Name: name, DType: d, Shape: shape}
}

// documented are services of every kind, each with an example that its model answers.
func documented(t *testing.T) (services []*Service, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	prediction := specOf("prediction", tensor.Float32, -1)
	columns := specOf("input", tensor.Float32, -1, 3)
	columns.Columns = []string{"age", "income, net", "x\"y"}
	classes := specOf("probabilities", tensor.Float32, -1, 2)
	classes.Labels = []string{"no", "yes"}
	onDemand := func(p tensor.Spec) tensor.Spec { p.OnDemand = true; return p }
	add := func(o ServiceOptions, s tensor.Signature, example ...tensor.Tensor) {
		o.Timeout = time.Minute
		service := NewService(o)
		service.Variants()[0].Swap(&Live{Model: shaped{s, asked}, Name: "m", Number: 3, Semver: "1.2.0", Runtime: "shaped", Example: example})
		services = append(services, service)
	}
	mapping := func(m wire.Mapping) Dialect {
		d, err := wire.CompileMapping(m)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	explained := tensor.Signature{Inputs: []tensor.Spec{columns}, Outputs: []tensor.Spec{
		prediction, onDemand(specOf("margin", tensor.Float32, -1)), onDemand(specOf("contributions", tensor.Float32, -1, 4)),
	}}
	row := tensor.New("input", []int{1, 3}, []float32{0.1, nanFloat, 16777216})
	add(ServiceOptions{Name: "installs", Default: true, Routes: []Route{
		{Method: http.MethodPost, Path: routePath(t, "/score/{user}"), Dialect: mapping(wire.Mapping{
			Parameters: []string{"user"}, Rows: "items",
			Fields: []wire.MappedField{
				{Target: "age", From: "person.age"}, {Target: "income, net", From: "sums[1]", Missing: wire.NotANumber}, {Target: "x\"y", From: "query:x", Parse: true},
			},
			Answer: &wire.Template{Object: []wire.Member{
				{Key: "scores", Value: wire.Template{Each: &wire.Template{Object: []wire.Member{{Key: "p", Value: wire.Template{Word: "prediction"}}, {Key: "who", Value: wire.Template{Word: "variant"}}}}}},
				{Key: "all", Value: wire.Template{Word: "prediction"}}, {Key: "kind", Value: wire.Template{Word: "const:test"}}, {Key: "n", Value: wire.Template{Const: int64(1)}},
			}},
		})},
		{Method: http.MethodGet, Path: routePath(t, "/ask/{age}"), Dialect: mapping(wire.Mapping{
			Parameters: []string{"age"}, NoBody: true, Missing: true,
			Fields: []wire.MappedField{{Target: "x\"y", From: "header:X-Y", Parse: true, Default: 1.0}, {Target: "income, net", From: "query:income", Parse: true}},
		})},
		{Method: http.MethodPost, Path: routePath(t, "/class"), Dialect: mapping(wire.Mapping{
			Rows: "data.people", Fields: []wire.MappedField{
				{Target: "age", From: "age", Values: map[string]any{"young": 0.1, "old": int64(80)}}, {Target: "income, net", From: "body:shared.income", Missing: wire.NotANumber},
				{Target: "x\"y", Const: 16777216.0},
			},
		})},
	}}, explained, row)
	add(ServiceOptions{Name: "plain", Tensorflow: true}, tensor.Signature{Inputs: []tensor.Spec{specOf("input", tensor.Float64, -1, 2)}, Outputs: []tensor.Spec{classes}},
		tensor.New("input", []int{1, 2}, []float64{1.5, -2}))
	add(ServiceOptions{Name: "reviews"}, tensor.Signature{Inputs: []tensor.Spec{specOf("review", tensor.Bytes, -1)}, Outputs: []tensor.Spec{specOf("label", tensor.Bytes, -1), classes}},
		tensor.New("review", []int{1}, []string{"a \"fine\" <place>"}))
	mixed := tensor.Signature{Inputs: []tensor.Spec{
		specOf("word", tensor.Bytes, -1), specOf("stars", tensor.Int8, -1, 1), specOf("good", tensor.Bool, -1), specOf("image", tensor.Float32, -1, 2, 2),
	}, Outputs: []tensor.Spec{prediction}}
	add(ServiceOptions{Name: "mixed"}, mixed, tensor.New("word", []int{1}, []string{""}), tensor.New("stars", []int{1, 1}, []int8{-3}),
		tensor.New("good", []int{1}, []bool{true}), tensor.New("image", []int{1, 2, 2}, []float32{1, 2, 3, 4}))
	add(ServiceOptions{Name: "silent"}, explained)
	add(ServiceOptions{Name: "open"}, tensor.Signature{Inputs: []tensor.Spec{specOf("input", tensor.Float64, -1, -1)}}) // an upstream that nobody has described
	return append(services, NewService(ServiceOptions{Name: "loading"})), asked
}

var nanFloat = func() float32 { var zero float32; return zero / zero }()

// documentedGateway serves them, with feedback.
func documentedGateway(t *testing.T) (*Gateway, []*Service, *atomic.Int64) {
	t.Helper()
	ingest, _, _ := newIngest(0)
	services, asked := documented(t)
	g := New(Options{Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return testTime }, Ingest: ingest})
	g.SetServices(services)
	return g, services, asked
}

func request(g *Gateway, method, path, kind, body string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// The parts of a document that the tests read.
type openapiDocument struct {
	Tags []struct {
		Name   string
		Inputs []json.RawMessage `json:"x-serin-inputs"`
	}
	Paths map[string]map[string]struct {
		OperationID string
		Tags        []string
		Dialect     string `json:"x-serin-dialect"`
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   any
			Example  any
		}
		RequestBody struct {
			Content map[string]struct {
				Schema   any
				Examples map[string]struct{ Value json.RawMessage }
			}
		}
		Responses map[string]struct {
			Content map[string]struct {
				Schema  any
				Example json.RawMessage
			}
		}
	}
}

func readDocument(t *testing.T, g *Gateway) (openapiDocument, []byte) {
	t.Helper()
	w := request(g, http.MethodGet, "/openapi.json", "", "", nil)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %s", w.Code, w.Header(), w.Body)
	}
	var d openapiDocument
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d, w.Body.Bytes()
}

const validate = `
import json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
document = json.load(sys.stdin)
for error in OpenAPIV31SpecValidator(document).iter_errors():
    print("/".join(str(p) for p in error.absolute_path), error.message[:500])
del document["info"]["title"]
if not list(OpenAPIV31SpecValidator(document).iter_errors()):
    print("the validator accepts anything")
`

func TestTheDocumentIsOpenAPI(t *testing.T) {
	g, _, _ := documentedGateway(t)
	_, body := readDocument(t, g)
	cmd := exec.Command(testenv.Python(t, "openapi"), "-c", validate)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(body), &stderr
	out, err := cmd.Output()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s%s", err, out, stderr.String())
	}
}

// fits validates a JSON text against a schema of the document.
func fits(t *testing.T, what string, schema any, body []byte) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("mem://schema.json", schema); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	s, err := c.Compile("mem://schema.json")
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Errorf("%s: %v: %s", what, err, body)
		return
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %s: %v", what, body, err)
	}
}

// TestEveryExampleIsAnsweredAsDocumented sends every example there is, and asks for every document: what comes back fits the schema and, but
// for ids, is the example of an answer.
func TestEveryExampleIsAnsweredAsDocumented(t *testing.T) {
	g, services, _ := documentedGateway(t)
	g.SetServices(services[:len(services)-1]) // without the one that is loading: the server is ready
	d, _ := readDocument(t, g)
	examples := map[string]int{} // by service and dialect
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			if ids[op.OperationID] {
				t.Errorf("two operations are called %s", op.OperationID)
			}
			ids[op.OperationID] = true
			where, query, header := path, []string{}, http.Header{}
			for _, p := range op.Parameters {
				text, ok := p.Example.(string)
				if !ok {
					b, _ := json.Marshal(p.Example)
					text = strings.ReplaceAll(string(b), "null", "NaN")
				}
				switch p.In {
				case "path":
					where = strings.ReplaceAll(where, "{"+p.Name+"}", text)
				case "query":
					query = append(query, p.Name+"="+text)
				default:
					header.Set(p.Name, text)
				}
			}
			if len(query) > 0 {
				where += "?" + strings.Join(query, "&")
			}
			ok := op.Responses["200"].Content["application/json"]
			send := func(kind, body string) {
				what := method + " " + where + " " + kind
				w := request(g, strings.ToUpper(method), where, kind, body, header)
				if w.Code != 200 {
					t.Errorf("%s %s: %d %s", what, body, w.Code, w.Body)
					return
				}
				if path == "/ping" { // MLflow's answer is an empty line
					return
				}
				fits(t, what, ok.Schema, w.Body.Bytes())
				if ok.Example != nil {
					if got, want := withoutIDs(w.Body.String()), withoutIDs(string(ok.Example)); got != want {
						t.Errorf("%s is answered %s, documented %s", what, got, want)
					}
				}
			}
			if method == "get" {
				send("", "")
				examples[op.Tags[0]+" "+op.Dialect]++
			}
			for kind, content := range op.RequestBody.Content {
				for name, example := range content.Examples {
					body := string(example.Value)
					if kind == "application/json" {
						fits(t, path+" "+name, content.Schema, example.Value)
					} else if err := json.Unmarshal(example.Value, &body); err != nil {
						t.Error(err)
					}
					send(kind, body)
					examples[op.Tags[0]+" "+op.Dialect+" "+method+" "+strings.TrimPrefix(kind, "application/")]++
				}
			}
		}
	}
	for what, want := range map[string]int{
		"installs Own routes post json": 2, "installs Own routes": 1,
		"installs Open Inference v2 post json": 1, "installs Seldon v1 post json": 4, "installs KServe v1 post json": 4, "installs MLflow post json": 3, "installs MLflow post text/csv": 1,
		"plain TensorFlow Serving post json": 2, "plain Seldon v1 post json": 1, "reviews Seldon v1 post json": 1, "reviews KServe v1 post json": 2,
		"mixed Open Inference v2 post json": 1, "mixed KServe v1 post json": 2, "The server Server post json": 2,
	} {
		if examples[what] != want {
			t.Errorf("%s: %d examples, want %d", what, examples[what], want)
		}
	}
	for what := range examples {
		if strings.HasPrefix(what, "silent") && strings.Contains(what, "post") {
			t.Errorf("there are examples for %s", what)
		}
	}
	if _, ok := d.Paths["/v2/models/silent/infer"]["post"]; !ok {
		t.Error("a model without an example has no paths")
	}
	if _, ok := d.Paths["/v1/models/plain:explain"]; ok {
		t.Error("a model without contributions can be explained")
	}
}

var idInText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

func withoutIDs(text string) string { return idInText.ReplaceAllString(text, "ID") }

func TestTheDocumentIsMadeAnewWhenVersionsChange(t *testing.T) {
	g, services, asked := documentedGateway(t)
	d, first := readDocument(t, g)
	if len(d.Tags) != 8 || d.Tags[0].Name != "installs" || len(d.Tags[0].Inputs) != 1 || d.Tags[6].Name != "loading" || len(d.Tags[6].Inputs) != 0 {
		t.Errorf("the tags are %+v", d.Tags)
	}
	models := asked.Load()
	w := request(g, http.MethodGet, "/openapi.json", "", "", nil)
	if !bytes.Equal(w.Body.Bytes(), first) || asked.Load() != models {
		t.Error("the document is made anew though nothing changed")
	}
	tag := w.Header().Get("Etag")
	if w := request(g, http.MethodGet, "/openapi.json", "", "", http.Header{"If-None-Match": {tag}}); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("got %d, %d bytes", w.Code, w.Body.Len())
	}
	before := services[0].Live()
	services[0].Variants()[0].Swap(&Live{Model: before.Model, Name: "m", Number: 4, Runtime: "shaped", Example: before.Example})
	w = request(g, http.MethodGet, "/openapi.json", "", "", http.Header{"If-None-Match": {tag}})
	if w.Code != 200 || w.Header().Get("Etag") == tag || !strings.Contains(w.Body.String(), "Model m, version 4") {
		t.Errorf("a new version is not told: %d", w.Code)
	}
	g.SetServices(services[1:2])
	if _, body := readDocument(t, g); bytes.Contains(body, []byte("installs")) || !bytes.Contains(body, []byte(`"/invocations"`)) {
		t.Error("services that are gone are told, or the only one is not the default")
	}
	g.SetServices(nil)
	if d, _ := readDocument(t, g); len(d.Tags) != 1 {
		t.Errorf("an empty server has the tags %+v", d.Tags)
	}
}

// moody misbehaves at first.
type moody struct {
	shaped
	first func() error
}

func (m moody) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	if m.asked.Load() == 0 {
		m.asked.Add(1)
		if err := m.first(); err != nil {
			return nil, err
		}
	}
	return m.shaped.Predict(ctx, r)
}

func TestAModelThatFailsCostsItsExamplesAndNotTheDocument(t *testing.T) {
	for what, tt := range map[string]struct {
		first func() error
		again bool // the example is there the next time
	}{
		"busy":   {func() error { return fault.Unavailablef("no room") }, true},
		"no":     {func() error { return fault.Invalidf("not that row") }, false},
		"panics": {func() error { panic("a bug in a model") }, false},
	} {
		signature := tensor.Signature{Inputs: []tensor.Spec{specOf("input", tensor.Float32, -1)}, Outputs: []tensor.Spec{specOf("prediction", tensor.Float32, -1)}}
		s := NewService(ServiceOptions{Name: "a"})
		s.Variants()[0].Swap(&Live{
			Model: moody{shaped{signature, new(atomic.Int64)}, tt.first}, Name: "m", Runtime: "moody", Example: []tensor.Tensor{tensor.New("input", []int{1}, []float32{1})},
		})
		g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
		g.SetServices([]*Service{s})
		for i, want := range []bool{false, tt.again} {
			d, _ := readDocument(t, g)
			op := d.Paths["/v2/models/a/infer"]["post"]
			if got := len(op.RequestBody.Content["application/json"].Examples) == 1; op.OperationID == "" || got != want {
				t.Errorf("%s, the %d. time: an example is %v, want %v", what, i+1, got, want)
			}
		}
	}
}

func TestWideModelsAreToldInShort(t *testing.T) {
	wide := specOf("input", tensor.Float32, -1, 20_000)
	for range 20_000 {
		wide.Columns = append(wide.Columns, "column_"+strings.Repeat("x", len(wide.Columns)%7)+string(rune('a'+len(wide.Columns)%26)))
	}
	asked := new(atomic.Int64)
	s := NewService(ServiceOptions{Name: "wide"})
	s.Variants()[0].Swap(&Live{Model: shaped{tensor.Signature{Inputs: []tensor.Spec{wide}, Outputs: []tensor.Spec{specOf("prediction", tensor.Float32, -1)}}, asked}, Name: "m", Runtime: "shaped"})
	g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	g.SetServices([]*Service{s})
	if _, body := readDocument(t, g); len(body) > 200_000 || !bytes.Contains(body, []byte("and 19700 more")) {
		t.Errorf("the document has %d bytes", len(body))
	}
}

func TestThePageRunsNothingButItsOwn(t *testing.T) {
	g, _, _ := documentedGateway(t)
	w := request(g, http.MethodGet, "/docs", "", "", nil)
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, tag := range []string{"script", "style"} {
		_, rest, _ := strings.Cut(page, "<"+tag+">")
		part, _, _ := strings.Cut(rest, "</"+tag+">")
		sum := sha256.Sum256([]byte(part))
		if len(part) < 1000 || !strings.Contains(policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %s does not allow the page's own %s", policy, tag)
		}
		if strings.Count(page, "<"+tag) != 1 {
			t.Errorf("the page has several of %s", tag)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
	for _, bad := range []string{`://`, `\son[a-z]+=`, `\sstyle=`, `innerHTML`, `eval\(`} {
		if found := regexp.MustCompile(bad).FindString(page); found != "" {
			t.Errorf("the page has %q", found)
		}
	}
	for _, path := range []string{"/docs", "/openapi.json"} {
		if w := request(g, http.MethodPost, path, "", "", nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, %v", path, w.Code, w.Header())
		}
	}
}
