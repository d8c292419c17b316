// Package fault gives every error a kind, and an error for a person a hint.
//
// A kind says who can do something about the error. It becomes an HTTP status in one place (HTTPStatus) and an exit code
// in one other (cmd/serin). An error without a kind is Internal: a bug, or a machine that fails.
package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Kind classifies an error by who can mend it.
type Kind uint8

// The kinds. The zero value is Internal, so that an error nobody classified is never blamed on the caller.
const (
	Internal    Kind = iota // a bug of ours, or a disk or network that failed: 500
	Invalid                 // the caller's input is wrong, and will be wrong again: 400
	NotFound                // what was asked for does not exist: 404
	Conflict                // it exists already, or is in use, or changed meanwhile: 409
	Unavailable             // not now; trying again later may help: 503
)

var names = [...]string{"internal", "invalid", "not found", "conflict", "unavailable"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return "internal"
}

// Error is an error with a kind, a message for a person and, where there is one, what to do next.
type Error struct {
	Kind    Kind
	Message string // what is wrong, and where; no capital, no full stop
	Hint    string // what to do next; empty if there is nothing useful to say
	Err     error  // the cause; may be nil
}

// Error returns the message followed by the cause; the hint is left to those who print for people (see HintOf).
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Message
	case e.Message == "":
		return e.Err.Error()
	default:
		return e.Message + ": " + e.Err.Error()
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithHint sets what the reader should do next and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// New makes an error of the given kind. A %w verb keeps its argument as the cause without printing it twice.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	if errors.Unwrap(err) == nil {
		return &Error{Kind: kind, Message: err.Error()}
	}
	return &Error{Kind: kind, Err: err}
}

// Invalidf makes an Invalid error.
func Invalidf(format string, args ...any) *Error { return New(Invalid, format, args...) }

// NotFoundf makes a NotFound error.
func NotFoundf(format string, args ...any) *Error { return New(NotFound, format, args...) }

// Conflictf makes a Conflict error.
func Conflictf(format string, args ...any) *Error { return New(Conflict, format, args...) }

// Unavailablef makes an Unavailable error.
func Unavailablef(format string, args ...any) *Error { return New(Unavailable, format, args...) }

// Internalf makes an Internal error.
func Internalf(format string, args ...any) *Error { return New(Internal, format, args...) }

// KindOf returns the kind of the outermost *Error in err's chain, Internal if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// HintOf returns the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// HTTPStatus returns the status that tells err to an HTTP client: 200 for nil. It is the only such table; a dialect with
// other codes of its own starts from this one.
func HTTPStatus(err error) int {
	if err == nil {
		return http.StatusOK
	}
	switch KindOf(err) {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
