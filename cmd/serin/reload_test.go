package main

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

// TestSignals sends the real program what process managers send: SIGHUP to reload, SIGTERM to go once the balancers know, and SIGTERM
// again to go at once.
func TestSignals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serin.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("services: [{name: a, variants: [{model: m}]}]\nserver: {drainDelay: 10m}\n")
	o := app.Options{DataDir: t.TempDir(), Create: true, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
	importStumps(t, o)
	server, address := startServer(t, o.DataDir, file)
	status := func(method, path string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	signal := func(s os.Signal) {
		t.Helper()
		if err := server.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, reached func() bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
			if reached() {
				return
			}
		}
		t.Fatalf("not reached: %s", what)
	}

	write("services: [{name: b, variants: [{model: m/2}]}]\nserver: {drainDelay: 10m}\n")
	signal(syscall.SIGHUP)
	var services []api.Service
	await("the reload", func() bool {
		list, err := app.Server(o.DataDir).Services(t.Context())
		services = list.Services
		return err == nil && len(services) == 1 && services[0].Name == "b"
	})
	if services[0].State != "ready" || services[0].Version != 2 || status(http.MethodPost, "/v2/models/b/infer") != 200 || status(http.MethodPost, "/v2/models/a/infer") != 404 {
		t.Errorf("after SIGHUP: %+v", services)
	}

	signal(syscall.SIGTERM)
	await("not ready", func() bool { return status(http.MethodGet, "/readyz") == 503 })
	if code := status(http.MethodPost, "/v2/models/b/infer"); code != 200 {
		t.Errorf("a request after SIGTERM: %d", code)
	}
	signal(syscall.SIGTERM) // 10 minutes are not waited for
	err := server.Wait()
	if code := server.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("after a second SIGTERM it ends with %v", err)
	}
}
