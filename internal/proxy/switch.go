package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// maySwitch says that a request asked for the protocol to which the instance changes.
func (x *call) maySwitch(r *Request) error {
	asked := upgradeOf(r)
	for protocol := range strings.SplitSeq(asked, ",") {
		if asked != "" && equalFold(strings.Trim(protocol, " \t"), x.head.upgrade) {
			return nil
		}
	}
	return malformedf("it changes to %q, and %q was asked for", x.head.upgrade, asked)
}

// change hands over the connection, which speaks another protocol from here on.
func (x *call) change(a *Answer) error {
	c := x.c
	if x.stop != nil && !x.stop() {
		return x.ctx.Err()
	}
	x.stop = nil
	c.arm(time.Time{})
	_ = c.SetWriteDeadline(time.Time{}) // as in arm
	c.turn = turn{}
	t := &tunnel{Conn: c.Conn, c: c, pool: &x.t.pool, early: bytes.Clone(x.buf[x.r:x.w])}
	t.stop = context.AfterFunc(x.ctx, c.hangUp)
	x.c, x.tunnel = nil, t
	x.header["Upgrade"] = []string{x.head.upgrade}
	a.Status, a.Header, a.Length, a.Body, a.Rest, a.Stream, a.Trailer = x.head.status, x.header, 0, nil, nil, true, nil
	a.Switched, a.held = t, x
	return nil
}

// tunnel is a connection to an instance that has changed the protocol. It ends when whoever asked goes away.
type tunnel struct {
	net.Conn
	c     *conn
	pool  *pool
	early []byte // came with the answer's head
	stop  func() bool
	once  sync.Once
}

// Read implements io.Reader.
func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}

// WriteTo implements io.WriterTo, by which the kernel passes on what comes where it can.
func (t *tunnel) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(t.early)
	t.early = t.early[n:]
	if err != nil {
		return int64(n), err
	}
	m, err := io.Copy(w, t.Conn)
	return int64(n) + m, err
}

// CloseWrite says that nothing more will be sent.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements io.Closer. It may be called again, and while others read and write, which ends both.
func (t *tunnel) Close() error {
	t.once.Do(func() {
		t.stop()
		t.pool.drop(t.c)
	})
	return nil
}
