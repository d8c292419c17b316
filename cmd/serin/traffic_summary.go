package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/strictyaml"
)

type trafficSummaryCmd struct {
	Service string `arg:"" help:"Name of the service."`
	Since   string `default:"1h" placeholder:"TIME" help:"From how long ago on, such as 30m, 12h or 7d (default: 1h)."`
}

// Run compares the variants.
func (t *trafficSummaryCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	since, err := ago(t.Since)
	if err != nil {
		return err
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	if err != nil {
		return err
	}
	defer control.Close()
	s, err := control.Summary(ctx, t.Service, time.Now().Add(-since), time.Time{})
	if err != nil {
		return err
	}
	return say.answer(s, func(w io.Writer) { showSummary(say, w, s) })
}

// ago reads how long ago something was.
func ago(text string) (time.Duration, error) {
	d, err := strictyaml.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fault.Invalidf("--since %.40q is no time that has passed", text).WithHint("write a number with a unit, like 30m, 12h or 7d")
	}
	return d, nil
}

func showSummary(say *speaker, w io.Writer, s api.ServiceSummary) {
	fmt.Fprintf(w, "%s from %s to %s; intervals hold with %.4g%% however often one looks\n\n", s.Service, when(s.From), when(s.To), 100*s.Confidence)
	if len(s.Variants) == 0 {
		fmt.Fprintln(w, "there were no requests in this time; --since looks further back")
		return
	}
	rows := [][]string{}
	for _, v := range s.Variants {
		mean := "-"
		if v.LatencyMicros.Mean != nil {
			mean = millis(*v.LatencyMicros.Mean)
		}
		rows = append(rows, []string{
			v.Variant, shortVersion(v.Version), strconv.FormatUint(v.Requests, 10), intervalText(v.ErrorRate, percent), mean,
			intervalText(v.LatencyMicros.P50, millis), intervalText(v.LatencyMicros.P95, millis), intervalText(v.LatencyMicros.P99, millis),
			strconv.FormatUint(v.LatencyMicros.N, 10),
		})
	}
	say.table(w, "VARIANT VERSION REQUESTS ERRORS MEAN P50 P95 P99 OF", rows)
	rows = nil
	for _, v := range s.Variants {
		for _, f := range []struct {
			name string
			api.Feedback
		}{{"verified", v.Feedback}, {"unverified", v.Unverified}, {"attributed", v.Attributed}, {"by hand", v.ByHand}} {
			if f.Outcomes == 0 {
				continue
			}
			rows = append(rows, []string{
				v.Variant, shortVersion(v.Version), f.name, strconv.FormatUint(f.Outcomes, 10), intervalText(f.Accuracy, percent),
				strconv.FormatUint(f.Accuracy.N, 10), intervalText(f.Reward, plain), strconv.FormatUint(f.Reward.N, 10),
			})
		}
	}
	fmt.Fprintln(w)
	if rows == nil {
		fmt.Fprintln(w, "no feedback has come for decisions of this time")
	} else {
		say.table(w, "VARIANT VERSION FEEDBACK OUTCOMES ACCURACY OF REWARD OF", rows)
	}
	for _, r := range s.Ratios {
		fmt.Fprintln(w)
		showRatio(w, r)
	}
}

func showRatio(w io.Writer, r api.SampleRatio) {
	var units []string
	for _, name := range slices.Sorted(maps.Keys(r.Units)) {
		units = append(units, fmt.Sprintf("%s %d", name, r.Units[name]))
	}
	verdict := "as the weights say"
	switch {
	case r.Alarm:
		verdict = "NOT as the weights say: something loses or moves users of one variant; trust no comparison until it is found"
	case r.Tested == 0:
		verdict = "nothing could be tested yet"
	}
	fmt.Fprintf(w, "users of epoch %d: %s; %s (p = %.3g)\n", r.Epoch, strings.Join(units, ", "), verdict, r.P)
	if r.Mixed > 0 {
		fmt.Fprintf(w, "  %d of them could not be tested, as their decisions disagree about the weights\n", r.Mixed)
	}
}

// intervalText is an estimate and its limits; a limit that the data do not give yet is a question mark.
func intervalText(i api.Interval, number func(float64) string) string {
	if i.Estimate == nil {
		return "-"
	}
	limit := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return number(*v)
	}
	return fmt.Sprintf("%s [%s..%s]", number(*i.Estimate), limit(i.Low), limit(i.High))
}

// millis is microseconds as milliseconds.
func millis(micros float64) string { return fmt.Sprintf("%.3gms", micros/1000) }

func plain(v float64) string { return fmt.Sprintf("%.4g", v) }

// shortVersion is enough of a digest to tell versions apart, or what an upstream's version is called.
func shortVersion(version string) string {
	digest, is := strings.CutPrefix(version, "sha256:")
	switch {
	case version == "":
		return "-"
	case is:
		return digest[:min(len(digest), 12)]
	}
	return version
}
