//go:build unix && !linux

package proxy

import "syscall"

// write writes what it can of a, or of b where there is no a.
func write(fd int, a, b []byte) (int, error) {
	if len(a) == 0 {
		a = b
	}
	return syscall.Write(fd, a)
}

// unheard would say that an instance which hung up has not had any of the request; only Linux's kernel tells.
func (c *conn) unheard(uint64) bool { return false }
