package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/app"
)

// TestRollingRestartsLoseNoRequest restarts two servers in turn with SIGTERM, while clients ask whichever says that it is ready, over
// connections that are kept, over new ones and over h2. Every request is answered, and every answer is in the tallies. SERIN_RESTARTS sets
// how many.
func TestRollingRestartsLoseNoRequest(t *testing.T) {
	restarts := howOften(t, "SERIN_RESTARTS", 5, 10, 1)
	config := filepath.Join(t.TempDir(), "serin.yaml")
	if err := os.WriteFile(config, []byte("services: [{name: m, variants: [{model: m}], timeout: 10s}]\nserver: {drainDelay: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fleet := make(fleet, 2)
	for i := range fleet {
		b := &backend{options: app.Options{DataDir: t.TempDir(), Create: true, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}}
		importStumps(t, b.options)
		b.start(t, config)
		fleet[i] = b
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	end := sync.OnceFunc(func() {
		stop()
		running.Wait()
	})
	defer end()
	for _, b := range fleet {
		running.Go(func() { b.watch(ctx) })
	}
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	var answered, failed atomic.Int64
	for i, transport := range []*http.Transport{{MaxIdleConnsPerHost: 8}, {MaxIdleConnsPerHost: 8}, {DisableKeepAlives: true}, {Protocols: &h2}} {
		defer transport.CloseIdleConnections()
		for client := range 2 {
			running.Go(func() {
				pace := time.NewTicker(4 * time.Millisecond)
				defer pace.Stop()
				for n := client; ; n++ {
					select {
					case <-ctx.Done():
						return
					case <-pace.C:
					}
					if err := fleet.ask(&http.Client{Transport: transport}, n); err != nil {
						failed.Add(1)
						t.Errorf("transport %d, after %d answers: %v", i, answered.Load(), err)
						return
					}
					answered.Add(1)
				}
			})
		}
	}
	for n := range restarts {
		fleet[n%len(fleet)].restart(t, config)
	}
	end()
	tallied := 0
	for _, b := range fleet {
		b.stop(t, os.Interrupt)
		tallied += whole(t, ask(t, b.options, "select coalesce(sum(requests), 0) from variant_minutes")[0])
	}
	if n := answered.Load(); failed.Load() > 0 || int64(tallied) != n || n < 100 {
		t.Errorf("%d requests failed, %d were answered, %d are tallied", failed.Load(), n, tallied)
	}
	t.Logf("%d restarts, %d requests answered and tallied", restarts, tallied)
}

// backend is a server behind the balancer.
type backend struct {
	options app.Options
	server  *exec.Cmd
	address atomic.Value // text; of the server that runs last
	ready   atomic.Value // text; the address that said last that it is ready, "" if it is not
}

func (b *backend) start(t *testing.T, config string) {
	t.Helper()
	server, address := startServer(t, b.options.DataDir, config)
	b.server = server
	b.ready.Store(address)
	b.address.Store(address)
}

func (b *backend) stop(t *testing.T, how os.Signal) {
	t.Helper()
	if err := b.server.Process.Signal(how); err != nil {
		t.Error(err)
	}
	if err := b.server.Wait(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

// restart replaces the server in good order.
func (b *backend) restart(t *testing.T, config string) {
	t.Helper()
	b.stop(t, syscall.SIGTERM)
	b.start(t, config)
}

// watch asks the server again and again whether it is ready, until ctx ends.
func (b *backend) watch(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		address := b.address.Load().(string)
		resp, err := client.Get("http://" + address + "/readyz")
		says := ""
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				says = address
			}
		}
		if b.address.Load() == address { // else it is another server by now
			b.ready.Store(says)
		}
	}
}

// fleet is the servers that a balancer picks from.
type fleet []*backend

// ask asks one of the servers that are ready, each in its turn.
func (f fleet) ask(client *http.Client, turn int) error {
	address := ""
	for i := range f {
		if address = f[(turn+i)%len(f)].ready.Load().(string); address != "" {
			break
		}
	}
	if address == "" {
		return fmt.Errorf("no server is ready")
	}
	resp, err := client.Post("http://"+address+"/v2/models/m/infer", "application/json", strings.NewReader(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s", resp.Status, body)
	}
	return nil
}
