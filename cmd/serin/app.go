package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/registry"
)

// options are the app's, from the shared flags. Commands speak for themselves, so that the app logs to log only.
func (c *cli) options(log io.Writer) app.Options {
	return app.Options{
		DataDir: c.DataDir, Version: version, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// whoAmI is the author of what a command changes, for the history.
func whoAmI() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if name == "" {
		name = "unknown"
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// reader parses a reference and opens the data directory for looking. The caller closes the control.
func (c *cli) reader(ctx context.Context, say *speaker, text string) (registry.Ref, *app.Control, error) {
	ref, err := registry.ParseRef(text)
	if err != nil {
		return ref, nil, err
	}
	control, err := app.Reader(ctx, c.options(say.errs))
	return ref, control, err
}
