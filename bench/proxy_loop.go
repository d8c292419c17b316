package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/load"
)

// saturated measures what a request costs in a closed loop, and how many there can be.
func (p proxies) saturated(ctx context.Context, _ string) error {
	var sides []func() (turn, error)
	all := methods()
	for _, m := range all {
		for _, c := range p {
			o := m.options(c.http)
			sides = append(sides, func() (turn, error) { return patiently(ctx, c.remote, o) })
		}
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	turns, err := rounds("proxies in a closed loop", proxyRounds, sides...)
	if err != nil {
		return err
	}
	fmt.Printf("\n### %d connections in a closed loop\n\n", inFlight)
	fmt.Println("| what | CPU a request | to NGINX's | requests/s | to NGINX's | p50 | p99 | to reach |\n|---|---|---|---|---|---|---|---|")
	for i, m := range all {
		of := turns[i*len(p) : (i+1)*len(p)]
		for k, c := range p {
			cpu := ratio(of[k], of[1], func(t turn) float64 { return t.cpu })
			rate := ratio(of[1], of[k], func(t turn) float64 { return t.elapsed })
			target := ""
			if k == 0 {
				target = fmt.Sprintf("CPU ≤ 1.80, %s; requests/s ≥ 0.75, %s", met(cpu <= 1.8), met(rate >= 0.75))
			}
			t := middle(of[k])
			fmt.Printf("| %s: %s | %s | %.2f | %.0f | %.2f | %s | %s | %s |\n",
				m.name, c.name, duration(t.cpu), cpu, 1/t.elapsed, rate, duration(t.p50), duration(t.p99), target)
		}
	}
	fmt.Printf("\n%s\n", noise(p.remotes()...))
	return nil
}

// patiently is answered, and asks again where requests failed because the machine stood still: an hour on a shared one has seconds in which
// nobody runs, and a proxy that keeps its limit of time answers with it then.
func patiently(ctx context.Context, s *remote, o load.Options) (t turn, err error) {
	const tries = 3
	for try := range tries {
		if t, err = s.answered(ctx, o); err == nil || ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "bench: try %d: %v\n", try+1, err)
		select {
		case <-ctx.Done():
		case <-time.After(thirty): // by then everything that was put aside is asked again
		}
	}
	return t, err
}

// thirty is what Envoy and Serin put an instance aside for, and some.
const thirty = 31 * time.Second

func (p proxies) remotes() []*remote {
	var all []*remote
	for _, c := range p {
		all = append(all, c.remote)
	}
	return all
}

// ratio is the median over rounds of how a figure of one compares with that of another in the same round.
func ratio(of, to []turn, figure func(turn) float64) float64 {
	ratios := make([]float64, len(of))
	for i := range ratios {
		ratios[i] = figure(of[i]) / figure(to[i])
	}
	return median(ratios)
}

// constant measures how much later answers come than without a proxy, at a constant rate that leaves the machine mostly idle.
func (p proxies) constant(ctx context.Context, direct string) error {
	m := methods()[0]
	bare := contender{&remote{command: p[1].command, http: direct}, "no proxy"} // whose processor time is not told
	all := slices.Concat(p, proxies{bare})
	var sides []func() (turn, error)
	untrusted := 0
	for _, c := range all {
		o := m.options(c.http)
		o.Rate, o.Duration, o.WarmUp = constantRate, constantTurn, 500*time.Millisecond
		sides = append(sides, func() (turn, error) {
			t, err := patiently(ctx, c.remote, o)
			if len(t.untrusted) > 0 {
				untrusted++
			}
			return t, err
		})
	}
	if err := quiet(ctx); err != nil {
		return err
	}
	turns, err := rounds(fmt.Sprintf("proxies at %d requests a second", constantRate), constantRounds, sides...)
	if err != nil {
		return err
	}
	fmt.Printf("\n### %d requests a second at a constant rate, POST\n\n", constantRate)
	fmt.Println("| what | p50 | p99 | added to p50 | to NGINX's | added to p99 | to NGINX's | CPU a request | to reach |\n|---|---|---|---|---|---|---|---|---|")
	without := turns[len(p)]
	nginx50, nginx99 := later(without, turns[1])
	for k, c := range all {
		t := middle(turns[k])
		if k == len(p) {
			fmt.Printf("| %s | %s | %s | | | | | | |\n", c.name, duration(t.p50), duration(t.p99))
			continue
		}
		p50, p99 := later(without, turns[k])
		target := ""
		if k == 0 {
			target = fmt.Sprintf("≤ 1.30: p50 %s, p99 %s", met(p50 <= 1.3*nginx50), met(p99 <= 1.3*nginx99))
		}
		fmt.Printf("| %s | %s | %s | %s | %.2f | %s | %.2f | %s | %s |\n", c.name, duration(t.p50), duration(t.p99),
			signed(p50), p50/nginx50, signed(p99), p99/nginx99, duration(t.cpu), target)
	}
	fmt.Printf("\n%d rounds of %v. The generator trusted all but %d of the %d runs. %s\n",
		constantRounds, constantTurn, untrusted, len(all)*(constantRounds+1), noise(p.remotes()...))
	return nil
}

// later is the median over rounds of how much later answers came than those of another in the same round, at the median and at the 99th
// percentile: seconds.
func later(than, by []turn) (p50, p99 float64) {
	var a, b []float64
	for i := range by {
		a, b = append(a, by[i].p50-than[i].p50), append(b, by[i].p99-than[i].p99)
	}
	return median(a), median(b)
}

// signed is duration for what may be less than nothing.
func signed(seconds float64) string {
	switch {
	case seconds < 0:
		return "-" + duration(-seconds)
	case seconds == 0:
		return "0"
	}
	return duration(seconds)
}
