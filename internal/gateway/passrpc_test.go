package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
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
			_ = grpc.SetTrailer(ctx, metadata.MD{"x-bytes-bin": md["x-bytes-bin"]})
			return fmt.Sprintf("%s as %v for %v with %x", text, md["serin-variant"], md["x-mine"], strings.Join(md["x-bytes-bin"], "")), nil
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

// ports are those that calls are passed on from.
var ports = map[string]func(p *passing, t *testing.T) string{
	"HTTP": func(p *passing, _ *testing.T) string { return p.server.Listener.Addr().String() },
	"gRPC": func(p *passing, t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, done := p.NewGRPC(), make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		t.Cleanup(func() {
			s.Stop()
			<-done
		})
		return l.Addr().String()
	},
}

func (p *passing) dialRPC(t *testing.T, port string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+ports[port](p, t), append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCallsOfGRPCArePassedOn(t *testing.T) {
	up := newSpeaker(t)
	for port := range ports {
		t.Run(port, func(t *testing.T) {
			p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "grpc://"+up.address))}})
			c := p.dialRPC(t, port)
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-mine", "me", "serin-variant", "forged", "x-bytes-bin", "\x00\xff"), soonEnough)
			defer cancel()
			var out wrapperspb.StringValue
			var header, trailer metadata.MD
			if err := c.Invoke(ctx, sayOnce, wrapperspb.String("hello"), &out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil ||
				out.Value != "hello as [stable] for [me] with 00ff" {
				t.Fatalf("%q %v", out.Value, err)
			}
			if len(header["serin-decision"]) != 1 || fmt.Sprint(trailer["x-trailer"]) != "[there]" || fmt.Sprintf("%x", trailer["x-bytes-bin"]) != "[00ff]" {
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
			long := strings.Repeat("long ", 200_000)
			if err := c.Invoke(ctx, sayOnce, wrapperspb.String(long), &out); err != nil || !strings.HasPrefix(out.Value, long) {
				t.Errorf("%d bytes, %v", len(out.Value), err)
			}
			if err := c.Invoke(ctx, sayOnce, new(wrapperspb.StringValue), &out, grpc.UseCompressor("gzip")); err != nil || !strings.HasPrefix(out.Value, " as") {
				t.Errorf("%q %v", out.Value, err)
			}
			tallies, _ := p.written(t, 4)
			if tally := tallies["stable"]; tally.Requests != 4 || tally.Latency.Count() != 4 {
				t.Errorf("counted: %+v", tally)
			}
		})
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
		for port := range ports {
			p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "h2c://"+up.address))}})
			err := p.dialRPC(t, port).Invoke(t.Context(), sayRefuse, wrapperspb.String(fmt.Sprint(uint32(code))), new(wrapperspb.StringValue))
			if status.Code(err) != code || status.Convert(err).Message() != "100% no" {
				t.Errorf("%s: %v becomes %v", port, code, err)
			}
			tallies, decisions := p.written(t, 1)
			if tally := tallies["stable"]; tally.Errors[want.class] != 1 || decisions[0].Status != want.status {
				t.Errorf("%s: %v: counted: %+v, written: %d", port, code, tally.Errors, decisions[0].Status)
			}
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
		own               time.Duration // that the caller waits
		code              codes.Code
		class             event.ErrorClass
	}{
		{"it hangs", "h2c://" + up.address, sayNever, soonEnough, codes.DeadlineExceeded, event.Timeout},
		{"its caller is in a hurry", "h2c://" + up.address, sayNever, 100 * time.Millisecond, codes.DeadlineExceeded, event.Gone},
		{"nobody is there", "h2c://" + closed.Addr().String(), sayOnce, soonEnough, codes.Unavailable, event.Server},
		{"it speaks HTTP/1.1", "http://" + up.address, sayOnce, soonEnough, codes.Unavailable, event.Server},
	} {
		for port := range ports {
			patience := 300 * time.Millisecond
			if tt.own < soonEnough {
				patience = soonEnough
			}
			p := newPassing(t, ServiceOptions{
				Variants: []VariantOptions{variantOf("stable", upstreamOf(t, tt.url))}, Timeout: patience, Fallback: &Fallback{Status: 200, Body: []byte("no")},
			})
			ctx, cancel := context.WithTimeout(t.Context(), tt.own)
			err := p.dialRPC(t, port).Invoke(ctx, tt.method, wrapperspb.String("x"), new(wrapperspb.StringValue))
			cancel()
			if status.Code(err) != tt.code {
				t.Errorf("%s over %s: %v", tt.name, port, err)
			}
			tallies, decisions := p.written(t, 1)
			if tally := tallies["stable"]; tally.Errors[tt.class] != 1 || tally.Fallbacks != 0 {
				t.Errorf("%s over %s: counted: %+v, written: %+v", tt.name, port, tally, decisions)
			}
		}
	}
}

// On the port for gRPC, what no service takes is told as gRPC tells it, and Serin's own methods stay its own.
func TestMethodsThatNobodyHasAreUnimplemented(t *testing.T) {
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", nowhere{})}, Prefixes: []Prefix{{Path: "/test.Other/"}}})
	c := p.dialRPC(t, "gRPC")
	if err := c.Invoke(t.Context(), sayOnce, new(wrapperspb.StringValue), new(wrapperspb.StringValue)); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	if err := c.Invoke(t.Context(), "/test.Other/x", new(wrapperspb.StringValue), new(wrapperspb.StringValue)); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if err := c.Invoke(t.Context(), "/"+oip+"ServerLive", new(wrapperspb.StringValue), new(wrapperspb.StringValue)); err != nil {
		t.Error(err)
	}
}

// What an upstream answers in frames is not believed.
func TestAnAnswerInBadFramesIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		frames, status string
		code           codes.Code
	}{
		"a message that is announced alone": {"\x00\x7f\xff\xff\xffx", "0", codes.ResourceExhausted},
		"a message that ends early":         {"\x00\x00\x00\x00\x05x", "0", codes.Internal},
		"a message that is compressed":      {"\x01\x00\x00\x00\x01x", "0", codes.Internal},
		"no status":                         {"\x00\x00\x00\x00\x00", "", codes.Internal},
		"a status that is none":             {"\x00\x00\x00\x00\x00", "ok", codes.Internal},
	} {
		up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = io.WriteString(w, tt.frames)
			if tt.status != "" {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", tt.status)
			}
		}))
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, "h2c://"+up.Addr()))}})
		err := p.dialRPC(t, "gRPC").Invoke(t.Context(), "/a.B/c", new(wrapperspb.StringValue), new(wrapperspb.StringValue))
		if status.Code(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
		p.written(t, 1)
	}
}

func TestTimeoutsOfGRPCAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]time.Duration{"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5000, "6n": 6, "99999999n": 99999999} {
		if got, ok := parseTimeout(text); !ok || got != want {
			t.Errorf("%s is %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "1", "S", "-1S", "1x", "999999999n", "1.5S"} {
		if got, ok := parseTimeout(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0n", -5: "0n", 1500: "1500n", 99999999: "99999999n", time.Second: "1000000u", time.Hour: "3600000m", 1 << 62: "76861433M"} {
		if got := timeoutText(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
