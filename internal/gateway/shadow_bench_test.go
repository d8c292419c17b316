package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/shadow"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// stuck is a model that does not answer before its time is over.
type stuck struct{ constant }

func (*stuck) Predict(ctx context.Context, _ *tensor.Request) (*tensor.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// shadowBench asks a service of a constant model whose shadow is next, which gets a share.
func shadowBench(tb testing.TB, shadowed bool, share float64, next func(constant) *Live) (*asking, func()) {
	r := NewRecorder(RecorderOptions{Log: new(noLog), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	m := shadow.NewMirror(shadow.MirrorOptions{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(tb.Context())
	ran := make(chan error, 2)
	go func() { ran <- r.Run(ctx) }()
	go func() { ran <- m.Run(ctx) }()
	cookies, err := traffic.NewKeys(make([]byte, 32), make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	policy, err := traffic.Compile(traffic.Spec{Weights: weights(tb, "stable", "1")}, traffic.Options{Service: "a", Variants: []string{"stable", "next"}, Epoch: 1, Version: 1, Keys: cookies})
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := event.NewKeys([32]byte{1})
	if err != nil {
		tb.Fatal(err)
	}
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now, Keys: keys, Recorder: r, Shadows: m})
	o := ServiceOptions{Name: "a", Policy: policy, Variants: []VariantOptions{{Name: "stable"}, {Name: "next"}}}
	if shadowed {
		one := shadowOf(tb, shadow.Rule{})
		one.Lane.Share = share
		o.Shadows = []ShadowOptions{one}
	}
	s := NewService(o)
	model := constant{signature: sums{}.Signature(), answer: tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{1}, []float32{1})}}}
	s.Variants()[0].Swap(&Live{Model: &model, Name: "m", Number: 1, Runtime: "constant"})
	s.Variants()[1].Swap(next(model))
	g.SetServices([]*Service{s})
	return newAsking(g, "/v2/models/a/infer", fmt.Sprintf(v2Row, 1)), func() {
		stop()
		for range 2 {
			if err := <-ran; err != nil {
				tb.Error(err)
			}
		}
	}
}

func quickShadow(m constant) *Live {
	return &Live{Model: &m, Name: "m", Number: 2, Runtime: "constant"}
}
func hangingShadow(m constant) *Live {
	return &Live{Model: &stuck{m}, Name: "m", Number: 2, Runtime: "stuck"}
}

// BenchmarkShadow is what a prediction of one row over HTTP takes in its handler: without a shadow; with one that is not drawn; with one that is,
// where the processor time of the shadow's own answer is in it; and with one that hangs, whose queue is full.
func BenchmarkShadow(b *testing.B) {
	for _, c := range []struct {
		name     string
		shadowed bool
		share    float64
		next     func(constant) *Live
	}{{"none", false, 0, quickShadow}, {"not drawn", true, 0, quickShadow}, {"drawn", true, 1, quickShadow}, {"hangs", true, 1, hangingShadow}} {
		b.Run(c.name, func(b *testing.B) {
			a, stop := shadowBench(b, c.shadowed, c.share, c.next)
			defer stop()
			b.ReportAllocs()
			for b.Loop() {
				if status := a.ask(); status != http.StatusOK {
					b.Fatal(status)
				}
			}
		})
	}
}

func TestAShadowThatIsNotDrawnAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under it, sync.Pool drops things at random")
	}
	var allocations [2]float64
	for i, shadowed := range []bool{false, true} {
		a, stop := shadowBench(t, shadowed, 0, quickShadow)
		allocations[i] = testing.AllocsPerRun(500, func() { a.ask() })
		stop()
	}
	if allocations[0] != allocations[1] {
		t.Errorf("%v allocations without a shadow, %v with one that is not drawn", allocations[0], allocations[1])
	}
}
