package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/serin-ml/serin/internal/event"
)

// speaker is a gRPC server of a protocol that Serin does not know.
type speaker struct{ address string }

const (
	sayOnce   = "/test.Speaker/Once"
	sayEach   = "/test.Speaker/Each"
	sayNever  = "/test.Speaker/Never"
	sayRefuse = "/test.Speaker/Refuse"
)

func newSpeaker(t *testing.T) *speaker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unary := func(name string, answer func(ctx context.Context, text string) (string, error)) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in wrapperspb.StringValue
			if err := decode(&in); err != nil {
				return nil, err
			}
			out, err := answer(ctx, in.Value)
			return wrapperspb.String(out), err
		}}
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Speaker", Methods: []grpc.MethodDesc{
		unary("Once", func(ctx context.Context, text string) (string, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "there"))
			return fmt.Sprint(text, " as ", md["serin-variant"], " for ", md["x-mine"]), nil
		}),
		unary("Never", func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}),
		unary("Refuse", func(_ context.Context, text string) (string, error) {
			var code codes.Code
			if _, err := fmt.Sscan(text, (*uint32)(&code)); err != nil {
				return "", err
			}
			return "", status.Error(code, "100% no")
		}),
	}, Streams: []grpc.StreamDesc{{StreamName: "Each", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		for {
			var in wrapperspb.StringValue
			if err := stream.RecvMsg(&in); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(wrapperspb.String(in.Value + "!")); err != nil {
				return err
			}
		}
	}}}}, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return &speaker{l.Addr().String()}
}

func (p *passing) dialRPC(t *testing.T) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+p.server.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCallsOfGRPCArePassedOn(t *testing.T) {
	up := newSpeaker(t)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "grpc://"+up.address))}})
	c := p.dialRPC(t)
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-mine", "me", "serin-variant", "forged"), soonEnough)
	defer cancel()
	var out wrapperspb.StringValue
	var header, trailer metadata.MD
	if err := c.Invoke(ctx, sayOnce, wrapperspb.String("hello"), &out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil || out.Value != "hello as [stable] for [me]" {
		t.Fatalf("%q %v", out.Value, err)
	}
	if len(header["serin-decision"]) != 1 || len(trailer["x-trailer"]) != 1 {
		t.Errorf("%v %v", header, trailer)
	}
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, sayEach)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := stream.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&out); err != nil || out.Value != fmt.Sprint(i, "!") {
			t.Fatalf("%q %v", out.Value, err)
		}
	}
	_ = stream.CloseSend()
	if err := stream.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	tallies, _ := p.written(t, 2)
	if tally := tallies["stable"]; tally.Requests != 2 || tally.Latency.Count() != 2 {
		t.Errorf("counted: %+v", tally)
	}
}

// A call that fails has status 200 in HTTP. What counts is what gRPC says of it.
func TestACallsStatusIsCounted(t *testing.T) {
	up := newSpeaker(t)
	for code, want := range map[codes.Code]struct {
		class  event.ErrorClass
		status uint16
	}{
		codes.NotFound: {event.Client, 404}, codes.InvalidArgument: {event.Client, 400}, codes.ResourceExhausted: {event.Client, 429}, codes.Unimplemented: {event.Server, 501},
		codes.Internal: {event.Server, 500}, codes.Unknown: {event.Server, 500}, codes.Unavailable: {event.Server, 503}, codes.DeadlineExceeded: {event.Timeout, 504},
		codes.PermissionDenied: {event.Client, 403}, codes.Unauthenticated: {event.Client, 401}, codes.Aborted: {event.Client, 409}, codes.DataLoss: {event.Server, 500}, 99: {event.Server, 500},
	} {
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "h2c://"+up.address))}})
		err := p.dialRPC(t).Invoke(t.Context(), sayRefuse, wrapperspb.String(fmt.Sprint(uint32(code))), new(wrapperspb.StringValue))
		if status.Code(err) != code || status.Convert(err).Message() != "100% no" {
			t.Errorf("%v becomes %v", code, err)
		}
		tallies, decisions := p.written(t, 1)
		if tally := tallies["stable"]; tally.Errors[want.class] != 1 || decisions[0].Status != want.status {
			t.Errorf("%v: counted: %+v, written: %d", code, tally.Errors, decisions[0].Status)
		}
	}
}

// A call that is not answered ends with a status of gRPC's, not with HTTP's or a fallback that no client would understand.
func TestACallThatIsNotAnsweredGetsItsStatus(t *testing.T) {
	up := newSpeaker(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tt := range []struct {
		name, url, method string
		code              codes.Code
		class             event.ErrorClass
	}{
		{"it hangs", "h2c://" + up.address, sayNever, codes.DeadlineExceeded, event.Timeout},
		{"nobody is there", "h2c://" + closed.Addr().String(), sayOnce, codes.Unavailable, event.Server},
		{"it speaks HTTP/1.1", "http://" + up.address, sayOnce, codes.Unavailable, event.Server},
	} {
		p := newPassing(t, ServiceOptions{
			Variants: []VariantOptions{variantOf("stable", upstreamOf(t, tt.url))}, Timeout: 300 * time.Millisecond, Fallback: &Fallback{Status: 200, Body: []byte("no")},
		})
		ctx, cancel := context.WithTimeout(t.Context(), soonEnough)
		err := p.dialRPC(t).Invoke(ctx, tt.method, wrapperspb.String("x"), new(wrapperspb.StringValue))
		cancel()
		if status.Code(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
		tallies, _ := p.written(t, 1)
		if tally := tallies["stable"]; tally.Errors[tt.class] != 1 || tally.Fallbacks != 0 {
			t.Errorf("%s: counted: %+v", tt.name, tally)
		}
	}
}
