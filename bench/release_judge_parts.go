package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/serin-ml/serin/internal/release"
)

// simulate runs a simulation of each seed from 0 on, on all processors, and returns what came of them in their order.
func simulate[T any](ctx context.Context, runs int, run func(seed uint64) (T, error)) ([]T, error) {
	results := make([]T, runs)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= runs || ctx.Err() != nil {
					return ctx.Err()
				}
				var err error
				if results[i], err = run(uint64(i)); err != nil {
					return err
				}
			}
		})
	}
	return results, group.Wait()
}

// share is how many of all runs something happened in, with the interval of Wilson that holds with 95%.
type share struct{ of, all int }

func (s *share) count(happened bool) {
	s.all++
	if happened {
		s.of++
	}
}

func (s share) String() string {
	const z = 1.96
	n, p := float64(s.all), float64(s.of)/float64(s.all)
	centre, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return fmt.Sprintf("%.1f%% (%.1f to %.1f)", 100*p, 100*(centre-half)/(1+z*z/n), 100*(centre+half)/(1+z*z/n))
}

// medianOf is the median of counts, with the interval between order statistics that holds with 95%.
func medianOf(counts []int) string {
	sorted := slices.Sorted(slices.Values(counts))
	n := float64(len(sorted))
	if n == 0 {
		return "-"
	}
	at := func(p float64) int { return sorted[int(min(max(p*n, 0), n-1))] }
	half := 0.98 / math.Sqrt(n)
	return fmt.Sprintf("%d (%d to %d)", at(0.5), at(0.5-half), at(0.5+half))
}

// watched is what came of one release of a candidate that is as good as stable.
type watched struct {
	guardrail     string // for which it went back
	promoted      bool
	single, all   bool // a plain test of errors alone would have ended it, one of all five figures
	flagger, argo bool
}

// watchEqual releases a candidate that is as good as stable: 20% for six hours, 50% for six hours, a look each minute.
func watchEqual(seed uint64, p public) (r watched, err error) {
	c, err := begin(weight(20), pause(twelveHours/2), weight(50), pause(twelveHours/2), release.PlanStep{Kind: release.Analysis})
	if err != nil {
		return r, err
	}
	w := newWorld(seed, p, equal)
	minutes := make([]window, 0, twelveHours)
	for range twelveHours + 5 { // the analysis comes after it
		if c.state.Phase == release.Running {
			w.setShare(c.state.Percent() / 100)
		}
		w.pass()
		minutes = append(minutes, w.window[1])
		r.single, r.all = r.single || naive(&w.plain, 1), r.all || naive(&w.plain, len(w.plain[0]))
		if c.state.Phase == release.Running {
			if err := c.look(w.segments, w.asked); err != nil {
				return r, err
			}
		}
	}
	r.guardrail, r.promoted = c.rolledBack(), c.state.Phase == release.Promoting
	r.flagger, r.argo = flagger.ends(minutes) > 0, argo.ends(minutes) > 0
	return r, nil
}

// falseRollbacks tells how often candidates go back that are as good as stable.
func falseRollbacks(ctx context.Context, runs int) error {
	fmt.Printf("\n### Candidates as good as stable\n\n%d releases each, %d requests a minute on average with a wave over the day, 20%% for six hours and 50%% for six\n"+
		"more; five guardrails against stable, looked at every minute; 2%% of all users fail half of the time, on either side.\n\n", runs, aaRate)
	fmt.Println("| requests of a user | rolled back by Serin | promoted after 12 h | errors alone, tested at 5% | all five, tested at 5% | Flagger's rule | Argo's rule | to reach |\n|---|---|---|---|---|---|---|---|")
	for _, perUser := range []float64{1, 5, 30} {
		results, err := simulate(ctx, runs, func(seed uint64) (watched, error) {
			return watchEqual(seed, public{rate: aaRate, perUser: perUser, bad: 0.02, errors: 0.01})
		})
		if err != nil {
			return err
		}
		var ours, promoted, single, all, flaggers, argos share
		blamed := map[string]int{}
		for _, r := range results {
			ours.count(r.guardrail != "")
			promoted.count(r.promoted)
			single.count(r.single)
			all.count(r.all)
			flaggers.count(r.flagger)
			argos.count(r.argo)
			if r.guardrail != "" {
				blamed[r.guardrail]++
			}
		}
		fmt.Printf("| %v | **%v** %v | %v | %v | %v | %v | %v | ≤ 5%% |\n", perUser, ours, told(blamed), promoted, single, all, flaggers, argos)
	}
	return nil
}

// told lists which guardrail ended how many, as "errors 3, p99 1".
func told(counts map[string]int) (text string) {
	for i, m := range fiveGuardrails {
		if n := counts[m.Name]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%s %d", fiveGuardrails[i].Name, n)
		}
	}
	return text
}

// found is what it took until a bad candidate went back.
type found struct {
	guardrail          string
	errors, asked, min int // of both arms, to the candidate, minutes
}

// find releases a candidate with 20% until it goes back, for twelve hours at most.
func find(seed uint64, p public, like candidate) (f found, err error) {
	c, err := begin(weight(20), pause(2*twelveHours))
	if err != nil {
		return f, err
	}
	w := newWorld(seed, p, like)
	w.setShare(0.2)
	for range twelveHours {
		w.pass()
		if err := c.look(w.segments, w.asked); err != nil {
			return f, err
		}
		if f.guardrail = c.rolledBack(); f.guardrail != "" {
			break
		}
	}
	f.errors, f.asked, f.min = w.failed, int(w.asked), w.minute
	return f, nil
}

// findings tells how soon bad candidates are found.
func findings(ctx context.Context, runs int) error {
	once := public{rate: aaRate, perUser: 1, errors: 0.01}
	often := public{rate: aaRate, perUser: 5, errors: 0.01, bad: 0.02}
	fmt.Printf("\n### Candidates that are worse\n\n%d releases each, 20%% for twelve hours, the same five guardrails and looks; medians, of which not found counts as the end.\n\n", runs)
	fmt.Println("| the candidate | requests of a user | found | errors of both arms until then | requests to the candidate | minutes | to reach |\n|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		what string
		p    public
		like candidate
		goal string
	}{
		{"**fails twice as often**", once, candidate{errors: 2, fallbacks: 1, slower: 1}, "≤ 130 errors"},
		{"fails twice as often; 2% of users always half", often, candidate{errors: 2, fallbacks: 1, slower: 1}, ""},
		{"fails three times as often", once, candidate{errors: 3, fallbacks: 1, slower: 1}, ""},
		{"fails always", once, candidate{errors: 1e6, fallbacks: 1, slower: 1}, ""},
		{"takes 10% longer", often, candidate{errors: 1, fallbacks: 1, slower: 1.1}, ""},
		{"takes four times as long for 2% of answers", often, candidate{errors: 1, fallbacks: 1, slower: 1, tail: 0.02}, ""},
		{"has failures answered by the fallback twice as often", often, candidate{errors: 1, fallbacks: 2, slower: 1}, ""},
		{"is right 5 points less", often, candidate{errors: 1, fallbacks: 1, slower: 1, wrong: 0.05}, ""},
		{"is right 10 points less", often, candidate{errors: 1, fallbacks: 1, slower: 1, wrong: 0.1}, ""},
	} {
		results, err := simulate(ctx, runs, func(seed uint64) (found, error) { return find(seed, c.p, c.like) })
		if err != nil {
			return err
		}
		var share share
		var errors, asked, minutes []int
		for _, r := range results {
			share.count(r.guardrail != "")
			errors, asked, minutes = append(errors, r.errors), append(asked, r.asked), append(minutes, r.min)
		}
		fmt.Printf("| %s | %v | %v | %s | %s | %s | %s |\n", c.what, c.p.perUser, share, medianOf(errors), medianOf(asked), medianOf(minutes), c.goal)
	}
	return nil
}
