package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
)

const (
	quietFor  = time.Second     // how long nobody may do much
	quietMost = 0.15            // of a processor
	patience  = 2 * time.Minute // for that
)

// quiet waits until others leave the machine alone, or for as long as it has patience: latency on a busy one is that of its scheduler.
func quiet(ctx context.Context) error {
	for begin := time.Now(); time.Since(begin) < patience; {
		before, err := idle()
		if err != nil {
			return err
		}
		at := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietFor):
		}
		now, err := idle()
		if err != nil {
			return err
		}
		if float64(runtime.NumCPU())-(now-before)/time.Since(at).Seconds() < quietMost {
			return nil
		}
	}
	fmt.Fprintf(os.Stderr, "bench: others have used this machine for all of %v; it goes on all the same\n", patience)
	return nil
}

// idle is for how many seconds processors have done nothing, all of them together, as Linux counts it in hundredths.
func idle() (float64, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system, idle, waiting float64
	if _, err := fmt.Sscanf(string(stat), "cpu %f %f %f %f %f", &user, &nice, &system, &idle, &waiting); err != nil {
		return 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return (idle + waiting) / 100, nil
}
