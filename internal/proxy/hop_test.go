package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// transportTo returns a transport to a server of net/http, which ends with the test.
func transportTo(t testing.TB, o transportOptions, handler http.HandlerFunc) *transport {
	t.Helper()
	s := httptest.NewServer(handler)
	o.Scheme, o.Address = either(o.Scheme, "http"), s.Listener.Addr().String()
	tr := newTransport(o)
	t.Cleanup(func() { tr.close(); s.Close() })
	return tr
}

// soon is a deadline that only a test which fails waits for.
func soon() time.Time { return time.Now().Add(time.Minute) }

// whole returns what an answer's body is, rest included, and closes it.
func whole(t testing.TB, a *Answer) string {
	t.Helper()
	b := strings.Clone(string(a.Body))
	if a.Rest != nil {
		more, err := io.ReadAll(a.Rest)
		if err != nil {
			t.Fatal(err)
		}
		b += string(more)
	}
	a.Close()
	return b
}

func TestARequestIsPassedOnAndItsAnswerComesBack(t *testing.T) {
	requests, bodies := make(chan *http.Request, 1), make(chan string, 1)
	tr := transportTo(t, transportOptions{}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests <- r
		bodies <- string(b)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "done")
	})
	for range 3 {
		var a Answer
		err := tr.exchange(context.Background(), &Request{Method: "POST", Target: "/a%20b?c=d", Host: "example.com",
			Header: http.Header{"X-One": {"1", "2"}, "Connection": {"x-two"}, "X-Two": {"gone"}, "X_forwarded-For": {"spoofed"}},
			Set:    []Field{{"X-Forwarded-For", "127.0.0.1"}}, Body: []byte("hello"), Deadline: soon(), Hold: 1 << 20}, &a)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != 202 || a.Header.Get("X-Answer") != "yes" || a.Length != 4 || a.Rest != nil {
			t.Errorf("%+v", a)
		}
		if got := whole(t, &a); got != "done" {
			t.Errorf("body %q", got)
		}
		seen, body := <-requests, <-bodies
		if seen.RequestURI != "/a%20b?c=d" || seen.Host != "example.com" || body != "hello" || len(seen.Header["X-One"]) != 2 ||
			seen.Header.Get("X-Two") != "" || len(seen.Header["X-Forwarded-For"]) != 1 || len(seen.Header["X_forwarded-For"]) != 0 {
			t.Errorf("%+v %q", seen, body)
		}
	}
	if open, idle := tr.stats(); open != 1 || idle != 1 {
		t.Errorf("%d connections, %d idle", open, idle)
	}
}

func TestAH2InstanceIsSpokenTo(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-End")
		io.WriteString(w, r.Proto+" "+r.RequestURI+" "+r.Host+" "+string(b))
		w.Header().Set("X-End", "over")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	tr := newTransport(transportOptions{Scheme: "h2c", Address: s.Listener.Addr().String()})
	t.Cleanup(func() { tr.close(); s.Close() })
	for _, target := range []string{"/a%20b?c=d", "//x/y?z", "/a|b", "/?"} {
		var a Answer
		if err := tr.exchange(context.Background(), &Request{Method: "POST", Target: target, Host: "example.com", Body: []byte("hello"),
			Deadline: soon(), Hold: 1 << 20}, &a); err != nil {
			t.Fatal(err)
		}
		if end := a.Trailer.Get("X-End"); end != "over" {
			t.Errorf("trailer %q", end)
		}
		if got := whole(t, &a); got != "HTTP/2.0 "+target+" example.com hello" {
			t.Errorf("%q", got)
		}
	}
}
