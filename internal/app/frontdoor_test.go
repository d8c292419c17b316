package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/config"
)

// witness is a handler that writes down what it saw.
type witness struct {
	mu  sync.Mutex
	saw []string
}

// ServeHTTP reads the whole body; where that fails it answers 400, as the gateway does.
func (h *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	line := fmt.Sprintf("%s %s host=%s body=%s", r.Method, r.RequestURI, r.Host, body)
	if err != nil {
		line += " broken"
		w.WriteHeader(http.StatusBadRequest)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saw = append(h.saw, line)
}

// serveWitness runs the data plane's server with a witness in the gateway's place.
func serveWitness(t *testing.T) (h *witness, address string) {
	t.Helper()
	l, err := listen(t.Context(), "http", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h = &witness{}
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serveHTTP(ctx, l, dataServer(h, config.Default().Server.Limits, log), func() time.Duration { return time.Second }, log)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return h, l.Addr().String()
}

// converse sends bytes on a connection of its own and returns the statuses that come back until the server closes.
func converse(t *testing.T, address, send string) (statuses []int, answers string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, send)
		sent <- err // it fails where the server has closed already
	}()
	all, err := io.ReadAll(c)
	c.Close()
	<-sent
	if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
		t.Fatalf("the server does not close; it has said %q", all)
	}
	r := bufio.NewReader(bytes.NewReader(all))
	for {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses, string(all)
		}
		statuses = append(statuses, answer.StatusCode)
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatalf("%v in %q", err, all)
		}
	}
}

// next is a request that follows each case on its connection. It must be seen after what is accepted, never after what is refused.
const next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// sees are the lines that a witness writes, without "body=" where there is none.
func sees(lines ...string) []string { return lines }

// framing is what a client sends on one connection, followed by next, and what becomes of it.
type framing struct {
	name   string
	send   string
	status []int
	saw    []string // by the handler
}

// framings are requests that are well formed, and requests that two servers in a row could read differently.
func framings() []framing {
	const host, chunkedHead = "Host: a\r\n", "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	post := func(headers, body string) string { return "POST /1 HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body }
	get := func(headers string) string { return "GET /1 HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" }
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	seenNext := "GET /next host=a body="
	passed := func(lines ...string) []string { return append(lines, seenNext) }
	return []framing{
		// What is well formed is seen as it is.
		{"no body", get(""), []int{200, 200}, passed("GET /1 host=a body=")},
		{"a length", post("Content-Length: 3\r\n", "abc"), []int{200, 200}, passed("POST /1 host=a body=abc")},
		{"chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), []int{200, 200}, passed("POST /1 host=a body=abcd")},
		{"chunked in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"), []int{200, 200}, passed("POST /1 host=a body=abc")},
		{"a chunk with an extension", post("Transfer-Encoding: chunked\r\n", "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n"), []int{200, 200}, passed("POST /1 host=a body=abc")},
		{"a trailer", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nSum: 1\r\n\r\n"), []int{200, 200}, passed("POST /1 host=a body=abc")},
		{"a body that looks like a request", post("Content-Length: 35\r\n", smuggled), []int{200, 200}, passed("POST /1 host=a body=" + smuggled)},
		{"pipelined", post("Content-Length: 1\r\n", "a") + get(""), []int{200, 200, 200}, passed("POST /1 host=a body=a", "GET /1 host=a body=")},
		{"a GET with a body", get("Content-Length: 3\r\n") + "abc", []int{200, 200}, passed("GET /1 host=a body=abc")},
		{"100-continue", post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"), []int{100, 200, 200}, passed("POST /1 host=a body=abc")},
		{"an empty line after a POST", post("Content-Length: 3\r\n", "abc") + "\r\n", []int{200, 200}, passed("POST /1 host=a body=abc")},
		{"HTTP/1.0", "GET /1 HTTP/1.0\r\n\r\n", []int{200}, sees("GET /1 host= body=")},
		{"HTTP/1.0, kept alive", "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []int{200, 200}, passed("GET /1 host= body=")},
		{"the target's host stands above the header's", "GET http://b/1 HTTP/1.1\r\n" + host + "\r\n", []int{200, 200}, passed("GET http://b/1 host=b body=")},
		{"an offer of h2c is left alone", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), []int{200, 200}, passed("GET /1 host=a body=")},
		{"headers that Connection names", get("Connection: Serin-Decision, Cookie, Host, Content-Length\r\nCookie: a=b\r\n"), []int{200, 200}, passed("GET /1 host=a body=")},
		{"headers that a proxy would set", get("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: b\r\nForwarded: host=b\r\n"), []int{200, 200}, passed("GET /1 host=a body=")},

		// Two framings.
		{"CL.TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "23\r\n"+smuggled+"\r\n0\r\n\r\n"), []int{400}, nil},
		{"CL.CL, unlike", post("Content-Length: 3\r\nContent-Length: 38\r\n", "abc"+smuggled), []int{400}, nil},
		{"CL.CL, alike", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), []int{400}, nil},
		{"a list of lengths", post("Content-Length: 3, 3\r\n", "abc"), []int{400}, nil},
		{"TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"TE.TE, alike", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"another coding", post("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"+smuggled), []int{501}, nil},
		{"chunked among others", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+smuggled), []int{501}, nil},
		{"identity", post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc"), []int{400}, nil},
		{"almost chunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+smuggled), []int{501}, nil},
		{"chunked in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+smuggled), []int{501}, nil},
		{"chunked behind a vertical tab", post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"chunked behind a folded line", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"space before the colon", post("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"space before the colon of a length", post("Content-Length : 3\r\n", "abc"), []int{400}, nil},
		{"space before the name", "POST /1 HTTP/1.1\r\n Content-Length: 3\r\nHost: a\r\n\r\nabc", []int{400}, nil},
		{"chunked from HTTP/1.0", "POST /1 HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400}, nil},

		// Lengths and chunks that are none.
		{"a length with a sign", post("Content-Length: +3\r\n", "abc"), []int{400}, nil},
		{"a length below zero", post("Content-Length: -3\r\n", "abc"), []int{400}, nil},
		{"a length in hexadecimal", post("Content-Length: 0x3\r\n", "abc"), []int{400}, nil},
		{"no length", post("Content-Length:\r\n", "abc"), []int{400}, nil},
		{"a length beyond 64 bits", post("Content-Length: 18446744073709551619\r\n", "abc"), []int{400}, nil},
		{"a chunk's size with a sign", chunkedHead + "+3\r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a chunk's size in C", chunkedHead + "0x3\r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a chunk's size beyond 64 bits", chunkedHead + "10000000000000003\r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"space behind a chunk's size", chunkedHead + "3 \r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"no size", chunkedHead + ";a\r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a bare line feed behind a chunk's size", chunkedHead + "3\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a bare line feed in an extension", chunkedHead + "3;a\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a bare return in an extension", chunkedHead + "3;a\rb\r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a long extension", chunkedHead + "3;" + strings.Repeat("a", 300) + "\r\nabc\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a chunk longer than its size", chunkedHead + "3\r\nabcd\r\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body=abc broken")},
		{"a bare line feed behind a chunk", chunkedHead + "3\r\nabc\n0\r\n\r\n", []int{400}, sees("POST /1 host=a body=abc broken")},
		{"a bare line feed at the end", chunkedHead + "3\r\nabc\r\n0\r\n\n" + smuggled, []int{400}, sees("POST /1 host=a body=abc broken")},
		{"a trailer that is folded", chunkedHead + "0\r\nA: b\r\n c\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},
		{"a trailer's name with a space", chunkedHead + "0\r\nA b: c\r\n\r\n", []int{400}, sees("POST /1 host=a body= broken")},

		// Lines.
		{"bare line feeds", "GET /1 HTTP/1.1\nHost: a\n\n", []int{400}, nil},
		{"one bare line feed", "GET /1 HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", []int{400}, nil},
		{"the head ends in a bare line feed", "GET /1 HTTP/1.1\r\nHost: a\r\n\n", []int{400}, nil},
		{"a bare return", "GET /1 HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", []int{400}, nil},
		{"two returns", "GET /1 HTTP/1.1\r\nHost: a\r\r\n\r\n", []int{400}, nil},
		{"a folded header", get("X: y\r\n z\r\n"), []int{400}, nil},
		{"NUL in a value", get("X: y\x00z\r\n"), []int{400}, nil},
		{"NUL in a name", get("X\x00: y\r\n"), []int{400}, nil},
		{"NUL in the target", "GET /\x00 HTTP/1.1\r\n" + host + "\r\n", []int{400}, nil},
		{"no colon", get("X\r\n"), []int{400}, nil},
		{"no name", get(": y\r\n"), []int{400}, nil},
		{"a name with a bracket", get("X(y): z\r\n"), []int{400}, nil},
		{"no Host", "GET /1 HTTP/1.1\r\n\r\n", []int{400}, nil},
		{"two Hosts", get("Host: b\r\n"), []int{400}, nil},
		{"a Host that is none", "GET /1 HTTP/1.1\r\nHost: a b\r\n\r\n", []int{400}, nil},
		{"two spaces", "GET  /1 HTTP/1.1\r\n" + host + "\r\n", []int{400}, nil},
		{"a space in the target", "GET /1 2 HTTP/1.1\r\n" + host + "\r\n", []int{400}, nil},
		{"a tab for a space", "GET\t/1\tHTTP/1.1\r\n" + host + "\r\n", []int{400}, nil},
		{"a method that is none", "G@T /1 HTTP/1.1\r\n" + host + "\r\n", []int{400}, nil},
		{"HTTP/0.9", "GET /1\r\n", []int{400}, nil},
		{"HTTP/3.0", "GET /1 HTTP/3.0\r\n" + host + "\r\n", []int{505}, nil},
		{"HTTP/2.0 without a preface", "GET /1 HTTP/2.0\r\n" + host + "\r\n", []int{400}, nil},
		{"a preface in the middle", get("") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{200, 400}, sees("GET /1 host=a body=")},
		{"another expectation", post("Expect: wonders\r\nContent-Length: 3\r\n", "abc"), []int{417}, nil},
		{"bytes behind a body", post("Content-Length: 3\r\n", "abcde\r\n"), []int{200, 400}, sees("POST /1 host=a body=abc")},
		{"two empty lines after a POST", post("Content-Length: 3\r\n", "abc") + "\r\n\r\n", []int{200, 400}, sees("POST /1 host=a body=abc")},

		// Sizes.
		{"a header of 100 kB", get("X: " + strings.Repeat("y", 100_000) + "\r\n"), []int{431}, nil},
		{"30,000 headers", get(strings.Repeat("X: y\r\n", 30_000)), []int{431}, nil},
		{"a target of 100 kB", "GET /" + strings.Repeat("y", 100_000) + " HTTP/1.1\r\n" + host + "\r\n", []int{431}, nil},
	}
}

func TestTheFrontDoorReadsEachRequestInOneWayOrRefusesIt(t *testing.T) {
	for _, c := range framings() {
		t.Run(c.name, func(t *testing.T) {
			h, address := serveWitness(t)
			status, answers := converse(t, address, c.send+next)
			if !slices.Equal(status, c.status) {
				t.Errorf("the statuses are %v, want %v: %q", status, c.status, answers)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if !slices.Equal(h.saw, c.saw) {
				t.Errorf("the handler saw %q, want %q", h.saw, c.saw)
			}
		})
	}
}

func TestTheGatewayBehindTheFrontDoorReflectsNothing(t *testing.T) {
	r := start(t, t.TempDir(), nil)
	r.importStump(t, 1)
	r.until(t, "version 1 is live", live(1))
	for _, c := range []struct {
		name, send string
		status     int
	}{
		{"bare line feeds", "GET /healthz HTTP/1.1\nHost: a\n\n", http.StatusBadRequest},
		{"CONNECT", "CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n", http.StatusNotFound},
		{"TRACE", "TRACE /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n", http.StatusMethodNotAllowed},
		{"a preface that goes wrong", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", http.StatusBadRequest},
	} {
		statuses, answers := converse(t, r.HTTP, c.send+next)
		if len(statuses) == 0 || statuses[0] != c.status || strings.Contains(answers, "secret") {
			t.Errorf("%s: %v, %q", c.name, statuses, answers)
		}
	}

	const forged = "forged"
	for _, named := range []string{"close", "close, Serin-Decision, Content-Type"} {
		_, answers := converse(t, r.HTTP, fmt.Sprintf("POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nConnection: %s\r\nSerin-Decision: %s\r\n"+
			"X-Forwarded-Host: %[2]s\r\nContent-Length: %d\r\n\r\n%s", named, forged, len(question), question))
		answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answers)), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if token := answer.Header.Get("Serin-Decision"); answer.StatusCode != http.StatusOK || token == "" || strings.Contains(answers, forged) {
			t.Errorf("Connection: %s: %q", named, answers)
		}
	}

	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &h2}
	defer transport.CloseIdleConnections()
	for range 3 {
		answer, err := (&http.Client{Transport: transport}).Post("http://"+r.HTTP+"/v2/models/m/infer", "application/json", strings.NewReader(question))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
			t.Errorf("h2 from its first byte: %s %s", answer.Proto, answer.Status)
		}
	}
}
