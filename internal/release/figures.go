package release

import (
	"math"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/stat"
)

// figures are what an expression uses, by name; NaN where there is none, or where fewer than least observations are behind it. The numbers of
// requests are always there.
func (c *Condition) figures(segments []Segment, least float64) map[string]any {
	all := map[string]any{}
	var both []*Segment
	for i := range segments {
		if s := &segments[i]; s.Share > 0 && s.Share < 1 {
			both = append(both, s)
		}
	}
	for arm, of := range map[string]func(*Segment) *Arm{
		"candidate": func(s *Segment) *Arm { return &s.Candidate },
		"stable":    func(s *Segment) *Arm { return &s.Stable },
	} {
		arms := make([]*Arm, len(both))
		for i, s := range both {
			arms[i] = of(s)
		}
		all[arm+".requests"] = requestsOf(arms)
		for _, name := range c.names {
			if what, ok := strings.CutPrefix(name, arm+"."); ok {
				all[name] = figure(arms, what, least)
			}
		}
	}
	return all
}

// figure is one of them.
func figure(arms []*Arm, what string, least float64) any {
	switch what {
	case "requests":
		return requestsOf(arms)
	case "labels":
		return sumOf(arms, Accuracy).Z
	case "errors", "fallbacks", "accuracy", "agreement":
		return meanOf(sumOf(arms, Measure(what)), least)
	case "latency.mean":
		return meanOf(sumOf(arms, Latency), least)
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
			if mean := meanOf(sum, least); !math.IsNaN(mean) {
				means[kind] = mean
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
		if float64(all.Count()) >= least {
			return all.Quantile(n) / 1e6
		}
	}
	return math.NaN()
}

// meanOf is NaN of fewer observations than least, and of none.
func meanOf(sum stat.Pair, least float64) float64 {
	if sum.Z < least {
		return math.NaN()
	}
	return sum.Y / sum.Z
}

// requestsOf are those that the arms got; of a shadow, whose requests nobody counts by user, the copies that both it and stable answered.
func requestsOf(arms []*Arm) float64 {
	paired := 0.0
	for _, a := range arms {
		if a.Paired != nil {
			for _, p := range a.Paired {
				paired += p.Z
			}
		}
	}
	return max(sumOf(arms, Errors).Z, sumOf(arms, Agreement).Z, paired)
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
