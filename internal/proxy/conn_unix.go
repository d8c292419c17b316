//go:build unix

package proxy

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/serin-ml/serin/internal/socket"
)

// takeTurn is called with the socket, which does not block, and again whenever it becomes readable as long as it returns false.
//
// A connection that was kept is read before it is written to, however lately it was used: it may have been closed, or an instance may have
// said something after its last answer had ended, which must not pass for the answer to the next request, which may be somebody else's. No
// read is tried right behind the write, where it would find nothing.
func (c *conn) takeTurn(fd uintptr) bool {
	t := &c.turn
	for {
		switch t.phase {
		case checking:
			switch _, err := socket.Read(fd, c.one[:]); err {
			case syscall.EAGAIN: //nolint:errorlint // a system call's error is its number
				t.phase = sending
			default:
				t.err = errStale
				return true
			}
		case sending:
			if len(t.out) == 0 {
				if t.out, t.body = t.body, nil; len(t.out) == 0 {
					t.phase = sent
					if t.wait {
						t.phase = reading
					}
					return !t.wait
				}
			}
			switch n, err := write(fd, t.out, t.body); err {
			case nil:
				t.wrote(n)
				c.written += uint64(n)
			case syscall.EAGAIN: //nolint:errorlint // a system call's error is its number
				t.phase = blocked
				return true
			default:
				t.err = os.NewSyscallError("write", err)
				return true
			}
		case reading:
			switch n, err := socket.Read(fd, t.in); err {
			case nil:
				if t.n, t.phase = n, read; n == 0 {
					t.err = io.EOF
				}
				return true
			case syscall.EAGAIN: //nolint:errorlint // a system call's error is its number
				return false
			default:
				t.err = os.NewSyscallError("read", err)
				return true
			}
		default:
			return true
		}
	}
}

// write writes what it can of a and then b, in one call: a head that arrives alone would wake the instance for nothing.
func write(fd uintptr, a, b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return socket.Write(fd, a)
	case len(a) == 0:
		return socket.Write(fd, b)
	}
	return socket.Write2(fd, a, b)
}

// wrote takes note that n bytes more were sent.
func (t *turn) wrote(n int) {
	t.sent += n
	first := min(n, len(t.out))
	t.out = t.out[first:]
	t.body = t.body[n-first:]
}

// quiet says that the connection is open, and that nothing has come on it.
func (c *conn) quiet() bool {
	err := c.raw.Read(c.peekStep)
	return err == nil && errors.Is(c.peeked, syscall.EAGAIN)
}

// hungUp says that the instance has closed the connection, and that all it said was read.
func (c *conn) hungUp() bool {
	err := c.raw.Read(c.peekStep)
	return err == nil && c.seen <= 0 && !errors.Is(c.peeked, syscall.EAGAIN)
}

// peek is called with the socket.
func (c *conn) peek(fd uintptr) bool {
	c.seen, c.peeked = socket.Peek(fd, c.one[:])
	return true
}

// isHungUp says that an error means that the other end has closed the connection.
func isHungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
