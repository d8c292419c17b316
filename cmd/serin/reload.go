package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
)

type reloadCmd struct{}

// Run lets the server that holds the data directory reload, and tells what came of it.
func (*reloadCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	done, err := app.Reload(ctx, c.DataDir)
	if err != nil {
		return err
	}
	return say.answer(done, func(w io.Writer) { tellReloaded(w, done) })
}

// tellReloaded tells what a reload has changed.
func tellReloaded(w io.Writer, r api.Reloaded) {
	switch {
	case r.File == "":
		fmt.Fprintln(w, "nothing to reload: the server runs without a file")
		return
	case r.Nothing():
		fmt.Fprintf(w, "%s says what it said before\n", r.File)
		return
	}
	fmt.Fprintf(w, "%s is reloaded\n", r.File)
	for _, line := range []struct {
		what  string
		names []string
	}{{"services added", r.Added}, {"services changed", r.Changed}, {"services removed", r.Removed}, {"services unchanged", r.Unchanged}, {"server", r.Server}} {
		if len(line.names) > 0 {
			fmt.Fprintf(w, "%s: %s\n", line.what, strings.Join(line.names, ", "))
		}
	}
	for _, v := range r.Loaded {
		fmt.Fprintf(w, "loaded %s/%d (%s) for %s, variant %s\n", v.Model, v.Version, v.Semver, v.Service, v.Variant)
	}
}
