package main

import (
	"math"
	"slices"

	"github.com/serin-ml/serin/internal/stat"
)

// naive tells whether any of the first figures of the candidate is worse than stable's by a plain test at 5%, as one is tempted to look every
// minute: of single requests, from 300 of each arm on, with no thought of how often one looks.
func naive(arms *[2]plainFigures, figures int) bool {
	const z, least = 1.645, 300
	for i := range figures {
		a, b := arms[0][i], arms[1][i]
		if min(a.N, b.N) < least {
			continue
		}
		if d := stat.Difference(a.Estimate(), b.Estimate()); d.Value > z*d.SE {
			return true
		}
	}
	return false
}

// threshold is a rule as canary controllers have them: each minute on its own is held to a share of errors, and so many minutes that exceed it
// end the release. Minutes without requests count as exceeding for some.
type threshold struct {
	name     string
	share    float64 // of errors that a minute may have
	failures int     // minutes that end it, not necessarily in a row
	noData   int     // minutes without requests in a row that end it; 0: each is a failure
}

// The rules as they come: a success rate of at least 99% in the last minute, as Flagger's documentation has it. Flagger ends at its threshold of
// failed checks, 5 in its documentation, which are never forgotten; a check without data is a failed one. Argo Rollouts has failureLimit 0, so
// that the first failed measurement ends it, and consecutiveErrorLimit 4 for those that give no number.
var (
	flagger = threshold{name: "Flagger", share: 0.01, failures: 5}
	argo    = threshold{name: "Argo", share: 0.01, failures: 1, noData: 5}
)

// ends returns after how many of the minutes the rule ends the release, 0 if it does not.
func (t threshold) ends(minutes []window) int {
	failed, silent := 0, 0
	for i, m := range minutes {
		switch {
		case m.requests > 0:
			silent = 0
			if float64(m.errors) > t.share*float64(m.requests) {
				failed++
			}
		case t.noData == 0:
			failed++
		default:
			silent++
		}
		if failed >= t.failures || t.noData > 0 && silent >= t.noData {
			return i + 1
		}
	}
	return 0
}

// tuned is the rule with the lowest share of errors at which no more than the given part of equal candidates is rolled back: what somebody
// could set who knew the traffic beforehand.
func (t threshold) tuned(releases [][]window, most float64) threshold {
	worst := make([]float64, len(releases)) // by release: the share at and above which it goes through
	for i, minutes := range releases {
		var shares []float64
		for _, m := range minutes {
			if m.requests > 0 {
				shares = append(shares, float64(m.errors)/float64(m.requests))
			}
		}
		slices.Sort(shares)
		if n := len(shares); n >= t.failures {
			worst[i] = shares[n-t.failures]
		}
	}
	slices.Sort(worst)
	t.share = worst[len(worst)-1-int(math.Floor(most*float64(len(worst))))]
	return t
}
