package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/fault"
)

// configFile is what serve and check read where no file is named.
const configFile = "serin.yaml"

type serveCmd struct {
	Config  string `short:"c" placeholder:"FILE" help:"Configuration (default: serin.yaml if it is there; else every model with a champion is served)."`
	HTTP    string `name:"http" placeholder:"ADDR" env:"SERIN_HTTP" help:"Address of the data plane, HOST:PORT (default: :8080)."`
	GRPC    string `name:"grpc" placeholder:"ADDR" env:"SERIN_GRPC" help:"Address of the data plane over gRPC (default: :8081)."`
	Control string `placeholder:"ADDR" env:"SERIN_CONTROL" help:"Address of the control plane (default: 127.0.0.1:8090). Off loopback it asks for the token in DIR/control.token."`
	Metrics string `placeholder:"ADDR" env:"SERIN_METRICS" help:"One more address, for GET /metrics and nothing else (default: none)."`
	LogJSON bool   `name:"log-json" help:"Log lines of JSON to stderr, rather than text."`
	Debug   bool   `help:"Log refused requests too."`
}

// Run serves until ctx ends.
func (s *serveCmd) Run(ctx context.Context, c *cli, say *speaker) error {
	settings, file, err := s.settings(s.Config)
	if err != nil {
		return err
	}
	o := c.options(say.errs)
	level := &slog.HandlerOptions{Level: slog.LevelInfo}
	if s.Debug {
		level.Level = slog.LevelDebug
	}
	o.Log = slog.New(slog.NewTextHandler(say.errs, level))
	if s.LogJSON {
		o.Log = slog.New(slog.NewJSONHandler(say.errs, level))
	}
	o.Reread = func() (*config.Config, string, error) {
		// Of a server that runs with serin.yaml, that file is wanted: without it all its services would go.
		return s.settings(cmp.Or(s.Config, file))
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	o.Hangup = hangups
	var watch app.Watch
	if c.JSON { // a line for each event, so that a program knows where to ask, and when
		watch.Listening = func(l app.Listening) {
			_ = say.event(struct { // who reads it may have gone; the server stays
				Event string `json:"event"`
				app.Listening
			}{"listening", l})
		}
		watch.Ready = func(services []api.Service) {
			_ = say.event(struct {
				Event    string        `json:"event"`
				Services []api.Service `json:"services"`
			}{"ready", services})
		}
	}
	serving, end := context.WithCancel(ctx)
	var collector sync.WaitGroup
	collector.Go(func() { collectSeldom(serving) })
	defer collector.Wait()
	defer end()
	return app.Serve(ctx, o, settings, watch)
}

// settings reads the configuration, and puts the flags above it. It tells of which file, "" of none.
func (s *serveCmd) settings(from string) (c *config.Config, file string, err error) {
	c, file, err = readConfig(from)
	if err != nil {
		return nil, file, err
	}
	for flag, key := range map[*string]*string{
		&s.HTTP: &c.Server.HTTP, &s.GRPC: &c.Server.GRPC, &s.Control: &c.Server.Control, &s.Metrics: &c.Server.Metrics,
	} {
		if *flag != "" {
			*key = *flag
		}
	}
	return c, file, c.Server.Check()
}

// readConfig reads the file, or serin.yaml, or neither, and tells which.
func readConfig(from string) (c *config.Config, file string, err error) {
	file = cmp.Or(from, configFile)
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		c, err = config.Read(file, text)
		return c, file, err
	case errors.Is(err, fs.ErrNotExist) && from == "":
		return config.Default(), "", nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, file, fault.NotFoundf("there is no file %s", file).WithHint("`serin check --schema` shows what may be in it")
	}
	return nil, file, fault.Invalidf("configuration: %w", err)
}
