package gateway

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/wire"
)

// A client that keeps a stream open, as Triton's do, must not hold up a server that stops.
func TestAStreamEndsBehindItsAnswerOnceTheServerParts(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	c := dialled(t, g)
	m := c.method(oip + "ModelStreamInfer")
	for _, begun := range []bool{true, false} {
		stream, err := c.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+oip+"ModelStreamInfer")
		if err != nil {
			t.Fatal(err)
		}
		answer := dynamicpb.NewMessage(m.Output())
		if begun {
			if err := stream.SendMsg(c.message(m.Input(), row("a", 1))); err != nil {
				t.Fatal(err)
			}
			if err := stream.RecvMsg(answer); err != nil {
				t.Fatal(err)
			}
			g.Part()
			g.Part() // changes nothing
		}
		if err := stream.RecvMsg(answer); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "the server is stopping") {
			t.Errorf("begun before: %t: %v", begun, err)
		}
	}
	if got, _, err := c.call(t.Context(), oip+"ModelInfer", row("a", 1)); err != nil || !strings.Contains(got, "103") {
		t.Errorf("%s, %v", got, err)
	}
}

// abandoned is a stream whose client leaves before it has sent anything.
type abandoned struct {
	grpc.ServerStream
	ctx context.Context
}

func (s abandoned) Context() context.Context { return s.ctx }

func (s abandoned) RecvMsg(any) error {
	<-s.ctx.Done()
	return status.FromContextError(s.ctx.Err()).Err()
}

func TestAStreamEndsWhenItsClientLeaves(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	p := place{spot: g.spotAt(spot{label: openInferenceRPCLabel, route: "stream", rpc: true}), dialect: wire.OpenInferenceProto{}}
	for range 100 { // the end and its cause come in either order
		ctx, leave := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.streamInfer(abandoned{ctx: ctx}, p) }()
		leave()
		select {
		case err := <-ended:
			if status.Code(err) != codes.Canceled {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the stream goes on without its client")
		}
	}
}

// explosive is a log that panics at a line about a request.
type explosive struct{ slog.Handler }

func (explosive) Enabled(context.Context, slog.Level) bool { return true }

func (explosive) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "request" {
		panic("a bug in a log")
	}
	return nil
}

func TestAPanicCostsOneCallAlone(t *testing.T) {
	g := New(Options{Log: slog.New(explosive{}), Now: time.Now, AccessLog: AccessAll})
	g.SetServices([]*Service{ready("a", 1)})
	c := dialled(t, g)
	if _, _, err := c.call(t.Context(), oip+"ModelInfer", row("a", 1)); status.Code(err) != codes.Internal {
		t.Error(err)
	}
	m := c.method(oip + "ModelStreamInfer")
	stream, err := c.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+oip+"ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(c.message(m.Input(), row("a", 1))); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(dynamicpb.NewMessage(m.Output())); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "bug") {
		t.Error(err)
	}
}

// leavingCaller is a dialect whose caller leaves while the answer is written.
type leavingCaller struct {
	wire.OpenInferenceProto
	leave context.CancelFunc
}

func (d leavingCaller) Decode(body []byte, s tensor.Signature, l wire.Limits) (wire.Exchange, error) {
	x, err := d.OpenInferenceProto.Decode(body, s, l)
	return leavingExchange{x, d.leave}, err
}

type leavingExchange struct {
	wire.Exchange
	leave context.CancelFunc
}

func (x leavingExchange) Answer(dst []byte, m wire.Meta, r *tensor.Response) ([]byte, error) {
	x.leave()
	return x.Exchange.Answer(dst, m, r)
}

// An answer that is not put into a stream's form would be read as something else: its model's name as an error.
func TestAnAnswerThatComesBehindTheEndOfItsStreamIsNotSent(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	c := dialled(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body, err := proto.Marshal(c.message(c.method(oip+"ModelInfer").Input(), row("a", 1)))
	if err != nil {
		t.Fatal(err)
	}
	b := scratch.Get().(*buffers)
	defer b.release()
	b.reset()
	b.rpc.message = mem.SliceBuffer(body)
	p := place{spot: g.spotAt(spot{label: openInferenceRPCLabel, route: "stream", rpc: true}), dialect: leavingCaller{leave: cancel}}
	if err := g.streamOne(ctx, b, p, true); status.Code(err) != codes.Canceled {
		t.Errorf("%v, and %q would be sent", err, b.out)
	}
}

func TestMessagesMayBeCompressed(t *testing.T) {
	a := ready("a", 1)
	a.options.Body, a.options.Rows = 1<<20, 1<<16
	g, _ := serve(t, a)
	c := dialled(t, g)
	if got, _, err := c.call(t.Context(), oip+"ModelInfer", row("a", 1), grpc.UseCompressor(grpcgzip.Name)); err != nil || !strings.Contains(got, "103") {
		t.Errorf("%s, %v", got, err)
	}
	// A message that becomes larger than its service takes is refused whatever its size on the way.
	request := strings.Replace(row("a", 1), `"q"`, `"`+strings.Repeat("q", 2<<20)+`"`, 1)
	if _, _, err := c.call(t.Context(), oip+"ModelInfer", request, grpc.UseCompressor(grpcgzip.Name)); status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
}

func TestReflectionTellsOfEveryService(t *testing.T) {
	g, _ := serve(t, ready("a", 1))
	c := dialled(t, g)
	v1, err := reflectionv1.NewServerReflectionClient(c.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(request *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := v1.Send(request); err != nil {
			t.Fatal(err)
		}
		answer, err := v1.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	var services []string
	for _, s := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		services = append(services, s.Name)
	}
	want := []string{
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
		"inference.GRPCInferenceService", "seldon.protos.Model", "seldon.protos.Seldon",
	}
	if diff := cmp.Diff(want, services); diff != "" {
		t.Error(diff)
	}
	for _, s := range services {
		answer := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: s}})
		if len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("nothing describes %s: %v", s, answer.GetErrorResponse())
		}
	}
	alpha, err := reflectionv1alpha.NewServerReflectionClient(c.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := alpha.Send(&reflectionv1alpha.ServerReflectionRequest{ //nolint:staticcheck // old tools ask the old version
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	if answer, err := alpha.Recv(); err != nil || len(answer.GetListServicesResponse().GetService()) != len(want) { //nolint:staticcheck // old tools ask the old version
		t.Errorf("%v, %v", answer, err)
	}
}
