package app

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// poison is what a hostile upstream wants some other client to read.
const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: yes\r\n\r\nPOISON"

// hostile answers a request for /poison with text as it is, and every other one as it should. It keeps its connections. After is called
// behind the answer to /poison, with the connection.
func hostile(t *testing.T, text string, after ...func(*proxytest.Conn)) *proxytest.Server {
	return proxytest.Misbehave(t, func(c *proxytest.Conn) {
		for {
			r, err := c.Head()
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			if r.URL.Path != "/poison" {
				body := r.Method + " " + r.RequestURI
				err = c.Say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			} else if err = c.Say("%s", text); len(after) > 0 {
				after[0](c)
			}
			if err != nil {
				return
			}
		}
	})
}

// hostileAnswer is an answer to /poison, and what becomes of it.
type hostileAnswer struct {
	name, answer string
	status       int
	body         string // of 200
}

// hostileAnswers are answers that are well formed, and answers that are not.
func hostileAnswers() []hostileAnswer {
	ok := func(headers, body string) string { return "HTTP/1.1 200 OK\r\n" + headers + "\r\n" + body }
	const chunks, end = "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"
	many := strings.Repeat
	return []hostileAnswer{
		{"one answer", ok("Content-Length: 2\r\n", "ok"), 200, "ok"},
		{"another answer behind it", ok("Content-Length: 2\r\n", "ok"+poison), 200, "ok"},
		{"another answer behind chunks", ok(chunks, "2\r\nok\r\n"+end+poison), 200, "ok"},
		{"another answer behind 204", "HTTP/1.1 204 No Content\r\n\r\n" + poison, 204, ""},
		{"another answer behind 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 300\r\n\r\n" + poison, 304, ""},
		{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nPOISON", 204, ""},
		{"204 with chunks", "HTTP/1.1 204 No Content\r\n" + chunks + "\r\n6\r\nPOISON\r\n" + end, 204, ""},
		{"an empty body and another answer", ok("Content-Length: 0\r\n", poison), 200, ""},
		{"half an answer behind it", ok("Content-Length: 2\r\n", "okHTTP/1.1 200 OK\r\nX: "), 200, "ok"},

		{"CL.TE", ok("Content-Length: 3\r\n"+chunks, "2\r\nok\r\n"+end), 502, ""},
		{"TE.CL", ok(chunks+"Content-Length: 60\r\n", end+poison), 502, ""},
		{"two lengths", ok("Content-Length: 2\r\nContent-Length: 60\r\n", "ok"+poison), 502, ""},
		{"a list of lengths", ok("Content-Length: 2, 60\r\n", "ok"+poison), 502, ""},
		{"a length with a sign", ok("Content-Length: +2\r\n", "ok"+poison), 502, ""},
		{"a length below zero", ok("Content-Length: -1\r\n", "ok"+poison), 502, ""},
		{"a length beyond 64 bits", ok("Content-Length: 18446744073709551618\r\n", "ok"+poison), 502, ""},
		{"no length", ok("Content-Length:\r\n", "ok"+poison), 502, ""},
		{"two codings", ok(chunks+chunks, end+poison), 502, ""},
		{"another coding", ok("Transfer-Encoding: gzip\r\n", "ok"), 502, ""},
		{"another coding before chunks", ok("Transfer-Encoding: gzip, chunked\r\n", end+poison), 502, ""},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\n" + chunks + "\r\n" + end + poison, 502, ""},

		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 502, ""},
		{"a bare line feed in a value", ok("X: y\nContent-Length: 2\r\n", "ok"), 502, ""},
		{"a bare return in a value", ok("X: y\rContent-Length: 2\r\n", "ok"), 502, ""},
		{"a folded line", ok("X: y\r\n Content-Length: 2\r\n", "ok"), 502, ""},
		{"a space before the colon", ok("Content-Length : 2\r\n", "ok"), 502, ""},
		{"no colon", ok("Content-Length\r\n", "ok"), 502, ""},
		{"no name", ok(": 2\r\n", "ok"), 502, ""},
		{"NUL in a value", ok("X: y\x00\r\nContent-Length: 2\r\n", "ok"), 502, ""},
		{"another version", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		{"a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		{"a status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		{"a status of 0", "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		{"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, ""},
		{"a switch that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + poison, 502, ""},
		{"hints before it", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok("Content-Length: 2\r\n", "ok"), 200, "ok"},
		{"hints without end", many("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1000), 502, ""},
		{"a header of 1 MB", ok("X: "+many("y", 1<<20)+"\r\nContent-Length: 2\r\n", "ok"), 502, ""},
		{"10,000 fields", ok(many("X: y\r\n", 10_000)+"Content-Length: 2\r\n", "ok"), 502, ""},

		{"a chunk's size with a sign", ok(chunks, "+2\r\nok\r\n"+end+poison), 502, ""},
		{"a chunk's size that is none", ok(chunks, "x\r\nok\r\n"+end+poison), 502, ""},
		{"a chunk's size beyond 64 bits", ok(chunks, "10000000000000002\r\nok\r\n"+end+poison), 502, ""},
		{"a chunk longer than its size", ok(chunks, "2\r\nokPOISON\r\n"+end), 502, ""},
		{"a bare line feed behind a chunk's size", ok(chunks, "2\nok\r\n"+end+poison), 502, ""},
		{"an extension without end", ok(chunks, "2;"+many("x", 1<<20)+"\r\nok\r\n"+end), 502, ""},
		{"a trailer that is folded", ok(chunks, "2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n"+poison), 502, ""},
		{"trailers without end", ok(chunks, "2\r\nok\r\n0\r\n"+many("X: y\r\n", 100_000)), 502, ""},
		{"a trailer that has a length", ok(chunks, "2\r\nok\r\n0\r\nContent-Length: 6\r\nSet-Cookie: a=b\r\n\r\n"), 200, "ok"},
		{"Connection names fields", ok("Connection: Content-Length, Transfer-Encoding, X\r\nContent-Length: 2\r\nX: y\r\n", "ok"+poison), 200, "ok"},
	}
}

// Whatever an upstream answers, its client gets that answer or an error, and nobody else gets any of it.
func TestNoAnswerReachesAnotherClient(t *testing.T) {
	t.Parallel()
	for _, c := range hostileAnswers() {
		t.Run(c.name, func(t *testing.T) {
			up := hostile(t, c.answer)
			address := passTo(t, up.URL(), func(_ *gateway.ServiceOptions, o *proxy.Options) { o.Retry.Attempts = 1 })
			body := c.body
			if c.status == http.StatusBadGateway {
				body = `{"error":"service \"up\" broke off its answer"}`
			}
			for range 2 {
				answers := exchange(t, address, "GET /poison HTTP/1.1\r\nHost: a\r\n\r\n"+next, 2)
				if want := []string{fmt.Sprint(c.status, " ", body), "200 GET /next"}; !slices.Equal(answers, want) {
					t.Errorf("it is answered with %q, want %q", answers, want)
				}
			}
			var others sync.WaitGroup
			for i := range 8 {
				others.Go(func() {
					want := fmt.Sprintf("200 GET /other-%d", i)
					if answers := exchange(t, address, fmt.Sprintf("GET /other-%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", i), 1); !slices.Equal(answers, []string{want}) {
						t.Errorf("another client is answered with %q, want %q", answers, want)
					}
				})
			}
			others.Wait()
		})
	}
}

// Nor does an answer of which pieces were put in, taken out or doubled.
func TestNoMutatedAnswerReachesAnotherClient(t *testing.T) {
	t.Parallel()
	var text atomic.Value
	up := proxytest.Misbehave(t, func(c *proxytest.Conn) {
		for {
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // then it hangs up: what is not whole does not get longer
			r, err := c.Head()
			if err != nil {
				return
			}
			if r.URL.Path == "/poison" {
				err = c.Say("%s", text.Load())
			} else {
				body := r.Method + " " + r.RequestURI
				err = c.Say("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
			if err != nil {
				return
			}
		}
	})
	address := passTo(t, up.URL(), func(s *gateway.ServiceOptions, o *proxy.Options) {
		s.Timeout, o.Retry.Attempts = time.Minute, 1
	})
	corpus := hostileAnswers()
	pieces := []string{"\r\n", "\n", "\r", " ", ":", "0", "1", "0\r\n\r\n", "\r\n\r\n", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n", "Connection: keep-alive\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 X\r\n\r\n", poison}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range 150 {
		answer := corpus[random.IntN(len(corpus))].answer
		if len(answer) > 32<<10 {
			continue
		}
		for range 1 + random.IntN(2) {
			at := random.IntN(len(answer) + 1)
			end := min(len(answer), at+random.IntN(8))
			switch random.IntN(4) {
			case 0:
				answer = answer[:at] + answer[end:]
			case 1:
				answer = answer[:end] + answer[at:]
			default:
				answer = answer[:at] + pieces[random.IntN(len(pieces))] + answer[at:]
			}
		}
		text.Store(answer)
		say(t, address, "GET /poison HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		for range 2 {
			want := fmt.Sprintf("200 GET /other-%d", i)
			if answers := exchange(t, address, fmt.Sprintf("GET /other-%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", i), 1); !slices.Equal(answers, []string{want}) {
				t.Fatalf("seed %d: behind %q another client is answered with %q", seed, answer, answers)
			}
		}
	}
}

// What an upstream says on a connection that waits for its next request is an answer to nobody.
func TestAnAnswerThatNobodyAskedForIsNobodys(t *testing.T) {
	speak, said := make(chan struct{}), make(chan struct{})
	up := hostile(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", func(c *proxytest.Conn) {
		<-speak
		_ = c.Say(poison)
		said <- struct{}{}
	})
	address := passTo(t, up.URL(), func(_ *gateway.ServiceOptions, o *proxy.Options) { o.Retry.Attempts = 1 })
	for range 10 {
		if answers := exchange(t, address, "GET /poison HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1); !slices.Equal(answers, []string{"200 ok"}) {
			t.Errorf("it is answered with %q", answers)
		}
		speak <- struct{}{}
		<-said // it is here: what was sent over loopback has arrived
		if answers := exchange(t, address, next, 1); !slices.Equal(answers, []string{"200 GET /next"}) {
			t.Errorf("who comes next is answered with %q", answers)
		}
	}
}

// What is wrong with an answer may show only when its beginning is with its client. Then it is cut off, so that nobody takes it for whole.
func TestAnAnswerThatGoesWrongIsCutOff(t *testing.T) {
	const held = 1 << 10
	large := strings.Repeat("x", 64<<10)
	for name, answer := range map[string]string{
		"a chunk longer than its size": "Transfer-Encoding: chunked\r\n\r\n10000\r\n" + large + "more\r\n0\r\n\r\n" + poison,
		"a chunk's size that is none":  "Transfer-Encoding: chunked\r\n\r\n10000\r\n" + large + "\r\nx\r\n" + poison,
		"a trailer without a colon":    "Transfer-Encoding: chunked\r\n\r\n10000\r\n" + large + "\r\n0\r\nX\r\n\r\n" + poison,
	} {
		up := hostile(t, "HTTP/1.1 200 OK\r\n"+answer)
		address := passTo(t, up.URL(), func(s *gateway.ServiceOptions, o *proxy.Options) { s.Hold, o.Retry.Attempts = held, 1 })
		resp, err := http.Get("http://" + address + "/poison")
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil || strings.Contains(string(text), "POISON") || len(text) > len(large) {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
		if answers := exchange(t, address, next, 1); !slices.Equal(answers, []string{"200 GET /next"}) {
			t.Errorf("%s: who comes next is answered with %q", name, answers)
		}
	}
}

// A HEAD has an answer without a body, whatever is said of it and whatever comes.
func TestNothingFollowsAnAnswerToHEAD(t *testing.T) {
	for _, framing := range []string{"Content-Length: 63\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "\r\n"} {
		up := hostile(t, "HTTP/1.1 200 OK\r\n"+framing+poison)
		address := passTo(t, up.URL(), func(_ *gateway.ServiceOptions, o *proxy.Options) { o.Retry.Attempts = 1 })
		for range 2 {
			resp, err := http.Head("http://" + address + "/poison")
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Poison") != "" {
				t.Errorf("%q: %v", framing, resp)
			}
			if answers := exchange(t, address, next, 1); !slices.Equal(answers, []string{"200 GET /next"}) {
				t.Errorf("%q: who comes next is answered with %q", framing, answers)
			}
		}
	}
}

// exchange sends bytes on a connection of its own, and returns the answers: status and body.
func exchange(t *testing.T, address, send string, most int) (answers []string) {
	t.Helper()
	statuses, text := converse(t, address, send)
	bodies := bodiesOf(text)
	for i, status := range statuses {
		answers = append(answers, fmt.Sprint(status, " ", bodies[i]))
	}
	if len(answers) > most {
		t.Errorf("%d answers came: %q", len(answers), text)
	}
	return answers
}
