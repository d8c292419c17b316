package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

const (
	overloadTime = 10 * time.Second
	recovery     = 5 * time.Second
)

// overloaded asks more than an upstream can do.
func overloaded(ctx context.Context, dir string) (err error) {
	u, err := launchUpstream(ctx, "work")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.stop()) }()
	s, err := launchConfigured(ctx, dir, onAnyPort+fmt.Sprintf("services: [{name: movies, path: /, timeout: 500ms, upstream: \"http://%s\"}]\n", u.http))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	o := load.Options{URL: "http://" + s.http + "/", Timeout: 10 * time.Second, MaxLag: time.Hour}
	best := o
	best.InFlight, best.Duration, best.WarmUp = workSlots, 3*time.Second, time.Second
	peak, err := load.Run(ctx, best)
	if err != nil {
		return err
	}
	fmt.Printf("\n### Overload (an upstream with %d workers that take %v each; timeout 500 ms)\n\n", workSlots, workTime)
	fmt.Printf("| asked | answered well, a second | to the peak | answered well, p99 | refused | refused, p99 | late or otherwise | well again after | to reach |\n|---|---|---|---|---|---|---|---|---|\n")
	fmt.Printf("| %d at a time | %.0f (the peak) | | %s | %d | | %d | | |\n", workSlots, peak.Rate, duration(peak.Latency.P99.Seconds()), peak.Statuses["503"], peak.Failed)
	for _, times := range []float64{2, 5} {
		fmt.Fprintf(os.Stderr, "bench: %.0f times the peak\n", times)
		over := o
		over.Rate, over.InFlight, over.Duration = times*peak.Rate, 4000, overloadTime
		probing, stop := context.WithCancel(ctx)
		refusals := make(chan []float64, 1)
		go func() { refusals <- probe(probing, o.URL, http.StatusServiceUnavailable) }()
		served, err := load.Run(ctx, over)
		stop()
		refused := <-refusals
		if err != nil {
			return err
		}
		after, err := recovered(ctx, o, peak)
		if err != nil {
			return err
		}
		others, told := served.Failed-served.Statuses["503"], percentile(refused, 99)
		share := served.Rate / peak.Rate
		fmt.Printf("| %.0f times the peak | %.0f | %.2f | %s | %d | %s | %d | %v | ≥ 0.90, %s; refused p99 < 20 ms, %s; again in %v, %s |\n", times, served.Rate, share,
			duration(served.Latency.P99.Seconds()), served.Statuses["503"], duration(told), others, after.Round(100*time.Millisecond),
			met(share >= 0.9), met(told < 0.020), recovery, met(after <= recovery))
		if others > 0 {
			fmt.Fprintf(os.Stderr, "bench: otherwise: %s\n", problems(served.Problems))
		}
	}
	fmt.Printf("\nThe upstream works off what was asked also for those who have gone, as most servers of models do.\n"+
		"Refusals are timed by %d more clients that ask one request after the other.\n", probes)
	return nil
}

// probes is how many clients ask beside the generator, which does not tell answers apart by what they took.
const probes = 4

// probe asks until ctx ends, and returns how long answers of a status took, in seconds.
func probe(ctx context.Context, url string, status int) (took []float64) {
	var asking sync.WaitGroup
	var mu sync.Mutex
	for range probes {
		asking.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
				if err != nil {
					return
				}
				begin := time.Now()
				resp, err := client.Do(r)
				if err != nil {
					continue
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if resp.Body.Close(); err == nil && resp.StatusCode == status {
					mu.Lock()
					took = append(took, time.Since(begin).Seconds())
					mu.Unlock()
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	asking.Wait()
	return took
}

// percentile is the smallest of the values that p of a hundred do not exceed; it sorts them. Of none it is not a number.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[max(0, (len(values)*p+99)/100-1)]
}

// recovered asks half of what can be done until all of it is answered well and within twice the time that it takes alone, and returns how
// long that was not so.
func recovered(ctx context.Context, o load.Options, peak *load.Report) (time.Duration, error) {
	const slice, patience = 500 * time.Millisecond, 30 * time.Second
	o.Rate, o.InFlight, o.Duration = peak.Rate/2, 1000, slice
	begin := time.Now()
	for time.Since(begin) < patience {
		before := time.Since(begin)
		r, err := load.Run(ctx, o)
		if err != nil {
			return 0, err
		}
		if r.Failed == 0 && r.Latency.P99 <= 2*peak.Latency.P99 {
			return before, nil
		}
	}
	return patience, nil
}

// problems tells what failed in a run, in a line.
func problems(all []load.Problem) string {
	var lines []string
	for _, p := range all {
		lines = append(lines, fmt.Sprintf("%d %s (%s)", p.Count, p.Kind, p.Example))
	}
	return strings.Join(lines, "; ")
}
