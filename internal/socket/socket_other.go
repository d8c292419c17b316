//go:build !linux

package socket

import "golang.org/x/sys/unix"

// Read reads into p, which is not empty. 0 bytes are the end.
func Read(fd uintptr, p []byte) (int, error) {
	return again(func() (int, error) { return unix.Read(int(fd), p) })
}

// Peek is Read, and leaves what it reads to be read again.
func Peek(fd uintptr, p []byte) (int, error) {
	return again(func() (int, error) {
		n, _, err := unix.Recvfrom(int(fd), p, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return n, err
	})
}

// Write writes what it can of p, which is not empty.
func Write(fd uintptr, p []byte) (int, error) {
	return again(func() (int, error) { return unix.Write(int(fd), p) })
}

// Write2 writes what it can of a, and then of b. Neither is empty.
func Write2(fd uintptr, a, b []byte) (int, error) {
	n, err := Write(fd, a)
	if err != nil || n < len(a) {
		return n, err
	}
	if m, err := Write(fd, b); err == nil {
		n += m
	}
	return n, nil
}

func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR { //nolint:errorlint // a system call's error is its number
			return max(n, 0), err
		}
	}
}
