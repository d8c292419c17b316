package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/serin-ml/serin/internal/release"
)

// canary is a simulated release of a candidate that differs from stable by its errors alone, of users who ask once.
type canary struct {
	back    int      // after how many minutes Serin took it back, 0: never
	minutes []window // of the candidate, as if it had not
}

// bad counts the candidate's errors up to the end of a minute, of all twelve hours if it was never taken back.
func (s *canary) bad(until int) (n int) {
	if until == 0 {
		until = len(s.minutes)
	}
	for _, m := range s.minutes[:until] {
		n += m.errors
	}
	return n
}

// serve releases a candidate with 20% of so many requests a minute, of which stable fails a share and the candidate so many times as many. Of
// users who ask once, the counts of a minute and a bucket are Poisson, so they are drawn as such.
func serve(seed uint64, rate, fails, times float64) (s canary, err error) {
	const part = 0.2
	c, err := begin(weight(100*part), pause(2*twelveHours))
	if err != nil {
		return s, err
	}
	r := rand.New(rand.NewPCG(seed, 8))
	segments := []release.Segment{{Share: part}}
	asked := 0
	for minute := range twelveHours {
		arms := [2]*release.Arm{&segments[0].Stable, &segments[0].Candidate}
		var m window
		for arm, of := range arms {
			rate, fails := rate*(1-part), fails
			if arm == 1 {
				rate, fails = rate/(1-part)*part, fails*times
			} else if s.back > 0 {
				continue // nobody compares any more
			}
			failed, well := poisson(r, rate*fails), poisson(r, rate*(1-fails))
			if arm == 1 {
				m = window{requests: failed + well, errors: failed}
			}
			of.Erred += uint64(failed)
			spread(r, failed, &of.Failed, true)
			spread(r, well, &of.Failed, false)
		}
		s.minutes = append(s.minutes, m)
		asked += m.requests
		if s.back == 0 {
			if err := c.look(segments, uint64(asked)); err != nil {
				return s, err
			}
			if c.rolledBack() != "" {
				s.back = minute + 1
			}
		}
	}
	return s, nil
}

// spread puts requests into random buckets.
func spread(r *rand.Rand, n int, to *release.Pairs, failed bool) {
	for range n {
		p := &to[r.IntN(release.Buckets)]
		p.Z++
		p.Y += one(failed)
	}
}

// ruleShare is the part of the stated false rollbacks that one of five guardrails has.
const ruleShare = statedFalseRollback / 5

// againstThresholds counts the bad answers that a candidate with three times stable's errors serves until it is taken back.
func againstThresholds(ctx context.Context, runs int) error {
	fmt.Printf("\n### Bad answers of a candidate that fails three times as often\n\n%d releases each of an equal candidate (rolled back) and of the bad one "+
		"(bad answers, the median); 20%% for twelve hours.\nRules on the last minute: success at least 99%%. Set in hindsight: at the strictest success rate at which the rule rolls back no more than %v%% of the equal\n"+
		"ones, as it is one of five that share %v%%. Nobody can set it so beforehand.\n\n", runs, 100*ruleShare, 100*statedFalseRollback)
	fmt.Println("| requests a minute, stable's errors | Serin rolled back | bad answers | Flagger's rule rolled back | bad answers | Argo's rule rolled back | bad answers | Flagger's, set in hindsight: bad answers | Argo's, set in hindsight: bad answers |\n|---|---|---|---|---|---|---|---|---|")
	for _, c := range []struct{ rate, fails float64 }{{60, 0.001}, {60, 0.01}, {600, 0.001}, {600, 0.01}, {6000, 0.001}, {6000, 0.005}} {
		good, err := simulate(ctx, runs, func(seed uint64) (canary, error) { return serve(seed, c.rate, c.fails, 1) })
		if err != nil {
			return err
		}
		poor, err := simulate(ctx, runs, func(seed uint64) (canary, error) { return serve(seed+1e6, c.rate, c.fails, 3) })
		if err != nil {
			return err
		}
		var ours share
		var bad []int
		windows := make([][]window, len(good))
		for i := range good {
			ours.count(good[i].back > 0)
			windows[i] = good[i].minutes
		}
		for i := range poor {
			bad = append(bad, poor[i].bad(poor[i].back))
		}
		row := fmt.Sprintf("| %v, %v%% | %v | **%s** |", c.rate, 100*c.fails, ours, medianOf(bad))
		for _, rule := range []threshold{flagger, argo} {
			var rolled share
			for _, minutes := range windows {
				rolled.count(rule.ends(minutes) > 0)
			}
			row += fmt.Sprintf(" %v | %s |", rolled, medianOf(rule.bad(poor)))
		}
		for _, rule := range []threshold{flagger, argo} {
			set := rule.tuned(windows, ruleShare)
			row += fmt.Sprintf(" %s (≥ %.4g%%) |", medianOf(set.bad(poor)), 100*(1-set.share))
		}
		fmt.Println(row)
	}
	return nil
}

// bad counts the bad answers of each release until the rule ends it.
func (t threshold) bad(releases []canary) (counts []int) {
	for i := range releases {
		counts = append(counts, releases[i].bad(t.ends(releases[i].minutes)))
	}
	return counts
}
