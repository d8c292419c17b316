package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
)

// pattern is what giant's answers are made of.
var pattern = bytes.Repeat([]byte("0123456789abcdef"), 4<<10)

// giant has an instance answer with n bytes, framed in one of three ways.
func giant(framing string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch framing {
		case "length":
			w.Header().Set("Content-Length", fmt.Sprint(n))
		case "end":
			w.Header().Set("Connection", "close")
			w.Header().Set("Transfer-Encoding", "identity")
		}
		for left := n; left > 0; left -= len(pattern) {
			if _, err := w.Write(pattern[:min(left, len(pattern))]); err != nil {
				return
			}
		}
	}
}

// patterned checks that what is written to it goes on as giant's answer does.
type patterned struct {
	n     int
	wrong bool
}

func (p *patterned) Write(b []byte) (int, error) {
	for left := b; len(left) > 0; {
		at := p.n % (len(pattern) / 2)
		n := min(len(left), len(pattern)-at)
		p.wrong = p.wrong || !bytes.Equal(left[:n], pattern[at:at+n])
		p.n += n
		left = left[n:]
	}
	return len(b), nil
}

func TestWhatIsLargeIsNotHeld(t *testing.T) {
	const size = 32<<20 + 7
	for _, framing := range []string{"length", "chunks", "end"} {
		t.Run(framing, func(t *testing.T) {
			tr := transportTo(t, transportOptions{}, giant(framing, size))
			for range 2 {
				r := get()
				r.Hold = 100 << 10
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var a Answer
				if err := tr.exchange(context.Background(), r, &a); err != nil {
					t.Fatal(err)
				}
				if len(a.Body) < r.Hold || len(a.Body) > 4*r.Hold {
					t.Errorf("%d bytes are held", len(a.Body))
				}
				var got patterned
				got.Write(a.Body)
				if _, err := io.Copy(&got, a.Rest); err != nil {
					t.Fatal(err)
				}
				a.Close()
				runtime.ReadMemStats(&after)
				if got.wrong || got.n != size {
					t.Errorf("%d bytes, wrong: %v", got.n, got.wrong)
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
					t.Errorf("%d bytes were allocated", used)
				}
			}
			if open, idle := tr.stats(); open != idle || (open == 1) != (framing != "end") {
				t.Errorf("%d connections, %d idle", open, idle)
			}
		})
	}
}

func TestWhatFollowsGoesFromSocketToSocket(t *testing.T) {
	const size = 8<<20 + 7
	for _, framing := range []string{"length", "chunks", "end"} {
		t.Run(framing, func(t *testing.T) {
			tr := transportTo(t, transportOptions{}, giant(framing, size))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var got patterned
			done := make(chan error)
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, err = io.Copy(&got, c)
					c.Close()
				}
				done <- err
			}()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			var a Answer
			if err := tr.exchange(context.Background(), get(), &a); err != nil {
				t.Fatal(err)
			}
			client.Write(a.Body)
			if n, err := io.Copy(client, a.Rest); err != nil || n != int64(size-len(a.Body)) {
				t.Errorf("%d bytes, %v", n, err)
			}
			a.Close()
			client.Close()
			if err := <-done; err != nil || got.wrong || got.n != size {
				t.Errorf("%d bytes, wrong: %v, %v", got.n, got.wrong, err)
			}
			if open, idle := tr.stats(); open != idle || (open == 1) != (framing != "end") {
				t.Errorf("%d connections, %d idle", open, idle)
			}
		})
	}
}

func TestAClientThatHangsUpEndsTheCopying(t *testing.T) {
	for _, framing := range []string{"length", "chunks"} {
		tr := transportTo(t, transportOptions{}, giant(framing, 64<<20))
		var a Answer
		if err := tr.exchange(context.Background(), get(), &a); err != nil {
			t.Fatal(err)
		}
		r, w := io.Pipe()
		r.Close()
		if _, err := io.Copy(w, a.Rest); err == nil {
			t.Error("copied")
		}
		a.Close()
		if open, _ := tr.stats(); open != 0 {
			t.Errorf("%d connections are left", open)
		}
	}
}
