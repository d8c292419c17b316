package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/load"
)

const (
	steadyRate = 5000
	steadyTime = 30 * time.Second

	swapRate   = 2000
	swapTime   = 10 * time.Second
	swapRounds = 5
)

// steady measures latency at a constant rate.
func steady(ctx context.Context, q *questions, s *remote) error {
	url, err := load.V2.URL("http://"+s.http, "m")
	if err != nil {
		return err
	}
	o, err := q.options(load.V2, url)
	if err != nil {
		return err
	}
	o.Rate, o.Duration, o.WarmUp = steadyRate, steadyTime, time.Second
	fmt.Fprintf(os.Stderr, "bench: %d requests a second for %v\n", steadyRate, steadyTime)
	if err := quiet(ctx); err != nil {
		return err
	}
	t, err := s.ask(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("\n### %d requests a second, v2 JSON, for %v\n\n", steadyRate, steadyTime)
	fmt.Println("| requests | errors | p50 | p99 | CPU a request | lag of the generator, p99 | to reach |\n|---|---|---|---|---|---|---|")
	fmt.Printf("| %d | %d | %s | %s | %s | %s | p99 ≤ 10 ms, no error, %s |\n",
		t.requests, t.failed, duration(t.p50), duration(t.p99), duration(t.cpu), duration(t.lag), met(t.p99 <= 0.010 && t.failed == 0))
	if len(t.untrusted) > 0 {
		fmt.Printf("\nThe generator does not trust this run: %s.\n", strings.Join(t.untrusted, "; "))
	}
	return nil
}

// swaps measures latency while the model is swapped every second, for another version of the same trees.
func swaps(ctx context.Context, q *questions, s *remote, dir, model string) error {
	client := app.Server(filepath.Join(dir, "data"))
	if err := importAgain(ctx, dir, model); err != nil {
		return err
	}
	url, err := load.V2.URL("http://"+s.http, "m")
	if err != nil {
		return err
	}
	o, err := q.options(load.V2, url)
	if err != nil {
		return err
	}
	o.Rate, o.Duration, o.WarmUp = swapRate, swapTime, time.Second
	seen := &versions{}
	o.Verify = seen.see
	failed, changes, untrusted := [2]int{}, 0, 0
	run := func(swapping bool) func() (turn, error) {
		return func() (turn, error) {
			seen.changes.Store(0)
			end := func() error { return nil }
			if swapping {
				end = swapEverySecond(ctx, client)
			}
			t, err := s.ask(ctx, o)
			if err = errors.Join(err, end()); err != nil {
				return t, err
			}
			if swapping {
				failed[1] += t.failed
				changes += int(seen.changes.Load())
			} else {
				failed[0] += t.failed
			}
			if len(t.untrusted) > 0 {
				untrusted++
			}
			return t, nil
		}
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	turns, err := rounds("swaps", swapRounds, run(false), run(true))
	if err != nil {
		return err
	}
	still, swapped := middle(turns[0]), middle(turns[1])
	ratio := swapped.p99 / still.p99
	fmt.Printf("\n### %d requests a second while the model is swapped every second\n\n", swapRate)
	fmt.Println("| what | errors | p50 | p99 | ratio | to reach |\n|---|---|---|---|---|---|")
	fmt.Printf("| without swaps | %d | %s | %s | | |\n", failed[0], duration(still.p50), duration(still.p99))
	fmt.Printf("| with | %d | %s | %s | %.2f | ≤ 1.50, no error, %s |\n", failed[1], duration(swapped.p50), duration(swapped.p99), ratio, met(ratio <= 1.5 && failed[1] == 0))
	fmt.Printf("\nOver %d runs of %v the version of the answers changed %d times. The generator trusted all but %d of the %d runs. %s\n",
		swapRounds+1, swapTime, changes, untrusted, 2*(swapRounds+1), noise(s))
	if least := (swapRounds + 1) * int(swapTime/time.Second-2); changes < least {
		return fmt.Errorf("the model was swapped %d times only", changes)
	}
	return nil
}

// importAgain imports a second version: the same trees in a file that differs.
func importAgain(ctx context.Context, dir, model string) error {
	text, err := os.ReadFile(model)
	if err != nil {
		return err
	}
	other := bytes.Replace(text, []byte(`"attributes":{}`), []byte(`"attributes":{"again":"1"}`), 1)
	if bytes.Equal(other, text) {
		return fmt.Errorf("%s has attributes; another file of the same trees cannot be made of it", model)
	}
	path := filepath.Join(dir, "again.json")
	if err := os.WriteFile(path, other, 0o600); err != nil { //nolint:gosec // a path of our own
		return err
	}
	imported := exec.CommandContext(ctx, serin, "model", "import", "m", path, "--data-dir", filepath.Join(dir, "data"))
	imported.Stderr = os.Stderr
	return imported.Run()
}

// swapEverySecond moves the alias every second until the function that it returns is called.
func swapEverySecond(ctx context.Context, client *api.Client) (end func() error) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for version := 2; ; version = 3 - version {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
			if _, err := client.MoveAlias(ctx, "m", "champion", api.AliasChange{To: fmt.Sprint(version), By: "bench", Why: "a swap"}); err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
		}
	}()
	return func() error {
		stop()
		return <-ended
	}
}

// versions counts how often the version of the answers changes.
type versions struct {
	last    atomic.Int32
	changes atomic.Int32
}

// see is a load.Options.Verify.
func (v *versions) see(_, _ int, body []byte) error {
	now := int32(0)
	for i := int32(1); i <= 2; i++ {
		if bytes.Contains(body, fmt.Appendf(nil, `"model_version":"%d"`, i)) {
			now = i
		}
	}
	if now == 0 {
		return fmt.Errorf("the answer tells no version: %.200s", body)
	}
	if last := v.last.Swap(now); last != 0 && last != now {
		v.changes.Add(1)
	}
	return nil
}
