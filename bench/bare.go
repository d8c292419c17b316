package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// bareCommand is the argument that makes this program the bare server of the benchmark of serving.
const bareCommand = "bare"

// bareRPC is the method of gRPC that does nothing.
const bareRPC = "/bench.Bare/Nothing"

// dialect is what bare handlers decode with: Serin's own.
type dialect interface {
	DecodeCall(body []byte, call wire.Call, s tensor.Signature, l wire.Limits) (wire.Exchange, error)
}

// serveBare serves what Serin is held against, until it is interrupted: handlers of net/http that decode a request as Serin does and answer a
// constant, without and with asking the model, and a method of gRPC that does nothing.
func serveBare(ctx context.Context, path string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	model, err := open(ctx, path)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for name, d := range map[string]dialect{"v2": wire.OpenInference{}, "seldon": wire.Seldon{}} {
		mux.Handle("/"+name, bareHandler{dialect: d, model: model})
		mux.Handle("/model/"+name, bareHandler{dialect: d, model: model, predict: true})
	}
	var config net.ListenConfig
	web, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	calls, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, web.Close())
	}
	server, rpc := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}, grpc.NewServer()
	rpc.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Bare", Methods: []grpc.MethodDesc{{MethodName: "Nothing", Handler: nothing}}}, nil)
	err = json.NewEncoder(os.Stdout).Encode(map[string]string{"http": web.Addr().String(), "grpc": calls.Addr().String()})
	if err != nil {
		return errors.Join(err, web.Close(), calls.Close())
	}
	var serving errgroup.Group
	serving.Go(func() error { return server.Serve(web) })
	serving.Go(func() error { return rpc.Serve(calls) })
	<-ctx.Done()
	rpc.Stop()
	err = server.Close()
	if ended := serving.Wait(); !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// nothing is a method of gRPC, as protoc would generate it.
func nothing(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in emptypb.Empty
	if err := decode(&in); err != nil {
		return nil, err
	}
	return new(emptypb.Empty), nil
}

// bareHandler answers a request that it has decoded, and asked the model if it is to, with a constant.
type bareHandler struct {
	dialect dialect
	model   predict.Model
	predict bool
}

// bodies are reused, as a careful handler does.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// constantAnswer is about as long as Serin's.
var constantAnswer = []byte(`{"model_name":"m","model_version":"1","id":"01234567-89ab-7def-8123-456789abcdef",` +
	`"outputs":[{"name":"prediction","shape":[1],"datatype":"FP32","data":[0.81250000]}]}`)

// ServeHTTP implements http.Handler.
func (h bareHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(b)
	b.Reset()
	if err := h.answer(b, r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(constantAnswer))}
	_, _ = w.Write(constantAnswer) // the client may have gone
}

func (h bareHandler) answer(b *bytes.Buffer, r *http.Request) error {
	if _, err := b.ReadFrom(r.Body); err != nil {
		return err
	}
	s := h.model.Signature()
	exchange, err := h.dialect.DecodeCall(b.Bytes(), headers{r.Header}, s, wire.Limits{})
	if err != nil || !h.predict {
		return err
	}
	if err := s.Check(exchange.Request()); err != nil {
		return err
	}
	_, err = h.model.Predict(r.Context(), exchange.Request())
	return err
}

// headers is a call that has headers beside its body.
type headers struct{ http.Header }

// Lookup implements wire.Call.
func (h headers) Lookup(from wire.Origin, name string) (string, int) {
	if from != wire.Header || len(h.Header[name]) == 0 {
		return "", 0
	}
	return h.Header[name][0], len(h.Header[name])
}
