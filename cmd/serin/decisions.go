package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
)

// decisionsCmd is the commands about single decisions.
type decisionsCmd struct {
	Tail decisionsTailCmd `cmd:"" help:"Print the last decisions, and go on as they turn up."`
	Show decisionsShowCmd `cmd:"" help:"Show one decision, and what came back for it."`
}

type decisionsTailCmd struct {
	Follow  bool   `short:"f" help:"Go on until interrupted; with --json a line of JSON for each."`
	Service string `placeholder:"NAME" help:"Only those of this service."`
	Number  int    `short:"n" default:"20" placeholder:"N" help:"How many of the last ones, up to 1000 (default: 20)."`
}

const (
	tailEvery = 500 * time.Millisecond
	// tailPatience is how often in a row a look may fail for a reason that passes, such as a server that starts.
	tailPatience = 20
)

// Run prints decisions.
func (d *decisionsTailCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	if d.Number < 0 || d.Number > 1000 {
		return fault.Invalidf("-n %d is out of range", d.Number).WithHint("give 0 to 1000")
	}
	from := &looker{c: c, say: say}
	if !d.Follow {
		list, err := from.Decisions(ctx, d.Service, "", max(d.Number, 1))
		if err != nil {
			return err
		}
		list = list[:min(len(list), d.Number)]
		return say.answer(list, func(w io.Writer) { showDecisions(w, list) })
	}
	tail := &api.Tail{Service: d.Service}
	list, err := tail.Start(ctx, from, d.Number)
	if err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintln(say.out, decisionHeader)
	}
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for failed := 0; ; {
		for _, one := range list {
			if c.JSON {
				err = say.event(one)
			} else {
				_, err = fmt.Fprintln(say.out, decisionLine(one))
			}
			if err != nil {
				return fault.Unavailablef("the decisions cannot be written: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil // interrupted, as it is meant to be
		case <-tick.C:
		}
		list, err = tail.Next(ctx, from)
		switch {
		case err == nil:
			failed = 0
		case ctx.Err() != nil:
			return nil
		case fault.KindOf(err) != fault.Unavailable || failed == tailPatience:
			return err
		default:
			failed++
		}
	}
}

// looker opens the data directory anew for each look, as a server may start or stop between two.
type looker struct {
	c   *cli
	say *speaker
}

// Decisions lists decisions.
func (l *looker) Decisions(ctx context.Context, service, after string, limit int) ([]api.Decision, error) {
	control, err := app.Reader(ctx, l.c.options(l.say.errs))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	return control.Decisions(ctx, service, after, limit)
}

const decisionFormat = "%-23s  %-36s  %-16s  %-12s  %-9s  %6s  %9s  %s"

var decisionHeader = fmt.Sprintf(decisionFormat, "AT", "DECISION", "SERVICE", "VARIANT", "REASON", "STATUS", "TOOK", "LABEL")

// decisionLine is a decision in a line whose columns are known before the others are.
func decisionLine(d api.Decision) string {
	variant, label := d.Assigned, d.Label
	if d.Answered != d.Assigned {
		variant += ">" + d.Answered
	}
	if label == "" {
		label = "-"
	}
	return fmt.Sprintf(decisionFormat, d.At.Local().Format("2006-01-02 15:04:05.000"), d.ID, d.Service, variant, d.Reason,
		strconv.Itoa(d.Status), millis(float64(d.Micros)), oneLine(label))
}

func showDecisions(w io.Writer, list []api.Decision) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no decisions")
		return
	}
	fmt.Fprintln(w, decisionHeader)
	for _, d := range list {
		fmt.Fprintln(w, decisionLine(d))
	}
}
