package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/wire"
)

// failure is why an upstream does not answer now. Its text is for clients; the cause, which holds addresses, is for the log alone.
type failure struct {
	public *fault.Error // Unavailable
	after  time.Duration
	causes []error
}

// Error implements error.
func (f *failure) Error() string { return f.public.Error() }

// Unwrap returns what a client is told, and the causes.
func (f *failure) Unwrap() []error { return append([]error{f.public}, f.causes...) }

// RetryAfter tells when to ask again; 0: that is not known.
func (f *failure) RetryAfter() time.Duration { return f.after }

// LogValue implements slog.LogValuer: a log is told the cause.
func (f *failure) LogValue() slog.Value {
	return slog.StringValue(f.Error() + ": " + f.causes[0].Error())
}

// unanswered tells why there is no answer. A proxy.Failure is in its chain and, where the answer was late, context.DeadlineExceeded.
func unanswered(ctx context.Context, err error) error {
	why := proxy.Broken
	if f, ok := errors.AsType[*proxy.Failure](err); ok {
		why = f.Why
	}
	f := &failure{causes: []error{err}}
	switch why {
	case proxy.Gone:
		if err := ctx.Err(); err != nil {
			return err
		}
		return context.Canceled
	case proxy.Late:
		f.public = fault.Unavailablef("no answer of the upstream in time")
		f.causes = append(f.causes, context.DeadlineExceeded)
	case proxy.Down:
		f.public, f.after = fault.Unavailablef("the upstream cannot be reached"), time.Second
	case proxy.Full:
		f.public, f.after = fault.Unavailablef("the upstream has as many requests as it takes"), time.Second
	case proxy.Broken:
		f.public = fault.Unavailablef("the upstream hung up, or what it sent is no answer")
	}
	return f
}

// maxRetryAfter bounds what an upstream says about when to ask again.
const maxRetryAfter = time.Hour

// refused tells what an answer means that is an error. What is said about the content of a request (400, 413, 422) is for its client, whose
// fault it is; that the upstream cannot answer now is Unavailable; all else is between it and Serin, and nobody else's business: a path that
// it does not have, a key that it wants, an error of its own.
func refused(a *proxy.Answer) error {
	said := wire.Complaint(a.Body)
	if said == "" || encoded(a.Header) {
		said = http.StatusText(a.Status)
	}
	switch a.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fault.Invalidf("the upstream refuses the request: %s", said)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		f := &failure{
			public: fault.Unavailablef("the upstream is not available now (%d)", a.Status), after: time.Second,
			causes: []error{errors.New(a.Instance + " says: " + said)},
		}
		if seconds, err := strconv.ParseUint(first(a.Header, "Retry-After"), 10, 31); err == nil {
			f.after = min(max(time.Duration(seconds)*time.Second, time.Second), maxRetryAfter)
		}
		return f
	}
	return fault.Internalf("the upstream answers %d: %s", a.Status, said)
}
