//go:build !linux || race

// The race detector takes calls that are announced for what they are: whoever reads what another has written comes after it.

package socket

import "syscall"

// Read reads into p, which is not empty. 0 bytes are the end.
func Read(fd uintptr, p []byte) (int, error) {
	return again(func() (int, error) { return syscall.Read(int(fd), p[:min(len(p), most)]) })
}

// Peek is Read, and leaves what it reads to be read again.
func Peek(fd uintptr, p []byte) (int, error) {
	return again(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
}

// Write writes what it can of p, which is not empty.
func Write(fd uintptr, p []byte) (int, error) {
	return again(func() (int, error) { return syscall.Write(int(fd), p[:min(len(p), most)]) })
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
		if err != syscall.EINTR { //nolint:errorlint // a system call's error is its number
			return max(n, 0), err
		}
	}
}
