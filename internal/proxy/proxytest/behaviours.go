package proxytest

import (
	"bytes"
	"net"
	"time"
)

// Behaviour is what an upstream does with a connection. It returns soon after c.Stopped is closed, or c is. Those of this package
// that read a request read it whole, unless they say otherwise.
type Behaviour func(c *Conn)

// HangAfterAccept reads what comes, and never answers.
func HangAfterAccept(c *Conn) { c.Hang() }

// HangAfterHead sends the head of an answer with a body of 10 bytes, and nothing of the body.
func HangAfterHead(c *Conn) {
	if c.Next() == nil && c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n") == nil {
		c.Hang()
	}
}

// ResetBeforeAnswer reads a request and resets the connection.
func ResetBeforeAnswer(c *Conn) {
	_ = c.Next()
	c.Reset()
}

// ResetMidBody resets the connection after 5 of 10 bytes of the body.
func ResetMidBody(c *Conn) {
	if c.Next() != nil || c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") != nil {
		return
	}
	// The reset would overtake what the client has not read yet: it comes when the client waits for more.
	select {
	case <-time.After(50 * time.Millisecond):
	case <-c.Stopped:
	}
	c.Reset()
}

// Short claims a body of 10 bytes, sends 5 and hangs up in good order.
func Short(c *Conn) {
	if c.Next() == nil {
		_ = c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
	}
}

// ShortChunks hangs up in the middle of a chunked body.
func ShortChunks(c *Conn) {
	if c.Next() == nil {
		_ = c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello")
	}
}

// Long claims a body of 5 bytes and sends 10 more, which look like the next answer; then it waits for the next request.
func Long(c *Conn) {
	for c.Next() == nil {
		if c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 2") != nil {
			return
		}
	}
}

// NeverReads reads nothing and says nothing. Little more than a few buffers of the system can be sent to it.
func NeverReads(c *Conn) {
	if inner, ok := c.Conn.(*counted); ok {
		if tcp, ok := inner.Conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(1)
		}
	}
	<-c.Stopped
}

// Early answers 413 as soon as it has a head, and never reads the body.
func Early(c *Conn) {
	if _, err := c.Head(); err == nil && c.Say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig") == nil {
		<-c.Stopped
	}
}

// Unasked sends an answer to every connection before there is a request, and then answers each request with 200 "asked".
func Unasked(c *Conn) {
	if c.Say("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked") != nil {
		return
	}
	for c.Next() == nil && c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nasked") == nil {
		continue
	}
}

// Garbage answers with what is no HTTP.
func Garbage(c *Conn) {
	if c.Next() == nil {
		_ = c.Say("\x00\x01SSH-2.0-OpenSSH_9.2\r\n\r\n")
	}
}

// ClosesKept answers 200 "ok", does not say that it will hang up, and hangs up.
func ClosesKept(c *Conn) {
	if c.Next() == nil {
		_ = c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// DripHead sends an answer from its first byte on in single bytes, one every so often.
func DripHead(every time.Duration) Behaviour {
	return func(c *Conn) {
		if c.Next() == nil {
			c.drip("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", every)
		}
	}
}

// DripBody sends the head of an answer at once, and its body of 10,000 bytes in single bytes, one every so often.
func DripBody(every time.Duration) Behaviour {
	return func(c *Conn) {
		if c.Next() == nil && c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n") == nil {
			c.drip(string(bytes.Repeat([]byte("x"), 10_000)), every)
		}
	}
}

func (c *Conn) drip(text string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range len(text) {
		if c.Say("%s", text[i:i+1]) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-c.Stopped:
			return
		}
	}
}

// Huge sends a body of that many bytes, as fast as it is taken, with its length if told, and in chunks otherwise.
func Huge(size int64, told bool) Behaviour {
	piece := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	return func(c *Conn) {
		if c.Next() != nil {
			return
		}
		var err error
		if told {
			err = c.Say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		} else {
			err = c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		}
		for left := size; left > 0 && err == nil; left -= int64(len(piece)) {
			some := piece[:min(left, int64(len(piece)))]
			if !told {
				err = c.Say("%x\r\n", len(some))
			}
			if err == nil {
				_, err = c.Write(some)
			}
			if err == nil && !told {
				err = c.Say("\r\n")
			}
		}
		if err == nil && !told {
			err = c.Say("0\r\n\r\n")
		}
		if err == nil {
			c.Hang()
		}
	}
}
