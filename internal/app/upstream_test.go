package app

import (
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
