//go:build !linux

package load

import "time"

func precisely() {}

func sleep(d time.Duration) { time.Sleep(d) }
