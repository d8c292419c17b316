package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/load"
)

type loadCmd struct {
	URL string `arg:"" help:"Where to send: the URL of a call, or with --input that of a server. grpc:// and grpcs:// for gRPC."`

	loadBody `embed:"" group:"What is sent:"`
	loadRows `embed:"" group:"Rows:"`
	loadPace `embed:"" group:"How often:"`

	HTTP2    bool   `name:"http2" help:"Speak HTTP/2."`
	Insecure bool   `help:"Take any certificate."`
	Expect   string `placeholder:"STATUS" help:"Which answers are good: 200, 2xx, or OK for gRPC, several with commas (default: 2xx, OK)."`

	Threshold []load.Threshold `sep:"none" placeholder:"LIMIT" help:"A limit to keep, such as p99<10ms, errors<0.1% or rate>4950; again for more. Exit code 1 if one is not kept."`
	MaxLag    time.Duration    `default:"1ms" help:"How late the generator itself may be, at its 99th percentile, before the run is invalid, exit code 3 (default: 1ms)."`
	HDR       string           `name:"hdr" placeholder:"FILE" help:"Write the latencies as an HDR histogram's text."`
	Progress  string           `enum:"auto,yes,no" default:"auto" help:"A line every second: auto (on a terminal), yes or no."`
}

type loadBody struct {
	Method      string   `placeholder:"METHOD" help:"Method of HTTP (default: POST with a body, GET without)."`
	Data        string   `short:"d" placeholder:"TEXT" help:"The body of every request."`
	Body        string   `placeholder:"FILE" help:"A file with the body of every request; - for standard input."`
	ContentType string   `default:"application/json" help:"What --data or --body is (default: application/json)."`
	Header      []string `short:"H" sep:"none" placeholder:"NAME:VALUE" help:"A header; again for more. For gRPC its metadata."`
	UserHeader  string   `placeholder:"NAME" help:"A header that tells users apart, such as X-User-Id."`
	Users       int      `placeholder:"N" help:"How many users there are, drawn at random (default: another one for each request)."`
	Shuffle     bool     `help:"Send different bodies in a random order."`
	Seed        uint64   `default:"1" help:"Seed of all that is random (default: 1)."`
}

type loadPace struct {
	Rate        float64       `short:"r" placeholder:"N" help:"Requests a second, whether or not the server keeps up (default: a closed loop, which sends when it has an answer)."`
	Arrivals    string        `enum:"constant,poisson" default:"constant" help:"constant, or poisson as independent users are."`
	Duration    time.Duration `placeholder:"10s" help:"How long is measured (default: 10s, or until --count)."`
	Count       int           `short:"n" placeholder:"N" help:"How many requests are measured."`
	WarmUp      time.Duration `default:"1s" help:"Sent before that and not measured (default: 1s)."`
	Ramp        time.Duration `placeholder:"0s" help:"How long the rate rises before the warm-up."`
	InFlight    int           `short:"c" placeholder:"64" help:"The most requests without an answer, which over HTTP/1.1 is the number of connections (default: 64)."`
	Connections int           `placeholder:"4" help:"Connections of HTTP/2 and gRPC, which carry several requests each (default: 4)."`
	Threads     int           `placeholder:"1" help:"Threads that send HTTP/1.1 (default: 1)."`
	Timeout     time.Duration `default:"10s" help:"How long after a request is due it is given up (default: 10s)."`
}

const (
	exitThreshold = 1
	exitInvalid   = 3
)

// judged is a run that went through, and was not good.
type judged struct {
	error
	code int
}

// Unwrap returns what is wrong.
func (j judged) Unwrap() error { return j.error }

// ExitCode is the command's.
func (j judged) ExitCode() int { return j.code }

// Run sends, and reports. A run that ctx ends is judged by what it measured.
func (l *loadCmd) Run(ctx context.Context, say *speaker) error {
	o, err := l.options(ctx, say)
	if err != nil {
		return err
	}
	var clear func()
	o.Progress, clear = l.progress(say)
	report, err := load.Run(ctx, o)
	clear()
	if err != nil {
		return err
	}
	verdicts := []load.Verdict{}
	for i := range l.Threshold {
		verdicts = append(verdicts, l.Threshold[i].Check(report))
	}
	if err := l.writeHDR(report); err != nil {
		return err
	}
	answer := struct {
		Report     *load.Report   `json:"report"`
		Thresholds []load.Verdict `json:"thresholds"`
	}{report, verdicts}
	err = say.answer(answer, func(w io.Writer) {
		report.WriteText(w)
		for _, v := range verdicts {
			kept := "kept"
			if !v.Kept {
				kept = "NOT KEPT"
			}
			fmt.Fprintf(w, "threshold %s: %s (%s)\n", v.Threshold, kept, v.Measured)
		}
	})
	if err != nil {
		return err
	}
	return judge(report, verdicts)
}

// judge makes an error of what was not good. That the figures cannot be trusted weighs more than what they say.
func judge(r *load.Report, verdicts []load.Verdict) error {
	if len(r.Invalid) > 0 {
		return judged{fault.Unavailablef("the run is invalid: %s", strings.Join(r.Invalid, "; ")).
			WithHint("lower --rate, raise --in-flight, or give the generator a processor of its own; its figures say little about the server"), exitInvalid}
	}
	var broken []string
	for _, v := range verdicts {
		if !v.Kept {
			broken = append(broken, fmt.Sprintf("%s (%s)", v.Threshold, v.Measured))
		}
	}
	switch {
	case broken != nil:
		return judged{fault.Unavailablef("not kept: %s", strings.Join(broken, "; ")).WithHint("the report above says how the requests went"), exitThreshold}
	case r.Failed == r.Requests: // a script that measures a wrong path is not to go on
		return judged{fault.Unavailablef("none of %d requests was answered as expected", r.Requests).
			WithHint("the report above says how they failed; --expect says which answers are good"), exitThreshold}
	}
	return nil
}

// options are the generator's, from the flags.
func (l *loadCmd) options(ctx context.Context, say *speaker) (o load.Options, err error) {
	o = load.Options{
		URL: l.URL, Method: l.Method, Shuffle: l.Shuffle, Unit: load.Unit{Header: l.UserHeader, Users: l.Users}, Insecure: l.Insecure,
		Rate: l.Rate, Ramp: l.Ramp, WarmUp: l.WarmUp, Duration: l.Duration, Count: l.Count,
		InFlight: l.InFlight, Connections: l.Connections, Threads: l.Threads, Timeout: l.Timeout, MaxLag: l.MaxLag, Seed: l.Seed,
	}
	if l.Arrivals == "poisson" {
		o.Arrivals = load.Poisson
	}
	if o.Header, err = fields(l.Header); err != nil {
		return o, err
	}
	if l.HTTP2 {
		o.Protocol = load.HTTP2
	}
	if strings.HasPrefix(l.URL, "grpc") {
		o.Protocol = load.GRPC
	}
	if l.Expect != "" {
		if o.Expect, err = load.ParseStatuses(o.Protocol, l.Expect); err != nil {
			return o, err
		}
	}
	if l.Input != "" {
		err = l.rows(ctx, say, &o, l.Data != "" || l.Body != "")
	} else {
		err = l.body(say, &o)
	}
	return o, err
}

// fields reads headers as they are written.
func fields(texts []string) (all []load.Field, err error) {
	for _, text := range texts {
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fault.Invalidf("the header %q has no colon", text).WithHint("write it like --header 'Authorization: Bearer TOKEN'")
		}
		all = append(all, load.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	return all, nil
}

// body sets the body that all requests have.
func (l *loadCmd) body(say *speaker, o *load.Options) (err error) {
	if l.Service != "" {
		return fault.Invalidf("--service is for rows, which --input names").WithHint("without rows, send to the URL of a call")
	}
	body := []byte(l.Data)
	switch {
	case l.Data != "" && l.Body != "":
		return fault.Invalidf("both --data and --body say what to send").WithHint("leave one of them out")
	case l.Body == "-":
		body, err = io.ReadAll(say.in)
	case l.Body != "":
		body, err = os.ReadFile(l.Body)
	}
	if err != nil {
		return fault.NotFoundf("the body: %w", err).WithHint("--body names a file, or - for standard input")
	}
	if len(body) > 0 {
		o.Payloads = []load.Payload{{Body: body}}
		if o.Protocol != load.GRPC {
			o.Payloads[0].Header = []load.Field{{Name: "Content-Type", Value: l.ContentType}}
		}
	}
	return nil
}

// progress returns what tells how a run is going, nil if nobody wants to know, and what clears that away.
func (l *loadCmd) progress(say *speaker) (tell func(load.Progress), clear func()) {
	terminal := isTerminal(say.errs)
	switch {
	case l.Progress == "no" || l.Progress == "auto" && !terminal:
		return nil, func() {}
	case say.json:
		return func(p load.Progress) { _ = json.NewEncoder(say.errs).Encode(p) }, func() {} // stderr is the last place there is
	case !terminal:
		return func(p load.Progress) { fmt.Fprintln(say.errs, p.Line()) }, func() {}
	}
	const toStart, toEnd = "\r", "\x1b[K" // of the line; what is longer than the terminal is wide would not be one
	return func(p load.Progress) { fmt.Fprint(say.errs, toStart+p.Line()+toEnd) }, func() { fmt.Fprint(say.errs, toStart+toEnd) }
}

// isTerminal tells whether w shows what is written to a person.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (l *loadCmd) writeHDR(r *load.Report) error {
	if l.HDR == "" {
		return nil
	}
	file, err := os.Create(l.HDR)
	if err != nil {
		return fault.Unavailablef("the histogram cannot be written: %w", err)
	}
	if err := r.Latency.WriteHDR(file); err != nil {
		file.Close()
		return fault.Unavailablef("the histogram cannot be written: %w", err)
	}
	return file.Close()
}
