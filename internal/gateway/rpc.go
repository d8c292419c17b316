package gateway

import (
	"context"
	"runtime/debug"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
)

// leastRPCMessage is what a gRPC server takes of one message at least, if it must; each service has its own limit.
const leastRPCMessage = 64 << 20

// streamWorkers are the goroutines that wait for calls. Calls that find none of them idle have one of their own, whose stack has to grow.
const streamWorkers = 64

// NewGRPC returns a gRPC server with the data plane on it: Open Inference and Seldon, and reflection that tells of them. Whatever else is
// registered on it speaks protobuf as ever; what is not is passed on, if it comes under a service's host or prefix. The services of now say
// how large a message may be that one of later takes: no larger than theirs, or 64 MiB.
func (g *Gateway) NewGRPC(options ...grpc.ServerOption) *grpc.Server {
	most := int64(leastRPCMessage)
	for _, s := range g.Services() {
		most = max(most, s.options.Body)
	}
	s := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec()), grpc.MaxRecvMsgSize(int(most)), grpc.NumStreamWorkers(streamWorkers),
		grpc.UnknownServiceHandler(g.passGRPC),
		grpc.RPCDecompressor(deflate{most}), //nolint:staticcheck // what replaces it is told to the whole process, by init
	}, options...)...)
	g.RegisterGRPC(s)
	reflect(s)
	return s
}

// RegisterGRPC registers the data plane's services. The server must have been made with Codec.
func (g *Gateway) RegisterGRPC(s grpc.ServiceRegistrar) {
	for _, desc := range []*grpc.ServiceDesc{g.openInferenceRPC(), g.seldonRPC(), g.seldonModelRPC()} {
		s.RegisterService(desc, nil)
	}
}

// rpcHandler answers one call: it reads b.body, and leaves its answer in b.out.
type rpcHandler func(ctx context.Context, b *buffers) error

// unary describes a method that answer answers. A panic in it costs that call alone.
func (g *Gateway) unary(service, method string, answer rpcHandler) grpc.MethodDesc {
	info := &grpc.UnaryServerInfo{FullMethod: fullMethod(service, method)}
	safe := func(ctx context.Context, b *buffers) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = g.panicked(ctx, info.FullMethod, p)
			}
		}()
		b.begin(ctx)
		return answer(ctx, b)
	}
	handler := func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		b := scratch.Get().(*buffers)
		b.reset()
		err := decode(b)
		switch {
		case err != nil:
		case interceptor == nil:
			err = safe(ctx, b)
		default:
			_, err = interceptor(ctx, b, info, func(ctx context.Context, _ any) (any, error) { return b, safe(ctx, b) })
		}
		if err != nil {
			b.release()
			return nil, err
		}
		return b, nil // which the codec releases
	}
	return grpc.MethodDesc{MethodName: method, Handler: handler}
}

// panicked logs a panic that has been caught, and returns what its caller is told. gRPC would end the process.
func (g *Gateway) panicked(ctx context.Context, method string, p any) error {
	g.options.Log.ErrorContext(ctx, "panic while answering", "method", method, "panic", p, "stack", string(debug.Stack()))
	return rpcError(errInternal, false)
}

func fullMethod(service, method string) string { return "/" + service + "/" + method }

// findRPC is how a method finds the service that a call is for, and the version that it pins.
type findRPC func(t *table, b *buffers) (s *Service, version string, err error)

// predictRPC answers a call for a prediction. The error is not gRPC's yet.
func (g *Gateway) predictRPC(ctx context.Context, b *buffers, p place, find findRPC) error {
	start := g.options.Now()
	q := question{place: p}
	c := call{at: start, ctx: ctx, facts: g.fromRPC(&b.rpc, &b.behind), fields: &b.rpc, body: &b.rpc, header: b.rpc.header, secure: b.rpc.secure()}
	var err error
	if q.service, q.version, err = find(g.services.Load(), b); err == nil {
		err = g.answer(b, &c, &q)
	}
	if err != nil {
		b.out = b.out[:0]
	}
	g.done(b, &c, &q, answered{status: statusOf(err), took: g.options.Now().Sub(start), err: err})
	return err
}

// predicting makes a handler of predictRPC, which answers with the header of its decision.
func (g *Gateway) predicting(p place, find findRPC) rpcHandler {
	return func(ctx context.Context, b *buffers) error {
		err := g.predictRPC(ctx, b, p, find)
		b.rpc.sendHeader()
		if err != nil {
			return rpcError(err, b.decision.timedOut)
		}
		return nil
	}
}

// telling makes a handler of a document about the server or a model.
func telling(document func(b *buffers) ([]byte, error)) rpcHandler {
	return func(_ context.Context, b *buffers) error {
		out, err := document(b)
		if err != nil {
			return rpcError(err, false)
		}
		b.out = out
		return nil
	}
}
