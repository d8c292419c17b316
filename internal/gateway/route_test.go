package gateway

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// named is sums with names for its columns.
type named struct{ sums }

func (named) Signature() tensor.Signature {
	s := sums{}.Signature()
	s.Inputs[0].Columns = []string{"x", "y"}
	return s
}

func routePath(t testing.TB, text string) RoutePath {
	t.Helper()
	p, err := ParseRoutePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// route makes a route that answers with the sum and a word of its own.
func route(t testing.TB, method, path, name string, fields ...wire.MappedField) Route {
	t.Helper()
	p := routePath(t, path)
	d, err := wire.CompileMapping(wire.Mapping{
		Parameters: p.Parameters(), NoBody: method == http.MethodGet, Fields: fields,
		Answer: &wire.Template{Object: []wire.Member{{Key: name, Value: wire.Template{Word: "prediction"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Route{Method: method, Path: p, Dialect: d}
}

func routed(name string, routes ...Route) *Service {
	s := NewService(ServiceOptions{Name: name, Timeout: time.Minute, Body: 1000, Rows: 10, Routes: routes})
	s.Variants()[0].Swap(&Live{Model: named{}, Name: "m", Number: 3, Semver: "1.0.0", Runtime: "sums"})
	return s
}

func TestRoutesComeBeforeSerinsOwnPaths(t *testing.T) {
	const (
		get, post, put = http.MethodGet, http.MethodPost, http.MethodPut
		body           = `{"x":1,"y":2}`
	)
	a := routed("a",
		route(t, post, "/predict", "plain"), route(t, put, "/predict", "put"),
		route(t, post, "/predict/{x}", "one"), route(t, post, "/predict/special", "special"), route(t, get, "/predict/special/", "slash"),
		route(t, get, "/add/{x}/{y}", "added"), route(t, post, "/v2/models/{x}/infer", "captured"), route(t, post, "/healthz", "health"),
	)
	b := routed("b",
		route(t, post, "/predict", "never: a was first"), route(t, get, "/", "root"), route(t, post, "/{x}/y", "late"),
		route(t, post, "/h", "header", wire.MappedField{Target: "x", From: "header:X-Value"}, wire.MappedField{Target: "y", From: "query:y z", Default: int64(5)}),
	)
	_, ask := serve(t, a, b)
	for _, tt := range []struct {
		method, path, body string
		header             []string
		status             int
		want               string
	}{
		{post, "/predict", body, nil, 200, `{"plain":3.0}`},
		{put, "/predict", body, nil, 200, `{"put":3.0}`},
		{post, "/predict/7", body, nil, 200, `{"one":9.0}`},
		{post, "/predict/%37", body, nil, 200, `{"one":9.0}`},
		{post, "/predict/a%2Fb", body, nil, 400, `{"error":{"message":"field \"path:x\" is the text \"a/b\" where a number should be","field":"path:x"}}`},
		{post, "/predict/special", body, nil, 200, `{"special":3.0}`},
		{post, "/pre%64ict", body, nil, 200, `{"plain":3.0}`},
		{get, "/predict/special/?x=1&y=5", "", nil, 200, `{"slash":6.0}`},
		{get, "/add/1.5/2", "", nil, 200, `{"added":3.5}`},
		{get, "/add/1.5/2?x=9", "", nil, 200, `{"added":3.5}`},
		{post, "/h", "", []string{"X-Value", "7"}, 200, `{"header":12.0}`},
		{post, "/h?y+z=1", "", []string{"X-Value", "7"}, 200, `{"header":8.0}`},
		{post, "/h?y+z=1&y+z=2", "", []string{"X-Value", "7"}, 400, `{"error":{"message":"field \"query:y z\" is given 2 times","field":"query:y z"}}`},
		{get, "/?x=1&y=1", "", nil, 200, `{"root":2.0}`},
		{post, "/v2/models/7/infer", body, nil, 200, `{"captured":9.0}`},
		{post, "/healthz", body, nil, 200, `{"health":3.0}`},
		{get, "/healthz", "", nil, 200, `{"ok":true}`},
		{post, "/8/y", body, nil, 200, `{"late":10.0}`},
		{post, "/predict/y", body, nil, 400, `{"error":{"message":"field \"path:x\" is the text \"y\" where a number should be","field":"path:x"}}`},
		{post, "/predict", `{"x":1}`, nil, 400, `{"error":{"message":"field \"y\" is missing","field":"y"}}`},
		{get, "/predict", "", nil, 405, `{"error":{"message":"/predict is asked with POST, PUT"}}`},
		{http.MethodHead, "/add/1/2", "", nil, 405, `{"error":{"message":"/add/1/2 is asked with GET"}}`},
		{post, "/add/1/", body, nil, 404, `{"error":"nothing is served at \"/add/1/\""}`},
		{post, "/predict", strings.Repeat(" ", 1001), nil, 413, `{"error":{"message":"the body is larger than 1000 bytes (send less at a time)"}}`},
		{post, "/predict", body, []string{"Content-Encoding", "br"}, 415, `{"error":{"message":"content encoding \"br\" is not supported (send the body as it is, or as gzip or deflate)"}}`},
		{post, "/v2/models/a/versions/3/infer", `{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, nil, 200, `{"model_name":"a","model_version":"3","outputs":[{"name":"prediction","shape":[1],"datatype":"FP32","data":[3.0]}]}`},
	} {
		status, got := ask(tt.method, tt.path, tt.body, tt.header...)
		if status != tt.status || got != tt.want {
			t.Errorf("%s %s: got %d %s\nwant %d %s", tt.method, tt.path, status, got, tt.status, tt.want)
		}
	}
}

func TestARoutesRequestIsADecision(t *testing.T) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "80", "canary", "20"), Sticky: byUser}, 0)
	d, err := wire.CompileMapping(wire.Mapping{
		Labels: wire.Labels{Classes: s.service.Labels(), Threshold: 0.5},
		Fields: []wire.MappedField{{Target: "input", From: "v"}},
		Answer: &wire.Template{Object: []wire.Member{
			{Key: "label", Value: wire.Template{Word: "label"}}, {Key: "score", Value: wire.Template{Word: "score"}}, {Key: "id", Value: wire.Template{Word: "decisionId"}},
			{Key: "token", Value: wire.Template{Word: "decision"}}, {Key: "variant", Value: wire.Template{Word: "variant"}}, {Key: "version", Value: wire.Template{Word: "version"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.service.options.Routes = []Route{{Method: http.MethodPost, Path: routePath(t, "/predict"), Dialect: d}}
	s.SetServices([]*Service{s.service})
	type answer struct {
		Label, ID, Token, Variant, Version string
		Score                              float64
	}
	told := map[string]answer{}
	for _, body := range []string{`{"v":[0.5,0.25]}`, `{"v":[0.125,0.25]}`, `{"v":[0.25,0.25]}`} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader(body)))
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		token, err := event.ParseToken(a.Token, s.keys)
		if err != nil || token.Decision.String() != a.ID || w.Header().Get(TokenHeader) != a.Token {
			t.Errorf("%s: the token says %+v, %v", w.Body, token, err)
		}
		told[a.ID] = a
	}
	s.write(t)
	decisions := s.log.decisions()
	for _, d := range decisions {
		a := told[d.ID.String()]
		if d.Label != a.Label || d.Score != a.Score || d.Answered != a.Variant || a.Label != map[bool]string{true: "high", false: "low"}[a.Score >= 0.5] {
			t.Errorf("told %+v, written %+v", a, d)
		}
	}
	if len(decisions) != len(told) || len(told) != 3 {
		t.Errorf("%d decisions were written, %d told", len(decisions), len(told))
	}
}

func TestRoutesAreCountedUnderOneName(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: reg, Now: time.Now})
	g.SetServices([]*Service{routed("a", route(t, http.MethodGet, "/add/{x}/{y}", "sum"))})
	for _, path := range []string{"/add/1/2", "/add/3/4", "/add/x/y"} {
		g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	for code, want := range map[string]float64{"200": 2, "400": 1} {
		if got := testutil.ToFloat64(g.metrics.requests.WithLabelValues("a", "stable", "route", "/add/{x}/{y}", code)); got != want {
			t.Errorf("%v requests with %s, want %v", got, code, want)
		}
	}
}

func TestRoutesAreTakenAwayWithTheirService(t *testing.T) {
	a := routed("a", route(t, http.MethodPost, "/guess", "p"))
	g, ask := serve(t, a)
	if status, body := ask(http.MethodPost, "/guess", `{"x":1,"y":2}`); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	g.SetServices([]*Service{ready("b", 1)})
	if status, body := ask(http.MethodPost, "/guess", `{"x":1,"y":2}`); status != 404 {
		t.Errorf("%d %s", status, body)
	}
}

func TestAModelThatARouteDoesNotFitIsTold(t *testing.T) {
	s := routed("a", route(t, http.MethodPost, "/predict", "p", wire.MappedField{Target: "colour", From: "x"}))
	err := s.Fits(named{}.Signature())
	if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), `route POST /predict: the route does not fit the model: request: the model has no column or input "colour"`) {
		t.Errorf("got %v", err)
	}
	if err := routed("b", route(t, http.MethodPost, "/predict", "p")).Fits(named{}.Signature()); err != nil {
		t.Error(err)
	}
}

func TestPathsOfRoutes(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "/{x}": "/{}", "/a/{x}/b/{y_2}": "/a/{}/b/{}", "/größe": "/größe", "/a.b-c:d@e": "/a.b-c:d@e", "/.serious": "/.serious",
	} {
		if p, err := ParseRoutePath(text); err != nil || p.Shape() != want || p.String() != text {
			t.Errorf("%s: shape %q, %v", text, p.Shape(), err)
		}
	}
	for _, text := range []string{
		"", "a", "//", "/a//b", "/./a", "/a/..", "/{}", "/{1}", "/a{x}", "/{x}{y}", "/{x}/{x}", "/a?b", "/a#b", "/a%20b", "/a b", "/a\nb", "/\xff", "/.serin", "/.serin/x",
		"/{x...}", `/a\b`, strings.Repeat("/a", 33), "/" + strings.Repeat("a", 500),
	} {
		if _, err := ParseRoutePath(text); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("%q is taken: %v", text, err)
		}
	}
}

// TestRoutesAreFoundAsAListWouldFindThem compares the tree with a search through all routes, where text wins over a parameter from the
// left on.
func TestRoutesAreFoundAsAListWouldFindThem(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.SampledFrom([]string{"a", "b", "{x}", "{y}"})
		var list []RoutePath
		g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
		var given []Route
		for range rapid.IntRange(1, 8).Draw(rt, "routes") {
			p, err := ParseRoutePath("/" + strings.Join(rapid.SliceOfN(part, 1, 4).Draw(rt, "parts"), "/"))
			if err != nil {
				continue // the same parameter twice
			}
			if !slices.ContainsFunc(list, func(q RoutePath) bool { return q.Shape() == p.Shape() }) {
				list, given = append(list, p), append(given, Route{Method: http.MethodPost, Path: p, Dialect: wire.Seldon{}})
			}
		}
		g.SetServices([]*Service{NewService(ServiceOptions{Name: "a", Routes: given})})
		path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 1, 4).Draw(rt, "path"), "/")
		best := ""
		var values []string
		for _, p := range list {
			text, key, got := strings.Split(path[1:], "/"), "", []string(nil)
			if len(text) != len(p.segments) {
				continue
			}
			fits := true
			for i, s := range p.segments {
				switch {
				case s.parameter && text[i] != "":
					key, got = key+"1", append(got, text[i])
				case !s.parameter && s.text == text[i]:
					key += "0"
				default:
					fits = false
				}
			}
			if fits && (best == "" || key < best) {
				best, values = key, got
			}
		}
		m := routeMatch{method: http.MethodPost}
		found := len(list) > 0 && m.find(g.services.Load().own, (&url.URL{Path: path}).EscapedPath())
		if found != (best != "") || found && !slices.Equal(m.values, values) {
			rt.Fatalf("%s among %v: found %v %q, want %q %q", path, list, found, m.values, best, values)
		}
	})
}
