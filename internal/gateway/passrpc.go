package gateway

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// The fields in which gRPC tells how a call ended: of the trailer, or of the header where there is nothing else.
const (
	grpcStatus  = "Grpc-Status"
	grpcMessage = "Grpc-Message"
)

const grpcTimeout = "Grpc-Timeout" // how long the caller waits

// refuseRPC answers a call of gRPC with an error: a header alone, of HTTP's status 200, that has gRPC's.
func (g *Gateway) refuseRPC(w http.ResponseWriter, status int, late bool, err error) {
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h[grpcStatus] = []string{strconv.Itoa(int(rpcCode(status, late)))}
	h[grpcMessage] = []string{percentEncoded(explained(err))}
	g.allowWrite(w)
	w.WriteHeader(http.StatusOK)
}

// percentEncoded is a message as gRPC's header has it.
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// statusOfRPC is the status, as HTTP tells it, of a call that an upstream has answered: what gRPC's is its like. A failure is the variant's.
func (b *buffers) statusOfRPC() int {
	a := &b.pass.answer
	text := a.Trailer.Get(grpcStatus)
	if text == "" {
		text = a.Header.Get(grpcStatus)
	}
	code, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		if a.Status != http.StatusOK {
			return a.Status
		}
		b.decision.failed(erred) // a call has to say how it ended
		return http.StatusBadGateway
	}
	status, f := statusOfCode(codes.Code(code))
	b.decision.failed(f)
	b.decision.hurried = f == tooLate && b.hurries(0)
	return status
}

// hurries tells whether the caller of a call waits for less time than the service promises, and has done so for a time.
func (b *buffers) hurries(waited time.Duration) bool {
	values := b.http.r.Header[grpcTimeout]
	if len(values) == 0 {
		return false
	}
	own, ok := parseTimeout(values[0])
	return ok && own < b.decision.service.options.Timeout && (waited == 0 || own <= waited)
}

// timeoutUnits are those of Grpc-Timeout, the finest first.
var timeoutUnits = [...]struct {
	name byte
	unit time.Duration
}{{'n', time.Nanosecond}, {'u', time.Microsecond}, {'m', time.Millisecond}, {'S', time.Second}, {'M', time.Minute}, {'H', time.Hour}}

// mostTimeout is one more than the number that a timeout may have, of 8 digits.
const mostTimeout = 100_000_000

// parseTimeout reads how long a caller of gRPC waits.
func parseTimeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil {
		return 0, false
	}
	for _, u := range timeoutUnits {
		if u.name == text[len(text)-1] {
			return time.Duration(min(n, uint64(math.MaxInt64/u.unit))) * u.unit, true
		}
	}
	return 0, false
}

// timeoutText writes it, in the finest unit in which it has room.
func timeoutText(d time.Duration) string {
	for _, u := range timeoutUnits {
		if n := d / u.unit; n < mostTimeout {
			return strconv.FormatInt(int64(max(n, 0)), 10) + string(u.name)
		}
	}
	return strconv.Itoa(mostTimeout-1) + "H"
}

// statusOfCode returns the HTTP status that is the like of a gRPC code, and how a variant that answered it has failed.
func statusOfCode(code codes.Code) (int, failure) {
	switch code {
	case codes.OK:
		return http.StatusOK, none
	case codes.Canceled:
		return statusGone, none
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest, none
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout, tooLate
	case codes.NotFound:
		return http.StatusNotFound, none
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict, none
	case codes.PermissionDenied:
		return http.StatusForbidden, none
	case codes.Unauthenticated:
		return http.StatusUnauthorized, none
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests, none
	case codes.Unimplemented:
		return http.StatusNotImplemented, none
	case codes.Unavailable:
		return http.StatusServiceUnavailable, unready
	default: // Unknown, Internal, DataLoss, and what there is not
		return http.StatusInternalServerError, erred
	}
}
