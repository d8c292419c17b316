package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

const (
	rivalRounds = 5
	rivalTurn   = 3 * time.Second
)

// againstMLServer measures MLServer with the same model, asked the same by the same generator.
func againstMLServer(ctx context.Context, q *questions, s *remote, dir, model string) error {
	url, err := load.V2.URL("http://"+s.http, "m")
	if err != nil {
		return err
	}
	o, err := q.options(load.V2, url)
	if err != nil {
		return err
	}
	o.Duration = rivalTurn
	best, err := bestMLServer(ctx, q, o, filepath.Join(dir, "mlserver"), model)
	if err != nil {
		return err
	}
	defer func() { _ = best.stop() }()
	turns, err := rounds("against MLServer", rivalRounds, asker(ctx, s, o, url), asker(ctx, best.remote, o, best.url))
	if err != nil {
		return err
	}
	ours, theirs := middle(turns[0]), middle(turns[1])
	fmt.Printf("\n### MLServer, v2 JSON, %d connections in a closed loop\n\n", inFlight)
	fmt.Println("| what | Serin | MLServer | ratio | to reach |\n|---|---|---|---|---|")
	rate, tail := theirs.elapsed/ours.elapsed, ours.p99/theirs.p99
	fmt.Printf("| requests/s | %.0f | %.0f | %.1f | ≥ 15, %s |\n", 1/ours.elapsed, 1/theirs.elapsed, rate, met(rate >= 15))
	fmt.Printf("| p50 | %s | %s | %.3f | |\n", duration(ours.p50), duration(theirs.p50), ours.p50/theirs.p50)
	fmt.Printf("| p99 | %s | %s | %.3f | ≤ 0.100, %s |\n", duration(ours.p99), duration(theirs.p99), tail, met(tail <= 0.1))
	fmt.Printf("\nMLServer ran %s, the better for it here. %s\n", best.how, noise(s, best.remote))
	return nil
}

// mlserver is a running MLServer.
type mlserver struct {
	*remote
	url, how string
}

// bestMLServer tries what its documentation offers for speed and returns the server that answered most requests, running.
func bestMLServer(ctx context.Context, q *questions, o load.Options, dir, model string) (best mlserver, err error) {
	most := 0.0
	for _, c := range []struct {
		workers int
		how     string
	}{{0, "in one process (`parallel_workers: 0`)"}, {1, "with one worker (its default)"}, {2, "with two workers"}} {
		m, err := launchMLServer(ctx, filepath.Join(dir, strconv.Itoa(c.workers)), model, c.workers)
		if err != nil {
			return best, err
		}
		m.how = c.how
		o.URL = m.url
		if err := q.verified(ctx, m.remote, o, readJSON); err != nil {
			return best, fmt.Errorf("MLServer: %w", err)
		}
		t, err := m.answered(ctx, o)
		if err != nil {
			return best, err
		}
		fmt.Fprintf(os.Stderr, "bench: MLServer %s: %.0f requests/s\n", c.how, 1/t.elapsed)
		worse := m
		if rate := 1 / t.elapsed; rate > most {
			most, worse, best = rate, best, m
		}
		if worse.remote != nil {
			if err := worse.stop(); err != nil {
				return best, err
			}
		}
	}
	return best, nil
}

// launchMLServer serves the model with so many workers, and one thread of XGBoost's in each: for one row more cost more than they bring.
func launchMLServer(ctx context.Context, dir, model string, workers int) (m mlserver, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return m, err
	}
	if model, err = filepath.Abs(model); err != nil {
		return m, err
	}
	var ports [3]int
	for i := range ports {
		addr, err := freeAddress()
		if err != nil {
			return m, err
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return m, err
		}
		if ports[i], err = strconv.Atoi(port); err != nil {
			return m, err
		}
	}
	for name, document := range map[string]map[string]any{
		"settings.json": {
			"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2],
			"parallel_workers": workers, "debug": false, "metrics_endpoint": nil,
		},
		"model-settings.json": {
			"name": "m", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": map[string]any{"uri": model},
		},
	} {
		text, err := json.Marshal(document)
		if err != nil {
			return m, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return m, err
		}
	}
	venv, err := filepath.Abs(filepath.Dir(python("mlserver")))
	if err != nil {
		return m, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return m, err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, filepath.Join(venv, "mlserver"), "start", ".")
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	command.Env = append(os.Environ(), "OMP_NUM_THREADS=1")
	if err := command.Start(); err != nil {
		return m, fmt.Errorf("%w (scripts/venv.sh mlserver makes it)", err)
	}
	m.remote = &remote{command: command, http: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	m.url = "http://" + m.http + "/v2/models/m/infer"
	if err := m.ready(ctx, "/v2/models/m/ready"); err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "log"))
		return m, errors.Join(fmt.Errorf("MLServer does not get ready: %w\n%s", err, said), m.stop())
	}
	return m, nil
}
