package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// corked is a connection whose writes wait for flush, so that what is said at once arrives at once.
type corked struct {
	net.Conn
	waits bytes.Buffer
	cork  bool
}

func (c *corked) Write(p []byte) (int, error) {
	if c.cork {
		return c.waits.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *corked) flush() {
	_, _ = c.Conn.Write(c.waits.Bytes())
	c.waits.Reset()
}

// secured starts a server with TLS that gives each request, numbered from 0 on its connection, the answers that a test says: each a record
// of its own, all in one piece.
func secured(t *testing.T, answers func(n int) []string) *transport {
	t.Helper()
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(lender.Close)
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	mine := &tls.Config{Certificates: lender.TLS.Certificates}
	address := standIn(t, func(c *peer, _ int) {
		wire := &corked{Conn: c.TCPConn}
		s := tls.Server(wire, mine)
		in := bufio.NewReader(s)
		for n := 0; ; n++ {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			wire.cork = true
			for _, a := range answers(n) {
				_, _ = s.Write([]byte(a))
			}
			wire.cork = false
			wire.flush()
		}
	})
	return to(t, address, transportOptions{Scheme: "https", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
}

// What an instance says behind an answer is nobody's answer, wherever it waits: in the kernel, in TLS, or in what was read.
func TestWhatComesBehindAnAnswerOverTLSIsNobodys(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, first := range map[string][]string{
		"in a record of its own":      {okay, evil},
		"in the same record":          {okay + evil},
		"in the same record, in part": {okay + evil[:10], evil[10:]},
	} {
		for _, hold := range []int{0, 1 << 20} {
			tr := secured(t, func(n int) []string {
				if n == 0 {
					return first
				}
				return []string{evil}
			})
			for range 3 {
				r := get()
				r.Hold = hold
				if status, body := mustAnswer(t, tr, r); status != 200 || body != "ok" {
					t.Errorf("%s, hold %d: %d %q", name, hold, status, body)
				}
			}
		}
	}
}

// The rest of an answer is read no further than its length, and what stands behind that in its record is not seen then.
func TestWhatComesBehindTheRestOfAnAnswerOverTLSIsNobodys(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	tr := secured(t, func(n int) []string {
		if n == 0 {
			return []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok" + evil}
		}
		return []string{evil}
	})
	for range 3 {
		r := get()
		r.Hold = 0
		if status, body := mustAnswer(t, tr, r); status != 200 || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
	}
}
