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
	c       *conn
	buffers *buffers
	pieces  [2][]byte // to send first
	stream  io.Reader // then this; nil: nothing
	length  int64     // of stream; -1: chunked

	failed atomic.Pointer[Failure] // the stream's, as far as it is not the instance that does not take it
	ended  atomic.Bool             // by stop: nobody needs the rest
	over   chan struct{}           // closed at the end
	whole  bool                    // all was sent; good once over is closed, and so is sent
	sent   uint64
}

// sendBeside starts a sender. It ends by the deadline, by stop, or where the instance does not take the body.
func (x *call) sendBeside(pieces [2][]byte, r *Request) {
	x.sender = &sender{c: x.c, buffers: &x.t.buffers, pieces: pieces, stream: r.Stream, length: r.length(), over: make(chan struct{})}
	_ = x.c.SetWriteDeadline(x.deadline) // as in arm
	go x.sender.run()
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
	if err != nil && !s.ended.Load() {
		s.failed.Store(&Failure{Why: Gone, Sent: true, Err: fmt.Errorf("the request's body: %w", err)})
		_ = s.c.SetReadDeadline(past) // whoever waits for an answer looks at failed then
	}
	s.whole = whole
}

// before and behind are how many bytes the framing of a chunk takes at most, before it and behind it.
const before, behind = 10, 2

// copy sends the stream. The error is the stream's.
func (s *sender) copy() (whole bool, err error) {
	buffer := s.buffers.get(smallest)
	defer s.buffers.put(buffer)
	left := s.length
	for left != 0 {
		room := buffer[before : len(buffer)-behind]
		if left > 0 {
			room = room[:min(left, int64(len(room)))]
		}
		n, err := s.stream.Read(room)
		if n > 0 {
			piece := room[:n]
			if s.length < 0 {
				piece = chunk(buffer, n)
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

// chunk puts the framing of a chunk around the n bytes that stand in buffer from before on, and returns both.
func chunk(buffer []byte, n int) []byte {
	var size [before]byte
	digits := append(strconv.AppendInt(size[:0], int64(n), 16), '\r', '\n')
	copy(buffer[before+n:], "\r\n")
	return buffer[before-copy(buffer[before-len(digits):], digits) : before+n+behind]
}

// grace is how long a sender may go on when the answer is here. An instance answers when it has read what it wants, which may be before the
// sender knows that it has sent the last of it, or has seen the end of the stream.
const grace = 5 * time.Millisecond

// stop ends the sending, waits for its end, and says whether all was sent. A stream that is an io.Closer is closed if it is still read when
// the grace is over, so that nobody is left reading it.
func (s *sender) stop(grace time.Duration) (whole bool) {
	select {
	case <-s.over:
		return s.whole
	default:
	}
	if grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-s.over:
			return s.whole
		case <-timer.C:
		}
	}
	s.ended.Store(true)
	_ = s.c.SetWriteDeadline(past) // as in interrupt
	if closer, ok := s.stream.(io.Closer); ok {
		closer.Close()
	}
	<-s.over
	return s.whole
}
