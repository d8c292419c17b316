package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// gated is sums behind a gate: each request tells that it has come, and waits.
type gated struct {
	sums
	come chan struct{}
	open chan struct{}
}

func (m gated) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	m.come <- struct{}{}
	<-m.open
	return m.sums.Predict(ctx, r)
}

// newGated makes a split whose service answers as many requests at once as given, all of them by a model that waits.
func newGated(t *testing.T, inFlight int) (*split, gated) {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "1")}, 0)
	m := gated{come: make(chan struct{}), open: make(chan struct{})}
	s.service.options.InFlight, s.service.options.Timeout = inFlight, time.Minute
	for _, v := range s.service.variants {
		v.Swap(&Live{Model: m, Name: "m", Number: 1, Runtime: "sums"})
	}
	return s, m
}

func TestMoreThanAServiceTakesIsRefused(t *testing.T) {
	const room = 3
	s, m := newGated(t, room)
	c := dialled(t, s.Gateway)
	body := fmt.Sprintf(v2Row, 1)
	var inside sync.WaitGroup
	for i := range room {
		inside.Go(func() {
			if i == 0 {
				if _, _, err := c.call(t.Context(), oip+"ModelInfer", row("sums", 1)); err != nil {
					t.Error(err)
				}
				return
			}
			if w := post(s.Gateway, "/v2/models/sums/infer", body); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for range room {
		<-m.come
	}
	for range 5 {
		w := post(s.Gateway, "/v2/models/sums/infer", body)
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "answering 3 requests already") {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	if _, _, err := c.call(t.Context(), oip+"ModelInfer", row("sums", 1)); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if n := testutil.ToFloat64(s.Gateway.metrics.sheds.WithLabelValues("sums")); n != 6 {
		t.Errorf("%v were counted", n)
	}
	close(m.open)
	inside.Wait()
	go func() { <-m.come }()
	if w := post(s.Gateway, "/v2/models/sums/infer", body); w.Code != 200 {
		t.Errorf("with room again: %d %s", w.Code, w.Body)
	}
	s.write(t)
	var requests, shed, errors uint64
	for _, tally := range s.log.tallied() {
		requests, shed = requests+tally.Requests, shed+tally.Shed
		for _, n := range tally.Errors {
			errors += n
		}
	}
	if requests != room+5+2 || shed != 6 || errors != 0 {
		t.Errorf("%d requests, %d of them shed, %d errors", requests, shed, errors)
	}
}

// Whoever sends a body slowly takes no place: that is for those who can be answered.
func TestASlowSenderKeepsNobodyOut(t *testing.T) {
	s, m := newGated(t, 1)
	close(m.open)
	slow, body := io.Pipe()
	done := make(chan int)
	reading := make(chan struct{})
	go func() {
		r := httptest.NewRequest(http.MethodPost, "/v2/models/sums/infer", io.TeeReader(slow, first{reading, new(sync.Once)}))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		done <- w.Code
	}()
	text := fmt.Sprintf(v2Row, 1)
	io.WriteString(body, text[:10])
	<-reading
	go func() { <-m.come }()
	if w := post(s.Gateway, "/v2/models/sums/infer", text); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	go func() { <-m.come }()
	io.WriteString(body, text[10:])
	body.Close()
	if code := <-done; code != 200 {
		t.Errorf("the slow one got %d", code)
	}
}

// first closes a channel at the first write.
type first struct {
	at   chan struct{}
	once *sync.Once
}

func (f first) Write(p []byte) (int, error) {
	f.once.Do(func() { close(f.at) })
	return len(p), nil
}

func TestAServiceWithoutABoundTakesAll(t *testing.T) {
	s, m := newGated(t, 0)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if w := post(s.Gateway, "/v2/models/sums/infer", fmt.Sprintf(v2Row, 1)); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for range 100 {
		<-m.come
	}
	close(m.open)
	all.Wait()
}

func TestARequestMayShortenItsTime(t *testing.T) {
	a := ready("a", 1)
	a.options.Timeout = time.Hour
	g, ask := serve(t, a)
	hanging := strings.Replace(fmt.Sprintf(v2Row, hangs), `"id"`, `"parameters":{"timeout":2000},"id"`, 1)
	if status, body := ask(http.MethodPost, "/v2/models/a/infer", hanging); status != 503 || body != `{"error":"no answer within 2ms"}` {
		t.Errorf("%d %s", status, body)
	}
	c := dialled(t, g)
	hanging = strings.Replace(row("a", hangs), `"id"`, `"parameters":{"timeout":{"int64_param":2000}},"id"`, 1)
	if _, _, err := c.call(t.Context(), oip+"ModelInfer", hanging); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "no answer within 2ms") {
		t.Error(err)
	}
	for _, longer := range []string{"7200000000000", "0", "-5", `"soon"`, "1e300"} {
		a.options.Timeout = 20 * time.Millisecond
		body := strings.Replace(fmt.Sprintf(v2Row, hangs), `"id"`, `"parameters":{"timeout":`+longer+`},"id"`, 1)
		if status, got := ask(http.MethodPost, "/v2/models/a/infer", body); status != 503 || !strings.Contains(got, "no answer within 20ms") {
			t.Errorf("%s: %d %s", longer, status, got)
		}
	}
}

// texts is a model whose rows are single texts: a flat list has as many rows as values.
type texts struct{}

func (texts) Signature() tensor.Signature {
	s := sums{}.Signature()
	s.Inputs[0] = tensor.Spec{Name: "input", DType: tensor.Bytes, Shape: []int{-1}}
	return s
}

func (texts) Predict(_ context.Context, r *tensor.Request) (*tensor.Response, error) {
	n := r.Inputs[0].Rows()
	return &tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{n}, make([]float32, n))}}, nil
}

func TestRowsOfSingleValuesAreCountedInEveryDialect(t *testing.T) {
	s := NewService(ServiceOptions{Name: "texts", Rows: 2})
	s.variants[0].Swap(&Live{Model: texts{}, Name: "m", Number: 1, Runtime: "texts"})
	g, ask := serve(t, s)
	c := dialled(t, g)
	for _, tt := range []struct{ path, body string }{
		{"/v2/models/texts/infer", `{"inputs":[{"name":"input","datatype":"BYTES","shape":[ROWS],"data":[LIST]}]}`},
		{"/api/v1.0/predictions", `{"data":{"ndarray":[LIST]}}`},
		{"/api/v1.0/predictions", `{"jsonData":[LIST]}`},
		{"/v1/models/texts:predict", `{"instances":[LIST]}`},
		{"/invocations", `{"inputs":[LIST]}`},
	} {
		for rows, want := range map[int]int{2: http.StatusOK, 3: http.StatusBadRequest} {
			body := strings.NewReplacer("ROWS", strconv.Itoa(rows), "LIST", `"a"`+strings.Repeat(`,"a"`, rows-1)).Replace(tt.body)
			if status, answer := ask(http.MethodPost, tt.path, body); status != want || want != http.StatusOK && !strings.Contains(answer, "rows") {
				t.Errorf("%s %s: %d %s", tt.path, body, status, answer)
			}
		}
	}
	request := `{"model_name":"texts","inputs":[{"name":"input","datatype":"BYTES","shape":[3],"contents":{"bytes_contents":["YQ==","YQ==","YQ=="]}}]}`
	if _, _, err := c.call(t.Context(), oip+"ModelInfer", request); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "3 rows") {
		t.Error(err)
	}
}
