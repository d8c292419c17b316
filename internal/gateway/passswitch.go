package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// switchOver answers that the protocol changes, and from then on passes bytes both ways, until both sides have ended, or one has and the
// other does not follow.
func (g *Gateway) switchOver(b *buffers, c *call, q *question) answered {
	a, w := &b.pass.answer, b.http.w
	took := g.options.Now().Sub(c.at)
	if a.Switched == nil {
		b.decision.failed(erred)
		return answered{status: g.refusePassed(b, errNoSwitch), err: errNoSwitch}
	}
	h := w.Header()
	copyHeader(h, a.Header)
	h["Connection"] = []string{"Upgrade"}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		a.Switched.Close()
		return answered{status: g.refusePassed(b, errNoSwitch), err: err}
	}
	t := tunnel{client: client, upstream: a.Switched, patience: g.options.WriteTimeout}
	if err := t.begin(h, buffered); err != nil {
		t.close()
		return answered{status: statusGone, took: took, err: err}
	}
	done := answered{status: http.StatusSwitchingProtocols, took: took, told: true}
	g.done(b, c, q, done) // now: nobody knows when it ends
	t.run(buffered, g.parting)
	return done
}

var errNoSwitch = &statusError{http.StatusBadGateway, fault.Unavailablef("the protocol could not be changed")}

// tunnel is a connection of a client and one of an upstream that speak to each other.
type tunnel struct {
	client   net.Conn
	upstream io.ReadWriteCloser
	patience time.Duration // for a write, and for the second side's end after the first's
}

// begin tells the client.
func (t *tunnel) begin(h http.Header, client *bufio.ReadWriter) error {
	_ = t.client.SetWriteDeadline(time.Now().Add(t.patience))
	_, _ = client.WriteString("HTTP/1.1 101 Switching Protocols\r\n") // an error stays with the writer
	_ = h.Write(client)
	_, _ = client.WriteString("\r\n")
	return client.Flush()
}

// run passes bytes until both sides have ended, or the gateway parts. What the client has sent already is in client.
func (t *tunnel) run(client io.Reader, parting <-chan struct{}) {
	ended := make(chan bool, 2) // whether in good order
	go func() { ended <- t.pass(t.upstream, client) }()
	go func() { ended <- t.pass(t.client, t.upstream) }()
	var late <-chan time.Time
	for open := 2; open > 0; {
		select {
		case fine := <-ended:
			if open--; open > 0 && fine {
				timer := time.NewTimer(t.patience)
				defer timer.Stop()
				late = timer.C
			} else {
				t.close()
			}
		case <-parting:
			t.close()
			parting = nil
		case <-late:
			t.close()
		}
	}
}

// pass passes bytes one way, and in the end tells the one side that the other has ended. A side that does not read is given up.
func (t *tunnel) pass(to io.Writer, from io.Reader) (fine bool) {
	limited, limits := to.(interface{ SetWriteDeadline(t time.Time) error })
	piece := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(piece)
	for {
		n, err := from.Read(piece[:])
		if n > 0 {
			if limits {
				_ = limited.SetWriteDeadline(time.Now().Add(t.patience))
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			half, ok := to.(interface{ CloseWrite() error })
			return err == io.EOF && ok && half.CloseWrite() == nil
		}
	}
}

// close closes both sides.
func (t *tunnel) close() {
	t.client.Close()
	t.upstream.Close()
}
