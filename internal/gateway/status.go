package gateway

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

// statusError is an error whose HTTP status is finer than its kind's.
type statusError struct {
	status int
	error
}

func (e *statusError) Unwrap() error { return e.error }

// statusGone counts requests whose client hung up before the answer, under the code that NGINX made usual. It is never sent.
const statusGone = 499

var errGone = &statusError{statusGone, fault.Invalidf("the client hung up before the answer")}

// hangUp ends a request of a client that hung up. One that only closed its sending half listens yet: it must not get the empty 200 that
// net/http sends where nothing was answered, as that would acknowledge what was not done.
func hangUp() { panic(http.ErrAbortHandler) }

// soon is an error that may be gone in a second: whoever asks is told to ask again.
type soon struct{ error }

func (e soon) Unwrap() error { return e.error }

// later is an error that knows when to ask again, as an upstream's may.
type later interface {
	error
	RetryAfter() time.Duration // 0: it does not know
}

// retryAfter tells when to ask again, if that is worth while.
func retryAfter(h http.Header, err error) {
	if _, ok := errors.AsType[soon](err); ok {
		h.Set("Retry-After", "1")
	} else if l, ok := errors.AsType[later](err); ok && l.RetryAfter() > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(l.RetryAfter().Seconds()))))
	}
}

// public returns what a client may know of err. The cause of a fault of ours (a path, an address) is for the log alone.
func public(err error) error {
	if fault.KindOf(err) == fault.Internal {
		return errInternal
	}
	return err
}

var errInternal = fault.Internalf("the model failed on this request")

// explained is what a client is told of an error, in one text.
func explained(err error) string {
	text := public(err).Error()
	if hint := fault.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// statusOf returns the status that tells err: its own, or its kind's.
func statusOf(err error) int {
	switch s, ok := errors.AsType[*statusError](err); {
	case ok:
		return s.status
	case errors.Is(err, wire.ErrCannotExplain):
		return http.StatusNotImplemented
	case errors.Is(err, wire.ErrUnsupportedMedia):
		return http.StatusUnsupportedMediaType
	}
	return fault.HTTPStatus(err)
}

// notReady says that a service has nothing that could answer.
func notReady(s *Service) error {
	return soon{fault.Unavailablef("service %q has no model ready to answer", s.Name())}
}

// notThisVersion says that another version than the pinned one is live.
func notThisVersion(pinned string, live *Live) error {
	return fault.NotFoundf("version %.40q is not served; version %s is", pinned, live.number())
}
