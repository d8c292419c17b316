package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/proxy/proxytest"
)

// named answers with a name.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

// tellingOf answers with a name, and what it was asked.
func tellingOf(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s: %s %s for %s", name, r.Method, r.RequestURI, r.Header.Get("Serin-Variant"))
	})
}

// get asks the data plane for a path.
func (r *running) get(t *testing.T, path string, header ...string) (int, string) {
	t.Helper()
	return r.send(t, http.MethodGet, "http://"+r.HTTP+path, "", header...)
}

// instances are those of a variant, by address.
func (r *running) instances(t *testing.T, variant string) map[string]api.Instance {
	t.Helper()
	list, err := r.client.Services(t.Context())
	must(t, err)
	all := map[string]api.Instance{}
	for _, s := range list.Services {
		if s.Variant == variant {
			for _, in := range s.Instances {
				all[in.Address] = in
			}
		}
	}
	return all
}

func TestRequestsArePassedOnAndTheServiceTellsOfItsInstances(t *testing.T) {
	one, two := proxytest.Serve(t, tellingOf("one")), proxytest.Serve(t, tellingOf("two"))
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "index.html"), []byte("hello"), 0o600))
	f := startFile(t, fmt.Sprintf(`
services:
  - name: movies
    path: /recommend/
    rewrite: /api/
    variants:
      - {name: stable, instances: [%q, %q], version: "1.4.0"}
      - {name: canary, upstream: %q}
    traffic: {weights: {stable: 1}, match: [{variant: canary, header: X-Try, exact: canary}]}
  - name: site
    path: /web/
    static: %s
  - {name: m, variants: [{model: m}]}
`, one.URL(), two.URL(), two.URL(), folder))
	seen := map[string]bool{}
	for range 4 {
		code, body := f.get(t, "/recommend/ada?k=3")
		if seen[body] = true; code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	if !seen["one: GET /api/ada?k=3 for stable"] || !seen["two: GET /api/ada?k=3 for stable"] || len(seen) != 2 {
		t.Errorf("got %v", seen)
	}
	if code, body := f.get(t, "/recommend/ada", "X-Try", "canary"); code != 200 || body != "two: GET /api/ada for canary" {
		t.Errorf("the canary: %d %s", code, body)
	}
	if code, body := f.get(t, "/web/"); code != 200 || body != "hello" {
		t.Errorf("the folder: %d %s", code, body)
	}
	if code, _, version, body := f.ask(t, http.DefaultClient, "m"); code != 200 || version == "" {
		t.Errorf("the model: %d %s", code, body)
	}
	http.DefaultClient.CloseIdleConnections()
	if code, body := f.get(t, "/readyz"); code != 200 || !strings.Contains(body, `"movies"`) {
		t.Errorf("ready: %d %s", code, body)
	}

	list, err := f.client.Services(t.Context())
	must(t, err)
	var lines []string
	for _, s := range list.Services {
		lines = append(lines, fmt.Sprintf("%s/%s %s %s %q %d", s.Name, s.Variant, s.Kind, s.State, s.Digest, len(s.Instances)))
	}
	want := []string{
		`movies/stable upstream ready "1.4.0" 2`, fmt.Sprintf(`movies/canary upstream ready %q 1`, two.URL()),
		fmt.Sprintf(`site/stable static ready %q 0`, "static:"+folder),
	}
	if got := lines[:len(want)]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	stable := f.instances(t, "stable")
	if a, b := stable[one.URL()], stable[two.URL()]; a.State != "healthy" || b.State != "healthy" || a.Requests != 2 || b.Requests != 2 || a.Failures != 0 || a.Connections != 1 {
		t.Errorf("got %+v", stable)
	}
	metrics := f.metrics(t)
	for _, want := range []string{
		fmt.Sprintf(`serin_upstream_instance_healthy{instance=%q,service="movies",variant="stable"} 1`, one.URL()),
		fmt.Sprintf(`serin_upstream_requests_total{code="2xx",instance=%q,service="movies",variant="canary"} 1`, two.URL()),
		`serin_upstream_retries_total{kind="retry",service="movies",variant="stable"} 0`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics have no %s", want)
		}
	}
}

// metrics is what a scraper reads.
func (r *running) metrics(t *testing.T) string {
	t.Helper()
	code, text := r.send(t, http.MethodGet, "http://"+r.Control+"/metrics", "")
	if code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	return text
}

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
				if err != nil || resp.StatusCode != 200 || len(body) != 1 {
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

func TestAServerThatStopsAnswersWhatIsWithAnUpstream(t *testing.T) {
	began, more := make(chan struct{}), make(chan struct{})
	slow := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-more
		_, _ = io.WriteString(w, "done")
	}))
	f := startFile(t, fmt.Sprintf("services: [{name: movies, path: /, upstream: %q, timeout: 30s}]", slow.URL()))
	answers := make(chan string, 1)
	go func() {
		code, body := f.get(t, "/")
		answers <- fmt.Sprint(code, " ", body)
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	f.refusesSoon(t)
	close(more)
	if got := <-answers; got != "200 done" {
		t.Error(got)
	}
	must(t, <-stopped)
}

// refusesSoon waits until the server takes no connections any more.
func (r *running) refusesSoon(t *testing.T) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		resp, err := client.Get("http://" + r.HTTP + "/healthz")
		if err != nil {
			return
		}
		resp.Body.Close()
	}
	t.Fatal("the server goes on taking connections")
}

func TestFilesThatAreNotThereAreTold(t *testing.T) {
	dir := t.TempDir()
	pem := filepath.Join(dir, "ca.pem")
	must(t, os.WriteFile(pem, []byte("no certificate"), 0o600))
	c, err := config.Read("", fmt.Appendf(nil, `services:
  - {name: a, host: a, static: %s}
  - {name: b, host: b, static: %s}
  - {name: c, host: c, static: %s/none}
  - {name: d, host: d, variants: [{upstream: "https://d", tls: {ca: %s}}]}
  - {name: e, host: e, variants: [{upstream: "https://e", tls: {ca: %s/none}}]}
  - {name: f, host: f, variants: [{upstream: "https://f", tls: {serverName: f}}]}
`, dir, pem, dir, pem, dir))
	must(t, err)
	err = CheckFiles(c)
	if fault.KindOf(err) != fault.Invalid {
		t.Fatal(err)
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		"service b, variant stable: static: " + pem + " is no folder", "service c, variant stable: static: stat " + dir + "/none: ",
		"service d, variant stable: tls.ca: " + pem + " holds no certificate", "service e, variant stable: tls.ca: open " + dir + "/none: ",
	}
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Errorf("got %s", line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("got %d lines, want %d", len(lines), len(want))
	}
}

func TestAnUpstreamHasToProveWhoItIs(t *testing.T) {
	secure := httptest.NewTLSServer(named("secure")) // of example.com and 127.0.0.1, by an authority of its own
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	file := func(tls string) string {
		return fmt.Sprintf("services: [{name: s, path: /, variants: [{upstream: %q%s}]}]", secure.URL, tls)
	}
	f := startFile(t, file(""))
	for _, test := range []struct {
		tls  string
		code int
	}{
		{"", 503},
		{", tls: {ca: " + ca + "}", 200},
		{", tls: {ca: " + ca + ", serverName: example.com}", 200},
		{", tls: {ca: " + ca + ", serverName: other.example.net}", 503},
		{", tls: {serverName: example.com}", 503},
	} {
		f.reload(t, file(test.tls))
		if code, body := f.get(t, "/"); code != test.code || code == 200 && body != "secure" {
			t.Errorf("%s: %d %s", test.tls, code, body)
		}
	}

	// The file's content counts, not its name: other certificates in it are other settings.
	f.reload(t, file(", tls: {ca: "+ca+"}"))
	if code, body := f.get(t, "/"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	must(t, os.WriteFile(ca, otherAuthority(t), 0o600))
	f.reload(t, file(", tls: {ca: "+ca+"}"))
	if code, body := f.get(t, "/"); code != 503 {
		t.Errorf("an authority that is not in the file any more is believed: %d %s", code, body)
	}
}

// otherAuthority is a certificate that has signed nothing.
func otherAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// TestWhereRequestsMayGoIsCheckedWhateverANameStandsFor has names that stand for addresses of loopback.
func TestWhereRequestsMayGoIsCheckedWhateverANameStandsFor(t *testing.T) {
	one := proxytest.Serve(t, named("one"))
	_, port, err := net.SplitHostPort(one.Addr())
	must(t, err)
	file := func(upstreams string) string {
		return fmt.Sprintf("services: [{name: s, path: /, upstream: \"http://localhost:%s\"}]\nserver: {upstreams: {%s}}\n", port, upstreams)
	}
	f := startFile(t, file(""))
	for _, test := range []struct {
		upstreams string
		code      int
	}{
		{"deny: [10.0.0.0/8]", 200}, {`deny: [127.0.0.0/8, "::1"]`, 503}, {"allow: [10.0.0.0/8]", 503}, {`allow: [127.0.0.0/8, "::1"]`, 200},
	} {
		f.reload(t, file(test.upstreams))
		if code, body := f.get(t, "/"); code != test.code {
			t.Errorf("%s: %d %s", test.upstreams, code, body)
		}
	}
}

func TestUpstreamsAreSpokenToInHTTP2(t *testing.T) {
	one := proxytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	f := startFile(t, fmt.Sprintf("services: [{name: s, path: /, upstream: \"h2c://%s\"}]", one.Addr()))
	if code, body := f.get(t, "/"); code != 200 || body != "HTTP/2.0" {
		t.Errorf("%d %s", code, body)
	}
}

// TestAVersionMayBeLong has a name of 200 bytes in tallies, decisions and tokens.
func TestAVersionMayBeLong(t *testing.T) {
	one := proxytest.Serve(t, named("one"))
	version := strings.Repeat("v", 200)
	f := startFile(t, fmt.Sprintf("services: [{name: s, path: /, variants: [{upstream: %q, version: %s}]}]", one.URL(), version))
	for range 3 {
		if code, body := f.get(t, "/"); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	}
	f.tallied(t, "s", map[string]uint64{version: 3})
	f.eventually(t, "the decisions are there", func() bool {
		list, err := f.client.Decisions(t.Context(), "s", "", 10)
		must(t, err)
		return len(list) == 3 && list[0].Version == version && list[0].Assigned == "stable"
	})
}
