package gateway

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/wire"
)

const openInferenceService = "inference.GRPCInferenceService"

// openInferenceRPC describes the Open Inference Protocol over gRPC with Triton's extensions: model configuration, statistics, repository and
// streams. What it does not have (shared memory, traces, log settings) is answered UNIMPLEMENTED by gRPC itself.
func (g *Gateway) openInferenceRPC() *grpc.ServiceDesc {
	infer := place{dialect: wire.OpenInferenceProto{}, spot: g.spotAt(spot{label: openInferenceRPCLabel, route: fullMethod(openInferenceService, "ModelInfer"), rpc: true})}
	stream := place{dialect: wire.OpenInferenceProto{}, spot: g.spotAt(spot{label: openInferenceRPCLabel, route: fullMethod(openInferenceService, "ModelStreamInfer"), rpc: true})}
	desc := &grpc.ServiceDesc{
		ServiceName: openInferenceService, Metadata: "openinference.proto",
		Streams: []grpc.StreamDesc{{
			StreamName: "ModelStreamInfer", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return g.streamInfer(s, stream) },
		}},
	}
	for method, handler := range map[string]rpcHandler{
		"ModelInfer":     g.predicting(infer, g.inferenceTarget),
		"ServerLive":     telling(func(*buffers) ([]byte, error) { return wire.AppendServerLiveProto(nil, true), nil }),
		"ServerReady":    telling(func(*buffers) ([]byte, error) { return wire.AppendServerReadyProto(nil, g.Ready()), nil }),
		"ServerMetadata": telling(func(*buffers) ([]byte, error) { return wire.AppendServerMetadataProto(nil, g.serverInfo()), nil }),
		"ModelReady": g.aboutModel(func(c wire.ModelCall) ([]byte, error) {
			return wire.AppendModelReadyProto(nil, g.whetherModelReady(c.Name, c.Version) == nil), nil
		}),
		"ModelMetadata": g.aboutModel(func(c wire.ModelCall) ([]byte, error) {
			info, err := g.modelInfo(c.Name, c.Version)
			return wire.AppendModelMetadataProto(nil, info), err
		}),
		"ModelConfig": g.aboutModel(func(c wire.ModelCall) ([]byte, error) {
			info, err := g.modelInfo(c.Name, c.Version)
			return wire.AppendModelConfigProto(nil, info), err
		}),
		"ModelStatistics": telling(func(b *buffers) ([]byte, error) {
			c, err := wire.ReadModelCallProto(b.body)
			if err != nil {
				return nil, err
			}
			if c.Name == "" {
				return wire.AppendModelStatisticsProto(nil, g.statistics()), nil
			}
			list, err := g.modelStatistics(c.Name, c.Version)
			return wire.AppendModelStatisticsProto(nil, list), err
		}),
		"RepositoryIndex": telling(func(b *buffers) ([]byte, error) {
			q, err := wire.ReadRepositoryQueryProto(b.body)
			return wire.AppendRepositoryIndexProto(nil, g.index(q)), err
		}),
		"RepositoryModelLoad":   g.controlling(true),
		"RepositoryModelUnload": g.controlling(false),
	} {
		desc.Methods = append(desc.Methods, g.unary(openInferenceService, method, handler))
	}
	return desc
}

// inferenceTarget finds the service that an inference request names; where it names none, the one of the metadata, else the default one.
func (g *Gateway) inferenceTarget(t *table, b *buffers) (*Service, string, error) {
	model, version, err := wire.InferenceTarget(b.body)
	switch {
	case err != nil:
		return nil, "", err
	case model == "":
		s, err := t.byMetadata(b)
		return s, version, err
	}
	s, err := t.model(model)
	return s, version, err
}

// byMetadata finds the service that the metadata names as Seldon's clients do ("seldon"; "namespace" says nothing here), else the default
// one.
func (t *table) byMetadata(b *buffers) (*Service, error) {
	if name, times := b.rpc.Lookup(wire.Header, "seldon"); times > 0 {
		return t.spoken(name)
	}
	return t.unnamed()
}

// aboutModel makes a handler of a document about a model. A call that names none is about that of the metadata, else the default one.
func (g *Gateway) aboutModel(document func(wire.ModelCall) ([]byte, error)) rpcHandler {
	return telling(func(b *buffers) ([]byte, error) {
		c, err := wire.ReadModelCallProto(b.body)
		if err != nil {
			return nil, err
		}
		if c.Name == "" {
			s, err := g.services.Load().byMetadata(b)
			if err != nil {
				return nil, err
			}
			c.Name = s.Name()
		}
		return document(c)
	})
}

// controlling makes a handler that loads or unloads.
func (g *Gateway) controlling(load bool) rpcHandler {
	return telling(func(b *buffers) ([]byte, error) {
		c, err := wire.ReadRepositoryCallProto(b.body)
		if err != nil {
			return nil, err
		}
		return nil, g.control(b.rpc.ctx, c, load)
	})
}

// streamInfer answers a stream of inference requests in their order, each as a decision of its own. A request that fails is told in its
// answer, and the stream goes on, until its client ends it or the server parts: a stream may last for ever, and whoever waits for its end
// would wait as long. A panic costs that stream alone. The metadata of the stream is that of its first answer.
func (g *Gateway) streamInfer(s grpc.ServerStream, p place) (err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = g.panicked(s.Context(), p.route, caught)
		}
	}()
	requests := make(chan received)
	go receive(s, requests) // which ends as the stream does, and that with this handler
	for first := true; ; first = false {
		var r received
		select {
		case r = <-requests:
		case <-s.Context().Done(): // at which nobody may be left who hands on why
			return status.FromContextError(s.Context().Err()).Err()
		case <-g.parting:
			select {
			case r = <-requests: // it has come already
			default:
				return rpcError(errDraining, false)
			}
		}
		if r.err != nil {
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			return r.err
		}
		if err := g.streamOne(s.Context(), r.buffers, p, first); err != nil {
			r.buffers.release()
			return err
		}
		if err := s.SendMsg(r.buffers); err != nil { // which has released them
			return err
		}
	}
}

// received is a request of a stream, or why there are no more.
type received struct {
	buffers *buffers
	err     error
}

// receive hands on the requests of a stream as they come.
func receive(s grpc.ServerStream, to chan<- received) {
	for {
		r := received{buffers: scratch.Get().(*buffers)}
		r.buffers.reset()
		if r.err = s.RecvMsg(r.buffers); r.err != nil {
			r.buffers.release()
			r.buffers = nil
		}
		select {
		case to <- r:
		case <-s.Context().Done():
			if r.buffers != nil {
				r.buffers.release()
			}
			return
		}
		if r.err != nil {
			return
		}
	}
}

// streamOne answers one request of a stream.
func (g *Gateway) streamOne(ctx context.Context, b *buffers, p place, first bool) error {
	b.begin(ctx)
	err := g.predictRPC(ctx, b, p, g.inferenceTarget)
	if ctx.Err() != nil { // it is that of the whole stream, and there may be an answer that came too late
		return status.FromContextError(ctx.Err()).Err()
	}
	if first {
		b.rpc.sendHeader()
	}
	if err != nil {
		err = public(err)
	}
	b.out = wire.AppendStreamAnswerProto(nil, b.out, err)
	return nil
}
