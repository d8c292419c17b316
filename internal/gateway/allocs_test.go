package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// constant is a model that allocates nothing.
type constant struct {
	signature tensor.Signature
	answer    tensor.Response
}

func (m *constant) Signature() tensor.Signature { return m.signature }

func (m *constant) Predict(context.Context, *tensor.Request) (*tensor.Response, error) {
	return &m.answer, nil
}

// Allocations are what creeps in unseen. These bounds are what there is now: whoever needs more says here why. A connection's own are not
// in them, nor are the two of a response writer that cannot have a deadline.
func TestTheWayOfAPredictionAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("under it, sync.Pool drops things at random")
	}
	const rest = 2 // of the writer of tests
	for _, tt := range []struct {
		name string
		most float64
		make func() func()
	}{
		{"v2 over HTTP", 9 + rest, func() func() { return predicts(t, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1)) }},
		{"Seldon over HTTP", 12 + rest, func() func() { return predicts(t, "/seldon/a/api/v1.0/predictions", fmt.Sprintf(seldonRow, 1)) }},
		{"v1 over HTTP", 9 + rest, func() func() { return predicts(t, "/v1/models/a:predict", `{"instances":[[1,2]]}`) }},
		{"Open Inference over gRPC", 9, func() func() { return calls(t) }},
		{"passed on", 7, func() func() { return passes(t) }}, // a token and its place, an id, a unit, a length, and two of the writer of tests
		{"decide", 3, func() func() { return decides(t) }},
	} {
		if got := testing.AllocsPerRun(500, tt.make()); got > tt.most {
			t.Errorf("%s: %v allocations, at most %v are meant", tt.name, got, tt.most)
		} else {
			t.Logf("%s: %v of %v", tt.name, got, tt.most)
		}
	}
}

// newConstant is a gateway with the service a, whose model is constant.
func newConstant(keys *event.Keys, r *Recorder) *Gateway {
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now, Keys: keys, Recorder: r})
	s := ready("a", 1)
	s.Variants()[0].Swap(&Live{Model: &constant{
		signature: sums{}.Signature(), answer: tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{1}, []float32{1})}},
	}, Name: "m", Number: 1, Runtime: "constant"})
	g.SetServices([]*Service{s})
	return g
}

// calls is a call of ModelInfer from the bytes of its message to those of the answer.
func calls(t *testing.T) func() {
	g := newConstant(nil, nil)
	c := dialled(t, g)
	message, err := proto.Marshal(c.message(c.method(oip+"ModelInfer").Input(), row("a", 1)))
	if err != nil {
		t.Fatal(err)
	}
	data := mem.BufferSlice{mem.SliceBuffer(message)}
	var infer grpc.MethodDesc
	for _, m := range g.openInferenceRPC().Methods {
		if m.MethodName == "ModelInfer" {
			infer = m
		}
	}
	codec, ctx := Codec(), t.Context()
	decode := func(v any) error { return codec.Unmarshal(data, v) }
	return func() {
		answer, err := infer.Handler(nil, ctx, decode, nil)
		if err == nil {
			_, err = codec.Marshal(answer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func predicts(t *testing.T, path, body string) func() {
	a := newAsking(newConstant(nil, nil), path, body)
	return func() {
		if status := a.ask(); status != http.StatusOK {
			t.Fatal(status)
		}
	}
}

func passes(t *testing.T) func() {
	log := slog.New(slog.DiscardHandler)
	a := steadily(newSteady(t, NewRecorder(RecorderOptions{Log: new(memory), Now: time.Now, Logger: log, Queue: 1 << 20})), http.MethodPost, `{"data":{"ndarray":[[1,2]]}}`)
	return func() {
		if status := a.ask(); status != http.StatusOK {
			t.Fatal(status)
		}
	}
}

func decides(t *testing.T) func() {
	s := newSplit(t, traffic.Spec{Weights: weights(t, "stable", "80", "canary", "20"), Sticky: byUser}, 1<<20)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1.0/predictions", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-User", "user-17")
	c := call{at: time.Now(), ctx: t.Context(), facts: traffic.FromRequest(r), header: http.Header{}}
	var d decision
	return func() {
		d = decision{service: s.service}
		if err := s.decide(&d, &c, ""); err != nil {
			t.Fatal(err)
		}
		s.recorder.done(&d, http.StatusOK, time.Millisecond)
	}
}
