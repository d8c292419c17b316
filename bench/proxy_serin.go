package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// proxySerin is the configuration in which Serin does what it does in service: sticky variants, one limit of time, tallies, decisions and
// metrics. The log and its rollup are always on.
const proxySerin = `
server:
  http: 127.0.0.1:0
  grpc: 127.0.0.1:0
  control: 127.0.0.1:0
  limits: {connections: 20000}
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

// launchProxySerin serves that configuration.
func launchProxySerin(ctx context.Context, dir string, named map[string]string) (*remote, error) {
	dir = filepath.Join(dir, "serin")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "serin.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, proxySerin, named["a"], named["b"], named["c"]), 0o600); err != nil {
		return nil, err
	}
	s, err := launch(exec.CommandContext(ctx, serin, "serve", "--json", "-c", file, "--data-dir", filepath.Join(dir, "data")))
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx, "/readyz"); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}
