// Command public is a simulated public: users who ask a running Serin, each several times, and later say whether the answer was right.
// How often it is right is known here, for each version, so that what Serin measures can be held against it. Some users never say
// anything, some say it twice or contradict themselves, some take long, and some come with a token that is not genuine.
//
//	go run ./examples/installs/public --accuracy 1=0.90,2=0.80
//
// It ends with 0 if every known accuracy lies within the interval that Serin gives for it and users split as the weights say, else with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options say who the public is and what it does.
type options struct {
	server, control string // base URLs
	service         string
	rows            string // a CSV file with a header

	users, requests int
	rate            float64       // requests a second
	delay           time.Duration // until a user says how it went: the mean
	seed            uint64

	accuracy accuracies
	share    float64 // of answers about which anything is said
	cookies  float64 // of users, who do not say who they are and keep a cookie
	twice    float64 // of what is said, half of it contradicting itself
	slow     float64 // of what is said, after slowness times the delay
	forged   float64 // of what is said, with a token that is not genuine
}

// accuracies is how often an answer is right, by the registry's number of the version.
type accuracies map[int]float64

// String returns them as Set reads them, for help.
func (a accuracies) String() string {
	var parts []string
	for _, number := range sortedKeys(a) {
		parts = append(parts, fmt.Sprintf("%d=%.2f", number, a[number]))
	}
	return strings.Join(parts, ",")
}

// Set reads NUMBER=SHARE,...
func (a accuracies) Set(text string) error {
	clear(a)
	for part := range strings.SplitSeq(text, ",") {
		number, share, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(number)
		p, wrong := strconv.ParseFloat(share, 64)
		if err != nil || wrong != nil || n < 1 || !(p >= 0 && p <= 1) {
			return fmt.Errorf("%q is no VERSION=SHARE with a share of 0 to 1", part)
		}
		a[n] = p
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2) // said already
	}
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "public:", err)
		os.Exit(1)
	}
}

// parse reads the command line, and tells errs what is wrong with it.
func parse(args []string, errs io.Writer) (*options, error) {
	o := &options{accuracy: accuracies{1: 0.90, 2: 0.80}}
	f := flag.NewFlagSet("public", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.server, "server", "http://localhost:8080", "where Serin answers")
	f.StringVar(&o.control, "control", "http://localhost:8090", "Serin's control plane, which is asked for the summary")
	f.StringVar(&o.service, "service", "installs", "the service to ask")
	f.StringVar(&o.rows, "rows", "examples/installs/rows.csv", "CSV `file` with the rows to ask about")
	f.IntVar(&o.users, "users", 500, "how many users there are")
	f.IntVar(&o.requests, "requests", 2000, "how often they ask together")
	f.Float64Var(&o.rate, "rate", 400, "requests a second")
	f.DurationVar(&o.delay, "delay", 300*time.Millisecond, "how long users take to say how it went, on average")
	f.Uint64Var(&o.seed, "seed", 1, "the same seed, the same users")
	f.Var(o.accuracy, "accuracy", "how often answers are right, by version: `VERSION=SHARE`,...")
	shares := []struct {
		value *float64
		name  string
		usual float64
		what  string
	}{
		{&o.share, "share", 0.7, "share of the answers about which anything is said"},
		{&o.cookies, "cookies", 0.3, "share of users who do not say who they are, and keep a cookie"},
		{&o.twice, "twice", 0.05, "of what is said, the share that is said twice; half of that says the opposite then"},
		{&o.slow, "slow", 0.05, "of what is said, the share that takes four times as long"},
		{&o.forged, "forged", 0.02, "of what is said, the share that comes with a token that is not genuine"},
	}
	for _, s := range shares {
		f.Float64Var(s.value, s.name, s.usual, s.what)
	}
	err := f.Parse(args)
	if err == nil {
		err = o.check(f.NArg())
		for _, s := range shares {
			if err == nil && !(*s.value >= 0 && *s.value <= 1) {
				err = fmt.Errorf("--%s %v is not 0 to 1", s.name, *s.value)
			}
		}
		if err != nil {
			fmt.Fprintln(errs, "public:", err)
		}
	}
	o.server, o.control = strings.TrimRight(o.server, "/"), strings.TrimRight(o.control, "/")
	return o, err
}

func (o *options) check(rest int) error {
	switch {
	case rest > 0:
		return errors.New("there are only flags; --help lists them")
	case o.users < 1 || o.requests < 1:
		return errors.New("--users and --requests are at least 1")
	case !(o.rate > 0) || math.IsInf(o.rate, 0) || o.delay < 0:
		return errors.New("--rate is more than 0, and --delay not less")
	case o.twice+o.forged > 1:
		return errors.New("--twice and --forged are more than everything")
	}
	return nil
}

// run lets the public visit, and holds what Serin measures against what is known.
func run(ctx context.Context, o *options, out io.Writer) error {
	rows, err := readRows(o.rows)
	if err != nil {
		return err
	}
	panel := &panel{base: o.control, service: o.service, since: time.Now()}
	before, err := panel.summary(ctx)
	if err != nil {
		return fmt.Errorf("%w; is Serin running, and is its control plane at --control?", err)
	}
	seen := visit(ctx, o, rows)
	seen.print(out, o)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	after, err := panel.settled(ctx, before, seen)
	if err != nil {
		return err
	}
	versions, err := panel.versions(ctx)
	if err != nil {
		return err
	}
	return errors.Join(compare(out, o.accuracy, seen, after, versions), seen.err())
}
