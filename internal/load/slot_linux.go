package load

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slot is one connection of a loop, and the request on it.
type slot struct {
	fd    int // -1: not connected
	state slotState
	round int32         // how many connections it has had; tells their events apart
	busy  bool          // it has a request
	used  time.Duration // when its last request ended; -rested: it has had none

	ticket  ticket
	sent    time.Duration
	out     []byte // of the request, what is not written yet
	scratch []byte // where requests with a unit are put together
	written int
	in      int
	answer  answer
}

type slotState uint8

const (
	slotFree slotState = iota
	slotConnects
	slotAsks // the request is on its way, or its answer
)

// begin takes a request on.
func (s *slot) begin(t ticket, now time.Duration, request []byte) {
	s.busy, s.ticket, s.sent = true, t, now
	s.out, s.written, s.in = request, 0, 0
	s.answer.reset()
}

func (s *slot) disconnect() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd) // what matters of it has been read
		s.fd = -1
	}
}

// connect begins to connect a slot. Where that is done at once the slot is free to write, else it connects.
func (l *loop) connect(i int32) error {
	s := &l.slots[i]
	fd, err := unix.Socket(l.inet, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	s.fd, s.state = fd, slotFree
	s.round++
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		s.disconnect()
		return err
	}
	switch err := unix.Connect(fd, l.to); err {
	case nil:
	case unix.EINPROGRESS, unix.EINTR:
		s.state = slotConnects
	default:
		s.disconnect()
		return err
	}
	// Edges: each socket is registered once, and read and written until it has no more.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: i, Pad: s.round}
	if err := unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		s.disconnect()
		return err
	}
	return nil
}

// connectError tells why a connection that was begun has failed.
func (s *slot) connectError() error {
	code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// handle goes on with a slot whose socket has changed.
func (l *loop) handle(i int32, s *slot, events uint32) {
	if s.state == slotConnects {
		if err := s.connectError(); err != nil {
			l.finish(i, refusal(err), l.run.now())
			return
		}
		s.state = slotFree
	}
	switch {
	case !s.busy:
		l.idle(i, s)
	case len(s.out) > 0 && !l.write(i, s):
	default:
		l.read(i, s, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// idle finds out what a connection without a request has to say: its end, since a server may close what is idle. If it is an answer that
// nobody asked for, it is not fit for another request either.
func (l *loop) idle(i int32, s *slot) {
	_, err := l.receive(s.fd)
	if err == unix.EAGAIN { //nolint:errorlint // the system's own numbers
		return
	}
	s.disconnect()
	for at, other := range l.open {
		if other == i {
			l.open = append(l.open[:at], l.open[at+1:]...)
			l.shut = append(l.shut, i)
			return
		}
	}
}

// write writes what it can of a request; it tells whether the slot still has it.
func (l *loop) write(i int32, s *slot) bool {
	s.state = slotAsks
	for len(s.out) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out[0])), uintptr(len(s.out))) //nolint:gosec // what the call takes
		switch errno {
		case 0:
			s.out = s.out[n:]
			s.written += int(n)
		case unix.EAGAIN:
			return true
		case unix.EINTR:
		default:
			// The server may have answered before it closed: that answer is what the client gets.
			l.read(i, s, true)
			if s.busy {
				l.finish(i, result{problem: brokenOff, example: errno.Error()}, l.run.now())
			}
			return false
		}
	}
	return true
}

// receive reads once from a socket that does not block.
func (l *loop) receive(fd int) (n int, err error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&l.buffer[0])), uintptr(len(l.buffer))) //nolint:gosec // what the call takes
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// read reads what there is of an answer. Ends says that the connection's end is known to have come too: no other event will tell.
func (l *loop) read(i int32, s *slot, ends bool) {
	for {
		n, err := l.receive(s.fd)
		switch {
		case err == unix.EAGAIN: //nolint:errorlint // the system's own numbers
			return
		case err != nil:
			l.finish(i, result{problem: brokenOff, example: err.Error()}, l.run.now())
			return
		case n == 0:
			r := result{status: s.answer.status}
			if err := s.answer.end(); err != nil {
				r = result{problem: brokenOff, example: err.Error()}
			}
			l.finish(i, r, l.run.now())
			return
		}
		s.in += n
		rest, done, err := s.answer.feed(l.buffer[:n])
		if err == nil && done && len(rest) > 0 {
			err = errExtra
		}
		switch {
		case err != nil:
			l.finish(i, result{problem: notUnderstood, example: err.Error()}, l.run.now())
			return
		case done:
			s.answer.last = s.answer.last || ends
			l.finish(i, result{status: s.answer.status}, l.run.now())
			return
		case n < len(l.buffer) && !ends:
			return // there is no more, and an event will tell when there is
		}
	}
}
