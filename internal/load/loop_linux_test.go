package load

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// loops are those of a run that has not begun.
func loops(t *testing.T, o Options) (*run, []engine) {
	t.Helper()
	r := newRun(ready(t, o))
	to, err := resolve(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	engines, ok, err := newLoops(r, to)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	r.begin = time.Now()
	return r, engines
}

func TestALoopRunsOnOldKernelsToo(t *testing.T) {
	url := web(t, "http", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	r, engines := loops(t, Options{URL: url, Rate: 500, Count: 100, InFlight: 3})
	l := engines[0].(*loop)
	l.coarse = true
	busy := l.send(t.Context())
	l.close()
	got := reportOf(r.o, r.ledger)
	if got.Requests != 100 || got.Failed != 0 || !l.coarse || busy <= 0 || busy > 1 {
		t.Errorf("busy %v, %+v", busy, got)
	}
}

func TestAnIdleConnectionThatTheServerEndsIsMadeAgain(t *testing.T) {
	var asked atomic.Int64
	url := web(t, "http", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") // and ends, which it did not say
	})
	r, engines := loops(t, Options{URL: url, Rate: 2, Count: 2, InFlight: 1})
	engines[0].send(t.Context())
	engines[0].close()
	if got := reportOf(r.o, r.ledger); got.Requests != 2 || got.Failed != 0 || asked.Load() != 2 {
		t.Errorf("%d asked, %+v", asked.Load(), got)
	}
}

// All connections are made before the first request is due. The server ends those that nobody uses, and the loop has not heard of it when it
// sends.
func TestAConnectionThatWasEndedBeforeItWasUsedIsMadeAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const lanes = 5
	r, engines := loops(t, Options{URL: "http://" + l.Addr().String(), Rate: 1000, Count: 20, InFlight: lanes})
	for range lanes {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
	defer server.Close()
	go server.Serve(l)
	r.begin = r.begin.Add(-10 * time.Millisecond) // some are due already
	engines[0].send(t.Context())
	engines[0].close()
	if got := reportOf(r.o, r.ledger); got.Requests != 20 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
}
