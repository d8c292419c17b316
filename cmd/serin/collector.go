package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastGarbage is how many bytes of garbage may gather before it is collected. Go waits for as much garbage as there is in use, which a
	// server of a small model reaches several times a second.
	leastGarbage = 64 << 20
	// usualPercent is Go's own: as much garbage as there is in use.
	usualPercent = 100
	// lookEvery is how often is looked at what is in use: a model that is loaded may be many times as large as all the rest.
	lookEvery = time.Second
)

// collectSeldom has garbage collected less often where little is in use, until ctx ends. Whoever sets GOGC has the last word; GOMEMLIMIT
// holds in any case.
func collectSeldom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := usualPercent
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(inUse)
		if want := garbagePercent(inUse[0].Value.Uint64()); want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
	}
}

// garbagePercent is how much garbage may gather, in percent of the bytes in use, in steps of 50: to set it stops the program for a moment.
func garbagePercent(inUse uint64) int {
	const step, most = 50, 400
	percent := leastGarbage * 100 / max(inUse, 1)
	return int(min(max(percent/step*step, usualPercent), most))
}
