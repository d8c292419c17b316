package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/serin-ml/serin/internal/fault"
)

// readBody reads the whole body into b, at most limit bytes of it, and of what it is compressed from.
func readBody(b *bytes.Buffer, w http.ResponseWriter, r *http.Request, limit int64) error {
	encoding := r.Header.Get("Content-Encoding")
	if r.ContentLength > limit { // not worth the reading
		return tooLarge(limit)
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	var err error
	if encoding == "" || encoding == "identity" {
		if n := r.ContentLength; n > 0 {
			b.Grow(int(min(n, trustedLength)) + bytes.MinRead)
		}
		_, err = b.ReadFrom(body)
	} else {
		err = inflate(b, body, encoding, limit)
	}
	return unread(err, r)
}

// unread tells why a body could not be read, nil if it could.
func unread(err error, r *http.Request) error {
	if errors.Is(err, os.ErrDeadlineExceeded) { // which also ends the request's context, though its client is there
		return &statusError{http.StatusRequestTimeout, fault.Invalidf("the body did not come in time")}
	}
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(tooBig.Limit)
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Invalidf("the body ends before its end")
	}
	switch {
	case err != nil && r.Context().Err() != nil:
		return errGone
	case err != nil:
		return fault.Invalidf("the body could not be read: %w", err)
	}
	return nil
}

// trustedLength is how many bytes are set aside because a client says that it will send them. More come with what it sends.
const trustedLength = 256 << 10

func tooLarge(limit int64) error {
	return &statusError{http.StatusRequestEntityTooLarge, fault.Invalidf("the body is larger than %d bytes", limit).WithHint("send less at a time")}
}
