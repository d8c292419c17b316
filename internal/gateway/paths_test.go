package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
)

// explains is a model that tells what each input adds: itself.
type explains struct{ sums }

func (explains) Signature() tensor.Signature {
	s := sums{}.Signature()
	s.Outputs = append(s.Outputs, tensor.Spec{Name: "contributions", DType: tensor.Float32, Shape: []int{-1, 3}, OnDemand: true})
	return s
}

func (m explains) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	answer := &tensor.Response{}
	for _, name := range m.Signature().Wanted(r) {
		if name != "contributions" {
			sum, err := m.sums.Predict(ctx, r)
			if err != nil {
				return nil, err
			}
			answer.Outputs = append(answer.Outputs, sum.Outputs...)
			continue
		}
		x, err := r.Inputs[0].Float32s()
		if err != nil {
			return nil, err
		}
		var out []float32
		for i := 0; i < len(x); i += 2 {
			out = append(out, x[i], x[i+1], 0)
		}
		answer.Outputs = append(answer.Outputs, tensor.New("contributions", []int{len(x) / 2, 3}, out))
	}
	return answer, nil
}

// pathServices are a (default, version 3), b (two versions, 1 and 2, that may be named), tf (TensorFlow's protocol), x (explained) and loading.
func pathServices() []*Service {
	a := ready("a", 3)
	a.options.Default = true
	b := NewService(ServiceOptions{Name: "b", Pinned: true, Variants: []VariantOptions{{Name: "stable", Ref: "models:/b@champion"}, {Name: "canary", Ref: "models:/b@candidate"}}})
	for i, v := range b.Variants() {
		v.Swap(live(i + 1))
	}
	tf := ready("tf", 5)
	tf.options.Tensorflow = true
	x := ready("x", 1)
	x.Variants()[0].Swap(&Live{Model: explains{}, Name: "m", Number: 1, Runtime: "sums"})
	return []*Service{a, b, tf, x, NewService(ServiceOptions{Name: "loading"})}
}

func TestEveryFormOfEveryPath(t *testing.T) {
	_, ask := serve(t, pathServices()...)
	const (
		get     = http.MethodGet
		post    = http.MethodPost
		options = http.MethodOptions
	)
	seldon := fmt.Sprintf(seldonRow, 1)
	v1 := `{"instances":[[1,2]]}`
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	csv := []string{"Content-Type", "text/csv"}
	type try struct {
		method, path, body string
		header             []string
		status             int
		want               string // a part
	}
	var tries []try
	add := func(method, path, body string, status int, want string, header ...string) {
		tries = append(tries, try{method, path, body, header, status, want})
	}
	for _, api := range []string{"/api/v1.0", "/api/v0.1"} {
		for _, prefix := range []string{"", "/seldon/a", "/seldon/prod/a"} {
			add(post, prefix+api+"/predictions", seldon, 200, `"ndarray":[303.0]`)
			add(options, prefix+api+"/predictions", "", 200, "")
			add(options, prefix+api+"/explain", "", 200, "")
			add(get, prefix+api+"/predictions", "", 405, `"status":"FAILURE"`)
			add(post, prefix+api+"/explain", seldon, 501, `"status":"FAILURE"`)
			add(get, prefix+api+"/metadata", "", 200, `{"name":"a","models":{"a":{"name":"a","versions":["3"],"platform":"serin_sums"`)
			add(get, prefix+api+"/metadata/a", "", 200, `{"name":"a","versions":["3"]`)
			add(get, prefix+api+"/metadata/m", "", 200, `{"name":"a","versions":["3"]`)
			add(get, prefix+api+"/metadata/other", "", 404, `"status":"FAILURE"`)
			add(post, prefix+api+"/metadata", "", 405, `"status":"FAILURE"`)
			for _, status := range []string{"/status", "/status/a", "/health/status"} {
				add(get, prefix+api+status, "", 200, `"status":"SUCCESS"`)
			}
			add(get, prefix+api+"/status/other", "", 404, `"status":"FAILURE"`)
		}
		add(post, "/seldon/x"+api+"/explain", seldon, 200, "1")
		add(post, "/seldon/prod/x"+api+"/explain", seldon, 200, "1")
		add(post, "/seldon/x-explainer/default"+api+"/explain", seldon, 200, "1")
		add(post, "/seldon/prod/x-explainer/default"+api+"/explain", seldon, 200, "1")
		add(post, "/seldon/prod/none-explainer/default"+api+"/explain", seldon, 404, `"status":"FAILURE"`)
		add(get, "/seldon/loading"+api+"/status", "", 503, `"status":"FAILURE"`)
		add(get, "/seldon/loading"+api+"/metadata", "", 503, `"status":"FAILURE"`)
		add(get, "/seldon/none"+api+"/metadata", "", 404, `"status":"FAILURE"`)
		add(post, "/seldon/a"+api+"/nothing", "", 404, `"status":"FAILURE"`)
		add(post, api+"/nothing", "", 404, `"status":"FAILURE"`)
	}
	add(post, "/predict", seldon, 200, `"ndarray":[303.0]`)
	add(post, "/predict", "json="+seldon, 200, `"ndarray":[303.0]`, form...)
	add(get, "/predict", "", 405, `"status":"FAILURE"`)
	add(get, "/health/ping", "", 200, "pong")
	add(get, "/health/status", "", 200, `"status":"SUCCESS"`)

	add(get, "/v1/models", "", 200, `{"models":["a","b","tf","x","loading"]}`)
	add(post, "/v1/models", "", 405, `{"error":`)
	add(post, "/v1/models/a:predict", v1, 200, `{"predictions":[303.0]}`)
	add(post, "/v1/models:predict", v1, 200, `{"predictions":[303.0]}`)
	add(post, "/v1/models/:predict", v1, 200, `{"predictions":[303.0]}`)
	add(post, "/v1/models/a%3Apredict", v1, 200, `{"predictions":[303.0]}`)
	add(post, "/v1/models/tf:predict", `{"inputs":{"input":[[1,2]]}}`, 200, `{"outputs":[503.0]}`)
	add(post, "/v1/models/a:predict", `{"inputs":[[1,2]]}`, 200, `{"predictions":[303.0]}`)
	add(post, "/v1/models/a/versions/3:predict", v1, 200, `{"predictions":[303.0]}`)
	add(post, "/v1/models/a/versions/2:predict", v1, 404, `{"error":`)
	add(post, "/v1/models/b/versions/1:predict", v1, 200, `{"predictions":[103.0]}`)
	add(post, "/v1/models/b/versions/2:predict", v1, 200, `{"predictions":[203.0]}`)
	add(post, "/v1/models/b/labels/canary:predict", v1, 200, `{"predictions":[203.0]}`)
	add(post, "/v1/models/b/labels/champion:predict", v1, 200, `{"predictions":[103.0]}`)
	add(post, "/v1/models/b/labels/none:predict", v1, 404, `{"error":`)
	add(post, "/v1/models/x:explain", v1, 200, `"explanations":`)
	add(post, "/v1/models/a:explain", v1, 501, `{"error":`)
	add(post, "/v1/models/a:classify", v1, 404, `{"error":`)
	add(post, "/v1/models/none:predict", v1, 404, `{"error":`)
	add(get, "/v1/models/a:predict", "", 405, `{"error":`)
	add(post, "/v1/models/a:predict", "{", 400, `{"error":`)
	add(get, "/v1/models/a", "", 200, `"name":"a","ready":true,"model_version_status":[{"version":"3","state":"AVAILABLE"`)
	add(get, "/v1/models/b", "", 200, `{"version":"2","state":"AVAILABLE"`)
	add(get, "/v1/models/b/versions/2", "", 200, `"model_version_status":[{"version":"2"`)
	add(get, "/v1/models/b/labels/canary", "", 200, `"model_version_status":[{"version":"2"`)
	add(get, "/v1/models/b/versions/7", "", 404, `{"error":`)
	add(get, "/v1/models/loading", "", 503, `{"error":`)
	add(get, "/v1/models/none", "", 404, `{"error":`)
	add(get, "/v1/models/a/metadata", "", 200, `"signature_def"`)
	add(get, "/v1/models/b/versions/2/metadata", "", 200, `"version":"2"`)

	add(post, "/invocations", `{"inputs":[[1,2]]}`, 200, `{"predictions":[303.0]}`)
	add(post, "/invocations", "a,b\n1,2\n", 200, `{"predictions":[303.0]}`, csv...)
	add(post, "/invocations", "x", 415, `{"error_code":`, "Content-Type", "image/png")
	add(post, "/invocations", `{}`, 400, `exactly one of the input fields`)
	add(get, "/invocations", "", 405, `{"error_code":`)
	add(get, "/ping", "", 200, "\n")
	add(get, "/health", "", 200, "\n")
	add(get, "/version", "", 200, "1.2.3")
	add(post, "/ping", "", 405, "is read with GET")

	add(get, "/v2/models/a/config", "", 200, `"max_batch_size":10`)
	add(get, "/v2/models/a/versions/3/config", "", 200, `"max_batch_size":10`)
	add(get, "/v2/models/a/stats", "", 200, `{"model_stats":[{"name":"a","version":"3"`)
	add(get, "/v2/models/b/versions/2/stats", "", 200, `{"model_stats":[{"name":"b","version":"2"`)
	add(get, "/v2/models/stats", "", 200, `{"name":"b","version":"2"`)
	add(get, "/v2/models/b", "", 200, `"versions":["1","2"]`)
	add(get, "/v2/models/b/versions/2", "", 200, `"versions":["2"]`)
	add(get, "/v2/models/b/versions/7", "", 404, `{"error":`)
	add(get, "/v2/models/none/config", "", 404, `{"error":`)
	add(get, "/v2/models/none/stats", "", 404, `{"error":`)
	for _, repository := range []string{"/v2/repository", "/v2/repository/main"} {
		add(post, repository+"/index", "", 200, `[{"name":"a","version":"3","state":"READY","reason":""},{"name":"b","version":"1","state":"READY","reason":""},{"name":"b","version":"2","state":"READY","reason":""}`)
		add(post, repository+"/index", `{"ready":true}`, 200, `{"name":"x","version":"1","state":"READY","reason":""}]`)
		add(post, repository+"/index", `{`, 400, `{"error":`)
		add(get, repository+"/index", "", 405, `{"error":`)
		add(post, repository+"/models/a/load", "", 403, `{"error":"failed to load 'a', this server lets no client load and unload models"}`)
		add(post, repository+"/models/a/unload", "", 403, `{"error":"failed to unload 'a',`)
	}
	add(get, "/v3", "", 404, `{"error":`)
	for _, tt := range tries {
		if status, got := ask(tt.method, tt.path, tt.body, tt.header...); status != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s %s: got %d %s\nwant %d %s", tt.method, tt.path, tt.body, status, got, tt.status, tt.want)
		}
	}
}

func TestAWrongMethodIsToldTheRightOne(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	for path, want := range map[string]string{
		"/v2/models/a/infer": "POST", "/v1/models/a:predict": "POST", "/invocations": "POST", "/api/v1.0/predictions": "POST",
		"/v2/models/a": "GET, HEAD", "/v1/models/a": "GET, HEAD", "/v2/repository/index": "POST", "/ping": "GET, HEAD", "/api/v1.0/status": "GET, HEAD",
	} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, path, nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != want {
			t.Errorf("%s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

// Pages of other origins may call what Seldon lets them call, if whoever runs the server says of which origin.
func TestOtherOriginsMayCallOnlyIfTheServerSaysSo(t *testing.T) {
	for _, origin := range []string{"", "*", "https://shop.example"} {
		g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, AllowOrigin: origin})
		g.SetServices([]*Service{ready("a", 1)})
		for _, tt := range []struct{ method, path, body string }{
			{http.MethodOptions, "/api/v1.0/predictions", ""}, {http.MethodPost, "/seldon/a/api/v1.0/predictions", fmt.Sprintf(seldonRow, 1)},
		} {
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
			if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != origin {
				t.Errorf("%q, %s: %d %v", origin, tt.method, w.Code, w.Header())
			}
			if headers := w.Header().Get("Access-Control-Allow-Headers"); tt.method == http.MethodOptions && (headers != "") != (origin != "") {
				t.Errorf("%q: allowed headers %q", origin, headers)
			}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, "/v2/models/a/infer", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("v2: %d %v", w.Code, w.Header())
		}
	}
}

// loader is a Repository that remembers what it was asked.
type loader struct {
	asked []string
	err   error
}

func (l *loader) Load(_ context.Context, service string) error {
	l.asked = append(l.asked, "load "+service)
	return l.err
}

func (l *loader) Unload(_ context.Context, service string) error {
	l.asked = append(l.asked, "unload "+service)
	return l.err
}

func TestClientsLoadModelsWhereTheyMay(t *testing.T) {
	l := &loader{}
	g, ask := serve(t, ready("a", 1))
	g.options.Repository, g.options.RepositoryControl = l, true
	for _, tt := range []struct {
		path, body string
		err        error
		status     int
		want       string
	}{
		{"a/load", "", nil, 200, ""},
		{"a/unload", `{"parameters":{"unload_dependents":true}}`, nil, 200, ""},
		{"x/load", "", nil, 404, `{"error":"failed to load 'x', no service named \"x\""}`},
		{"a/load", `{"parameters":{"config":"{}"}}`, nil, 400, `failed to load 'a', a model is loaded from the registry`},
		{"a/load", "", fault.Unavailablef("golden row 2 differs"), 503, `{"error":"failed to load 'a', golden row 2 differs"}`},
		{"a/unload", "", errors.New("/secret/path"), 500, `{"error":"failed to unload 'a', the log of the server says why"}`},
	} {
		l.err = tt.err
		if status, got := ask(http.MethodPost, "/v2/repository/models/"+tt.path, tt.body); status != tt.status || !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %d %s\nwant %d %s", tt.path, status, got, tt.status, tt.want)
		}
	}
	if status, got := ask(http.MethodPost, "/v2/repository/models/a/unload", "", "Sec-Fetch-Site", "cross-site"); status != 403 || !strings.Contains(got, "other origins") {
		t.Errorf("a page elsewhere: %d %s", status, got)
	}
	if want := []string{"load a", "unload a", "load a", "unload a"}; !slices.Equal(l.asked, want) {
		t.Errorf("asked: %q", l.asked)
	}
}

func TestTheIndexTellsWhatEachServiceIs(t *testing.T) {
	failed, unloaded, half := NewService(ServiceOptions{Name: "failed"}), ready("unloaded", 1), NewService(ServiceOptions{Name: "half", Variants: variantsOfTest})
	failed.Variants()[0].Fail(errors.New("/secret/path"))
	unloaded.Variants()[0].Unload()
	half.Variants()[0].Swap(live(1))
	half.Variants()[1].Fail(errors.New("damaged"))
	same := NewService(ServiceOptions{Name: "same", Variants: variantsOfTest})
	for _, v := range same.Variants() {
		v.Swap(live(7))
	}
	_, ask := serve(t, failed, unloaded, half, same)
	want := `[{"name":"failed","version":"","state":"UNAVAILABLE","reason":"it could not be loaded"},` +
		`{"name":"unloaded","version":"","state":"UNAVAILABLE","reason":"it was unloaded"},` +
		`{"name":"half","version":"1","state":"READY","reason":""},{"name":"half","version":"","state":"UNAVAILABLE","reason":"it could not be loaded"},` +
		`{"name":"same","version":"7","state":"READY","reason":""}]`
	if status, got := ask(http.MethodPost, "/v2/repository/index", "{}"); status != 200 || got != want {
		t.Errorf("%d %s\nwant %s", status, got, want)
	}
}

func TestAServerThatStopsIsNotReadyInAnyProtocol(t *testing.T) {
	g, ask := serve(t, ready("a", 1))
	c := dialled(t, g)
	paths := []string{"/readyz", "/v2/health/ready", "/v2/models/a/ready", "/v1/models/a", "/ping", "/api/v1.0/status"}
	want := func(status int, rpc string) {
		t.Helper()
		for _, path := range paths {
			if got, body := ask(http.MethodGet, path, ""); got != status {
				t.Errorf("%s: %d %s", path, got, body)
			}
		}
		for method, request := range map[string]string{"ServerReady": `{}`, "ModelReady": `{"name":"a"}`} {
			if got, _, err := c.call(t.Context(), oip+method, request); err != nil || got != rpc {
				t.Errorf("%s: %s, %v", method, got, err)
			}
		}
	}
	want(200, `{"ready":true}`)
	g.Drain()
	want(503, `{}`)
	if got, body := ask(http.MethodPost, "/invocations", `{"inputs":[[1,2]]}`); got != 200 {
		t.Errorf("%d %s", got, body)
	}
}
