package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/release"
)

const (
	brokenRuns   = 11
	brokenRate   = 100              // requests a second
	brokenUsers  = 500              // who ask
	brokenBefore = 3 * time.Second  // of traffic before the release
	brokenAfter  = time.Second      // of traffic after it
	brokenGiveUp = 30 * time.Second // for a release that does not end
	brokenSoon   = 2.0              // seconds, to reach
	brokenFew    = 50               // failed requests, to reach
	brokenHeader = stickyHeader     // says who asks
	brokenName   = "movies"         // of the service and the release
	brokenConfig = onAnyPort + `
services:
  - name: movies
    path: /
    variants: [{name: stable, version: "1", upstream: "http://%s"}, {name: canary, version: "2", upstream: "http://%s"}]
    traffic: {weights: {stable: 1}%s}
releases:
  - {name: movies, service: movies, candidate: canary, steps: [{setWeight: 20}, {pause: 12h}, {analysis: {}}]}
`
)

// brokenReleases measures how long a candidate that fails every request keeps its 20 % of the traffic, and how many requests it costs. Nothing
// stands in for it: there is no failover and no fallback, and what fails is what users get.
func brokenReleases(ctx context.Context) (err error) {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	var all fleet
	defer func() { err = errors.Join(err, all.stop()) }()
	at := map[string]string{}
	for _, kind := range []string{"ok", "500"} {
		s, err := launchUpstream(ctx, kind)
		if err != nil {
			return err
		}
		all, at[kind] = append(all, s), s.http
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	fmt.Printf("\n## A release of a candidate that fails every request (20 %% of %d requests a second, %d runs, each of a server of its own)\n\n", brokenRate, brokenRuns)
	fmt.Println("| who asks | until its share is 0 | until the last failure | requests that failed | to reach |\n|---|---|---|---|---|")
	for _, who := range []struct{ name, sticky string }{
		{fmt.Sprintf("%d users, who stay with a variant", brokenUsers), `, sticky: {unit: "header:` + brokenHeader + `"}`},
		{"anybody; each request is drawn", ""},
	} {
		var zero, last, failed []float64
		for run := range brokenRuns {
			fmt.Fprintf(os.Stderr, "bench: a broken candidate, %s, run %d of %d\n", who.name, run+1, brokenRuns)
			b, err := breakOnce(ctx, filepath.Join(dir, fmt.Sprintf("%d-%d", len(who.sticky), run)), fmt.Sprintf(brokenConfig, at["ok"], at["500"], who.sticky))
			if err != nil {
				return err
			}
			zero, last, failed = append(zero, b.zero.Seconds()), append(last, b.last.Seconds()), append(failed, float64(b.failed))
		}
		few, soon := slices.Max(failed) <= brokenFew, slices.Max(zero) <= brokenSoon
		fmt.Printf("| %s | %s s | %s s | %s | ≤ %.0f s, %s; ≤ %d, %s |\n", who.name, ranged(zero, "%.2f"), ranged(last, "%.2f"), ranged(failed, "%.0f"),
			brokenSoon, met(soon), brokenFew, met(few))
	}
	fmt.Println("\nMedians, and in brackets the least and the most. The time is counted from when the release was asked for; the targets are for the worst run.")
	return nil
}

// ranged writes the median of values, with the least and the most, which it sorts.
func ranged(values []float64, format string) string {
	return fmt.Sprintf(format+" ["+format+".."+format+"]", median(values), slices.Min(values), slices.Max(values))
}

// breaking is how one release of a broken candidate went, counted from when it was asked for.
type breaking struct {
	zero, last time.Duration // until the candidate's share was 0; until the last failure was answered
	failed     int           // requests
}

// breakOnce releases a broken candidate to users of a server of its own.
func breakOnce(ctx context.Context, dir, config string) (b breaking, err error) {
	s, err := launchConfigured(ctx, dir, config)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	users, stop := context.WithCancel(ctx)
	defer stop()
	crowd := &brokenCrowd{url: "http://" + s.http + "/"}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		crowd.ask(users)
	}()
	client := api.NewClient("http://"+s.control, http.DefaultTransport)
	if err := after(ctx, brokenBefore); err != nil {
		return b, err
	}
	begin := time.Now()
	if _, err = client.StartRelease(ctx, brokenName, api.ReleaseStart{By: "bench"}); err != nil {
		return b, err
	}
	bound, cancel := context.WithTimeout(ctx, brokenGiveUp)
	defer cancel()
	err = client.FollowRelease(bound, brokenName, 0, func(r api.Release) error {
		for _, j := range r.Journal {
			if j.What == release.RollBack {
				b.zero = j.At.Sub(begin)
			}
		}
		return nil
	})
	if err != nil {
		return b, err
	}
	if b.zero == 0 {
		return b, errors.New("the release of a broken candidate is not rolled back")
	}
	if err := after(ctx, brokenAfter); err != nil {
		return b, err
	}
	stop()
	<-asked
	crowd.mu.Lock()
	defer crowd.mu.Unlock()
	if len(crowd.failures) == 0 || crowd.failures[0].Before(begin) {
		return b, fmt.Errorf("%d requests failed, or some before the release", len(crowd.failures))
	}
	b.failed, b.last = len(crowd.failures), slices.MaxFunc(crowd.failures, time.Time.Compare).Sub(begin)
	return b, nil
}

// after waits.
func after(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// brokenCrowd asks at a rate that no answer changes, and remembers when what failed was answered.
type brokenCrowd struct {
	url      string
	mu       sync.Mutex
	failures []time.Time
}

func (c *brokenCrowd) ask(ctx context.Context) {
	transport := &http.Transport{MaxIdleConnsPerHost: brokenRate}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(time.Second / brokenRate)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking.Go(func() {
			r, err := http.NewRequest(http.MethodGet, c.url, http.NoBody) //nolint:noctx // one that was asked is waited for
			if err != nil {
				return
			}
			r.Header.Set(brokenHeader, fmt.Sprint("user-", n*7919%brokenUsers))
			resp, err := client.Do(r)
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return
				}
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.failures = append(c.failures, time.Now())
		})
	}
}
