package load

import (
	"context"
	"net/http"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/serin-ml/serin/internal/fault"
)

// loop sends plain HTTP/1.1 from one thread. The thread waits for its sockets and for the time of the next request in one system call
// whose timeout is in nanoseconds, and the kernel is told to wake it without slack; so it is on time to some microseconds, and a request
// costs three system calls and no switch between goroutines.
type loop struct {
	run   *run
	desk  *desk
	texts *plain
	inet  int // the family of the server's address
	to    unix.Sockaddr

	poll   int // epoll's descriptor
	slots  []slot
	open   []int32 // free and connected; the one used last is at the end and goes first, so that few connections stay warm
	shut   []int32 // free, not connected
	events [256]unix.EpollEvent
	buffer [64 << 10]byte
	coarse bool // the kernel is older than epoll_pwait2, Linux 5.11
}

// spin is how long before a request is due the thread stops to sleep: about what waking up takes.
const spin = 15 * time.Microsecond

// newLoops makes a loop for every thread, with all its connections made, so that no request of the run pays for that. Not ok: the crew has
// to do it.
func newLoops(r *run, to *target) (engines []engine, ok bool, err error) {
	address, err := netip.ParseAddrPort(to.address)
	if err != nil || address.Addr().Zone() != "" {
		return nil, false, nil //nolint:nilerr // an address of another kind is for the crew
	}
	texts := newPlain(r.o, r.texts, to)
	for thread := range r.o.Threads {
		slots := r.o.InFlight / r.o.Threads
		if thread < r.o.InFlight%r.o.Threads {
			slots++
		}
		l := &loop{run: r, desk: newDesk(r.o, thread, slots), texts: texts, slots: make([]slot, slots)}
		l.inet, l.to = sockaddr(address)
		engines = append(engines, l)
		if err := l.connectAll(); err != nil {
			for _, e := range engines {
				e.close()
			}
			return nil, true, err
		}
	}
	return engines, true, nil
}

func sockaddr(a netip.AddrPort) (family int, to unix.Sockaddr) {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
}

// connectAll connects every slot, all at once: a far server takes its time for each.
func (l *loop) connectAll() (err error) {
	if l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fault.Internalf("epoll: %w", err)
	}
	for i := range l.slots {
		l.slots[i] = slot{fd: -1, used: -rested}
		l.slots[i].answer = answer{keep: l.run.o.keep(), head: l.run.o.Method == http.MethodHead}
	}
	for i := range l.slots {
		if err := l.connect(int32(i)); err != nil {
			return unconnected(err)
		}
	}
	deadline := time.Now().Add(l.run.o.Timeout)
	for i := range l.slots {
		for l.slots[i].state == slotConnects {
			if err := l.connected(); err != nil {
				return unconnected(err)
			}
			if time.Now().After(deadline) {
				return unconnected(context.DeadlineExceeded)
			}
		}
		l.open = append(l.open, int32(i))
	}
	return nil
}

// connected waits a little for slots to be connected.
func (l *loop) connected() error {
	n, err := unix.EpollWait(l.poll, l.events[:], int(sweep/time.Millisecond))
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, e := range l.events[:max(n, 0)] {
		s := &l.slots[e.Fd]
		if err := s.connectError(); err != nil {
			return err
		}
		s.state = slotFree
	}
	return nil
}

func (l *loop) close() {
	for i := range l.slots {
		l.slots[i].disconnect()
	}
	if l.poll > 0 {
		_ = unix.Close(l.poll) // nothing is written to it
		l.poll = 0
	}
}

// send sends until the desk has no more and every answer is there. Its thread is not used by anybody else afterwards.
func (l *loop) send(ctx context.Context) (busy float64) {
	runtime.LockOSThread()
	precisely()
	begin, used := l.run.now(), threadTime()
	swept, giveUp := begin, time.Duration(0)
	for {
		now := l.sendDue()
		if now-swept >= sweep {
			swept = now
			if giveUp == 0 && ctx.Err() != nil {
				giveUp = now + grace
				l.run.cutOff(l.desk.cut(now))
			}
			l.sweep(now, giveUp > 0 && now >= giveUp)
		}
		due, more := l.desk.due()
		free := len(l.open) + len(l.shut)
		if !more && free == len(l.slots) {
			break
		}
		wait := swept + sweep - now
		if more && free > 0 {
			wait = min(wait, due-now)
		}
		for _, e := range l.events[:l.wait(wait)] {
			if s := &l.slots[e.Fd]; s.round == e.Pad { // else of a connection that is gone
				l.handle(e.Fd, s, e.Events)
			}
		}
	}
	if elapsed := l.run.now() - begin; elapsed > 0 {
		busy = float64(threadTime()-used) / float64(elapsed)
	}
	return busy
}

// rested is after how long without a request a connection is looked at before it gets one: servers close those that nobody uses, many at
// once, and a loop that was held up has not heard of it yet.
const rested = 100 * time.Millisecond

// sendDue sends what is due, as far as there are free connections, and returns the time.
func (l *loop) sendDue() (now time.Duration) {
	now = l.run.now()
	for range l.slots { // no more in a turn, lest nothing else is done while connections fail at once
		t, ok := l.desk.take(now)
		if !ok {
			return now
		}
		from := &l.open
		if len(l.open) == 0 {
			from = &l.shut
		}
		i := (*from)[len(*from)-1]
		s := &l.slots[i]
		if now-t.due >= l.run.o.Timeout {
			l.run.enter(t, timing{sent: notSent, done: now}, result{problem: noLane, example: "no connection was free in time"}, nil)
			l.desk.release(now)
			continue
		}
		*from = (*from)[:len(*from)-1]
		s.begin(t, now, l.texts.bytes(t.n, &s.scratch))
		if s.fd >= 0 && s.state == slotFree && now-s.used >= rested {
			if _, err := l.receive(s.fd); err != unix.EAGAIN { //nolint:errorlint // the system's own numbers
				s.disconnect()
			}
		}
		if s.fd < 0 {
			if err := l.connect(i); err != nil {
				l.finish(i, refusal(err), now)
				continue
			}
		}
		if s.state == slotFree {
			l.write(i, s)
		}
		now = l.run.now()
	}
	return now
}

// sweep gives up what takes too long, or everything.
func (l *loop) sweep(now time.Duration, everything bool) {
	for i := range l.slots {
		s := &l.slots[i]
		switch {
		case !s.busy:
		case everything:
			l.run.cutOffOne(s.ticket)
			l.free(int32(i), now, true)
		case now-s.ticket.due >= l.run.o.Timeout:
			l.finish(int32(i), result{problem: tooLate, example: "no answer in time"}, now)
		}
	}
}

// finish enters what became of a slot's request, and frees the slot.
func (l *loop) finish(i int32, r result, now time.Duration) {
	s := &l.slots[i]
	r.in, r.out = s.in, s.written
	l.run.enter(s.ticket, timing{sent: s.sent, done: now}, r, s.answer.body)
	l.free(i, now, r.problem != "" && r.problem != wrongAnswer || s.answer.last || len(s.out) > 0)
}

func (l *loop) free(i int32, now time.Duration, disconnect bool) {
	s := &l.slots[i]
	s.busy = false
	l.desk.release(now)
	if disconnect {
		s.disconnect()
	}
	if s.fd < 0 {
		l.shut = append(l.shut, i)
		return
	}
	s.state, s.used = slotFree, now
	l.open = append(l.open, i)
}

// wait waits for sockets until d has passed, and returns how many events there are.
func (l *loop) wait(d time.Duration) int {
	if d <= spin {
		return max(l.ask(), 0)
	}
	d -= spin
	if !l.coarse {
		ts := unix.NsecToTimespec(int64(d))
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.poll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), //nolint:gosec // what the call takes
			uintptr(unsafe.Pointer(&ts)), 0, 0) //nolint:gosec // what the call takes
		if errno == 0 {
			return int(n)
		}
		l.coarse = errno == unix.ENOSYS || errno == unix.EPERM // some containers forbid what they do not know
		return 0
	}
	ts := unix.NsecToTimespec(int64(d))
	if n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(l.poll), Events: unix.POLLIN}}, &ts, nil); err != nil || n == 0 {
		return 0
	}
	return max(l.ask(), 0)
}

// ask returns how many events there are already. It does not wait, so that the runtime need not know that it is in the kernel.
func (l *loop) ask() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.poll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), 0, 0, 0) //nolint:gosec // what the call takes
	if errno != 0 {
		return 0
	}
	return int(n)
}

// threadTime is how long this thread has run on processors.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
