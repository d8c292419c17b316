// Command server is Serin with one more runtime: that of the models which Triton's client examples ask (see models.go). It imports the
// models that it is told to, and serves them as `serin serve --json` does.
//
//	server [-c FILE] -data-dir DIR NAME=PATH...
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks to stop; a second one kills
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// run imports the models and serves until ctx ends. Events are lines of JSON on out, log lines go to errs.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(errs)
	dir := flags.String("data-dir", "", "where models and state are kept")
	file := flags.String("c", "", "the configuration (default: every model is served under its own name)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return fault.Invalidf("-data-dir is needed")
	}
	settings, err := settings(*file)
	if err != nil {
		return err
	}
	o := app.Options{
		DataDir: *dir, Create: true, Version: "interop", Now: time.Now,
		Log:      slog.New(slog.NewTextHandler(errs, nil)),
		Runtimes: []registry.NamedRuntime{{Name: "test", Runtime: testModels{}}},
	}
	if err := importAll(ctx, o, flags.Args()); err != nil {
		return err
	}
	say := json.NewEncoder(out)
	return app.Serve(ctx, o, settings, app.Watch{
		Listening: func(l app.Listening) {
			_ = say.Encode(struct { // who reads it may have gone; the server stays
				Event string `json:"event"`
				app.Listening
			}{"listening", l})
		},
		Ready: func([]api.Service) { _ = say.Encode(map[string]string{"event": "ready"}) },
	})
}

// settings reads the configuration. Whatever it says, ports are free ones of loopback, clients may load and unload models, the server has
// the name that Triton's clients look for, and a stop does not wait for balancers.
func settings(file string) (*config.Config, error) {
	c := config.Default()
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if c, err = config.Read(file, text); err != nil {
			return nil, err
		}
	}
	c.Server.HTTP, c.Server.GRPC, c.Server.Control = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Server.RepositoryControl, c.Server.DrainDelay, c.Server.Name = true, 0, "triton"
	return c, nil
}

// importAll imports each NAME=PATH, a model file or a folder of one, as the champion of that model.
func importAll(ctx context.Context, o app.Options, models []string) error {
	control, err := app.Writer(ctx, o)
	if err != nil {
		return err
	}
	defer control.Close()
	for _, m := range models {
		name, path, ok := strings.Cut(m, "=")
		if !ok {
			return fault.Invalidf("%q is not NAME=PATH", m)
		}
		files, err := filesOf(path)
		if err != nil {
			return err
		}
		if _, err := control.Import(ctx, name, api.ImportOptions{By: "interop", Alias: registry.Champion}, files); err != nil {
			return fmt.Errorf("import of %s: %w", m, err)
		}
	}
	return nil
}

// filesOf lists a file, or the files of a folder.
func filesOf(root string) (files []api.Source, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := filepath.Base(path)
		if path != root {
			if name, err = filepath.Rel(root, path); err != nil {
				return err
			}
		}
		files = append(files, api.Source{Path: filepath.ToSlash(name), Open: func() (io.ReadCloser, error) { return os.Open(path) }})
		return nil
	})
	return files, err
}
