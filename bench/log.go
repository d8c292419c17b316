package main

import (
	"context"
	"fmt"
	"os"
)

// history measures what it costs to decide, to write down, to hear back and to ask: a request's way into the log and out of it.
func history(ctx context.Context) error {
	fmt.Print("\n## The log\n\n")
	for _, part := range []func(context.Context) error{picks, records, feedbacks, rollups, asking} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// scratch makes a folder on the disk that the project is on, and what removes it: /tmp may be memory, where fsync costs nothing.
func scratch() (dir string, remove func(), err error) {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp(out, "scratch-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
