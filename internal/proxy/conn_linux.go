package proxy

import "golang.org/x/sys/unix"

// unheard says that an instance which hung up has not had any of the request that was sent to it when before bytes had been written to
// the connection: its kernel has acknowledged those and no more, so nobody can have read what followed. One more is the connection's own
// first (SYN).
func (c *conn) unheard(before uint64) bool {
	if !c.plain || before == 0 {
		return false
	}
	var acked uint64
	err := c.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			acked = info.Bytes_acked
		}
	})
	return err == nil && acked == before+1
}
