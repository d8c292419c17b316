// Command bench measures what Serin promises to be fast at, always beside a rival in the same run: rounds are interleaved, medians are
// quoted, and the ratio is the figure to keep. `make bench` runs it from the project's root and prints the tables of bench/README.md.
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
	serin  = "bin/serin"
	python = ".venv/xgboost/bin/python"
	out    = "bench/out"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run runs every benchmark. It fails when one cannot be run, not when a figure is missed: figures are for people.
func run(ctx context.Context) error {
	model, err := trained(ctx)
	if err != nil {
		return err
	}
	return start(ctx, model)
}

// trained returns the path of the model to serve, training it once.
func trained(ctx context.Context) (string, error) {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return "", err
	}
	model := filepath.Join(out, "model.json")
	if _, err := os.Stat(model); err == nil {
		return model, nil
	}
	train := exec.CommandContext(ctx, python, "bench/model.py", model)
	train.Stdout, train.Stderr = os.Stderr, os.Stderr
	return model, train.Run()
}

// median returns the middle of the values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
