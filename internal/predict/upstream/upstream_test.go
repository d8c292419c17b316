package upstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/tensor"
)

func TestAnUpstreamAnswersAsItsModelDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range all {
		for _, binary := range []bool{false, true} {
			m := open(t, server{model: sums{}, binary: binary}, Options{Dialect: d})
			want := sums{}.Signature()
			if d != V2 {
				want.Outputs = want.Outputs[:1]
			}
			if !m.Signature().Equal(want) {
				t.Errorf("%s: the signature is %v, want %v", d, m.Signature(), want)
			}
			for n := 1; n < 300; n *= 4 {
				q := predicttest.RandomRequest(r, want, n)
				got, err := m.Predict(t.Context(), &q)
				answer, _ := sums{}.Predict(t.Context(), &q)
				if err != nil || !reflect.DeepEqual(got, answer) {
					t.Fatalf("%s: %d rows give %v, %v; want %v", d, n, got, err, answer)
				}
			}
		}
	}
}

// runtime opens models that are upstreams of the models of another runtime.
type runtime struct{ dialect Dialect }

// Detect implements predict.Runtime.
func (runtime) Detect(a predict.Artefact) bool {
	text, err := a.ReadFile("sums")
	return err == nil && string(text) == "sums" || len(a.Files()) == 1 && err != nil && one(a) == "sums"
}

func one(a predict.Artefact) string {
	text, _ := a.ReadFile(a.Files()[0])
	return string(text)
}

// Open implements predict.Runtime.
func (r runtime) Open(ctx context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	for key := range o {
		return nil, fault.Invalidf("unknown option %q", key)
	}
	for _, file := range a.Files() {
		text, err := a.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if string(text) == "sums" {
			return Open(ctx, Options{Asker: asking{server{model: sums{}, binary: true}}, Dialect: r.dialect, Model: name})
		}
	}
	return nil, fault.Invalidf("no model")
}

func TestUpstreamsAreModelsLikeAnyOther(t *testing.T) {
	for _, d := range all {
		t.Run(string(d), func(t *testing.T) {
			predicttest.Run(t, predicttest.Options{Runtime: runtime{d}, Models: []predicttest.Model{{Name: "sums", Files: predicttest.Files{"sums": []byte("sums")}}}})
		})
	}
}

func TestTheSignatureIsWhatTheUpstreamSays(t *testing.T) {
	sig := tensor.Signature{Inputs: []tensor.Spec{{Name: "x", DType: tensor.Float32, Shape: []int{-1, 2}}}, Outputs: []tensor.Spec{{Name: "y", DType: tensor.Float32, Shape: []int{-1}}}}
	const metadata = `{"name":"m","inputs":[{"name":"i","datatype":"INT32","shape":[-1,4]}],"outputs":[{"name":"a","datatype":"FP32","shape":[-1]},{"name":"b","datatype":"FP64","shape":[-1]}]}`
	const seldon = `{"graphinputs":[{"name":"s","datatype":"FP64","shape":[-1,4]}],"graphoutputs":[{"name":"a","datatype":"FP32","shape":[-1]},{"name":"b","datatype":"FP64","shape":[-1]}]}`
	const open = "[input FP64 [-1 -1]] []"
	for what, tt := range map[string]struct {
		server  says
		options Options
		want    string // or a part of the error
	}{
		"the file's, whatever it says itself":    {says{"/v2/models/m": metadata}, Options{Dialect: V2, Signature: sig}, "[x FP32 [-1 2]] [y FP32 [-1]]"},
		"the file's inputs, its own outputs":     {says{"/v2/models/m": metadata}, Options{Dialect: V2, Signature: tensor.Signature{Inputs: sig.Inputs}}, "[x FP32 [-1 2]] [a FP32 [-1]; b FP64 [-1]]"},
		"its own":                                {says{"/v2/models/m": metadata}, Options{Dialect: V2}, "[i INT32 [-1 4]] [a FP32 [-1]; b FP64 [-1]]"},
		"its own, beside a path":                 {says{"/p/v2/models/x": metadata}, Options{Dialect: V2, Path: "/p/v2/models/x/infer?k=v"}, "[i INT32 [-1 4]] [a FP32 [-1]; b FP64 [-1]]"},
		"none that it gives":                     {says{"/v2/models/m": `{"name":"m","inputs":[],"outputs":[]}`}, Options{Dialect: V2}, open},
		"no such model":                          {says{"/v2/models/m": `404 {"error":"unknown model 'm'"}`}, Options{Dialect: V2}, "not found: the upstream does not know the model: /v2/models/m answers 404: unknown model 'm'"},
		"no such model, to Triton":               {says{"/v2/models/m": `400 {"error":"not found"}`}, Options{Dialect: V2}, "not found: the upstream does not know the model"},
		"a server in trouble":                    {says{"/v2/models/m": `500 {"error":"oh"}`}, Options{Dialect: V2}, "internal: /v2/models/m answers 500: oh"},
		"a server that starts":                   {says{"/v2/models/m": `503 `}, Options{Dialect: V2}, "unavailable: the upstream cannot say what its model takes and gives: GET /v2/models/m answers 503"},
		"a server that starts, of another kind":  {says{"/api/v1.0/metadata": `502 `}, Options{Dialect: Seldon}, "unavailable: "},
		"a document that is none":                {says{"/v2/models/m": `<html>`}, Options{Dialect: V2}, "internal: /v2/models/m: the model's metadata cannot be read"},
		"a page where others have a document":    {says{"/api/v1.0/metadata": `<html>`}, Options{Dialect: Seldon}, open},
		"a document that does not end":           {says{"/v2/models/m": strings.Repeat(" ", maxDocument+1)}, Options{Dialect: V2}, "with more than"},
		"none":                                   {says{}, Options{Dialect: MLflow}, open},
		"none, at a path":                        {says{}, Options{Dialect: V2, Path: "/infer/here"}, open},
		"Seldon's":                               {says{"/api/v1.0/metadata": seldon}, Options{Dialect: Seldon}, "[s FP64 [-1 4]] [a FP32 [-1]]"},
		"Seldon's wrapper's":                     {says{"/metadata": seldon, "/v2/models/m": metadata}, Options{Dialect: Seldon, Path: "/predict"}, "[s FP64 [-1 4]] [a FP32 [-1]]"},
		"Open Inference's beside another":        {says{"/v2/models/m": metadata}, Options{Dialect: V1}, "[i INT32 [-1 4]] [a FP32 [-1]; b FP64 [-1]]"},
		"Open Inference's, of Seldon one output": {says{"/v2/models/m": metadata, "/api/v1.0/metadata": seldon}, Options{Dialect: Seldon}, "[i INT32 [-1 4]] [a FP32 [-1]]"},
	} {
		tt.options.Asker, tt.options.Model = asking{tt.server}, "m"
		m, err := Open(t.Context(), tt.options)
		var got string
		if err != nil {
			got = fault.KindOf(err).String() + ": " + err.Error()
		} else {
			got = specs(m.Signature().Inputs) + " " + specs(m.Signature().Outputs)
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: got %s, want %s", what, got, tt.want)
		}
	}
}

func specs(list []tensor.Spec) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, fmt.Sprintf("%s %s %v", p.Name, p.DType, p.Shape))
	}
	return "[" + strings.Join(parts, "; ") + "]"
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		`no dialect "v3"`:           {Asker: asking{says{}}, Dialect: "v3"},
		"needs to know what":        {Asker: asking{says{}}, Dialect: V1},
		"begin with a slash":        {Asker: asking{says{}}, Dialect: MLflow, Path: "x"},
		"upstream without instance": {Dialect: MLflow},
	} {
		if m, err := Open(t.Context(), o); m != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", want, m, err)
		}
	}
}

// TestWhatGoesWrongIsToldToThoseItConcerns holds each failure against its kind, and against what a client is told.
func TestWhatGoesWrongIsToldToThoseItConcerns(t *testing.T) {
	const path = "/invocations"
	q := tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{1, 2}, []float64{1, 2})}}
	secret := errors.New("dial tcp 10.0.0.1:9000: refused")
	for what, tt := range map[string]struct {
		asker Asker
		want  string // the kind and what is said
		again string // when to ask again
		is    error
	}{
		"down":              {failing{&proxy.Failure{Why: proxy.Down, Err: secret}}, "unavailable: the upstream cannot be reached", "1s", secret},
		"late":              {failing{&proxy.Failure{Why: proxy.Late, Err: secret}}, "unavailable: no answer of the upstream in time", "0s", context.DeadlineExceeded},
		"broken":            {failing{&proxy.Failure{Why: proxy.Broken, Err: secret}}, "unavailable: the upstream hung up, or what it sent is no answer", "0s", secret},
		"full":              {failing{&proxy.Failure{Why: proxy.Full, Err: secret}}, "unavailable: the upstream has as many requests as it takes", "1s", secret},
		"something else":    {failing{secret}, "unavailable: the upstream hung up, or what it sent is no answer", "0s", secret},
		"bad request":       {asking{says{path: `400 {"error_code":"BAD_REQUEST","message":"no column x\nhere","stack_trace":"line 1"}`}}, "invalid: the upstream refuses the request: no column x here", "", nil},
		"nothing said":      {asking{says{path: `422`}}, "invalid: the upstream refuses the request: Unprocessable Entity", "", nil},
		"too large":         {asking{says{path: `413 big`}}, "invalid: the upstream refuses the request: big", "", nil},
		"a key is wanted":   {asking{says{path: `401 {"error":"token expired"}`}}, "internal: the upstream answers 401: token expired", "", nil},
		"not there":         {asking{says{}}, "internal: the upstream answers 404: /invocations is not here", "", nil},
		"elsewhere":         {asking{says{path: `302`}}, "internal: the upstream answers 302: Found", "", nil},
		"an error":          {asking{says{path: `500 {"error":"panic in model.py"}`}}, "internal: the upstream answers 500: panic in model.py", "", nil},
		"too many":          {asking{says{path: `429 slow down`}}, "unavailable: the upstream is not available now (429)", "1s", nil},
		"too many for long": {asking{after("7")}, "unavailable: the upstream is not available now (503)", "7s", nil},
		"too many for ever": {asking{after("99999999")}, "unavailable: the upstream is not available now (503)", "1h0m0s", nil},
		"no JSON":           {asking{says{path: `<html>`}}, "internal: the upstream (mlflow): the answer cannot be read", "", nil},
		"too long":          {asking{says{path: `{"predictions":[1` + strings.Repeat(" ", 1000) + `]}`}}, "internal: the upstream's answer is longer than 1000 bytes", "", nil},
		"a coded answer":    {asking{coded{}}, "internal: the upstream's answer is in the encoding", "", nil},
	} {
		m, err := newModel(Options{Asker: tt.asker, Dialect: MLflow, AnswerBytes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		m.settle(tensor.Signature{})
		got, err := m.Predict(t.Context(), &q)
		if err == nil {
			t.Errorf("%s: the answer is %v", what, got)
			continue
		}
		text := fault.KindOf(err).String() + ": " + err.Error()
		if !strings.HasPrefix(text, tt.want) || tt.is != nil && !errors.Is(err, tt.is) || strings.Contains(text, "10.0.0.1") {
			t.Errorf("%s: got %s (%v), want %s", what, text, errors.Is(err, tt.is), tt.want)
		}
		again := ""
		if f, ok := errors.AsType[*failure](err); ok {
			again = f.RetryAfter().String()
			if logged := f.LogValue().String(); !strings.HasPrefix(logged, err.Error()+": ") || errors.Is(tt.is, secret) && !strings.Contains(logged, secret.Error()) {
				t.Errorf("%s: logged as %s", what, logged)
			}
		}
		if again != tt.again {
			t.Errorf("%s: ask again in %q, want %q", what, again, tt.again)
		}
	}
}

// after refuses for so many seconds.
type after string

// ServeHTTP implements http.Handler.
func (a after) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", string(a))
	w.WriteHeader(http.StatusServiceUnavailable)
}

// coded answers in a way that nobody asked for.
type coded struct{}

// ServeHTTP implements http.Handler.
func (coded) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write([]byte{0x1f, 0x8b})
}

func TestAQuestionNobodyWaitsForIsNoFailureOfTheUpstream(t *testing.T) {
	m := open(t, server{model: sums{}}, Options{Dialect: V2})
	ctx, cancel := context.WithCancel(t.Context())
	m.options.Asker = failing{&proxy.Failure{Why: proxy.Gone, Err: errors.New("gone")}}
	q := predicttest.RandomRequest(rand.New(rand.NewPCG(1, 1)), m.Signature(), 1)
	if _, err := m.Predict(ctx, &q); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	cancel()
	if _, err := m.Predict(ctx, &q); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// watching keeps what it is asked.
type watching struct {
	Asker
	asked *proxy.Request
	body  string
}

// Ask implements Asker.
func (w *watching) Ask(ctx context.Context, r *proxy.Request, a *proxy.Answer) error {
	kept := *r
	kept.Set = slices.Clone(r.Set)
	w.asked, w.body = &kept, string(r.Body)
	return w.Asker.Ask(ctx, r, a)
}

func TestRequestsAreWhatTheDialectWants(t *testing.T) {
	row := tensor.New("input", []int{1, 3}, []float32{0.5, float32(math.NaN()), 16777216})
	named := tensor.Signature{Inputs: sums{}.Signature().Inputs, Outputs: []tensor.Spec{{Name: "out", DType: tensor.Float32, Shape: []int{-1}}}}
	for d, want := range map[Dialect]string{
		Seldon: `POST /api/v1.0/predictions HOST Content-Type=application/json Accept=application/json X-Own=1 X-Request-Id=an-id Seldon-Puid=an-id ` +
			`{"meta":{"puid":"an-id"},"data":{"names":["c","a","b"],"ndarray":[[0.5,null,16777216.0]]}}`,
		V2: `POST /v2/models/a%20model/infer HOST Content-Type=application/json Accept=application/json X-Own=1 X-Request-Id=an-id ` +
			`{"id":"an-id","inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[0.5,null,16777216.0]}],"outputs":[{"name":"out"}]}`,
		V1: `POST /v1/models/a%20model:predict HOST Content-Type=application/json Accept=application/json X-Own=1 X-Request-Id=an-id ` +
			`{"instances":[[0.5,null,16777216.0]]}`,
		MLflow: `POST /invocations HOST Content-Type=application/json Accept=application/json X-Own=1 X-Request-Id=an-id ` +
			`{"dataframe_split":{"columns":["c","a","b"],"data":[[0.5,null,16777216.0]]}}`,
	} {
		w := &watching{Asker: asking{says{}}}
		m, err := Open(t.Context(), Options{Asker: w, Dialect: d, Model: name, Host: "HOST", Header: []proxy.Field{{Name: "X-Own", Value: "1"}}, Signature: named})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = m.Predict(t.Context(), &tensor.Request{ID: "an-id", Inputs: []tensor.Tensor{row}})
		got := w.asked.Method + " " + w.asked.Target + " " + w.asked.Host
		for _, f := range w.asked.Set {
			got += " " + f.Name + "=" + f.Value
		}
		if got += " " + w.body; got != want {
			t.Errorf("%s\n got %s\nwant %s", d, got, want)
		}
		if !w.asked.Safe || w.asked.Hold != defaultAnswerBytes {
			t.Errorf("%s: %+v", d, w.asked)
		}
		_, _ = m.Predict(t.Context(), &tensor.Request{ID: "an id\r\nX-Other: 1", Inputs: []tensor.Tensor{row}})
		if slices.ContainsFunc(w.asked.Set, func(f proxy.Field) bool { return f.Name == "X-Request-Id" }) {
			t.Errorf("%s: an id that breaks headers apart is passed on in %v", d, w.asked.Set)
		}
	}
}
