package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// flush sends on what a handler has written.
func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
}

// Each event reaches the client before the next is there, and the service's time does not end the stream.
func TestServerSentEventsComeOneByOne(t *testing.T) {
	more := make(chan string)
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush(w)
		for {
			select {
			case text := <-more:
				_, _ = io.WriteString(w, "data: "+text+"\n\n")
				flush(w)
			case <-r.Context().Done():
				return
			}
		}
	}))
	for _, h2 := range []bool{false, true} {
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Timeout: 100 * time.Millisecond})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := transportOf(h2).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(w.Body)
		for i := range 3 {
			more <- fmt.Sprint(i)
			if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%q %v", line, err)
			}
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			time.Sleep(60 * time.Millisecond) // in all longer than the service's time
		}
		w.Body.Close() // as most clients of streams end them
		tallies, _ := p.written(t, 1)
		if tally := tallies["stable"]; tally.Requests != 1 || tally.Latency.Count() != 1 || tally.Micros > 150_000 {
			t.Errorf("h2 %v: counted: %+v", h2, tally)
		}
	}
}

func transportOf(h2 bool) *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	return tr
}

// A stream ends when the gateway parts, as does a connection that has changed its protocol: whoever waits for them would wait for ever.
func TestStreamsEndWhenTheGatewayParts(t *testing.T) {
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush(w)
		<-r.Context().Done()
	}))
	for _, h2 := range []bool{false, true} {
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		w, err := transportOf(h2).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		p.Part()
		if _, err := io.ReadAll(w.Body); err == nil {
			t.Error("it ended as if it were whole")
		}
		w.Body.Close()
		p.server.Close()
	}
}

// An answer of which the client has had a part already, and that breaks off, is cut.
func TestAnAnswerThatBreaksOffIsNeverTakenForWhole(t *testing.T) {
	const size = 600 << 10
	for name, does := range map[string]proxytest.Behaviour{
		"with its length": func(c *proxytest.Conn) {
			if c.Next() == nil {
				_ = c.Say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 2*size, strings.Repeat("x", size))
			}
		},
		"in chunks": func(c *proxytest.Conn) {
			if c.Next() == nil {
				_ = c.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", size, strings.Repeat("x", size))
			}
		},
	} {
		for _, h2 := range []bool{false, true} {
			up := proxytest.Misbehave(t, does)
			p := newPassing(t, ServiceOptions{
				Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Fallback: &Fallback{Status: 200, Body: []byte("no")},
			})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			w, err := transportOf(h2).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(w.Body); err == nil || len(body) > size {
				t.Errorf("%s, h2 %v: %d bytes, %v", name, h2, len(body), err)
			}
			w.Body.Close()
			tallies, decisions := p.written(t, 1)
			if tally := tallies["stable"]; tally.Errors[event.Server] != 1 || tally.Requests != 1 || tally.Latency.Count() != 0 || tally.Fallbacks != 0 {
				t.Errorf("%s: counted: %+v", name, tally)
			}
			if decisions[0].Status != 502 || decisions[0].Answered != "stable" {
				t.Errorf("%s: written: %+v", name, decisions[0])
			}
		}
	}
}

// A client that goes away is no failure of the variant's, and its upstream is let go.
func TestAClientThatGoesAwayIsNoFailure(t *testing.T) {
	for name, before := range map[string]bool{"before the answer": true, "within the answer": false} {
		here, gone := make(chan struct{}), make(chan struct{})
		up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !before {
				w.Header().Set("Content-Length", "1000000000")
				_, _ = w.Write(make([]byte, 600<<10))
				flush(w)
			}
			close(here)
			<-r.Context().Done()
			close(gone)
		}))
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Fallback: &Fallback{Status: 200}})
		c := p.dial(t)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-here
		if !before {
			if _, err := io.ReadFull(c, make([]byte, 300<<10)); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		select {
		case <-gone:
		case <-time.After(soonEnough):
			t.Fatalf("%s: the upstream is still asked", name)
		}
		tallies, _ := p.written(t, 1)
		if tally := tallies["stable"]; tally.Requests != 1 || tally.Errors[event.Gone] != 1 || tally.Fallbacks != 0 || tally.FirstErrors != 0 {
			t.Errorf("%s: counted: %+v", name, tally)
		}
	}
}

// A client that does not read is cut off, and lets go of its upstream.
func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	up := proxytest.Misbehave(t, proxytest.Huge(10<<30, true))
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Timeout: time.Hour})
	p.options.WriteTimeout = 50 * time.Millisecond
	c := p.dial(t)
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for end := time.Now().Add(soonEnough); up.Requests() == 0 || up.Open() > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the upstream is still sending")
		}
	}
	tallies, _ := p.written(t, 1)
	if tally := tallies["stable"]; tally.Errors[event.Gone] != 1 {
		t.Errorf("counted: %+v", tally)
	}
}

// A large body is passed on as it comes, and may take longer than the service's time if it is its client that takes it.
func TestALargeBodyIsPassedOnAsItComes(t *testing.T) {
	first := make(chan string, 1)
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, b)
		first <- string(b)
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d more, %v, %d", n, err, r.ContentLength)
	}))
	for _, tt := range []struct {
		name, framing string
		length        int
	}{
		{"with its length", "Content-Length: 400000\r\n", 400_000},
		{"in chunks", "Transfer-Encoding: chunked\r\n", -1},
	} {
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Timeout: 200 * time.Millisecond})
		c := p.dial(t)
		piece := strings.Repeat("hello", 200_000/5)
		if tt.length < 0 {
			piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
		}
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+tt.framing+"\r\n"+piece)
		if tt.length < 0 { // as much as is read first
			_, _ = io.WriteString(c, piece)
		}
		if got := <-first; got != "hello" {
			t.Errorf("%s: it begins with %q", tt.name, got)
		}
		time.Sleep(300 * time.Millisecond) // the client's own affair
		end := piece
		want := "399995 more, <nil>, 400000"
		if tt.length < 0 {
			end, want = piece+"0\r\n\r\n", "599995 more, <nil>, -1"
		}
		_, _ = io.WriteString(c, end)
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") || !strings.Contains(string(answer), want) {
			t.Errorf("%s: %q %v", tt.name, answer, err)
		}
		tallies, _ := p.written(t, 1)
		if tally := tallies["stable"]; tally.Latency.Count() != 1 {
			t.Errorf("%s: counted: %+v", tt.name, tally)
		}
	}
}

// A large answer may take longer than the service's time if it is its client that takes it. The variant is not blamed for it.
func TestASlowClientGetsAllOfALargeAnswer(t *testing.T) {
	const size = 16 << 20
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, size))
	}))
	for _, tt := range []struct{ name, url, body string }{
		{"of HTTP/1.1", up.URL(), ""}, {"of h2", "h2c://" + up.Addr(), ""}, {"to a large body", up.URL(), strings.Repeat("x", 400_000)},
	} {
		p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, tt.url))}, Timeout: 500 * time.Millisecond})
		c := p.dial(t)
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(tt.body), tt.body)
		head := make([]byte, 12)
		if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 200" {
			t.Fatalf("%s: %q %v", tt.name, head, err)
		}
		time.Sleep(time.Second) // the client's own affair
		if n, err := io.Copy(io.Discard, c); err != nil || n < size {
			t.Errorf("%s: %d of %d bytes, %v", tt.name, n, size, err)
		}
		tallies, _ := p.written(t, 1)
		tally := tallies["stable"]
		if tally.Latency.Count() != 1 || tally.Errors != [event.NumClasses]uint64{} {
			t.Errorf("%s: counted: %+v", tt.name, tally)
		}
		if took := tally.Latency.Quantile(1); took >= 1e6 {
			t.Errorf("%s: its latency has the client's time: %v", tt.name, took)
		}
	}
}

// An upstream that does not take a large body is late, whatever its client does.
func TestAnUpstreamThatDoesNotTakeALargeBodyIsLate(t *testing.T) {
	up := proxytest.Misbehave(t, proxytest.NeverReads)
	p := newPassing(t, ServiceOptions{
		Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Timeout: 200 * time.Millisecond, Body: 1 << 30, Fallback: &Fallback{Status: 203, Body: []byte("late")},
	})
	ctx, cancel := context.WithTimeout(t.Context(), soonEnough)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server.URL, bytes.NewReader(make([]byte, 64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if a := do(r); a.status != 203 || a.body != "late" || a.header.Get("Serin-Fallback") != "timeout" {
		t.Errorf("%+v %v", a, a.err)
	}
	tallies, _ := p.written(t, 1)
	if tally := tallies["stable"]; tally.Errors[event.Timeout] != 1 || tally.Fallbacks != 1 {
		t.Errorf("counted: %+v", tally)
	}
}

func TestABodyThatIsTooLargeOrBreaksOffIsTheClientsMistake(t *testing.T) {
	up := proxytest.Serve(t, echo)
	long := strings.Repeat("x", 400_000)
	for name, tt := range map[string]struct {
		limit   int64
		request string
		status  string
	}{
		"its length is too large":    {1000, "Content-Length: 1001\r\n\r\n" + long[:1001], "HTTP/1.1 413"},
		"its chunks are too large":   {1000, "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + long[:2000] + "\r\n0\r\n\r\n", "HTTP/1.1 413"},
		"a stream becomes too large": {300_000, "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(long), long), "HTTP/1.1 413"},
		"chunks that are none":       {1 << 20, "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
		"a stream of which a part is none": {1 << 20, "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\nzz\r\n", len(long), long),
			"HTTP/1.1 400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPassing(t, ServiceOptions{
				Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Body: tt.limit, Fallback: &Fallback{Status: 200, Body: []byte("no")},
			})
			answer := p.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+tt.request)
			if !strings.HasPrefix(answer, tt.status) {
				t.Errorf("%.200q", answer)
			}
			tallies, _ := p.written(t, 1)
			if tally := tallies["stable"]; tally.Errors[event.Client] != 1 || tally.Fallbacks != 0 {
				t.Errorf("counted: %+v", tally)
			}
		})
	}
}

func TestAClientThatWaitsForItsCueGetsIt(t *testing.T) {
	up := proxytest.Serve(t, echo)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	for _, n := range []int{5, 400_000} {
		c := p.dial(t)
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", n)
		in := bufio.NewReader(c)
		if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = io.WriteString(c, strings.Repeat("y", n))
		_, _ = in.Discard(2) // the empty line
		w, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(w.Body)
		if err != nil || w.StatusCode != http.StatusOK || !strings.HasSuffix(string(answer), "\r\n"+strings.Repeat("y", n)) || strings.Contains(string(answer), "Expect") {
			t.Errorf("%d %.300q %v", w.StatusCode, answer, err)
		}
	}
}

// An upstream may answer before it has taken a body, and its client may send on meanwhile.
func TestAnEarlyAnswerIsPassedBackWhileTheBodyComes(t *testing.T) {
	up := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Type", "text/event-stream")
		flush(w)
		for b := make([]byte, 64<<10); ; {
			n, err := r.Body.Read(b)
			_, _ = fmt.Fprintf(w, "%s", bytes.ReplaceAll(b[:n], []byte("x"), nil))
			flush(w)
			if err != nil {
				return
			}
		}
	}))
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	c := p.dial(t)
	_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300006\r\n\r\n%s", strings.Repeat("x", 300_000))
	in := bufio.NewReader(c)
	w, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, say := range []string{"on", "an", "ab"} {
		_, _ = io.WriteString(c, say)
		b := make([]byte, 2)
		if _, err := io.ReadFull(w.Body, b); err != nil || string(b) != say {
			t.Fatalf("%q %v", b, err)
		}
	}
	if rest, err := io.ReadAll(w.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
}

// An upstream may refuse a body that is still coming. Its client hears of it, and what it sends on is nobody's request.
func TestAnEarlyRefusalReachesAClientThatIsStillSending(t *testing.T) {
	long := strings.Repeat("no", 400_000)
	for name, does := range map[string]proxytest.Behaviour{
		"short": proxytest.Early,
		"long": func(c *proxytest.Conn) {
			if _, err := c.Head(); err == nil && c.Say("HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\n\r\n%s", len(long), long) == nil {
				<-c.Stopped
			}
		},
	} {
		for _, framing := range []string{"Content-Length: 5000000\r\n", "Transfer-Encoding: chunked\r\n"} {
			t.Run(name+", "+framing, func(t *testing.T) {
				t.Parallel()
				up := proxytest.Misbehave(t, does)
				p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
				c := p.dial(t)
				piece := strings.Repeat("x", 300_000)
				if strings.HasPrefix(framing, "T") {
					piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
				}
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+framing+"\r\n"+piece)
				w, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(w.Body)
				want := map[string]string{"short": "big", "long": long}[name]
				if w.StatusCode != http.StatusRequestEntityTooLarge || err != nil || string(body) != want || !w.Close {
					t.Errorf("%d, %d bytes, %v, close %v", w.StatusCode, len(body), err, w.Close)
				}
				_, _ = io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
				if rest, _ := io.ReadAll(c); len(rest) > 0 {
					t.Errorf("then came %q", rest)
				}
				tallies, _ := p.written(t, 1)
				if tally := tallies["stable"]; tally.Requests != 1 || tally.Errors[event.Client] != 1 {
					t.Errorf("counted: %+v", tally)
				}
			})
		}
	}
}

// A body that an upstream refuses while it comes: all of the refusal is passed on, however long it is.
func TestALongRefusalComesWhole(t *testing.T) {
	const size = 600 << 10
	up := proxytest.Misbehave(t, func(c *proxytest.Conn) {
		if _, err := c.Head(); err == nil {
			_ = c.Say("HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
			c.Hang()
		}
	})
	p := newPassing(t, ServiceOptions{Body: 10 << 20, Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	c := p.dial(t)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbeginning")
	w, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(w.Body); w.StatusCode != http.StatusRequestEntityTooLarge || len(text) != size || err != nil || !w.Close {
		t.Errorf("%d, %d bytes, %v", w.StatusCode, len(text), err)
	}
}
