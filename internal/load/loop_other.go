//go:build !linux

package load

// newLoops says that there are none beyond Linux.
func newLoops(*run, *target) (engines []engine, ok bool, err error) { return nil, false, nil }
