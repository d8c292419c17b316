package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// written returns the head of a request as it is sent, its lines sorted behind the first.
func written(t *testing.T, r *Request) []string {
	t.Helper()
	b, err := appendHead(nil, r, "instance:80")
	if err != nil {
		t.Fatal(err)
	}
	text, found := strings.CutSuffix(string(b), "\r\n\r\n")
	if !found {
		t.Fatalf("%q", b)
	}
	lines := strings.Split(text, "\r\n")
	slices.Sort(lines[1:])
	if _, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b))); err != nil {
		t.Errorf("%q: %v", b, err)
	}
	return lines
}

func TestRequestsAreWrittenWithoutWhatIsForOneConnection(t *testing.T) {
	for name, test := range map[string]struct {
		r    Request
		want []string
	}{
		"a plain one": {Request{Method: "GET", Target: "/a?b", Host: "h:1", Header: http.Header{"A": {"b", "c"}}},
			[]string{"GET /a?b HTTP/1.1", "A: b", "A: c", "Host: h:1"}},
		"the instance's host": {Request{Method: "GET", Target: "/"}, []string{"GET / HTTP/1.1", "Host: instance:80"}},
		"of all":              {Request{Method: "OPTIONS", Target: "*", Host: "h"}, []string{"OPTIONS * HTTP/1.1", "Host: h"}},
		"no body where one is expected": {Request{Method: "POST", Target: "/", Host: "h"},
			[]string{"POST / HTTP/1.1", "Content-Length: 0", "Host: h"}},
		"a body": {Request{Method: "DELETE", Target: "/", Host: "h", Body: []byte("abc")},
			[]string{"DELETE / HTTP/1.1", "Content-Length: 3", "Host: h"}},
		"a stream": {Request{Method: "POST", Target: "/", Host: "h", Stream: strings.NewReader("abc"), Length: 3, Body: []byte("not this")},
			[]string{"POST / HTTP/1.1", "Content-Length: 3", "Host: h"}},
		"a stream of any length": {Request{Method: "GET", Target: "/", Host: "h", Stream: strings.NewReader("abc"), Length: -1},
			[]string{"GET / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"}},
		"fields of the connection": {Request{Method: "GET", Target: "/", Host: "h", Header: http.Header{"Connection": {"close, x-own", "X-Other"},
			"X-Own": {"1"}, "X-Other": {"2"}, "Keep-Alive": {"5"}, "Proxy-Connection": {"x"}, "Proxy-Authorization": {"x"}, "Proxy-Authenticate": {"x"}, "Proxy-Features": {"x"}, "Proxyless": {"4"},
			"Proxy": {"http://evil"}, "Te": {"gzip"}, "Trailer": {"X"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"x"}, "Expect": {"100-continue"},
			"Content-Length": {"7"}, "Host": {"evil"}, "Http2-Settings": {"x"}, "X-Kept": {"3"}, "content-length": {"8"}, "Content_length": {"8"}, "Transfer_encoding": {"chunked"}, "TRANSFER-ENCODING": {"x"}}},
			[]string{"GET / HTTP/1.1", "Host: h", "Proxyless: 4", "X-Kept: 3"}},
		"fields of ours": {Request{Method: "GET", Target: "/", Host: "h", Header: http.Header{"X-A": {"evil"}, "X_a": {"evil"}, "x-A": {"evil"}, "X-B": {"evil"}, "X-C": {"c"},
			"Connection": {"X-A, X-D"}},
			Set: []Field{{"X-A", "a"}, {"X-A", "b"}, {"X-B", ""}, {"X-D", "d"}, {"Content-Length", "5"}, {"Connection", "x"}}},
			[]string{"GET / HTTP/1.1", "Host: h", "X-A: a", "X-A: b", "X-C: c", "X-D: d"}},
		"another protocol": {Request{Method: "GET", Target: "/", Host: "h", Header: http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}},
			[]string{"GET / HTTP/1.1", "Connection: Upgrade", "Host: h", "Upgrade: websocket"}},
		"another protocol unconnected": {Request{Method: "GET", Target: "/", Host: "h", Header: http.Header{"Upgrade": {"websocket"}}},
			[]string{"GET / HTTP/1.1", "Host: h"}},
		"another protocol with a line break": {Request{Method: "GET", Target: "/", Host: "h", Header: http.Header{"Connection": {"upgrade"}, "Upgrade": {"a/b\r\nX: y"}}},
			[]string{"GET / HTTP/1.1", "Host: h"}},
		"h2c": {Request{Method: "GET", Target: "/", Host: "h", Header: http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"websocket, H2C"}}},
			[]string{"GET / HTTP/1.1", "Host: h"}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, written(t, &test.r)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWhatCannotStandInARequestIsNotSent(t *testing.T) {
	var asked atomic.Int64
	plain := to(t, standIn(t, func(c *peer, _ int) { asked.Add(1); c.gone() }), transportOptions{})
	for name, r := range map[string]*Request{
		"no method":                   {Target: "/"},
		"a blank in the method":       {Method: "GET /", Target: "/"},
		"a tunnel":                    {Method: "CONNECT", Target: "/"},
		"no target":                   {Method: "GET"},
		"a target of another form":    {Method: "GET", Target: "http://other/"},
		"a blank in the target":       {Method: "GET", Target: "/a b"},
		"a line break in the target":  {Method: "GET", Target: "/a\r\nX: y"},
		"a line break in the host":    {Method: "GET", Target: "/", Host: "h\r\nX: y"},
		"a line break in a value":     {Method: "GET", Target: "/", Header: http.Header{"A": {"b\r\nX: y"}}},
		"a line feed in a value":      {Method: "GET", Target: "/", Header: http.Header{"A": {"b\nX: y"}}},
		"a return in a value":         {Method: "GET", Target: "/", Header: http.Header{"A": {"b\rX: y"}}},
		"a zero byte in a value":      {Method: "GET", Target: "/", Header: http.Header{"A": {"b\x00"}}},
		"a line break in a value set": {Method: "GET", Target: "/", Set: []Field{{"A", "b\r\nX: y"}}},
		"a name that is none":         {Method: "GET", Target: "/", Header: http.Header{"A: b\r\nX": {"y"}}},
		"a name of nothing":           {Method: "GET", Target: "/", Header: http.Header{"": {"y"}}},
		"a thousand fields named":     {Method: "GET", Target: "/", Header: http.Header{"Connection": {strings.Repeat("a, ", 1000)}}},
		"a name set that is none":     {Method: "GET", Target: "/", Set: []Field{{"A b", "y"}}},
	} {
		for _, tr := range []*transport{plain, newTransport(transportOptions{Scheme: "h2c", Address: plain.o.Address})} {
			r.Deadline = soon()
			if f := failure(t, context.Background(), tr, r); f.Why != Gone || f.Sent {
				t.Errorf("%s: %v, sent %v", name, f, f.Sent)
			}
		}
	}
	if asked.Load() > 0 {
		t.Errorf("%d connections were made", asked.Load())
	}
}

// readings is a Reader that returns what a test says, one after the other, and is closed by name.
type readings struct {
	next   chan string
	err    error
	closed chan struct{}
}

func (r *readings) Read(p []byte) (int, error) {
	select {
	case s, more := <-r.next:
		if !more {
			return 0, r.err
		}
		return copy(p, s), nil
	case <-r.closed:
		return 0, io.ErrClosedPipe
	}
}

func (r *readings) Close() error { close(r.closed); return nil }

func newReadings(err error) *readings {
	return &readings{next: make(chan string), err: err, closed: make(chan struct{})}
}

func TestBodiesArriveAsTheyAre(t *testing.T) {
	type body struct {
		bytes  []byte
		length int64
	}
	seen := make(chan body, 1)
	tr := transportTo(t, transportOptions{}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- body{b, r.ContentLength}
	})
	for _, size := range []int{0, 1, 7 << 10, 8 << 10, 20_000, smallest + 1, 5 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for how, r := range map[string]*Request{
			"whole":  {Body: body},
			"length": {Stream: bytes.NewReader(body), Length: int64(size)},
			"longer": {Stream: io.MultiReader(bytes.NewReader(body), strings.NewReader("and more")), Length: int64(size)},
			"chunks": {Stream: bytes.NewReader(body), Length: -1},
		} {
			r.Method, r.Target, r.Host, r.Deadline, r.Hold = "POST", "/", "h", soon(), 10
			mustAnswer(t, tr, r)
			want := int64(size)
			if how == "chunks" {
				want = -1
			}
			if got := <-seen; !bytes.Equal(got.bytes, body) || got.length != want {
				t.Errorf("%s, %d bytes: %d bytes, length %d", how, size, len(got.bytes), got.length)
			}
		}
	}
	if open, idle := tr.stats(); open != 1 || idle != 1 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}

func TestAnAnswerBeforeTheBodyIsSentEndsTheSending(t *testing.T) {
	for name, over := range map[string]string{"refused": "HTTP/1.1 413 Too Large\r\n", "answered": ok} {
		tr := to(t, standIn(t, func(c *peer, _ int) {
			c.head()
			c.say(over + "Content-Length: 2\r\n\r\nno")
			<-c.ended
		}), transportOptions{})
		stuck := newReadings(nil)
		for how, r := range map[string]*Request{
			"whole":         {Body: bytes.Repeat([]byte("x"), 32<<20)},
			"a stream":      {Stream: io.LimitReader(zeros{}, 32<<20), Length: 32 << 20},
			"without end":   {Stream: zeros{}, Length: -1},
			"stuck":         {Stream: stuck, Length: -1},
			"stuck, length": {Stream: newReadings(nil), Length: 5},
		} {
			r.Method, r.Target, r.Host, r.Deadline, r.Hold = "POST", "/", "h", soon(), 10
			status, body := mustAnswer(t, tr, r)
			if body != "no" || status != 200 && status != 413 {
				t.Errorf("%s, %s: %d %q", name, how, status, body)
			}
			if open, _ := tr.stats(); open != 0 {
				t.Errorf("%s, %s: %d connections are left", name, how, open)
			}
		}
	}
}

func TestARefusalEndsTheSendingBeforeItIsOver(t *testing.T) {
	tr := to(t, standIn(t, func(c *peer, _ int) {
		c.head()
		c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 10\r\n\r\nno")
		c.gone()
	}), transportOptions{})
	stuck := newReadings(nil)
	r := get()
	r.Method, r.Stream, r.Length, r.Hold = "POST", stuck, -1, 2
	var a Answer
	if err := tr.exchange(context.Background(), r, &a); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	select {
	case <-stuck.closed:
	default:
		t.Error("the body is still read")
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABodyThatBreaksIsTheAskersFailure(t *testing.T) {
	broken := errors.New("the client hung up")
	tr := to(t, standIn(t, func(c *peer, _ int) { c.request(); <-c.ended }), transportOptions{})
	for how, r := range map[string]*Request{
		"with an error": {Stream: io.MultiReader(strings.NewReader("abc"), breaks{broken}), Length: -1},
		"of a length":   {Stream: io.MultiReader(strings.NewReader("abc"), breaks{broken}), Length: 5},
		"too short":     {Stream: strings.NewReader("abc"), Length: 5},
	} {
		r.Method, r.Target, r.Host = "POST", "/", "h" // no deadline: nothing else ends it
		if f := failure(t, context.Background(), tr, r); f.Why != Gone || !f.Sent || how != "too short" && !errors.Is(f, broken) {
			t.Errorf("%s: %v", how, f)
		}
	}
}

type breaks struct{ err error }

func (f breaks) Read([]byte) (int, error) { return 0, f.err }

func TestBothDirectionsFlowAtOnce(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			tr := overBoth(t, scheme, func(w http.ResponseWriter, r *http.Request) {
				control := http.NewResponseController(w)
				if scheme == "http" {
					control.EnableFullDuplex()
				}
				w.Header().Set("Content-Type", "text/event-stream")
				control.Flush()
				in := bufio.NewReader(r.Body)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					fmt.Fprintf(w, "echo %s", line)
					control.Flush()
				}
			})
			asking := newReadings(io.EOF)
			r := get()
			r.Method, r.Stream, r.Length, r.Deadline = "POST", asking, -1, in(shortly)
			var a Answer
			if err := tr.exchange(context.Background(), r, &a); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(io.MultiReader(bytes.NewReader(a.Body), a.Rest))
			<-time.After(time.Until(r.Deadline) + time.Millisecond)
			for n := range 10 {
				asking.next <- fmt.Sprintf("%d\n", n)
				if line, err := answers.ReadString('\n'); err != nil || line != fmt.Sprintf("echo %d\n", n) {
					t.Fatalf("%q, %v", line, err)
				}
			}
			close(asking.next)
			if more, err := io.ReadAll(answers); len(more) > 0 || err != nil {
				t.Errorf("%q, %v", more, err)
			}
			a.Close()
		})
	}
}

// What follows of a refusal is read to its end, although the body that it refuses was given up.
func TestTheRestOfARefusalComesWhole(t *testing.T) {
	begun := make(chan struct{})
	tr := to(t, standIn(t, func(c *peer, _ int) {
		c.head()
		c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 10\r\n\r\nno")
		<-begun
		c.say(" thanks!")
		c.gone()
	}), transportOptions{})
	r := get()
	stuck := newReadings(errors.New("closed"))
	r.Method, r.Stream, r.Length, r.Hold = "POST", stuck, -1, 2
	var a Answer
	if err := tr.exchange(context.Background(), r, &a); err != nil {
		t.Fatal(err)
	}
	close(begun)
	if body := whole(t, &a); body != "no thanks!" {
		t.Errorf("%q", body)
	}
}
