package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// free sets ADDR and RPC to addresses that nobody listens on, for a story's server.
func free(e *testscript.Env) error {
	for _, name := range []string{"ADDR", "RPC"} {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // the next one is to be another
		e.Setenv(name, l.Addr().String())
	}
	return nil
}

// askServer sends a request to ADDR and prints what comes back, with its status before it where it is not 200: ask METHOD PATH [FILE].
func askServer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: ask METHOD PATH [FILE]")
	}
	body := ""
	if len(args) == 3 {
		body = ts.ReadFile(args[2])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, args[0], "http://"+ts.Getenv("ADDR")+args[1], strings.NewReader(body))
	ts.Check(err)
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	status := ""
	if resp.StatusCode != http.StatusOK {
		status = fmt.Sprint(resp.StatusCode, " ")
	}
	fmt.Fprintf(ts.Stdout(), "%s%s\n", status, bytes.TrimSpace(answer))
	if neg != (status != "") {
		ts.Fatalf("%s %s: %s", args[0], args[1], resp.Status)
	}
}
