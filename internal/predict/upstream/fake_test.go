package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// asking is an Asker of one instance: a handler in the same process.
type asking struct{ http.Handler }

// Ask implements Asker.
func (h asking) Ask(ctx context.Context, r *proxy.Request, a *proxy.Answer) error {
	request := httptest.NewRequestWithContext(ctx, r.Method, r.Target, bytes.NewReader(r.Body))
	for _, f := range r.Set {
		request.Header.Set(f.Name, f.Value)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	if err := ctx.Err(); err != nil {
		return &proxy.Failure{Why: proxy.Gone, Sent: true, Err: err}
	}
	*a = proxy.Answer{Status: recorder.Code, Header: recorder.Header(), Length: int64(recorder.Body.Len()), Body: recorder.Body.Bytes()}
	if len(a.Body) > r.Hold {
		a.Rest, a.Body = bytes.NewReader(a.Body[r.Hold:]), a.Body[:r.Hold]
	}
	return nil
}

// failing is an Asker that none answers.
type failing struct{ error }

// Ask implements Asker.
func (f failing) Ask(context.Context, *proxy.Request, *proxy.Answer) error { return f.error }

// decoder is the server's side of a dialect.
type decoder interface {
	Decode(body []byte, s tensor.Signature, l wire.Limits) (wire.Exchange, error)
	Error(dst []byte, status int, err error) []byte
}

// server serves a model, called m, in all dialects.
type server struct {
	model  predict.Model
	binary bool // it says that it has binary tensors
	mute   bool // it says nothing of what it takes and gives
}

const name = "a model" // which is escaped in paths

// headers looks up fields.
type headers http.Header

// Lookup implements wire.Call.
func (h headers) Lookup(from wire.Origin, name string) (string, int) {
	values := http.Header(h).Values(name)
	if from != wire.Header || len(values) == 0 {
		return "", 0
	}
	return values[0], len(values)
}

// ServeHTTP implements http.Handler.
func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sig := s.model.Signature()
	dialects := map[string]decoder{
		"POST /api/v1.0/predictions": wire.Seldon{}, "POST /v2/models/" + name + "/infer": wire.OpenInference{},
		"POST /v1/models/" + name + ":predict": wire.V1{}, "POST /invocations": wire.MLflow{},
	}
	documents := map[string][]byte{
		"GET /api/v1.0/metadata": wire.SeldonGraphMetadata(name, "1", "p", sig), "GET /v1/models/" + name + "/metadata": wire.V1Metadata(name, "1", sig),
		"GET /v2/models/" + name: wire.AppendModelMetadata(nil, wire.ModelInfo{Name: name, Signature: sig}),
		"GET /v2":                wire.AppendServerMetadata(nil, wire.ServerInfo{Name: "s"}),
	}
	if s.binary {
		documents["GET /v2"] = wire.AppendServerMetadata(nil, wire.ServerInfo{Extensions: []string{wire.ExtensionBinary}})
	}
	key := r.Method + " " + r.URL.Path
	if document := documents[key]; document != nil && !s.mute {
		_, _ = w.Write(document)
		return
	}
	d := dialects[key]
	if d == nil {
		http.NotFound(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	x, err := s.decode(d, body, r, sig)
	if err == nil {
		err = sig.Check(x.Request())
	}
	var answer []byte
	if err == nil {
		var response *tensor.Response
		if response, err = s.model.Predict(r.Context(), x.Request()); err == nil {
			answer, err = x.Answer(nil, wire.Meta{Service: name}, response)
		}
	}
	if err != nil {
		w.WriteHeader(fault.HTTPStatus(err))
		_, _ = w.Write(d.Error(nil, fault.HTTPStatus(err), err))
		return
	}
	if f, ok := x.(wire.Framer); ok && f.Frame().HeaderBytes > 0 {
		w.Header().Set(wire.HeaderLength, strconv.Itoa(f.Frame().HeaderBytes))
		w.Header().Set("Content-Type", f.Frame().ContentType)
	}
	_, _ = w.Write(answer)
}

func (s server) decode(d decoder, body []byte, r *http.Request, sig tensor.Signature) (wire.Exchange, error) {
	if c, ok := d.(wire.OpenInference); ok {
		return c.DecodeCall(body, headers(r.Header), sig, wire.Limits{})
	}
	return d.Decode(body, sig, wire.Limits{})
}

// sums is a model of three columns: it gives their sum, and on demand what of it each column is.
type sums struct{}

// Signature implements predict.Model.
func (sums) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 3}, Columns: []string{"c", "a", "b"}}},
		Outputs: []tensor.Spec{{Name: "sum", DType: tensor.Float32, Shape: []int{-1}}, {Name: "parts", DType: tensor.Float64, Shape: []int{-1, 3}, OnDemand: true}},
	}
}

// Predict implements predict.Model.
func (m sums) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	values, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	n := len(values) / 3
	total, parts := make([]float32, n), make([]float64, 3*n)
	for i, v := range values {
		if v-v != 0 {
			return nil, fault.Invalidf("input %q holds %v", "input", v)
		}
		total[i/3] += v
		parts[i] = float64(v)
	}
	response := &tensor.Response{}
	for _, output := range m.Signature().Wanted(r) {
		if output == "sum" {
			response.Outputs = append(response.Outputs, tensor.New(output, []int{n}, total))
		} else {
			response.Outputs = append(response.Outputs, tensor.New(output, []int{n, 3}, parts))
		}
	}
	return response, ctx.Err()
}

// open opens a model at a handler.
func open(t testing.TB, h http.Handler, o Options) *Model {
	t.Helper()
	o.Asker = asking{h}
	if o.Model == "" {
		o.Model = name
	}
	m, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// says is a handler that answers each path with a text, and others with 404. A text that begins with a number answers with that status.
type says map[string]string

// ServeHTTP implements http.Handler.
func (s says) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ok := s[r.URL.Path]
	if !ok {
		text = "404 " + r.URL.Path + " is not here"
	}
	if status, err := strconv.Atoi(text[:min(3, len(text))]); err == nil {
		w.WriteHeader(status)
		text = strings.TrimSpace(text[3:])
	}
	_, _ = io.WriteString(w, text)
}

var all = []Dialect{Seldon, V2, V1, MLflow}
