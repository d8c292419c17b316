package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict/predicttest"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// through makes a real upstream of instances.
func through(t testing.TB, urls ...string) *proxy.Upstream {
	t.Helper()
	u, err := proxy.New(proxy.Defaults(urls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func TestModelsAnswerOverRealConnections(t *testing.T) {
	for _, d := range all {
		for _, binary := range []bool{false, true} {
			s := proxytest.Serve(t, server{model: sums{}, binary: binary})
			m, err := Open(t.Context(), Options{Asker: through(t, s.URL()), Dialect: d, Model: name})
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(3, 4))
			for _, rows := range []int{1, 50, 20_000} {
				q := predicttest.RandomRequest(r, m.Signature(), rows)
				got, err := m.Predict(t.Context(), &q)
				want, _ := sums{}.Predict(t.Context(), &q)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %d rows: %v", d, rows, err)
				}
			}
		}
	}
}

// TestUpstreamsThatMisbehaveAreUnavailable asks those of proxytest: an answer that is none, or late, costs no more than the time there is.
func TestUpstreamsThatMisbehaveAreUnavailable(t *testing.T) {
	for what, tt := range map[string]struct {
		does proxytest.Behaviour
		late bool
	}{
		"hangs": {proxytest.HangAfterAccept, true}, "hangs in the middle": {proxytest.HangAfterHead, true}, "resets": {proxytest.ResetBeforeAnswer, false},
		"is short": {proxytest.Short, false}, "is short in chunks": {proxytest.ShortChunks, false},
	} {
		m, err := newModel(Options{Asker: through(t, proxytest.Misbehave(t, tt.does).URL()), Dialect: V1, Model: name})
		if err != nil {
			t.Fatal(err)
		}
		m.settle(tensor.Signature{})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if !tt.late {
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		q := tensor.Request{Inputs: []tensor.Tensor{tensor.New("input", []int{1, 2}, []float64{1, 2})}}
		_, err = m.Predict(ctx, &q)
		if fault.KindOf(err) != fault.Unavailable || errors.Is(err, context.DeadlineExceeded) != tt.late {
			t.Errorf("one that %s: got %v", what, err)
		}
		cancel()
	}
}

func TestAnUpstreamThatIsNotThereIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = Open(t.Context(), Options{Asker: through(t, "http://"+l.Addr().String()), Dialect: V2, Model: name})
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "cannot be asked what its model takes and gives (GET /v2/models/a%20model)") {
		t.Errorf("got %v", err)
	}
}

// parrot serves one answer, whatever it is asked, without allocating.
func parrot(b *testing.B, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go repeat(c, []byte(answer))
		}
	}()
	return "http://" + l.Addr().String()
}

// repeat answers requests of one connection, whose bodies have a Content-Length.
func repeat(c net.Conn, answer []byte) {
	defer c.Close()
	in := make([]byte, 1<<20)
	for n := 0; ; {
		m, err := c.Read(in[n:])
		if err != nil {
			return
		}
		n += m
		head := bytes.Index(in[:n], []byte("\r\n\r\n"))
		if head < 0 {
			continue
		}
		length := 0
		if at := bytes.Index(in[:head], []byte("Content-Length: ")); at >= 0 {
			for _, digit := range in[at+len("Content-Length: ") : head] {
				if digit < '0' || digit > '9' {
					break
				}
				length = 10*length + int(digit-'0')
			}
		}
		if n < head+4+length {
			continue
		}
		if n = 0; len(answer) > 0 {
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// BenchmarkPredict asks over loopback, one call after the other, for a row of 56 numbers or 100 of them, in each dialect.
func BenchmarkPredict(b *testing.B) {
	var columns []string
	for i := range 56 {
		columns = append(columns, "feature_"+strconv.Itoa(i))
	}
	s := tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 56}, Columns: columns}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
	}
	for _, rows := range []int{1, 100} {
		r := predicttest.RandomRequest(rand.New(rand.NewPCG(1, 2)), s, rows)
		prediction := tensor.New("prediction", []int{rows}, make([]float32, rows))
		for i := range rows {
			prediction.Data.([]float32)[i] = rand.Float32()
		}
		for what, d := range map[string]struct {
			dialect Dialect
			server  decoder
			binary  bool
		}{
			"seldon": {Seldon, wire.Seldon{}, false}, "v2": {V2, wire.OpenInference{}, false}, "v2 binary": {V2, wire.OpenInference{}, true},
			"v1": {V1, wire.V1{}, false}, "mlflow": {MLflow, wire.MLflow{}, false},
		} {
			b.Run(fmt.Sprintf("%s/%d", what, rows), func(b *testing.B) {
				m, err := newModel(Options{Asker: asking{says{}}, Dialect: d.dialect, Model: "m"})
				if err != nil {
					b.Fatal(err)
				}
				m.settle(s)
				if d.binary {
					m.client = wire.OpenInferenceClient{Binary: true}
				}
				m.options.Asker = through(b, parrot(b, answerOf(b, m, d.server, &r, &prediction)))
				if got, err := m.Predict(b.Context(), &r); err != nil || !reflect.DeepEqual(got.Outputs[0], prediction) {
					b.Fatal(got, err)
				}
				b.ReportAllocs()
				for b.Loop() {
					ctx, cancel := context.WithTimeout(b.Context(), time.Second)
					if _, err := m.Predict(ctx, &r); err != nil {
						b.Fatal(err)
					}
					cancel()
				}
			})
		}
	}
}

// answerOf is the answer of a server of the dialect, as it is sent.
func answerOf(b *testing.B, m *Model, d decoder, r *tensor.Request, prediction *tensor.Tensor) string {
	body, f, err := m.client.Ask(nil, &wire.Question{Request: r, Signature: m.known})
	if err != nil {
		b.Fatal(err)
	}
	var x wire.Exchange
	if f.HeaderBytes > 0 {
		x, err = wire.OpenInference{}.DecodeCall(body, headers{wire.HeaderLength: {strconv.Itoa(f.HeaderBytes)}}, m.signature, wire.Limits{})
	} else {
		x, err = d.Decode(body, m.signature, wire.Limits{})
	}
	if err != nil {
		b.Fatal(err)
	}
	answer, err := x.Answer(nil, wire.Meta{Service: "m", Model: "m", Version: "1"}, &tensor.Response{Outputs: []tensor.Tensor{*prediction}})
	if err != nil {
		b.Fatal(err)
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(answer)) + "\r\n"
	if f, ok := x.(wire.Framer); ok && f.Frame().HeaderBytes > 0 {
		head += wire.HeaderLength + ": " + strconv.Itoa(f.Frame().HeaderBytes) + "\r\n"
	}
	return head + "\r\n" + string(answer)
}
