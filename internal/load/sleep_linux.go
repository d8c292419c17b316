package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// precisely makes sleep exact on this thread, which must be locked to its goroutine and end with it: the kernel is not to put off its
// wake-ups by the usual 50 µs.
func precisely() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) } // late wake-ups show as lag

// sleep sleeps for about d. Go's own timers are up to a millisecond late where nothing else runs, as epoll counts in milliseconds.
func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // cut short by a signal, it is called again
}
