package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/traffic"
)

// trafficCmd is the commands about a service's traffic.
type trafficCmd struct {
	Show    trafficShowCmd    `cmd:"" help:"Show whose weights hold, for one service or all."`
	Set     trafficSetCmd     `cmd:"" help:"Put weights above those of the file, for a time."`
	Clear   trafficClearCmd   `cmd:"" help:"Take the weights above the file's away."`
	Summary trafficSummaryCmd `cmd:"" help:"Compare a service's variants, with uncertainty and sample sizes."`
}

// weightsText lists variants and their weights.
func weightsText(w traffic.Weights) string {
	if len(w) == 0 {
		return "-"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(w)) {
		all = append(all, name+"="+w[name].String())
	}
	return strings.Join(all, ",")
}

// sharesText lists variants and their shares, in percent.
func sharesText(shares map[string]float64) string {
	if len(shares) == 0 {
		return "-"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		all = append(all, name+" "+percent(shares[name]))
	}
	return strings.Join(all, ", ")
}

// percent is a share as people read it: four digits that say something.
func percent(share float64) string { return fmt.Sprintf("%.4g%%", 100*share) }

// nowHold tells what a change has led to.
func nowHold(w io.Writer, s api.ServiceTraffic) {
	fmt.Fprintf(w, "%s: %s, by the %s (policy version %d)\n", s.Service, sharesText(s.Shares), s.Source, s.PolicyVersion)
	if s.Source == traffic.FromRelease && s.Override != nil {
		fmt.Fprintln(w, "the release hides the override")
	}
}
