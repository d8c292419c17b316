package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

func TestAReloadKeepsAnUpstreamThatStaysTheSame(t *testing.T) {
	good, bad := proxytest.Serve(t, named("good")), proxytest.Serve(t, named("bad"))
	bad.Stop()
	file := func(timeout, failTimeout, more string) string {
		return fmt.Sprintf("services:\n  - name: movies\n    path: /\n    timeout: %s\n    variants: [{instances: [%q, %q], failTimeout: %s%s}]\n", timeout, good.URL(), bad.URL(), failTimeout, more)
	}
	f := startFile(t, file("1s", "30m", ""))
	ask := func() {
		t.Helper()
		for range 3 {
			if code, body := f.get(t, "/"); code != 200 || body != "good" {
				t.Fatalf("%d %s", code, body)
			}
		}
	}
	ask()
	before := f.instances(t, "stable")
	if b := before[bad.URL()]; b.State != "failing" || b.Why == "" || b.Failures != 1 {
		t.Fatalf("got %+v", before)
	}
	if list, err := f.client.Services(t.Context()); err != nil || list.Services[0].State != "degraded" || !strings.Contains(list.Services[0].Error, bad.URL()+" is failing") {
		t.Errorf("got %+v, %v", list, err)
	}

	for _, text := range []string{file("2s", "30m", ""), file("2s", "30m", ", version: next"), file("2s", "30m", "") + "server: {drain: 10s}\n"} {
		f.reload(t, text)
		ask()
		after := f.instances(t, "stable")
		if a, b := after[bad.URL()], before[bad.URL()]; a != b {
			t.Errorf("what was known of an instance is lost: %+v, was %+v", a, b)
		}
		if n := good.Conns(); n != 1 {
			t.Errorf("%d connections; the one that there was is not used any more", n)
		}
	}

	// With other settings there is another upstream, and the old one's connections go.
	f.reload(t, file("2s", "40m", ""))
	ask()
	if after := f.instances(t, "stable"); !after[bad.URL()].Since.After(before[bad.URL()].Since) {
		t.Errorf("got %+v", after)
	}
	f.eventually(t, "the old connection is closed", func() bool { return good.Conns() == 2 && good.Open() == 1 })

	// So there is where the server's addresses change, though the service says what it said.
	f.reload(t, file("2s", "40m", "")+"server: {upstreams: {deny: [10.0.0.0/8]}}\n")
	ask()
	f.eventually(t, "the old connection is closed", func() bool { return good.Conns() == 3 && good.Open() == 1 })
}

// eventually waits for something that no call tells of.
func (r *running) eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	r.until(t, what, func([]api.Service) bool { return reached() })
}

func TestAReloadThatFailsLeavesUpstreamsAsTheyAre(t *testing.T) {
	one := proxytest.Serve(t, named("one"))
	const services = "services:\n  - {name: movies, path: /, variants: [{upstream: %q%s}]}\n%s"
	f := startFile(t, fmt.Sprintf(services, one.URL(), "", ""))
	if code, body := f.get(t, "/"); code != 200 || body != "one" {
		t.Fatalf("%d %s", code, body)
	}
	for more, want := range map[string]string{
		"  - {name: web, host: a.example.com, static: /nowhere/at/all}\n":                                    "service web, variant stable: static: ",
		"  - {name: far, host: a.example.com, variants: [{upstream: \"https://a\", tls: {ca: /nowhere}}]}\n": "service far, variant stable: tls.ca: ",
		"  - {name: m, variants: [{model: m/9}]}\n":                                                          "service m, variant stable: ",
	} {
		f.write(t, fmt.Sprintf(services, one.URL(), ", maxFails: 7", more))
		if done, err := f.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %+v, %v, want %s", done, err, want)
		}
		if code, body := f.get(t, "/"); code != 200 || body != "one" || one.Conns() != 1 {
			t.Errorf("%d %s, over %d connections", code, body, one.Conns())
		}
	}
}

// TestAStreamOutlivesTheReloadThatTakesItsUpstreamAway reads the first piece of an answer, reloads, and reads the rest.
func TestAStreamOutlivesTheReloadThatTakesItsUpstreamAway(t *testing.T) {
	more := make(chan struct{})
	old := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-more:
			_, _ = io.WriteString(w, "data: 2\n\n")
		case <-r.Context().Done():
		}
	}))
	next := proxytest.Serve(t, named("next"))
	const services = "services: [{name: movies, path: /, upstream: %q}]"
	f := startFile(t, fmt.Sprintf(services, old.URL()))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.HTTP+"/events", nil)
	must(t, err)
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	first := make([]byte, len("data: 1\n\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	f.reload(t, fmt.Sprintf(services, next.URL()))
	if code, body := f.get(t, "/events"); code != 200 || body != "next" {
		t.Errorf("%d %s", code, body)
	}
	close(more)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(rest) != "data: 2\n\n" {
		t.Errorf("got %q, %v", rest, err)
	}
	f.eventually(t, "the old upstream's connection is closed", func() bool { return old.Open() == 0 })
}

// TestInstancesAndWeightsChangeUnderLoadWithoutALostRequest reloads 100 times, every other time with a mistake, while clients ask: instances
// come and go, and so do shares.
func TestInstancesAndWeightsChangeUnderLoadWithoutALostRequest(t *testing.T) {
	var servers []*proxytest.Server
	for i := range 3 {
		servers = append(servers, proxytest.Serve(t, named(fmt.Sprint(i))))
	}
	file := func(n int) string {
		a, b, c := servers[n%3].URL(), servers[(n+1)%3].URL(), servers[(n+2)%3].URL()
		return fmt.Sprintf("services:\n  - name: movies\n    path: /\n    timeout: 30s\n    variants: [{instances: [%q, %q]}, {name: canary, upstream: %q}]\n    traffic: {weights: {stable: 4, canary: %d}}\n", a, b, c, n%2)
	}
	f := startFile(t, file(0))
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	asked := make([]int, 4)
	for i := range asked {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i == 0}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				resp, err := client.Post("http://"+f.HTTP+"/recommend/ada", "text/plain", strings.NewReader("a POST is not sent twice"))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || len(body) != 1 {
					t.Errorf("%d %s %v", resp.StatusCode, body, err)
					return
				}
				asked[i]++
			}
		})
	}
	for n := range 100 {
		if n%2 == 1 {
			f.write(t, file(n)+"    fallback: {status: 99}\n")
			if _, err := f.client.Reload(t.Context()); fault.KindOf(err) != fault.Invalid {
				t.Fatalf("a mistake is taken: %v", err)
			}
			continue
		}
		f.reload(t, file(n/2))
	}
	stop()
	clients.Wait()
	total := 0
	for _, n := range asked {
		total += n
	}
	if total < 100 {
		t.Errorf("the test does not test: %d requests", total)
	}
	// What a server has open now is of the upstream that runs: nothing is left of those before.
	f.eventually(t, "old connections are closed", func() bool {
		open := 0
		for _, s := range servers {
			open += s.Open()
		}
		now := 0
		for _, variant := range []string{"stable", "canary"} {
			for _, in := range f.instances(t, variant) {
				now += in.Connections
			}
		}
		return open == now
	})
	t.Logf("%d requests", total)
}
