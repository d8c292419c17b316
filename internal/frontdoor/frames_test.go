package frontdoor

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const begins = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame is a frame of h2.
func frame(kind, flags byte, stream uint32, payload string) string {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return string(binary.BigEndian.AppendUint32(head, stream)) + payload
}

// asks is the header block of GET http://a/.
const asks = "\x82\x86\x84\x41\x01a"

// guardOf is a guard of h2 whose clock stands where now says.
func guardOf(now *int64) *guard {
	return &guard{clock: func() int64 { return *now }, most: 16 << 10}
}

func TestHonestClientsOfH2Pass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now int64
		g, stream := guardOf(&now), begins+frame(settingsFrame, 0, 0, "\x00\x03\x00\x00\x00\x64")+frame(settingsFrame, 1, 0, "")+frame(updateFrame, 0, 0, "\x00\x00\xff\xff")
		cancels := rapid.Bool().Draw(t, "cancels")
		most := 1000 // requests
		if cancels {
			most = 128 // that may be open at once
		}
		for n := range rapid.IntRange(1, most).Draw(t, "requests") {
			id := uint32(2*n + 1)
			stream += frame(headersFrame, endHeaders, id, asks) + frame(dataFrame, 0, id, "hello") + frame(dataFrame, endStream, id, "") +
				frame(pingFrame, 0, 0, "01234567") + frame(updateFrame, 0, 0, "\x00\x00\x00\x05")
			if cancels {
				stream += frame(resetFrame, 0, id, "\x00\x00\x00\x08")
			}
		}
		for _, p := range cut(t, stream) {
			if n := g.scan([]byte(p)); n < len(p) {
				t.Fatalf("refused at byte %d of %d", n, len(p))
			}
		}
	})
}

func TestFloodsOfH2AreRefusedAndTimeForgives(t *testing.T) {
	const second = int64(time.Second)
	for name, c := range map[string]struct {
		frames string
		pass   int // at least, at once
		refuse int // at most
	}{
		"PING":               {frame(pingFrame, 0, 0, "01234567"), 900, 1100},
		"SETTINGS":           {frame(settingsFrame, 0, 0, ""), 90, 110},
		"resets":             {frame(headersFrame, endHeaders|endStream, 1, asks) + frame(resetFrame, 0, 1, "\x00\x00\x00\x08"), 145, 160},
		"empty DATA":         {frame(dataFrame, 0, 1, ""), 390, 410},
		"PRIORITY":           {frame(2, 0, 1, "12345"), 1900, 2100},
		"CONTINUATION":       {frame(continuationFrame, 0, 1, ""), 390, 410},
		"what nobody knows":  {frame(99, 0, 1, ""), 1900, 2100},
		"CONTINUATION, full": {frame(continuationFrame, 0, 1, strings.Repeat("x", 1<<10)), 16, 17},
	} {
		for _, slow := range []bool{false, true} {
			var now int64
			g := guardOf(&now)
			g.scan([]byte(begins))
			passed := 0
			for ; passed < 5000 && g.scan([]byte(c.frames)) == len(c.frames); passed++ {
				if slow { // 40 a second
					now += second / 40
				}
			}
			switch {
			case slow && passed < 5000 && name != "CONTINUATION, full":
				t.Errorf("%s, slowly: %d passed", name, passed)
			case !slow && (passed < c.pass || passed > c.refuse):
				t.Errorf("%s: %d passed, want %d to %d", name, passed, c.pass, c.refuse)
			}
		}
	}
}

func TestHeadersOfH2HaveToEnd(t *testing.T) {
	for name, start := range map[string]string{
		"no CONTINUATION":   frame(headersFrame, endStream, 1, asks),
		"half a frame":      frame(headersFrame, endStream|endHeaders, 1, asks)[:12],
		"half, behind one":  frame(headersFrame, endStream|endHeaders, 1, asks) + frame(headersFrame, endStream|endHeaders, 3, asks)[:12],
		"half a CONTINUED":  frame(headersFrame, endStream, 1, asks[:3]) + frame(continuationFrame, endHeaders, 1, asks[3:])[:11],
		"too many of those": frame(headersFrame, endStream, 1, asks) + strings.Repeat(frame(continuationFrame, 0, 1, "\x40\x01a\x01b"), 500),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openOurs(t, hello, func(h *http.Server) { h.ReadHeaderTimeout = 100 * time.Millisecond })
			l := dial(t, s.address)
			l.send(begins + frame(settingsFrame, 0, 0, "") + frame(settingsFrame, 1, 0, ""))
			_, _ = io.WriteString(l, start) // it may be closed before all is sent
			l.ends()
		})
	}
}

// A connection whose reads always end within some header is not closed: it is another one each time.
func TestManyHeadersOfH2MayEachBeHalfThere(t *testing.T) {
	s := openOurs(t, hello, func(h *http.Server) { h.ReadHeaderTimeout = 200 * time.Millisecond })
	l := dial(t, s.address)
	l.send(begins + frame(settingsFrame, 0, 0, "") + frame(settingsFrame, 1, 0, ""))
	answers := make(chan int, 1)
	const requests = 40
	go func() {
		seen, head := 0, make([]byte, frameHead)
		for seen < requests {
			if _, err := io.ReadFull(l.r, head); err != nil {
				break
			}
			if _, err := io.CopyN(io.Discard, l.r, int64(head[0])<<16|int64(binary.BigEndian.Uint16(head[1:]))); err != nil {
				break
			}
			if head[3] == headersFrame {
				seen++
			}
		}
		answers <- seen
	}()
	left := ""
	for n := range requests {
		request := frame(headersFrame, endStream|endHeaders, uint32(2*n+1), asks)
		l.send(left + request[:11])
		left = request[11:]
		time.Sleep(10 * time.Millisecond) // all of it takes longer than one header may
	}
	l.send(left)
	if n := <-answers; n != requests {
		t.Errorf("%d of %d requests are answered", n, requests)
	}
}

func TestAFloodEndsItsConnectionAlone(t *testing.T) {
	s := openOurs(t, hello, nil)
	good := dial(t, s.address)
	for name, piece := range map[string]string{
		"PING":   frame(pingFrame, 0, 0, "01234567"),
		"resets": "",
	} {
		l := dial(t, s.address)
		l.send(begins + frame(settingsFrame, 0, 0, ""))
		ended := make(chan struct{})
		go func() { defer close(ended); l.ends() }()
		for n := 0; ; n++ {
			p := piece
			if p == "" {
				p = frame(headersFrame, endHeaders|endStream, uint32(2*n+1), asks) + frame(resetFrame, 0, uint32(2*n+1), "\x00\x00\x00\x08")
			}
			if _, err := io.WriteString(l, p); err != nil {
				break
			}
			if n > 1_000_000 {
				t.Fatalf("%s: it goes on for ever", name)
			}
		}
		<-ended
		good.send(get)
		if code, body := good.answer(); code != 200 || body != "hello" {
			t.Errorf("%s: others are told %d %s", name, code, fmt.Sprint(body))
		}
	}
}
