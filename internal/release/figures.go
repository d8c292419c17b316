package release

import (
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/stat"
)

// byArm are the arms of the segments in which both had a share, by the names that expressions have for them.
func byArm(segments []Segment) map[string][]*Arm {
	arms := map[string][]*Arm{}
	for i := range segments {
		if s := &segments[i]; s.Share > 0 && s.Share < 1 {
			arms["stable"], arms["candidate"] = append(arms["stable"], &s.Stable), append(arms["candidate"], &s.Candidate)
		}
	}
	return arms
}

// observed is how many requests there were to each arm; of a shadow, whose requests nobody counts by user, how many of its answers were compared.
func observed(segments []Segment) map[string]float64 {
	arms := byArm(segments)
	counts := map[string]float64{}
	for _, arm := range []string{"candidate", "stable"} {
		counts[arm] = max(sumOf(arms[arm], Errors).Z, sumOf(arms[arm], Agreement).Z)
	}
	return counts
}

// figures are what the expression uses, by name; NaN where there is none.
func (c *Condition) figures(segments []Segment) map[string]any {
	all := map[string]any{}
	for arm, of := range byArm(segments) {
		for _, name := range c.names {
			if what, ok := strings.CutPrefix(name, arm+"."); ok {
				all[name] = figure(of, what)
			}
		}
	}
	return all
}

// figure is one of them.
func figure(arms []*Arm, what string) any {
	switch what {
	case "requests":
		return sumOf(arms, Errors).Z
	case "labels":
		return sumOf(arms, Accuracy).Z
	case "errors", "fallbacks", "accuracy", "agreement":
		sum := sumOf(arms, Measure(what))
		return sum.Y / sum.Z
	case "latency.mean":
		sum := sumOf(arms, Latency)
		return sum.Y / sum.Z
	case "value":
		sums := map[string]stat.Pair{}
		for _, a := range arms {
			for kind, pairs := range a.Values {
				sum := sums[kind]
				for _, p := range pairs {
					sum.Y += p.Y
					sum.Z += p.Z
				}
				sums[kind] = sum
			}
		}
		means := map[string]float64{}
		for kind, sum := range sums {
			if sum.Z > 0 {
				means[kind] = sum.Y / sum.Z
			}
		}
		return means
	}
	digits := strings.TrimPrefix(what, "latency.p") // p999 is 0.999
	if n, err := strconv.ParseFloat("0."+digits, 64); err == nil {
		var all stat.Sketch
		for _, a := range arms {
			for _, s := range a.Latencies {
				if s != nil {
					all.Merge(s)
				}
			}
		}
		return all.Quantile(n) / 1e6
	}
	return math.NaN()
}

func sumOf(arms []*Arm, measure Measure) (sum stat.Pair) {
	for _, a := range arms {
		if pairs := a.pairs(&Metric{Measure: measure}); pairs != nil {
			for _, p := range pairs {
				sum.Y += p.Y
				sum.Z += p.Z
			}
		}
	}
	return sum
}
