package app

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// say sends bytes on a connection of its own, says that no more come, and waits until the server has closed.
func say(t *testing.T, address, send string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	answered := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		answered <- err
	}()
	if _, err := io.WriteString(c, send); err == nil { // else the server has closed already
		_ = c.(*net.TCPConn).CloseWrite()
	}
	if nerr, ok := errors.AsType[net.Error](<-answered); ok && nerr.Timeout() {
		t.Fatalf("the server does not close behind %q", send)
	}
}

// What passes the front door is seen behind the proxy as a handler at the front door sees it, or is refused: never another request, another
// body, or one more. The streams are the corpus's, with pieces put in, taken out and doubled.
func TestMutatedRequestsAreSeenBehindAsTheyAreAtTheDoor(t *testing.T) {
	t.Parallel()
	h, door := serveWitness(t)
	behind := goBackend(t)
	address := passTo(t, behind.url)
	corpus := append(framings(), passedFramings()...)
	pieces := []string{
		"\r\n", "\n", "\r", " ", "\t", ":", ";", ",", "0", "1", "a", "\x00", "\x7f", "\xff", "%", "/", "//", "..", "\\", "#", "?", "0\r\n\r\n", "\r\n\r\n", "chunked", "identity", "HTTP/1.0",
		"HTTP/1.1", "Content-Length: 3\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: x\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
		"Host: b\r\n", "Expect: 100-continue\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n", "GET /more HTTP/1.1\r\nHost: a\r\n\r\n", "POST ", "HEAD ", "OPTIONS * ", "X-Forwarded-For: 1\r\n",
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	count, seen := 600, 0
	if testing.Short() {
		count = 150
	}
	for range count {
		c := corpus[random.IntN(len(corpus))]
		if len(c.send) > 32<<10 {
			continue
		}
		send := c.send + next
		for range 1 + random.IntN(2) {
			at := random.IntN(len(send) + 1)
			end := min(len(send), at+random.IntN(12))
			switch random.IntN(4) {
			case 0:
				send = send[:at] + send[end:]
			case 1:
				send = send[:end] + send[at:]
			default:
				send = send[:at] + pieces[random.IntN(len(pieces))] + send[at:]
			}
		}
		h.mu.Lock()
		h.saw = nil
		h.mu.Unlock()
		say(t, door, send)
		say(t, address, send)
		h.mu.Lock()
		var at []string
		for _, line := range h.saw {
			at = append(at, passedOn(line))
		}
		h.mu.Unlock()
		for _, line := range behind.take(t) {
			if strings.HasSuffix(line, " broken") { // of a large body that did not come whole: it is over for the backend as well
				continue
			}
			seen++
			i := slices.Index(at, line)
			if i < 0 {
				t.Fatalf("seed %d: %q\nis seen behind as %q, and at the door as %q", seed, send, line, at)
			}
			at = at[i+1:]
		}
	}
	if seen < count/10 {
		t.Errorf("only %d requests of %d streams were passed on: the test looks at little", seen, count)
	}
}
