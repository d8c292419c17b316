package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const public = "bin/installs-public"

// meanLatency is asked at the end.
const meanLatency = "SELECT variant, sum(ok_micros) / 1000.0 / sum(ok) AS mean_ms, sum(ok) AS requests " +
	"FROM variant_minutes WHERE minute >= datetime('now', '-12 hours') GROUP BY variant"

// ab is an A/B test in one go, on a data directory and ports of its own: two versions, users who say how it went, and what was measured.
func ab(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "serin-ab-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a := &script{env: append(os.Environ(), "SERIN_DATA_DIR="+dir)}
	model := filepath.Join(example, "model")
	a.step(ctx, serin, "model", "import", service, model)
	// The file alone: the golden rows beside it are answers of all trees.
	a.step(ctx, serin, "model", "import", service, filepath.Join(model, "model.ubj"), "--option", "iterations=10", "--why", "10 trees of 60")
	if a.err != nil {
		return a.err
	}
	const anyPort = "127.0.0.1:0"
	config := filepath.Join(example, "ab", "serin.yaml")
	server, says, err := serve(ctx, a.env, "--json", "-c", config, "--http", anyPort, "--grpc", anyPort, "--control", anyPort)
	if err != nil {
		return err
	}
	base, control, err := ready(says)
	if err == nil {
		err = a.compare(ctx, base, control)
	}
	if ctx.Err() != nil {
		return errors.Join(errors.New("interrupted"), server.Wait())
	}
	return errors.Join(err, server.Process.Signal(os.Interrupt), server.Wait())
}

// compare lets the public visit before and after the canary gets more.
func (a *script) compare(ctx context.Context, base, control string) error {
	visit := []string{"--server", base, "--control", control, "--accuracy", "1=0.90,2=0.80"}
	a.step(ctx, public, visit...)
	a.step(ctx, serin, "traffic", "summary", service)
	a.step(ctx, serin, "traffic", "set", service, "stable=50", "canary=50", "--why", "learn faster", "--for", "1h")
	a.step(ctx, public, append(visit, "--seed", "2")...)
	a.step(ctx, serin, "traffic", "summary", service)
	a.step(ctx, serin, "sql", meanLatency)
	return a.err
}

// script is commands one after the other, up to the first that fails.
type script struct {
	env []string
	err error
}

// step prints a command and runs it.
func (a *script) step(ctx context.Context, program string, args ...string) {
	if a.err != nil || ctx.Err() != nil {
		return
	}
	line := program
	for _, arg := range args {
		if strings.Contains(arg, " ") {
			arg = `"` + arg + `"`
		}
		line += " " + arg
	}
	fmt.Printf("\n$ %s\n", line)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdout, os.Stderr, a.env
	if err := cmd.Run(); err != nil {
		a.err = fmt.Errorf("%s: %w", line, err)
	}
}
