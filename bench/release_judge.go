package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// How much is simulated: enough that the intervals of the rates are narrow, and that it takes some minutes on two processors.
const (
	aaRate     = 60 // requests a minute
	aaRuns     = 1000
	findRuns   = 300
	againstRun = 200
)

// judging simulates releases, with a service, its users and its hours made up, and the judge and the steps of the real thing.
func judging(ctx context.Context) error {
	began := time.Now()
	fmt.Printf("\n## Releases, simulated\n")
	for _, part := range []func(context.Context) error{
		func(ctx context.Context) error { return falseRollbacks(ctx, aaRuns) },
		func(ctx context.Context) error { return findings(ctx, findRuns) },
		func(ctx context.Context) error { return againstThresholds(ctx, againstRun) },
	} {
		if err := part(ctx); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "bench: %v so far\n", time.Since(began).Round(time.Second))
	}
	return nil
}
