package load

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/serin-ml/serin/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// web starts a server; a scheme of https makes the crew ask it, where http is for the loop.
func web(t *testing.T, scheme string, handle http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that tests break off
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.EnableHTTP2 = true
	if scheme == "https" {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.URL
}

// both runs a test with the loop and with the crew.
func both(t *testing.T, test func(t *testing.T, scheme string)) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel() // most of them wait for a timeout
			test(t, scheme)
		})
	}
}

// mustRun runs a load that gives a report. Whether it is valid is not judged: the machine may be busy.
func mustRun(t *testing.T, o Options) *Report {
	t.Helper()
	o.Insecure = true
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryProtocolSendsWhatItIsTold(t *testing.T) {
	for _, tt := range []struct {
		scheme   string
		protocol Protocol
	}{{"http", HTTP1}, {"https", HTTP1}, {"http", HTTP2}, {"https", HTTP2}} {
		t.Run(tt.scheme+" "+tt.protocol.String(), func(t *testing.T) {
			var mu sync.Mutex
			bodies, users, wrong := map[string]int{}, map[string]int{}, ""
			url := web(t, tt.scheme, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				if r.Method == http.MethodOptions {
					return
				}
				bodies[string(body)]++
				users[r.Header.Get("X-User")]++
				if r.Method != http.MethodPut || r.URL.RequestURI() != "/a%20b?c=d" || r.Header.Get("X-One") != "1" || r.Header.Get("Content-Type") != "text/csv" ||
					len(r.Header["Content-Type"]) != 1 || r.Header.Get("X-Kind") == "" || r.ProtoMajor != map[Protocol]int{HTTP1: 1, HTTP2: 2}[tt.protocol] || r.Host != "example.org" {
					wrong = r.Proto + " " + r.Method + " " + r.URL.RequestURI()
				}
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, "done")
			})
			o := Options{
				URL: url + "/a%20b?c=d", Protocol: tt.protocol, Method: http.MethodPut, Header: []Field{{"X-One", "1"}, {"content-type", "text/csv"}, {"Host", "example.org"}},
				Unit: Unit{Header: "X-User", Users: 5}, Rate: 5000, Count: 300, InFlight: 4, Connections: 2, Seed: 1,
			}
			for i := range 3 {
				o.Payloads = append(o.Payloads, Payload{Body: []byte(strconv.Itoa(i)), Header: []Field{{"Content-Type", "text/plain"}, {"X-Kind", "k"}}})
			}
			r := mustRun(t, o)
			if r.Requests != 300 || r.Failed != 0 || r.Statuses["201"] != 300 || r.Latency.Count != 300 || r.Lag.Count != 300 {
				t.Errorf("%+v", r)
			}
			if wrong != "" || bodies["0"] != 100 || bodies["1"] != 100 || bodies["2"] != 100 || len(users) != 5 || users["user-0"] < 30 {
				t.Errorf("%q, bodies %v, users %v", wrong, bodies, users)
			}
			if r.BytesOut < 300 || r.BytesIn < 300*4 {
				t.Errorf("%d bytes in, %d out", r.BytesIn, r.BytesOut)
			}
		})
	}
}

func TestAClosedLoopKeepsEveryWorkerBusy(t *testing.T) {
	both(t, func(t *testing.T, scheme string) {
		var now, most, seen atomic.Int64
		all := make(chan struct{})
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			switch r.Header.Get("X-User") {
			case "user-0", "user-1", "user-2": // the first three wait for each other
				if seen.Add(1) == 3 {
					close(all)
				}
				select {
				case <-all:
				case <-r.Context().Done():
				}
			}
			now.Add(-1)
		})
		r := mustRun(t, Options{URL: url, Count: 200, InFlight: 3, Unit: Unit{Header: "X-User"}})
		if r.Requests != 200 || r.Failed != 0 || r.Late != 0 || most.Load() != 3 || r.Arrivals != "closed" || r.Rate <= 0 {
			t.Errorf("%d at once, %+v", most.Load(), r)
		}
	})
}

// TestAStalledServerIsSeenByAllThatWereDue asserts counts only. From when the server begins to stall, requests go on being due; those of
// the first half of the stall wait for more than its other half, however slow the machine is.
func TestAStalledServerIsSeenByAllThatWereDue(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, scheme string) {
		const stall, rate = 600 * time.Millisecond, 1000
		var begun sync.Once
		var mu sync.RWMutex
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-User") == "user-20" {
				begun.Do(func() {
					mu.Lock()
					time.Sleep(stall)
					mu.Unlock()
				})
			}
			mu.RLock()
			defer mu.RUnlock()
		})
		r := mustRun(t, Options{URL: url, Rate: rate, Count: 2 * rate * int(stall) / int(time.Second), InFlight: 4, Unit: Unit{Header: "X-User"}})
		if n, least := r.Latency.Over(stall/2), int(rate*(stall/2).Seconds()); n < least-1 {
			t.Errorf("%d requests saw the stall, where at least %d were due in its first half: %+v", n, least, r)
		}
		if least := int(rate*stall.Seconds()) - 10; r.Late < least {
			t.Errorf("%d were late, where at least %d found no connection", r.Late, least)
		}
	})
}

func TestConnectionsThatEndAreMadeAgain(t *testing.T) {
	both(t, func(t *testing.T, scheme string) {
		connections := sync.Map{}
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			connections.Store(r.RemoteAddr, true)
			w.Header().Set("Connection", "close")
			io.WriteString(w, "bye")
		})
		r := mustRun(t, Options{URL: url, Rate: 1000, Count: 50, InFlight: 2})
		n := 0
		connections.Range(func(any, any) bool { n++; return true })
		if r.Requests != 50 || r.Failed != 0 || n != 50 {
			t.Errorf("%d connections, %+v", n, r)
		}
	})
}

// hijack answers in bytes of its own.
func hijack(t *testing.T, w http.ResponseWriter, answer string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	io.WriteString(conn, answer)
	conn.Close()
}

func TestWhatGoesWrongIsCountedByKind(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, scheme string) {
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch string(body) {
			case "closed":
				hijack(t, w, "")
			case "half":
				hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
			case "protocol":
				hijack(t, w, "hello\r\n")
			case "more":
				hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world")
			case "until":
				hijack(t, w, "HTTP/1.1 200 OK\r\n\r\nhello")
			case "never":
				<-r.Context().Done()
			case "busy":
				w.WriteHeader(http.StatusServiceUnavailable)
				io.WriteString(w, "too busy")
			}
		})
		o := Options{URL: url, Rate: 200, InFlight: 20, Timeout: 2 * time.Second, Count: 64}
		for _, body := range []string{"closed", "half", "protocol", "more", "until", "never", "busy", "fine"} {
			o.Payloads = append(o.Payloads, Payload{Body: []byte(body)})
		}
		r := mustRun(t, o)
		got := map[string]int{}
		for _, p := range r.Problems {
			got[p.Kind] = p.Count
			if p.Example == "" || p.Kind == "status 503" && p.Example != "too busy" {
				t.Errorf("the example of %s is %q", p.Kind, p.Example)
			}
		}
		if r.Requests != 64 || r.Failed != 48 || got["closed"] != 16 || got["protocol"] != 16 || got["timeout"] != 8 || got["status 503"] != 8 ||
			r.Statuses["200"] != 16 || r.Statuses["503"] != 8 {
			t.Errorf("%v, %+v", got, r)
		}
		if r.FailedLatency.Max < 2*time.Second {
			t.Errorf("what timed out after 2 s has taken at most %v", r.FailedLatency.Max)
		}
	})
}

func TestRequestsThatCannotBeSentInTimeFail(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, scheme string) {
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		r := mustRun(t, Options{URL: url, Rate: 1000, Count: 100, InFlight: 3, Timeout: 500 * time.Millisecond})
		got := map[string]int{}
		for _, p := range r.Problems {
			got[p.Kind] = p.Count
		}
		// The first three hold the connections until their time is up, and with it comes that of the others, one after the other: before they
		// are sent or just behind that.
		if r.Requests != 100 || r.Failed != 100 || got["unsent"]+got["timeout"] != 100 || got["timeout"] < 3 || r.Late < 90 {
			t.Errorf("%v, %+v", got, r)
		}
	})
}

func TestAServerThatDiesIsReported(t *testing.T) {
	both(t, func(t *testing.T, scheme string) {
		var served atomic.Int64
		var server *httptest.Server
		server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			if served.Add(1) == 20 {
				server.Listener.Close()
			}
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		if scheme == "https" {
			server.StartTLS()
		} else {
			server.Start()
		}
		defer server.Close()
		r := mustRun(t, Options{URL: server.URL, Rate: 1000, Count: 100, InFlight: 4, Timeout: 5 * time.Second})
		refused := 0
		for _, p := range r.Problems {
			if p.Kind == "connect" || p.Kind == "closed" { // a connection that was taken already, and not by the server
				refused += p.Count
			}
		}
		if r.Requests != 100 || r.Failed != refused || int(served.Load()) < r.Requests-r.Failed || refused == 0 {
			t.Errorf("%d served, %+v", served.Load(), r)
		}
	})
}

func TestLargeBodiesGoBothWays(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, scheme string) {
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Millisecond) // the sender's buffers fill meanwhile
			body, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(body, large) {
				w.WriteHeader(http.StatusBadRequest)
			}
			w.Write(body)
			w.Write(body)
		})
		r := mustRun(t, Options{URL: url, Rate: 500, Count: 10, InFlight: 3, Payloads: []Payload{{Body: large}}, Unit: Unit{Header: "X-User"},
			Verify: func(_, status int, body []byte) error {
				if status != 200 || !bytes.Equal(body, append(append([]byte{}, large...), large...)) {
					return errShort
				}
				return nil
			}})
		if r.Requests != 10 || r.Failed != 0 || r.BytesIn < int64(20*len(large)) || r.BytesOut < int64(10*len(large)) {
			t.Errorf("%+v", r)
		}
	})
}

func TestARunEndsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, scheme string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		url := web(t, scheme, func(w http.ResponseWriter, r *http.Request) {
			switch user := r.Header.Get("X-User"); {
			case user == "user-50":
				cancel()
			case strings.HasSuffix(user, "-7"):
				<-r.Context().Done()
			}
		})
		r, err := Run(ctx, Options{URL: url, Rate: 1000, Duration: time.Hour, InFlight: 4, Unit: Unit{Header: "X-User"}, Insecure: true, Timeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Interrupted || r.Requests < 49 || r.CutOff < 1 || r.Failed != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestWhatIsDueWhenARunIsEndedIsTold(t *testing.T) {
	both(t, func(t *testing.T, scheme string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		url := web(t, scheme, func(_ http.ResponseWriter, r *http.Request) {
			time.AfterFunc(100*time.Millisecond, cancel)
			<-r.Context().Done() // the only connection is busy, and 100 or more requests are due
		})
		r, err := Run(ctx, Options{URL: url, Rate: 1000, Duration: time.Hour, InFlight: 1, Insecure: true, Timeout: time.Hour})
		if err != nil || r.Requests != 0 || r.CutOff < 100 || len(r.Invalid) != 1 {
			t.Errorf("%v, %+v", err, r)
		}
	})
}

func TestHEADAndGETNeedNoBody(t *testing.T) {
	url := web(t, "http", func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 || r.Header.Get("Content-Length") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
		io.WriteString(w, "hello")
	})
	for _, method := range []string{"GET", "HEAD", ""} {
		if r := mustRun(t, Options{URL: url, Method: method, Rate: 1000, Count: 20, InFlight: 2}); r.Statuses["200"] != 20 || r.Failed != 0 {
			t.Errorf("%s: %+v", method, r)
		}
	}
}

func TestSeveralThreadsShareARun(t *testing.T) {
	var seen sync.Map
	url := web(t, "http", func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Get("X-User"), true) })
	r := mustRun(t, Options{URL: url, Rate: 2000, Arrivals: Poisson, Count: 101, Threads: 3, InFlight: 7, Unit: Unit{Header: "X-User"}})
	n := 0
	seen.Range(func(any, any) bool { n++; return true })
	if r.Requests != 101 || r.Failed != 0 || n != 101 {
		t.Errorf("%d seen, %+v", n, r)
	}
}

func TestAServerThatIsNotThereIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for _, url := range []string{"http://" + address, "https://" + address, "grpc://" + address + "/a.B/C"} {
		if _, err := Run(t.Context(), Options{URL: url, Timeout: time.Second}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := Run(t.Context(), Options{URL: web(t, "https", nil), Timeout: time.Second}); fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.HintOf(err), "--insecure") {
		t.Errorf("a certificate that nobody signed: %v", err)
	}
}

func TestProgressIsToldAndEndsWithTheRun(t *testing.T) {
	t.Parallel()
	url := web(t, "http", func(http.ResponseWriter, *http.Request) {})
	var calls, over atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := Run(ctx, Options{URL: url, Rate: 100, Duration: time.Minute, WarmUp: 1500 * time.Millisecond, Progress: func(p Progress) {
		over.Add(1)
		if n := calls.Add(1); p.Total != 61500*time.Millisecond || p.Measuring != (p.Elapsed >= 1500*time.Millisecond) || p.Line() == "" {
			t.Errorf("%+v", p)
		} else if n == 2 {
			cancel()
		}
	}})
	if err != nil || calls.Load() < 2 || !r.Interrupted {
		t.Errorf("%d calls, %v, %+v", calls.Load(), err, r)
	}
}
