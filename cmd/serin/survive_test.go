package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/load"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// TestWhateverAnUpstreamDoesItsClientsAreAnswered has clients ask upstreams that hang, drip, reset, lie or never end. Each request is
// answered by the fallback or by what the upstream did say, and in the end the server holds no more than before.
func TestWhateverAnUpstreamDoesItsClientsAreAnswered(t *testing.T) {
	t.Parallel()
	const fallback, cut = "fallback", "cut off"
	upstreams := map[string]struct {
		does proxytest.Behaviour
		post int // bytes to send; 0: GET
		want string
	}{
		"hangs":         {proxytest.HangAfterAccept, 0, fallback},
		"hangs-midway":  {proxytest.HangAfterHead, 0, fallback},
		"never-reads":   {proxytest.NeverReads, 8 << 20, fallback},
		"drips-head":    {proxytest.DripHead(20 * time.Millisecond), 0, fallback},
		"drips-body":    {proxytest.DripBody(time.Millisecond), 0, fallback},
		"resets":        {proxytest.ResetBeforeAnswer, 0, fallback},
		"resets-midway": {proxytest.ResetMidBody, 0, fallback},
		"short":         {proxytest.Short, 0, fallback},
		"short-chunks":  {proxytest.ShortChunks, 0, fallback},
		"garbage":       {proxytest.Garbage, 0, fallback},
		"long":          {proxytest.Long, 0, "200"},
		"closes":        {proxytest.ClosesKept, 0, "200"},
		"unasked":       {proxytest.Unasked, 0, fallback + " or 200"},     // whose answer that is, nobody knows
		"early":         {proxytest.Early, 1 << 20, "413 or " + fallback}, // it does not answer again on a connection that it keeps
		"10-gb":         {proxytest.Huge(10<<30, true), 0, cut},
		"10-gb-untold":  {proxytest.Huge(10<<30, false), 0, cut},
	}
	var file strings.Builder
	file.WriteString("services:\n")
	var servers []*proxytest.Server
	for name, u := range upstreams {
		server := proxytest.Misbehave(t, u.does)
		servers = append(servers, server)
		fmt.Fprintf(&file, "  - {name: %s, path: /%[1]s/, timeout: 300ms, fallback: {status: 203, body: fallback}, upstream: %q}\n", name, server.URL())
	}
	s := survive(t, file.String())
	warm := &http.Client{Timeout: 10 * time.Second}
	askOnce(warm, http.MethodGet, "http://"+s.address+"/readyz", "")
	warm.CloseIdleConnections()
	goroutines, files := s.metric("go_goroutines"), s.files()

	const clients = 3
	times := howOften(t, "SERIN_SURVIVE", 3, 10, 1)
	var asking sync.WaitGroup
	for name, u := range upstreams {
		method, body := http.MethodGet, strings.Repeat("x", u.post)
		if u.post > 0 {
			method = http.MethodPost
		}
		for range clients {
			asking.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
				defer client.CloseIdleConnections()
				for range times {
					a := askOnce(client, method, "http://"+s.address+"/"+name+"/", body)
					is := fmt.Sprint(a.status)
					switch {
					case a.status == http.StatusNonAuthoritativeInfo && a.body == "fallback" && a.fallback != "" && a.err == nil:
						is = fallback
					case a.status == http.StatusOK && a.err != nil:
						is = cut
					case a.err != nil:
						is = a.err.Error()
					}
					if !strings.Contains(u.want, is) {
						t.Errorf("%s: %s, want %s; %d %q %q %v", name, is, u.want, a.status, a.fallback, a.body, a.err)
					}
				}
			})
		}
	}
	asking.Wait()
	for _, server := range servers {
		server.Stop()
	}
	const few = 5
	s.until("goroutines and files are given back", func() bool {
		return s.metric("go_goroutines") <= goroutines+few && s.files() <= files+few
	})
}

// TestACanaryThatAlwaysFailsIsPutAside has a canary answer 500, all the time. After a few of its answers its users are with stable, whose
// requests never fail.
func TestACanaryThatAlwaysFailsIsPutAside(t *testing.T) {
	t.Parallel()
	one, two, canary := proxytest.Serve(t, nil), proxytest.Serve(t, nil), proxytest.Serve(t, proxytest.Status(http.StatusInternalServerError))
	s := survive(t, fmt.Sprintf(`
services:
  - name: movies
    path: /
    timeout: 10s
    failover: true
    variants: [{name: stable, instances: [%q, %q]}, {name: canary, upstream: %q}]
    traffic: {weights: {stable: 4, canary: 1}, sticky: {unit: "header:X-User"}}
`, one.URL(), two.URL(), canary.URL()))
	const clients, inARow = 8, 5
	c := gather(clients, func(client *http.Client, n int) (string, bool) {
		a := askOnce(client, http.MethodGet, "http://"+s.address+"/", "", "X-User", fmt.Sprint("user-", n%500))
		if a.status == http.StatusInternalServerError && a.err == nil {
			return "500", true
		}
		return good(a)
	})
	defer c.home(t)
	s.until("the canary is put aside", func() bool { return s.instance("canary") == "ejected" })
	seen, before := c.count("500"), c.count("")
	s.until("more requests", func() bool { return c.count("") > before+200 })
	if later := c.count("500"); later > seen+clients || later > inARow+clients {
		t.Errorf("%d requests have failed, %d of them after the canary was put aside", later, later-seen)
	}
	for _, code := range []string{"4xx", "5xx", "down", "late", "broken", "full"} {
		if n := s.metric("serin_upstream_requests_total", `variant="stable"`, `code="`+code+`"`); n > 0 {
			t.Errorf("stable has failed %v times: %s", n, code)
		}
	}
}

// TestAShadowThatHangsTakesNothing has a shadow hang: everybody is answered, and what the shadow was not asked is counted.
func TestAShadowThatHangsTakesNothing(t *testing.T) {
	t.Parallel()
	primary, shadow := proxytest.Serve(t, nil), proxytest.Misbehave(t, proxytest.HangAfterAccept)
	s := survive(t, fmt.Sprintf(`
services:
  - name: movies
    path: /
    timeout: 10s
    variants: [{name: stable, upstream: %q}, {name: next, upstream: %q}]
    traffic: {weights: {stable: 1}}
    shadow: [{variant: next, percent: 100, timeout: 500ms, inFlight: 4, queue: 16}]
`, primary.URL(), shadow.URL()))
	asked := atomic.Int64{}
	c := gather(8, func(client *http.Client, _ int) (string, bool) {
		asked.Add(1)
		return good(askOnce(client, http.MethodGet, "http://"+s.address+"/", ""))
	})
	s.until("the queue overflows", func() bool { return s.metric("serin_shadow_dropped_total") > 0 })
	s.until("copies are given up", func() bool { return s.metric("serin_shadow_results_total") > 4 })
	c.home(t)
	s.until("all copies are accounted for", func() bool {
		return s.metric("serin_shadow_dropped_total")+s.metric("serin_shadow_results_total") == float64(asked.Load())
	})
	if n := primary.Requests(); int64(n) != asked.Load() {
		t.Errorf("%d requests were made, and %d answered by the primary", asked.Load(), n)
	}
}

// TestOverloadIsShed asks five times as much as an upstream can do. Everyone is told something, those that are served are served well, and
// once it is over everything is as before.
func TestOverloadIsShed(t *testing.T) {
	t.Parallel()
	slots := make(chan struct{}, 4)
	work := proxytest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { // at most 400 a second
		slots <- struct{}{}
		defer func() { <-slots }()
		time.Sleep(10 * time.Millisecond)
	}))
	s := survive(t, fmt.Sprintf(`services: [{name: movies, path: /, timeout: 500ms, upstream: %q}]`, work.URL()))
	url, seconds := "http://"+s.address+"/", howOften(t, "SERIN_SURVIVE", 4, 10, 1)
	o := load.Options{
		URL: url, Rate: 2000, InFlight: 1500, Timeout: 10 * time.Second, MaxLag: time.Hour, Duration: time.Duration(seconds) * time.Second,
	}
	report, err := load.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, served p99 %v, not served p99 %v", report.Statuses, report.Latency.P99, report.FailedLatency.P99)
	told := 0
	for status, n := range report.Statuses {
		switch status {
		case "200", "503", "504":
			told += n
		default:
			t.Errorf("%d requests are answered with %s", n, status)
		}
	}
	if told != report.Requests || report.Statuses["200"] == 0 || report.Statuses["503"] == 0 {
		t.Errorf("of %d requests %d were told something: %v %v", report.Requests, told, report.Statuses, report.Problems)
	}
	if n, can := report.Statuses["200"], 400*seconds; seconds > 2 && n < can/20 { // a collapse, on however slow a machine
		t.Errorf("%d requests were served; the upstream can serve %d", n, can)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	s.until("it serves again", func() bool { return askOnce(client, http.MethodGet, url, "").status == http.StatusOK })
	for range 20 {
		if a := askOnce(client, http.MethodGet, url, ""); a.status != http.StatusOK {
			t.Errorf("after it: %+v", a)
		}
	}
}

// TestManyReloadsUnderLoadLoseNothing reloads a thousand times in CI, every other time with a mistake, while weights, instances, limits and
// fallbacks change.
func TestManyReloadsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	var urls []string
	for range 3 {
		urls = append(urls, proxytest.Serve(t, nil).URL())
	}
	file := func(n int) string {
		return fmt.Sprintf(`
services:
  - name: movies
    path: /
    timeout: %ds
    fallback: {status: 299, body: "%d"}
    variants: [{name: stable, instances: [%q, %q]}, {name: canary, upstream: %q}]
    traffic: {weights: {stable: 4, canary: %d}, sticky: {unit: "header:X-User"}}
    rateLimit: {requests: 100000, per: %[2]ds, key: client}
`, 20+n%3, n+1, urls[n%3], urls[(n+1)%3], urls[(n+2)%3], n%4)
	}
	s := survive(t, file(0))
	c := gather(6, func(client *http.Client, n int) (string, bool) {
		if n%2 == 0 {
			return good(askOnce(client, http.MethodGet, "http://"+s.address+"/", "", "X-User", fmt.Sprint(n%100)))
		}
		return good(askOnce(client, http.MethodPost, "http://"+s.address+"/", "a POST is sent once", "X-User", fmt.Sprint(n%100)))
	})
	defer c.home(t)
	control := s.reloader()
	mistakes := []string{"services: [", "services: [{name: movies, path: /, upstream: \"ftp://a\"}]", "services: [{name: movies}]", ""}
	for n := range howOften(t, "SERIN_SURVIVE_RELOADS", 100, 1000, 20) {
		if n%2 == 0 {
			s.write(file(n / 2))
			if err := control(); err != nil {
				t.Fatalf("reload %d: %v", n, err)
			}
			continue
		}
		s.write(mistakes[n/2%len(mistakes)])
		if control() == nil {
			t.Fatalf("the mistake of reload %d is taken", n)
		}
	}
}

// TestRecreatedInstancesLoseNoRequest stops and starts a canary, and then both stable instances, as a rollout of containers does, while
// clients ask.
func TestRecreatedInstancesLoseNoRequest(t *testing.T) {
	t.Parallel()
	one, two, canary := proxytest.Serve(t, nil), proxytest.Serve(t, nil), proxytest.Serve(t, nil)
	s := survive(t, fmt.Sprintf(`
services:
  - name: movies
    path: /
    timeout: 10s
    failover: true
    variants:
      - {name: stable, instances: [%q, %q], retry: {nonIdempotent: true}}
      - {name: canary, upstream: %q, retry: {nonIdempotent: true}}
    traffic: {weights: {stable: 4, canary: 1}, sticky: {unit: "header:X-User"}}
`, one.URL(), two.URL(), canary.URL()))
	c := gather(8, func(client *http.Client, n int) (string, bool) {
		method := http.MethodGet
		if n%2 == 0 {
			method = http.MethodPost
		}
		return good(askOnce(client, method, "http://"+s.address+"/", strings.Repeat("x", n%2*100), "X-User", fmt.Sprint(n%500)))
	})
	defer c.home(t)
	more := func() {
		before := c.count("")
		s.until("more requests", func() bool { return c.count("") > before+50 })
	}
	for round := range howOften(t, "SERIN_SURVIVE", 2, 10, 1) {
		for _, instance := range []*proxytest.Server{canary, one, two} {
			more()
			if round%2 == 0 {
				instance.Drain()
			} else {
				instance.Stop() // killed
			}
			more()
			instance.Start()
			before := instance.Requests()
			s.until("it is asked again", func() bool { return instance.Requests() > before })
		}
	}
}

// TestHostileClientsAreLeftAndOthersServed has clients send headers a byte at a time, headers without end, and frames of h2 that ask for
// nothing. All of them are hung up on, and everybody else is served.
func TestHostileClientsAreLeftAndOthersServed(t *testing.T) {
	t.Parallel()
	s := survive(t, fmt.Sprintf("services: [{name: movies, path: /, timeout: 10s, upstream: %q}]\nserver: {limits: {readHeader: 1s}}\n", proxytest.Serve(t, nil).URL()))
	c := gather(4, func(client *http.Client, _ int) (string, bool) {
		return good(askOnce(client, http.MethodGet, "http://"+s.address+"/", ""))
	})
	defer c.home(t)
	const within = 20 * time.Second
	var hostile sync.WaitGroup
	defer hostile.Wait()
	attack := func(name, begin, piece string, pace time.Duration) {
		conn, err := net.DialTimeout("tcp", s.address, within)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		hostile.Go(func() {
			_, err := io.WriteString(conn, begin)
			for err == nil && piece != "" {
				if _, err = io.WriteString(conn, piece); pace > 0 {
					time.Sleep(pace)
				}
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the server lets it go on", name)
			}
		})
		hostile.Go(func() {
			if !closed(conn) {
				t.Errorf("%s: the server does not hang up", name)
			}
		})
	}
	const h2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for range howOften(t, "SERIN_SURVIVE_LORISES", 500, 5000, 100) {
		attack("slow loris", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "x", 200*time.Millisecond)
	}
	for range 3 {
		attack("says nothing", "", "", 0)
		attack("headers", "GET / HTTP/1.1\r\nHost: a\r\n", strings.Repeat("X-Y: z\r\n", 100), 0)
		attack("PING", h2, strings.Repeat("\x00\x00\x08\x06\x00\x00\x00\x00\x0001234567", 100), 0)
		attack("SETTINGS", h2, strings.Repeat("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 100), 0)
		attack("CONTINUATION", h2+"\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82", "\x00\x00\x06\x09\x00\x00\x00\x00\x01\x40\x01a\x01bc", 0)
		attack("slow CONTINUATION", h2+"\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82", "\x00\x00\x01\x09\x00\x00\x00\x00\x01\x84", 200*time.Millisecond)
	}
}
