package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/app"
)

// surviving is the real program, serving a configuration.
type surviving struct {
	t       *testing.T
	dir     string
	file    string
	address string
	server  *exec.Cmd
	control *http.Client // over the server's socket
}

// survive serves a configuration until the test ends, which the server has to end in good order.
func survive(t *testing.T, config string) *surviving {
	t.Helper()
	s := &surviving{t: t, dir: t.TempDir(), file: filepath.Join(t.TempDir(), "serin.yaml")}
	s.write(config)
	s.server, s.address = startServer(t, s.dir, s.file)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(s.dir, "serin.sock"))
	}}
	s.control = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	t.Cleanup(func() {
		if err := s.server.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := s.server.Wait(); err != nil {
			t.Errorf("the server ends with %v", err)
		}
	})
	return s
}

func (s *surviving) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// metric is the sum of a metric over all series that have some labels.
func (s *surviving) metric(name string, labels ...string) (sum float64) {
	s.t.Helper()
	resp, err := s.control.Get("http://serin/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s, %v", resp.Status, text, err)
	}
	for line := range strings.Lines(string(text)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		is, rest, _ := strings.Cut(series, "{")
		for _, label := range labels {
			if !strings.Contains(rest, label) {
				is = ""
			}
		}
		if is != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// files counts the files and connections that the server has open.
func (s *surviving) files() int {
	s.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.server.Process.Pid))
	if err != nil {
		s.t.Skipf("SKIP: /proc does not tell: %v", err)
	}
	return len(all)
}

// instance is how the first instance of a variant is.
func (s *surviving) instance(variant string) (state string) {
	s.t.Helper()
	list, err := app.Server(s.dir).Services(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, service := range list.Services {
		if service.Variant == variant && len(service.Instances) > 0 {
			return service.Instances[0].State
		}
	}
	return ""
}

// until waits for what the server brings about by itself.
func (s *surviving) until(what string, reached func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if reached() {
			return
		}
	}
	s.t.Fatalf("not reached: %s", what)
}

// told is what a client was answered.
type told struct {
	status   int
	fallback string
	body     string
	err      error // there was no answer, or not all of it
}

// askOnce asks once. Of the body no more is kept than a test reads.
func askOnce(client *http.Client, method, url, body string, header ...string) (a told) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return told{err: err}
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return told{err: err}
	}
	defer resp.Body.Close()
	const most = 256
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return told{resp.StatusCode, resp.Header.Get("Serin-Fallback"), string(text), err}
}

// crowd asks from several clients, one request after the other each, until it is sent home.
type crowd struct {
	asking sync.WaitGroup
	stop   context.CancelFunc
	mu     sync.Mutex
	counts map[string]int // of answers, by what one thinks of them
	wrong  []string       // the first that were not as they should be
}

// gather begins to ask. One is called with the number of a request and its client, and returns what it thinks of the answer, and whether it
// is as it should be.
func gather(clients int, one func(client *http.Client, n int) (thought string, good bool)) *crowd {
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{stop: stop, counts: map[string]int{}}
	for i := range clients {
		c.asking.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 30 * time.Second}
			defer client.CloseIdleConnections()
			for n := i; ctx.Err() == nil; n += clients {
				thought, good := one(client, n)
				c.mu.Lock()
				c.counts[thought]++
				if !good && len(c.wrong) < 10 {
					c.wrong = append(c.wrong, fmt.Sprintf("request %d: %s", n, thought))
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

// count is how many answers there are that one thinks so of; "" is all.
func (c *crowd) count(thought string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for is, k := range c.counts {
		if thought == "" || is == thought {
			n += k
		}
	}
	return n
}

// home sends all home, and reports what was not as it should be.
func (c *crowd) home(t *testing.T) {
	t.Helper()
	c.stop()
	c.asking.Wait()
	if len(c.wrong) > 0 {
		t.Errorf("of %d answers some are wrong:\n%s", c.count(""), strings.Join(c.wrong, "\n"))
	}
	t.Log(c.counts)
}

// good is 200 and nothing else.
func good(a told) (thought string, ok bool) {
	if a.err != nil {
		return a.err.Error(), false
	}
	thought = strconv.Itoa(a.status)
	if a.status != http.StatusOK {
		thought += " " + a.body
	}
	return thought, a.status == http.StatusOK
}

// closed says whether a server has closed a connection: what it has said until then is read.
func closed(c net.Conn) bool {
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// reloader returns what has the server read its file again.
func (s *surviving) reloader() func() error {
	client := app.Server(s.dir)
	return func() error {
		_, err := client.Reload(s.t.Context())
		return err
	}
}
