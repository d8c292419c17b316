package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%s over %s to %s, at most %d in flight\n", r.heading(), r.Protocol, r.URL, r.InFlight)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("requests", "%s", r.fate())
	line("answers", "%.1f/s as expected; %s", r.Rate, r.statuses())
	for _, p := range r.Problems {
		line("failed", "%d by %s: %s", p.Count, p.Kind, p.Example)
	}
	line("latency", "%s", r.Latency.text())
	if r.FailedLatency.Count > 0 {
		line("of failed", "%s", r.FailedLatency.text())
	}
	if r.AskedRate > 0 {
		line("sent", "%.1f/s where %.1f/s were asked for, %s; lag p99 %s ms, max %s ms", r.SentRate, r.AskedRate, r.late(), millis(r.Lag.P99), millis(r.Lag.Max))
	}
	line("bytes", "%d out, %d in", r.BytesOut, r.BytesIn)
	line("machine", "%s", r.Machine.text())
	_ = t.Flush() // w's errors are the caller's
	if r.CutOff > 0 {
		fmt.Fprintf(w, "%d requests were due and not done when the run was ended, and are not counted\n", r.CutOff)
	}
	if r.Interrupted {
		fmt.Fprintln(w, "the run was ended before its time; these are the figures until then")
	}
	for _, text := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
	for _, text := range r.Invalid {
		fmt.Fprintf(w, "INVALID: %s\n", text)
	}
}

func (r *Report) heading() string {
	if r.Arrivals == "closed" {
		return "closed loop"
	}
	return r.Arrivals + " arrivals"
}

func (r *Report) fate() string {
	if r.Requests == 0 {
		return "none"
	}
	fate := "all answered as expected"
	if r.Failed > 0 {
		fate = fmt.Sprintf("%d answered as expected, %d failed (%s)", r.Requests-r.Failed, r.Failed, percent(r.Failed, r.Requests))
	}
	return fmt.Sprintf("%d in %.1f s: %s", r.Requests, r.Elapsed.Seconds(), fate)
}

func (r *Report) late() string {
	if r.Late == 0 {
		return "none late"
	}
	return fmt.Sprintf("%d late for want of a free connection (%s)", r.Late, percent(r.Late, r.Requests))
}

func (r *Report) statuses() string {
	var all []string
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		all = append(all, fmt.Sprintf("%s: %d", status, r.Statuses[status]))
	}
	if all == nil {
		return "none"
	}
	return strings.Join(all, ", ")
}

func percent(n, of int) string {
	return strconv.FormatFloat(100*float64(n)/float64(max(of, 1)), 'g', 3, 64) + " %"
}

// text is one line of milliseconds.
func (s *Spread) text() string {
	if s.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %s, p90 %s, p95 %s, p99 %s, p99.9 %s, max %s, mean %s ms",
		millis(s.P50), millis(s.P90), millis(s.P95), millis(s.P99), millis(s.P999), millis(s.Max), millis(s.Mean))
}

// millis writes a time in milliseconds, with three digits at least.
func millis(d time.Duration) string {
	ms := d.Seconds() * 1e3
	switch {
	case ms >= 100:
		return strconv.FormatFloat(ms, 'f', 0, 64)
	case ms >= 10:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	case ms >= 1:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	}
	return strconv.FormatFloat(ms, 'f', 3, 64)
}

func (m *Machine) text() string {
	if !m.Known {
		return fmt.Sprintf("%d processors, of which this generator took %.2f", m.Cores, m.Own)
	}
	text := fmt.Sprintf("of %d processors this generator took %.2f, all else %.2f", m.Cores, m.Own, m.Others)
	if m.Stolen >= 0.005 {
		text += fmt.Sprintf(", and %.2f were taken away", m.Stolen)
	}
	return text
}

// Line tells how a run is going, in one line.
func (p *Progress) Line() string {
	what := "measuring"
	if !p.Measuring {
		what = "warming up"
	}
	of := ""
	if p.Total > 0 {
		of = fmt.Sprintf("/%.0f", p.Total.Seconds())
	}
	text := fmt.Sprintf("%s %.0f%s s: %d done, %.0f/s, p50 %s, p99 %s, max %s ms", what, p.Elapsed.Seconds(), of, p.Done, p.Rate,
		millis(p.Latency.P50), millis(p.Latency.P99), millis(p.Latency.Max))
	if p.Failed > 0 {
		text += fmt.Sprintf(", %d failed", p.Failed)
	}
	if p.Late > 0 {
		text += fmt.Sprintf(", %d late", p.Late)
	}
	return text
}
