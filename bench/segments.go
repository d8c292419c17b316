package main

import (
	"os"

	"github.com/serin-ml/serin/internal/event/disk"
)

// openLog opens a log in a folder, which it makes where it is absent.
func openLog(dir string) (*disk.Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return disk.Open(dir, disk.Options{})
}
