package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/testenv"
)

// backend is a server behind Serin that answers "METHOD TARGET" to everything, and knows what it saw.
type backend struct {
	name, url string
	// take returns what was seen since the last time, a line a request: METHOD TARGET body=BODY. What the backend could not read is a
	// line as well.
	take func(t *testing.T) []string
}

// backends starts a server of each kind that is installed.
func backends(t *testing.T) []*backend {
	t.Helper()
	all := []*backend{goBackend(t)}
	for _, b := range []struct {
		program string
		start   func(*testing.T, string) *backend
	}{{"nginx", nginxBackend}, {"node", nodeBackend}} {
		path, err := exec.LookPath(b.program)
		if err != nil {
			path, err = exec.LookPath("/usr/sbin/" + b.program) // where Debian has NGINX
		}
		if err != nil {
			t.Run(b.program, func(t *testing.T) { testenv.Missing(t, "%s is not installed (scripts/servers.sh)", b.program) })
			continue
		}
		all = append(all, b.start(t, path))
	}
	return all
}

func goBackend(t *testing.T) *backend {
	var mu sync.Mutex
	var saw []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		line := fmt.Sprintf("%s %s body=%s", r.Method, r.RequestURI, body)
		if err != nil {
			line += " broken"
		}
		mu.Lock()
		saw = append(saw, line)
		mu.Unlock()
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
	}))
	t.Cleanup(s.Close)
	return &backend{name: "Go", url: s.URL, take: func(*testing.T) []string {
		mu.Lock()
		defer mu.Unlock()
		taken := saw
		saw = nil
		return taken
	}}
}

// run starts a program that ends with the test, and returns what it prints.
func run(t *testing.T, name string, args ...string) *bufio.Reader {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	out, err := c.StdoutPipe()
	must(t, err)
	c.Stderr = os.Stderr
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return bufio.NewReader(out)
}

func nodeBackend(t *testing.T, node string) *backend {
	const script = `
const http = require("http");
let saw = [];
const server = http.createServer((q, a) => {
  if (q.url === "/__seen") { a.end(JSON.stringify(saw)); saw = []; return; }
  const parts = [];
  q.on("data", p => parts.push(p));
  q.on("error", () => saw.push(q.method + " " + q.url + " body= broken"));
  q.on("end", () => { saw.push(q.method + " " + q.url + " body=" + Buffer.concat(parts)); a.end(q.method + " " + q.url); });
});
server.on("clientError", (e, s) => { saw.push("not readable: " + e.code); s.destroy(); });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`
	port, err := run(t, node, "-e", script).ReadString('\n')
	must(t, err)
	url := "http://127.0.0.1:" + strings.TrimSpace(port)
	return &backend{name: "Node", url: url, take: func(t *testing.T) (saw []string) {
		t.Helper()
		resp, err := http.Get(url + "/__seen")
		must(t, err)
		defer resp.Body.Close()
		must(t, json.NewDecoder(resp.Body).Decode(&saw))
		return saw
	}}
}

func nginxBackend(t *testing.T, nginx string) *backend {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	var address string
	for { // a port that nobody is given by the system
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
			break
		}
	}
	// It reads a request whole, writes it down with its status (what cannot be read has 400), and has a server of its own answer it.
	must(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, `
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error;
events {}
http {
  log_format saw escape=json '{"request":"$request","status":"$status","body":"$request_body"}';
  client_body_buffer_size 1m;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[3]s; access_log %[2]s saw; location / { proxy_pass http://unix:%[1]s/inner:; } }
  server { listen unix:%[1]s/inner; access_log off; location / { return 200 "$request_method $request_uri"; } }
}`, dir, log, address), 0o600))
	run(t, nginx, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error"))
	url := "http://" + address
	for deadline := time.Now().Add(20 * time.Second); ; {
		if resp, err := http.Get(url + "/sync"); err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("NGINX does not answer")
		}
		time.Sleep(10 * time.Millisecond)
	}
	read := 0
	return &backend{name: "NGINX", url: url, take: func(t *testing.T) (saw []string) {
		t.Helper()
		// It writes a request down once it has answered it, before it looks at the next one.
		for range 2 {
			resp, err := http.Get(url + "/sync")
			must(t, err)
			resp.Body.Close()
		}
		text, err := os.ReadFile(log)
		must(t, err)
		for _, line := range strings.Split(strings.TrimSuffix(string(text[read:]), "\n"), "\n") {
			var told struct{ Request, Status, Body string }
			if err := json.Unmarshal([]byte(line), &told); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			request := strings.TrimSuffix(told.Request, " HTTP/1.1")
			switch {
			case request == "GET /sync":
			case told.Status != "200":
				saw = append(saw, "not readable: "+line)
			default:
				saw = append(saw, request+" body="+told.Body)
			}
		}
		read = len(text)
		return saw
	}}
}
