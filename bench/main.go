// Command bench measures what Serin promises to be fast at, always beside a rival in the same run: rounds are interleaved, medians are
// quoted, and the ratio is the figure to keep. `make bench` runs it from the project's root and prints the tables of bench/README.md;
// arguments name the benchmarks to run.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

const (
	serin = "bin/serin"
	out   = "bench/out"
)

func main() {
	ctx := context.Background()
	if len(os.Args) > 1 {
		if of, ok := processes[os.Args[1]]; ok && len(os.Args) == 2+of.arguments {
			if err := of.run(ctx, os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s: %v\n", os.Args[1], err)
				os.Exit(1)
			}
			return
		}
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// processes are what this program is when it is started by itself, by its first argument.
var processes = map[string]struct {
	arguments int
	run       func(context.Context, []string) error
}{
	clientCommand:   {2, func(ctx context.Context, a []string) error { return client(ctx, a[0], a[1]) }},
	bareCommand:     {1, func(ctx context.Context, a []string) error { return serveBare(ctx, a[0]) }},
	reverseCommand:  {1, func(ctx context.Context, a []string) error { return serveReverse(ctx, a[0]) }},
	upstreamCommand: {1, func(ctx context.Context, a []string) error { return serveUpstream(ctx, a[0]) }},
}

// itself is this program as another process.
func itself(ctx context.Context, arguments ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, arguments...), nil
}

// benchmark is one that can be asked for by its name. A long one is not run unless it is.
type benchmark struct {
	name string
	run  func(context.Context) error
	long bool
}

// run runs the benchmarks named, or all but those that take long. It fails when one cannot be run, not when a figure is missed: figures are
// for people.
func run(ctx context.Context, names []string) error {
	benchmarks := []benchmark{
		{"start", start, false}, {"trees", forests, false}, {"log", history, false}, {"serving", serving, false}, {"proxy", proxying, false}, {"survive", surviving, false},
		{"log10m", askingTenMillion, true}, {"release judge", judging, false}, {"release tick", ticking, false}, {"release broken", brokenReleases, false},
	}
	for _, t := range survival {
		benchmarks = append(benchmarks, benchmark{"survive " + t.name, t.alone, true})
	}
	for _, p := range proxyParts {
		benchmarks = append(benchmarks, benchmark{"proxy " + p.name, func(ctx context.Context) error { return overUpstreams(ctx, p) }, true})
	}
	for _, b := range benchmarks {
		if len(names) > 0 && !slices.Contains(names, b.name) || len(names) == 0 && b.long {
			continue
		}
		if err := b.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
}

// python is the interpreter of a virtual environment.
func python(venv string) string { return filepath.Join(".venv", venv, "bin/python") }

// trained returns the path of a model that model.py trains of a kind, once. Beside it, with .rows at the end, are rows to ask it.
func trained(ctx context.Context, library, kind, name string) (string, error) {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return "", err
	}
	model := filepath.Join(out, name)
	if _, err := os.Stat(model + ".rows"); err == nil { // it is written last
		return model, nil
	}
	train := exec.CommandContext(ctx, python(library), "bench/model.py", kind, model)
	train.Stdout, train.Stderr = os.Stderr, os.Stderr
	return model, train.Run()
}

// median returns the middle of the values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
