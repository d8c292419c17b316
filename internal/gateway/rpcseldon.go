package gateway

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

const (
	seldonService      = "seldon.protos.Seldon" // of a deployment
	seldonModelService = "seldon.protos.Model"  // of a model microservice
)

// seldonRPC describes the Seldon v1 protocol over gRPC. The metadata "seldon" names the service.
func (g *Gateway) seldonRPC() *grpc.ServiceDesc {
	return g.seldonMethods(seldonService, map[string]rpcHandler{
		"ModelMetadata": aboutSeldon(g, func(s *Service, b *buffers) ([]byte, error) {
			c, err := wire.ReadModelCallProto(b.body) // the request's only field, its name, is that of Open Inference too
			if err != nil {
				return nil, err
			}
			return seldonDocument(wire.SeldonModelMetadataProto).of(s, c.Name)
		}),
		"GraphMetadata": aboutSeldon(g, func(s *Service, _ *buffers) ([]byte, error) {
			return seldonDocument(wire.SeldonGraphMetadataProto).of(s, "")
		}),
	})
}

// seldonModelRPC describes what Seldon's clients call when they ask a model directly.
func (g *Gateway) seldonModelRPC() *grpc.ServiceDesc {
	return g.seldonMethods(seldonModelService, map[string]rpcHandler{
		"Metadata": aboutSeldon(g, func(s *Service, _ *buffers) ([]byte, error) {
			return seldonDocument(wire.SeldonModelMetadataProto).of(s, "")
		}),
	})
}

// seldonMethods describes a service with the methods given and with those that both have.
func (g *Gateway) seldonMethods(service string, methods map[string]rpcHandler) *grpc.ServiceDesc {
	predict := place{dialect: wire.SeldonProto{}, spot: g.spotAt(spot{label: seldonRPCLabel, route: fullMethod(service, "Predict"), rpc: true})}
	methods["Predict"] = g.predicting(predict, func(t *table, b *buffers) (*Service, string, error) {
		s, err := t.byMetadata(b)
		return s, "", err
	})
	if g.options.Ingest != nil {
		methods["SendFeedback"] = g.seldonFeedbackRPC(fullMethod(service, "SendFeedback"))
	}
	desc := &grpc.ServiceDesc{ServiceName: service, Metadata: "seldon.proto"}
	for method, handler := range methods {
		desc.Methods = append(desc.Methods, g.unary(service, method, handler))
	}
	return desc
}

// aboutSeldon makes a handler of a document about the service that the metadata names, else the default one.
func aboutSeldon(g *Gateway, document func(s *Service, b *buffers) ([]byte, error)) rpcHandler {
	return telling(func(b *buffers) ([]byte, error) {
		s, err := g.services.Load().byMetadata(b)
		if err != nil {
			return nil, err
		}
		return document(s, b)
	})
}

// seldonFeedbackRPC makes the handler of the feedback call, which says and does what it does over REST.
func (g *Gateway) seldonFeedbackRPC(method string) rpcHandler {
	f := g.feedback
	return func(ctx context.Context, b *buffers) error {
		start := time.Now()
		status, err := f.seldonProto(ctx, b)
		if err != nil {
			if status = statusOf(err); status != http.StatusConflict { // which has been counted already
				f.failed(ctx, seldonRPCLabel, err)
			}
			err = rpcError(err, false)
		}
		if g.metrics.seldon != nil {
			g.metrics.seldon.answered(b.fed, method, "unary", rpcCode(status, false).String(), time.Since(start))
		}
		return err
	}
}

// seldonProto answers the feedback call in b.body.
func (f *feedback) seldonProto(ctx context.Context, b *buffers) (status int, err error) {
	if len(b.body) > maxFeedbackBody {
		return 0, tooLarge(maxFeedbackBody)
	}
	var service *Service
	if name, times := b.rpc.Lookup(wire.Header, "seldon"); times > 0 {
		if service, err = f.gateway.services.Load().named(name); err != nil {
			return 0, err
		}
	}
	b.in.Reset()
	text, err := wire.SeldonFeedbackJSON(b.in.AvailableBuffer(), b.body)
	if err != nil {
		return 0, err
	}
	opinions, err := f.seldonOpinions(ctx, text, &b.rpc, service)
	if err != nil {
		return 0, err
	}
	b.fed = opinions[0].outcome.Service
	if err := conflicting(opinions); err != nil {
		return 0, err
	}
	b.out, err = wire.SeldonFeedbackAnswer(appendSeldonTaken(nil, opinions))
	return http.StatusOK, err
}

// conflicting is the error of the first opinion that contradicts an earlier one.
func conflicting(opinions []opinion) error {
	for i := range opinions {
		if o := &opinions[i]; o.verdict == conflict {
			return fault.Conflictf("the %s of this decision came before with another value; the first one counts", o.outcome.Kind)
		}
	}
	return nil
}
