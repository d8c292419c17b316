package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// switching is an upstream that changes to a protocol in which it says back what it hears, once.
func switching(t *testing.T, answer string) *proxytest.Server {
	return proxytest.Misbehave(t, func(c *proxytest.Conn) {
		r, err := c.Head()
		if err != nil || c.Say("%s", answer) != nil || r.Header.Get("Upgrade") == "" {
			return
		}
		_, _ = io.Copy(c, c)
	})
}

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: abc\r\n\r\nearly"

func TestAProtocolIsChangedAndBytesPassBothWays(t *testing.T) {
	up := switching(t, switched)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}, Timeout: 100 * time.Millisecond})
	c := p.dial(t)
	_, _ = io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	in := bufio.NewReader(c)
	w, err := http.ReadResponse(in, nil)
	if err != nil || w.StatusCode != http.StatusSwitchingProtocols || w.Header.Get("Upgrade") != "websocket" || w.Header.Get("Connection") != "Upgrade" ||
		w.Header.Get("Sec-Websocket-Accept") != "abc" || w.Header.Get("Serin-Decision") == "" {
		t.Fatalf("%+v %v", w, err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(in, b); err != nil || string(b) != "early" {
		t.Fatalf("%q %v", b, err)
	}
	time.Sleep(150 * time.Millisecond) // the service's time is over
	for i := range 3 {
		say := fmt.Sprintf("say %d", i)[:5]
		_, _ = io.WriteString(c, say)
		if _, err := io.ReadFull(in, b); err != nil || string(b) != say {
			t.Fatalf("%q %v", b, err)
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil { // of which the other side is told, and ends too
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
	tallies, decisions := p.written(t, 1)
	if tally := tallies["stable"]; tally.Requests != 1 || tally.Latency.Count() != 1 || decisions[0].Status != 101 {
		t.Errorf("counted: %+v", tally)
	}
}

func TestAChangedProtocolEndsWhenTheGatewayParts(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), descriptorCount(t)
	up := switching(t, switched)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	c := p.dial(t)
	_, _ = io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(c)
	if w, err := http.ReadResponse(in, nil); err != nil || w.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v %v", w, err)
	}
	p.Part()
	if _, err := io.ReadAll(in); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	c.Close()
	p.server.Close()
	up.Stop()
	settled(t, goroutines, descriptors)
}

func TestNobodyChangesAProtocolUnasked(t *testing.T) {
	up := switching(t, switched)
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{variantOf("stable", upstreamOf(t, up.URL()))}})
	if a := p.ask(t, "GET", "/", ""); a.status != 502 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
