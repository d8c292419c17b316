package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// parts are what a gateway has beyond answering.
type parts struct {
	policy *traffic.Policy
	keys   *event.Keys
	log    gateway.Log // nil: no recorder
	every  int
}

// answering is a gateway with one service of the three variants, asked in this process.
type answering struct {
	handler http.Handler
	write   func(context.Context) (flush, end func() error) // begins a turn's writing
	every   int                                             // how many answers are written down at once
	asked   int

	request *http.Request
	body    body
	writer  discarding
}

func newAnswering(p parts) (*answering, error) {
	nothing := func() error { return nil }
	a := &answering{
		writer: discarding{header: http.Header{}}, every: p.every,
		write: func(context.Context) (flush, end func() error) { return nothing, nothing },
	}
	quiet := slog.New(slog.DiscardHandler)
	o := gateway.Options{Log: quiet, Now: time.Now, Keys: p.keys}
	if p.log != nil {
		ticks := make(chan time.Time)
		o.Recorder = gateway.NewRecorder(gateway.RecorderOptions{Log: p.log, Now: time.Now, Logger: quiet, Ticks: ticks})
		a.write = func(ctx context.Context) (flush, end func() error) { return recording(ctx, o.Recorder, ticks) }
	}
	g := gateway.New(o)
	g.SetServices([]*gateway.Service{newService(p.policy)})
	a.handler = g
	var err error
	a.request, err = http.NewRequest(http.MethodPost, "http://localhost/v2/models/reviews/infer", &a.body) //nolint:noctx // it is never sent
	return a, err
}

// newService makes the service with the three variants, which a model of no cost answers for.
func newService(p *traffic.Policy) *gateway.Service {
	variants := make([]gateway.VariantOptions, len(variantNames))
	for i, name := range variantNames {
		variants[i].Name = name
	}
	service := gateway.NewService(gateway.ServiceOptions{Name: "reviews", Variants: variants, Policy: p, Labels: []string{"bad", "good"}})
	model := constant{&tensor.Response{Outputs: []tensor.Tensor{tensor.New("prediction", []int{1}, []float32{0.8125})}}}
	for i, v := range service.Variants() {
		v.Swap(&gateway.Live{Model: model, Name: "m", Number: i + 1, Semver: "1.0.0", Digest: digest(i), Runtime: "constant"})
	}
	return service
}

// digest is a version's, as the registry names it.
func digest(i int) string { return fmt.Sprintf("sha256:%064x", i+1) }

const question = `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[0.5,0.25]}]}`

// ask asks once for each of a turn's requests, each another user's, and returns when all is written down.
func (a *answering) ask(ctx context.Context, users [][]string) (err error) {
	flush, end := a.write(ctx)
	defer func() { err = errors.Join(err, end()) }()
	for i := range recordTurn {
		a.request.Header[userHeader] = users[a.asked%len(users)]
		a.asked++
		a.body.Reset([]byte(question))
		clear(a.writer.header)
		a.handler.ServeHTTP(&a.writer, a.request)
		if a.writer.status != http.StatusOK {
			return fmt.Errorf("the gateway answers %d", a.writer.status)
		}
		if (i+1)%a.every == 0 && i+1 < recordTurn {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// recording runs a recorder for one turn: flush has it write decisions, end also the tallies, as a second does, and waits for it.
func recording(ctx context.Context, r *gateway.Recorder, ticks chan<- time.Time) (flush, end func() error) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	flush = func() error {
		select {
		case ticks <- time.Time{}: // taken once the flush before has ended
			return nil
		case err := <-ended:
			ended <- err
			return errors.New("the recorder has ended early")
		}
	}
	return flush, func() error {
		err := errors.Join(flush(), flush()) // what is stopped while it writes may give that up
		stop()
		return errors.Join(err, <-ended)
	}
}

// body is a request's, read again and again.
type body struct{ bytes.Reader }

// Close implements io.Closer.
func (*body) Close() error { return nil }

// discarding is a ResponseWriter to nowhere.
type discarding struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *discarding) Header() http.Header { return w.header }

// Write implements http.ResponseWriter.
func (w *discarding) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (w *discarding) WriteHeader(status int) { w.status = status }

// SetWriteDeadline does what http.ResponseController asks for.
func (w *discarding) SetWriteDeadline(time.Time) error { return nil }

// constant is a model that takes no time.
type constant struct{ answer *tensor.Response }

// Signature implements predict.Model.
func (constant) Signature() tensor.Signature {
	return tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, 2}}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: []int{-1}}},
	}
}

// Predict implements predict.Model.
func (c constant) Predict(context.Context, *tensor.Request) (*tensor.Response, error) {
	return c.answer, nil
}
