package gateway

import (
	"context"
	"log/slog"
	"math"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/traffic"
)

// slow is sums with some 5 microseconds of work before, and a signature that is made once as real ones are.
type slow struct {
	sums
	signature tensor.Signature
}

func (m *slow) Signature() tensor.Signature { return m.signature }

func (m *slow) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	x := 1.0
	for range 800 {
		x = math.Sqrt(x + 1)
	}
	if x < 0 {
		return nil, context.Canceled
	}
	return m.sums.Predict(ctx, r)
}

// BenchmarkRPC is calls over gRPC on the loopback: one that does nothing, on a server of grpc-go as it comes, and predictions, with and
// without a token in the answer and a record. The time of the processor is the client's too.
func BenchmarkRPC(b *testing.B) {
	g := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now})
	s := ready("a", 1)
	s.Variants()[0].Swap(&Live{Model: &slow{signature: sums{}.Signature()}, Name: "m", Number: 1, Runtime: "sums"})
	g.SetServices([]*Service{s})
	c := dialled(b, g)
	encoded := func(method, text string) rawBytes {
		data, err := proto.Marshal(c.message(c.method(method).Input(), text))
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	empty := func() *grpc.Server {
		s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}))
		s.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Empty", Methods: []grpc.MethodDesc{{
			MethodName: "Call",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return rawBytes("an answer of about the same size, with an id: 0123456789"), decode(new(rawBytes))
			},
		}}}, nil)
		return s
	}
	ours := func() *grpc.Server { return g.NewGRPC() }
	recorded := newSplit(b, traffic.Spec{Weights: weights(b, "stable", "80", "canary", "20")}, 1<<14)
	for _, v := range recorded.service.variants {
		v.Swap(&Live{Model: &slow{signature: sums{}.Signature()}, Name: "m", Number: 1, Runtime: "sums"})
	}
	for _, bench := range []struct {
		name, method string
		server       func() *grpc.Server
		request      rawBytes
	}{
		{"empty", "bench.Empty/Call", empty, encoded(oip+"ModelInfer", row("a", 1))},
		{"openinference", oip + "ModelInfer", ours, encoded(oip+"ModelInfer", row("a", 1))},
		{"recorded", oip + "ModelInfer", func() *grpc.Server { return recorded.NewGRPC() }, encoded(oip+"ModelInfer", row("sums", 1))},
		{"seldon", "seldon.protos.Seldon/Predict", ours, encoded("seldon.protos.Seldon/Predict", seldonProtoRow)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server, done := bench.server(), make(chan error, 1)
			go func() { done <- server.Serve(l) }()
			conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetParallelism(16)
			var r0, r1 syscall.Rusage
			syscall.Getrusage(0, &r0)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				var out rawBytes
				for pb.Next() {
					if err := conn.Invoke(context.Background(), "/"+bench.method, bench.request, &out); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			syscall.Getrusage(0, &r1)
			b.ReportMetric(float64(r1.Utime.Nano()+r1.Stime.Nano()-r0.Utime.Nano()-r0.Stime.Nano())/float64(b.N), "cpu-ns/op")
			conn.Close()
			server.Stop()
			<-done
		})
	}
}
