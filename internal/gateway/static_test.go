package gateway

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/proxy"
)

// folder makes files, by their paths, and returns a variant that answers with them.
func folder(t *testing.T, files map[string]string) (VariantOptions, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(filepath.Join(dir, "web"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return VariantOptions{Name: "site", Files: NewFiles(root)}, dir
}

func TestAFolderIsAnsweredWith(t *testing.T) {
	site, dir := folder(t, map[string]string{
		"secret": "no", "web/index.html": "<p>home", "web/a b/é.txt": "text", "web/.env": "no", "web/.git/config": "no", "web/data.json": `{"a":1}`, "web/docs/index.html": "<p>docs",
		"web/empty/x/y": "no", "web/nosuffix": "<html>",
	})
	if err := os.Symlink("../secret", filepath.Join(dir, "web", "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("data.json", filepath.Join(dir, "web", "in.json")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "web", "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{site}, Prefixes: []Prefix{{Path: "/site"}, {Path: "/docs/", Rewrite: "/docs/", HasRewrite: true}}})
	for _, tt := range []struct {
		method, path string
		status       int
		body         string // "": anything
		field, value string
	}{
		{"GET", "/site/", 200, "<p>home", "Content-Type", "text/html; charset=utf-8"},
		{"GET", "/site", 301, "", "Location", "./site/"},
		{"GET", "/site?a=b", 301, "", "Location", "./site/?a=b"},
		{"GET", "/site/index.html", 200, "<p>home", "X-Content-Type-Options", "nosniff"},
		{"GET", "/site/a%20b/%C3%A9.txt", 200, "text", "", ""},
		{"GET", "/site/data.json", 200, `{"a":1}`, "Content-Type", "application/json"},
		{"GET", "/site/in.json", 200, `{"a":1}`, "", ""},
		{"HEAD", "/site/data.json", 200, "", "Content-Length", "7"},
		{"GET", "/site/docs/", 200, "<p>docs", "", ""},
		{"GET", "/site/docs", 301, "", "Location", "./docs/"},
		{"GET", "/docs/", 200, "<p>docs", "", ""},
		{"GET", "/site/empty/", 404, "", "", ""},
		{"GET", "/site/none", 404, "there is no such file\n", "", ""},
		{"GET", "/site/data.json/", 404, "", "", ""},
		{"GET", "/site/.env", 404, "", "", ""},
		{"GET", "/site/%2Eenv", 404, "", "", ""},
		{"GET", "/site/.git/config", 404, "", "", ""},
		{"GET", "/site/out", 404, "", "", ""},
		{"GET", "/site/pipe", 404, "", "", ""},
		{"GET", "/site/../secret", 400, "", "", ""},
		{"GET", "/site/%2e%2e/secret", 400, "", "", ""},
		{"GET", "/site/..%2fsecret", 400, "", "", ""},
		{"POST", "/site/data.json", 405, "", "Allow", "GET, HEAD"},
		{"DELETE", "/site/data.json", 405, "", "", ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, p.server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(tt.path, "?")
		r.URL.Opaque, r.URL.RawQuery = path, query // as it is
		a := do(r)
		if a.status != tt.status || tt.body != "" && a.body != tt.body || tt.field != "" && a.header.Get(tt.field) != tt.value {
			t.Errorf("%s %s: %d %q %v %v", tt.method, tt.path, a.status, a.body, a.header, a.err)
		}
		if strings.Contains(a.body, "no\n") || a.body == "no" {
			t.Errorf("%s gives %q", tt.path, a.body)
		}
	}
	tallies, decisions := p.written(t, 21) // who asks for what can be read in two ways is drawn no variant
	if tally := tallies["site"]; tally.Requests != 21 || tally.Latency.Count() != 11 || tally.Errors[event.Client] != 10 {
		t.Errorf("counted: %+v", tally)
	}
	if decisions[0].Assigned != "site" {
		t.Errorf("written: %+v", decisions[0])
	}
}

func TestAFileIsReadInPartsAndOnlyIfItHasChanged(t *testing.T) {
	site, dir := folder(t, map[string]string{"web/data": strings.Repeat("0123456789", 500_000)})
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{site}})
	whole := p.ask(t, "GET", "/data", "")
	tag := whole.header.Get("Etag")
	if whole.status != 200 || len(whole.body) != 5_000_000 || whole.err != nil || whole.header.Get("Content-Length") != "5000000" || tag == "" || whole.header.Get("Last-Modified") == "" {
		t.Fatalf("%d, %d bytes, %v, %v", whole.status, len(whole.body), whole.header, whole.err)
	}
	if a := p.ask(t, "GET", "/data", "", "If-None-Match", tag); a.status != 304 || a.body != "" {
		t.Errorf("%d %q", a.status, a.body)
	}
	if a := p.ask(t, "GET", "/data", "", "Range", "bytes=12-15"); a.status != 206 || a.body != "2345" {
		t.Errorf("%d %q", a.status, a.body)
	}
	if err := os.WriteFile(filepath.Join(dir, "web/data"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := p.ask(t, "GET", "/data", "", "If-None-Match", tag); a.status != 200 || a.body != "new" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

func TestAReaderOfAFileThatDoesNotReadIsCutOff(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), descriptorCount(t)
	site, _ := folder(t, map[string]string{"web/data": strings.Repeat("0123456789", 5_000_000)})
	p := newPassing(t, ServiceOptions{Variants: []VariantOptions{site}})
	p.options.WriteTimeout = 50 * time.Millisecond
	c := p.dial(t)
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, _ = c.Write([]byte("GET /data HTTP/1.1\r\nHost: a\r\n\r\n"))
	tallies, _ := p.written(t, 1)
	if tally := tallies["site"]; tally.Errors[event.Gone] != 1 {
		t.Errorf("counted: %+v", tally)
	}
	c.Close()
	settled(t, goroutines, descriptors)
}

// A folder may stand in for an upstream.
func TestAPageStandsInForAnUpstreamThatIsDown(t *testing.T) {
	site, _ := folder(t, map[string]string{"web/index.html": "sorry"})
	variants := []VariantOptions{variantOf("app", failing(proxy.Down, false)), site}
	p := newPassing(t, ServiceOptions{Variants: variants, Failover: true, Policy: sharing(t, nil, weights(t, "app", "99", "site", "1"), variants)})
	for range 50 {
		if a := p.ask(t, "GET", "/", ""); a.status != 200 || a.body != "sorry" {
			t.Fatalf("%d %q", a.status, a.body)
		}
	}
	tallies, _ := p.written(t, 50)
	if tally := tallies["app"]; tally.Errors[event.Server] != tally.Requests || tally.Latency.Count() != 0 {
		t.Errorf("counted: %+v", tally)
	}
}
