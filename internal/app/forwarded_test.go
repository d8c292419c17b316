package app

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/proxy"
)

// What is for one connection alone ends there, what Serin says stays whatever a client names, and what a client says of itself is believed
// only of trusted proxies.
func TestAnUpstreamIsToldNothingForged(t *testing.T) {
	seen := make(chan *http.Request, 1) // the first of a connection's requests
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			seen <- r
		}
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Serin-Decision", "Serin-Fallback", "X-Kept"} {
			w.Header().Set(name, "theirs")
		}
		w.Header().Set("Connection", "X-Dropped")
		w.Header().Set("X-Dropped", "theirs")
	}))
	t.Cleanup(up.Close)
	keys, err := event.NewKeys([32]byte{1})
	must(t, err)
	serve := func(trusted ...netip.Prefix) string {
		u, err := proxy.New(proxy.Defaults(up.URL))
		must(t, err)
		t.Cleanup(u.Close)
		service := gateway.NewService(gateway.ServiceOptions{
			Name: "up", Prefixes: []gateway.Prefix{{Path: "/"}}, Variants: []gateway.VariantOptions{{Name: "stable", Upstream: u, Passed: true}},
		})
		service.Variants()[0].Swap(&gateway.Live{Name: "upstream", Digest: "1", Runtime: "upstream"})
		g := gateway.New(gateway.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Keys: keys, TrustedProxies: trusted})
		g.SetServices([]*gateway.Service{service})
		return serveHandler(t, g)
	}
	direct, behind := serve(), serve(netip.MustParsePrefix("127.0.0.0/8"))

	const spoofed = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 1.2.3.4\r\n" +
		"Forwarded: for=1.2.3.4\r\nSerin-Decision: forged\r\nSerin-Variant: canary\r\nSerin-Anything: forged\r\n"
	none := []string(nil)
	for _, c := range []struct {
		name, address, header string
		want                  map[string][]string
	}{
		{"nothing said", direct, "", map[string][]string{
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a"}, "Serin-Variant": {"stable"}, "Via": none,
		}},
		{"spoofed", direct, spoofed, map[string][]string{
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a"}, "X-Forwarded-Port": none, "X-Forwarded-Prefix": none,
			"X-Real-Ip": none, "Forwarded": none, "Serin-Variant": {"stable"}, "Serin-Anything": none,
		}},
		{"spoofed with underscores", direct, strings.ReplaceAll(spoofed, "-", "_"), map[string][]string{
			"X-Forwarded-For": {"127.0.0.1"}, "X_forwarded_for": none, "X_forwarded_proto": none, "X_real_ip": none, "Serin_decision": none, "Serin_variant": none, "Serin_anything": none,
		}},
		{"spoofed in capitals, twice", direct, "X-FORWARDED-FOR: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\nSERIN-VARIANT: canary\r\n", map[string][]string{
			"X-Forwarded-For": {"127.0.0.1"}, "Serin-Variant": {"stable"},
		}},
		{"by a trusted proxy", behind, "X-Forwarded-For: 1.2.3.4, 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nForwarded: for=1.2.3.4\r\nSerin-Variant: canary\r\n", map[string][]string{
			"X-Forwarded-For": {"1.2.3.4, 198.51.100.7, 127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"shop"}, "Forwarded": none, "Serin-Variant": {"stable"},
		}},
		{"Connection names what Serin says", direct, "Connection: X-Forwarded-For, X-Forwarded-Proto, Serin-Decision, Serin-Variant, X-Request-Id, Host\r\n", map[string][]string{
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "Serin-Variant": {"stable"}, "Connection": none,
		}},
		{"Connection names the client's own", direct, "Connection: X-User, Authorization , cookie\r\nConnection: close, X-Two\r\nX-User: u\r\nAuthorization: Bearer x\r\nCookie: a=b\r\nX-Two: y\r\nX-Three: z\r\n", map[string][]string{
			"X-User": none, "Authorization": none, "Cookie": none, "X-Two": none, "X-Three": {"z"}, "Connection": none,
		}},
		{"for one connection alone", direct, "TE: trailers, deflate\r\nTrailer: X\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n" +
			"Proxy-Authorization: Basic x\r\nProxy-Authenticate: Basic\r\nProxy: http://evil\r\nExpect: 100-continue\r\nX-Kept: y\r\n", map[string][]string{
			"Te": none, "Trailer": none, "Upgrade": none, "Http2-Settings": none, "Keep-Alive": none, "Proxy-Connection": none, "Proxy-Authorization": none, "Proxy-Authenticate": none,
			"Proxy": none, "Expect": none, "X-Kept": {"y"},
		}},
		{"an upgrade to what is not looked at", direct, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", map[string][]string{"Upgrade": none, "Connection": none, "Http2-Settings": none}},
		{"an id that is sane", direct, "X-Request-Id: abc-1\r\n", map[string][]string{"X-Request-Id": {"abc-1"}}},
		{"what nobody asked for is not added", direct, "", map[string][]string{"Accept-Encoding": none, "User-Agent": none}},
		{"encodings are the client's", direct, "Accept-Encoding: br\r\nUser-Agent: mine\r\n", map[string][]string{"Accept-Encoding": {"br"}, "User-Agent": {"mine"}}},
		{"fields that come twice", direct, "X-A: 1\r\nX-A: 2\r\n", map[string][]string{"X-A": {"1", "2"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answers := converse(t, c.address, "GET /1 HTTP/1.1\r\nHost: a\r\n"+c.header+"\r\n"+"GET /2 HTTP/1.0\r\n\r\n")
			if len(status) < 1 || status[len(status)-1] != http.StatusOK && status[len(status)-1] != http.StatusContinue {
				t.Fatalf("%v %q", status, answers)
			}
			r := <-seen
			for name, want := range c.want {
				if got := r.Header[name]; !slices.Equal(got, want) {
					t.Errorf("the upstream is told %s: %q, want %q", name, got, want)
				}
			}
			if r.Host != "a" || len(r.Header["Serin-Decision"]) != 1 || len(r.Header["X-Request-Id"]) != 1 {
				t.Errorf("the upstream is told %q, %v", r.Host, r.Header)
			}
			token, err := event.ParseToken(r.Header.Get("Serin-Decision"), keys)
			if err != nil {
				t.Errorf("the upstream has a token that is none: %v", err)
			}
			if got := answers; strings.Contains(got, "Connection: theirs") || strings.Contains(got, "X-Dropped") || strings.Contains(got, "Keep-Alive") || strings.Contains(got, "Proxy-Connection") ||
				strings.Contains(got, "Serin-Decision: theirs") || strings.Contains(got, "Serin-Fallback") || !strings.Contains(got, "X-Kept: theirs") {
				t.Errorf("the client is told %q", got)
			}
			if !strings.Contains(answers, fmt.Sprintf("Serin-Decision: %s", r.Header.Get("Serin-Decision"))) {
				t.Errorf("the client has another token than the upstream: %q, %v", answers, token.Decision)
			}
		})
	}
}
