package frontdoor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// door is a server behind the guard, and what its handler saw.
type door struct {
	address string

	mu   sync.Mutex
	idle bool // the handler leaves bodies alone
	saw  []seen
	more []map[string]any // of each request, what is beside its framing
}

// doors are net/http's server behind the guard, and the server of this package.
func openDoors(t testing.TB) [2]*door {
	t.Helper()
	theirs, ours := &door{}, &door{}
	theirs.address = openTheirs(t, theirs)
	ours.address = openOurs(t, ours, nil).address
	return [2]*door{theirs, ours}
}

// limited is a server of net/http with limits of time.
func limited(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, ConnState: ConnState, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, Protocols: &protocols,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

func openTheirs(t testing.TB, h http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := limited(h)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(Listen(l, s.ReadHeaderTimeout, s.MaxHeaderBytes)) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// opened is a running server of this package.
type opened struct {
	*Server
	address string
	ended   chan error
}

func openOurs(t testing.TB, h http.Handler, change func(*http.Server)) *opened {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	like := limited(h)
	if change != nil {
		change(like)
	}
	o := &opened{NewServer(like), l.Addr().String(), make(chan error, 1)}
	go func() { o.ended <- o.Serve(l) }()
	t.Cleanup(func() {
		o.Close()
		if err := <-o.ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return o
}

// ServeHTTP writes down what it sees.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := seen{Method: r.Method, Target: r.RequestURI}
	if !d.idle {
		b, err := io.ReadAll(r.Body)
		s.Body, s.Broken = string(b), err != nil
	}
	d.saw = append(d.saw, s)
	rest := asText(r)
	if s.Broken { // a trailer may have been read or not
		rest["trailer"] = nil
	}
	d.more = append(d.more, rest)
}

// send writes a stream to a connection of its own, in pieces, and returns what the handler saw and what the server answered, to its end.
func (d *door) send(t rapid.TB, idle bool, pieces ...string) ([]seen, string) {
	t.Helper()
	d.mu.Lock()
	d.saw, d.more, d.idle = nil, nil, idle
	d.mu.Unlock()
	c, err := net.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			break // the server has closed
		}
	}
	_ = c.(*net.TCPConn).CloseWrite()
	answers, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the server neither answers nor closes; so far %q", answers)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saw, string(answers)
}

// agrees holds what a handler saw against the reference: never another request, never another body, and never one more. The server may
// refuse what the reference takes: it knows more rules than framing.
func agrees(t rapid.TB, stream string, idle bool, saw []seen) {
	t.Helper()
	want := reference(stream)
	if len(saw) > len(want) {
		t.Fatalf("%q\nis %d requests, %q;\nthe handler saw %d: %q", stream, len(want), want, len(saw), saw)
	}
	for i, got := range saw {
		w := want[i]
		if idle {
			w.Body, w.Broken = "", false
		}
		if w.Broken && got.Broken { // how much of it was read before that showed says nothing
			got.Body = w.Body
		}
		if got != w {
			t.Fatalf("%q\nrequest %d is %q,\nthe handler saw %q", stream, i, want[i], got)
		}
	}
}

// request draws a well-formed request.
func request(t *rapid.T, i int) (stream string, s seen) {
	s.Method = rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(t, "method")
	s.Target = fmt.Sprintf("/%d", i)
	stream = s.Method + " " + s.Target + " HTTP/1.1\r\nHost: serin\r\n" + rapid.SampledFrom([]string{"", "Accept: */*\r\n", "x-y:\t z \r\n"}).Draw(t, "field")
	body := rapid.StringMatching(`([a-z]{0,9}|GET / HTTP/1[.]1\r\nHost: a\r\n\r\n|0\r\n\r\n)`)
	switch rapid.IntRange(0, 2).Draw(t, "framing") {
	case 0:
		return stream + "\r\n", s
	case 1:
		s.Body = body.Draw(t, "body")
		return stream + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(s.Body), s.Body), s
	}
	stream += "Transfer-Encoding: chunked\r\n\r\n"
	for range rapid.IntRange(0, 3).Draw(t, "chunks") {
		if b := body.Draw(t, "chunk"); b != "" {
			s.Body += b
			stream += fmt.Sprintf("%x%s\r\n%s\r\n", len(b), rapid.SampledFrom([]string{"", ";a=b", ";a"}).Draw(t, "extension"), b)
		}
	}
	return stream + "0\r\n" + rapid.SampledFrom([]string{"", "Sum: 1\r\n"}).Draw(t, "trailer") + "\r\n", s
}

// cut cuts a stream at up to three places.
func cut(t *rapid.T, stream string) (pieces []string) {
	for range rapid.IntRange(0, 3).Draw(t, "cuts") {
		at := rapid.IntRange(0, len(stream)).Draw(t, "cut")
		pieces, stream = append(pieces, stream[:at]), stream[at:]
	}
	return append(pieces, stream)
}

// both sends a stream to both servers, holds what each handler saw against the reference, and one against the other.
func both(t rapid.TB, doors [2]*door, idle bool, pieces ...string) []seen {
	t.Helper()
	stream := strings.Join(pieces, "")
	theirs, theyTold := doors[0].send(t, idle, pieces...)
	ours, weTold := doors[1].send(t, idle, pieces...)
	agrees(t, stream, idle, theirs)
	agrees(t, stream, idle, ours)
	for i := range min(len(theirs), len(ours)) {
		if theirs[i].Broken && ours[i].Broken {
			theirs[i].Body = ours[i].Body
		}
	}
	if diff := cmp.Diff(theirs, ours); diff != "" && !idle {
		t.Fatalf("%q\nis seen otherwise by net/http (-) than by us (+): %s", stream, diff)
	}
	for i := range min(len(doors[0].more), len(doors[1].more)) { // handlers have ended: what they say is here
		if diff := cmp.Diff(doors[0].more[i], doors[1].more[i]); diff != "" {
			t.Fatalf("%q\nrequest %d is seen otherwise by net/http (-) than by us (+): %s", stream, i, diff)
		}
	}
	if diff := cmp.Diff(told(theyTold), told(weTold)); diff != "" && !idle {
		t.Fatalf("%q\nis answered otherwise by net/http (-) than by us (+): %s\n%q\n%q", stream, diff, theyTold, weTold)
	}
	return ours
}

// told are the statuses of a stream of answers. How the last is refused is left out: of several things
// that are wrong with it each server tells the one that it looks at first, and of a client that breaks off net/http says so only sometimes.
func told(answers string) (list []int) {
	in := bufio.NewReader(strings.NewReader(answers))
	for {
		w, err := http.ReadResponse(in, nil)
		if err != nil {
			if n := len(list) - 1; n >= 0 && list[n] != http.StatusOK {
				list = list[:n]
			}
			return list
		}
		_, _ = io.Copy(io.Discard, w.Body)
		list = append(list, w.StatusCode)
	}
}

func TestWellFormedRequestsAreSeenAsTheyAre(t *testing.T) {
	d := openDoors(t)
	rapid.Check(t, func(t *rapid.T) {
		stream, want := "", []seen(nil)
		for i := range rapid.IntRange(1, 3).Draw(t, "requests") {
			text, s := request(t, i)
			stream, want = stream+text, append(want, s)
		}
		if diff := cmp.Diff(want, reference(stream)); diff != "" {
			t.Fatalf("the reference reads %q otherwise: %s", stream, diff)
		}
		saw := both(t, d, false, cut(t, stream)...)
		if diff := cmp.Diff(want, saw); diff != "" {
			t.Errorf("%q: %s", stream, diff)
		}
	})
}

// scraps are what smuggling is made of.
var scraps = []string{
	"\r\n", "\n", "\r", " ", "\t", ":", ";", ",", "\x00", "\x0b", "0", "5", "a", "+", "-", "\r\n\r\n", "\n\n", "0\r\n\r\n", "1\r\nZ\r\n",
	"Content-Length: 0\r\n", "Content-Length: 5\r\n", "Content-Length : 5\r\n", "content-length: 3\n", "Transfer-Encoding: chunked\r\n",
	"Transfer-Encoding: xchunked\r\n", "Transfer-Encoding:\x0bchunked\r\n", "Transfer-Encoding: identity, chunked\r\n", "Transfer_Encoding: chunked\r\n",
	" Transfer-Encoding: chunked\r\n", "Foo: bar\r\n Transfer-Encoding: chunked\r\n", "Host: b\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n",
	"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Upgrade: h2c\r\n", "ffffffffffffffff", "00000005", "0x5", ";\n",
}

func TestMutatedFramingIsNeverReadAsMoreOrOtherRequests(t *testing.T) {
	d := openDoors(t)
	refused, whole := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		stream := ""
		for i := range rapid.IntRange(1, 3).Draw(t, "requests") {
			text, _ := request(t, i)
			stream += text
		}
		for range rapid.IntRange(1, 3).Draw(t, "mutations") {
			from := rapid.IntRange(0, len(stream)).Draw(t, "from")
			to := min(len(stream), from+rapid.SampledFrom([]int{0, 0, 1, 2, 5, 19}).Draw(t, "removed"))
			stream = stream[:from] + rapid.SampledFrom(append(scraps, "")).Draw(t, "scrap") + stream[to:]
		}
		idle := rapid.Bool().Draw(t, "idle")
		saw := both(t, d, idle, cut(t, stream)...)
		if len(saw) == len(reference(stream)) {
			whole++
		} else {
			refused++
		}
	})
	if whole == 0 {
		t.Errorf("of %d streams none was read as the reference does: the test compares nothing", refused)
	}
}

func FuzzFraming(f *testing.F) {
	d := openDoors(f)
	f.Fuzz(func(t *testing.T, stream string, at uint16) {
		k := min(int(at), len(stream))
		both(t, d, at%2 == 1, stream[:k], stream[k:])
	})
}

// However a stream is cut, it is refused or not, and of what is refused no line passes whole.
func TestCutsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream, _ := request(t, 0)
		from := rapid.IntRange(0, len(stream)).Draw(t, "from")
		stream = stream[:from] + rapid.SampledFrom(append(scraps, "")).Draw(t, "scrap") + stream[from:]
		var once, cuts guard
		passed, total := once.scan([]byte(stream)), 0
		for _, p := range cut(t, stream) {
			n := cuts.scan([]byte(p))
			total += n
			if n < len(p) {
				break
			}
		}
		if (passed < len(stream)) != (total < len(stream)) || strings.Contains(stream[passed:max(passed, total)], "\n") {
			t.Errorf("%q: whole, %d bytes pass; cut, %d", stream, passed, total)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	head := []byte("POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: python-httpx/0.28\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n" +
		"X-User-Id: user-1234\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + strings.Repeat("7", 500))
	var g guard
	b.ReportAllocs()
	for b.Loop() {
		if g.scan(head) != len(head) {
			b.Fatal("refused")
		}
	}
}

func TestATakenConnectionIsLeftAlone(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		line, err := rw.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(c, line)
	})
	for what, address := range map[string]string{"net/http": openTheirs(t, handler), "ours": openOurs(t, handler, nil).address} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		r := bufio.NewReader(c)
		for line := ""; line != "\r\n"; {
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprint(c, "\x00 not: HTTP\n")
		if line, err := r.ReadString('\n'); line != "\x00 not: HTTP\n" {
			t.Errorf("%s: %q, %v", what, line, err)
		}
	}
}
