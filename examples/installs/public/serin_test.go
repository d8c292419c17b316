package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/testenv"
)

// example returns a path inside examples/installs.
func example(t *testing.T, path ...string) string {
	t.Helper()
	return filepath.Join(append([]string{testenv.Root(t), "examples", "installs"}, path...)...)
}

func serinOptions(dir string) app.Options {
	return app.Options{DataDir: dir, Create: true, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

// importVersions imports the two versions of the example into a new data directory.
func importVersions(t *testing.T, dir string) {
	t.Helper()
	writer, err := app.Writer(t.Context(), serinOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	model := []api.Source{{Path: "model.ubj", Open: func() (io.ReadCloser, error) { return os.Open(example(t, "model", "model.ubj")) }}}
	for _, options := range []map[string]string{nil, {"iterations": "10"}} {
		if _, err := writer.Import(t.Context(), "installs", api.ImportOptions{By: "test", Options: options}, model); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs a server with examples/installs/ab/serin.yaml and returns where it is, and what stops it.
func start(t *testing.T, dir string) (server, control string, stop func()) {
	t.Helper()
	file := example(t, "ab", "serin.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := config.Read(file, text)
	if err != nil {
		t.Fatal(err)
	}
	const anyPort = "127.0.0.1:0"
	settings.Server.HTTP, settings.Server.GRPC, settings.Server.Control = anyPort, anyPort, anyPort
	ctx, cancel := context.WithCancel(t.Context())
	listening, ready, ended := make(chan app.Listening, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- app.Serve(ctx, serinOptions(dir), settings, app.Watch{
			Listening: func(l app.Listening) { listening <- l }, Ready: func([]api.Service) { close(ready) },
		})
	}()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		stopped = true
	}
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-ended:
		stopped = true
		t.Fatal(err)
	}
	l := <-listening
	return "http://" + l.HTTP, "http://" + l.Control, stop
}

// publicOf reads a command line for a server.
func publicOf(t *testing.T, server, control string, args ...string) *options {
	t.Helper()
	var errs bytes.Buffer
	o, err := parse(append([]string{"--server", server, "--control", control, "--rows", example(t, "rows.csv"), "--rate", "2000", "--delay", "50ms"}, args...), &errs)
	if err != nil {
		t.Fatal(errs.String())
	}
	return o
}

// rewrite replaces the log of a data directory that no server holds by the records of it that keep wants, and removes what was made of it.
func rewrite(t *testing.T, dir string, keep func(event.Record) bool) {
	t.Helper()
	old := filepath.Join(dir, "log")
	var records []event.Record
	eachRecord(t, old, func(r event.Record) {
		if keep(r) {
			records = append(records, r)
		}
	})
	made, err := filepath.Glob(filepath.Join(dir, "telemetry.db*"))
	if err != nil || len(made) == 0 {
		t.Fatal("there is no telemetry", err)
	}
	for _, path := range append(made, old) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	log := openLog(t, old)
	defer log.Close()
	if _, err := log.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// copyOf copies a data directory that no server holds.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "keys"), 0o600); err != nil { // which the copy is not, and a server refuses
		t.Fatal(err)
	}
	return dir
}

func eachRecord(t *testing.T, dir string, use func(event.Record)) {
	t.Helper()
	log := openLog(t, dir)
	defer log.Close()
	for at := log.Start(); at < log.End(); {
		next, err := log.Read(t.Context(), at, 1000, func(_ event.Offset, r event.Record) error {
			use(r)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
}

func openLog(t *testing.T, dir string) *disk.Log {
	t.Helper()
	log, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return log
}
