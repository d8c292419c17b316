package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	feedbackRounds = 7
	feedbackTurn   = writers * perWriter
)

// feedbacks measures outcomes that are durable when they are acknowledged, from 64 writers with an event a request.
func feedbacks(ctx context.Context) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	alone, err := newTaking(ctx, dir, "alone", false)
	if err != nil {
		return err
	}
	defer alone.close()
	whole, err := newTaking(ctx, dir, "whole", true)
	if err != nil {
		return err
	}
	defer whole.close()
	file, err := newGroupFile(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	defer file.close()
	took, err := contest("durable outcomes", feedbackRounds,
		func() (effort, error) { return alone.turn(ctx) },
		func() (effort, error) { return whole.turn(ctx) },
		func() (effort, error) { return served(ctx, http.HandlerFunc(bare), time.Now(), nil) },
		func() (effort, error) { return file.turn(alone.size()) })
	if err != nil {
		return err
	}
	var typically [4]effort
	for i := range took {
		typically[i] = typical(took[i])
	}
	fmt.Printf("\n### Durable outcomes, %d writers, one a request\n\n", writers)
	fmt.Println("| what | CPU a request | requests/s | to the lower of the bare two | to reach |\n|---|---|---|---|---|")
	for i, what := range [...]string{
		"`POST /v1/feedback`, durable in the log", "**the same while it is rolled up, the CPU of which is in it**",
		"a bare handler of `net/http` that answers 200", fmt.Sprintf("a bare file, group commit, %d bytes each", alone.size()),
	} {
		ratio, goal := "", ""
		if i < 2 {
			ratio, goal = fmt.Sprintf("%.2f", max(typically[2].elapsed, typically[3].elapsed)/typically[i].elapsed), "≥ 0.50"
		}
		fmt.Printf("| %s | %s | %.0f | %s | %s |\n", what, duration(typically[i].cpu), 1/typically[i].elapsed, ratio, goal)
	}
	return nil
}

// served has the clients send a turn's requests to a handler. Of its own goroutine, beside runs meanwhile, until its context ends; what it
// does then is in the processor time, not in the other, which is the clients'.
func served(ctx context.Context, handler http.Handler, base time.Time, beside func(context.Context) error) (e effort, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return e, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	var serving, working errgroup.Group
	serving.Go(func() error { return server.Serve(listener) })
	defer func() {
		err = errors.Join(err, server.Close())
		if closed := serving.Wait(); !errors.Is(closed, http.ErrServerClosed) {
			err = errors.Join(err, closed)
		}
	}()
	c, err := connect(ctx, listener.Addr().String(), base)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var seconds float64
	e, err = spend(func() error {
		running, stop := context.WithCancel(ctx)
		if beside != nil {
			working.Go(func() error { return beside(running) })
		}
		var err error
		seconds, err = c.run()
		stop()
		return errors.Join(err, working.Wait())
	})
	e.elapsed = seconds
	return e.per(feedbackTurn), err
}

// bareAnswer is as long as Serin's.
var bareAnswer = []byte(`{"id":"0123456789abcdef0123456789abcdef","status":"accepted","decision":"01234567-89ab-7def-8123-456789abcdef","verified":true}`)

// bare is as little as a handler can do.
func bare(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(bareAnswer) // the client may have gone
}
