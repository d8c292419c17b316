package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/load"
)

const (
	neighbourRate   = 800
	neighbourTime   = 3 * time.Second
	neighbourRounds = 9
)

// failing measures what a canary that always fails, and a shadow that hangs, take from those who have nothing to do with them.
func failing(ctx context.Context, dir string) (err error) {
	var all fleet
	defer func() { err = errors.Join(err, all.stop()) }()
	start := func(s *remote, err error) (*remote, error) {
		if err == nil {
			all = append(all, s)
		}
		return s, err
	}
	at := map[string]string{}
	for _, kind := range []string{"ok", "500", "hangs"} {
		s, err := start(launchUpstream(ctx, kind))
		if err != nil {
			return err
		}
		at[kind] = s.http
	}
	const split = onAnyPort + `
services:
  - name: movies
    path: /
    failover: true
    variants: [{name: stable, instances: ["http://%[1]s"]}, {name: canary, upstream: "http://%[2]s"}]
    traffic: {weights: {stable: 4, canary: 1}, sticky: {unit: "header:X-User"}, match: [{variant: canary, header: X-Try, exact: canary}, {variant: stable, header: X-Try, exact: stable}]}
`
	const shadowed = onAnyPort + `
services:
  - name: movies
    path: /
    variants: [{name: stable, upstream: "http://%[1]s"}, {name: next, upstream: "http://%[2]s"}]
    traffic: {weights: {stable: 1}}
    %[3]s
`
	const shadow = "shadow: [{variant: next, percent: 100, timeout: 1s, inFlight: 8, queue: 1024}]"
	servers := map[string]*remote{}
	for name, config := range map[string]string{
		"well": fmt.Sprintf(split, at["ok"], at["ok"]), "ill": fmt.Sprintf(split, at["ok"], at["500"]),
		"alone": fmt.Sprintf(shadowed, at["ok"], at["hangs"], ""), "shadowed": fmt.Sprintf(shadowed, at["ok"], at["hangs"], shadow),
	} {
		if servers[name], err = start(launchConfigured(ctx, filepath.Join(dir, name), config)); err != nil {
			return err
		}
	}
	ask := func(name string, beside float64) func() (turn, error) {
		return func() (t turn, err error) {
			var both errgroup.Group
			o := load.Options{URL: "http://" + servers[name].http + "/", Rate: neighbourRate, Duration: neighbourTime, WarmUp: 500 * time.Millisecond}
			if beside > 0 {
				canary := o
				canary.Rate, canary.Header, canary.Expect = beside, []load.Field{{Name: "X-Try", Value: "canary"}}, load.Statuses{{200, 599}}
				both.Go(func() error { _, err := load.Run(ctx, canary); return err })
				o.Header = []load.Field{{Name: "X-Try", Value: "stable"}}
			}
			t, err = patiently(ctx, servers[name], o)
			return t, errors.Join(err, both.Wait())
		}
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	turns, err := rounds("neighbours that fail", neighbourRounds, ask("well", neighbourRate/4), ask("ill", neighbourRate/4), ask("alone", 0), ask("shadowed", 0))
	if err != nil {
		return err
	}
	fmt.Printf("\n### Neighbours (%d requests a second, medians of %d interleaved rounds of %v)\n\n", neighbourRate, neighbourRounds, neighbourTime)
	fmt.Println("| what | p50 | p99 | p99 to the one above | to reach |\n|---|---|---|---|---|")
	for i, what := range []string{"stable, beside a canary that is well", "stable, beside a canary that answers 500", "without a shadow", "with a shadow that hangs, of all requests"} {
		t, compared, target := middle(turns[i]), "", ""
		if i%2 == 1 {
			r, most := ratio(turns[i], turns[i-1], func(t turn) float64 { return t.p99 }), []float64{1.25, 1.05}[i/2]
			compared, target = fmt.Sprintf("%.2f", r), fmt.Sprintf("≤ %.2f, %s", most, met(r <= most))
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", what, duration(t.p50), duration(t.p99), compared, target)
	}
	ejected, err := servers["ill"].metric(ctx, "serin_upstream_ejections_total", "canary")
	if err != nil {
		return err
	}
	dropped, err := servers["shadowed"].metric(ctx, "serin_shadow_dropped_total", "")
	if err != nil {
		return err
	}
	fmt.Printf("\nThe canary was put aside %.0f times (%s); %.0f copies were not sent to the shadow, and counted. %s\n",
		ejected, met(ejected > 0), dropped, noise(servers["well"], servers["ill"], servers["alone"], servers["shadowed"]))
	return nil
}
