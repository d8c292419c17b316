package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
)

func TestAServerThatIsTerminatedSaysSoBeforeItRefuses(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) { c.Server.DrainDelay = 2 * time.Second })
	r.importStump(t, 1)
	r.until(t, "version 1 is live", live(1))
	conn, err := grpc.NewClient(r.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	kept := &http.Client{Transport: &http.Transport{}}
	defer kept.CloseIdleConnections()
	base := "http://" + r.HTTP
	predict := func(client *http.Client) (code int, closes bool) {
		resp, err := client.Post(base+"/v2/models/m/infer", "application/json", strings.NewReader(question))
		must(t, err)
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, err)
		return resp.StatusCode, resp.Close
	}
	if code, closes := predict(kept); code != 200 || closes {
		t.Errorf("before: %d, closes %v", code, closes)
	}
	r.terminate()
	for code := 200; code == 200; { // a moment passes until the signal has come
		code, _ = r.send(t, http.MethodGet, base+"/readyz", "")
	}
	for path, want := range map[string]int{"/readyz": 503, "/v2/health/ready": 503, "/healthz": 200} {
		if code, body := r.send(t, http.MethodGet, base+path, ""); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for _, service := range []string{"", "m"} {
		answer, err := health.NewHealthClient(conn).Check(t.Context(), &health.HealthCheckRequest{Service: service})
		if err != nil || answer.Status != health.HealthCheckResponse_NOT_SERVING {
			t.Errorf("gRPC health of %q: %v, %v", service, answer, err)
		}
	}
	for method, want := range map[string]string{"ServerReady": "", "ServerLive": "\x08\x01"} { // false is written as nothing, true as field 1 being 1
		said := new(message)
		if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/"+method, new(message), said, grpc.ForceCodec(said)); err != nil || string(*said) != want {
			t.Errorf("%s over gRPC: %q, %v", method, *said, err)
		}
	}
	if _, err := r.client.Reload(t.Context()); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("a reload: %v", err)
	}
	for closes := false; !closes; { // on new connections and on one that is kept, until that is told to close
		if code, _ := r.send(t, http.MethodPost, base+"/v2/models/m/infer", question); code != 200 {
			t.Errorf("on a new connection: %d", code)
		}
		var code int
		if code, closes = predict(kept); code != 200 {
			t.Errorf("on one that is kept: %d", code)
		}
	}
	must(t, r.stop())
	if _, err := net.Dial("tcp", r.HTTP); err == nil {
		t.Error("it still listens")
	}
}

// message is a message of gRPC as it is, and the codec that leaves it so.
type message []byte

func (*message) Name() string { return "proto" }

func (*message) Marshal(v any) ([]byte, error) { return *v.(*message), nil }

func (*message) Unmarshal(data []byte, v any) error {
	*v.(*message) = append(message{}, data...)
	return nil
}

func TestAServerThatIsTerminatedWaitsForBalancers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config.Default()
		s := &server{options: options(""), gateway: gateway.New(gateway.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}), parting: &parting{}}
		s.settings.Store(c)
		stop := func(cause error) (ended chan struct{}, fail func()) {
			ctx, cancel := context.WithCancelCause(t.Context())
			parts, fail := context.WithCancel(t.Context())
			ended = make(chan struct{})
			go func() {
				defer close(ended)
				s.stopping(ctx, parts)
			}()
			synctest.Wait()
			cancel(cause)
			synctest.Wait()
			return ended, fail
		}
		is := func(when string, ended chan struct{}, over, parting bool) {
			t.Helper()
			synctest.Wait()
			select {
			case <-ended:
				if !over {
					t.Errorf("%s it is over", when)
				}
			default:
				if over {
					t.Errorf("%s it goes on", when)
				}
			}
			if s.parting.now.Load() != parting || !s.gateway.Draining() {
				t.Errorf("%s it parts: %v; it drains: %v", when, !parting, s.gateway.Draining())
			}
		}
		ended, fail := stop(context.Canceled) // Ctrl-C
		is("after an interrupt", ended, true, false)
		fail()
		ended, fail = stop(ErrTerminated)
		time.Sleep(c.Server.DrainDelay/2 - 1)
		is("in the first half", ended, false, false)
		time.Sleep(time.Nanosecond)
		is("in the second half", ended, false, true)
		time.Sleep(c.Server.DrainDelay/2 - 1)
		is("before the end", ended, false, true)
		time.Sleep(time.Nanosecond)
		is("at the end", ended, true, true)
		fail()
		ended, fail = stop(ErrTerminated)
		is("at once", ended, false, true)
		fail() // a listener, say
		is("when a part fails", ended, true, true)
	})
}

func TestAServerThatParts(t *testing.T) {
	answer := &parting{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := dataServer(answer, config.Default().Server.Limits, options("").Log)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() { server.Close(); <-ended }()
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for what, transport := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2.0": {Protocols: &h2}} {
		client := &http.Client{Transport: transport}
		connections := map[string]bool{} // of the client, by its address
		transport.DialContext = dialer(connections)
		ask := func() {
			resp, err := client.Get("http://" + l.Addr().String())
			must(t, err)
			_, err = io.Copy(io.Discard, resp.Body) // else the connection is not kept
			must(t, err)
			resp.Body.Close()
			if resp.Proto != what || resp.StatusCode != http.StatusOK {
				t.Errorf("%s is answered with %s %s", what, resp.Proto, resp.Status)
			}
		}
		answer.now.Store(false)
		ask()
		ask()
		if len(connections) != 1 {
			t.Errorf("%s: %d connections before", what, len(connections))
		}
		answer.now.Store(true)
		ask()
		ask()
		if len(connections) < 2 {
			t.Errorf("%s: the connection is kept", what)
		}
		transport.CloseIdleConnections()
	}
}

func TestServersHaveBounds(t *testing.T) {
	r := start(t, t.TempDir(), func(c *config.Config) {
		c.Server.Limits.HeaderBytes, c.Server.Limits.ReadHeader, c.Server.Limits.Read = config.KiB, 500*time.Millisecond, time.Second
	})
	for _, address := range []string{r.HTTP, r.Control} {
		large := strings.Repeat("x", 8<<10) // net/http takes 4 KiB more than it is told
		if code, _ := r.send(t, http.MethodGet, "http://"+address+"/healthz", "", "X-Large", large); code != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: large headers: %d", address, code)
		}
		conn, err := net.Dial("tcp", address)
		must(t, err)
		_, err = fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n") // and no more
		must(t, err)
		text, err := bufio.NewReader(conn).ReadString(0)
		if err == nil || strings.Contains(text, " 200 ") {
			t.Errorf("%s: headers that do not come: %q, %v", address, text, err)
		}
		conn.Close()
	}
	r.importStump(t, 1)
	r.until(t, "version 1 is live", live(1))
	conn, err := net.Dial("tcp", r.HTTP)
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	must(t, err)
	text, err := bufio.NewReader(conn).ReadString(0)
	if err == nil || !strings.HasPrefix(text, "HTTP/1.1 408 ") || !strings.Contains(text, "the body did not come in time") {
		t.Errorf("a body that does not come: %q, %v", text, err)
	}
}
