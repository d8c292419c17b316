package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/serin-ml/serin/internal/tensor"
)

// sums answers each row of two numbers with their sum plus its bias. A row that begins with one of the numbers below misbehaves.
type sums struct{ bias float32 }

const (
	hangs  = -1 // until the request's time is over
	panics = -2
	errs   = -3
)

func (sums) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 2}}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
	}
}

func (m sums) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	x, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	switch x[0] {
	case hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case panics:
		panic("a bug in a model")
	case errs:
		return nil, errors.New("the disk holding secrets at 10.0.0.7 failed")
	}
	out := make([]float32, len(x)/2)
	for i := range out {
		out[i] = x[2*i] + x[2*i+1] + m.bias
	}
	return &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{len(out)}, out)}}, nil
}

func live(number int) *Live {
	return &Live{Model: sums{bias: float32(number) * 100}, Name: "m", Number: number, Semver: "1.0.0", Runtime: "sums"}
}

// serve returns a gateway with the services given and a function that asks it.
func serve(t *testing.T, services ...*Service) (*Gateway, func(method, path, body string, header ...string) (int, string)) {
	t.Helper()
	g := New(Options{Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now})
	g.SetServices(services)
	return g, func(method, path, body string, header ...string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
}

func ready(name string, number int) *Service {
	s := NewService(ServiceOptions{Name: name, Timeout: time.Minute, Body: 1000, Rows: 10})
	s.Variants()[0].Swap(live(number))
	return s
}

const (
	v2Row     = `{"id":"q","inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[%v,2]}]}`
	seldonRow = `{"data":{"ndarray":[[%v,2]]}}`
)

func TestEveryPathAnswersInItsDialect(t *testing.T) {
	v2, seldon := fmt.Sprintf(v2Row, 1), fmt.Sprintf(seldonRow, 1)
	const (
		get  = http.MethodGet
		post = http.MethodPost
	)
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string // the whole body, or the part after "..."
	}{
		{"v2 infer", post, "/v2/models/a/infer", v2, nil, 200, `{"model_name":"a","model_version":"3","id":"q","outputs":[{"name":"prediction","shape":[1],"datatype":"FP32","data":[303.0]}]}`},
		{"v2 infer by the live version", post, "/v2/models/a/versions/3/infer", v2, nil, 200, `..."data":[303.0]`},
		{"v2 infer by another version", post, "/v2/models/a/versions/2/infer", v2, nil, 404, `{"error":"version \"2\" is not served; version 3 is"}`},
		{"v2 query parameters are ignored", post, "/v2/models/a/infer?x=1", v2, nil, 200, `..."data":[303.0]`},
		{"v2 server", get, "/v2", "", nil, 200, `{"name":"serin","version":"1.2.3","extensions":["binary_tensor_data","classification","model_configuration","model_repository","statistics"]}`},
		{"v2 server, as its OpenAPI document has it", get, "/v2/", "", nil, 200, `..."name":"serin"`},
		{"v1 server", get, "/", "", nil, 200, `{"status":"alive"}`},
		{"v2 live", get, "/v2/health/live", "", nil, 200, `{"live":true}`},
		{"v2 ready", get, "/v2/health/ready", "", nil, 200, `{"ready":true}`},
		{"v2 list", get, "/v2/models", "", nil, 200, `{"models":["a","b"]}`},
		{"v2 model", get, "/v2/models/a", "", nil, 200, `..."versions":["3"]`},
		{"v2 model ready", get, "/v2/models/a/ready", "", nil, 200, `{"name":"a","ready":true}`},
		{"v2 unknown model ready", get, "/v2/models/c/ready", "", nil, 404, `{"error":"Request for unknown model: no service named \"c\""}`},
		{"v2 infer with GET", get, "/v2/models/a/infer", "", nil, 405, `{"error":"predictions are asked for with POST"}`},
		{"v2 metadata with POST", post, "/v2/models/a", "{}", nil, 405, `{"error":"/v2/models/a is read with GET"}`},
		{"v2 unknown model", post, "/v2/models/c/infer", v2, nil, 404, `{"error":"Request for unknown model: no service named \"c\""}`},
		{"v2 broken", post, "/v2/models/a/infer", v2[:40], nil, 400, `..."error":"`},
		{"v2 wrong width", post, "/v2/models/a/infer", `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}`, nil, 400, `...shape [1 3]; the model takes [-1 2]`},
		{"v2 empty", post, "/v2/models/a/infer", "", nil, 400, `..."error":"`},
		{"too long", post, "/v2/models/a/infer", strings.Repeat(" ", 1001), nil, 413, `{"error":"the body is larger than 1000 bytes (send less at a time)"}`},
		{"too many rows", post, "/v2/models/a/infer", `{"inputs":[{"name":"input","datatype":"FP32","shape":[11,2],"data":[` + strings.Repeat("1,", 21) + `1]}]}`, nil, 400, `...rows`},
		{"compressed", post, "/v2/models/a/infer", v2, []string{"Content-Encoding", "br"}, 415, `...content encoding`},
		{"model hangs", post, "/v2/models/a/infer", `{"parameters":{"timeout":2000},` + fmt.Sprintf(v2Row, hangs)[1:], nil, 503, `{"error":"no answer within 2ms"}`},
		{"model panics", post, "/v2/models/a/infer", fmt.Sprintf(v2Row, panics), nil, 500, `{"error":"the model failed on this request"}`},
		{"v2 unready", post, "/v2/models/b/infer", v2, nil, 503, `{"error":"service \"b\" has no model ready to answer"}`},
		{"v2 unready model", get, "/v2/models/b/ready", "", nil, 503, `{"error":"service \"b\" has no model ready to answer"}`},
		{"seldon with a namespace", post, "/seldon/prod/a/api/v1.0/predictions", seldon, nil, 200, `..."ndarray":[303.0]`},
		{"seldon without", post, "/seldon/a/api/v1.0/predictions", seldon, nil, 200, `..."ndarray":[303.0]`},
		{"seldon bare", post, "/api/v1.0/predictions", seldon, nil, 200, `..."ndarray":[303.0]`},
		{"seldon as it was", post, "/api/v0.1/predictions", seldon, nil, 200, `..."ndarray":[303.0]`},
		{"seldon makes an id", post, "/api/v1.0/predictions", seldon, nil, 200, `..."puid":"01`},
		{"seldon takes the header's id", post, "/api/v1.0/predictions", seldon, []string{"Seldon-Puid", "mine"}, 200, `..."puid":"mine"`},
		{"seldon unknown", post, "/seldon/prod/c/api/v1.0/predictions", seldon, nil, 404, `..."code":404`},
		{"seldon with GET", get, "/api/v1.0/predictions", "", nil, 405, `..."status":"FAILURE"`},
		{"nowhere", get, "/v3", "", nil, 404, `{"error":"nothing is served at \"/v3\""}`},
		{"alive", get, "/healthz", "", nil, 200, `{"ok":true}`},
	}
	a := ready("a", 3)
	a.options.Default = true
	b := ready("b", 1)
	unready := NewService(ServiceOptions{Name: "b"})
	g, ask := serve(t, a, b)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "unready") {
				g.SetServices([]*Service{a, unready})
				defer g.SetServices([]*Service{a, b})
			}
			status, body := ask(tt.method, tt.path, tt.body, tt.header...)
			part, partial := strings.CutPrefix(tt.want, "...")
			if status != tt.status || !partial && body != tt.want || partial && !strings.Contains(body, part) {
				t.Errorf("got %d %s\nwant %d %s", status, body, tt.status, tt.want)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("%q is no JSON", body)
			}
		})
	}
}

func TestAnInternalErrorKeepsItsCauseToItself(t *testing.T) {
	_, ask := serve(t, ready("a", 1))
	status, body := ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, errs))
	if status != 500 || strings.Contains(body, "10.0.0.7") {
		t.Errorf("got %d %s", status, body)
	}
}

func TestReadyOnlyWhenEveryServiceAnswers(t *testing.T) {
	g, ask := serve(t)
	want := func(when string, status int, part string) {
		t.Helper()
		got, body := ask(http.MethodGet, "/readyz", "")
		if got != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s, want %d %s", when, got, body, status, part)
		}
		if v2, _ := ask(http.MethodGet, "/v2/health/ready", ""); v2 != status {
			t.Errorf("%s: /v2/health/ready is %d, /readyz %d", when, v2, status)
		}
	}
	want("without services", 503, `"services":[]`)
	a, b := NewService(ServiceOptions{Name: "a"}), ready("b", 1)
	g.SetServices([]*Service{a, b})
	want("one is loading", 503, `{"name":"a","state":"loading"},{"name":"b","state":"ready","version":1}`)
	a.Variants()[0].Fail(errors.New("golden row 2 differs"))
	want("one failed", 503, `{"name":"a","state":"failed"}`)
	a.Variants()[0].Swap(live(4))
	want("both live", 200, `{"name":"a","state":"ready","version":4}`)
	a.Variants()[0].Fail(errors.New("version 5 does not load"))
	want("one degraded", 200, `{"name":"a","state":"degraded","version":4}`)
	g.Drain()
	want("draining", 503, `"draining":true`)
	if status, _ := ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1)); status != 200 {
		t.Errorf("a draining server answers %d", status)
	}
}

func TestPathWithoutANameNeedsADefault(t *testing.T) {
	g, ask := serve(t)
	path, body := "/api/v1.0/predictions", fmt.Sprintf(seldonRow, 1)
	if status, text := ask(http.MethodPost, path, body); status != 503 {
		t.Errorf("without services: %d %s", status, text)
	}
	g.SetServices([]*Service{ready("a", 1)})
	if status, text := ask(http.MethodPost, path, body); status != 200 {
		t.Errorf("with one service: %d %s", status, text)
	}
	g.SetServices([]*Service{ready("a", 1), ready("b", 1)})
	if status, text := ask(http.MethodPost, path, body); status != 404 || !strings.Contains(text, "marked default") {
		t.Errorf("with two and no default: %d %s", status, text)
	}
}

// A client that goes away is its own doing: neither a failure of ours nor an answer.
func TestAClientThatHangsUpIsNoFailureOfTheService(t *testing.T) {
	s := ready("a", 1)
	s.options.Timeout = time.Minute
	reg := prometheus.NewRegistry()
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: reg, Now: time.Now})
	g.SetServices([]*Service{s})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v2/models/a/infer", strings.NewReader(fmt.Sprintf(v2Row, hangs)))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the connection is not cut: %v", err)
			}
		}()
		g.ServeHTTP(w, r)
	}()
	if w.Body.Len() != 0 {
		t.Errorf("nobody listens, and yet: %s", w.Body)
	}
	if n := testutil.ToFloat64(g.metrics.requests.WithLabelValues("a", "stable", openInferenceLabel, "/v2/models/{name}/infer", "499")); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

// A client that closes its sending half behind its request is taken to be gone, as net/http does. It gets no answer, which is the truth,
// and not the empty 200 that net/http gives where a handler says nothing.
func TestAClientThatClosesItsSendingHalfIsNotToldOfSuccess(t *testing.T) {
	s := ready("a", 1)
	s.options.Timeout = time.Minute
	g := New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	g.SetServices([]*Service{s})
	server := httptest.NewServer(g)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := fmt.Sprintf(v2Row, hangs)
	if _, err := fmt.Fprintf(conn, "POST /v2/models/a/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || len(text) != 0 {
		t.Errorf("it is told %q, %v", text, err)
	}
}

func TestAnAnswerOutOfProportionIsRefused(t *testing.T) {
	wide := tensor.Signature{Outputs: []tensor.Spec{
		{Name: "prediction", DType: tensor.Float32, Shape: []int{-1, 1000}},
		{Name: "margin", DType: tensor.Float32, Shape: []int{-1, 1000}, OnDemand: true},
	}}
	rows := func(n int, outputs ...string) *tensor.Request {
		return &tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{n, 1}, make([]float32, n))}, Outputs: outputs}
	}
	if err := mayAnswer(wide, rows(2000)); err != nil {
		t.Error(err)
	}
	if err := mayAnswer(wide, rows(2000, "prediction", "margin")); err == nil || !strings.Contains(err.Error(), "send fewer rows") {
		t.Errorf("4 million numbers: %v", err)
	}
}

// A model that is found in the registry later, or that cannot be loaded, does not turn traffic away from those that answer.
func TestFoundServicesAreWaitedForOnlyAtTheStart(t *testing.T) {
	found := func(name string) *Service { return NewService(ServiceOptions{Name: name, Found: true}) }
	a, b := found("a"), found("b")
	g, _ := serve(t, a, b)
	a.Variants()[0].Swap(live(1))
	if g.Ready() {
		t.Error("ready while one is loading at the start")
	}
	b.Variants()[0].Fail(errors.New("damaged"))
	if !g.Ready() {
		t.Error("a bad model keeps a good one from traffic")
	}
	g.SetServices([]*Service{a, b, found("c")})
	if !g.Ready() {
		t.Error("a new model turns traffic away while it is loading")
	}
	g.SetServices([]*Service{b})
	if g.Ready() {
		t.Error("ready with nothing that answers")
	}
}

// While versions are swapped as fast as they can be, every answer is some version's own, and says which.
func TestSwapsLoseNoRequestAndMixNoVersions(t *testing.T) {
	s := NewService(ServiceOptions{Name: "a"})
	s.Variants()[0].Swap(live(0))
	_, ask := serve(t, s)
	var askers sync.WaitGroup
	stop := make(chan struct{})
	swapper := make(chan struct{})
	go func() {
		defer close(swapper)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				s.Variants()[0].Swap(live(n))
			}
		}
	}()
	for range 4 {
		askers.Go(func() {
			for range 500 {
				status, body := ask(http.MethodPost, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1))
				var got struct {
					Version string `json:"model_version"`
					Outputs []struct{ Data []float64 }
				}
				if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
					t.Errorf("%d %s", status, body)
					return
				}
				if want := fmt.Sprint(int(got.Outputs[0].Data[0]-3) / 100); got.Version != want {
					t.Errorf("version %s answered as version %s would", got.Version, want)
				}
			}
		})
	}
	askers.Wait()
	close(stop)
	<-swapper
}

func TestMetricsDoNotGrowWithWhatClientsSend(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: reg, Now: time.Now})
	g.SetServices([]*Service{ready("a", 1)})
	ask := func(path string) {
		g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}")))
	}
	ask("/v2/models/a/infer")
	ask("/v2/models/x/infer")
	ask("/seldon/x/y/api/v1.0/predictions")
	before, err := testutil.GatherAndCount(reg)
	if err != nil || before == 0 {
		t.Fatalf("%d series, %v", before, err)
	}
	for i := range 500 {
		ask(fmt.Sprintf("/v2/models/m%d/infer", i))
		ask(fmt.Sprintf("/v2/models/a/versions/%d/infer", i+2))
		ask(fmt.Sprintf("/seldon/n%d/m%d/api/v1.0/predictions", i, i))
		ask(fmt.Sprintf("/p%d", i))
	}
	after, err := testutil.GatherAndCount(reg)
	if err != nil || after > before+2 { // the 404 of a version that is not live, and its histogram
		t.Errorf("%d series became %d, %v", before, after, err)
	}
}

func TestABodyThatEndsEarlyIsTheClientsFault(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	server := httptest.NewServer(g)
	defer server.Close()
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.WriteString(pw, `{"inputs":[`)
		pw.CloseWithError(errors.New("the client goes away"))
	}()
	resp, err := http.Post(server.URL+"/v2/models/a/infer", "application/json", pr)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("got %s", resp.Status)
		}
	}
}
