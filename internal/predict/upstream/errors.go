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

// failure is an error whose text is for clients. Its cause is not: it holds addresses.
type failure struct {
	text  string
	after time.Duration
	cause []error
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Unwrap returns the causes.
func (f *failure) Unwrap() []error { return f.cause }

// RetryAfter tells when to ask again; 0: that is not known.
func (f *failure) RetryAfter() time.Duration { return f.after }

// unanswered tells why there is no answer. A proxy.Failure is in its chain and, where the answer was late, context.DeadlineExceeded.
func (m *Model) unanswered(ctx context.Context, err error) error {
	why := proxy.Broken
	if f, ok := errors.AsType[*proxy.Failure](err); ok {
		why = f.Why
	}
	m.options.Log.LogAttrs(ctx, slog.LevelDebug, "the upstream gave no answer", slog.Any("error", err))
	f := &failure{cause: []error{err}}
	switch why {
	case proxy.Gone:
		if err := ctx.Err(); err != nil {
			return err
		}
		return context.Canceled
	case proxy.Late:
		f.text = "no answer of the upstream in time"
		f.cause = append(f.cause, context.DeadlineExceeded)
	case proxy.Down:
		f.text, f.after = "the upstream cannot be reached", time.Second
	case proxy.Full:
		f.text, f.after = "the upstream has as many requests as it takes", time.Second
	case proxy.Broken:
		f.text = "the upstream hung up, or what it sent is no answer"
	}
	return fault.Unavailablef("%w", f)
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
		f := &failure{text: "the upstream is not available now (" + strconv.Itoa(a.Status) + ")", after: time.Second}
		if seconds, err := strconv.ParseUint(first(a.Header, "Retry-After"), 10, 31); err == nil {
			f.after = min(max(time.Duration(seconds)*time.Second, time.Second), maxRetryAfter)
		}
		f.cause = []error{fault.Unavailablef("the upstream answers %d: %s", a.Status, said)}
		return fault.Unavailablef("%w", f)
	}
	return fault.Internalf("the upstream answers %d: %s", a.Status, said)
}
