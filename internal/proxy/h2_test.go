package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"
)

// overBoth returns a transport to a server that speaks what the scheme says.
func overBoth(t *testing.T, scheme string, handler http.HandlerFunc) *transport {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(scheme == "http" || scheme == "https")
	s.Config.Protocols.SetUnencryptedHTTP2(scheme == "h2c")
	s.Config.Protocols.SetHTTP2(scheme == "h2")
	o := transportOptions{Scheme: scheme, Address: s.Listener.Addr().String()}
	if scheme == "https" || scheme == "h2" {
		s.EnableHTTP2 = scheme == "h2"
		s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12} // it sends tickets when the client is done, as OpenSSL does
		s.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	} else {
		s.Start()
	}
	tr := newTransport(o)
	t.Cleanup(func() { tr.close(); s.CloseClientConnections(); s.Close() })
	return tr
}

func TestEverySchemeIsSpoken(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 1<<19)
	for _, scheme := range []string{"http", "https", "h2c", "h2"} {
		t.Run(scheme, func(t *testing.T) {
			tr := overBoth(t, scheme, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				w.Header().Set("Trailer", "X-End")
				w.Header()["X-Proto"] = []string{r.Proto, r.Header.Get("User-Agent")}
				w.Write(b)
				w.Header().Set("X-End", "over")
			})
			for _, body := range [][]byte{nil, []byte("abc"), big} {
				for _, hold := range []int{0, 100, 10 << 20} {
					for _, stream := range []bool{false, true} {
						r := get()
						r.Method, r.Hold, r.Body = "POST", hold, body
						if stream {
							r.Body, r.Stream, r.Length = nil, bytes.NewReader(body), int64(len(body))
						}
						var a Answer
						if err := tr.exchange(context.Background(), r, &a); err != nil {
							t.Fatal(err)
						}
						proto := a.Header["X-Proto"]
						if want := tr.h2 != nil; (proto[0] == "HTTP/2.0") != want || proto[1] != "" {
							t.Error(proto)
						}
						if hold > len(body) && a.Rest != nil || hold == 0 && len(body) > 1<<20 && a.Rest == nil || a.Header["Content-Length"] != nil {
							t.Errorf("hold %d: %d bytes here, %v", hold, len(a.Body), a.Header)
						}
						got := append([]byte(nil), a.Body...)
						if a.Rest != nil {
							rest, err := io.ReadAll(a.Rest)
							if err != nil {
								t.Fatal(err)
							}
							got = append(got, rest...)
						}
						if !bytes.Equal(got, body) {
							t.Errorf("%d bytes, want %d", len(got), len(body))
						}
						if tr.h2 != nil && a.Trailer.Get("X-End") != "over" {
							t.Errorf("trailer %v", a.Trailer)
						}
						a.Close()
					}
				}
			}
			if open, _ := tr.stats(); open != 1 {
				t.Errorf("%d connections", open)
			}
		})
	}
}

func TestACertificateThatIsNotTrustedIsRefused(t *testing.T) {
	for _, scheme := range []string{"https", "h2"} {
		tr := overBoth(t, scheme, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
		tr = to(t, tr.o.Address, transportOptions{Scheme: scheme})
		if f := failure(t, context.Background(), tr, get()); f.Why != Down || f.Sent {
			t.Errorf("%s: %v, sent %v", scheme, f, f.Sent)
		}
	}
}

func TestAnH2InstanceThatHangsEndsInTime(t *testing.T) {
	tr := overBoth(t, "h2c", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			w.Write([]byte("abc"))
			http.NewResponseController(w).Flush()
		case "/stream":
			w.Header().Set("Content-Type", "application/grpc+proto")
			w.Write([]byte("abc"))
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	for _, target := range []string{"/", "/body"} {
		r := get()
		r.Target, r.Deadline = target, in(shortly)
		if f := failure(t, context.Background(), tr, r); f.Why != Late || !f.Sent {
			t.Errorf("%s: %v, sent %v", target, f, f.Sent)
		}
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		r.Deadline = soon()
		r.Stream, r.Length = newReadings(nil), -1
		if f := failure(t, ctx, tr, r); f.Why != Gone {
			t.Errorf("%s: %v", target, f)
		}
	}
	for _, silence := range []time.Duration{0, shortly} {
		ctx, cancel := context.WithCancel(context.Background())
		tr := to(t, tr.o.Address, transportOptions{Scheme: "h2c", StreamTimeout: silence})
		r := get()
		r.Target, r.Deadline = "/stream", in(shortly)
		var a Answer
		if err := tr.exchange(ctx, r, &a); err != nil {
			t.Fatal(err)
		}
		want := Late
		if silence == 0 {
			want = Gone
			time.AfterFunc(time.Until(r.Deadline)+time.Millisecond, cancel)
		}
		b, err := io.ReadAll(a.Rest)
		var f *Failure
		if string(a.Body)+string(b) != "abc" || !a.Stream || !errors.As(err, &f) || f.Why != want {
			t.Errorf("%q%q, %v", a.Body, b, err)
		}
		a.Close()
		cancel()
	}
}

func TestAnH2BodyThatBreaksIsTheAskersFailure(t *testing.T) {
	tr := overBoth(t, "h2c", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	broken := errors.New("the client hung up")
	r := get()
	r.Method, r.Stream, r.Length = "POST", breaks{broken}, -1
	if f := failure(t, context.Background(), tr, r); f.Why != Gone || !errors.Is(f, broken) {
		t.Error(f)
	}
}

func TestAnH2AnswerBeforeTheBodyIsSentEndsTheSending(t *testing.T) {
	tr := overBoth(t, "h2c", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	for _, stream := range []io.Reader{zeros{}, newReadings(nil)} {
		r := get()
		r.Method, r.Stream, r.Length = "POST", stream, -1
		if status, _ := mustAnswer(t, tr, r); status != 413 {
			t.Error(status)
		}
	}
}

func TestWhatTLSSaysOfItselfIsNoAnswer(t *testing.T) {
	tr := overBoth(t, "https", func(w http.ResponseWriter, r *http.Request) {})
	tr.dialer.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1) // else there are no tickets
	tcp, outer, err := tr.dialer.dial(context.Background(), soon())
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(tcp, outer)
	if err != nil {
		t.Fatal(err)
	}
	for end := soon(); c.quiet(); runtime.Gosched() { // tickets come right behind the handshake
		if time.Now().After(end) {
			t.Fatal("no tickets come")
		}
	}
	tr.pool.count, tr.pool.idle = 1, []*conn{c}
	mustAnswer(t, tr, get())
	if open, idle := tr.stats(); open != 1 || idle != 1 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}
