package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/testenv"
)

// TestMain lets the test binary act as serin, so that the stories run the real program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"serin": main})
}

// TestStories runs testdata/script: each file is a story told in commands.
func TestStories(t *testing.T) {
	example := filepath.Join(testenv.Root(t), "examples", "installs")
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLE", example)
			e.Setenv("USER", "tester")
			return free(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": ready, "ask": askServer},
	})
}

// ready waits until the server of a data directory is ready with every service: ready DIR.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DIR")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	socket := filepath.Join(ts.MkAbs(args[0]), "serin.sock")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		if _, err := os.Stat(socket); err != nil {
			continue
		}
		list, err := app.Server(ts.MkAbs(args[0])).Services(ctx)
		if err != nil {
			continue
		}
		waiting := len(list.Services) == 0
		for _, s := range list.Services {
			waiting = waiting || s.State != "ready"
		}
		if !waiting {
			return
		}
	}
	ts.Fatalf("the server in %s is not ready after 30 s", args[0])
}
