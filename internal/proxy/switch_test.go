package proxy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// changing is a request to change to a protocol.
func changing(to string) *Request {
	r := get()
	r.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {to}, "Sec-Websocket-Key": {"x"}}
	return r
}

const changed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: y\r\n\r\n"

func TestAConnectionChangesItsProtocol(t *testing.T) {
	for _, copied := range []bool{false, true} {
		tr := to(t, standIn(t, func(c *peer, _ int) {
			r := c.request()
			if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
				t.Error(r.Header)
			}
			c.say(changed + "early ")
			io.Copy(c, c.in)
			c.say(" over")
		}), transportOptions{})
		r := changing("websocket")
		r.Deadline = in(shortly)
		var a Answer
		if err := tr.exchange(context.Background(), r, &a); err != nil {
			t.Fatal(err)
		}
		if a.Status != 101 || !a.Stream || a.Header.Get("Upgrade") != "WebSocket" || a.Header.Get("Sec-Websocket-Accept") != "y" || a.Header["Connection"] != nil {
			t.Errorf("%+v", a)
		}
		<-time.After(time.Until(r.Deadline) + time.Millisecond)
		io.WriteString(a.Switched, "abc")
		a.Switched.(interface{ CloseWrite() error }).CloseWrite()
		var b bytes.Buffer
		var err error
		if copied {
			_, err = io.Copy(&b, a.Switched)
		} else {
			_, err = b.ReadFrom(a.Switched)
		}
		if b.String() != "early abc over" || err != nil {
			t.Errorf("%q, %v", b.String(), err)
		}
		if open, _ := tr.stats(); open != 1 {
			t.Errorf("%d connections", open)
		}
		a.Close()
		a.Switched.Close()
		if open, _ := tr.stats(); open != 0 {
			t.Errorf("%d connections are left", open)
		}
	}
}

func TestAChangedConnectionEndsWhenTheAskerGoesAway(t *testing.T) {
	tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); c.say(changed); c.gone() }), transportOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	var a Answer
	if err := tr.exchange(ctx, changing("websocket"), &a); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := a.Switched.Read(make([]byte, 1)); err == nil {
		t.Error("something was read")
	}
	a.Close()
}

func TestAnInstanceMayAnswerInsteadOfChanging(t *testing.T) {
	tr := to(t, standIn(t, func(c *peer, _ int) {
		for c.request() != nil {
			c.say(okay)
		}
	}), transportOptions{})
	for range 2 {
		if status, body := mustAnswer(t, tr, changing("websocket")); status != 200 || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
	}
	if open, idle := tr.stats(); open != 1 || idle != 1 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}

func TestAChangeToAnotherProtocolThanAskedForIsRefused(t *testing.T) {
	for _, asked := range []string{"tls/1.0", "h2c", ""} {
		tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); c.say(changed); c.gone() }), transportOptions{})
		if f := failure(t, context.Background(), tr, changing(asked)); f.Why != Broken {
			t.Errorf("%q: %v", asked, f)
		}
		if open, _ := tr.stats(); open != 0 {
			t.Errorf("%d connections are left", open)
		}
	}
}
