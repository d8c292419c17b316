package proxy

import (
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"
)

// sender sends what of a request's body did not go out with its head, beside the reading of the answer: an answer may come before the
// body is all sent, and an instance may read no further until someone reads what it says.
type sender struct {
	c      *conn
	pieces [2][]byte // to send first
	stream io.Reader // then this; nil: nothing
	length int64     // of stream; -1: chunked

	failed atomic.Pointer[Failure] // the stream's, as far as it is not the instance that does not take it
	over   chan struct{}           // closed at the end
	whole  bool                    // all was sent; good once over is closed, and so is sent
	sent   uint64
}

// sendBeside starts a sender. It ends by the deadline, by stop, or where the instance does not take the body.
func sendBeside(c *conn, pieces [2][]byte, r *Request, deadline time.Time) *sender {
	s := &sender{c: c, pieces: pieces, stream: r.Stream, length: r.length(), over: make(chan struct{})}
	_ = c.SetWriteDeadline(deadline) // where the connection is closed, writing says so
	go s.run()
	return s
}

// run sends. An error of the connection is not told: what the instance had to say, or that it has gone, is seen where its answer is read.
func (s *sender) run() {
	defer close(s.over)
	for _, p := range s.pieces {
		if !s.write(p) {
			return
		}
	}
	if s.stream == nil {
		s.whole = true
		return
	}
	whole, err := s.copy()
	if err != nil {
		s.failed.Store(&Failure{Why: Gone, Sent: true, Err: fmt.Errorf("the request's body: %w", err)})
		_ = s.c.SetReadDeadline(past) // whoever waits for an answer looks at failed then
	}
	s.whole = whole
}

// pieceSize is how much of a stream is sent at once.
const pieceSize = 32 << 10

// copy sends the stream. The error is the stream's.
func (s *sender) copy() (whole bool, err error) {
	const before = 10 // of a chunk's size
	buffer := make([]byte, before+pieceSize+2)
	left := s.length
	for left != 0 {
		room := buffer[before : before+pieceSize]
		if left > 0 {
			room = room[:min(left, pieceSize)]
		}
		n, err := s.stream.Read(room)
		if n > 0 {
			piece := room[:n]
			if s.length < 0 {
				piece = chunk(buffer, before, n)
			} else {
				left -= int64(n)
			}
			if !s.write(piece) {
				return false, nil
			}
		}
		switch {
		case err == io.EOF && left > 0:
			return false, io.ErrUnexpectedEOF
		case err == io.EOF:
			left = 0
		case err != nil:
			return false, err
		}
	}
	if s.length < 0 {
		return s.write(lastChunk), nil
	}
	return true, nil
}

var lastChunk = []byte("0\r\n\r\n")

// write says whether the instance takes p.
func (s *sender) write(p []byte) bool {
	n, err := s.c.Write(p)
	s.sent += uint64(n)
	return err == nil
}

// chunk puts the framing of a chunk around the n bytes that stand in buffer from at on, and returns both.
func chunk(buffer []byte, at, n int) []byte {
	var size [10]byte
	digits := append(strconv.AppendInt(size[:0], int64(n), 16), '\r', '\n')
	copy(buffer[at+n:], "\r\n")
	return buffer[at-copy(buffer[at-len(digits):], digits) : at+n+2]
}

// finished says that all was sent. It does not wait.
func (s *sender) finished() bool {
	select {
	case <-s.over:
		return s.whole
	default:
		return false
	}
}

// stop ends the sending, and waits for its end: a stream that is an io.Closer is closed, so that nobody is left reading it.
func (s *sender) stop() {
	select {
	case <-s.over:
		return
	default:
	}
	_ = s.c.SetWriteDeadline(past) // as in interrupt
	if closer, ok := s.stream.(io.Closer); ok {
		closer.Close()
	}
	<-s.over
}
