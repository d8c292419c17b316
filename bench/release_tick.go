package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

const (
	manyReleases  = 500
	tickWorkers   = 4
	tickPace      = 4 * time.Millisecond // between two requests of a worker
	ticksMeasured = 100
	tickBound     = "0.1" // seconds, a bucket of the metric
)

// ticking measures how long a server takes to look once at many releases, each with five guardrails and with users, beside its answers.
func ticking(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var all fleet
	defer func() { err = errors.Join(err, all.stop()) }()
	u, err := launchUpstream(ctx, "ok")
	if err != nil {
		return err
	}
	all = append(all, u)
	s, err := launchConfigured(ctx, dir, ticks(u.http))
	if err != nil {
		return err
	}
	all = append(all, s)
	control := app.Server(filepath.Join(dir, "data"))
	fmt.Fprintf(os.Stderr, "bench: %d releases\n", manyReleases)
	began := time.Now()
	for n := range manyReleases {
		if _, err := control.StartRelease(ctx, fmt.Sprint("r", n), api.ReleaseStart{By: "bench"}); err != nil {
			return err
		}
	}
	started := time.Since(began)
	asking, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	var asked, failed atomic.Int64
	for worker := range tickWorkers {
		workers.Go(func() { askAround(asking, s.http, worker, &asked, &failed) })
	}
	before, err := ticksOf(ctx, s)
	if err != nil {
		return err
	}
	for now := before; now.count < before.count+ticksMeasured; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if now, err = ticksOf(ctx, s); err != nil {
			return err
		}
	}
	after, err := ticksOf(ctx, s)
	if err != nil {
		return err
	}
	n := after.count - before.count
	mean, within := (after.sum-before.sum)/n, (after.within-before.within)/n
	fmt.Printf("\n### %d releases at once, five guardrails each\n\n", manyReleases)
	fmt.Println("| what | ticks | mean | within 100 ms | to reach |\n|---|---|---|---|---|")
	fmt.Printf("| one tick, while users ask | %.0f | %s | %.1f%% | 100 ms, %s |\n", n, duration(mean), within*100, met(within >= 0.99))
	fmt.Printf("\n%d requests meanwhile, %d of them failed. Each release was started in %s.\n", asked.Load(), failed.Load(), duration(started.Seconds()/manyReleases))
	return nil
}

// ticks is a configuration with many services, each of which has a release.
func ticks(upstream string) string {
	var b strings.Builder
	b.WriteString(onAnyPort + "\nservices:\n")
	for n := range manyReleases {
		fmt.Fprintf(&b, `  - {name: s%d, path: /s%d/, variants: [{name: stable, upstream: "http://%s"}, {name: canary, upstream: "http://%s", version: two}],
     traffic: {weights: {stable: 1}, sticky: {unit: "header:X-User"}}}
`, n, n, upstream, upstream)
	}
	b.WriteString("releases:\n")
	for n := range manyReleases {
		fmt.Fprintf(&b, `  - name: r%d
    service: s%d
    candidate: canary
    steps: [{setWeight: 20}, {pause: 12h}, {analysis: {}}]
    metrics:
      - {name: errors, vs: stable}
      - {name: latency, vs: stable, margin: 50ms}
      - {name: mean, measure: latency, max: 500ms}
      - {name: p99, measure: latency, quantile: 0.99, max: 500ms}
      - {name: fallbacks, vs: stable}
`, n, n)
	}
	return b.String()
}

// askAround asks the services in turn, each for many users.
func askAround(ctx context.Context, at string, worker int, asked, failed *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	pace := time.NewTicker(tickPace)
	defer pace.Stop()
	for n := worker; ; n += tickWorkers {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/s%d/", at, n%manyReleases), http.NoBody)
		if err != nil {
			return
		}
		r.Header.Set("X-User", fmt.Sprint(n*7919%100_003))
		resp, err := client.Do(r)
		if err != nil {
			continue // it is over, or is seen in the next one
		}
		_, _ = io.Copy(io.Discard, resp.Body) // what counts is that it came
		resp.Body.Close()
		asked.Add(1)
		if resp.StatusCode != http.StatusOK {
			failed.Add(1)
		}
	}
}

// tickFigures are a server's ticks since it was started.
type tickFigures struct{ count, sum, within float64 }

func ticksOf(ctx context.Context, s *remote) (f tickFigures, err error) {
	for _, m := range []struct {
		name, label string
		to          *float64
	}{{"_count", "", &f.count}, {"_sum", "", &f.sum}, {"_bucket", `le="` + tickBound + `"`, &f.within}} {
		if *m.to, err = s.metric(ctx, "serin_release_tick_seconds"+m.name, m.label); err != nil {
			return f, err
		}
	}
	return f, nil
}
