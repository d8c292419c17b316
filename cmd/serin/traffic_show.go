package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

type trafficShowCmd struct {
	Service string `arg:"" optional:"" help:"Name of the service (default: all, in short)."`
}

// Run shows the traffic of one service, or of all.
func (t *trafficShowCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	if t.Service != "" {
		s, err := control.ServiceTraffic(ctx, t.Service)
		if err != nil {
			return err
		}
		return say.answer(s, func(w io.Writer) { showTraffic(say, w, s) })
	}
	all, err := control.Traffic(ctx)
	if err != nil {
		return err
	}
	return say.answer(all, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "no server has run yet with a file that names services")
			return
		}
		var rows [][]string
		for _, s := range all {
			until := "-"
			if s.Override != nil {
				until = untilText(s)
			}
			rows = append(rows, []string{s.Service, sharesText(s.Shares), string(s.Source), until, strconv.FormatUint(uint64(s.Epoch), 10), strconv.FormatUint(s.PolicyVersion, 10)})
		}
		say.table(w, "SERVICE TRAFFIC BY OVERRIDE-UNTIL EPOCH POLICY", rows)
	})
}

func untilText(s api.ServiceTraffic) string {
	if s.Override.Expires.IsZero() {
		return "for good"
	}
	return when(s.Override.Expires)
}

func showTraffic(say *speaker, w io.Writer, s api.ServiceTraffic) {
	fmt.Fprintf(w, "%s, epoch %d, policy version %d: the weights of the %s hold\n\n", s.Service, s.Epoch, s.PolicyVersion, s.Source)
	var rows [][]string
	for _, v := range s.Variants {
		rows = append(rows, []string{v, s.Weights[v].String(), percent(s.Shares[v])})
	}
	say.table(w, "VARIANT WEIGHT SHARE", rows)
	fmt.Fprintln(w)
	rows = nil
	for _, l := range s.Layers {
		holds := "-"
		if l.Effective {
			holds = "yes"
		}
		rows = append(rows, []string{string(l.Source), holds, weightsText(l.Weights), strings.Join(l.Notes, "; ")})
	}
	say.table(w, "LAYER HOLDS WEIGHTS NOTES", rows)
	fmt.Fprintln(w)
	rows = nil
	for _, change := range s.Changes {
		rows = append(rows, []string{
			when(change.At), strconv.FormatUint(change.PolicyVersion, 10), change.What, weightsText(change.Weights), change.By, change.Why,
		})
	}
	say.table(w, "CHANGED POLICY WHAT WEIGHTS BY WHY", rows)
}
