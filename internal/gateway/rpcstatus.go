package gateway

import (
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	openInferenceRPCLabel = "openinference-grpc"
	seldonRPCLabel        = "seldon-grpc"
)

// rpcCode returns the gRPC code that tells an HTTP status; late says that there was no answer in time.
func rpcCode(status int, late bool) codes.Code {
	switch status {
	case http.StatusOK:
		return codes.OK
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusConflict:
		return codes.Aborted
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusInsufficientStorage:
		return codes.ResourceExhausted
	case statusGone:
		return codes.Canceled
	case http.StatusNotImplemented:
		return codes.Unimplemented
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if late || status == http.StatusGatewayTimeout {
			return codes.DeadlineExceeded
		}
		return codes.Unavailable
	}
	if status < http.StatusInternalServerError {
		return codes.InvalidArgument
	}
	return codes.Internal
}

// rpcError returns err as gRPC tells it.
func rpcError(err error, late bool) error {
	return status.Error(rpcCode(statusOf(err), late), explained(err))
}
