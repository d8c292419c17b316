package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

// survival is what can go wrong behind a server, before it or in it.
var survival = []trouble{
	{"upstreams", misbehaving}, {"neighbours", failing}, {"overload", overloaded}, {"reloads", reloaded}, {"floods", flooded},
}

type trouble struct {
	name string
	run  func(ctx context.Context, dir string) error
}

// surviving measures what clients of Serin see of each.
func surviving(ctx context.Context) error {
	fmt.Printf("\n## What a server with upstreams survives\n")
	for _, t := range survival {
		if err := t.alone(ctx); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// alone measures one of them, in a folder of its own.
func (t trouble) alone(ctx context.Context) error {
	if err := mayOpen(openFiles); err != nil {
		return err
	}
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	return t.run(ctx, dir)
}

// launchUpstream starts an upstream of a kind.
func launchUpstream(ctx context.Context, kind string) (*remote, error) {
	command, err := itself(ctx, upstreamCommand, kind)
	if err != nil {
		return nil, err
	}
	s, err := launch(command)
	if err != nil {
		return nil, fmt.Errorf("an upstream that is %s: %w", kind, err)
	}
	return s, nil
}

// fleet is what runs together.
type fleet []*remote

func (f fleet) stop() (err error) {
	for _, s := range f {
		err = errors.Join(err, s.stop())
	}
	return err
}

// metric asks a server for the sum of a metric over all series that have a label.
func (s *remote) metric(ctx context.Context, name, label string) (sum float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.control+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if is, rest, _ := strings.Cut(series, "{"); is == name && strings.Contains(rest, label) {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum, lines.Err()
}

// holds is what a server has open: goroutines and files.
func (s *remote) holds(ctx context.Context) (goroutines, files int, err error) {
	running, err := s.metric(ctx, "go_goroutines", "")
	if err != nil {
		return 0, 0, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.command.Process.Pid))
	return int(running), len(open), err
}

// misbehaving measures how long clients wait for the fallback where upstreams do what they should not.
func misbehaving(ctx context.Context, dir string) (err error) {
	const (
		timeout = 300 * time.Millisecond
		grace   = 50 * time.Millisecond
		lasting = 5 * time.Second
		few     = 5
	)
	kinds := []struct {
		name string
		rate float64
	}{{"hangs", 200}, {"hangs midway", 200}, {"drips", 200}, {"resets in its body", 200}, {"lies about its length", 200}, {"sends 10 GB", 2}}
	var behind fleet
	defer func() { err = errors.Join(err, behind.stop()) }()
	config := onAnyPort + "services:\n"
	for i, k := range kinds {
		u, err := launchUpstream(ctx, k.name)
		if err != nil {
			return err
		}
		behind = append(behind, u)
		config += fmt.Sprintf("  - {name: u%d, path: /%[1]d/, timeout: %v, fallback: {status: 203, body: fallback}, upstream: \"http://%s\"}\n", i, timeout, u.http)
	}
	s, err := launchConfigured(ctx, dir, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	goroutines, files, err := s.holds(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n### Upstreams that do what they should not (timeout %v, fallback 203)\n\n", timeout)
	fmt.Println("| the upstream | requests | answered by the fallback | cut off | p50 | p99.9 | to reach |\n|---|---|---|---|---|---|---|")
	for i, k := range kinds {
		fmt.Fprintf(os.Stderr, "bench: an upstream that %s\n", k.name)
		r, err := load.Run(ctx, load.Options{
			URL: fmt.Sprintf("http://%s/%d/", s.http, i), Rate: k.rate, InFlight: 1000, Duration: lasting, Expect: load.Statuses{{203, 203}}, MaxLag: time.Hour,
		})
		if err != nil {
			return err
		}
		all := r.Latency
		if r.Failed > r.Requests/2 {
			all = r.FailedLatency
		}
		cut := 0
		for _, p := range r.Problems {
			if p.Kind == "closed" {
				cut += p.Count
			}
		}
		slowest := max(r.Latency.P999, r.FailedLatency.P999)
		fmt.Printf("| %s | %d | %d | %d | %s | %s | ≤ %v, %s |\n", k.name, r.Requests, r.Statuses["203"], cut, duration(all.P50.Seconds()),
			duration(slowest.Seconds()), timeout+grace, met(slowest <= timeout+grace && r.Statuses["203"]+cut == r.Requests))
	}
	if err := behind.stop(); err != nil {
		return err
	}
	behind = nil
	after, left := 0, 0
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(100 * time.Millisecond) {
		if after, left, err = s.holds(ctx); err != nil {
			return err
		}
		if after <= goroutines+few && left <= files+few {
			break
		}
	}
	fmt.Printf("\nThe server had %d goroutines and %d files before, %d and %d in the end, when the upstreams were gone: %s.\n",
		goroutines, files, after, left, met(after <= goroutines+few && left <= files+few))
	return nil
}
