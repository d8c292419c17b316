package proxytest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// exchange sends one request and returns what came until the upstream was silent for a while or hung up.
func exchange(t *testing.T, s *Server, request string) (answer string, err error) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	data, err := io.ReadAll(io.LimitReader(c, 1<<20))
	return string(data), err
}

func TestEachMisbehavesAsItSays(t *testing.T) {
	const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
	for _, tt := range []struct {
		name       string
		behave     Behaviour
		start, end string // of what came
		fails      string // "": it hung up in good order; "hangs", "reset"
	}{
		{"hang after accept", HangAfterAccept, "", "", "hangs"},
		{"hang after head", HangAfterHead, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n", "\r\n\r\n", "hangs"},
		{"reset before", ResetBeforeAnswer, "", "", "reset"},
		{"reset mid-body", ResetMidBody, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n", "hello", "reset"},
		{"short", Short, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n", "hello", ""},
		{"short chunks", ShortChunks, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", "\r\na\r\nhello", ""},
		{"long", Long, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "helloHTTP/1.1 2", "hangs"},
		{"never reads", NeverReads, "", "", "hangs"},
		{"early", Early, "HTTP/1.1 413", "big", "hangs"},
		{"unasked", Unasked, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked", "asked", "hangs"},
		{"garbage", Garbage, "\x00\x01", "\r\n\r\n", ""},
		{"closes kept", ClosesKept, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "ok", ""},
		{"drips its head", DripHead(time.Hour), "H", "H", "hangs"},
		{"drips its body", DripBody(time.Hour), "HTTP/1.1 200 OK", "\r\n\r\nx", "hangs"},
		{"huge", Huge(3<<30, true), "HTTP/1.1 200 OK\r\nContent-Length: 3221225472\r\n\r\n0123456789", "", ""},
		{"huge in chunks", Huge(3<<30, false), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n0123456789", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := Misbehave(t, tt.behave)
			got, err := exchange(t, s, request)
			if !strings.HasPrefix(got, tt.start) || !strings.HasSuffix(got, tt.end) {
				t.Errorf("it sent %.100q, want %q ... %q", got, tt.start, tt.end)
			}
			var late net.Error
			how := ""
			if errors.As(err, &late) && late.Timeout() {
				how = "hangs"
			} else if err != nil {
				how = "reset"
			}
			if how != tt.fails {
				t.Errorf("the end: %v, want %q", err, tt.fails)
			}
		})
	}
}

func TestOneThatBehavesCountsAndStartsAgainOnItsPort(t *testing.T) {
	s := Serve(t, nil)
	ask := func() (string, error) {
		answer, err := http.Get(s.URL())
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return string(body), err
	}
	for range 3 {
		if body, err := ask(); body != "ok" || err != nil {
			t.Fatalf("answered %q, %v", body, err)
		}
	}
	url := s.URL()
	for _, stop := range []func(){s.Stop, s.Drain} {
		stop()
		if _, err := ask(); err == nil {
			t.Fatal("one that is stopped answered")
		}
		if s.Open() != 0 {
			t.Errorf("%d connections are open after a stop", s.Open())
		}
		s.Start()
		s.Start()
		if body, err := ask(); body != "ok" || err != nil || s.URL() != url {
			t.Fatalf("started again, it answered %q, %v at %s", body, err, s.URL())
		}
	}
	if s.Requests() != 5 || s.Conns() < 3 {
		t.Errorf("it counted %d requests on %d connections, want 5 on at least 3", s.Requests(), s.Conns())
	}
}

func TestOneThatBehavesSpeaksH2WithoutTLS(t *testing.T) {
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: only}}
	defer client.CloseIdleConnections()
	answer, err := client.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if line, _ := bufio.NewReader(answer.Body).ReadString(0); line != "HTTP/2.0" {
		t.Errorf("it spoke %q", line)
	}
}
