//go:build !race

package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads into p, which is not empty. 0 bytes are the end.
func Read(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(min(len(p), most))) //nolint:gosec // what the call takes
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// Peek is Read, and leaves what it reads to be read again.
func Peek(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(min(len(p), most)), unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // what the call takes
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// Write writes what it can of p, which is not empty.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(min(len(p), most))) //nolint:gosec // what the call takes
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// Write2 writes what it can of a, and then of b, in one call: a head that arrives alone would wake its reader for nothing. Neither is empty.
func Write2(fd uintptr, a, b []byte) (int, error) {
	if len(a) >= most {
		return Write(fd, a)
	}
	pieces := [2]unix.Iovec{{Base: &a[0]}, {Base: &b[0]}}
	pieces[0].SetLen(len(a))
	pieces[1].SetLen(min(len(b), most))
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&pieces[0])), uintptr(len(pieces))) //nolint:gosec // what the call takes
		if errno != unix.EINTR {
			return result(n, errno)
		}
	}
}

// result is what a call has returned. An error allocates nothing.
func result(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN:
		return 0, errAgain
	}
	return 0, errno
}

var errAgain error = unix.EAGAIN
