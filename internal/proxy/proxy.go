// Package proxy is the byte hop to an upstream: it passes a request on to one of an upstream's instances and brings the answer back.
//
// It knows no services, variants or models. An Upstream is a group of instances that stand in for each other; who asks it gets an answer,
// or a Failure that says why there is none, by the request's deadline. What of an answer is here when Ask returns can still be thrown
// away in favour of something else; what follows as Rest cannot.
package proxy

import (
	"io"
	"net/http"
	"time"
)

// Field is one field of a header. The name is in canonical form.
type Field struct{ Name, Value string }

// Request is one request to pass on. Ask changes nothing in it. Body must stay as it is until the answer is closed, or Ask fails.
//
// Stream may be read, by another goroutine, until then: an answer may begin before all of it is sent. If it is an io.Closer it is closed
// where an answer, a failure or Answer.Close needs no more of it while it is being read; Close must then end that Read, which is waited for.
type Request struct {
	Method string
	Target string      // path and query as they go into the request line, escaped: "/a%20b?c=d"
	Host   string      // the Host field; "" is the instance's own
	Header http.Header // what the client sent; fields that are for one connection alone, and those that Set names, are left out
	Set    []Field     // fields that are ours; they stand above the client's of the same name. An empty value only takes the client's out
	Body   []byte      // the whole body, where Stream is nil
	Stream io.Reader   // the body where it is not here whole: it can be sent once
	Length int64       // of Stream; -1 if it is not known

	Deadline time.Time // by when Ask has returned, and an answer that is no stream is over (see Answer.Prolong); zero: whenever
	Safe     bool      // may be asked again although an instance may have acted on it already
	Hold     int       // bytes of an answer that Ask waits for before it returns
}

// Answer is what an upstream answered. The one who asked closes it.
type Answer struct {
	Status   int
	Header   http.Header // without fields that are for one connection alone, and without Content-Length. The map is good until Close, its values for ever
	Length   int64       // of the body; -1 if it is not known. Of an answer to HEAD, and of 304: what the body would have, -1 if that was not said
	Body     []byte      // what of the body is here: all of it, where Rest is nil. It is good until Close
	Rest     io.Reader   // what of the body follows; nil: nothing. It ends with an error where the body does not end as it should
	Stream   bool        // the body comes bit by bit (text/event-stream): each piece is to be sent on at once, and the deadline does not end it
	Trailer  http.Header // of h2; complete once Rest has ended
	Switched io.ReadWriteCloser

	Instance string        // who answered, for logs; never for clients
	Attempts int           // how many instances were asked
	Took     time.Duration // from the call of Ask to its return

	held held // the body's memory and connection
	done func(*Answer)
}

// held is what an answer holds until it is closed.
type held interface {
	release()
	prolong(by time.Duration)
}

// Prolong moves the request's deadline for what Rest has yet to read, which whoever asked could not read for so long: its client did not
// take what had come. A stream has no deadline.
func (a *Answer) Prolong(by time.Duration) {
	if a.held != nil {
		a.held.prolong(by)
	}
}

// Close gives back what the answer holds. It may be called again.
func (a *Answer) Close() {
	if held := a.held; held != nil {
		a.held = nil
		held.release()
	}
	if done := a.done; done != nil {
		a.done = nil
		done(a)
	}
}

// Why says why an upstream gave no answer.
type Why uint8

// The reasons for which there is no answer.
const (
	Down   Why = iota // no instance could be reached
	Late              // not by the deadline
	Broken            // it hung up, or what it sent is no answer
	Full              // as many requests as it takes are with it already
	Gone              // whoever asked went away
)

// String returns down, late, broken, full or gone.
func (w Why) String() string { return [...]string{"down", "late", "broken", "full", "gone"}[w] }

// Failure is the error that Ask returns. Its text holds addresses, and is not for clients.
type Failure struct {
	Why  Why
	Sent bool // an instance may have acted on the request
	Err  error
}

// Error implements error.
func (f *Failure) Error() string { return f.Why.String() + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }
