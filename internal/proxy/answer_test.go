package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pieces is a connection on which an answer comes in pieces of given sizes, and then the end.
type pieces struct {
	net.Conn
	answer []byte
	size   func() int
	closed bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(1, p.size()))], p.answer)
	p.answer = p.answer[n:]
	return n, nil
}
func (p *pieces) Write(b []byte) (int, error)      { return len(b), nil }
func (p *pieces) Close() error                     { p.closed = true; return nil }
func (p *pieces) SetReadDeadline(time.Time) error  { return nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }

// silent is a socket on which nothing has come, so that a look finds what was found before.
type silent struct{ syscall.RawConn }

func (silent) Read(func(uintptr) bool) error { return nil }

// told is an answer as someone understood it.
type told struct {
	Status int
	Header http.Header
	Length int64
	Body   string
}

// exchanged has a transport ask an instance that answers so, and returns what the answer was understood as, and whether the connection was
// kept.
func exchanged(method string, answer []byte, hold int, size func() int) (told, bool, error) {
	t := newTransport(transportOptions{})
	wire := &pieces{answer: answer, size: size}
	t.pool.count = 1
	t.pool.idle = []*conn{{Conn: wire, below: wire, raw: silent{}, peeked: syscall.EAGAIN}}
	t.pool.now = func() time.Duration { return 0 }
	var a Answer
	if err := t.exchange(context.Background(), &Request{Method: method, Target: "/", Host: "h", Hold: hold}, &a); err != nil {
		return told{}, false, err
	}
	defer t.close()
	got := told{Status: a.Status, Header: a.Header.Clone(), Length: a.Length, Body: string(a.Body)}
	if a.Rest != nil {
		rest, err := io.ReadAll(a.Rest)
		if err != nil {
			return told{}, false, err
		}
		got.Body += string(rest)
	}
	a.Close()
	_, idle := t.stats()
	return got, idle == 1 && !wire.closed, nil
}

// atOnce has an answer come in one piece.
func atOnce() int { return 1 << 20 }

const ok = "HTTP/1.1 200 OK\r\n"

func TestMalformedAnswersAreRefused(t *testing.T) {
	long := strings.Repeat("x", 70<<10)
	for name, answer := range map[string]string{
		"nothing":                        "",
		"another protocol":               "SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/0.9":                       "<html>hello</html>",
		"HTTP/2 in words":                "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.2":                       "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
		"small letters":                  "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"two blanks":                     "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
		"an empty line first":            "\r\n" + ok + "Content-Length: 0\r\n\r\n",
		"status of two digits":           "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
		"status of four digits":          "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"status 099":                     "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
		"status 600":                     "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
		"status -20":                     "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
		"zero byte in the reason":        "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
		"bare line feeds":                "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"one bare line feed":             ok + "A: b\nContent-Length: 0\r\n\r\n",
		"bare carriage return":           ok + "A: b\rContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
		"folded value":                   ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"folded by a tab":                ok + "A: b\r\n\tc\r\nContent-Length: 0\r\n\r\n",
		"blank before the colon":         ok + "Content-Length : 0\r\n\r\n",
		"no colon":                       ok + "Content-Length\r\n\r\n",
		"no name":                        ok + ": 0\r\nContent-Length: 0\r\n\r\n",
		"blank in a name":                ok + "A b: 0\r\nContent-Length: 0\r\n\r\n",
		"zero byte in a value":           ok + "A: b\x00c\r\nContent-Length: 0\r\n\r\n",
		"byte of a name beyond ASCII":    ok + "\xc3\xa4: b\r\nContent-Length: 0\r\n\r\n",
		"length and chunks":              ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks and length":              ok + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
		"two lengths":                    ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"a list of lengths":              ok + "Content-Length: 3, 3\r\n\r\nabc",
		"negative length":                ok + "Content-Length: -1\r\n\r\n",
		"length with a sign":             ok + "Content-Length: +3\r\n\r\nabc",
		"length in hexadecimal":          ok + "Content-Length: 0x3\r\n\r\nabc",
		"length beyond all":              ok + "Content-Length: 9223372036854775808\r\n\r\nabc",
		"no length in the field":         ok + "Content-Length: \r\n\r\nabc",
		"chunks twice":                   ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked, chunked":               ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"gzip, chunked":                  ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"identity":                       ok + "Transfer-Encoding: identity\r\n\r\nabc",
		"chunks in HTTP/1.0":             "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunk size with a sign":         ok + "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
		"chunk size in 0x":               ok + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
		"chunk size with a blank":        ok + "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
		"chunk size missing":             ok + "Transfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\n",
		"chunk size beyond all":          ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na\r\n0\r\n\r\n",
		"chunk extension without end":    ok + "Transfer-Encoding: chunked\r\n\r\n1;" + long,
		"chunk extension, line feed":     ok + "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
		"empty chunk extension":          ok + "Transfer-Encoding: chunked\r\n\r\n1;\r\na\r\n0\r\n\r\n",
		"chunk size, bare line feed":     ok + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
		"chunk longer than it says":      ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"chunk ends in a bare line feed": ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n",
		"chunks that do not end":         ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
		"chunk that does not end":        ok + "Transfer-Encoding: chunked\r\n\r\n5\r\na",
		"last chunk without an end":      ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
		"folded trailer":                 ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
		"trailer without a name":         ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nab\r\n\r\n",
		"trailer without end":            ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + long,
		"trailer of many lines":          ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n",
		"length longer than the body":    ok + "Content-Length: 5\r\n\r\nabc",
		"head that does not end":         ok + "Content-Length: 5\r\n",
		"head too large":                 ok + "A: " + long + "\r\nContent-Length: 0\r\n\r\n",
		"head of many lines":             ok + strings.Repeat("A: b\r\n", 1000) + "Content-Length: 0\r\n\r\n",
		"1xx without end":                strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", 100) + ok + "Content-Length: 0\r\n\r\n",
		"1xx alone":                      "HTTP/1.1 100 Continue\r\n\r\n",
		"a change nobody asked for":      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		for how, size := range map[string]func() int{"at once": atOnce, "byte by byte": func() int { return 1 }} {
			for _, hold := range []int{0, 1 << 20} {
				got, _, err := exchanged("GET", []byte(answer), hold, size)
				var f *Failure
				if !errors.As(err, &f) || f.Why != Broken || !f.Sent {
					t.Errorf("%s, %s, hold %d: %+v, %v", name, how, hold, got, err)
				}
			}
		}
	}
}

func TestAnswersAreReadAsTheyAreMeant(t *testing.T) {
	none := http.Header{}
	for name, test := range map[string]struct {
		method, answer string
		want           told
		kept           bool
	}{
		"length":            {"GET", ok + "Content-Length: 3\r\n\r\nabc", told{200, none, 3, "abc"}, true},
		"no reason":         {"GET", "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", told{200, none, 3, "abc"}, true},
		"empty reason":      {"GET", "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc", told{200, none, 3, "abc"}, true},
		"length said twice": {"GET", ok + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", told{200, none, 3, "abc"}, true},
		"nothing":           {"GET", ok + "Content-Length: 0\r\n\r\n", told{200, none, 0, ""}, true},
		"blanks":            {"GET", ok + "content-length:\t 3 \t\r\n\r\nabc", told{200, none, 3, "abc"}, true},
		"empty value":       {"GET", ok + "A:\r\nContent-Length: 0\r\n\r\n", told{200, http.Header{"A": {""}}, 0, ""}, true},
		"several values":    {"GET", ok + "set-cookie: a\r\nB: c\r\nSet-Cookie: d\r\nContent-Length: 0\r\n\r\n", told{200, http.Header{"Set-Cookie": {"a", "d"}, "B": {"c"}}, 0, ""}, true},
		"chunks":            {"GET", ok + "transfer-encoding: Chunked\r\n\r\n2\r\nab\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nX: y\r\n\r\n", told{200, none, 12, "ab0123456789"}, true},
		"until the end":     {"GET", ok + "\r\nabc", told{200, none, 3, "abc"}, false},
		"HTTP/1.0":          {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", told{200, none, 3, "abc"}, false},
		"HTTP/1.0 that stays": {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
			told{200, none, 3, "abc"}, true},
		"the end announced": {"GET", ok + "Connection: close\r\nContent-Length: 3\r\n\r\nabc", told{200, none, 3, "abc"}, false},
		"the end among others": {"GET", ok + "Connection: keep-alive, X-A , CLOSE\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc",
			told{200, none, 3, "abc"}, false},
		"fields of the connection": {"GET", ok + "Connection: X-Own\r\nX-Own: b\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTe: x\r\n" +
			"Trailer: y\r\nUpgrade: h2c\r\nX-Other: c\r\nContent-Length: 0\r\n\r\n", told{200, http.Header{"X-Other": {"c"}}, 0, ""}, true},
		"more behind the body":      {"GET", ok + "Content-Length: 3\r\n\r\nabcd", told{200, none, 3, "abc"}, false},
		"an answer behind the body": {"GET", ok + "Content-Length: 3\r\n\r\nabc" + ok + "Content-Length: 0\r\n\r\n", told{200, none, 3, "abc"}, false},
		"more behind chunks":        {"GET", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nd", told{200, none, 0, ""}, false},
		"HEAD":                      {"HEAD", ok + "Content-Length: 3\r\n\r\n", told{200, none, 3, ""}, true},
		"HEAD, chunks":              {"HEAD", ok + "Transfer-Encoding: chunked\r\n\r\n", told{200, none, -1, ""}, true},
		"HEAD, no length":           {"HEAD", ok + "\r\n", told{200, none, -1, ""}, true},
		"HEAD with a body":          {"HEAD", ok + "Content-Length: 3\r\n\r\nabc", told{200, none, 3, ""}, false},
		"204":                       {"GET", "HTTP/1.1 204 No Content\r\n\r\n", told{204, none, 0, ""}, true},
		"204 with a length":         {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", told{204, none, 0, ""}, false},
		"304":                       {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", told{304, none, 3, ""}, true},
		"1xx before":                {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 1\r\n\r\na", told{200, none, 1, "a"}, true},
		"an answer with 500":        {"GET", "HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\na", told{500, none, 1, "a"}, true},
		"bytes beyond ASCII":        {"GET", ok + "A: \xe4\r\nContent-Length: 0\r\n\r\n", told{200, http.Header{"A": {"\xe4"}}, 0, ""}, true},
	} {
		for how, size := range map[string]func() int{"at once": atOnce, "byte by byte": func() int { return 1 }} {
			got, kept, err := exchanged(test.method, []byte(test.answer), 1<<20, size)
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("%s, %s: %s", name, how, d)
			}
			if kept != test.kept && how == "at once" { // what is behind a body and comes later is found when the connection is used again
				t.Errorf("%s: kept %v", name, kept)
			}
		}
	}
}

// byOracle reads an answer as net/http does.
func byOracle(method string, answer []byte) (told, error) {
	in := bufio.NewReader(bytes.NewReader(answer))
	for range maxInformational + 1 {
		r, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return told{}, err
		}
		if r.StatusCode < 200 && r.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(r.Body)
		for _, named := range r.Header["Connection"] {
			for _, name := range strings.Split(named, ",") {
				r.Header.Del(strings.TrimSpace(name))
			}
		}
		for name := range r.Header {
			if isHop(name) {
				delete(r.Header, name)
			}
		}
		return told{Status: r.StatusCode, Header: r.Header, Body: string(body)}, err
	}
	return told{}, errors.New("too many")
}

// agree says what is wrong where an answer that we take is read in another way by net/http.
func agree(method string, answer []byte, hold int, size func() int) (taken bool, wrong string) {
	got, _, err := exchanged(method, answer, hold, size)
	if err != nil {
		return false, ""
	}
	want, err := byOracle(method, answer)
	if err != nil {
		return true, fmt.Sprintf("net/http refuses it: %v; we read %+v", err, got)
	}
	if got.Header["Host"] != nil || got.Header["Expect"] != nil || got.Header["Proxy"] != nil {
		for _, name := range []string{"Host", "Expect", "Proxy", "Http2-Settings"} { // of requests alone
			delete(got.Header, name)
		}
	}
	got.Length = 0
	return true, cmp.Diff(want, got)
}

func TestAnswersInPiecesAreReadAsNetHTTPReadsThem(t *testing.T) {
	name := rapid.StringMatching(`[A-Za-z][A-Za-z0-9-]{0,12}`)
	value := rapid.StringMatching(`[!-~]([ -~\t]{0,20}[!-~])?|`)
	blank := rapid.SampledFrom([]string{"", " ", "\t", "  "})
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST"}).Draw(t, "method")
		status := rapid.SampledFrom([]int{200, 201, 204, 304, 404, 500, 599}).Draw(t, "status")
		body := []byte(strings.Repeat("0123456789\r\n", 20000))[:rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 200000)).Draw(t, "bytes")]
		var b bytes.Buffer
		if rapid.Bool().Draw(t, "1xx") {
			b.WriteString("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
		}
		fmt.Fprintf(&b, "HTTP/1.1 %d Reason\r\n", status)
		for range rapid.IntRange(0, 12).Draw(t, "fields") {
			n := name.Draw(t, "name")
			if h := http.CanonicalHeaderKey(n); isHop(n) || h == "Content-Type" || h == "X-Accel-Buffering" {
				continue
			}
			b.WriteString(n + ":" + blank.Draw(t, "blank") + value.Draw(t, "value") + blank.Draw(t, "blank") + "\r\n")
		}
		bodiless := method == "HEAD" || status == 204 || status == 304
		switch framing := rapid.SampledFrom([]string{"length", "chunks", "end"}).Draw(t, "framing"); {
		case status == 204, framing == "end":
			b.WriteString("\r\n")
			if !bodiless {
				b.Write(body)
			}
		case framing == "length":
			fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
			if !bodiless {
				b.Write(body)
			}
		case framing == "chunks":
			b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
			for left := body; !bodiless; {
				n := min(len(left), rapid.IntRange(1, 20000).Draw(t, "chunk"))
				fmt.Fprintf(&b, "%x%s\r\n", n, rapid.SampledFrom([]string{"", "", ";a", ";a=\"b\""}).Draw(t, "extension"))
				b.Write(left[:n])
				b.WriteString("\r\n")
				left = left[n:]
				if n == 0 {
					break
				}
			}
		}
		size := func() int { return rapid.SampledFrom([]int{1, 2, 7, 100, 5000, 1 << 20}).Draw(t, "size") }
		if len(body) > 1000 {
			size = func() int { return rapid.SampledFrom([]int{100, 5000, 9000, 1 << 20}).Draw(t, "size") }
		}
		taken, wrong := agree(method, b.Bytes(), rapid.SampledFrom([]int{0, 5, 1000, 1 << 20}).Draw(t, "hold"), size)
		if !taken {
			t.Fatalf("refused: %q", b.Bytes())
		}
		if wrong != "" {
			t.Fatalf("%q: %s", b.Bytes(), wrong)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		ok + "Content-Length: 3\r\n\r\nabc",
		ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\nconnection: Keep-Alive, x\r\nX: y\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nabc",
		"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Type: text/event-stream\r\n\r\ndata: x\n\n",
	} {
		f.Add([]byte(seed), false, 3, 10)
	}
	f.Fuzz(func(t *testing.T, answer []byte, head bool, piece, hold int) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		if _, wrong := agree(method, answer, min(hold, 1<<20), func() int { return piece }); wrong != "" {
			t.Errorf("%q: %s", answer, wrong)
		}
	})
}

func TestEveryByteOfAValueIsLookedAt(t *testing.T) {
	for n := range 40 {
		for at := range n {
			for c := range 256 {
				b := bytes.Repeat([]byte{'a'}, n)
				b[at] = byte(c)
				if want := c >= ' ' && c != 0x7f || c == '\t'; clean(b) != want {
					t.Fatalf("%q: %v", b, !want)
				}
			}
		}
	}
}

func TestNamesBecomeCanonicalAsNetHTTPHasThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,50}"), rapid.Custom(func(t *rapid.T) string {
			var names []string
			for n := range common {
				names = append(names, n)
			}
			return rapid.SampledFrom(names).Draw(t, "common")
		})).Draw(t, "name")
		colon, canonical := nameOf([]byte(name + ": x"))
		if want := http.CanonicalHeaderKey(name); colon != len(name) || canonical != (name == want) || canonicalName([]byte(name), name) != want {
			t.Fatalf("%q: %d, %v, %q; want %q", name, colon, canonical, canonicalName([]byte(name), name), want)
		}
	})
}
