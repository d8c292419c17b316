package main

import (
	"fmt"
	"io"
	"runtime"
)

type versionCmd struct{}

// Run prints the version of Serin and of Go.
func (versionCmd) Run(say *speaker) error {
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
		System  string `json:"system"`
	}{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return say.answer(v, func(w io.Writer) { fmt.Fprintf(w, "serin %s (%s, %s)\n", v.Version, v.Go, v.System) })
}
