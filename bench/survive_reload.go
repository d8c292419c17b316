package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/load"
)

const (
	reloads    = 1000
	reloadRate = 500
	reloadPace = 10 * time.Millisecond // between two
)

// reloaded measures what clients see of reloads, half of which are mistakes, and of instances that are recreated.
func reloaded(ctx context.Context, dir string) (err error) {
	var all fleet
	defer func() { err = errors.Join(err, all.stop()) }()
	var at []string
	for range 3 {
		u, err := launchUpstream(ctx, "ok")
		if err != nil {
			return err
		}
		all, at = append(all, u), append(at, u.http)
	}
	config := func(n int) []byte {
		return fmt.Appendf(nil, onAnyPort+`
services:
  - name: movies
    path: /
    timeout: %ds
    fallback: {status: 299, body: "%d"}
    variants: [{name: stable, instances: ["http://%s", "http://%s"]}, {name: canary, upstream: "http://%s"}]
    traffic: {weights: {stable: 4, canary: %d}, sticky: {unit: "header:X-User"}}
`, 20+n%3, n+1, at[n%3], at[(n+1)%3], at[(n+2)%3], n%4)
	}
	s, err := launchConfigured(ctx, dir, string(config(0)))
	if err != nil {
		return err
	}
	all = append(all, s)
	o := load.Options{
		URL: "http://" + s.http + "/", Rate: reloadRate, Duration: 5 * time.Second, WarmUp: time.Second, MaxLag: time.Hour, Expect: load.Statuses{{200, 200}},
		Payloads: []load.Payload{{}, {Body: []byte("a POST is sent once")}}, Method: "POST", Unit: load.Unit{Header: "X-User", Users: 1000},
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	still, err := load.Run(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: %d reloads\n", reloads)
	loading, stop := context.WithCancel(ctx)
	defer stop()
	reports, failed := make(chan *load.Report, 1), make(chan error, 1)
	o.Duration = 10 * time.Minute
	go func() {
		r, err := load.Run(loading, o)
		reports <- r
		failed <- err
	}()
	client, file := app.Server(filepath.Join(dir, "data")), filepath.Join(dir, "serin.yaml")
	mistakes := [][]byte{[]byte("services: ["), []byte(`services: [{name: movies, path: /, upstream: "ftp://a"}]`), []byte("services: [{name: movies}]"), {}}
	var took []float64
	for n := range reloads {
		text, good := config(n/2), n%2 == 0
		if !good {
			text = mistakes[n/2%len(mistakes)]
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		time.Sleep(reloadPace)
		begin := time.Now()
		if _, err := client.Reload(ctx); (err == nil) != good {
			return fmt.Errorf("reload %d: %w", n, err)
		}
		if good {
			took = append(took, time.Since(begin).Seconds())
		}
	}
	stop()
	r := <-reports
	if err := <-failed; err != nil {
		return err
	}
	fmt.Printf("\n### %d reloads, half of them mistakes, under %d POSTs a second\n\n", reloads, reloadRate)
	fmt.Println("| what | requests | failed | p50 | p99 | to reach |\n|---|---|---|---|---|---|")
	fmt.Printf("| before | %d | %d | %s | %s | |\n", still.Requests, still.Failed, duration(still.Latency.P50.Seconds()), duration(still.Latency.P99.Seconds()))
	fmt.Printf("| meanwhile | %d | %d | %s | %s | no failed request, %s |\n", r.Requests, r.Failed, duration(r.Latency.P50.Seconds()), duration(r.Latency.P99.Seconds()), met(r.Failed == 0))
	fmt.Printf("\nA reload took %s in the median. It changes instances, weights, timeout and fallback.\n", duration(median(took)))
	if r.Failed > 0 {
		fmt.Fprintf(os.Stderr, "bench: failed: %s\n", problems(r.Problems))
	}
	return nil
}
