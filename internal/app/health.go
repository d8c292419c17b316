package app

import (
	"context"

	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/serin-ml/serin/internal/gateway"
)

// grpcHealth answers the standard gRPC health protocol: the empty service is the whole server, any other is a service of ours. Watch
// is left unimplemented, as the protocol allows; clients then ask with Check.
type grpcHealth struct {
	health.UnimplementedHealthServer
	gateway *gateway.Gateway
}

// Check tells whether one service, or all of them, can answer.
func (h grpcHealth) Check(_ context.Context, r *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	serving := h.gateway.Ready()
	if r.Service != "" {
		s := h.gateway.Service(r.Service)
		if s == nil {
			return nil, status.Errorf(codes.NotFound, "no service named %q", r.Service)
		}
		serving = s.Available() && !h.gateway.Draining()
	}
	answer := &health.HealthCheckResponse{Status: health.HealthCheckResponse_NOT_SERVING}
	if serving {
		answer.Status = health.HealthCheckResponse_SERVING
	}
	return answer, nil
}
