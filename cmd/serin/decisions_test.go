package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/app"
	"github.com/serin-ml/serin/internal/config"
)

// serving runs a server on dir until the test ends, with one live model "m", and returns its address.
func serving(t *testing.T, dir string) string {
	t.Helper()
	o := app.Options{DataDir: dir, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now}
	c := config.Default()
	c.Server.HTTP, c.Server.GRPC, c.Server.Control = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	o.Create = true
	writer, err := app.Writer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Import(t.Context(), "m", api.ImportOptions{By: "test"}, stump(1)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	listening, ready, ended := make(chan app.Listening, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- app.Serve(ctx, o, c, app.Watch{
			Listening: func(l app.Listening) { listening <- l }, Ready: func([]api.Service) { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
		return (<-listening).HTTP
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case <-time.After(30 * time.Second):
		t.Fatal("the server is not ready after 30 s")
	}
	return ""
}

// predictOnce asks for a prediction and returns its decision's token.
func predictOnce(t *testing.T, address string) (token string) {
	t.Helper()
	body := `{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v2/models/m/infer", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return resp.Header.Get("Serin-Decision")
}

func TestATailFollowsARunningServer(t *testing.T) {
	dir := t.TempDir()
	address := serving(t, dir)
	var want []string
	decided := func() {
		token := predictOnce(t, address)
		shown, err := app.Server(dir).Decision(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, shown.ID)
	}
	decided()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"decisions", "tail", "-f", "--service", "m", "--json", "--data-dir", dir}, strings.NewReader(""), write, &errs)
		write.Close()
	}()
	lines := json.NewDecoder(read)
	var got []string
	next := func() {
		var d api.Decision
		if err := lines.Decode(&d); err != nil {
			t.Fatalf("%v after %d decisions: %s", err, len(got), errs.String())
		}
		got = append(got, d.ID)
	}
	next()
	for range 3 {
		decided()
		decided()
		next()
		next()
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown %v\nwant %v", got, want)
	}
	cancel()
	if _, err := io.Copy(io.Discard, read); err != nil {
		t.Error(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("an interrupted tail ends with %d: %s", code, errs.String())
	}
}

func TestMeanLatencyPerVariantIsAskedInSQL(t *testing.T) {
	dir := t.TempDir()
	address := serving(t, dir)
	for range 5 {
		predictOnce(t, address)
	}
	ask := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(args, "--data-dir", dir), strings.NewReader(""), &out, &errs)
		return out.String() + errs.String(), code
	}
	const question = "SELECT variant, sum(ok) AS n, sum(ok_micros) / 1000.0 / sum(ok) > 0 AS positive FROM variant_minutes " +
		"WHERE minute >= datetime('now', '-12 hours') GROUP BY variant"
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		text, code := ask("sql", "--csv", question)
		if code == 0 && text == "variant,n,positive\nstable,5,1\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s", code, text)
		}
	}
	if text, code := ask("traffic", "summary", "m"); code != 0 || !strings.Contains(text, "stable ") || !strings.Contains(text, "0% [0%..") {
		t.Errorf("%d %s", code, text)
	}
	if text, code := ask("decisions", "tail", "-n", "2"); code != 0 || strings.Count(text, " stable ") != 2 {
		t.Errorf("%d %s", code, text)
	}
	token := predictOnce(t, address)
	if text, code := ask("decisions", "show", token); code != 0 || !strings.Contains(text, "its token, which is genuine") || !strings.Contains(text, "nothing has come back") {
		t.Errorf("%d %s", code, text)
	}
}
