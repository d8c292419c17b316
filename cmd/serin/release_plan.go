package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/release"
)

type releasePlanCmd struct {
	Name string `arg:"" help:"Name of the template, under releases in the server's file."`
}

// Run tells what a release would find out.
func (p *releasePlanCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	server, err := app.Running(c.DataDir)
	if err != nil {
		return err
	}
	plan, err := server.PlanRelease(ctx, p.Name)
	if err != nil {
		return err
	}
	return say.answer(plan, func(w io.Writer) { showPlan(say, w, &plan) })
}

func showPlan(say *speaker, w io.Writer, p *api.ReleasePlan) {
	fmt.Fprintf(w, "%s: %s takes the place of %s in service %s\n\n", p.Plan.Name, p.Plan.Candidate, p.Plan.Stable, p.Plan.Service)
	for i, s := range p.Steps {
		fmt.Fprintf(w, "%3d. %s\n", i+1, s)
	}
	fmt.Fprintf(w, "\nfrom %s to %s there were %d requests\n", when(p.From), when(p.To), p.Requests)
	if len(p.Metrics) > 0 {
		fmt.Fprintln(w)
		var rows [][]string
		for i := range p.Metrics {
			m := &p.Metrics[i]
			unit := func(v *float64) string {
				if v == nil {
					return "-"
				}
				return p.Plan.Metrics[i].Text(*v)
			}
			passes := "-"
			if m.Passes != nil {
				passes = "about " + m.Passes.String()
			}
			rows = append(rows, []string{m.Metric, string(m.Role), unit(m.Now), strconv.FormatFloat(m.PerHour, 'f', 0, 64), passes, difference(&p.Plan.Metrics[i], m.Harm)})
		}
		say.table(w, "METRIC ROLE NOW PER-HOUR PASSES FINDS", rows)
		fmt.Fprintln(w)
		for _, m := range p.Metrics {
			fmt.Fprintf(w, "%s: %s\n", m.Metric, m.Says)
		}
	}
	fmt.Fprintln(w)
	for _, s := range p.Says {
		fmt.Fprintln(w, s)
	}
	for _, s := range p.Warnings {
		fmt.Fprintln(w, "warning: "+s)
	}
	for _, m := range p.Metrics {
		for _, s := range m.Warnings {
			fmt.Fprintf(w, "warning: %s: %s\n", m.Metric, s)
		}
	}
}

// difference is a harm in its metric's unit.
func difference(m *release.Metric, harm *float64) string {
	if harm == nil {
		return "-"
	}
	return m.Difference(*harm)
}
