package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

type decisionsShowCmd struct {
	ID string `arg:"" name:"id" help:"The decision's id, or its token from the header Serin-Decision."`
}

// Run shows a decision.
func (d *decisionsShowCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	details, err := control.Decision(ctx, d.ID)
	if err != nil {
		return err
	}
	return say.answer(details, func(w io.Writer) { showDecision(say, w, details) })
}

func showDecision(say *speaker, w io.Writer, d api.DecisionDetails) {
	fmt.Fprintf(w, "decision %s\n", d.ID)
	if t := d.Token; t != nil {
		fmt.Fprintln(w, "\nits token, which is genuine, says:")
		line(w, "at", when(t.At))
		line(w, "service", orUnknown(t.Service))
		line(w, "variant", orUnknown(t.Variant))
		line(w, "share", percent(t.Propensity))
		line(w, "epoch", t.Epoch)
		line(w, "policy", t.PolicyVersion)
	}
	fmt.Fprintln(w)
	if d.Decision == nil {
		fmt.Fprintln(w, "its record is not here: it was not read from the log yet, was dropped under load, or is older than what is kept")
	} else {
		showRecord(w, d.Decision)
	}
	if m := d.Minute; m != nil {
		line(w, "minute", fmt.Sprintf("%d requests to its variant, %d client errors, %d server errors, %d timeouts", m.Requests, m.ClientErrors, m.ServerErrors, m.Timeouts))
	}
	showCaptured(w, d)
	fmt.Fprintln(w)
	if len(d.Outcomes) == 0 {
		fmt.Fprintln(w, "nothing has come back for it")
		return
	}
	var rows [][]string
	for _, o := range d.Outcomes {
		value := "-"
		switch {
		case o.Label != nil:
			value = oneLine(*o.Label)
		case o.Number != nil:
			value = plain(*o.Number)
		}
		judged := "-"
		if o.Correct != nil {
			judged = map[bool]string{true: "right", false: "wrong"}[*o.Correct]
		}
		rows = append(rows, []string{when(o.ReceivedAt), o.Kind, value, judged, o.Class, o.Status, o.ID})
	}
	say.table(w, "RECEIVED KIND VALUE PREDICTION CLASS STATUS OUTCOME", rows)
}

func showRecord(w io.Writer, r *api.Decision) {
	line(w, "at", when(r.At))
	line(w, "service", r.Service)
	line(w, "assigned", r.Assigned)
	line(w, "answered", r.Answered)
	line(w, "version", r.Version)
	why := r.Reason
	if r.Propensity != nil {
		why += ", with probability " + plain(*r.Propensity)
	}
	line(w, "reason", why)
	line(w, "epoch", r.Epoch)
	line(w, "policy", r.PolicyVersion)
	line(w, "status", r.Status)
	line(w, "took", millis(float64(r.Micros)))
	line(w, "label", oneLine(r.Label))
	if r.Score != nil {
		line(w, "score", plain(*r.Score))
	}
	line(w, "unit", r.Unit)
	line(w, "request", oneLine(r.RequestID))
	line(w, "slots", string(r.Slots))
	line(w, "payload", r.Payload)
	switch {
	case r.Share == nil:
		line(w, "kept", "in the log; lists show a sample that it is none of")
	case *r.Share < 1:
		line(w, "kept", "as one of "+plain(1 / *r.Share))
	}
}

// showCaptured shows the bodies, and what was done to them.
func showCaptured(w io.Writer, d api.DecisionDetails) {
	c := d.Captured
	if c == nil {
		if d.Decision != nil && d.Decision.Payload != "" {
			fmt.Fprintln(w, "\nthe bodies that were captured are not kept any more")
		}
		return
	}
	for _, body := range []struct {
		name, text string
		size       int
	}{{"request", c.Request, c.RequestBytes}, {"response", c.Response, c.ResponseBytes}} {
		var notes []string
		for _, done := range []struct {
			what string
			to   []string
		}{{"the beginning", c.Truncated}, {"redacted", c.Redacted}, {"in base64", c.Base64}} {
			if slices.Contains(done.to, body.name) {
				notes = append(notes, done.what)
			}
		}
		if why := c.Withheld[body.name]; why != "" {
			notes = append(notes, "withheld: "+why)
		}
		fmt.Fprintf(w, "\n%s: %s\n", body.name, strings.Join(append([]string{fmt.Sprintf("%d bytes", body.size)}, notes...), ", "))
		if body.text != "" {
			fmt.Fprintln(w, "  "+oneLine(body.text))
		}
	}
}

func orUnknown(name string) string {
	if name == "" {
		return "none that is known here"
	}
	return name
}
