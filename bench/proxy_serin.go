package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// onAnyPort is what configurations of Serin begin with here.
const onAnyPort = `
server:
  http: 127.0.0.1:0
  grpc: 127.0.0.1:0
  control: 127.0.0.1:0
  limits: {connections: 20000}
`

// proxySerin is the configuration in which Serin does what it does in service: sticky variants, one limit of time, tallies, decisions and
// metrics. The log and its rollup are always on.
const proxySerin = onAnyPort + `
services:
  - name: movies
    path: /recommend/
    timeout: 1s
    variants:
      - {name: stable, instances: ["http://%s", "http://%s"], version: "1.4.0"}
      - {name: canary, upstream: "http://%s", version: "1.5.0"}
    traffic:
      weights: {stable: 80, canary: 20}
      sticky: {unit: "header:` + stickyHeader + `"}
`

// launchConfigured serves a configuration. What the server logs is kept in the folder.
func launchConfigured(ctx context.Context, dir, config string) (_ *remote, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "serin.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, serin, "serve", "--json", "-c", file, "--data-dir", filepath.Join(dir, "data"))
	command.Stderr = log
	s, err := launch(command)
	if err == nil {
		if err = s.ready(ctx, "/readyz"); err != nil {
			err = errors.Join(err, s.stop())
		}
	}
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("serin serve: %w\n%s", err, said)
	}
	return s, nil
}
